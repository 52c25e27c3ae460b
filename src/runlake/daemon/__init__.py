"""The daemon: which coroutine, how often. Polls each source on its schedule, publishes for readers, keeps the ledger in
shape, and survives what happens to vendors, disks and clocks meanwhile.

Every job is a date in the scheduler, set anew when the job has ended: what comes next depends on what was seen.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from runlake.config import Config, load
from runlake.config.changes import alerting_changes
from runlake.daemon.alerting import Alerting
from runlake.daemon.cadence import SOON
from runlake.daemon.chores import Chores
from runlake.daemon.notify import notify
from runlake.daemon.polling import Polled, Shared
from runlake.daemon.reporting import Reporting
from runlake.errors import ConfigError, StoreError
from runlake.secret import expiries
from runlake.store import Store, Sync
from runlake.sync import Clock, Network, utc_now

__all__ = ["Daemon"]

log = structlog.get_logger()
T = TypeVar("T")

BEAT = 10.0
"""Seconds between two looks at ourselves."""

JUMP = 60.0
"""Seconds by which the wall clock may part from the monotonic one between two looks."""

OVERDUE = timedelta(minutes=5)
"""How late a sync may begin before polling counts as stopped."""

TO_THE_END = 6.0
"""Seconds for attempts under way to commit what they have, when the daemon is to end."""

LONGEST_REOPENING = 300.0

_DIGITS = re.compile(r"\d+")
"""A disk that fills up has fewer bytes free each time: no reason to tell it again."""


class Daemon:
    """Use as ``async with daemon.running(): await daemon.stopped.wait()``, on an open store.

    With `paused` the scheduler waits for somebody else to run its jobs: a test with a clock of its own.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        store: Store,
        *,
        network: Network | None = None,
        now: Clock = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        paused: bool = False,
    ) -> None:
        self.path, self.config, self.store, self.now = path, config, store, now
        self.network = network or Network()
        self.chores = Chores(self)
        self.alerting = Alerting(self)
        self.reporting = Reporting(self)
        self.shared = Shared(store, self.network, now, self._committed)
        self.sources: dict[str, Polled] = {}
        self.started_at = now()
        self.stopped = asyncio.Event()
        self.ledger_error: str | None = None
        self.scheduler = AsyncIOScheduler(timezone="UTC")
        self._sleep, self._paused = sleep, paused
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reopening: asyncio.Task[None] | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._clocks = (0.0, 0.0)

    # -- life

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.store.close_interrupted(self.now())
        known = await self.store.standings()
        self.scheduler.add_listener(self._crashed, EVENT_JOB_ERROR)
        self.scheduler.start(paused=self._paused)
        for source in self.config.source:
            last_at, failures = known.get(source.name, (None, 0))
            self._poll(Polled(source, self.shared, failures=failures, last_at=last_at))
        self.chores.begin()
        self.alerting.begin()
        self.reporting.begin()
        self._clocks = (time.time(), time.monotonic())
        self._beat()
        notify("READY=1")
        log.info("daemon.started", sources=len(self.sources), database=str(self.config.database))
        try:
            yield
        finally:
            notify("STOPPING=1")
            await self._end()
            log.info("daemon.stopped")

    async def _end(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
        self.scheduler.shutdown(wait=False)
        if self._reopening is not None:
            self._reopening.cancel()
        await self._call_off()
        if self.ledger_error is None:
            with suppress(StoreError):
                await self.chores.last_publish()

    async def _call_off(self) -> None:
        """Ends what is under way; an attempt keeps what it has read."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TO_THE_END)

    def stop(self) -> None:
        self.stopped.set()

    def reload(self) -> list[str]:
        """Reads the config again; returns what has changed, in words. Raises ConfigError, and then nothing has."""
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            config = load(self.path)
            if config.daemon.sql_token is not None:
                config.daemon.sql_token.reveal()  # told to who reloads, as at the start, not to who asks in SQL
            for key, kept, given in (
                ("database", self.config.database, config.database),
                ("daemon.listen", self.config.daemon.listen, config.daemon.listen),
            ):
                if kept != given:
                    raise ConfigError(f"`{key}` has changed, which takes a restart; nothing was reloaded")
        finally:
            notify("READY=1")
        before = {source.name: source for source in self.config.source}
        after = {source.name: source for source in config.source}
        of_alerting = alerting_changes(self.config.model_dump(mode="json"), config.model_dump(mode="json"))
        self.config = config
        changes = []
        for name in sorted(before.keys() - after.keys()):
            self._unpoll(name)
            changes.append(f"{name} is polled no more; its history stays")
        for name, source in after.items():
            if name not in before:
                self._poll(Polled(source, self.shared))
                changes.append(f"{name} is new")
                continue
            self.sources[name].source = source  # with its secrets unread, whether or not it has changed
            if source != before[name]:
                self.sync_soon(name)
                changes.append(f"{name} has changed")
                if source.history > before[name].history:
                    changes.append(f"{name}: a longer `history` fetches nothing by itself; runlake backfill does")
        changes += of_alerting
        self.chores.begin()
        self.alerting.begin()
        self.reporting.begin()
        log.info("config.reloaded", changes=changes)
        return changes

    # -- jobs

    def at(self, job: str, when: datetime, work: Callable[..., Awaitable[Any]], *values: Any) -> None:
        """Plans a job, in place of the one of that name."""
        self.scheduler.add_job(
            self._job,
            "date",
            (work, *values),
            run_date=when,
            id=job,
            replace_existing=True,
            misfire_grace_time=None,  # however late: better than not at all, and once is enough
            max_instances=2,  # one that was asked for while another is under way waits for it; more are one too many
        )

    def at_latest(self, job: str, when: datetime, work: Callable[..., Awaitable[Any]]) -> None:
        """Plans a job, unless it is planned for earlier."""
        planned = self.scheduler.get_job(job)
        if planned is None or when < planned.next_run_time:
            self.at(job, when, work)

    def unplan(self, job: str) -> None:
        if self.scheduler.get_job(job) is not None:
            self.scheduler.remove_job(job)

    async def _job(self, work: Callable[..., Awaitable[Any]], *values: Any) -> None:
        await self._called_off_at_the_end(work(*values))

    async def _called_off_at_the_end(self, work: Awaitable[T]) -> T:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        try:
            return await task
        finally:
            self._tasks.discard(task)

    def _poll(self, polled: Polled) -> None:
        self.sources[polled.name] = polled
        self._schedule(polled)

    def _unpoll(self, name: str) -> None:
        del self.sources[name]
        self.network.forget(name)
        for kind in ("sync", "follow", "coverage"):
            self.unplan(f"{kind}:{name}")

    def _schedule(self, polled: Polled) -> None:
        name = polled.name
        if self.sources.get(name) is not polled:  # it was taken out of the config meanwhile
            return
        self.at(f"sync:{name}", polled.next_sync_at, self._work, polled, polled.sync)
        if polled.next_follow_at is not None:
            self.at(f"follow:{name}", polled.next_follow_at, self._work, polled, polled.follow)
        else:
            self.unplan(f"follow:{name}")
        if polled.source.coverage_every is None:
            self.unplan(f"coverage:{name}")
        else:
            at = polled.next_coverage_at or self.now() + min(polled.source.coverage_every, SOON)
            polled.next_coverage_at = at
            self.at(f"coverage:{name}", at, self._work, polled, polled.coverage)

    async def _work(self, polled: Polled, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            await self.guarded(work)
        finally:
            self._schedule(polled)

    async def guarded(self, work: Callable[[], Awaitable[Any]]) -> None:
        """What needs the ledger, whose failing is ours to deal with."""
        try:
            await work()
        except StoreError as error:
            self._ledger_fails(error)

    def _committed(self, row: Sync) -> None:
        self.chores.committed(row)
        self.alerting.committed(row)

    def sync_soon(self, name: str) -> None:
        """Brings the next sync of a source forward."""
        self.sources[name].next_sync_at = self.now()
        self._schedule(self.sources[name])

    async def attempt(self, name: str, work: Callable[[Polled], Awaitable[T]]) -> T:
        """An attempt that somebody asks for, besides those that are planned. Raises ConfigError, StoreError."""
        [source] = self.config.select([name])
        polled = self.sources[source.name]
        try:
            return await self._called_off_at_the_end(work(polled))
        except StoreError as error:
            self._ledger_fails(error)
            raise
        except asyncio.CancelledError:
            if (asking := asyncio.current_task()) is not None and asking.cancelling():
                raise
            raise StoreError(self.ledger_error or "the daemon is ending; ask again once it runs") from None
        finally:
            self._schedule(polled)

    # -- what can happen to us

    def _crashed(self, event: JobExecutionEvent) -> None:
        """A bug of ours: told in full, once for each time; the schedule goes on."""
        if isinstance(event.exception, asyncio.CancelledError):
            return
        log.error("job.crashed", job=event.job_id, exc_info=event.exception)

    def _ledger_fails(self, error: StoreError) -> None:
        if self._reopening is not None:
            return
        self.ledger_error = str(error)
        log.error("ledger.down", error=str(error))
        if not self.scheduler.running:  # it happened to what was called off at the end
            return
        notify(f"STATUS={error}")
        self.scheduler.pause()
        self._reopening = asyncio.create_task(self._reopen())

    async def _reopen(self) -> None:
        """A full disk ends the whole instance: it has to be opened anew, and then is as it was acknowledged."""
        seconds, began = 5.0, self.now()
        while True:
            await self._sleep(seconds)
            await self._call_off()  # attempts know where another ledger was, should this be another one
            try:
                await self.store.reopen()
                await self.store.close_interrupted(self.now())
                break
            except StoreError as error:
                if _DIGITS.sub("", str(error)) != _DIGITS.sub("", self.ledger_error or ""):
                    log.error("ledger.down", error=str(error))
                self.ledger_error = str(error)
                seconds = min(seconds * 2, LONGEST_REOPENING)
        self.ledger_error = self._reopening = None
        log.info("ledger.recovered", down_s=round((self.now() - began).total_seconds()))
        notify("STATUS=")
        for name in self.sources:
            self.sync_soon(name)
        if not self._paused:
            self.scheduler.resume()

    def overdue(self) -> list[str]:
        """The sources whose next sync should have begun a good while ago, and has not."""
        late = self.now() - OVERDUE
        return sorted(
            name
            for name, polled in self.sources.items()
            if polled.next_sync_at < late - polled.source.every and not polled.asked
        )

    @property
    def polling(self) -> bool:
        """Whether runs are being looked for and kept: what a dead man's switch is told."""
        return self.ledger_error is None and not self.overdue() and not self.stopped.is_set()

    def _beat(self) -> None:
        wall, steady = time.time(), time.monotonic()
        jumped = (wall - self._clocks[0]) - (steady - self._clocks[1])
        self._clocks = (wall, steady)
        if abs(jumped) > JUMP and not self._paused:
            self._clock_jumped(jumped)
        if self.ledger_error is not None or not self.overdue():  # a restart would not mend the ledger
            notify("WATCHDOG=1")
        self._beating = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def _clock_jumped(self, seconds: float) -> None:
        """The scheduler sleeps by the steady clock towards instants of the other."""
        log.warning("clock.jumped", seconds=round(seconds))
        for polled in self.sources.values():
            # Soon: how far we have seen was told by a clock that was wrong, or is.
            polled.next_sync_at = min(polled.next_sync_at, self.now() + polled.source.soonest)
            polled.next_coverage_at = None
            self._schedule(polled)
        self.unplan("upkeep")
        self.chores.begin()
        self.unplan("alerts")
        self.alerting.begin()
        self.reporting.begin()
        self.scheduler.wakeup()

    # -- what others may ask

    def status(self) -> dict[str, Any]:
        """How the daemon stands, as JSON has it: what is planned, under way and waited for."""
        waiting: dict[str, dict[str, int]] = {}
        for budget in self.network.budgets.values():
            for (who, kind), count in budget.waiting.items():
                if count:
                    waiting.setdefault(who, {})[kind.name.lower()] = count
        return {
            "started_at": self.started_at,
            "as_of": self.chores.as_of,
            "ledger_error": self.ledger_error,
            "publish_error": self.chores.publish_error,
            "alerting_error": self.alerting.error,
            "ping_error": self.chores.ping_error,
            "polling": self.polling,
            "overdue": self.overdue(),
            "config_file": self.path,
            "config": self.config.model_dump(mode="json"),
            "sources": {
                name: {
                    "next_sync_at": polled.next_sync_at,
                    "next_follow_at": polled.next_follow_at,
                    "under_way": sorted(polled.under_way),
                    "waiting": waiting.get(name, {}),
                    "down_since": polled.down_since,
                    "failures": polled.failures,
                    "secrets_expire": expiries(polled.source.secrets()),
                }
                for name, polled in self.sources.items()
            },
        }
