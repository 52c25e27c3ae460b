"""Taking in what was seen: completing list rows, and committing by count or age on the way and once at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from runlake.config import Source
from runlake.connector import AnyConnector, can
from runlake.errors import AuthenticationError, RateLimited, SourceError, Unavailable
from runlake.http import Claim, VendorHttp, claim
from runlake.model import Outcome, Run, StatusTable, run_key
from runlake.store import Batch, Books, Store, Sync
from runlake.store.writer import ID_CHARS

COMMIT_RUNS = 2000
COMMIT_AFTER = timedelta(seconds=10)
MOST_UNAVAILABLE = 3
"""Details in a row that cannot be had before a walk ends there, to be taken up the next time."""
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

Clock = Callable[[], datetime]
Progress = Callable[[Sync], None]


def batch_for(source: Source) -> Batch:
    tables = source.tables()
    run, step = (StatusTable({**own, **overrides}) for own, overrides in (tables["run"], tables["step"]))
    return Batch(source.name, source.connector_type().name, run, step, source.store_payloads == "allowed")


async def together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs them side by side; the first error of any ends all, and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def sane(instant: datetime | None) -> datetime | None:
    """None for sentinels and slips of a clock, which the store does not keep either: Go's zero time is in year 1, and
    "never" in year 9999, where adding a minute overflows."""
    return instant if instant is not None and _EARLIEST <= instant <= _LATEST else None


class Intake:
    """What one attempt has seen so far, part of it committed. Fetching goes on while the writer's thread works, never
    more than one batch ahead."""

    def __init__(
        self,
        source: Source,
        connector: AnyConnector,
        http: VendorHttp,
        store: Store,
        row: Sync,
        now: Clock,
        progress: Progress | None,
    ) -> None:
        self._source, self._connector, self._http, self._store = source, connector, http, store
        self._row, self._now, self._progress = row, now, progress
        self._completes = can(type(connector), "detail") and source.steps != "none"
        self._slots = asyncio.Semaphore(source.concurrency)
        self._batch = batch_for(source)
        self._committed_at = now()
        self._writing: asyncio.Task[None] | None = None
        self._one_flush = asyncio.Lock()
        self._whole: dict[str, str] = {}
        self._unavailable = 0
        self.due: set[str] = set()
        """Open runs to be completed anew even if the list shows them unchanged: their steps go on."""
        self.books = Books(row)
        self.met: set[str] = set()
        self.failures: list[SourceError] = []
        self.refused = 0
        """Runs read by id, or ids, that are not to be believed."""

    async def take(
        self,
        runs: Sequence[Run],
        observed_at: datetime,
        read_by: str,
        request: str,
        *,
        keys: Sequence[str] | None = None,
        floor: datetime | None = None,
        whole: bool = False,
    ) -> None:
        """Adds runs to what will be committed. Final ones created before `floor` are left out.

        `keys` are theirs, where the caller has them; `whole`: they show all there is (they were read by id).
        """
        statuses = self._batch.statuses
        taken: list[tuple[str, Run]] = []
        for key, run in zip(keys or [run_key(self._source.name, run.ref) for run in runs], runs, strict=True):
            if not run.run_id or len(run.run_id) > ID_CHARS or len(run.pipeline_id) > ID_CHARS:
                self.refused += 1
                continue
            born = sane(run.created_at) or sane(run.started_at)
            if floor is not None and born is not None and born < floor and statuses[run.vendor_status].is_final:
                continue
            self.met.add(key)
            taken.append((key, run))
        stopped = None
        if self._completes and not whole:
            taken, stopped = await self._completed(taken, observed_at)
        for key, run in taken:
            self._batch.add(key, run, observed_at, read_by, request)
        self.tell()
        if stopped is not None:
            raise stopped

    async def _completed(
        self, taken: list[tuple[str, Run]], observed_at: datetime
    ) -> tuple[list[tuple[str, Run]], SourceError | None]:
        """The same runs, those that are new or changed completed by what lists leave out; and what put an end to that.

        A run that could not be completed stays as the list shows it: without its steps it is stale again next time.
        """
        # Another list has shown it already, whole: a second, poorer look would only take away.
        taken = [(key, run) for key, run in taken if self._whole.get(key) != run.vendor_status]
        probe = replace(batch_for(self._source), store_payloads=False)
        for key, run in taken:
            failed = probe.statuses[run.vendor_status].outcome is Outcome.FAILURE
            if failed or self._source.steps == "all":
                probe.add(key, run, observed_at, "", "")
        await self._written()  # what is still being written would look new
        stale = await self._store.stale(probe)
        runs = dict(taken)
        stopped: SourceError | None = None

        async def complete(key: str) -> None:
            nonlocal stopped
            claim.set(max(claim.get(), Claim.STEPS, key=lambda each: each.value))
            async with self._slots:
                if stopped is not None:
                    return
                try:
                    runs[key] = await self._connector.detail(self._http, runs[key])
                    self._whole[key] = runs[key].vendor_status
                    self._unavailable = 0
                except (RateLimited, AuthenticationError) as error:
                    stopped = error
                except SourceError as error:
                    self._unavailable += isinstance(error, Unavailable)
                    if self._unavailable >= MOST_UNAVAILABLE:
                        stopped = error
                    else:
                        self.failures.append(error)

        await together(complete(key) for key in runs if key in stale or key in self.due)
        return list(runs.items()), stopped

    def tell(self) -> None:
        row, traffic = self._row, self._http.traffic
        row.seen_runs = len(self.met)
        row.requests, row.bytes, row.retries = traffic.requests, traffic.bytes, traffic.retries
        row.unreadable = traffic.unreadable + self.refused
        row.waited_ms = round(traffic.waited_s * 1000)
        row.skew_s = round(self._http.skew.total_seconds()) if self._http.skew is not None else None
        if self._progress is not None:
            self._progress(row)

    async def flush(self, *, last: bool = False) -> None:
        """Commits if enough has come together, or if this is the last of it."""
        due = len(self._batch) >= COMMIT_RUNS or self._now() - self._committed_at >= COMMIT_AFTER
        if not last and not (due and len(self._batch)):
            return
        async with self._one_flush:
            await self._written()
            batch, books = self._batch, self.books
            self._batch, self.books = batch_for(self._source), Books(self._row)
            self._committed_at = self._now()
            self.tell()
            books.sync = replace(self._row, notes=list(self._row.notes))
            books.feeds = list({(f.purpose, f.feed): replace(f) for f in books.feeds}.values())
            self._writing = asyncio.create_task(self._commit(batch, books))
            if last:
                await self._written()

    async def _commit(self, batch: Batch, books: Books) -> None:
        written = await self._store.commit(batch, books)
        self._row.new_runs += written.new
        self._row.changed_runs += written.changed
        self._row.unknown_runs += written.unknown
        self._row.open_runs = books.sync.open_runs

    async def _written(self) -> None:
        if self._writing is not None:
            # Shielded: who waits for it may be called off, what is being written is not.
            await asyncio.shield(self._writing)
