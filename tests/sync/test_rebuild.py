"""The current tables and the history of every vendor agree, whatever happened to its runs; retention keeps it so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from runlake.emulator import Clock, Emulator
from runlake.emulator.catalog import PIPELINES
from runlake.model import RunStatus
from runlake.store import Store
from runlake.sync import sync

from .conftest import Stage, ask, one, source_of

HOUR = timedelta(hours=1)
RESTLESS = tuple(replace(p, character=replace(p.character, failure=0.5, rerun=0.8, delete=0.4)) for p in PIPELINES)
# Runs that were seen final, and then otherwise.
AGAIN = """
SELECT count(*) FROM (
  SELECT status_outcome(lag(status_then) OVER (PARTITION BY run_key ORDER BY observed_at)) IS NOT NULL AS again
  FROM run_history WHERE vanished_at IS NULL) WHERE again
"""
DERIVED = "status, vendor_status, created_at, started_at, finished_at, labels, metrics, error_message, vanished_at"


@pytest.mark.parametrize("vendor", ["airflow", "clarifeye", "clerk", "clinia", "esper", "truestate"])
async def test_a_ledger_that_saw_reruns_and_deletions_is_rebuilt_to_itself(
    stage: Stage, tmp_path: Path, vendor: str
) -> None:
    clock = Clock()
    emulator = Emulator(11, clock, start=clock.now() - timedelta(days=2), pipelines=RESTLESS)
    stage.scene = emulator
    source = source_of(emulator, vendor, stage.base_url, tmp_path, sweep_every="3h")
    async with Store(tmp_path / "runlake.duckdb") as store:

        async def unchanged() -> None:
            for row in await store.rebuild():
                assert (row["added"], row["changed"], row["removed"]) == (0, 0, 0), row

        for hours in (0, 3, 9, 20, 7):
            clock.advance(hours * HOUR)
            if vendor == "clinia":
                await store.track(vendor, [f"task:{task}" for task in emulator.tasks()], clock.now())
            assert (await sync(source, store, now=clock.now)).outcome == "ok"
            await unchanged()
        assert await one(store, AGAIN) > 0
        assert await one(store, "SELECT count(*) FROM runs WHERE vanished_at IS NOT NULL") > 0
        tables = source.tables()
        word = await one(store, "SELECT mode(vendor_status) FROM runs")
        tables["run"][1][word] = RunStatus.SKIPPED
        assert await store.remap(vendor, source.connector_type().name, tables, clock.now(), dry_run=False)
        await unchanged()
        query = f"SELECT run_key, {DERIVED} FROM rl.runs ORDER BY run_key"
        before, watched = await ask(store, query), await ask(store, "FROM open_runs ORDER BY run_key")
        assert (await store.prune(snapshots_before=clock.now())).snapshots > 0
        await unchanged()
        await ask(store, "DELETE FROM rl.runs")
        assert (await store.rebuild())[0]["added"] == len(before)
        assert await ask(store, query) == before
        assert len(await ask(store, "FROM open_runs ORDER BY run_key")) == len(watched)
        assert (await sync(source, store, now=clock.now)).outcome == "ok"
        assert await store.audit() == 0
