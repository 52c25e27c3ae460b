"""Whatever happens in whatever order: two polls after the last fault the ledger equals the vendors."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runlake.emulator import Clock, Emulator, Fault, Faults
from runlake.http import HttpLimits
from sync.conftest import Stage
from sync.judge import differences
from sync.test_properties import BEYOND, FORGIVEN, drawn

from .conftest import Account, Rehearsal, configure, rehearsal

VENDORS = ("esper", "airflow", "clerk")
LIMITS = HttpLimits(timeout_s=0.25, attempts=2, body_bytes=2**20, stream_bytes=2**20)

steps = st.one_of(
    st.tuples(st.just("pass"), st.integers(1, 12 * 60)),
    st.tuples(st.just("jobs"), st.integers(1, 5)),
    st.tuples(st.just("fault"), st.sampled_from(sorted(set(Fault) - {Fault.TIMEOUT, Fault.SLOW_BYTES}))),
    st.tuples(st.just("heal"), st.none()),
    st.tuples(st.just("reload"), st.sampled_from(["20m", "1h", "3h"])),
    st.tuples(st.just("jump"), st.sampled_from([-60, 60])),
)


@drawn
@given(
    seed=st.integers(0, 1000),
    vendors=st.permutations(VENDORS).map(lambda order: order[:2]),
    script=st.lists(steps, min_size=3, max_size=8),
)
def test_two_polls_after_the_faults_the_ledger_equals_the_vendors(
    stage: Stage, seed: int, vendors: list[str], script: list[tuple[str, Any]]
) -> None:
    clock = Clock()
    stage.scene = emulator = Emulator(seed, clock, start=clock.now() - timedelta(days=1))

    async def whole(folder: Path) -> None:
        account = Account(emulator, stage, folder)

        def write(every: str) -> Path:
            return configure(folder, *(account.table(vendor, f'every = "{every}"') for vendor in vendors))

        async with rehearsal(write("1h"), clock, limits=LIMITS) as play:
            for what, value in script:
                await happen(play, what, value)
                if what == "reload":
                    write(value)
                    play.daemon.reload()
            await happen(play, "heal", None)
            play.ahead = timedelta()
            for _ in range(2):
                clock.advance(timedelta(hours=7))
                for vendor in vendors:
                    await play.daemon.attempt(vendor, lambda polled: polled.sync())
            assert await play.daemon.store.audit() == 0
            for vendor in vendors:
                store = play.daemon.store
                assert await differences(store, emulator, vendor, timedelta(days=3), FORGIVEN) == []
        assert not play.said("job.crashed") and not play.said("ledger.down")

    async def happen(play: Rehearsal, what: str, value: Any) -> None:
        broken = emulator.vendor(vendors[0])
        match what:
            case "pass":
                clock.advance(timedelta(minutes=value))
                await play.pass_by(timedelta(minutes=1))
            case "jobs":
                for _ in range(value):
                    await play.run(play.next())
            case "fault":
                if value not in BEYOND.get(vendors[0], set()):
                    broken.faults = Faults(seed, 0.5, [value], limit=20, oversized_mb=1.2)
            case "heal":
                broken.faults.clear()
            case "jump":
                play.ahead += timedelta(minutes=value)
                play.daemon._clock_jumped(value * 60)

    with tempfile.TemporaryDirectory(prefix="rl") as folder:
        asyncio.run(whole(Path(folder)))
