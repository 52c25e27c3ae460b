"""What the parts of one attempt share: the source, what is known of it, and what becomes of an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from runlake.config import Source
from runlake.connector import CAPABILITIES, AnyConnector, Feed, can
from runlake.errors import AuthenticationError, RateLimited, SourceError, Unreachable
from runlake.http import VendorHttp
from runlake.model import Pipeline, RunRef, run_key
from runlake.store import Books, FeedState, SourceState, Store, Sync
from runlake.sync.intake import Clock, Intake, Progress, together

TRIES = 3
"""How often a tracked handle may name nothing, a walk be held back by unreadable rows, or reading by id fail in a row,
before we go on without."""


class Enough(Exception):
    """The rest of the attempt would fail in the same way (a refused secret, a used-up quota, a host that is down)."""


class Attempt:
    """One try at one source. `failures` and `books` are what its row and its commit are made of."""

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
        self.source, self.connector, self.http, self.store = source, connector, http, store
        self.state, self.row, self.now = state, row, now
        self.intake = Intake(source, connector, http, store, row, now, progress)
        self.intake.due = {self.key(each.ref) for each in state.watched if each.due(row.started_at)}
        self.capable = {capability for capability in CAPABILITIES if can(type(connector), capability)}
        self.failed_feeds: list[str] = []
        self.worked = False
        """The vendor has shown us something."""
        self.listing = False
        """It lists runs at all, as configured."""
        self.held = False
        """A walk was not whole: its feed is read again next time."""

    @property
    def failures(self) -> list[SourceError]:
        return self.intake.failures

    @property
    def books(self) -> Books:
        return self.intake.books

    async def make(self, work: Callable[[Attempt], Awaitable[None]]) -> None:
        """Does the work and leaves the row, whatever comes of it."""
        row = self.row
        try:
            await work(self)
        except Enough:
            pass
        except SourceError as error:
            self.failures.append(error)
        except asyncio.CancelledError:
            row.outcome, row.finished_at = "interrupted", self.now()
            await self.intake.flush(last=True)
            raise
        row.finished_at = self.now()
        if self.failures:
            first = self.failures[0]
            row.outcome = "partial" if self.worked else "failed"
            row.error_class, row.error = type(first).__name__, self.http.redact(str(first))
            if len(self.failures) > 1:
                row.notes.append(f"{len(self.failures)} parts failed; the first is told")
        else:
            row.outcome = "partial" if self.held else "ok"
        await self.intake.flush(last=True)

    @asynccontextmanager
    async def surviving(self, failed_feed: str | None = None) -> AsyncIterator[None]:
        """Keeps a part's error from the other parts, unless they would fail in the same way."""
        try:
            yield
        except SourceError as error:
            self.failures.append(error)
            if failed_feed is not None:
                self.failed_feeds.append(failed_feed)
            hopeless = isinstance(error, AuthenticationError | Unreachable) and not self.worked
            if hopeless or isinstance(error, RateLimited):
                raise Enough from None

    async def feeds(self) -> list[Feed]:
        """The lists to walk. Pipelines are asked for where feeds need them, and with each sweep."""
        if "pages" not in self.capable:
            return []
        feeds = self.connector.feeds([])
        if "pipelines" in self.capable and (self.row.swept or not feeds or not self.state.feeds):
            pipelines: list[Pipeline] = []
            async with self.surviving():
                asked_before = self.http.traffic.requests
                pipelines = await self.connector.pipelines(self.http)
                # Pipelines that the config names may be given without asking, which proves nothing.
                self.worked |= self.http.traffic.requests > asked_before
            self.books.pipelines = pipelines
            feeds = self.connector.feeds(pipelines) or feeds
        return feeds

    async def each(self, feeds: Sequence[Feed], work: Callable[[Feed], Awaitable[None]]) -> None:
        """Works on feeds side by side, each in a task of its own."""
        slots = asyncio.Semaphore(self.source.concurrency)
        enough = False

        async def one(feed: Feed) -> None:
            nonlocal enough
            async with slots:
                if not enough:
                    try:
                        async with self.surviving(feed.id):
                            await work(feed)
                    except Enough:
                        enough = True

        await together(one(feed) for feed in feeds)
        if enough:
            raise Enough

    def feed_state(self, feed: Feed, purpose: str = "live") -> FeedState:
        return self.state.feeds.setdefault((purpose, feed.key), FeedState(feed=feed.key, purpose=purpose))

    def key(self, ref: RunRef) -> str:
        return run_key(self.source.name, ref)

    def note(self, text: str) -> None:
        if text not in self.row.notes:
            self.row.notes.append(text)
