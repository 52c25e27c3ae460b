"""What alerting costs: 1,000 rules and 10,000 pipelines, on a ledger and on one ten times as large, in one run:
`python -m benchmarks.alerts HOW_MANY FOLDER`.

Of the pipelines, 1,000 run every three hours and 9,000 daily, so the 30 days that alerting looks back have
510,000 runs. Both ledgers have the same ones of these; what is older is copied (`older.py`).
"""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from benchmarks.older import add_older
from benchmarks.stored import as_run
from benchmarks.vendor_world import BEFORE, PROJECT, World
from runlake.alerts.evaluate import Asked, Evaluated, evaluate
from runlake.alerts.outbox import deliver
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config import Config
from runlake.connectors.clarifeye import Clarifeye
from runlake.model import Run, StatusTable, run_key
from runlake.store import Batch, Books, Store, Sync
from runlake.store.alerting import Alert, AlertBooks, Notification
from runlake.store.database import connect
from runlake.store.unjudged import unjudge

SOURCES, TEAMS, BUSY, DAILY, ROUNDS = 10, 100, 1_000, 9_000, 8
PIPELINES = BUSY + DAILY
ROUND = BUSY + DAILY // ROUNDS
MONTH = 30 * ROUNDS * ROUND
CHANGED = 1_000
TIMES = 5
QUERIES = 3
ASKED = 20
"""Of the rules, for how many the naive way is tried; it takes as long for each of the others."""

_RUN = StatusTable(Clarifeye.statuses)
_TABLES = {"run": (_RUN, StatusTable()), "step": (StatusTable(Clarifeye.step_statuses), StatusTable())}

Figures = dict[str, Any]


# --- who has what ----------------------------------------------------------------------------------------------------


def pipeline_of(number: int) -> int:
    """Of the run with this number, in the order of creation."""
    turn, place = divmod(number, ROUND)
    return place if place < BUSY else BUSY + (turn % ROUNDS) * (ROUND - BUSY) + place - BUSY


def source_of(pipeline: int) -> str:
    return f"source-{pipeline % SOURCES}"


