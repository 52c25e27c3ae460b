"""The pages that are made from the ledger's own catalogue: `make docs` writes them.

docs/data-dictionary.md comes from the comments on views and columns. docs/metrics.md comes from the comments on macros;
their columns can have none, so what these mean stands in the macro's file: `-- column: meaning`, and `-- example: …`.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import duckdb

from runlake.store.database import METRICS, VIEWS, connect


@dataclass(frozen=True, slots=True)
class Metric:
    """One macro: how it is called (each way, with its defaults), what it answers, one query that calls it, and for a
    table its columns: name, type, meaning ("" where nobody says)."""

    name: str
    calls: list[str]
    comment: str
    example: str
    columns: list[tuple[str, str, str]]
    explained: Mapping[str, str]
    """What its own file says of columns."""
    shows_runs: bool
    """Its columns begin with all those of the view `runs`."""


def dictionary() -> str:
    """Markdown: each public view with what it answers, then its columns with type and meaning."""
    with _empty_ledger() as con:
        views = dict(con.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall())
        columns = con.execute(
            "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() "
            "WHERE database_name = 'lake' AND schema_name = 'main' ORDER BY table_name, column_index"
        ).fetchall()
    parts = [
        "# Data dictionary\n\nThe public SQL surface: these views only ever gain columns. Made from the comments in "
        "the database (`make docs`), where any client can read them too: `SELECT * FROM duckdb_columns()`. What can be "
        "counted on them is in [Metrics](metrics.md).\n\n"
        "Instants are `TIMESTAMP WITH TIME ZONE`, in UTC to the microsecond; days are UTC days.\n"
    ]
    for view in VIEWS:
        parts.append(f"\n## {view}\n\n{views[view]}\n\n")
        parts += _table((column, type_, comment) for table, column, type_, comment in columns if table == view)
    return "".join(parts)


def metrics_page() -> str:
    """Markdown: each metric with how it is called, what it answers, its columns and an example."""
    with _empty_ledger() as con:
        found = metrics(con)
    parts = [_METRICS]
    for metric in found:
        calls = "\n".join(metric.calls)
        parts.append(f"\n## {metric.name}\n\n{metric.comment}\n\n```text\n{calls}\n```\n\n")
        own = [column for column in metric.columns if not metric.shows_runs or column[0] in metric.explained]
        if metric.shows_runs:
            parts.append(f"The columns of [runs](data-dictionary.md#runs){', and:' if own else '.'}\n\n")
        if own:
            parts += [*_table(own), "\n"]
        parts.append(f"```sql\n{metric.example}\n```\n")
    return "".join(parts)


def metrics(con: duckdb.DuckDBPyConnection) -> list[Metric]:
    """All of them, in the order of METRICS. A column that its own file does not explain means what it means in the
    view `runs`, or else in an earlier metric."""
    meanings = dict(
        con.execute(
            "SELECT column_name, comment FROM duckdb_columns() WHERE database_name = 'lake' AND table_name = 'runs' "
            "AND schema_name = 'main' ORDER BY column_index"
        ).fetchall()
    )
    earlier: dict[str, str] = {}
    found = []
    for name in METRICS:
        text = (files(__package__) / "metrics" / f"{name}.sql").read_text(encoding="utf-8")
        [*_, (type_, parameters, comment)] = con.execute(
            "SELECT function_type, parameters, comment FROM duckdb_functions() "
            "WHERE database_name = 'lake' AND function_name = ? ORDER BY len(parameters)",
            [name],
        ).fetchall()
        explained = dict(_EXPLAINED.findall(text))
        example = explained.pop("example")
        known = {**earlier, **meanings, **explained}
        columns = []
        if type_ == "table_macro":
            given = ", ".join(_GIVEN[parameter] for parameter in parameters if parameter in _GIVEN)
            described = con.execute(f"DESCRIBE FROM {name}({given})").fetchall()
            columns = [(column, kind, known.get(column, "")) for column, kind, *_ in described]
        earlier.update(explained)
        calls = [f"{name}({call})" for call in re.findall(rf"^(?:CREATE.* {name})?\((.*)\) AS\b", text, re.MULTILINE)]
        shows_runs = [*meanings] == [column for column, *_ in columns[: len(meanings)]]
        found.append(Metric(name, calls, comment, example, columns, explained, shows_runs))
    return found


@contextmanager
def _empty_ledger() -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "empty.duckdb") as con:
        yield con


def _table(columns: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    yield "| column | type | meaning |\n|---|---|---|\n"
    for column, type_, meaning in columns:
        yield f"| `{column}` | {type_} | {_cell(meaning)} |\n"


def _cell(comment: str) -> str:
    return comment.replace("|", "\\|")


_EXPLAINED = re.compile(r"^-- (\w+): (.+)$", re.MULTILINE)

_GIVEN = {"since": "'2026-07-06'", "until": "'2026-07-13'", "known_at": "known_at := '2026-07-13'"}
"""For parameters without a default."""

_METRICS = """\
# Metrics

What reports and `runlake` itself count with: macros in the ledger and in its published copy, for any DuckDB client.
Made from the comments in the database (`make docs`), where any client can read them too:
`SELECT function_name, parameters, comment FROM duckdb_functions()`. The words are those of the
[data dictionary](data-dictionary.md).

- **Period.** `since` and `until` are instants. A run belongs to it by its `created_at`: since <= created_at < until.
  `'2026-07-06'` is midnight in UTC to `runlake` itself; another client takes its own time zone, until it is told
  `SET TimeZone = 'UTC'`. Hours and days are those of the time zone `tz`.
- **A run counts once**, by the last of its attempts created in the period; earlier ones count as reruns. Vanished runs
  do not count. Cancelled, rejected and skipped (neutral), open and unknown runs are outside of rates, and counted
  beside them.
- **Which runs.** `among` names the attempts that are looked at: a table, a view, or a name from WITH, with the columns
  of `runs`. So any condition is a filter, and what was known at an earlier time is asked in the same way:

  ```text
  WITH mine AS (FROM runs WHERE labels['team'] = 'search')
  FROM pipeline_stats('2026-07-06', '2026-07-13', among := 'mine')

  WITH known AS (FROM runs_at('2026-07-13 06:00') WHERE created_at >= '2026-07-06' AND created_at < '2026-07-13')
  FROM pipeline_stats('2026-07-06', '2026-07-13', among := 'known')
  ```

  So does `steps` name the steps that `failing_steps` looks at: a relation with the columns of `failed_steps_at`.

- **How far to trust it.** `observed_through` and `missing_runs` stand beside each figure; `source_coverage` says more.
- Rows come in no particular order. Instants are `TIMESTAMP WITH TIME ZONE`; lengths of time are in milliseconds.
"""

if __name__ == "__main__":
    sys.stdout.write(metrics_page() if sys.argv[1:] == ["metrics"] else dictionary())
