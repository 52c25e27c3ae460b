"""When the daemon does what: each job at its time, by a clock that the test moves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from runlake.config import Source
from runlake.daemon import cadence
from runlake.emulator import Clock, Emulator
from runlake.errors import StoreError
from runlake.store import Store
from sync.conftest import Stage, ask

from .conftest import Account, configure, on_stage, rehearsal

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def quiet(stage: Stage, folder: Path) -> Account:
    """Vendors at which nothing ever happens."""
    stage.scene = emulator = Emulator(5, Clock(), pipelines=())
    return Account(emulator, stage, folder)


@pytest.fixture
def busy(stage: Stage, folder: Path) -> Account:
    clock = Clock()
    stage.scene = emulator = Emulator(5, clock, start=clock.now() - DAY)
    return Account(emulator, stage, folder)


def intervals(times: Sequence[datetime]) -> list[timedelta]:
    return [later - earlier for earlier, later in pairwise(times)]


async def test_an_idle_source_is_asked_ever_later_up_to_its_bound(quiet: Account) -> None:
    path = configure(quiet.folder, quiet.table("esper", 'every = "5m"\nslowest = "30m"'))
    async with rehearsal(path, quiet.emulator.clock) as play:
        await play.pass_by(10 * HOUR)
    between = intervals(play.times("sync:esper"))
    assert all(4.5 * MINUTE <= each <= 30 * MINUTE for each in between)
    assert between[0] <= 5 * MINUTE
    assert all(each >= 27 * MINUTE for each in between[-5:])
    assert len(set(between)) > 10, "they would fall into step"


async def test_open_runs_are_read_by_id_between_syncs_by_their_age(busy: Account) -> None:
    path = configure(busy.folder, busy.table("esper", 'every = "1h"\nfastest = "1m"\nsteps = "none"'))
    lags = []
    async with rehearsal(path, busy.emulator.clock) as play:
        await play.pass_by(8 * HOUR)
        for finished, created, seen_open, seen_final in await ask(play.daemon.store, SEEN):
            if seen_open and seen_final:
                lags.append(seen_final - finished)
                # Esper shows for some minutes more that a run goes on.
                assert lags[-1] <= max((finished - created) / 10, MINUTE) + 5 * MINUTE
    assert len(play.times("follow:esper")) > len(lags) > 3
    assert len(play.times("sync:esper")) <= 10


SEEN = """
SELECT max(finished_at), any_value(created_at), min(observed_at) FILTER (status_outcome(status) IS NULL),
       min(observed_at) FILTER (status_outcome(status) IS NOT NULL)
