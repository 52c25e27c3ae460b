"""When the daemon makes reports, by a clock that the test moves; polling goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from runlake.daemon import reporting
from runlake.emulator import Clock, Emulator
from runlake.errors import DeliveryError
from runlake.report.delivery import STORED, deliver
from runlake.report.formats import Mail
from runlake.report.rendering import Asked, Rendered
from runlake.store.query import Reader
from sync.conftest import Stage

from .conftest import Account, configure, rehearsal

DUE = datetime(2026, 11, 23, 6, tzinfo=UTC)
BEFORE = DUE - timedelta(minutes=20)
WEEKLY = '[[report]]\nname = "weekly"\ncron = "0 7 * * mon Europe/Berlin"\nfolder = "reports"\n'
MADE = Rendered(subject="Runs", brief="Runs", mail=Mail("", "", []), page="<p>Runs</p>", data={})

Made = Callable[[Asked], Awaitable[Rendered]]


def made_by(render: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "deliver", partial(deliver, render=render))


async def test_a_report_is_made_on_time_from_a_copy_that_knows_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []

    async def render(asked: Asked) -> Rendered:
        with Reader(asked.database) as reader:
            copies.append((asked.period, reader.freshness().as_of))
        return MADE

    made_by(render, monkeypatch)
    async with rehearsal(configure(folder, WEEKLY), Clock(BEFORE)) as play:
        await play.pass_by(timedelta(minutes=21))
        [(period, as_of)] = copies
        assert period.name == "2026-W47" and as_of >= period.known_at
        [told] = play.said("report.delivered")
        assert (told["report"], told["to"]) == ("weekly", "its folder")
        assert (folder / "reports/weekly-2026-W47.html").read_text() == MADE.page
        assert play.times("reports")[-1] == DUE


async def test_polling_goes_on_while_a_report_is_made_which_is_never_made_twice_at_once(
    stage: Stage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.scene = emulator = Emulator(5, Clock(BEFORE), pipelines=())
    begun, goes_on, making = 0, asyncio.Event(), asyncio.Event()

    async def render(asked: Asked) -> Rendered:
        nonlocal begun
        begun += 1
        making.set()
        await goes_on.wait()
        return MADE

    made_by(render, monkeypatch)
    table = Account(emulator, stage, folder).table("esper", 'every = "1h"')
    async with rehearsal(configure(folder, table, WEEKLY), emulator.clock) as play:
        await play.pass_by(timedelta(minutes=19))
        making_it = asyncio.create_task(play.pass_by(timedelta(minutes=2) + STORED))
        await making.wait()
        before = play.daemon.sources["esper"].tally.attempts["sync", "ok"]
        await play.daemon.attempt("esper", lambda polled: polled.sync())
        assert play.daemon.sources["esper"].tally.attempts["sync", "ok"] == before + 1
        again = asyncio.create_task(play.daemon.reporting.turn())
        await asyncio.sleep(0)
        goes_on.set()
        await making_it
        assert not (await again).delivered
        assert begun == 1


async def test_one_that_fails_is_told_once_fires_and_is_over_when_it_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = True

    async def render(asked: Asked) -> Rendered:
        if broken:
            raise DeliveryError("it was not made within 120 s", again=True)
        return MADE

    made_by(render, monkeypatch)
    async with rehearsal(configure(folder, WEEKLY), Clock(BEFORE)) as play:
        await play.pass_by(timedelta(minutes=50))
        [told] = play.said("report.failed")
        assert told["error"] == "it was not made within 120 s"
        [fired] = play.said("alert.fired")
        assert (fired["rule"], fired["key"]) == ("report_failed", "weekly")
        broken = False
        await play.pass_by(timedelta(minutes=30))
        assert len(play.said("report.delivered")) == len(play.said("alert.resolved")) == 1


async def test_one_that_comes_with_a_reload_waits_for_its_first_tick(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def render(asked: Asked) -> Rendered:
        return MADE

    made_by(render, monkeypatch)
    async with rehearsal(configure(folder), Clock(BEFORE)) as play:
        await play.pass_by(timedelta(minutes=1))
        configure(folder, WEEKLY)
        assert "report weekly is new" in play.daemon.reload()
        await play.pass_by(timedelta(minutes=1))
        assert play.said("report.delivered") == []
        await play.pass_by(timedelta(minutes=20))
        assert len(play.said("report.delivered")) == 1
