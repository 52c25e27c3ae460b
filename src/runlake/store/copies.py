"""Whole copies of the ledger: a backup made while it is in use, and a backup put in its place again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from runlake.errors import ConfigError, StoreError
from runlake.store.books import rows
from runlake.store.database import connect, translated
from runlake.store.files import copy, discard, like, put, wal
from runlake.store.place import require_room


@dataclass(frozen=True, slots=True)
class Restored:
    """What a ledger that was put in place holds, and where the one before it is kept (None: there was none).

    `sources`: for each its source, runs, newest_run and observed_through.
    """

    sources: list[dict[str, Any]]
    kept: Path | None


def backup(con: duckdb.DuckDBPyConnection, database: Path, target: Path) -> int:
    """Writes the whole ledger to `target`; returns its bytes. Only for the thread that writes, between transactions:
    beside a write, or without CHECKPOINT, a copy is torn.

    Raises ConfigError where `target` is the ledger itself, or anything but an earlier copy of one.
    """
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent} for the backup")
    if target.exists():
        if target.samefile(database):
            raise ConfigError(f"{target} is the ledger itself; name another file for its backup")
        try:
            _require_ledger(target)
        except (ConfigError, StoreError):
            raise ConfigError(f"{target} is no copy of a ledger, so it is not overwritten; name another file") from None
    con.execute("CHECKPOINT lake")
    size = database.stat().st_size
    target = target.resolve()
    fresh = target.with_name(f"{target.name}.tmp")
    with translated(target):
        require_room(target, size)
        try:
            _begun(fresh)
            copy(database, fresh)
            like(database, fresh)
            put(fresh, target)
        finally:
            fresh.unlink(missing_ok=True)
    return size


def restore(file: Path, database: Path, at: datetime) -> Restored:
    """Puts a copy of `file` in the ledger's place, brought up to this version, and keeps the present one aside.

    Raises ConfigError where `file` is no whole ledger, StoreError where it is damaged, there is no room, or a process
    holds the present one. Killed at any moment, the old ledger or the new one is in place, and nothing is lost.
    """
    _require_ledger(file)
    if database.exists() and database.samefile(file):
        raise ConfigError(f"{file} is the ledger itself; name a backup of it")
    if not database.parent.is_dir():
        raise ConfigError(f"there is no folder {database.parent}; check `database` in the config")
    database = database.resolve()
    fresh = database.with_name(f"{database.name}.restore")
    with translated(database):
        with _held(database):  # asked before the work and, since it may take minutes, again after it
            require_room(database, file.stat().st_size)
        try:
            sources = _prepared(file, fresh, database)
            kept = _swapped(fresh, database, at)
        finally:
            discard(fresh)
            for left in fresh.parent.glob(f"{fresh.name}.schema-*.bak"):
                left.unlink()
    return Restored(sources, kept)


def _begun(fresh: Path) -> None:
    """Until it is whole and has the mode of the ledger, a copy is nobody else's to read."""
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)


def _require_ledger(file: Path) -> None:
    """Opens it read-only. Raises ConfigError unless it is a whole ledger, StoreError where it cannot be read."""
    if not file.exists():
        raise ConfigError(f"there is no file {file}")
    with translated(file, "name another copy"), duckdb.connect(str(file), read_only=True) as con:
        found = con.execute(
            "SELECT schema_name || '.' || table_name, 'table' FROM duckdb_tables() UNION ALL "
            "SELECT schema_name || '.' || view_name, 'view' FROM duckdb_views()"
        ).fetchall()
    kinds = dict(found)
    if "main.schema_version" not in kinds or "rl.runs" not in kinds:
        raise ConfigError(f"{file} is a DuckDB file of something else, not a ledger")
    if kinds["rl.runs"] == "view":
        raise ConfigError(
            f"{file} is a published copy in parts, without payloads and with older runs in other files: restore what "
            "`runlake backup` wrote"
        )


def _prepared(file: Path, fresh: Path, database: Path) -> list[dict[str, Any]]:
    """Makes `fresh` a ledger of this version with what `file` holds, in one file; tells what that is."""
    wal(fresh).unlink(missing_ok=True)
    _begun(fresh)
    if wal(file).exists():  # a copy of both files of a ledger that was killed
        copy(wal(file), wal(fresh))
    copy(file, fresh)
    try:
        con = connect(fresh)
    except StoreError as error:  # it is the file that was named that is newer than we, or damaged
        raise StoreError(str(error).replace(str(fresh), str(file))) from None
    with con:
        con.execute("CHECKPOINT lake")
        sources = rows(
            con,
            "SELECT n.source, count(r.source) AS runs, max(r.created_at) AS newest_run, n.observed_through "
            "FROM rl.sources n LEFT JOIN rl.runs r USING (source) GROUP BY ALL ORDER BY ALL",
        )
    like(database if database.exists() else file, fresh)
    return sources


def _swapped(fresh: Path, database: Path, at: datetime) -> Path | None:
    """Puts `fresh` in place; returns where the present ledger is kept.

    The present one's log must neither be lost nor left beside a file that it does not belong to. What is readable takes
    it in first, so that from then on one file is the whole ledger, and one call puts another in its place.
    """
    aside = database.with_name(f"{database.name}.before-restore-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    if aside.exists():  # by a restore in this very second
        raise StoreError(f"{aside} is there already, and not to be lost; try again")
    there = database.exists()
    if there:
        _take_in_log(database)
    with _held(database):
        if there:
            try:
                os.link(database, aside)
            except OSError:  # a file system without second names: for a moment there is none at all
                database.rename(aside)
        if wal(database).exists():  # of a ledger that cannot be read: kept with it, for whoever may yet repair it
            wal(database).rename(wal(aside))
        put(fresh, database)
    return aside if there else None


def _take_in_log(database: Path) -> None:
    if not wal(database).exists():
        return
    with suppress(duckdb.Error), duckdb.connect(str(database)) as con:
        con.execute("CHECKPOINT")


@contextmanager
def _held(database: Path) -> Iterator[None]:
    """Keeps every other process out of the present ledger, with the lock that DuckDB itself takes, also where the file
    is damaged. Raises StoreError where one has it open."""
    import fcntl  # noqa: PLC0415 (not on Windows, where only restoring would miss it)

    if not database.exists():
        yield
        return
    with database.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            duckdb.connect(str(database), read_only=True).close()  # fails likewise, and names the process
            raise StoreError(f"{database} was in use by another process until now; try again") from None
        yield