FROM run_history GROUP BY run_key
"""


async def test_a_cron_is_kept_to_the_minute(quiet: Account) -> None:
    more = 'cron = "*/30 9-10 * * mon-fri Europe/Berlin"'
    path = configure(quiet.folder, quiet.table("esper", more))
    async with rehearsal(path, quiet.emulator.clock) as play:  # on Monday at 11:00 in Berlin
        await play.pass_by(2 * DAY)
    first, *planned = play.times("sync:esper")
    assert first == datetime(2026, 7, 13, 9, 0, tzinfo=UTC)
    tuesday = datetime(2026, 7, 14, 7, 0, tzinfo=UTC)
    assert planned[:5] == [*(tuesday + n * 30 * MINUTE for n in range(4)), tuesday + DAY]


async def test_readers_get_new_rows_within_the_minute_and_mere_stamps_later(quiet: Account) -> None:
    path = configure(quiet.folder, quiet.table("esper", 'every = "1m"\nslowest = "1m"'), daemon='publish_every = "2m"')
    async with rehearsal(path, quiet.emulator.clock) as play:
        await play.pass_by(5 * MINUTE)
        first = len(play.times("publish"))
        await play.pass_by(35 * MINUTE)
        assert all(each >= 10 * MINUTE for each in intervals(play.times("publish")[first:]))
        assert len(play.times("publish")) - first >= 3
        # A source at which much happens, from now on.
        clock = play.clock
        quiet.stage.scene = emulator = Emulator(5, clock, start=clock.now() - HOUR, rate=20.0)
        configure(
            quiet.folder,
            Account(emulator, quiet.stage, quiet.folder).table("clarifeye", 'every = "1m"\nslowest = "1m"'),
            daemon='publish_every = "2m"',
        )
        play.daemon.reload()
        begun = len(play.times("publish"))
        await play.pass_by(20 * MINUTE)
        rows = intervals(play.times("publish")[begun + 3 :])
        assert all(2 * MINUTE <= each <= 10 * MINUTE for each in rows)
        assert sorted(rows)[len(rows) // 2] < 4 * MINUTE


async def test_readers_get_what_somebody_was_told_within_seconds(quiet: Account) -> None:
    path = configure(quiet.folder, quiet.table("esper", 'every = "1m"'), daemon='publish_every = "20m"')
    async with rehearsal(path, quiet.emulator.clock) as play:
        await play.pass_by(30 * MINUTE)
        first = len(play.times("publish"))
        (quiet.folder / "esper-token").write_text("no longer valid")
        play.daemon.reload()
        await play.pass_by(5 * MINUTE)
        [fired] = play.said("alert.fired")
        assert fired["rule"] == "source_unobservable"
        assert len(play.times("publish")) == first + 1


def source(**options: object) -> Source:
    return Source.model_validate({"name": "a", "connector": "clerk", **options})


NOW = datetime(2026, 7, 13, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize("every", ["1s", "5m", "2h"])
def test_failures_back_off_within_bounds(every: str) -> None:
    of = source(every=every)
    waits = [cadence.next_sync(of, NOW, failures=n, quiet=timedelta()) - NOW for n in range(1, 40)]
    assert waits[0] == of.every
    assert waits == sorted(waits)
    assert waits[-1] == min(1024 * of.every, max(of.every, 30 * MINUTE))


def test_a_cron_that_fails_is_not_waited_for() -> None:
    of = source(cron="0 6 * * * Europe/Berlin")
    waits = [cadence.next_sync(of, NOW, failures=n, quiet=timedelta()) - NOW for n in range(6)]
    assert waits[0] == 19 * HOUR
    assert waits[1:] == [5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 30 * MINUTE]


class Counting:
    """An ASGI app that counts what it is asked, and answers with a status."""

    def __init__(self) -> None:
        self.count, self.status = 0, 200

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        self.count += 1
        await send({"type": "http.response.start", "status": self.status, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]


async def test_the_dead_mans_switch_is_told_while_polling_works_and_not_else(
    quiet: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting()
    with on_stage(counting) as url:
        monkeypatch.setenv("PING_URL", f"{url}/SECRET-UUID")
        path = configure(quiet.folder, quiet.table("esper", 'every = "5m"'), daemon='ping_url = { env = "PING_URL" }')
        async with rehearsal(path, quiet.emulator.clock) as play:
            await play.pass_by(10 * MINUTE)
            assert 10 <= counting.count <= 11
            for status in (500, 200):
                counting.status = status
                await play.pass_by(5 * MINUTE)
            assert [e["error"] for e in play.said("ping.failed")] == ["its host answers HTTP 500"]
            assert len(play.said("ping.recovered")) == 1

            counting.count = 0
            play.daemon.ledger_error = "no"
            await play.pass_by(5 * MINUTE)
            assert counting.count == 0
            play.daemon.ledger_error = None
            play.daemon.unplan("sync:esper")  # as a bug would
            await play.pass_by(HOUR)
            assert play.daemon.overdue() == ["esper"]
            assert 0 < counting.count < 25
            counting.count = 0
            await play.pass_by(HOUR)
            assert counting.count == 0
    assert "SECRET-UUID" not in str(play.log.entries)


async def test_a_reload_keeps_what_was_learned_of_quotas(busy: Account) -> None:
    table = busy.table("clerk", 'every = "5m"\nowner = "acme"')
    path = configure(busy.folder, table)
    async with rehearsal(path, busy.emulator.clock) as play:
        await play.pass_by(MINUTE)
        budget = play.daemon.network.budgets["acme"]
        budget.close_for(1800, play.clock.now().timestamp())
        configure(busy.folder, table.replace('"5m"', '"4m"'))
        assert play.daemon.reload() == ["clerk has changed"]
        busy.emulator.clerk.requests.reset()
        await play.pass_by(25 * MINUTE)
        assert play.daemon.network.budgets == {"acme": budget}
        assert busy.emulator.clerk.requests == []
        await play.pass_by(6 * MINUTE)
        assert busy.emulator.clerk.requests != []


async def test_a_publish_that_fails_is_told_once_and_tried_again(
    quiet: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configure(quiet.folder, quiet.table("esper", 'every = "1m"'), daemon='publish_every = "1m"')

    async def refuse(self: Store, as_of: datetime) -> None:
        raise StoreError(f"no room, {random.random()}")

    async with rehearsal(path, quiet.emulator.clock) as play:
        await play.pass_by(MINUTE)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "publish", refuse)
            await play.pass_by(HOUR)
            assert play.daemon.polling
            assert "no room" in play.daemon.status()["publish_error"]
        before = play.daemon.chores.published
        await play.pass_by(5 * MINUTE)
        assert play.daemon.chores.published > before
    assert len(play.said("publish.failed")) == len(play.said("publish.recovered")) == 1
    assert play.said("ledger.down") == []
