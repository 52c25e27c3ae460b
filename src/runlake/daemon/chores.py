"""What the daemon does besides polling: publishing for readers, keeping the ledger in shape, telling that it lives."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from runlake.daemon.cadence import SOON
from runlake.errors import ConfigError, StoreError
from runlake.http import ping
from runlake.store import BOOKS_KEPT, Sync

if TYPE_CHECKING:
    from runlake.daemon import Daemon

log = structlog.get_logger()

PUBLISH_SHARE = 20
"""A publish of a second is followed by at least twenty without one."""

AGAIN = timedelta(minutes=1)
"""After a publish has failed."""

PING_EVERY = timedelta(minutes=1)
UPKEEP_EVERY = timedelta(days=1)
LONGEST_LAST_PUBLISH = 2.0
"""Seconds: a daemon that is to end within ten does not begin to copy a large ledger."""


class Chores:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.as_of: datetime | None = None
        """When readers' copy was made, of those that this daemon has made."""
        self.publish_s = 0.0
        """Seconds that the last publish took."""
        self.published = 0
        self.publish_error: str | None = None
        self.ping_error: str | None = None
        self.doubled = 0
        self._changed: str | None = None
        self._awaited = False
        """Whether somebody has been told to look at what has changed."""

    def begin(self) -> None:
        """Plans what comes by the clock: at the start, after a reload, and when the clock has jumped."""
        now, daemon = self._daemon.now(), self._daemon
        if daemon.config.daemon.ping_url is not None:
            daemon.at("ping", now, self._ping)
        else:
            daemon.unplan("ping")
        if daemon.scheduler.get_job("upkeep") is None:
            daemon.at("upkeep", now + SOON, self._upkeep)
        self._plan_publish()

    # -- publishing

    def committed(self, row: Sync) -> None:
        rows = row.new_runs or row.changed_runs or row.vanished_runs
        self._changed = "rows" if rows or self._changed == "rows" else "stamps"
        self._plan_publish()

    def alerted(self) -> None:
        """Episodes are for readers, too: whoever was told of one asks for it next."""
        self._changed, self._awaited = "rows", True
        self._plan_publish()

    def _plan_publish(self) -> None:
        now, daemon = self._daemon.now(), self._daemon
        if self._changed is None or not daemon.scheduler.running:  # in the end there is only the last publish
            return
        known = daemon.config.daemon
        every = known.publish_every if self._changed == "rows" else known.stamps_every
        if self._awaited or any(polled.last is None for polled in daemon.sources.values()):
            every = min(every, timedelta(seconds=5))  # first syncs are looked forward to
        every = max(every, timedelta(seconds=self.publish_s * PUBLISH_SHARE))
        at = min(max(now, (self.as_of or now - every) + every), now + every)  # the clock may have been set back since
        daemon.at_latest("publish", at, self._publish)

    async def _publish(self) -> None:
        try:
            await self.publish()
        except StoreError as error:  # readers keep the copy they have; syncs tell whether the ledger itself is well
            if self.publish_error is None:
                log.error("publish.failed", error=str(error))
            self.publish_error, self._changed = str(error), "rows"
            self._daemon.at("publish", self._daemon.now() + AGAIN, self._publish)

    async def publish(self) -> datetime:
        """Swaps in a fresh copy, whether or not anything has changed; returns its `as_of`. Raises StoreError."""
        self._changed, self._awaited, as_of = None, False, self._daemon.now()
        # Without its wait for the ledger's thread: that others kept it busy is no reason to publish less.
        self.publish_s = (await self._daemon.store.publish(as_of)).seconds
        self.published += 1
        if self.publish_error is not None:
            log.info("publish.recovered")
        self.publish_error = None
        if self.as_of is None:
            log.info("ledger.published", seconds=round(self.publish_s, 2))
        self.as_of = as_of
        self._daemon.unplan("publish")
        self._plan_publish()  # what was committed meanwhile
        return as_of

    async def last_publish(self) -> None:
        if self._changed is not None and self.publish_s < LONGEST_LAST_PUBLISH:
            await self.publish()

    # -- keeping the ledger in shape

    async def _upkeep(self) -> None:
        daemon, now = self._daemon, self._daemon.now()
        daemon.at("upkeep", now + UPKEEP_EVERY, self._upkeep)
        keep = daemon.config.daemon
        try:
            pruned = await daemon.store.prune(
                payloads_before=now - keep.keep_payloads if keep.keep_payloads else None,
                snapshots_before=now - keep.keep_snapshots if keep.keep_snapshots else None,
                books_before=now - BOOKS_KEPT,
            )
            compacted = await daemon.store.compact()
            self.doubled = await daemon.store.audit()
        except StoreError as error:
            log.error("upkeep.failed", error=str(error))
            return
        if self.doubled:
            log.error("ledger.doubled", rows=self.doubled, todo="please report this, with the vendor's name")
        log.info("ledger.kept", pruned=str(pruned), compacted=str(compacted))

    # -- telling that we live

    async def _ping(self) -> None:
        daemon = self._daemon
        url = daemon.config.daemon.ping_url
        if url is None:
            return
        daemon.at("ping", daemon.now() + PING_EVERY, self._ping)
        if not daemon.polling or daemon.alerting.error is not None:
            return
        try:
            error = await ping(url.reveal())
        except ConfigError as unset:
            error = str(unset)
        if error and not self.ping_error:
            log.warning("ping.failed", error=error)
        elif self.ping_error and not error:
            log.info("ping.recovered")
        self.ping_error = error
