"""kill -9 at any moment of a sync: nothing committed is lost or doubled, and the next syncs make good what was not.

RUNLAKE_CRASH_SEEDS sets the number of kills.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from starlette.types import Receive, Scope, Send

from runlake.config import Source
from runlake.emulator import Clock, Emulator
from runlake.store import Store, published_path
from runlake.sync import sync

from . import victim
from .conftest import Stage, ask, one, source_of
from .judge import differences, missing_before

KILLS = int(os.environ.get("RUNLAKE_CRASH_SEEDS", "50"))
A_CHAIN = 10
VENDORS = ("clarifeye", "clerk", "esper", "airflow", "truestate", "clinia")
COMMIT_RUNS = 10


class Executioner:
    """An ASGI app before another: kills a process at its n-th request, or a few milliseconds later."""

    def __init__(self, scene: Emulator) -> None:
        self.scene = scene
        self.asked = 0
        self._at = 0
        self._delay_s = 0.0
        self._pid = 0
        self._known = threading.Event()

    def aim(self, at: int, delay_s: float) -> None:
        """0 is before the first request; a negative number spares it."""
        self.asked, self._at, self._delay_s = 0, at, delay_s
        self._known.clear()

    def know(self, pid: int) -> None:
        self._pid = pid
        self._known.set()
        if self._at == 0:
            self._later()

    def _later(self) -> None:
        def kill() -> None:
            try:
                os.kill(self._pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # it was through

        threading.Timer(self._delay_s, kill).start()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        if self.asked == self._at:
            await asyncio.to_thread(self._known.wait, 5)
            self._later()
        await self.scene(scope, receive, send)


class Victims:
    """The processes to be killed, one after the other."""

    def __init__(self, parent: subprocess.Popen[str]) -> None:
        self._parent = parent

    def _word(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())

    def run(self, job: dict[str, Any], executioner: Executioner) -> int:
        """Returns how it ended: 0, or minus the signal."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(job) + "\n")
        self._parent.stdin.flush()
        executioner.know(self._word())
        return self._word()


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with subprocess.Popen(
        [sys.executable, victim.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        yield Victims(parent)
        assert parent.stdin is not None
        parent.stdin.close()


def sources_of(emulator: Emulator, stage: Stage, folder: Path, *vendors: str, **options: Any) -> list[Source]:
    return [
        source_of(
            emulator,
            vendor,
            stage.base_url,
            folder,
            settings={"page_size": 10} if vendor in {"clarifeye", "esper", "airflow"} else {},
            **options,
        )
        for vendor in vendors
    ]


def job(database: Path, sources: list[Source], now: datetime) -> dict[str, Any]:
    return {
        "database": str(database),
        "sources": [source.model_dump(mode="json") for source in sources],
        "now": now.isoformat(),
        "commit_runs": COMMIT_RUNS,
    }


KEPT = """
SELECT (SELECT list(DISTINCT run_key::VARCHAR) FROM rl.runs), (SELECT count(*) FROM rl.run_snapshots),
       (SELECT count(*) FROM rl.syncs)
"""
# What a commit writes together, found apart: each query would list the halves of a torn one.
TORN = (
    "SELECT run_key FROM rl.run_snapshots ANTI JOIN rl.runs USING (run_key)",
    "SELECT run_key FROM rl.runs ANTI JOIN rl.run_snapshots USING (run_key)",
    "SELECT run_key FROM rl.steps ANTI JOIN rl.runs USING (run_key)",
    "SELECT run_key FROM open_runs WHERE outcome IS NOT NULL",
    "SELECT run_key FROM runs ANTI JOIN rl.watched USING (run_key) WHERE outcome IS NULL AND vanished_at IS NULL",
    "SELECT sync_id FROM run_history ANTI JOIN rl.syncs USING (sync_id)",
)


class Chain:
    """One ledger, killed time and again."""

    def __init__(self, seed: int, stage: Stage, victims: Victims, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.stage, self.victims, self.folder = stage, victims, folder
        self.database = folder / "runlake.duckdb"
        clock = Clock()
        self.emulator = Emulator(seed, clock, start=clock.now() - timedelta(days=3), rate=0.7)
        self.vendors = self.rng.sample(VENDORS, 3)
        self.executioner = Executioner(self.emulator)
        stage.scene = self.executioner
        self.keys: set[str] = set()
        self.counts = (0, 0)

    def sources(self) -> list[Source]:
        return sources_of(self.emulator, self.stage, self.folder, *self.vendors)

    def sync_and_kill(self) -> bool:
        self.emulator.clock.advance(timedelta(minutes=self.rng.choice([0, 5, 60, 400])))
        self.executioner.aim(self.rng.randint(0, 40), self.rng.choice([0, 0.003, 0.02, 0.05]))
        end = self.victims.run(job(self.database, self.sources(), self.emulator.clock.now()), self.executioner)
        assert end in {0, -signal.SIGKILL}
        return end != 0

    async def inspect(self) -> None:
        async with Store(self.database) as store:
            assert await store.audit() == 0
            keys, *counts = await one(store, KEPT)
            assert self.keys <= set(keys or [])
            assert (counts[0] >= self.counts[0], counts[1] >= self.counts[1]) == (True, True)
            self.keys, self.counts = set(keys or []), (counts[0], counts[1])
            for query in TORN:
                assert await ask(store, query) == []
            for source, through in await ask(store, "SELECT source, observed_through FROM rl.sources"):
                if through is not None:
                    assert await missing_before(store, self.emulator, source, through) == []
        if published_path(self.database).exists():
            with duckdb.connect(str(published_path(self.database)), read_only=True) as con:
                assert con.execute("SELECT count(*) FROM runs").fetchall()

    async def recover(self) -> None:
        async with Store(self.database) as store:
            running = "SELECT count(*) FROM rl.syncs WHERE outcome = 'running'"
            died = await one(store, running)
            await store.close_interrupted(self.emulator.clock.now())
            assert await one(store, running) == 0
            assert await one(store, "SELECT count(*) FROM rl.syncs WHERE outcome = 'interrupted'") >= died
            self.executioner.aim(-1, 0)
            for _ in range(2):
                for source in self.sources():
                    row = await sync(source, store, now=self.emulator.clock.now)
                    assert (row.outcome, row.error) == ("ok", None)
                self.emulator.clock.advance(timedelta(hours=7))
            self.emulator.clock.advance(timedelta(hours=-7))
            for vendor in self.vendors:
                assert await differences(store, self.emulator, vendor, timedelta(days=3)) == []
            assert await store.audit() == 0


@pytest.mark.parametrize("chain", range(-(-KILLS // A_CHAIN)))
def test_a_killed_sync_loses_nothing_committed_and_the_next_make_good_the_rest(
    stage: Stage, victims: Victims, tmp_path: Path, chain: int
) -> None:
    ledger = Chain(chain, stage, victims, tmp_path)
    killed = 0
    for _ in range(A_CHAIN):
        killed += ledger.sync_and_kill()
        asyncio.run(ledger.inspect())
    assert killed >= A_CHAIN // 3, "aim earlier: most syncs were through before"
    asyncio.run(ledger.recover())


def test_a_first_sync_that_was_killed_goes_on_where_it_was(stage: Stage, victims: Victims, tmp_path: Path) -> None:
    emulator = Emulator(7)
    stage.scene = executioner = Executioner(emulator)
    sources = sources_of(emulator, stage, tmp_path, "clarifeye", "esper", steps="none")
    now = emulator.clock.now()

    def run(database: str, at: int) -> int:
        executioner.aim(at, 0)
        end = victims.run(job(tmp_path / database, sources, now), executioner)
        assert end == (0 if at < 0 else -signal.SIGKILL)
        return executioner.asked

    from_scratch = run("whole.duckdb", -1)
    run("killed.duckdb", from_scratch * 3 // 4)
    rest = run("killed.duckdb", -1)
    assert rest < from_scratch * 2 // 3

    async def check() -> None:
        async with Store(tmp_path / "killed.duckdb") as store:
            for source in sources:
                assert await differences(store, emulator, source.name, timedelta(days=30)) == []
            outcomes = await ask(store, "SELECT outcome, count(*) FROM rl.syncs GROUP BY ALL ORDER BY ALL")
            assert outcomes == [("interrupted", 2), ("ok", 2)]

    asyncio.run(check())
