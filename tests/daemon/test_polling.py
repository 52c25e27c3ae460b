"""What one source may do to itself and to the others: attempts that crash, that last, and that wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runlake import sync as engine
from runlake.daemon import polling
from runlake.emulator import Clock, Emulator
from sync.conftest import Stage

from .conftest import Account, configure, rehearsal, soon

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def account(stage: Stage, folder: Path) -> Account:
    clock = Clock()
    stage.scene = emulator = Emulator(5, clock, start=clock.now() - DAY)
    return Account(emulator, stage, folder)


@pytest.mark.parametrize("kind", ["follow", "coverage"])
async def test_an_attempt_that_crashes_is_not_begun_again_at_once(
    account: Account, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async def crash(*_: Any, **__: Any) -> Any:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(engine, kind, crash)
    path = configure(
        account.folder, account.table("esper", 'every = "30m"\nfastest = "10m"\nsteps = "none"\ncoverage_every = "1h"')
    )
    crashed = 0
    async with rehearsal(path, account.emulator.clock) as play:
        end = play.now() + 3 * HOUR
        while (job := play.next()).next_run_time <= end and crashed < 50:
            try:
                await play.run(job)
            except RuntimeError:
                crashed += 1
        assert len(play.times("sync:esper")) > 3
    assert 2 <= crashed < 40


async def test_what_lasts_for_hours_takes_no_turn_from_syncs(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    began, never = asyncio.Event(), asyncio.Event()

    async def last(*_: Any, **__: Any) -> Any:
        began.set()
        await never.wait()

    monkeypatch.setattr(polling, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(engine, "backfill", last)
    path = configure(account.folder, account.table("esper"), account.table("clerk"))
    async with rehearsal(path, account.emulator.clock) as play:

        def since(polled: polling.Polled) -> Awaitable[Any]:
            return polled.backfill(play.now() - DAY)

        backfill = asyncio.create_task(play.daemon.attempt("esper", since))
        await began.wait()
        for name in ("esper", "clerk"):
            async with asyncio.timeout(20):
                assert (await play.daemon.attempt(name, lambda polled: polled.sync())).outcome == "ok"
        assert not backfill.done()
    assert backfill.cancelled()


async def test_a_sync_that_waits_for_a_long_reading_of_its_own_source_is_no_case_for_a_restart(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, over = asyncio.Event(), asyncio.Event()
    follow: Callable[..., Awaitable[Any]] = engine.follow

    async def last(*given: Any, **more: Any) -> Any:
        began.set()
        await over.wait()
        return await follow(*given, **more)

    monkeypatch.setattr(engine, "follow", last)
    path = configure(account.folder, account.table("esper", 'every = "5m"'))
    async with rehearsal(path, account.emulator.clock) as play:
        await play.pass_by(MINUTE / 2)
        polled = play.daemon.sources["esper"]
        reading = asyncio.create_task(play.daemon.attempt("esper", lambda polled: polled.follow()))
        await began.wait()
        waiting = asyncio.create_task(play.daemon.attempt("esper", lambda polled: polled.sync()))
        await soon(lambda: polled.next_sync_at > play.now())
        play.clock.advance(DAY)
        assert play.daemon.polling
        over.set()
        await asyncio.gather(reading, waiting)
