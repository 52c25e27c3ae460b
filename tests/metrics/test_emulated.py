"""The metrics of what real connectors read from emulated vendors, against what really happened there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest

from runlake.emulator import Clock, Emulator, serve
from runlake.model import RunStatus
from runlake.store import Store
from runlake.store.database import connect
from runlake.sync import Network, sync
from sync.conftest import source_of

from . import oracle, oracle_failures
from .comparing import same
from .truth import RUNS, frame

# Those that say when a run was created. The third says nothing of when it started: how long that took is not compared.
VENDORS = ("airflow", "esper", "clarifeye")
LENGTHS = ("timed", "p50_ms", "p95_ms", "queued", "p50_queued_ms", "p95_queued_ms")
DAY, MS = timedelta(days=1), timedelta(milliseconds=1)


class Played:
    """A ledger of syncs at several instants, and what was true at each of them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "runlake.duckdb"
        self.emulator = Emulator(7, Clock(), start=Clock().now() - 6 * DAY)
        self.truth: dict[datetime, pl.DataFrame] = {}
        self._folder = folder

    async def sync(self, base_url: str) -> None:
        options = {"steps": "none", "sweep_window": 12 * DAY}
        sources = [source_of(self.emulator, vendor, base_url, self._folder, **options) for vendor in VENDORS]
        clock, network = self.emulator.clock, Network()
        clock.advance(-3 * DAY)
        async with Store(self.path) as store:
            for _ in range(3):
                for source in sources:
                    row = await sync(source, store, network=network, now=clock.now)
                    assert row.outcome == "ok", row.error
                self.truth[clock.now()] = self._true()
                clock.advance(1.5 * DAY)

    def _true(self) -> pl.DataFrame:
        rows = [
            dict.fromkeys(RUNS) | asdict(run) | {"source": vendor, "vendor": vendor, "attempt": 1}
            for vendor in VENDORS
            for run in self.emulator.truth(vendor)
            if run.visible
        ]
        return frame([_derived(row) for row in rows], RUNS)


def _derived(row: dict[str, Any]) -> dict[str, Any]:
    outcome = RunStatus(row["status"]).outcome
    start, end = row["started_at"], row["finished_at"]
    return row | {
        "outcome": outcome and outcome.value,
        "duration_ms": (end - start) // MS if start is not None and end is not None else None,
        "queued_ms": (start - row["created_at"]) // MS if start is not None else None,
    }


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Played, duckdb.DuckDBPyConnection]]:
    played = Played(tmp_path_factory.mktemp("emulated"))
    with serve(played.emulator) as base_url:
        asyncio.run(played.sync(base_url))
    con = connect(played.path)
    yield played, con
    con.close()


# What a vendor told when it was asked: of these a report is made.
_STATS = """
SELECT source, vendor, pipeline_id, runs, success, failure, neutral, open, unknown, warned, success_rate, timed, p50_ms,
       p95_ms, queued, p50_queued_ms, p95_queued_ms, last_status, last_run_at
FROM pipeline_stats($since, $until, among := 'known')
"""
_DAYS = """
SELECT source, vendor, pipeline_id, day, runs, success, failure, neutral, open, unknown, success_rate
FROM outcomes_by_day($since, $until, tz := 'Asia/Kathmandu', among := 'known')
"""
_RECOVERIES = """
SELECT source, vendor, pipeline_id, failures, began_at, recovered_at, recovery_ms
FROM recoveries($since, $until, among := 'known')
"""


@pytest.mark.parametrize("asked", [0, 1, 2])
@pytest.mark.parametrize("days", [12, 3])
def test_a_report_of_what_was_known_says_what_was_true(
    played: tuple[Played, duckdb.DuckDBPyConnection], asked: int, days: int
) -> None:
    of, con = played
    at, truth = list(of.truth.items())[asked]
    since, until = at - days * DAY, at - DAY

    def ask(query: str) -> list[dict[str, Any]]:
        result = con.execute(f"WITH known AS (FROM runs_at('{at}')) {query}", {"since": since, "until": until})
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def as_asked(wanted: pl.DataFrame, got: list[dict[str, Any]]) -> pl.DataFrame:
        return wanted.select(got[0].keys())

    stats = ask(_STATS)
    assert sum(row["runs"] for row in stats) > 30
    wanted = as_asked(oracle.pipeline_stats(truth, since, until), stats).to_dicts()
    for row in [*stats, *wanted]:
        if "started_at" in of.emulator.vendor(row["vendor"]).unsaid:
            row.update(dict.fromkeys(LENGTHS))
    same(stats, wanted, ["source", "pipeline_id"])
    by_day = ask(_DAYS)
    true_days = oracle.outcomes_by_day(truth, since, until, ZoneInfo("Asia/Kathmandu"))
    same(by_day, as_asked(true_days, by_day), ["source", "pipeline_id", "day"])
    streaks = ask(_RECOVERIES)
    same(
        streaks,
        as_asked(oracle_failures.recoveries(truth, since, until), streaks),
        ["source", "pipeline_id", "began_at"],
    )
