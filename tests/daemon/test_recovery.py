"""Bad days, by a clock that the test moves: what is polled meanwhile, and that nothing is missing after."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from apscheduler.schedulers import base
from structlog.testing import capture_logs

import runlake.config
import runlake.daemon
from runlake.config import load
from runlake.connector import connectors
from runlake.connectors.clerk import Clerk
from runlake.daemon import Daemon
from runlake.emulator import Clock, Emulator, Fault, Faults
from runlake.errors import StoreError
from runlake.http import DaemonClient, HttpLimits
from runlake.store import Store
from runlake.web.server import serving
from sync.conftest import Stage, one
from sync.judge import differences, missing_before

from .conftest import Account, Rehearsal, configure, on_stage, rehearsal, soon

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def account(stage: Stage, folder: Path) -> Account:
    clock = Clock()
    stage.scene = emulator = Emulator(5, clock, start=clock.now() - DAY)
    return Account(emulator, stage, folder)


async def equal(play: Rehearsal, account: Account, *vendors: str) -> None:
    """After one more sync of each, at this very instant."""
    assert await play.daemon.store.audit() == 0
    for vendor in vendors:
        assert (await play.daemon.attempt(vendor, lambda polled: polled.sync())).outcome == "ok"
        assert await differences(play.daemon.store, account.emulator, vendor, 3 * DAY) == []


async def test_a_vendor_that_was_down_for_a_day_is_caught_up_with_within_half_an_hour(account: Account) -> None:
    path = configure(account.folder, account.table("airflow", 'every = "5m"'))
    async with rehearsal(path, account.emulator.clock) as play:
        await play.pass_by(HOUR)
        broken = account.emulator.airflow
        broken.faults = Faults(kinds=[Fault.UNAVAILABLE])
        broken.requests.reset()
        asked = len(play.times("sync:airflow"))
        await play.pass_by(DAY)
        waits = [later - earlier for earlier, later in pairwise(play.times("sync:airflow")[asked:])]
        assert all(4 * MINUTE <= wait <= 31 * MINUTE for wait in waits)
        assert all(wait >= 27 * MINUTE for wait in waits[4:])
        assert len(broken.requests) < 150
        [down] = play.said("source.down")
        assert down["source"] == "airflow" and "503" in down["error"]
        broken.faults.clear()
        await play.pass_by(30 * MINUTE)
        [up] = play.said("source.recovered")
        assert 0 <= up["down_s"] - DAY.total_seconds() <= 1800
        await equal(play, account, "airflow")


async def test_a_token_that_is_renewed_in_its_file_is_used_without_a_restart(account: Account) -> None:
    path = configure(account.folder, account.table("esper", 'every = "5m"'))
    file = account.folder / "esper-token"
    good = file.read_text()
    async with rehearsal(path, account.emulator.clock) as play:
        await play.pass_by(MINUTE)
        for wrong in ("revoked", ""):
            file.write_text(wrong)
            await play.pass_by(HOUR)
            file.write_text(good)
            await play.pass_by(30 * MINUTE)
        errors = [(e["error_class"], e["source"]) for e in play.said("source.down")]
        assert errors == [("AuthenticationError", "esper"), ("ConfigError", "esper")]
        assert len(play.said("source.recovered")) == 2
        assert "revoked" not in str(play.log.entries)
        assert len(play.daemon.network.budgets) == 1
        await equal(play, account, "esper")


class Buggy(Clerk):
    """A connector with a bug."""

    name = "buggy"
    title = "Buggy"

    def pages(self, *_: Any) -> Any:
        raise RuntimeError("nobody thought of this")


async def test_a_bug_of_a_connector_is_told_and_stops_nothing(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = {**connectors(), "buggy": Buggy}
    monkeypatch.setattr(runlake.config, "connectors", lambda: every)
    buggy = account.named("buggy", "clerk").replace('connector = "clerk"', 'connector = "buggy"')
    path = configure(account.folder, account.table("clerk"), buggy)
    config = load(path)
    with capture_logs() as log:
        async with Store(config.database) as store:
            daemon = Daemon(path, config, store)
            async with serving(daemon), daemon.running(), DaemonClient(config.database) as client:
                await soon(lambda: sum(e["event"] == "job.crashed" for e in log) >= 2 and daemon.sources["clerk"].last)
                assert daemon.polling
                with pytest.raises(StoreError, match="HTTP 500"):
                    await client.post("/sync", {"source": "buggy"})
    [asked] = [e for e in log if e["event"] == "request.crashed"]
    assert "nobody thought of this" in str(asked["exc_info"])
    crashes = [e for e in log if e["event"] == "job.crashed"]
    assert {e["job"] for e in crashes} == {"sync:buggy"}
    assert "nobody thought of this" in str(crashes[0]["exc_info"])
    assert daemon.sources["clerk"].last is not None and daemon.sources["clerk"].last.outcome == "ok"


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_a_clock_that_jumps_stops_no_polling_and_loses_no_run(account: Account, jump: timedelta) -> None:
    vendors = ("esper", "airflow")
    path = configure(account.folder, *(account.table(vendor, 'every = "20m"') for vendor in vendors))
    async with rehearsal(path, account.emulator.clock) as play:
        await play.pass_by(HOUR)
        for ahead in (jump, timedelta()):
            play.ahead = ahead
            play.daemon._clock_jumped(jump.total_seconds())
            begun, published = len(play.times("sync:esper")), play.daemon.chores.published
            for _ in range(3):
                await play.pass_by(40 * MINUTE)
                for vendor in vendors:
                    through = await one(
                        play.daemon.store, "SELECT observed_through FROM source_health WHERE source = ?", vendor
                    )
                    if play.ahead <= timedelta():  # what is said by a clock that is ahead is wrong, but not for good
                        assert await missing_before(play.daemon.store, account.emulator, vendor, through) == []
            assert len(play.times("sync:esper")) - begun >= 2
            assert play.daemon.chores.published - published >= 1
        assert play.daemon.overdue() == []
        play.clock.advance(7 * HOUR)
        await equal(play, account, *vendors)
        for vendor in vendors:
            query = "SELECT observed_through FROM source_health WHERE source = ?"
            assert await one(play.daemon.store, query, vendor) <= play.now()


async def test_the_loop_itself_notices_that_the_clock_has_jumped(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = timedelta()

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + off

    class Watch:
        monotonic, monotonic_ns = staticmethod(time.monotonic), staticmethod(time.monotonic_ns)

        @staticmethod
        def time() -> float:
            return time.time() + off.total_seconds()

    monkeypatch.setattr(base, "datetime", Shifted)
    monkeypatch.setattr(runlake.daemon, "time", Watch)
    monkeypatch.setattr(runlake.daemon, "BEAT", 0.02)
    path = configure(account.folder, account.table("clerk", 'every = "1h"\nfastest = "1s"'))
    config = load(path)
    with capture_logs() as log:
        async with Store(config.database) as store:
            daemon = Daemon(path, config, store, now=lambda: Shifted.now(UTC))
            async with daemon.running():
                polled = daemon.sources["clerk"]
                await soon(lambda: polled.last)
                first, off = polled.last, DAY
                await soon(lambda: polled.last is not first)
                off = timedelta()
                await soon(lambda: sum(e["event"] == "clock.jumped" for e in log) == 2)
                assert daemon.scheduler.get_job("sync:clerk").next_run_time <= Shifted.now(UTC) + MINUTE
    assert [e["seconds"] for e in log if e["event"] == "clock.jumped"] == [86_400, -86_400]


async def test_a_ledger_that_refuses_for_hours_is_told_once_however_it_is_worded(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configure(account.folder, account.table("esper", 'every = "5m"'))
    async with rehearsal(path, account.emulator.clock) as play:
        await play.pass_by(HOUR)
        until = play.now() + 2 * HOUR

        def usage(_: object) -> Any:
            """Nearly full, a little more so each time."""
            left = int((until - play.now()) / timedelta(seconds=1)) if play.now() < until else 2**40
            return shutil._ntuple_diskusage(2**40, 0, left * 2000)

        monkeypatch.setattr(shutil, "disk_usage", usage)
        while not play.said("ledger.recovered"):
            if play.daemon._reopening is None:
                await play.run(play.next())
            await asyncio.sleep(0)
        assert len(play.said("ledger.down")) == 1
        assert play.now() - until <= 5 * MINUTE
        await play.pass_by(HOUR)
        await equal(play, account, "esper")


async def test_a_vendor_that_drips_or_sends_far_too_much_is_left_in_words(account: Account) -> None:
    async def dripping(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.02)

    class Scene:
        __call__ = staticmethod(dripping)

    with on_stage(Scene()) as url:
        path = configure(account.folder, account.table("esper", base_url=url), account.table("clerk"))
        limits = HttpLimits(answer_s=0.2, attempts=1)
        async with rehearsal(path, account.emulator.clock, limits=limits) as play:
            await play.pass_by(timedelta(seconds=5))
            [down] = play.said("source.down")
            assert down["error"].endswith("the answer was not whole after 0.2 s")
            await equal(play, account, "clerk")
