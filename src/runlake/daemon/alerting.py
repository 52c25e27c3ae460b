"""Alerting as the daemon does it: soon after each attempt, and by the clock, one turn at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from runlake.alerts.evaluate import Evaluated
from runlake.alerts.outbox import Delivered
from runlake.alerts.turn import Turned, turn
from runlake.errors import StoreError
from runlake.store import Sync
from runlake.store.alerting import Alert

if TYPE_CHECKING:
    from runlake.daemon import Daemon

log = structlog.get_logger()

SOON = timedelta(seconds=2)
"""After an attempt that brought something: sources that are asked together are judged together."""

LATER = timedelta(seconds=15)
"""After one that only showed that time has passed."""

LONGEST = timedelta(hours=1)
"""Without any attempt."""

MOST_LOGGED = 20
"""Alerts of one turn; the rest are in the ledger."""


class Alerting:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._one = asyncio.Lock()
        self._asked_at: dict[str, datetime] = {}
        self._failing: dict[str, str] = {}
        self.firing: Counter[str] = Counter()
        """By rule, as of the last turn."""
        self.told: Counter[str] = Counter()
        """Messages taken and refused since the daemon began."""
        self.seconds = 0.0
        """What the last turn took."""
        self.error: str | None = None
        """A bug of ours that ended the last turn: nobody is told anything meanwhile."""

    def begin(self) -> None:
        """Plans a turn that asks every query: rules may have changed, or the clock by which they were asked."""
        self._asked_at = {}
        self.soon()

    def soon(self) -> None:
        """Plans a turn: somebody has changed what is held back."""
        self._plan(SOON)

    def committed(self, row: Sync) -> None:
        if row.finished_at is not None:  # else more of the same may follow, which is to share a message with it
            news = row.new_runs or row.changed_runs or row.vanished_runs or row.error
            self._plan(SOON if news else LATER)

    def _plan(self, after: timedelta) -> None:
        daemon = self._daemon
        if daemon.scheduler.running:
            daemon.at_latest("alerts", daemon.now() + max(after, timedelta()), self._turn)

    async def _turn(self) -> None:
        await self._daemon.guarded(self.turn)

    async def turn(self) -> Turned:
        """Judges and tells. Raises StoreError."""
        async with self._one:
            daemon, began = self._daemon, time.perf_counter()
            try:
                turned = await turn(daemon.store, daemon.config, daemon.now, asked_at=self._asked_at)
                self.error = None
            except BaseException as error:
                if not isinstance(error, asyncio.CancelledError | StoreError):
                    self.error = f"{type(error).__name__}: {error}"
                raise
            finally:
                self._plan(LONGEST)
            self.seconds = time.perf_counter() - began
        self.firing = turned.evaluated.firing
        self._log(turned.evaluated, turned.delivered)
        if turned.evaluated.fired or turned.evaluated.resolved:
            daemon.chores.alerted()
        if turned.next_at is not None:
            self._plan(turned.next_at - daemon.now())
        return turned

    def _log(self, evaluated: Evaluated, delivered: Delivered) -> None:
        for facts in _told(evaluated.fired):
            log.info("alert.fired", **facts)
        for facts in _told(evaluated.resolved):
            log.info("alert.resolved", **facts)
        self.told["delivered"] += delivered.messages
        self.told["failed"] += delivered.refused
        for channel, error in delivered.failures.items():
            if channel not in self._failing:
                log.warning("channel.down", channel=channel, error=error)
        for channel in delivered.taken & self._failing.keys():
            log.info("channel.recovered", channel=channel)
            del self._failing[channel]
        self._failing.update(delivered.failures)


def _told(alerts: Sequence[Alert]) -> Iterator[dict[str, Any]]:
    for alert in alerts[:MOST_LOGGED]:
        yield {"rule": alert.rule, "key": alert.key, "severity": alert.severity, "alert_id": alert.alert_id}
    if len(alerts) > MOST_LOGGED:
        yield {"more": len(alerts) - MOST_LOGGED}
