"""The read-only copy that readers open, so that they never meet the writer's lock."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

import duckdb

from runlake.errors import StoreError
from runlake.store.database import translated


def published_path(database: Path) -> Path:
    return database.with_name(f"{database.stem}.published{database.suffix or '.duckdb'}")


def publish(con: duckdb.DuckDBPyConnection, database: Path, as_of: datetime) -> Path:
    """Swaps in a fresh copy, stamped `as_of`. Only for the thread that writes: without CHECKPOINT, or beside a write,
    a copy is torn. Readers that hold the old copy keep it."""
    con.execute("DELETE FROM rl.publication")
    con.execute("INSERT INTO rl.publication VALUES (?)", [as_of])
    con.execute("CHECKPOINT lake")
    target = published_path(database)
    fresh = target.with_name(f"{target.name}.tmp")
    shutil.copyfile(database, fresh)
    with fresh.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(fresh, target)  # noqa: PTH105 (the call that is atomic by contract)
    return target


def open_published(database: Path, **settings: str) -> duckdb.DuckDBPyConnection:
    """A connection that can read the published copy and nothing else: no other file, no network, no extension.

    `settings` are DuckDB's own, such as `memory_limit`; nothing can be set once it is open.
    """
    path = published_path(database)
    if not path.exists():
        raise StoreError(f"there is no published copy at {path} yet; `runlake sync` makes one")
    with translated(path, "move it away: `runlake sync` makes a new one"):
        con = duckdb.connect(
            str(path),
            read_only=True,
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "allow_community_extensions": "false",
                "allow_persistent_secrets": "false",
                "python_enable_replacements": "false",
                "python_scan_all_frames": "false",
                **settings,
            },
        )
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
    return con
