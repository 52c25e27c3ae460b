"""One attempt at one source: newest runs, open runs, sweep, and one commit for what was seen and how far.

Every attempt leaves a row in `syncs`. An error of the source ends the part that it concerns (a feed, a run), is kept in
that row, and holds back `observed_through` of that feed alone; an error of our own store ends the attempt.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import pairwise
from statistics import median_high
from typing import Any
from uuid import uuid4

from runlake.config import Source
from runlake.connector import AnyConnector, Feed, Order, can
from runlake.errors import (
    AuthenticationError,
    ConfigError,
    NotFound,
    RateLimited,
    SourceError,
    Unavailable,
    UnexpectedResponse,
)
from runlake.http import Budget, HttpLimits, VendorHttp, first_asked, unreadable
from runlake.model import Outcome, Pipeline, Run, RunRef, StatusTable, run_key
from runlake.store import Batch, Books, FeedState, SourceState, Store, Sync, Tracked, Watched
from runlake.store.writer import ID_CHARS

COMMIT_RUNS = 5000
COMMIT_AFTER = timedelta(seconds=10)
MOST_PAGES = 100_000
MOST_SWEEP_READS = 200
TRIES = 3
"""How often a tracked handle may name nothing, or a walk be held back by unreadable rows, before we go on without."""

Clock = Callable[[], datetime]
Progress = Callable[[Sync], None]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Network:
    """How sources reach their vendors: shared budgets, and what tests set otherwise."""

    limits: HttpLimits = field(default_factory=HttpLimits)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    budgets: dict[str, Budget] = field(default_factory=dict)

    def client(self, source: Source, connector: AnyConnector, now: Clock) -> VendorHttp:
        sign = connector.sign()
        secrets = "\x1f".join([str(connector.settings.base_url), *sign.secrets()])
        # Whoever holds the same credentials draws on the same quota.
        owner = source.owner or blake2b(secrets.encode(), digest_size=16).hexdigest()
        budget = self.budgets.setdefault(owner, Budget(source.requests_per_hour, source.concurrency))
        return VendorHttp(
            str(connector.settings.base_url),
            sign,
            budget=budget,
            limits=self.limits,
            sleep=self.sleep,
            now=lambda: now().timestamp(),
        )


class _SeldomCollected:
    """The garbage collector looks less often while any sync is under way. A page is thousands of small objects, none in
    cycles; at the usual threshold of 700 looking at them over and over took a third of the time of parsing."""

    def __init__(self) -> None:
        self._under_way, self._usual = 0, gc.get_threshold()

    def __enter__(self) -> None:
        if not self._under_way:
            self._usual = gc.get_threshold()
            gc.set_threshold(max(self._usual[0], 10_000), *self._usual[1:])
        self._under_way += 1

    def __exit__(self, *_: object) -> None:
        self._under_way -= 1
        if not self._under_way:
            gc.set_threshold(*self._usual)


_seldom_collected = _SeldomCollected()


async def sync(
    source: Source,
    store: Store,
    *,
    network: Network | None = None,
    now: Clock = utc_now,
    progress: Progress | None = None,
    every_open_run: bool = False,
) -> Sync:
    """One attempt; returns its row. `every_open_run` reads all open runs, due or not. Raises only StoreError."""

    async def work(attempt: _Attempt) -> None:
        await attempt.newest()
        await attempt.open_runs(every=every_open_run)
        await attempt.sweep()

    return await _attempt("sync", source, store, work, network or Network(), now, progress)


async def backfill(
    source: Source,
    store: Store,
    since: datetime,
    *,
    network: Network | None = None,
    now: Clock = utc_now,
    progress: Progress | None = None,
) -> Sync:
    """Reads runs back to `since` beside the live state; taken up where it was interrupted."""

    async def work(attempt: _Attempt) -> None:
        await attempt.backfill(since)

    return await _attempt("backfill", source, store, work, network or Network(), now, progress)


async def coverage(
    source: Source,
    store: Store,
    *,
    network: Network | None = None,
    now: Clock = utc_now,
    progress: Progress | None = None,
) -> tuple[Sync, list[dict[str, Any]] | None]:
    """Compares the vendor's unfiltered list with the ledger, then fetches what is missing.

    Returns the rows of `coverage` (None where the vendor documents no list, or where it could not be read to its end).
    """
    compared: list[list[dict[str, Any]]] = []

    async def work(attempt: _Attempt) -> None:
        rows = await attempt.coverage()
        if rows is not None:
            compared.append(rows)

    row = await _attempt("coverage", source, store, work, network or Network(), now, progress)
    return row, compared[0] if compared else None


async def _attempt(
    kind: str,
    source: Source,
    store: Store,
    work: Callable[[_Attempt], Awaitable[None]],
    network: Network,
    now: Clock,
    progress: Progress | None,
) -> Sync:
    kind_of = source.connector_type()
    row = Sync(sync_id=str(uuid4()), source=source.name, vendor=kind_of.name, kind=kind, started_at=now())
    state = await store.begin(source.name, kind_of.name, kind_of.title, source.tables(), row.started_at)
    if state.remapped:
        row.notes.append(f"the status mapping has changed: {state.remapped} runs and steps remapped")
    try:
        connector = source.build()
        http = network.client(source, connector, now)
    except ConfigError as error:  # an unset secret: this source cannot be asked, the others can
        row.outcome, row.error_class, row.error, row.finished_at = "failed", "ConfigError", str(error), now()
        await store.commit(_batch(source), Books(row))
        return row
    async with http:
        attempt = _Attempt(source, connector, http, store, state, row, now, progress)
        with _seldom_collected:
            await attempt.all_of(work)
    return row


def _batch(source: Source) -> Batch:
    tables = source.tables()
    run, step = (StatusTable({**own, **overrides}) for own, overrides in (tables["run"], tables["step"]))
    return Batch(source.name, source.connector_type().name, run, step, source.store_payloads == "allowed")


def _newest_first(page: list[datetime], before: datetime | None, slack: timedelta) -> bool:
    """Whether a page keeps the order. A row or two may stand out: a run that was started again keeps its old place."""
    out_of_place = sum(later > earlier + slack for earlier, later in pairwise(page))
    rises = before is not None and bool(page) and median_high(page) > before + slack
    return out_of_place <= max(2, len(page) // 10) and not rises


async def _together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs them side by side; the first error of any ends all, and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


class _Enough(Exception):
    """The rest of the attempt would fail in the same way (a refused secret, a used-up quota)."""


class _Attempt:
    def __init__(
        self,
        source: Source,
        connector: AnyConnector,
        http: VendorHttp,
        store: Store,
        state: SourceState,
        row: Sync,
        now: Clock,
        progress: Progress | None,
    ) -> None:
        self._source, self._connector, self._http, self._store = source, connector, http, store
        self._state, self._row, self._now, self._progress = state, row, now, progress
        self._capable = {
            name: can(type(connector), name) for name in ("pages", "run", "detail", "pipelines", "resolve")
        }
        self._met: set[str] = set()
        self._failures: list[SourceError] = []
        self._failed_feeds: list[str] = []
        self._worked = False  # whether the vendor has shown us anything
        self._listing = False  # whether it lists runs at all, as configured
        self._held = False
        self._batch = _batch(source)
        self._books = Books(row)
        self._flushed_at = now()
        self._writing: asyncio.Task[Any] | None = None
        self._flushing = asyncio.Lock()
        self._slots = asyncio.Semaphore(source.concurrency)

    # -- the whole

    async def all_of(self, work: Callable[[_Attempt], Awaitable[None]]) -> None:
        try:
            await work(self)
        except _Enough:
            pass
        except SourceError as error:
            self._failures.append(error)
        except asyncio.CancelledError:
            self._row.outcome, self._row.finished_at = "interrupted", self._now()
            await self._flush(last=True)
            raise
        row = self._row
        row.finished_at = self._now()
        if self._failures:
            first = self._failures[0]
            row.outcome = "partial" if self._worked else "failed"
            row.error_class, row.error = type(first).__name__, self._http.redact(str(first))
            if len(self._failures) > 1:
                row.notes.append(f"{len(self._failures)} parts failed; the first is told")
        else:
            row.outcome = "partial" if self._held else "ok"
        await self._flush(last=True)

    @asynccontextmanager
    async def _surviving(self, failed_feed: str | None = None) -> AsyncIterator[None]:
        """Keeps a part's error from the other parts, unless they would fail in the same way."""
        try:
            yield
        except SourceError as error:
            self._failures.append(error)
            if failed_feed is not None:
                self._failed_feeds.append(failed_feed)
            if isinstance(error, RateLimited) or (isinstance(error, AuthenticationError) and not self._worked):
                raise _Enough from None

    # -- 1. newest first, 3. the deeper walk of a sweep

    async def newest(self) -> None:
        row, state = self._row, self._state
        live = [s for (purpose, _), s in state.feeds.items() if purpose == "live"]
        walked = [s.swept_at for s in live if s.swept_at is not None]
        row.swept = bool(walked) and row.started_at - min(walked) >= self._source.sweep_every
        feeds = await self._feeds()
        self._listing = bool(feeds)
        await self._each(feeds, self._live)
        if feeds and not self._failures:
            through = [self._feed(feed).observed_through for feed in feeds if not feed.sweep_only]
            if all(through):
                row.observed_through = min(t for t in through if t)

    async def _feeds(self) -> list[Feed]:
        if not self._capable["pages"]:
            return []
        feeds = self._connector.feeds([])
        if self._capable["pipelines"] and (self._row.swept or not feeds or not self._state.feeds):
            pipelines: list[Pipeline] = []
            async with self._surviving():
                pipelines = await self._connector.pipelines(self._http)
                self._worked = True
            self._books.pipelines = pipelines
            feeds = self._connector.feeds(pipelines) or feeds
        return feeds

    async def _each(self, feeds: Sequence[Feed], work: Callable[[Feed], Awaitable[None]]) -> None:
        """Walks feeds side by side, each in a task of its own."""
        slots = asyncio.Semaphore(self._source.concurrency)
        enough = False

        async def one(feed: Feed) -> None:
            nonlocal enough
            async with slots:
                if not enough:
                    try:
                        async with self._surviving(feed.id):
                            await work(feed)
                    except _Enough:
                        enough = True

        await _together(one(feed) for feed in feeds)
        if enough:
            raise _Enough

    async def _live(self, feed: Feed) -> None:
        state, started, overlap = self._feed(feed), self._now(), self._connector.overlap
        first = state.observed_through is None
        if feed.sweep_only and not (self._row.swept or first):
            return
        sweep_from = started - self._source.sweep_window
        whole = True
        if first and state.cursor is not None and state.walk_started_at and state.walk_since:
            # A walk that was interrupted: what is new since it began, then the rest of it.
            since, began = state.walk_since, state.walk_started_at
            if feed.order is Order.NEWEST_FIRST:
                whole = await self._walk(feed, state, began - overlap, "list", floor=since)
            whole &= await self._walk(feed, state, since, "list", floor=since, cursor=state.cursor, resumable=True)
        elif first:
            state.walk_started_at, state.walk_since = started, started - self._source.history
            since = state.walk_since
            whole = await self._walk(feed, state, since, "list", floor=since, resumable=True)
        else:
            assert state.observed_through is not None
            since = state.observed_through - overlap
            deep = self._row.swept and feed.order is Order.NEWEST_FIRST
            whole = await self._walk(
                feed,
                state,
                min(since, sweep_from) if deep else since,
                "list",
                floor=state.walk_since,
                sweep_below=since,
            )
            if self._row.swept and feed.order is Order.UPDATED_SINCE:
                whole &= await self._walk(feed, state, sweep_from, "sweep", floor=state.walk_since, filtered=False)
        state.cursor = None
        if whole or state.held >= TRIES - 1:
            state.observed_through, state.held = started, 0
        else:
            state.held += 1
            self._held = True
            self._note(
                f"{feed.key or 'the list'} had rows that could not be read, or fewer than it said: read again next time"
            )
        if first or self._row.swept or not whole:
            # Not whole: a sweep is due at once.
            state.swept_at = started if whole else datetime.fromtimestamp(0, UTC)
        self._books.feeds.append(state)

    def _feed(self, feed: Feed, purpose: str = "live") -> FeedState:
        return self._state.feeds.setdefault((purpose, feed.key), FeedState(feed=feed.key, purpose=purpose))

    async def _walk(
        self,
        feed: Feed,
        state: FeedState,
        since: datetime,
        read_by: str,
        *,
        floor: datetime | None,
        cursor: str | None = None,
        resumable: bool = False,
        filtered: bool = True,
        sweep_below: datetime | None = None,
    ) -> bool:
        """Reads a feed back to `since`; False where it was not read whole (unreadable rows, fewer than it says it has).

        The vendor's order is watched: once a run stands out of it, the walk goes on to the end of the list.
        """
        connector, slack = self._connector, self._connector.overlap
        bad_before, met = unreadable.get(), set[str]()
        before: datetime | None = None  # the middle of the page before
        sorted_so_far, total, to_the_end, pages_read = True, None, True, 0
        stops = feed.order is Order.NEWEST_FIRST or (feed.order is Order.UPDATED_SINCE and not filtered)
        pages = connector.pages(self._http, feed, since if filtered else None, cursor)
        first_asked.set("")
        async with aclosing(pages):  # type: ignore[type-var]
            async for page in pages:
                pages_read += 1
                observed_at, request = self._now(), first_asked.get()
                keys = [run_key(self._source.name, run.ref) for run in page.runs]
                instants = [connector.sort_key(run) for run in page.runs]
                newest = max((at for at in instants if at is not None), default=None)
                # Rows met before have shifted here from the page before.
                first_met = [at for key, at in zip(keys, instants, strict=True) if at is not None and key not in met]
                sorted_so_far &= _newest_first(first_met, before, slack)
                before = median_high(first_met) if first_met else before
                met.update(keys)
                older = sweep_below is not None and newest is not None and newest < sweep_below
                await self._take(page.runs, observed_at, "sweep" if older else read_by, request, floor)
                total = page.total
                self._worked = True
                if resumable:
                    state.cursor = page.cursor
                    if page.cursor is not None:
                        self._books.feeds.append(state)
                await self._flush()
                if stops and state.in_order and sorted_so_far and newest is not None and newest < since:
                    to_the_end = False
                    break
                first_asked.set("")
                if pages_read >= MOST_PAGES:
                    raise UnexpectedResponse(f"{feed.key or 'the list'} goes on after {MOST_PAGES} pages")
        if stops:
            if not sorted_so_far:
                self._row.out_of_order += 1
                self._note(f"{feed.key or 'the list'} is not newest first: read to its end until it is")
            state.in_order = sorted_so_far
        bad = unreadable.get() - bad_before
        if bad and not met:
            raise UnexpectedResponse(
                f"none of the {bad} rows of {feed.key or 'the list'} could be read: their shape has changed"
            )
        short = to_the_end and cursor is None and total is not None and len(met) + bad < total
        return not bad and not short

    # -- taking in what was seen

    async def _take(
        self, runs: Iterable[Run], observed_at: datetime, read_by: str, request: str, floor: datetime | None = None
    ) -> None:
        source, statuses = self._source.name, self._batch.statuses
        taken = []
        for run in runs:
            if not run.run_id or len(run.run_id) > ID_CHARS or len(run.pipeline_id) > ID_CHARS:
                self._row.unreadable += 1
                continue
            born = run.created_at or run.started_at
            if floor is not None and born is not None and born < floor and statuses[run.vendor_status].is_final:
                continue
            key = run_key(source, run.ref)
            self._met.add(key)
            taken.append((key, run))
        if self._capable["detail"] and self._source.steps != "none" and read_by != "id":
            taken = await self._detailed(taken, observed_at)
        for key, run in taken:
            self._batch.add(key, run, observed_at, read_by, request)
        self._tell()

    async def _detailed(self, taken: list[tuple[str, Run]], observed_at: datetime) -> list[tuple[str, Run]]:
        """The same runs; those that are new or changed completed by what lists leave out."""
        probe = replace(_batch(self._source), store_payloads=False)
        wanted = dict(taken)
        if self._source.steps == "failed":
            failed = Outcome.FAILURE
            wanted = {key: run for key, run in taken if probe.statuses[run.vendor_status].outcome is failed}
        for key, run in wanted.items():
            probe.add(key, run, observed_at, "", "")
        await self._written()  # what is still being written would look new
        stale = await self._store.stale(probe)

        async def complete(key: str, run: Run) -> Run:
            if key not in stale:
                return run
            async with self._slots:
                try:
                    return await self._connector.detail(self._http, run)
                except (NotFound, Unavailable, UnexpectedResponse) as error:
                    # The row itself is good; its missing steps make it stale again next time.
                    self._failures.append(error)
                    return run

        return [
            (key, run)
            for (key, _), run in zip(taken, await asyncio.gather(*(complete(k, r) for k, r in taken)), strict=True)
        ]

    def _tell(self) -> None:
        row, traffic = self._row, self._http.traffic
        row.seen_runs = len(self._met)
        row.requests, row.bytes, row.retries = traffic.requests, traffic.bytes, traffic.retries
        row.waited_ms = round(traffic.waited_s * 1000)
        row.skew_s = round(self._http.skew.total_seconds()) if self._http.skew is not None else None
        if self._progress is not None:
            self._progress(row)

    def _note(self, text: str) -> None:
        if text not in self._row.notes:
            self._row.notes.append(text)

    # -- writing: one commit at the end, or every few thousand runs on the way

    async def _flush(self, *, last: bool = False) -> None:
        due = len(self._batch) >= COMMIT_RUNS or self._now() - self._flushed_at >= COMMIT_AFTER
        if not last and not (due and len(self._batch)):
            return
        async with self._flushing:
            # Fetching goes on while the writer's thread works; never more than one batch behind.
            await self._written()
            batch, books = self._batch, self._books
            self._batch, self._books = _batch(self._source), Books(self._row)
            self._flushed_at = self._now()
            self._tell()
            self._row.unreadable = max(self._row.unreadable, self._http.traffic.unreadable)
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
            await self._writing

    # -- 2. open runs, and runs that a person or a vendor's object named

    async def open_runs(self, *, every: bool) -> None:
        if not self._capable["run"]:
            return
        due = [
            watched
            for watched in self._state.watched
            if run_key(self._source.name, watched.ref) not in self._met and (every or watched.due(self._row.started_at))
        ]
        due += await self._named()
        complete = await self._read(list({each.ref: each for each in due}.values()))
        row = self._row
        if not self._listing and complete and not self._failures:
            row.observed_through = row.started_at
        if not complete:
            row.observed_through = None

    async def _named(self) -> list[Watched]:
        """What the handles that users track name and we have not read yet."""
        if not self._capable["resolve"]:
            return []
        now, source = self._row.started_at, self._source.name
        known = self._state.tracked
        for handle in self._connector.tracked():
            known.setdefault(handle, Tracked(handle=handle, added_at=now))
        found: list[Watched] = []
        for tracked in [t for t in known.values() if t.settled_at is None]:
            tracked.read_at, tracked.tries = now, tracked.tries + 1
            try:
                async with self._surviving():
                    named = await self._resolved(tracked.handle)
                    self._worked = True
                    tracked.error = None
                    if named.settled:
                        tracked.settled_at = now
                    keys = {run_key(source, ref): ref for ref in named.refs}
                    stored = await self._store.stored(source, list(keys))
                    found += [Watched(ref=r, why="tracked", since=now) for k, r in keys.items() if k not in stored]
            finally:
                self._books.tracked.append(tracked)
        # Kept at once, so that a crash or an outage before they are read does not lose them.
        self._books.watch += found
        return found

    async def _resolved(self, handle: str) -> Any:
        try:
            return await self._connector.resolve(self._http, handle)
        except NotFound as error:
            tracked = self._state.tracked[handle]
            tracked.error = str(error)
            if tracked.tries >= TRIES:
                tracked.settled_at = self._row.started_at
            raise

    async def _read(self, watched: Sequence[Watched], read_by: str = "id") -> bool:
        """Reads runs by id; True where each was read or found gone."""
        gone: list[tuple[Watched, NotFound, str]] = []
        failures, queue = 0, list(reversed(watched))
        source = self._source.name

        async def reader() -> None:
            nonlocal failures
            while queue and failures < TRIES:
                each = queue.pop()
                key = run_key(source, each.ref)
                first_asked.set("")
                try:
                    run = await self._connector.run(self._http, each.ref)
                    if run.run_id != each.ref.run_id:
                        raise UnexpectedResponse(f"asked for run {each.ref.run_id[:80]}, got {run.run_id[:80]}")
                except NotFound as error:
                    gone.append((each, error, first_asked.get()))
                    continue
                except UnexpectedResponse as error:  # one bad run never stops another
                    self._failures.append(error)
                    self._row.unreadable += 1
                    continue
                except SourceError as error:
                    self._failures.append(error)
                    failures = TRIES if isinstance(error, RateLimited) else failures + 1
                    continue
                self._worked = True
                await self._take([run], self._now(), read_by, first_asked.get())
                if run_key(source, run.ref) != key:
                    self._books.forget.append(key)
                await self._flush()

        await _together(reader() for _ in range(min(self._source.concurrency, len(queue))))
        self._bury(gone)
        return failures == 0

    def _bury(self, gone: list[tuple[Watched, NotFound, str]]) -> None:
        """Runs that reading by id says are gone: believed only if the same credentials still see something else."""
        for watched, error, request in gone:
            key = run_key(self._source.name, watched.ref)
            if watched.created_at is None:
                if watched.why == "tracked":
                    self._note(f"tracked run {watched.ref.run_id[:80]} is not there")
                    self._failures.append(error)
                if watched.reads + 1 >= TRIES:
                    self._books.forget.append(key)
                else:
                    self._books.watch.append(replace(watched, reads=watched.reads + 1, read_at=self._row.started_at))
            elif self._worked:
                self._row.vanished_runs += 1
                self._books.vanished.append((key, watched.created_at, self._now(), request))
            else:
                self._failures.append(error)

    # -- 3. sweep

    async def sweep(self) -> None:
        """Final runs of the window that no list showed: read by id, which finds late edits and deletions."""
        row = self._row
        if not self._listing:
            unlisted = self._feed(Feed())
            if row.swept or unlisted.swept_at is None:
                unlisted.swept_at = row.started_at
                self._books.feeds.append(unlisted)
        if not row.swept or not self._capable["run"]:
            return
        since, until = row.started_at - self._source.sweep_window, row.started_at - self._connector.overlap
        floors = [s.walk_since for s in self._state.feeds.values() if s.purpose == "live" and s.walk_since]
        since = max([since, *floors]) if floors else since
        await self._flush(last=True)
        unseen = await self._store.unseen(
            self._source.name, since, until, list(self._met), self._failed_feeds, MOST_SWEEP_READS
        )
        await self._read(unseen, "sweep")

    # -- backfill and coverage

    async def backfill(self, since: datetime) -> None:
        async def one(feed: Feed) -> None:
            state = self._feed(feed, "backfill")
            if state.cursor is None or state.walk_since != since:
                state.walk_started_at, state.walk_since, state.cursor = self._now(), since, None
            live = self._feed(feed)
            await self._walk(
                feed, state, since, "backfill", floor=since, cursor=state.cursor, resumable=True, filtered=False
            )
            state.cursor, state.observed_through = None, self._now()
            self._books.feeds.append(state)
            if live.walk_since is not None and since < live.walk_since:
                live.walk_since = since
                self._books.feeds.append(live)

        feeds = await self._feeds()
        if not feeds:
            raise UnexpectedResponse(f"{self._connector.title} documents no list to go back in; use `runlake track`")
        await self._each(feeds, one)

    async def coverage(self) -> list[dict[str, Any]] | None:
        listed: dict[str, tuple[str, str, str, datetime]] = {}
        refs: dict[tuple[str, str], RunRef] = {}

        async def one(feed: Feed) -> None:
            state = self._feed(feed)
            floor = state.walk_since or self._row.started_at - self._source.history
            pages = self._connector.pages(self._http, feed, None, None)
            async with aclosing(pages):  # type: ignore[type-var]
                async for page in pages:
                    self._worked = True
                    newest = [at for run in page.runs if (at := self._connector.sort_key(run)) is not None]
                    for run in page.runs:
                        born = run.created_at or run.started_at or self._now()
                        # What is younger than our last look is not missing, only new.
                        if floor <= born <= (state.observed_through or born):
                            key = run_key(self._source.name, run.ref)
                            listed[key] = (key, run.pipeline_id, run.run_id, born)
                            refs[run.pipeline_id, run.run_id] = run.ref
                            self._met.add(key)
                    self._tell()
                    if feed.order is not Order.UNSORTED and state.in_order and newest and max(newest) < floor:
                        break

        feeds = await self._feeds()
        await self._each(feeds, one)
        if not feeds or self._failures:
            return None
        rows = await self._store.compare(self._source.name, list(listed.values()), self._row.started_at)
        missing = [
            Watched(ref=refs[row["pipeline_id"], run_id], why="missing", since=self._row.started_at)
            for row in rows
            for run_id in row["missing_run_ids"]
        ]
        self._books.watch += missing
        await self._read(missing, "coverage")
        return rows
