"""One go at some sources: open the ledger, let them run side by side, publish what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from runlake.config import Source
from runlake.errors import StoreError
from runlake.store import Store
from runlake.sync import Clock, Network, utc_now

T = TypeVar("T")


@dataclass(slots=True)
class Done(Generic[T]):
    """What came of one source, and how long it took by our own clock."""

    source: Source
    result: T
    seconds: float


@dataclass(slots=True)
class Go:
    """What an attempt at a source needs besides the source."""

    store: Store
    now: Clock
    network: Network


async def side_by_side(
    database: Path,
    sources: Sequence[Source],
    work: Callable[[Go, Source], Awaitable[T]],
    *,
    now: Clock = utc_now,
) -> list[Done[T]]:
    """Does `work` for all sources at once, then publishes.

    Interrupted, it lets every source keep what it has read, publishes that, and raises CancelledError. A full disk or
    the like (StoreError) ends the affected attempts and is raised once the others are through; so is a bug of ours.
    """
    async with Store(database) as store:
        await store.close_interrupted(now())
        go = Go(store, now, Network())

        async def one(source: Source) -> Done[T]:
            began = time.perf_counter()
            result = await work(go, source)
            return Done(source, result, time.perf_counter() - began)

        broken = False
        try:
            results = await asyncio.gather(*(one(source) for source in sources), return_exceptions=True)
            broken = any(isinstance(result, StoreError) for result in results)
        finally:
            if not broken:
                await store.publish(now())
        done: list[Done[T]] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            done.append(result)
        return done
