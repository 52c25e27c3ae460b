"""A working day of the daemon and its alerts, with three hours in which one vendor does not answer, and one in which it
is we who are not there."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.receivers import recording
from daemon.conftest import Account, configure, rehearsal
from runlake.emulator import Clock, Emulator, Fault, Faults
from runlake.http import HttpLimits
from sync.conftest import Stage, ask, stage
from sync.judge import differences

__all__ = ["stage"]

HOUR = timedelta(hours=1)
DOWN, UP = 3 * HOUR, 6 * HOUR
GONE, BACK = 8 * HOUR, 9 * HOUR
END = 12 * HOUR
VENDORS = ("esper", "airflow")
LIMITS = HttpLimits(timeout_s=1, attempts=1)
ALERTS = """
SELECT alert_id::VARCHAR, kind, source, fired_at, resolved_at FROM rl.alerts
WHERE fired_at IS NOT NULL ORDER BY fired_at
"""
RULES = """
[[rule]]
kind = "failed"
[[rule]]
kind = "missing"
every = "2h"
[[rule]]
kind = "too_long"
limit = "40m"
[[channel]]
name = "pager"
kind = "webhook"
url = { file = "url" }
"""


@dataclass(frozen=True)
class Day:
    began: datetime
    alerts: list[tuple[Any, ...]]
    """(id, kind, source, fired_at, resolved_at) of all that fired."""
    messages: list[dict[str, Any]]
    wrong: list[str]
    log: list[str]

    def news(self, source: str, begin: timedelta, end: timedelta, *, about_runs: bool = True) -> list[tuple[str, str]]:
        """What fired or resolved of a source between the two."""
        return [
            (kind, event)
            for _, kind, of, fired_at, resolved_at in self.alerts
            for event, at in (("fires", fired_at), ("resolves", resolved_at))
            if of == source and (kind != "source_unobservable") == about_runs
            if at is not None and self.began + begin <= at < self.began + end
        ]


@pytest.fixture(scope="module")
def day(stage: Stage) -> Iterator[Day]:
    clock = Clock()
    stage.scene = emulator = Emulator(3, clock, start=clock.now() - timedelta(days=2), rate=0.7)
    with tempfile.TemporaryDirectory(prefix="rl") as folder, recording() as pager:
        (Path(folder) / "url").write_text(pager.url)
        account = Account(emulator, stage, Path(folder))
        sources = [
            account.table(vendor, 'every = "20m"\nfastest = "20m"\nslowest = "20m"\nsteps = "none"')
            for vendor in VENDORS
        ]
        config = configure(Path(folder), *sources, RULES, daemon='publish_every = "1d"')
        began, alerts, wrong, log = asyncio.run(lived(config, emulator))
        yield Day(began, alerts, [message.json for message in pager.messages], wrong, log)


async def lived(config: Path, emulator: Emulator) -> tuple[datetime, list[tuple[Any, ...]], list[str], list[str]]:
    clock, faults = emulator.clock, emulator.vendor("esper")
    async with rehearsal(config, clock, limits=LIMITS) as play:
        began = play.now()
        await play.pass_by(DOWN)
        faults.faults = Faults(3, 1.0, [Fault.UNAVAILABLE])
        await play.pass_by(UP - DOWN)
        faults.faults = Faults()
        await play.pass_by(GONE - UP)
        clock.advance(BACK - GONE)
        await play.pass_by(END - BACK)
        store = play.daemon.store
        wrong = [each for vendor in VENDORS for each in await differences(store, emulator, vendor, timedelta(hours=12))]
        return began, await ask(store, ALERTS), wrong, [e["event"] for e in play.log.entries]


def test_in_an_outage_no_alert_about_runs_fires_or_resolves(day: Day) -> None:
    # The polls after it has begun may have been right before it; those after it has ended may be a while off.
    assert day.news("esper", DOWN + HOUR / 60, UP) == []
    assert day.news("esper", timedelta(), DOWN)
    assert day.news("esper", UP, UP + HOUR)
    assert day.news("airflow", DOWN, UP)


def test_one_alert_says_that_we_cannot_see_and_it_ends(day: Day) -> None:
    assert day.news("esper", timedelta(), END + HOUR, about_runs=False) == [
        ("source_unobservable", "fires"),
        ("source_unobservable", "resolves"),
    ]
    assert day.news("esper", DOWN, UP, about_runs=False) == [("source_unobservable", "fires")]
    assert day.news("esper", UP, UP + HOUR, about_runs=False) == [("source_unobservable", "resolves")]
    assert day.news("airflow", timedelta(), END + HOUR, about_runs=False) == []


def test_that_we_were_away_is_no_alert(day: Day) -> None:
    assert "job.crashed" not in day.log
    assert day.wrong == []
    for vendor in VENDORS:
        assert day.news(vendor, GONE, END, about_runs=False) == []
        assert day.news(vendor, GONE, BACK) == []
    # What happened meanwhile is told as soon as it is seen.
    assert [event for vendor in VENDORS for event in day.news(vendor, BACK, BACK + HOUR)]


def test_what_was_told_is_what_happened(day: Day) -> None:
    told = [(message["event"], alert["alert_id"]) for message in day.messages for alert in message["alerts"]]
    told = [each for each in told if each[0] != "digest"]
    assert len(told) == len(set(told))
    opened = [alert for event, alert in told if event == "open"]
    over = [alert for event, alert in told if event == "resolve"]
    # All that fired was told, but for what flaps; and of what was told, all that is over.
    assert set(opened) <= {alert for alert, *_ in day.alerts}
    assert len(opened) > len(day.alerts) / 2
    assert set(over) == {alert for alert, *_, resolved_at in day.alerts if resolved_at is not None} & set(opened)