def made(world: World, number: int) -> Run:
    """A run of the past; one in twenty failed."""
    pipeline, run = pipeline_of(number), as_run(world, number)
    return _named(run, pipeline, "failed" if number * 2_654_435_761 % 2**32 < 2**32 // 20 else "completed")


def newest(world: World, pipeline: int, at: datetime, word: str) -> Run:
    """A run that has just ended."""
    run = as_run(world, pipeline)
    return replace(
        _named(run, pipeline, word),
        run_id=str(uuid4()),
        created_at=at - timedelta(minutes=5),
        started_at=at - timedelta(minutes=5),
        finished_at=at - timedelta(minutes=3),
        updated_at=at - timedelta(minutes=3),
        steps=[replace(step, started_at=None, finished_at=at - timedelta(minutes=3)) for step in run.steps or ()],
    )


def _named(run: Run, pipeline: int, word: str) -> Run:
    steps = list(run.steps or ())
    return replace(
        run,
        pipeline_id=f"{PROJECT}/{pipeline}",
        pipeline_name=f"team-{pipeline // SOURCES % TEAMS:02}.flow-{pipeline}",
        vendor_status=word,
        finished_at=run.updated_at,
        error_message="the table of contents could not be read" if word == "failed" else None,
        labels={"mode": "upsert-all", "stage": "live" if pipeline % 3 else "test"},
        steps=[*steps[:-1], replace(steps[-1], vendor_status=word)],
    )


def rules() -> list[dict[str, Any]]:
    """1,000: ten of each team, and some for all."""
    query = {"query": "SELECT source FROM source_health WHERE failures_since_good > 3", "key": ["source"]}
    written: list[dict[str, Any]] = [
        *({"name": f"query-{n}", "kind": "sql", **query} for n in range(QUERIES)),
        *({"name": f"all-{kind}", "kind": kind} for kind in ("failed", "too_long", "missing", "waiting")),
        *({"kind": kind} for kind in ("source_unobservable", "new_status_word", "coverage_gap")),
    ]
    for team in range(TEAMS):
        own: list[dict[str, Any]] = [
            {"kind": "failed"},
            {"kind": "failed", "in_a_row": 3, "severity": "critical", "repeat_every": "1d"},
            {"kind": "failed", "where": f"labels['stage'] = 'live' AND error_message LIKE '%{team % 20}%'"},
            {"kind": "failure_rate", "window": "1w", "above_percent": 30},
            {"kind": "too_long", "limit": "2h"},
            {"kind": "too_long", "factor": 5, "sources": ["source-[0-4]"]},
            {"kind": "too_short"},
            {"kind": "missing", "cron": "0 6 * * mon-fri Europe/Berlin", "grace": "1d"},
            {"kind": "missing", "every": "2d", "sources": ["source-[5-9]"]},
            {"kind": "waiting", "longer_than": "4h", "labels": {"stage": "live"}},
        ]
        written += [
            {"name": f"team-{team:02}-{place}", "pipelines": [f"team-{team:02}.*"], **each}
            for place, each in enumerate(own)
        ]
    return written[:1_000]


def config(port: int = 1) -> Config:
    os.environ |= {"BENCHMARK_TOKEN": "benchmark-token", "BENCHMARK_URL": f"http://127.0.0.1:{port}/"}
    settings = {"token": {"env": "BENCHMARK_TOKEN"}, "projects": [PROJECT]}
    return Config.model_validate(
        {
            "source": [{"name": f"source-{n}", "connector": "clarifeye", "settings": settings} for n in range(SOURCES)],
            "rule": rules(),
            "channel": [
                {
                    "name": "hook",
                    "kind": "webhook",
                    "url": {"env": "BENCHMARK_URL"},
                    "per_hour": 10_000,
                    "digest": False,
                }
            ],
            "owner": [{"name": f"team {team}", "pipelines": [f"team-{team:02}.*"]} for team in range(TEAMS)],
        }
    )


# --- time ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Took:
    """Milliseconds, and of what there were how many."""

    wall_ms: float = 0
    cpu_ms: float = 0
    count: int = 0


@contextmanager
def taking() -> Iterator[Took]:
    took, wall, cpu = Took(), time.perf_counter(), time.process_time()
    yield took
    took.wall_ms, took.cpu_ms = (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000


# --- ledgers ---------------------------------------------------------------------------------------------------------


async def put(store: Store, runs: Iterable[Run], at: datetime) -> list[Took]:
    """A sync of each source; returns what each commit took."""
    batches = {
        f"source-{n}": Batch(f"source-{n}", "clarifeye", _RUN, _TABLES["step"][0], store_payloads=False)
        for n in range(SOURCES)
    }
    for run in runs:
        source = source_of(int(run.pipeline_id.rpartition("/")[2]))
        batches[source].add(run_key(source, run.ref), run, at, "list", "GET /runs?limit=200")
    return [await _commit(store, batch, at) for batch in batches.values()]


async def _commit(store: Store, batch: Batch, at: datetime) -> Took:
    row = Sync(sync_id=str(uuid4()), source=batch.source, vendor="clarifeye", kind="sync", started_at=at, outcome="ok")
    row.finished_at = row.observed_through = at
    with taking() as took:
        await store.commit(batch, Books(row))
    return took


async def fill(ledger: Path, world: World) -> None:
    async with Store(ledger) as store:
        for n in range(SOURCES):
            await store.begin(f"source-{n}", "clarifeye", "Clarifeye", _TABLES, BEFORE)
        for first in range(0, world.runs, 50_000):
            await put(store, (made(world, n) for n in range(first, min(world.runs, first + 50_000))), BEFORE)


def ledgers(stored: int, folder: Path) -> tuple[World, dict[int, Path]]:
    """Two, by how many runs are stored: a tenth, and all. Their newest runs are the same."""
    world = World(min(MONTH, max(ROUNDS * ROUND, stored // 10)))
    small, large = folder / "tenth.duckdb", folder / "whole.duckdb"
    if not small.exists():
        asyncio.run(fill(small, world))
    shutil.copyfile(small, large)
    for ledger, count in ((small, stored // 10), (large, stored)):
        with connect(ledger) as con:
            add_older(con, max(0, count - world.runs))
    return world, {stored // 10: small, stored: large}


# --- what is measured ------------------------------------------------------------------------------------------------


class Measured:
    """What each case took on one ledger, from asking it to having what follows on disk."""

    def __init__(self, store: Store, world: World, port: int) -> None:
        self._store, self._world, self._config = store, world, config(port)
        self._at = BEFORE
        self.found: dict[str, list[Took]] = {}

    async def all(self) -> None:
        await self._everything()
        usual = list(range(0, 9 * CHANGED, 9))
        for _ in range(TIMES):
            await self._after(f"{CHANGED:,} runs, of as many pipelines, one in twenty failed", usual, 20)
            await self._after("nothing", [], 0)
            await self._after(f"{CHANGED:,} runs, all failed", usual, 1)
            await self._after(f"{CHANGED:,} runs, all succeeded", usual, 0)
            await self._after(f"{CHANGED:,} runs, of pipelines with 200 each", list(range(BUSY)), 20)
        await self._naive()
        await self._delivery(f"{CHANGED:,} alerts, a message each", alike=False)
        await self._delivery(f"{CHANGED:,} alerts, one message", alike=True)
        await self._queue()

    def _keep(self, case: str, took: Took) -> None:
        self.found.setdefault(case, []).append(took)
        print(f"{case}: {took.wall_ms:,.0f} ms", file=sys.stderr)

    async def _evaluated(self, but_not: Set[tuple[str, str]] = frozenset()) -> Evaluated:
        return await self._store.alerting(
            partial(evaluate, config=self._config, now=self._at, asked=_answers(), but_not=but_not)
        )

    async def _everything(self) -> None:
        """All pipelines, as after a rule has changed, and as who does not know what has changed would have to."""
        with taking() as took:
            took.count = await self._judged()
        self._keep("all pipelines", took)

    async def _judged(self) -> int:
        """How many pipelines: in as many commits as that takes."""
        done = await self._evaluated()
        while done.unfinished:
            done = done.then(await self._evaluated(done.judged))
        return len(done.judged)

    async def _after(self, case: str, pipelines: list[int], failed: int) -> None:
        """An evaluation after a sync. `failed`: of how many runs one did; 0: none."""
        self._at += timedelta(minutes=10)
        words = ["failed" if failed and place % failed == 0 else "completed" for place in range(len(pipelines))]
        runs = [newest(self._world, each, self._at, word) for each, word in zip(pipelines, words, strict=True)]
        await put(self._store, runs, self._at)
        with taking() as took:
            took.count = await self._judged()
        assert took.count >= len(pipelines), (case, took.count)
        self._keep(f"after {case}", took)

    async def _naive(self) -> None:
        """A query a rule over the ledger: which pipelines of a team failed last?"""
        for team in range(ASKED):
            with taking() as took:
                await self._store.alerting(partial(_failing, team=team))
            self._keep("a query for one rule", took)

    async def _delivery(self, case: str, *, alike: bool) -> None:
        """To a receiver on loopback, one after another."""
        await self._store.alerting(partial(_only_these_wait, at=self._at, alike=alike))
        with taking() as took:
            done = await deliver(self._store, self._config, lambda: self._at)
        assert not done.failures, done.failures
        took.count = done.messages
        self._keep(f"delivery of {case}", took)

    async def _queue(self) -> None:
        """A commit of as many runs of one source, with and without the queue of what is to be judged."""
        for time_ in range(2 * TIMES):
            self._at += timedelta(minutes=10)
            pipelines = range(0, PIPELINES, SOURCES)
            runs = [newest(self._world, pipeline, self._at, "completed") for pipeline in pipelines]
            with patch("runlake.store.writer.unjudge", (unjudge, lambda *_: None)[time_ % 2]):
                took, *_ = await put(self._store, runs, self._at)
            self._keep(("a commit with the queue", "a commit without it")[time_ % 2], took)
            await self._store.alerting(_emptied)


def _answers() -> dict[str, Asked]:
    """What queries found, each of 20 rows; they are asked before, each in a process of its own."""
    return {
        f"query-{n}": Asked(
            [Judgement(rule=f"query-{n}", key=str(row), verdict=Verdict.FIRING, why="a row") for row in range(20)]
        )
        for n in range(QUERIES)
    }


def _failing(books: AlertBooks, team: int) -> None:
    books._con.execute(
        "SELECT source, pipeline_id FROM runs WHERE pipeline_name GLOB ? AND outcome IN ('success', 'failure') "
        "GROUP BY ALL HAVING arg_max(outcome, created_at) = 'failure'",
        [f"team-{team:02}.*"],
    ).fetchall()


def _emptied(books: AlertBooks) -> None:
    books.judged(books.candidates(books.sources()), {})


def _only_these_wait(books: AlertBooks, at: datetime, *, alike: bool) -> None:
    """Puts alerts into the outbox, about the last run of some pipelines, and takes all else out."""
    books.dropped([row for row, _ in books.waiting()], at)
    keys = [(source_of(number), f"{PROJECT}/{number}") for number in range(0, SOURCES * CHANGED, SOURCES)]
    seen = books.pipelines(books.sources(), keys, at, conditions={}, labels=False)
    alerts = [
        Alert(
            alert_id=str(uuid4()),
            rule="failed" if alike else f"rule-{place}",
            kind="failed",
            key=pipeline.key,
            state="firing",
            severity="critical",
            since=at,
            pending_at=at,
            fired_at=at,
            judged_at=at,
            why="run 17 ended as failed",
            facts={},
            source=pipeline.source.source,
            pipeline_id=pipeline.pipeline_id,
            pipeline_name=pipeline.pipeline_name,
            run_key=pipeline.runs[0].run_key,
        )
        for place, pipeline in enumerate(seen)
    ]
    books.save_alerts(alerts)
    books.enqueue(
        [Notification(alert_id=alert.alert_id, channel="hook", event="open", created_at=at) for alert in alerts]
    )


@contextmanager
def receiver() -> Iterator[int]:
    class Taking(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


async def measure(ledger: Path, world: World, port: int) -> Figures:
    async with Store(ledger) as store:
        found = Measured(store, world, port)
        await found.all()
    return {
        case: {
            "wall_ms": median(each.wall_ms for each in took),
            "most_wall_ms": max(each.wall_ms for each in took),
            "cpu_ms": median(each.cpu_ms for each in took),
            "count": median(each.count for each in took),
        }
        for case, took in found.found.items()
    }


def measured(stored: int, folder: Path) -> Figures:
    world, made_here = ledgers(stored, folder)
    with receiver() as port:
        return {
            "rules": len(rules()),
            "ledgers": {count: asyncio.run(measure(ledger, world, port)) for count, ledger in made_here.items()},
        }


if __name__ == "__main__":
    stored, folder = sys.argv[1:]
    print(json.dumps(measured(int(stored), Path(folder))))
