"""The read-only copy that readers open, so that they never meet the writer's lock.

A ledger of up to SPLIT_ABOVE bytes is copied whole. Of a larger one the closed periods are Parquet files (`periods`
says which), so that a publish costs what is new: the copy holds the open days and the small tables, and its `rl.runs`,
`rl.run_snapshots` and `rl.steps` are views over both. The public views show the same rows either way.

Such a copy names the Parquet files by absolute paths: where the ledger's folder is moved, they are right again with the
next publish. Payloads are no part of any public view; it holds none.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import duckdb

from runlake.errors import StoreError
from runlake.store.database import connect, published_path, quoted, transaction, translated
from runlake.store.files import copy, discard, put, safe
from runlake.store.periods import SPLIT, midnight, paths, settle, standing, write
from runlake.store.place import require_room

SPLIT_ABOVE = 1 << 30
"""Bytes of the ledger's file."""

CONFINED: Mapping[str, str] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
}
"""DuckDB's settings for SQL that others write; `enable_external_access` is put out once what is to be read is open."""

_NO_ROOM = "free some space; readers keep the old copy until then"


@dataclass(frozen=True, slots=True)
class Published:
    """A publish: where, as of when, how many bytes it wrote, and how long it held the ledger's thread."""

    path: Path
    as_of: datetime
    bytes: int
    seconds: float
    shape: Literal["whole", "split"]


def published_periods(database: Path) -> Path:
    """The folder of the closed periods, absolute. There is none unless the ledger was ever large."""
    return database.resolve().with_name(f"{database.stem}.published")


def publish(
    con: duckdb.DuckDBPyConnection, database: Path, as_of: datetime, *, split_above: int = SPLIT_ABOVE
) -> Published:
    """Swaps in a fresh copy, stamped `as_of`. Only for the thread that writes, between transactions: beside a write a
    copy is torn. Readers that hold the old copy keep it; where this fails or is killed, the old copy stays.

    A ledger that has just become large is copied whole until all of its closed periods are written, some with each
    publish. Raises StoreError where the disk has no room.
    """
    began = time.perf_counter()
    target, folder = published_path(database), published_periods(database)
    fresh = target.with_name(f"{target.name}.tmp")
    discard(fresh)
    con.execute("DELETE FROM rl.publication")
    con.execute("INSERT INTO rl.publication VALUES (?)", [as_of])
    versions: dict[str, str] = {}
    shape: Literal["whole", "split"] = "whole"
    written = 0
    size = database.stat().st_size
    try:
        if size > split_above:
            now = standing(con, folder, as_of)
            chosen = now.next_to_write()
            shape = "split" if len(chosen) == len(now.missing) else "whole"
            costly = sum(now.missing[period] for period in chosen) + (now.open_runs if shape == "split" else 0)
            require_room(target, size * costly // max(1, now.open_runs + now.closed_runs), _NO_ROOM)
            added, written = write(con, folder, chosen)
            versions = {**now.versions, **added}
        if shape == "split":
            _lay_out(fresh, folder, versions)
            _fill(con, fresh, now.open_from)
        else:
            con.execute("CHECKPOINT lake")
            require_room(target, database.stat().st_size, _NO_ROOM)
            copy(database, fresh)
        written += safe(fresh)
        put(fresh, target)
    finally:
        discard(fresh)
    settle(con, folder, versions, as_of)
    return Published(target, as_of, written, time.perf_counter() - began, shape)


def _lay_out(fresh: Path, folder: Path, versions: Mapping[str, str]) -> None:
    """Makes a ledger like any other, with its views and comments, then views in place of the tables that are split."""
    with connect(fresh) as con:
        for table in SPLIT:
            con.execute(f"ALTER TABLE rl.{table} RENAME TO open_{table}")
            parts = [f"FROM rl.open_{table}"]
            if versions:
                # A bracket in a folder's name is no pattern, and `status=x` no column.
                patterns = map(glob.escape, paths(folder, table, versions))
                parts.append(f"FROM read_parquet({_list(patterns)}, hive_partitioning = false)")
            con.execute(f"CREATE VIEW rl.{table} AS {' UNION ALL BY NAME '.join(parts)}")


def _fill(con: duckdb.DuckDBPyConnection, fresh: Path, open_from: date) -> None:
    """Puts in the open days and all small tables."""
    tables = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'rl' "
        "AND table_name NOT IN ('run_payloads', 'published_periods') ORDER BY ALL"
    ).fetchall()
    con.execute(f"ATTACH {quoted(fresh)} AS fresh")
    try:
        with transaction(con):
            for (table,) in tables:
                if table in SPLIT:
                    recent = f"WHERE {SPLIT[table]} >= {midnight(open_from)}"
                    con.execute(f"INSERT INTO fresh.rl.open_{table} BY NAME FROM lake.rl.{table} {recent}")
                else:
                    con.execute(f"INSERT INTO fresh.rl.{table} BY NAME FROM lake.rl.{table}")
        con.execute("CHECKPOINT fresh")
    finally:
        with suppress(duckdb.Error):  # after a fatal error, which is the one to tell, nothing works any more
            con.execute("DETACH fresh")


def open_published(database: Path, **settings: str) -> duckdb.DuckDBPyConnection:
    """A connection that can read the published copy and nothing else: no other file, no network, no extension.

    `settings` are DuckDB's own, such as `memory_limit`; nothing can be set once it is open. DuckDB has no setting
    against writing over a file that may be read: pass on only statements that read.
    """
    path = published_path(database)
    if not path.exists():
        raise StoreError(f"there is no published copy at {path} yet; `runlake sync` makes one")
    with translated(path, "move it away: `runlake sync` makes a new one"):
        con = duckdb.connect(str(path), read_only=True, config={**CONFINED, **settings})
        # After the copy, which may just have been replaced; and one by one: into a folder that is allowed, `COPY … TO`
        # could put new files.
        parquet = [str(file) for file in published_periods(database).glob("*.parquet")]
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"SET allowed_paths = {_list(sorted({*parquet, *map(glob.escape, parquet)}))}")
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
    return con


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, values))}]"
