"""The ledger's file without the space that deleted rows have left: DuckDB uses it again, but gives none back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from runlake.errors import StoreError
from runlake.store.database import quoted
from runlake.store.files import discard, like, put
from runlake.store.place import require_room

DEAD_ABOVE = 64 * 1024 * 1024
"""Bytes of dead space that are not worth a copy."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The file's bytes before and after."""

    before: int
    after: int


def compact(con: duckdb.DuckDBPyConnection, database: Path) -> Compacted | None:
    """Where a third of the file or more is dead, puts a copy in its place that holds what is alive; else None.

    The connection goes on with the old file, to which nothing may be written any more: abandon it, and connect again.
    Killed at any moment, the old file or the new one is in place, whole; what was begun is removed by the next call.
    """
    con.execute("CHECKPOINT lake")
    database = database.resolve()
    fresh = database.with_name(f"{database.name}.compact")
    discard(fresh)
    [(block, used, free)] = con.execute(
        "SELECT block_size, used_blocks, free_blocks FROM pragma_database_size() WHERE database_name = 'lake'"
    ).fetchall()
    if free * block <= max(DEAD_ABOVE, used * block // 2):
        return None
    require_room(database, used * block)
    try:
        con.execute(f"ATTACH {quoted(fresh)} AS fresh (STORAGE_VERSION 'v1.5.0')")
        try:
            con.execute("COPY FROM DATABASE lake TO fresh")
            con.execute("CHECKPOINT fresh")
            if _counts(con, "lake") != _counts(con, "fresh"):
                raise StoreError(f"{database}: a copy to make it smaller came out different, so it was not used")
        finally:
            with suppress(duckdb.Error):  # after a fatal error, which is the one to tell, nothing works any more
                con.execute("DETACH fresh")
        like(database, fresh)
        compacted = Compacted(database.stat().st_size, fresh.stat().st_size)
        # While the old file is still open and locked: whoever waits for the lock then finds the new one.
        put(fresh, database)
    finally:
        discard(fresh)
    return compacted


def _counts(con: duckdb.DuckDBPyConnection, database: str) -> list[tuple[str, int]]:
    tables = con.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY ALL", [database]
    ).fetchall()
    return [
        (f"{schema}.{table}", con.execute(f'SELECT count(*) FROM {database}."{schema}"."{table}"').fetchall()[0][0])
        for schema, table in tables
    ]
