"""The part of the ledger that rarely changes, as Parquet files beside the published copy: each period is written once.

Much may still change of the runs created in the last OPEN_FOR days. Older days are closed: each is a period of its own
until the month after its own is over; then its whole month is one. (On any day of July: May and the months before it,
and the days of June and July.) So a publish writes little, a late change costs a day or a month, and a query opens at
most some 60 files more than there are months.

A change to a closed period touches it, in the transaction that makes the change, and the next publish writes it anew
under another name. What it replaces stays for a day, for readers that hold a copy which names it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from runlake.store.database import quoted, transaction
from runlake.store.files import safe

OPEN_FOR = timedelta(days=4)
"""As far as a sweep looks back by default, and a day more."""

RUNS_AT_ONCE = 500_000
"""How many runs' periods one publish writes, unless a single period has more. They hold the ledger's thread, 16 seconds
a million runs; and all are to be written once a ledger has become large, or the mapping of a common word changes."""

MADE_FOR = 2
"""The schema that was the newest when the columns of the tables in SPLIT last changed. A migration that changes them
raises it, and all periods are written anew."""

KEPT_FOR = timedelta(days=1)
"""How long files stay that the newest copy no longer names."""

SPLIT = {"runs": "created_at", "run_snapshots": "created_at", "steps": "run_created_at"}
"""The tables concerned, and what puts a row into its period."""

_FILE = re.compile(rf"(?:{'|'.join(SPLIT)})-(\d{{4}}-\d\d(?:-\d\d)?)-([0-9a-f]{{16}})\.parquet")


@dataclass(frozen=True, slots=True)
class Standing:
    """How the closed periods stand. A period is "2026-05" or "2026-07-09"; days from `open_from` on are in none."""

    open_from: date
    open_runs: int
    closed_runs: int
    versions: Mapping[str, str]
    """Those whose Parquet says what the ledger says."""
    missing: Mapping[str, int]
    """Those that are to be written, the newest first, with the runs in each."""

    def next_to_write(self) -> list[str]:
        """Periods of RUNS_AT_ONCE runs in all, or one."""
        found, runs = list[str](), 0
        for period, more in self.missing.items():
            runs += more
            if found and runs > RUNS_AT_ONCE:
                break
            found.append(period)
        return found


def touch(con: duckdb.DuckDBPyConnection, days: str, values: Sequence[Any] | dict[str, Any] = ()) -> None:
    """To be called by whatever changes rows of `rl.runs`, `rl.run_snapshots` or `rl.steps`, in the same transaction.

    `days` is a query of one column: the created_date of each run concerned, or its created_at. Nothing is written for
    days of no period that is published as Parquet, which is the rule.
    """
    con.execute(
        "UPDATE rl.published_periods SET touched = true "
        f"FROM (SELECT DISTINCT day::DATE::VARCHAR FROM ({days}) AS of_runs(day)) AS changed(day) "
        "WHERE retired_at IS NULL AND NOT touched AND starts_with(changed.day, period)",
        values if isinstance(values, dict) else list(values),
    )


def standing(con: duckdb.DuckDBPyConnection, folder: Path, as_of: datetime) -> Standing:
    """What there is of closed periods; days are those of `as_of` in UTC."""
    today = as_of.astimezone(UTC).date()
    open_from, last_month = today - OPEN_FOR, (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    closed: dict[str, int] = {}
    open_runs = 0
    for day, runs in con.execute(
        "SELECT created_date, count(*) FROM rl.runs GROUP BY ALL ORDER BY created_date DESC"
    ).fetchall():
        if day >= open_from:
            open_runs += runs
        else:
            period = f"{day}" if day >= last_month else f"{day:%Y-%m}"
            closed[period] = closed.get(period, 0) + runs
    there = _names(folder)
    versions = {
        period: version
        for period, version in con.execute(
            "SELECT period, version FROM rl.published_periods "
            f"WHERE retired_at IS NULL AND NOT touched AND made_for = {MADE_FOR}"
        ).fetchall()
        if period in closed and there.issuperset(_name(table, period, version) for table in SPLIT)
    }
    missing = {period: runs for period, runs in closed.items() if period not in versions}
    return Standing(open_from, open_runs, sum(closed.values()), versions, missing)


def write(con: duckdb.DuckDBPyConnection, folder: Path, periods: Sequence[str]) -> tuple[dict[str, str], int]:
    """Writes a file for each table and period, also where it has no row. Returns the versions and the bytes written."""
    versions, written = dict[str, str](), 0
    if periods:
        folder.mkdir(exist_ok=True)
    for period in periods:
        # Never a name that was used before, even by a publish that failed: a reader may hold a copy which names it.
        versions[period] = secrets.token_hex(8)
        for table, instant in SPLIT.items():
            file = folder / _name(table, period, versions[period])
            con.execute(
                f"COPY (FROM rl.{table} WHERE {instant} >= {_bounds(period)[0]} AND {instant} < {_bounds(period)[1]}) "
                f"TO {quoted(file)} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
            )
            written += safe(file)
    if periods:
        safe(folder)
    return versions, written


def paths(folder: Path, table: str, versions: Mapping[str, str]) -> list[str]:
    """Those of a table's files, the oldest period first."""
    return [str(folder / _name(table, period, versions[period])) for period in sorted(versions)]


def settle(con: duckdb.DuckDBPyConnection, folder: Path, versions: Mapping[str, str], as_of: datetime) -> None:
    """Notes which versions are current, and removes files that have not been for KEPT_FOR.

    Comes after the copy is in its place. Killed in between, the next publish finds the periods still touched, and files
    that it does not know, which it retires like those that it replaces.
    """
    known = set(con.execute("SELECT period, version FROM rl.published_periods").fetchall())
    current = set(versions.items())
    unknown = {(match[1], match[2]) for match in map(_FILE.fullmatch, _names(folder)) if match} - known - current
    with transaction(con):
        con.execute(
            "UPDATE rl.published_periods SET retired_at = ? WHERE retired_at IS NULL AND NOT list_contains(?, version)",
            [as_of, list(versions.values())],
        )
        for added, retired_at in ((current - known, None), (unknown, as_of)):
            for period, version in sorted(added):
                con.execute(
                    f"INSERT INTO rl.published_periods VALUES (?, ?, {MADE_FOR}, false, ?)",
                    [period, version, retired_at],
                )
        expired = con.execute(
            "DELETE FROM rl.published_periods WHERE retired_at <= ? RETURNING period, version", [as_of - KEPT_FOR]
        ).fetchall()
    for period, version in expired:
        for table in SPLIT:
            (folder / _name(table, period, version)).unlink(missing_ok=True)


def _name(table: str, period: str, version: str) -> str:
    return f"{table}-{period}-{version}.parquet"


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} if folder.exists() else set()


def _bounds(period: str) -> tuple[str, str]:
    """Its first instant, and the first after it."""
    if len(period) == len("2026-05"):
        first = date.fromisoformat(f"{period}-01")
        return midnight(first), midnight((first + timedelta(days=31)).replace(day=1))
    first = date.fromisoformat(period)
    return midnight(first), midnight(first + timedelta(days=1))


def midnight(day: date) -> str:
    return f"'{day} 00:00:00+00'::TIMESTAMPTZ"
