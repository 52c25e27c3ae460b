"""What one source may do to itself and to the others: attempts that crash, that last, and that wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runlake import sync as engine
from runlake.config import Source
from runlake.daemon import polling
from runlake.emulator import Clock, Emulator
from runlake.errors import StoreError
from runlake.model import RunRef
from runlake.store import Sync, Watched
from runlake.sync import intake
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
    begun = 0

    async def last(*_: Any, **__: Any) -> Any:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    monkeypatch.setattr(polling, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(engine, "backfill", last)
    path = configure(account.folder, account.table("esper"), account.table("clerk"))
    async with rehearsal(path, account.emulator.clock) as play:

        def since(polled: polling.Polled) -> Awaitable[Any]:
            return polled.backfill(play.now() - DAY)

        names = ("esper", "clerk")
        backfills = [asyncio.create_task(play.daemon.attempt(name, since)) for name in names]
        await soon(lambda: begun == len(names))
        for name in names:
            async with asyncio.timeout(20):
                assert (await play.daemon.attempt(name, lambda polled: polled.sync())).outcome == "ok"
        assert not any(backfill.done() for backfill in backfills)
    for backfill in backfills:
        with pytest.raises(StoreError, match="ask again once it runs"):
            await backfill


async def test_sources_that_wait_for_their_owners_quota_take_no_turn_from_others(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, begun = engine.sync, set[str]()

    async def wait(source: Source, *given: Any, **more: Any) -> Any:
        begun.add(source.name)
        if source.owner == "spent":
            await asyncio.Event().wait()
        return await sync(source, *given, **more)

    monkeypatch.setattr(polling, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(polling, "MOST_OF_AN_OWNER", 1)
    monkeypatch.setattr(engine, "sync", wait)
    spent = [account.named(f"spent-{number}", "clerk", 'owner = "spent"') for number in range(3)]
    path = configure(account.folder, *spent, account.table("esper"))
    async with rehearsal(path, account.emulator.clock) as play:
        play.daemon.network.owners |= {f"spent-{number}": "spent" for number in range(3)}
        for polled in play.daemon.sources.values():
            polled._known = True
        waiting = [
            asyncio.create_task(play.daemon.attempt(f"spent-{number}", lambda polled: polled.sync()))
            for number in range(3)
        ]
        await soon(lambda: len(begun) == 1)
        async with asyncio.timeout(20):
            assert (await play.daemon.attempt("esper", lambda polled: polled.sync())).outcome == "ok"
        assert len(begun) == 2
    for each in waiting:
        with pytest.raises(StoreError, match="ask again once it runs"):
            await each


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


async def test_a_ledger_that_refuses_what_is_called_off_at_the_end_is_told_as_that(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = asyncio.Event()

    async def last(*_: Any, **__: Any) -> Any:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            raise StoreError("the disk is full")

    monkeypatch.setattr(engine, "sync", last)
    path = configure(account.folder, account.table("esper"))
    async with rehearsal(path, account.emulator.clock) as play:
        sync = asyncio.create_task(play.daemon.attempt("esper", lambda polled: polled.sync()))
        await began.wait()
    with pytest.raises(StoreError, match="the disk is full"):
        await sync
    assert len(play.said("ledger.down")) == 1


async def test_after_a_clock_was_set_back_by_a_year_nothing_waits_for_a_year(account: Account) -> None:
    path = configure(account.folder, account.table("esper", 'coverage_every = "1d"'))
    async with rehearsal(path, account.emulator.clock) as play:
        await play.pass_by(2 * HOUR)
        play.ahead = -365 * DAY
        play.daemon._clock_jumped(play.ahead.total_seconds())
        planned = {job.id: job.next_run_time for job in play.daemon.scheduler.get_jobs()}
        assert planned.keys() >= {"sync:esper", "coverage:esper", "upkeep"}
        assert max(planned.values()) <= play.now() + HOUR


async def test_readers_see_what_a_long_first_sync_has_read_so_far(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "COMMIT_RUNS", 2)
    told: list[tuple[str, int]] = []
    path = configure(account.folder, account.table("esper", 'every = "30m"\nsteps = "none"') + "page_size = 2\n")
    async with rehearsal(path, account.emulator.clock) as play:
        committed = play.daemon.shared.committed

        def listen(row: Sync) -> None:
            told.append((row.outcome, row.new_runs))
            committed(row)

        play.daemon.shared.committed = listen
        row = await play.daemon.attempt("esper", lambda polled: polled.sync())
    assert told[0][0] == "running"
    assert 0 < told[0][1] < row.new_runs
    assert told[-1] == ("ok", row.new_runs)


def test_an_open_run_is_due_although_the_clock_was_set_back_after_it_was_read() -> None:
    noon = Clock().now()
    watched = Watched(ref=RunRef("p", "r", 1), why="open", since=noon - DAY, read_at=noon)
    assert not watched.due(noon + MINUTE)
    assert watched.due(noon + HOUR)
    assert watched.due(noon - DAY)
