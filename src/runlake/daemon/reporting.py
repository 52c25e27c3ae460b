"""Reports as the daemon makes them: when their cron says, one at a time, while polling goes on."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from runlake.report.delivery import Done, deliver

if TYPE_CHECKING:
    from runlake.daemon import Daemon

log = structlog.get_logger()

SOON = timedelta(seconds=2)

AFTER_A_BUG = timedelta(hours=1)
"""Until it is tried again, should a bug of ours have ended it."""


class Reporting:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._one = asyncio.Lock()
        self._failing: set[tuple[str, str]] = set()

    def begin(self) -> None:
        """Plans a look at what is due: at the start, after a reload, and when the clock has jumped."""
        self._daemon.at("reports", self._daemon.now() + SOON, self._turn)

    async def _turn(self) -> None:
        await self._daemon.guarded(self.turn)

    async def turn(self) -> Done:
        """Makes and sends what is due. Raises StoreError."""
        async with self._one:
            daemon = self._daemon
            self._plan(daemon.now() + AFTER_A_BUG)
            done = await deliver(daemon.store, daemon.config, daemon.now, self._publish)
        self._plan(done.next_at)
        self._log(done)
        if done.delivered or done.failures:
            daemon.alerting.soon()
        return done

    def _plan(self, at: datetime | None) -> None:
        if not self._daemon.scheduler.running:
            return
        if at is None:
            self._daemon.unplan("reports")
        else:
            self._daemon.at("reports", max(at, self._daemon.now()), self._turn)

    async def _publish(self, known_at: datetime) -> None:
        chores = self._daemon.chores
        if chores.as_of is None or chores.as_of < known_at:
            await chores.publish()

    def _log(self, done: Done) -> None:
        for report, to in done.delivered:
            log.info("report.delivered", report=report, to=to)
        for (report, to), error in done.failures.items():
            if (report, to) not in self._failing:
                log.warning("report.failed", report=report, to=to, error=error)
        self._failing = (self._failing | done.failures.keys()) - {
            place for place in done.delivered if place not in done.failures
        }
