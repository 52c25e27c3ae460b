"""The data dictionary, from the comments in the catalogue: `make docs` writes docs/data-dictionary.md with it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from runlake.store.database import VIEWS, connect


def dictionary() -> str:
    """Markdown: each public view with what it answers, then its columns with type and meaning."""
    with tempfile.TemporaryDirectory() as folder:
        con = connect(Path(folder) / "empty.duckdb")
        views = dict(con.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall())
        columns = con.execute(
            "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() "
            "WHERE database_name = 'lake' AND schema_name = 'main' ORDER BY table_name, column_index"
        ).fetchall()
        con.close()
    parts = [
        "# Data dictionary\n\nThe public SQL surface: these views only ever gain columns. Made from the comments in "
        "the database (`make docs`), where any client can read them too: `SELECT * FROM duckdb_columns()`.\n\n"
        "Instants are `TIMESTAMP WITH TIME ZONE`, in UTC to the microsecond; days are UTC days.\n"
    ]
    for view in VIEWS:
        parts.append(f"\n## {view}\n\n{views[view]}\n\n| column | type | meaning |\n|---|---|---|\n")
        parts += [
            f"| `{column}` | {type_} | {_cell(comment)} |\n"
            for table, column, type_, comment in columns
            if table == view
        ]
    return "".join(parts)


def _cell(comment: str) -> str:
    return comment.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(dictionary())
