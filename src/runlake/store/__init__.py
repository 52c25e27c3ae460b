"""The ledger on disk: one connection, owned by one writer thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from runlake.errors import StoreError
from runlake.model import StatusTable
from runlake.store import books as _books
from runlake.store import compaction, copies, mapping, published, rebuilding, retention, writer
from runlake.store import coverage as _coverage
from runlake.store.alerting import AlertBooks
from runlake.store.books import Books, FeedState, SourceState, Sync, Tracked, Watched
from runlake.store.compaction import Compacted
from runlake.store.copies import Restored, restore
from runlake.store.database import connect, published_path, require_space, require_there, transaction, translated
from runlake.store.place import Identity, identity, is_same, network_filesystem, require_same
from runlake.store.published import open_published
from runlake.store.reports import ReportBooks
from runlake.store.retention import BOOKS_KEPT, Pruned
from runlake.store.writer import Batch, Written

__all__ = [
    "BOOKS_KEPT",
    "Batch",
    "Books",
    "Compacted",
    "FeedState",
    "Pruned",
    "Restored",
    "SourceState",
    "Store",
    "Sync",
    "Tracked",
    "Watched",
    "Written",
    "network_filesystem",
    "open_published",
    "published_path",
    "restore",
]

T = TypeVar("T")


class Store:
    """The ledger's file. All work on it happens in one thread, one transaction after another; DuckDB releases the
    interpreter lock there, so the event loop goes on fetching. Every method may raise StoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._con: duckdb.DuckDBPyConnection | None = None
        self._opened: Identity = (0, 0)

    async def __aenter__(self) -> Store:
        try:
            await self._do(self._open)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._do(self._close)
        self._thread.shutdown()

    def _open(self) -> None:
        self._con = connect(self.path)
        self._opened = identity(self.path)

    def _close(self) -> None:
        con, self._con = self._con, None
        if con is None:
            return
        with suppress(duckdb.Error):  # an instance that a full disk has ended refuses even this
            if not is_same(self.path, self._opened):
                # Else closing removes what lies at the name of its log, which may be that of the file there now.
                con.execute("PRAGMA disable_checkpoint_on_shutdown")
        with suppress(duckdb.Error):
            con.close()

    async def reopen(self) -> None:
        """Closes everything and opens the ledger again: after any StoreError, once its cause may be gone. A full disk
        ends the whole instance, and reopening it gives exactly what was acknowledged; where another ledger was put in
        its place, that one is gone on with. What fails leaves the store closed, to be reopened later."""

        def work() -> None:
            require_there(self.path)
            self._close()
            self._open()

        await self._do(work)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translating, work)

    def _translating(self, work: Callable[[], T]) -> T:
        with translated(self.path):
            return work()

    async def _transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T], *, keep: bool = True) -> T:
        def whole() -> T:
            con = self._connection
            require_space(self.path)
            with transaction(con, keep=keep):
                return work(con)

        return await self._do(whole)

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """For the ledger's thread. Raises StoreError where another file, or none, lies at the path now."""
        if self._con is None:
            raise StoreError(f"{self.path} is closed since an error; it has to be opened again first")
        require_same(self.path, self._opened)
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

    async def watched(self, source: str) -> list[Watched]:
        """The runs of a source that are read again by id."""
        return await self._do(lambda: _books.load(self._connection, source).watched)

    async def standings(self) -> dict[str, tuple[datetime | None, int]]:
        """By source, when its last sync began, and how many have failed since a good one."""
        query = "SELECT source, last_sync_at, failures_since_good FROM source_health"
        found = await self._do(lambda: self._connection.execute(query).fetchall())
        return {source: (last_at, failures) for source, last_at, failures in found}

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

    async def alerting(self, work: Callable[[AlertBooks], T]) -> T:
        """Does alerting's work in one transaction."""
        return await self._transaction(lambda con: work(AlertBooks(con)))

    async def reports(self, work: Callable[[ReportBooks], T]) -> T:
        """Does the books of reports in one transaction."""
        return await self._transaction(lambda con: work(ReportBooks(con)))

    async def publish(self, as_of: datetime) -> published.Published:
        """Swaps in a fresh copy for readers; tells what that took."""
        return await self._do(lambda: published.publish(self._connection, self.path, as_of))

    # -- upkeep

    async def backup(self, target: Path) -> int:
        """Writes the whole ledger to a file, also while it is in use; returns its bytes. Raises ConfigError where that
        file is something else."""
        return await self._do(lambda: copies.backup(self._connection, self.path, target))

    async def rebuild(self, *, dry_run: bool = False) -> list[dict[str, Any]]:
        """Makes the current tables again from the history: for each table how many rows were added, changed, removed;
        with `dry_run` tells what would be and rolls back."""
        return await self._transaction(rebuilding.rebuild, keep=not dry_run)

    async def prune(
        self,
        *,
        payloads_before: datetime | None = None,
        snapshots_before: datetime | None = None,
        books_before: datetime | None = None,
    ) -> Pruned:
        """Deletes payloads older than that; snapshots that another had followed by then, and failed steps that were
        replaced by then; and, of the books, syncs that changed nothing, comparisons that were made again and found the
        same, and alerts that never fired. None keeps all. Syncs go on in between."""
        pruned = Pruned()
        for kind, before in (
            ("payloads", payloads_before),
            ("snapshots", snapshots_before),
            ("steps", snapshots_before),
            ("syncs", books_before),
            ("comparisons", books_before),
            ("flakes", books_before),
        ):
            for portion in await self._do(partial(self._portions, kind, before)):
                count = await self._transaction(partial(retention.delete, portion=portion))
                setattr(pruned, kind, getattr(pruned, kind) + count)
        return pruned

    def _portions(self, kind: str, before: datetime | None) -> list[retention.Portion]:
        return retention.portions(self._connection, kind, before)

    async def compact(self) -> Compacted | None:
        """Makes the file smaller where a third of it or more is dead space (else None). Nothing is written meanwhile:
        27 s for each GB that stays."""

        def work() -> Compacted | None:
            compacted = compaction.compact(self._connection, self.path)
            if compacted is not None:
                self._close()
                self._open()
            return compacted

        return await self._do(work)
