"""The ledger on disk: one connection, owned by one writer thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from runlake.model import StatusTable
from runlake.store import books as _books
from runlake.store import coverage as _coverage
from runlake.store import mapping, published, writer
from runlake.store.books import Books, FeedState, SourceState, Sync, Tracked, Watched
from runlake.store.database import connect, require_space, translated
from runlake.store.published import open_published, published_path
from runlake.store.writer import Batch, Written

__all__ = [
    "Batch",
    "Books",
    "FeedState",
    "SourceState",
    "Store",
    "Sync",
    "Tracked",
    "Watched",
    "Written",
    "open_published",
    "published_path",
]

T = TypeVar("T")


class Store:
    """The ledger's file. All work on it happens in one thread, one transaction after another; DuckDB releases the
    interpreter lock there, so the event loop goes on fetching. Every method may raise StoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._con: duckdb.DuckDBPyConnection | None = None

    async def __aenter__(self) -> Store:
        try:
            self._con = await self._do(lambda: connect(self.path))
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._do(self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        if self._con is not None:
            self._con.close()

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translating, work)

    def _translating(self, work: Callable[[], T]) -> T:
        with translated(self.path):
            return work()

    async def _transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T], *, keep: bool = True) -> T:
        def whole() -> T:
            con = self._connection
            require_space(self.path)
            con.execute("BEGIN")
            try:
                result = work(con)
                con.execute("COMMIT" if keep else "ROLLBACK")
            except BaseException:
                _roll_back(con)
                raise
            return result

        return await self._do(whole)

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._con is None:
            raise AssertionError("use `async with Store(path)`")
        return self._con

    # -- what a sync needs

    async def begin(
        self,
        source: str,
        vendor: str,
        title: str,
        tables: Mapping[str, tuple[StatusTable, StatusTable]],
        at: datetime,
    ) -> SourceState:
        """What is known of a source. Makes it known if it is new, and applies a changed status mapping to history."""

        def work(con: duckdb.DuckDBPyConnection) -> SourceState:
            if not con.execute("SELECT 1 FROM rl.sources WHERE source = ?", [source]).fetchall():
                con.execute("INSERT INTO rl.sources VALUES (?, ?, ?, NULL, NULL)", [source, vendor, title])
            changed = mapping.put(con, source, vendor, tables)
            changes = mapping.remap(con, source, at) if changed else []
            state = _books.load(con, source)
            state.remapped = sum(change["rows"] for change in changes)
            return state

        return await self._transaction(work)

    async def stale(self, batch: Batch) -> set[str]:
        """The keys of the runs that are new or changed, or whose steps were never read."""
        return await self._do(lambda: writer.stale(self._connection, batch))

    async def commit(self, batch: Batch, books: Books) -> Written:
        """Rows, history and books in one transaction; adds what changed to `books.sync`."""

        def work(con: duckdb.DuckDBPyConnection) -> Written:
            _books.keep_watch(con, books)
            written = writer.write(con, batch, books.sync.sync_id)
            books.sync.new_runs += written.new
            books.sync.changed_runs += written.changed
            books.sync.unknown_runs += written.unknown
            _books.keep(con, books)
            return written

        return await self._transaction(work)

    async def unseen(
        self, source: str, since: datetime, until: datetime, seen: Sequence[str], failed_feeds: Sequence[str], most: int
    ) -> list[Watched]:
        """Stored final runs created between the two that are not among the keys seen: gone, or left out of a list."""
        return await self._do(
            lambda: _coverage.unseen(self._connection, source, since, until, seen, failed_feeds, most)
        )

    async def stored(self, source: str, keys: Sequence[str]) -> set[str]:
        """Which of these run_keys the ledger holds."""
        return await self._do(lambda: _coverage.stored(self._connection, source, keys))

    async def compare(
        self, source: str, listed: Sequence[tuple[str, str, str, datetime]], at: datetime
    ) -> list[dict[str, Any]]:
        """Coverage: writes and returns a row for each pipeline and day of the vendor's list.

        `listed`: (run_key, pipeline_id, run_id, created_at) of every run that the vendor lists.
        """
        return await self._transaction(lambda con: _coverage.compare(con, source, listed, at))

    # -- what commands need

    async def close_interrupted(self, at: datetime) -> None:
        await self._transaction(lambda con: _books.close_interrupted(con, at))

    async def track(self, source: str, handles: Sequence[str], at: datetime) -> None:
        """Keeps handles for the next sync to look up; those that it knows already are looked up again."""

        def work(con: duckdb.DuckDBPyConnection) -> None:
            for handle in handles:
                con.execute("DELETE FROM rl.tracked WHERE source = ? AND handle = ?", [source, handle])
                _books._insert(con, "tracked", {"source": source, **asdict(Tracked(handle=handle, added_at=at))})

        await self._transaction(work)

    async def tracked(self, source: str) -> dict[str, Tracked]:
        """What is tracked of a source, by handle."""
        return await self._do(lambda: _books.load(self._connection, source).tracked)

    async def remap(
        self,
        source: str,
        vendor: str,
        tables: Mapping[str, tuple[StatusTable, StatusTable]],
        at: datetime,
        *,
        dry_run: bool,
    ) -> list[dict[str, Any]]:
        """Applies the mapping given to stored history; with `dry_run` tells what would change and rolls back."""

        def work(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
            mapping.put(con, source, vendor, tables)
            return mapping.remap(con, source, at)

        return await self._transaction(work, keep=not dry_run)

    async def audit(self) -> int:
        """How many rows of `runs` share a run_key with another: always 0, or uniqueness has been lost."""
        query = "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM rl.runs GROUP BY run_key HAVING n > 1)"
        return int((await self._do(lambda: self._connection.execute(query).fetchall()))[0][0])

    async def publish(self, as_of: datetime) -> published.Published:
        """Swaps in a fresh copy for readers; tells what that took."""
        return await self._do(lambda: published.publish(self._connection, self.path, as_of))


def _roll_back(con: duckdb.DuckDBPyConnection) -> None:
    try:
        con.execute("ROLLBACK")
    except duckdb.Error:
        # A full disk or a fatal error has ended the transaction already; the first error is the one to tell.
        return
