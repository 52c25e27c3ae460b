"""What a commit and a report's query cost on a large ledger: `python -m benchmarks.stored HOW_MANY LEDGER`.

Each stored run has four steps and three snapshots (queued, running, final), and no payload: the shape on which the
store was decided.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import duckdb

from benchmarks.older import add_older
from benchmarks.stage import source
from benchmarks.vendor_world import BEFORE, LATER, PROJECT, STEPS, World
from runlake.model import Run, StatusTable, Step, run_key
from runlake.store import Batch, Books, Store, Sync
from runlake.store.database import connect

COMMITTED = 1_000
TIMES = 7

_RUN = StatusTable(source(0, "before", 200).connector_type().statuses)
_QUERIES = {
    "success rate by vendor and day, 90 days": (
        "SELECT vendor, created_date, count(*) FILTER (outcome = 'success') / "
        "count(*) FILTER (outcome IN ('success', 'failure')) FROM runs "
        f"WHERE created_date > DATE '{BEFORE.date()}' - 90 GROUP BY ALL ORDER BY ALL"
    ),
    "p95 duration by pipeline, 30 days": (
        "SELECT pipeline_id, quantile_cont(duration_ms, 0.95) FROM runs "
        f"WHERE created_date > DATE '{BEFORE.date()}' - 30 GROUP BY ALL ORDER BY ALL"
    ),
}


def as_run(world: World, number: int) -> Run:
    facts = world.facts(number, after=False)
    return Run(
        pipeline_id=f"{PROJECT}/{facts.pipeline}",
        run_id=facts.run_id,
        vendor_status=facts.status,
        pipeline_name=facts.pipeline,
        created_at=facts.created_at,
        started_at=facts.created_at + timedelta(seconds=2),
        finished_at=facts.updated_at if facts.final else None,
        updated_at=facts.updated_at,
        triggered_by=f"user {number % 50}",
        error_message="the table of contents could not be read" if facts.status == "failed" else None,
        labels={"mode": "upsert-all"},
        metrics={"documents": 1 + number % 20, "chunks": 30 * (1 + number % 20)},
        steps=[
            Step(
                step_id=step.step_id,
                vendor_status=step.status,
                name=name,
                kind=name,
                started_at=step.created_at,
                finished_at=step.updated_at,
            )
            for name, step in zip(STEPS, facts.steps, strict=True)
        ],
    )


def edited(run: Run, time: int) -> Run:
    """The run and its last step, ended otherwise each time."""
    word, steps = ("failed", "completed")[time % 2], list(run.steps or ())
    steps[-1] = replace(steps[-1], vendor_status=word)
    return replace(run, vendor_status=word, error_message=f"edit {time}", steps=steps)


def batch(runs: Iterable[Run], observed_at: datetime) -> Batch:
    made = Batch("bench", "clarifeye", _RUN, _RUN, store_payloads=False)
    for run in runs:
        made.add(run_key("bench", run.ref), run, observed_at, "list", "GET /runs?limit=200")
    return made


def books(at: datetime) -> Books:
    row = Sync(sync_id=str(uuid4()), source="bench", vendor="clarifeye", kind="sync", started_at=at, outcome="ok")
    return Books(row)


async def fill(ledger: Path, world: World, stored: int) -> None:
    async with Store(ledger) as store:
        for first in range(0, world.runs, 5_000):
            numbers = range(first, min(world.runs, first + 5_000))
            await store.commit(batch((as_run(world, n) for n in numbers), BEFORE), books(BEFORE))
    con = connect(ledger)
    con.execute("INSERT INTO rl.run_snapshots SELECT s.* FROM rl.run_snapshots s, range(2)")
    con.execute("DELETE FROM rl.watched")
    add_older(con, stored - world.runs)
    con.close()


async def commits(ledger: Path, world: World) -> dict[str, list[float]]:
    """Milliseconds of each commit, from handing over the columns to having them safe on disk."""
    newest = [as_run(world, n) for n in range(world.runs - COMMITTED, world.runs)]
    others = world.runs - COMMITTED
    spread = [as_run(world, n) for n in range(0, others, max(1, others // COMMITTED))][:COMMITTED]
    later = World(world.runs + TIMES * COMMITTED)
    found: dict[str, list[float]] = {}
    async with Store(ledger) as store:
        for time_ in range(TIMES):
            first = world.runs + time_ * COMMITTED
            fresh = [
                replace(as_run(later, n), created_at=BEFORE + LATER * (n - world.runs) / (TIMES * COMMITTED))
                for n in range(first, first + COMMITTED)
            ]
            cases = {
                "1,000 new": (fresh, COMMITTED, 0),
                "1,000 changed, the newest": ([edited(run, time_) for run in newest], 0, COMMITTED),
                "1,000 changed, of 30 days": ([edited(run, time_) for run in spread], 0, COMMITTED),
                "1,000 seen again, unchanged": ([edited(run, time_) for run in newest], 0, 0),
            }
            for case, (runs, new, changed) in cases.items():
                made = batch(runs, BEFORE + LATER)
                begun = time.perf_counter()
                written = await store.commit(made, books(BEFORE + LATER))
                found.setdefault(case, []).append((time.perf_counter() - begun) * 1000)
                assert (written.new, written.changed) == (new, changed), (case, written)
    return found


def queries(ledger: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with duckdb.connect(str(ledger), read_only=True) as con:
        for name, query in _QUERIES.items():
            for _ in range(TIMES):
                begun = time.perf_counter()
                con.execute(query).fetchall()
                found.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
    return found


def measured(stored: int, ledger: Path) -> dict[str, Any]:
    world = World(max(2 * COMMITTED, min(100_000, stored // 10)))
    asyncio.run(fill(ledger, world, stored))
    size = ledger.stat().st_size
    times = asyncio.run(commits(ledger, world)) | queries(ledger)
    return {
        "stored_runs": stored,
        "file_bytes": size,
        "bytes_a_run": size / stored,
        "ms": {name: {"median": median(values), "most": max(values)} for name, values in times.items()},
    }


if __name__ == "__main__":
    stored, ledger = sys.argv[1:]
    print(json.dumps(measured(int(stored), Path(ledger))))
