"""The ledger's promises (design: what must always hold, 1 to 4) under faults that hypothesis draws.

The vendors are emulated on a real socket, the ledger is a real file, waits cost no time but move the vendors' clock.
RUNLAKE_EXAMPLES raises the number of examples of each property, and then draws them anew each time.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase as Step
from hypothesis import given, settings
from hypothesis import strategies as st

from runlake.config import Source
from runlake.connectors import clerk, truestate
from runlake.emulator import REQUEST_FAULTS, Clock, Emulator, Fault, Faults
from runlake.emulator.catalog import PIPELINES
from runlake.http import HttpLimits
from runlake.store import Store, Sync
from runlake.sync import Network, sync

from .conftest import Stage, one, source_of
from .judge import differences, missing_before

VENDORS = ("clinia", "clerk", "truestate", "clarifeye", "esper", "airflow")
PAGE_SIZE = {"clarifeye": 15, "esper": 15, "airflow": 20}
UNDER_FAULTS = HttpLimits(timeout_s=0.25, attempts=3, body_bytes=2**20, stream_bytes=2**20)

EXAMPLES = os.environ.get("RUNLAKE_EXAMPLES")
drawn = settings(
    max_examples=int(EXAMPLES or 5),
    derandomize=EXAMPLES is None,
    # Shrinking takes minutes: worth it for who looks for bugs, not for who waits for a verdict.
    phases=(Step.generate, Step.shrink) if EXAMPLES else (Step.generate,),
    deadline=None,
    database=None,
    print_blob=True,
)

# More of what is hard: runs that are deleted, and runs that are started again.
RESTLESS = tuple(
    replace(p, character=replace(p.character, delete=0.15, rerun=max(0.3, p.character.rerun))) for p in PIPELINES
)

# Left-out rows that no total gives away: Airflow's filtered lists are read without their total, and its offsets count
# a row sent twice as two.
BEYOND = {"airflow": {Fault.MISSING_ROWS, Fault.DUPLICATE_ROWS}}
# What is wrong with these answers can be told from the answer, and nothing is ever passed over because of it.
TOLD = REQUEST_FAULTS | {Fault.DUPLICATE_ROWS, Fault.UNKNOWN_WORD, Fault.HUGE_FIELD, Fault.UNSORTED_PAGE}


@dataclass(frozen=True)
class Phase:
    """One poll, so long after the one before, while this goes wrong."""

    after: timedelta
    kinds: frozenset[Fault]
    rate: float
    seed: int
    retry_after_s: int

    def begin(self, emulator: Emulator, vendor: str) -> None:
        emulator.vendor(vendor).faults = Faults(
            self.seed,
            self.rate,
            self.kinds,
            limit=3 if Fault.TIMEOUT in self.kinds else 60,  # each costs `timeout_s` of the client's limits
            slow_s=0.02,
            oversized_mb=1.2,
            retry_after_s=self.retry_after_s,
        )


@dataclass(frozen=True)
class Plan:
    """A world, an account at each of some vendors, and what goes wrong."""

    seed: int
    age: timedelta
    skew: timedelta
    equal_timestamps: bool
    concurrency: int
    sweep_window: timedelta
    steps: str
    phases: tuple[Phase, ...]
    then: timedelta
    after_that: timedelta

    def emulator(self) -> Emulator:
        clock = Clock()
        emulator = Emulator(
            self.seed,
            clock,
            start=clock.now() - self.age,
            pipelines=RESTLESS,
            equal_timestamps=self.equal_timestamps,
        )
        for vendor in emulator.vendors.values():
            vendor.skew = self.skew
        return emulator


def phases(kinds: frozenset[Fault]) -> st.SearchStrategy[Phase]:
    return st.builds(
        Phase,
        after=st.integers(1, 24 * 60).map(lambda minutes: timedelta(minutes=minutes)),
        kinds=st.frozensets(st.sampled_from(sorted(kinds)), min_size=1, max_size=4),
        rate=st.sampled_from([0.1, 0.3, 0.6, 1.0]),
        seed=st.integers(0, 999),
        retry_after_s=st.sampled_from([1, 20, 3600]),
    )


def plans(kinds: frozenset[Fault]) -> st.SearchStrategy[Plan]:
    return st.builds(
        Plan,
        seed=st.integers(0, 10_000),
        age=st.sampled_from([1, 3, 8]).map(lambda days: timedelta(days=days)),
        skew=st.integers(-10, 10).map(lambda minutes: timedelta(minutes=minutes)),
        equal_timestamps=st.booleans(),
        concurrency=st.sampled_from([1, 8]),
        sweep_window=st.sampled_from([3, 10]).map(lambda days: timedelta(days=days)),
        steps=st.sampled_from(["all", "failed", "none"]),
        phases=st.lists(phases(kinds), min_size=1, max_size=4).map(tuple),
        then=st.integers(1, 24 * 60).map(lambda minutes: timedelta(minutes=minutes)),
        after_that=st.integers(6 * 60 + 1, 24 * 60).map(lambda minutes: timedelta(minutes=minutes)),
    )


@pytest.fixture(autouse=True, scope="module")
def _small_pages() -> Any:
    """Pages so small that a week has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clerk, "PAGE_SIZE", 20)
        patch.setattr(truestate, "PAGE_RUNS", 15)
        yield


