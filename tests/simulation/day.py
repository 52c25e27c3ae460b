"""A day of 200 sources that share one quota, in virtual time: the daemon's own `Polled` and `Budget`, before a vendor
that only takes its time.

Instead of the engine of `runlake.sync` a copy of its manners asks: a page of the list at each sync, what lists leave
out of each run that is new, changed or open and due, open runs by id in between, a deeper walk every six hours.
"""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from unittest.mock import patch
from uuid import UUID

from structlog.testing import capture_logs

from runlake.config import Source
from runlake.daemon import polling
from runlake.daemon.polling import Polled, Shared
from runlake.http import Budget, Claim
from runlake.http.budget import claim
from runlake.model import RunRef
from runlake.store import Store, Sync, Watched
from runlake.sync import Network

from .virtual import now, run

T0 = datetime(2026, 7, 13, tzinfo=UTC)
DAY = 86_400.0
PER_HOUR = 5000
SOURCES = 200
RUNS_A_DAY = 50
PAGE = 25
BACKFILL = 20_000
"""Requests."""
SWEEP_EVERY, SWEEP_WINDOW = 21_600.0, 3 * DAY
_OWNER = "shared"


def instant() -> datetime:
    return T0 + timedelta(seconds=now())


@dataclass(slots=True, eq=False)
class _Run:
    ref: RunRef
    created: float
    started: float
    finished: float
    seen: str = ""

    def status(self, at: float) -> str:
        return "queued" if at < self.started else "running" if at < self.finished else "done"


@dataclass(slots=True)
class Account:
    """What one source has at its vendor, and what the ledger would know of it. `runs` from old to new."""

    runs: list[_Run]
    swept: float
    created: list[float] = field(init=False)
    by_ref: dict[RunRef, _Run] = field(init=False)
    watched: dict[RunRef, Watched] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.created = [each.created for each in self.runs]
        self.by_ref = {each.ref: each for each in self.runs}

    def newest_first(self, at: float, since: float) -> list[list[_Run]]:
        """The pages that a walk back to `since` reads."""
        pages: list[list[_Run]] = []
        end = bisect_right(self.created, at)
        while not pages or (end > 0 and pages[-1][0].created >= since):
            pages.append(self.runs[max(0, end - PAGE) : end][::-1])
            end -= PAGE
        return pages

    def saw(self, each: _Run, at: float) -> bool:
        """Takes note of a run as it is now; whether it is new or has changed."""
        status = each.status(at)
        changed, each.seen = status != each.seen, status
        if status == "done":
            self.watched.pop(each.ref, None)
        else:
            known = self.watched.get(each.ref) or Watched(ref=each.ref, why="open", since=instant())
            known.read_at = instant()
            self.watched[each.ref] = known
        return changed


@dataclass(repr=False)
class Figures:
    """`waits`: seconds in the budget's queue by what requests were for; `begins`: when each went out."""

    waits: dict[Claim, list[float]] = field(default_factory=lambda: {kind: [] for kind in Claim})
    begins: list[float] = field(default_factory=list)
    cycles: list[float] = field(default_factory=list)
    """Seconds from when a sync was due to its end, of those without a sweep; and of those with one:"""
    sweeps: list[float] = field(default_factory=list)
    late_follows: list[float] = field(default_factory=list)
    """Seconds from when open runs were to be read by id to when they were."""
    late_ends: list[float] = field(default_factory=list)
    """Seconds from a run's end to when we had seen it."""
    backfilled_at: list[float] = field(default_factory=list)

    def most_in_an_hour(self) -> int:
        first, most = 0, 0
        for place, began in enumerate(self.begins):
            while began - self.begins[first] >= 3600 - 0.01:  # the virtual clock moves a little by itself
                first += 1
            most = max(most, place - first + 1)
        return most


