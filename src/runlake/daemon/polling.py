"""One source as the daemon polls it: one attempt at a time, what came of it, and when to ask next."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from runlake import sync as engine
from runlake.config import Source
from runlake.connector import can
from runlake.daemon import cadence
from runlake.http import Budget
from runlake.model import RunRef
from runlake.store import Store, Sync
from runlake.sync import Clock, Network

log = structlog.get_logger()

MOST_AT_ONCE = 64
"""Sources that are asked at the same time: most of that time they wait for a vendor."""

MOST_OF_AN_OWNER = 32
"""Of those with the same credentials: where these wait for their quota, others do not wait for them."""

MOST_ASIDE = 8
"""Backfills and comparisons at the same time, beside those: they may last for hours."""

JITTER = 0.1
"""The share of an interval by which a source is asked earlier, so that many do not fall into step. Never later."""


@dataclass(slots=True)
class Shared:
    """What all sources are polled with."""

    store: Store
    network: Network
    now: Clock
    committed: Callable[[Sync], None]
    """Told of each attempt that has ended."""
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))
    doubtful: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(-(-MOST_AT_ONCE // 2)))
    """Sources that fail, or were never seen, get half of the slots: a thousand of them hold up none that works."""
    owned: defaultdict[str, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(MOST_OF_AN_OWNER))
    )
    """By owner, or by source until its owner is known."""
    aside: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_ASIDE))
    random: random.Random = field(default_factory=random.Random)


@dataclass(slots=True)
class Tally:
    """What a source has cost and brought since the daemon began."""

    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind and outcome."""
    seconds: float = 0.0
    requests: int = 0
    bytes: int = 0
    retries: int = 0
    new_runs: int = 0
    changed_runs: int = 0

    def add(self, row: Sync, seconds: float) -> None:
        self.attempts[row.kind, row.outcome] += 1
        self.seconds += seconds
        self.requests += row.requests
        self.bytes += row.bytes
        self.retries += row.retries
        self.new_runs += row.new_runs
        self.changed_runs += row.changed_runs