@dataclass
class Play:
    """A plan as it is carried out."""

    plan: Plan
    emulator: Emulator
    base_url: str
    folder: Path
    store: Store
    network: Network = field(init=False)
    polls: list[Sync] = field(default_factory=list)

    def __post_init__(self) -> None:
        async def sleep(seconds: float) -> None:
            self.emulator.clock.advance(timedelta(seconds=seconds))

        self.network = Network(sleep=sleep)

    def source(self, vendor: str) -> Source:
        more = {"page_size": PAGE_SIZE[vendor]} if vendor in PAGE_SIZE else {}
        return source_of(
            self.emulator,
            vendor,
            self.base_url,
            self.folder,
            settings=more,
            concurrency=self.plan.concurrency,
            sweep_window=self.plan.sweep_window,
            steps=self.plan.steps,
        )

    async def poll(self, *vendors: str, limits: HttpLimits | None = None) -> list[Sync]:
        """Side by side, as the daemon does it; whatever happens leaves a row, and no run is ever doubled."""
        self.network.limits = limits or HttpLimits()
        rows = await asyncio.gather(
            *(sync(self.source(v), self.store, network=self.network, now=self.emulator.clock.now) for v in vendors)
        )
        self.polls += rows
        for row in rows:
            kept = await one(
                self.store, "SELECT outcome, error_class, requests FROM rl.syncs WHERE sync_id = ?::UUID", row.sync_id
            )
            assert kept == (row.outcome, row.error_class, row.requests)
            assert row.outcome in {"ok", "partial", "failed"}
            assert row.finished_at is not None
            assert row.error_class is None if row.outcome == "ok" else True
            assert row.error if row.outcome == "failed" else True
        assert await self.store.audit() == 0
        return rows

    async def faulty(self, phase: Phase, broken: str, *healthy: str) -> list[Sync]:
        self.emulator.clock.advance(phase.after)
        phase.begin(self.emulator, broken)
        return await self.poll(broken, *healthy, limits=UNDER_FAULTS)

    async def healed(self, *vendors: str) -> list[Sync]:
        """Two polls without faults, more than the sweep's interval apart."""
        for vendor in vendors:
            self.emulator.vendor(vendor).faults.clear()
        self.emulator.clock.advance(self.plan.then)
        await self.poll(*vendors)
        self.emulator.clock.advance(self.plan.after_that)
        return await self.poll(*vendors)

    async def observed_through(self, vendor: str) -> Any:
        return await one(self.store, "SELECT observed_through FROM source_health WHERE source = ?", vendor)


def play(plan: Plan, stage: Stage, script: Callable[[Play], Awaitable[None]]) -> None:
    async def whole(folder: Path) -> None:
        async with Store(folder / "runlake.duckdb") as store:
            await script(Play(plan, emulator, stage.base_url, folder, store))

    emulator = plan.emulator()
    stage.scene = emulator
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(whole(Path(folder)))


@pytest.mark.parametrize("vendor", VENDORS)
def test_two_polls_after_the_faults_the_ledger_equals_the_vendor(stage: Stage, vendor: str) -> None:
    @drawn
    @given(plan=plans(frozenset(Fault) - BEYOND.get(vendor, set())))
    def holds(plan: Plan) -> None:
        async def script(play: Play) -> None:
            for phase in plan.phases:
                await play.faulty(phase, vendor)
            (last,) = await play.healed(vendor)
            assert await differences(play.store, play.emulator, vendor, plan.sweep_window, FORGIVEN) == []
            assert (last.outcome, last.observed_through) == ("ok", last.started_at)

        play(plan, stage, script)

    holds()


# An error text blown up by a fault stays as it was read until the run is listed again.
FORGIVEN = frozenset({"error_message"})


@pytest.mark.parametrize("vendor", VENDORS)
def test_observed_through_never_moves_past_a_run_that_was_missed(stage: Stage, vendor: str) -> None:
    # Esper's runs that ended without ever starting have no place in its list; its sweep finds them.
    excused = frozenset({"invalid", "cancelled"}) if vendor == "esper" else frozenset()

    @drawn
    @given(plan=plans(TOLD - BEYOND.get(vendor, set())))
    def holds(plan: Plan) -> None:
        async def script(play: Play) -> None:
            before = None
            for phase in plan.phases:
                (row,) = await play.faulty(phase, vendor)
                through = await play.observed_through(vendor)
                assert (through == before) if row.outcome == "failed" else True
                if through is not None:
                    assert before is None or through >= before
                    assert await missing_before(play.store, play.emulator, vendor, through, excused) == []
                before = through

        play(plan, stage, script)

    holds()


def test_runs_submitted_together_are_created_together_even_in_bursts() -> None:
    # Else an emulated Clinia task went on growing after it was final, which the first property took for a lost run.
    emulator = Emulator(seed=446, equal_timestamps=True)
    created: dict[str, list[datetime]] = {}
    for run in emulator.world.every("clinia", emulator.clock.now()):
        created.setdefault(emulator.clinia.task_id(run), []).append(run.created_at)
    assert max(max(instants) - min(instants) for instants in created.values()) < timedelta(seconds=1)


@drawn
@given(
    plan=plans(REQUEST_FAULTS),
    vendors=st.permutations(VENDORS).map(lambda order: order[:3]),
)
def test_a_failing_vendor_changes_nothing_at_another(stage: Stage, plan: Plan, vendors: list[str]) -> None:
    async def script(play: Play) -> None:
        broken, *healthy = vendors
        for phase in plan.phases:
            _, *rows = await play.faulty(phase, broken, *healthy)
            for row in rows:
                assert (row.outcome, row.error) == ("ok", None)
                assert row.observed_through is not None and row.observed_through >= row.started_at
        await play.healed(*vendors)
        for vendor in vendors:
            assert await differences(play.store, play.emulator, vendor, plan.sweep_window) == []

    play(plan, stage, script)
