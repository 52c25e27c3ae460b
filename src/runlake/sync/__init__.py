"""One attempt at one source: newest runs, open runs, sweep, and one commit for what was seen and how far.

Every attempt leaves a row in `syncs`. An error of the source ends the part that it concerns (a feed, a run), is kept in
that row, and holds back `observed_through` of that feed alone; an error of our own store ends the attempt.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from runlake.config import Source
from runlake.connector import AnyConnector
from runlake.errors import ConfigError
from runlake.http import Budget, HttpLimits, VendorHttp
from runlake.model import RunRef
from runlake.store import Books, Store, Sync
from runlake.sync import by_id, history, walk
from runlake.sync.attempt import Attempt
from runlake.sync.intake import Clock, Progress, batch_for

__all__ = ["Clock", "Network", "Progress", "backfill", "coverage", "follow", "hinted", "remap", "sync", "utc_now"]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Network:
    """How sources reach their vendors: shared budgets, and what tests set otherwise."""

    limits: HttpLimits = field(default_factory=HttpLimits)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    budgets: dict[str, Budget] = field(default_factory=dict)
    """By owner of credentials."""
    owners: dict[str, str] = field(default_factory=dict)
    """By source, the owner whose credentials it uses."""

    def forget(self, source: str) -> None:
        """A source that is polled no more leaves its budget to the others."""
        if (owner := self.owners.pop(source, None)) is not None:
            self.budgets[owner].leave(source)
            if owner not in self.owners.values():
                del self.budgets[owner]

    def client(self, source: Source, connector: AnyConnector, now: Clock) -> VendorHttp:
        sign = connector.sign()
        secrets = "\x1f".join([str(connector.settings.base_url), *sign.secrets()])
        # Whoever holds the same credentials draws on the same quota.
        owner = source.owner or blake2b(secrets.encode(), digest_size=16).hexdigest()
        if self.owners.get(source.name, owner) != owner:
            self.forget(source.name)  # its secret was renewed
        budget = self.budgets.get(owner)
        if budget is None:
            budget = self.budgets[owner] = Budget(source.requests_per_hour, source.concurrency, source.name)
        budget.agree(source.name, source.requests_per_hour, source.concurrency)
        self.owners[source.name] = owner
        return VendorHttp(
            str(connector.settings.base_url),
            sign,
            name=source.name,
            budget=budget,
            limits=self.limits,
            sleep=self.sleep,
            now=lambda: now().timestamp(),
        )


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

    async def work(attempt: Attempt) -> None:
        through = await walk.newest(attempt)
        if await by_id.open_runs(attempt, every=every_open_run):
            attempt.row.observed_through = through
        await by_id.sweep(attempt)

    return await _attempt("sync", source, store, work, network or Network(), now, progress)


async def follow(
    source: Source,
    store: Store,
    *,
    network: Network | None = None,
    now: Clock = utc_now,
    progress: Progress | None = None,
) -> Sync:
    """Reads the open runs that are due, by id, and nothing else: `observed_through` stays where it is."""
    return await _attempt("follow", source, store, by_id.follow, network or Network(), now, progress)


async def hinted(
    source: Source,
    store: Store,
    refs: Sequence[RunRef],
    *,
    network: Network | None = None,
    now: Clock = utc_now,
    progress: Progress | None = None,
) -> Sync:
    """Reads runs that somebody says have changed, if polling would see them too."""

    async def work(attempt: Attempt) -> None:
        await by_id.hinted(attempt, refs)

    return await _attempt("hint", source, store, work, network or Network(), now, progress)


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

    async def work(attempt: Attempt) -> None:
        await history.backfill(attempt, since)

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
    compared: list[dict[str, Any]] | None = None

    async def work(attempt: Attempt) -> None:
        nonlocal compared
        compared = await history.coverage(attempt)

    row = await _attempt("coverage", source, store, work, network or Network(), now, progress)
    return row, compared


async def remap(sources: Sequence[Source], store: Store, at: datetime, *, dry_run: bool) -> list[dict[str, Any]]:
    """Applies the sources' mappings to stored history, or tells what that would change: rows with source, level,
    vendor_status, before, after and rows."""
    return [
        {"source": source.name, **change}
        for source in sources
        for change in await store.remap(source.name, source.connector_type().name, source.tables(), at, dry_run=dry_run)
    ]


async def _attempt(
    kind: str,
    source: Source,
    store: Store,
    work: Callable[[Attempt], Awaitable[None]],
    network: Network,
    now: Clock,
    progress: Progress | None,
) -> Sync:
    vendor = source.connector_type()
    row = Sync(sync_id=str(uuid4()), source=source.name, vendor=vendor.name, kind=kind, started_at=now())
    if progress is not None:
        progress(row)  # before a vendor that is slow to answer at all
    state = await store.begin(source.name, vendor.name, vendor.title, source.tables(), row.started_at)
    if state.remapped:
        row.notes.append(f"the status mapping has changed: {state.remapped} runs and steps remapped")
    try:
        connector = source.build()
        http = network.client(source, connector, now)
    except ConfigError as error:  # an unset secret: this source cannot be asked, the others can
        row.outcome, row.error_class, row.error, row.finished_at = "failed", "ConfigError", str(error), now()
        await store.commit(batch_for(source), Books(row))
        return row
    async with http:
        attempt = Attempt(source, connector, http, store, state, row, now, progress)
        with _seldom_collected:
            await attempt.make(work)
    return row


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