class Polled:
    """A configured source. `failures` and `last_at` are what the ledger knows from before."""

    def __init__(self, source: Source, shared: Shared, *, failures: int = 0, last_at: datetime | None = None) -> None:
        self.source, self._shared = source, shared
        self.failures = failures
        self.tally = Tally()
        self.last: Sync | None = None
        """The last sync that has ended."""
        self.under_way: dict[str, Sync] = {}
        """Attempts that go on, by kind."""
        self.down_since: datetime | None = last_at if failures else None
        self._known = last_at is not None
        self._one = asyncio.Lock()
        self._aside = asyncio.Lock()
        now = shared.now()
        self._news_at = now
        self.next_sync_at = now
        if failures and last_at is not None:
            # A restart is no reason to ask a vendor that refuses us any sooner.
            since = min(last_at, now)  # the clock may have been set back since
            self.next_sync_at = max(now, cadence.next_sync(source, since, failures=failures, quiet=timedelta()))
        self.next_follow_at: datetime | None = None
        """None while one goes on, too: should that never end well, the next sync plans another."""
        self.next_coverage_at: datetime | None = None
        """None before the first, and while one goes on."""

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def asked(self) -> bool:
        """Whether a sync goes on, or something that it would have to wait for."""
        return self._one.locked()

    @property
    def _budget(self) -> Budget | None:
        """What its owner may spend; None before the first attempt."""
        network = self._shared.network
        return network.budgets.get(network.owners.get(self.name, ""))

    @property
    def network(self) -> Network:
        """While a source fails, each attempt tries once: the next one comes by itself. While other doubtful ones wait
        for their turn, twice: hosts that are down would hold each slot for half a minute."""
        network = self._shared.network
        if not (self.failures or self._shared.doubtful.locked()):
            return network
        return replace(network, limits=replace(network.limits, attempts=1 if self.failures else 2))

    async def sync(self) -> Sync:
        """Raises StoreError."""
        source = self.source
        # Should this attempt never end well: not at once again.
        self.next_sync_at = unless_wanted = self._shared.now() + source.every
        row = await self._attempt("sync", engine.sync)
        now = self._shared.now()
        first, self.last, self._known = self.last is None, row, True
        self._judge(row, now, first=first)
        if first and row.outcome != "failed":
            facts = {"outcome": row.outcome, "new": row.new_runs, "changed": row.changed_runs, "open": row.open_runs}
            log.info("source.synced", source=self.name, **facts, requests=row.requests, sync_id=row.sync_id)
        if row.new_runs or row.changed_runs or row.vanished_runs or row.open_runs:
            self._news_at = now
        if self.next_sync_at == unless_wanted:  # else somebody has brought it forward meanwhile
            self.next_sync_at = self._next_sync(now, row)
        await self._plan_follow()
        return row

    async def follow(self) -> Sync:
        """Raises StoreError."""
        self.next_follow_at = None
        row = await self._attempt("follow", engine.follow)
        if row.changed_runs:
            self._news_at = self._shared.now()
        if not row.error:  # else the next sync finds out what is the matter
            await self._plan_follow()
        return row

    async def hint(self, refs: Sequence[RunRef]) -> Sync:
        """Raises StoreError."""

        async def read(source: Source, store: Store, **more: Any) -> Sync:
            return await engine.hinted(source, store, refs, **more)

        row = await self._attempt("hint", read)
        await self._plan_follow()
        return row

    async def track(self, handles: Sequence[str]) -> Sync:
        """Raises StoreError."""
        await self._shared.store.track(self.name, handles, self._shared.now())
        return await self.sync()

    async def backfill(self, since: datetime) -> Sync:
        """Beside the syncs, which go on meanwhile. Raises StoreError."""

        async def read(source: Source, store: Store, **more: Any) -> Sync:
            return await engine.backfill(source, store, since, **more)

        return await self._attempt("backfill", read, aside=True)

    async def coverage(self) -> tuple[Sync, list[dict[str, Any]] | None]:
        """Beside the syncs. Raises StoreError."""
        days: list[dict[str, Any]] | None = None
        self.next_coverage_at = None

        async def compare(source: Source, store: Store, **more: Any) -> Sync:
            nonlocal days
            row, days = await engine.coverage(source, store, **more)
            return row

        row = await self._attempt("coverage", compare, aside=True)
        if self.source.coverage_every is not None:
            self.next_coverage_at = self._shared.now() + self.source.coverage_every
        return row, days

    async def _attempt(self, kind: str, work: Callable[..., Awaitable[Sync]], *, aside: bool = False) -> Sync:
        shared = self._shared
        one, slots = (self._aside, shared.aside) if aside else (self._one, shared.slots)

        told = 0

        def progress(row: Sync) -> None:
            nonlocal told
            self.under_way[kind] = row
            if (news := row.new_runs + row.changed_runs) > told:
                told = news
                shared.committed(row)  # a first sync may take hours: readers see what there is

        doubtful = not aside and (self.failures or not self._known)
        owned = shared.owned[shared.network.owners.get(self.name, self.name)]
        async with one, nullcontext() if aside else owned, shared.doubtful if doubtful else nullcontext(), slots:
            began = shared.now()
            try:
                row = await work(self.source, shared.store, network=self.network, now=shared.now, progress=progress)
            except asyncio.CancelledError:
                if kind in self.under_way:
                    shared.committed(self.under_way[kind])  # what it has read is kept
                raise
            finally:
                self.under_way.pop(kind, None)
        self.tally.add(row, (shared.now() - began).total_seconds())
        shared.committed(row)
        return row

    def _judge(self, row: Sync, now: datetime, *, first: bool) -> None:
        """Logs a source going down once (and at a start that finds it down) and coming back once."""
        facts = {"source": self.name, "sync_id": row.sync_id}
        if row.outcome == "failed":
            self.failures += 1
            if first or self.down_since is None:
                self.down_since = self.down_since or now
                log.warning("source.down", error=row.error, error_class=row.error_class, **facts)
        elif row.outcome != "interrupted":
            if self.down_since is not None:
                log.info("source.recovered", down_s=round((now - self.down_since).total_seconds()), **facts)
            self.failures, self.down_since = 0, None

    def _next_sync(self, now: datetime, row: Sync) -> datetime:
        source = self.source
        at = cadence.next_sync(source, now, failures=self.failures, quiet=now - self._news_at)
        if row.open_runs and not self.failures and not source.cron and not can(source.connector_type(), "run"):
            at = now + source.soonest  # its open runs are seen in its lists only
        wait = self._budget.wait_s(now.timestamp()) if self._budget else 0.0
        return max(self._jittered(now, at), now + timedelta(seconds=wait))

    def _jittered(self, now: datetime, at: datetime) -> datetime:
        if self.source.cron and not self.failures:
            return at
        return at - (at - now) * JITTER * self._shared.random.random()

    async def _plan_follow(self) -> None:
        self.next_follow_at = None
        if self.failures or not can(self.source.connector_type(), "run"):
            return
        watched = await self._shared.store.watched(self.name)
        backlog_s = self._budget.backlog_s if self._budget else 0.0
        at = cadence.next_follow(self.source, self._shared.now(), watched, backlog_s=backlog_s)
        if at is not None and at < self.next_sync_at:
            self.next_follow_at = at