def quantile(values: Sequence[float], share: float) -> float:
    """0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


class Engine:
    """In place of `runlake.sync`: asks as it does. `fifo` lets no request go before another."""

    def __init__(self, accounts: dict[str, Account], figures: Figures, rng: random.Random, *, fifo: bool) -> None:
        self._accounts, self._figures, self._random, self._fifo = accounts, figures, rng, fifo

    async def sync(self, source: Source, store: Store, *, network: Network, **_: Any) -> Sync:
        account, row = self._accounts[source.name], self._row(source, "sync")
        started = now()
        row.swept = started - account.swept >= SWEEP_EVERY
        pages = account.newest_first(started, started - SWEEP_WINDOW if row.swept else started)
        for number, page in enumerate(pages):
            await self._ask(source, network, Claim.SWEEP if number else Claim.NEW)
            incomplete = [each for each in page if each.seen != "done" and self._saw(account, each, row)]
            await self._side_by_side(source, network, Claim.STEPS, len(incomplete))
        if row.swept:
            account.swept = started
        await self._read(source, network, row, {each.ref for page in pages for each in page})
        return self._ended(row, account)

    async def follow(self, source: Source, store: Store, *, network: Network, **_: Any) -> Sync:
        row = self._row(source, "follow")
        await self._read(source, network, row, set())
        return self._ended(row, self._accounts[source.name])

    async def backfill(self, source: Source, store: Store, since: datetime, *, network: Network, **_: Any) -> Sync:
        await self._side_by_side(source, network, Claim.BACKFILL, BACKFILL)
        return self._ended(self._row(source, "backfill"), self._accounts[source.name])

    async def _read(self, source: Source, network: Network, row: Sync, met: set[RunRef]) -> None:
        """Open runs that are due, by id: each with its steps, a request of their own."""
        account = self._accounts[source.name]
        due = [ref for ref, each in account.watched.items() if ref not in met and each.due(row.started_at)]

        async def one(each: _Run) -> None:
            await self._ask(source, network, Claim.OPEN)
            await self._ask(source, network, Claim.OPEN)
            self._saw(account, each, row)

        async with asyncio.TaskGroup() as group:
            for ref in due:
                group.create_task(one(account.by_ref[ref]))

    def _saw(self, account: Account, each: _Run, row: Sync) -> bool:
        """Whether what lists leave out of it is to be read."""
        new, known = not each.seen, account.watched.get(each.ref)
        due = known is not None and known.due(row.started_at)
        changed = account.saw(each, now())
        row.new_runs += new
        row.changed_runs += changed and not new
        if changed and not new and each.seen == "done" and each.finished > 0:
            self._figures.late_ends.append(now() - each.finished)
        return changed or due

    async def _side_by_side(self, source: Source, network: Network, kind: Claim, count: int) -> None:
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                await self._ask(source, network, kind)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(count, source.concurrency)):
                group.create_task(worker())

    async def _ask(self, source: Source, network: Network, kind: Claim) -> None:
        budget = network.budgets.setdefault(_OWNER, Budget())
        network.owners[source.name] = _OWNER
        budget.agree(source.name, source.requests_per_hour, source.concurrency)
        claim.set(Claim.NEW if self._fifo else kind)
        asked_at = now()
        async with budget.slot(source.name):
            self._figures.waits[kind].append(now() - asked_at)
            self._figures.begins.append(now())
            await asyncio.sleep(self._random.uniform(0.1, 0.5))
        if kind is Claim.BACKFILL:
            self._figures.backfilled_at.append(now())

    def _row(self, source: Source, kind: str) -> Sync:
        sync_id = str(UUID(int=self._random.getrandbits(128)))
        return Sync(sync_id=sync_id, source=source.name, vendor=source.connector, kind=kind, started_at=instant())

    def _ended(self, row: Sync, account: Account) -> Sync:
        row.outcome, row.finished_at, row.open_runs = "ok", instant(), len(account.watched)
        return row


class _Ledger:
    """All that `Polled` asks of a store."""

    def __init__(self, accounts: dict[str, Account]) -> None:
        self._accounts = accounts

    async def watched(self, source: str) -> list[Watched]:
        return list(self._accounts[source].watched.values())


def _account(name: str, rng: random.Random, days: float) -> Account:
    """Three days of runs that are known, and those that are to come. Most take minutes, one in twenty takes hours."""
    runs: list[_Run] = []
    for _ in range(round(RUNS_A_DAY * (3 + days))):
        created = rng.uniform(-3 * DAY, days * DAY)
        started = created + rng.uniform(1, 60)
        kind = rng.random()
        median = 240 if kind < 0.7 else 1800 if kind < 0.95 else 4 * 3600
        ref = RunRef("etl", f"{name}-{len(runs)}")
        runs.append(_Run(ref, created, started, started + rng.lognormvariate(math.log(median), 0.5)))
    runs.sort(key=lambda each: each.created)
    account = Account(runs, swept=-rng.uniform(0, SWEEP_EVERY))
    for each in runs:
        if each.created < 0:
            each.seen = each.status(0)
            if each.seen != "done":
                at = T0 + timedelta(seconds=each.created)
                account.watched[each.ref] = Watched(ref=each.ref, why="open", since=at, read_at=T0)
    return account


@contextmanager
def _asked_by(engine: Engine) -> Iterator[None]:
    with patch.object(polling, "engine", engine), capture_logs():
        yield


def simulate(*, fifo: bool = False, backfill: bool = True, days: float = 1.0, seed: int = 7) -> Figures:
    """A day, begun with all sources due at once. `fifo`: all requests are of the same claim."""
    rng, figures = random.Random(seed), Figures()
    accounts = {f"s{number}": _account(f"s{number}", rng, days) for number in range(SOURCES)}

    async def work() -> None:
        store = cast(Store, _Ledger(accounts))
        shared = Shared(store, Network(), instant, lambda row: None, random=random.Random(seed))
        polled = [
            Polled(Source(name=name, connector="esper", requests_per_hour=PER_HOUR, owner=_OWNER), shared)
            for name in accounts
        ]
        jobs: list[asyncio.Task[Any]] = [asyncio.create_task(_poll(each, figures)) for each in polled]
        if backfill:
            await asyncio.sleep(3600)
            jobs.append(asyncio.create_task(polled[0].backfill(T0 - timedelta(days=300))))
        await asyncio.sleep(days * DAY - now())
        for job in jobs:
            if job.done():
                job.result()  # raises, if it is a bug that has ended it
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    with _asked_by(Engine(accounts, figures, rng, fifo=fifo)):
        run(work)
    return figures


async def _poll(polled: Polled, figures: Figures) -> None:
    """What the daemon's scheduler does with one source."""
    while True:
        follow_at = polled.next_follow_at
        due = min(polled.next_sync_at, follow_at or polled.next_sync_at)
        await asyncio.sleep(max(0.0, (due - instant()).total_seconds()))
        work: Callable[[], Awaitable[Sync]] = polled.follow if due == follow_at else polled.sync
        row = await work()
        kept = figures.late_follows if row.kind == "follow" else figures.sweeps if row.swept else figures.cycles
        kept.append((instant() - due).total_seconds())
