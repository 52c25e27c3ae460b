"""One go at some sources side by side: in this process, or by the daemon that holds the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import TypeAdapter

from runlake import sync as engine
from runlake.config import Source
from runlake.errors import StoreError
from runlake.http import DaemonClient
from runlake.store import Store, Sync, Tracked
from runlake.sync import Clock, Network, Progress, utc_now

T = TypeVar("T")
Days = list[dict[str, Any]] | None


@dataclass(slots=True)
class Done(Generic[T]):
    """What came of one source, and how long it took by our own clock."""

    source: Source
    result: T
    seconds: float


class Go(Protocol):
    """The attempts that a command can make at a source."""

    async def sync(self, source: Source, progress: Progress | None) -> Sync: ...

    async def backfill(self, source: Source, since: datetime, progress: Progress | None) -> Sync: ...

    async def track(
        self, source: Source, refs: Sequence[str], progress: Progress | None
    ) -> tuple[Sync, Mapping[str, Tracked]]: ...

    async def coverage(self, source: Source, progress: Progress | None) -> tuple[Sync, Days, int]:
        """The row, the days compared, and how many rows of runs are doubled."""
        ...

    async def publish(self) -> None: ...


class Here:
    """In this process, on a ledger that nobody else holds."""

    def __init__(self, store: Store, now: Clock) -> None:
        self._store, self._now, self._network = store, now, Network()

    async def sync(self, source: Source, progress: Progress | None) -> Sync:
        return await engine.sync(source, self._store, network=self._network, now=self._now, progress=progress)

    async def backfill(self, source: Source, since: datetime, progress: Progress | None) -> Sync:
        return await engine.backfill(
            source, self._store, since, network=self._network, now=self._now, progress=progress
        )

    async def track(
        self, source: Source, refs: Sequence[str], progress: Progress | None
    ) -> tuple[Sync, Mapping[str, Tracked]]:
        await self._store.track(source.name, refs, self._now())
        row = await self.sync(source, progress)
        return row, await self._store.tracked(source.name)

    async def coverage(self, source: Source, progress: Progress | None) -> tuple[Sync, Days, int]:
        row, days = await engine.coverage(source, self._store, network=self._network, now=self._now, progress=progress)
        return row, days, await self._store.audit()

    async def publish(self) -> None:
        await self._store.publish(self._now())


class There:
    """By the daemon."""

    def __init__(self, client: DaemonClient) -> None:
        self._client = client

    async def sync(self, source: Source, progress: Progress | None) -> Sync:
        return _ROW.validate_python((await self._asked("sync", source))["row"])

    async def backfill(self, source: Source, since: datetime, progress: Progress | None) -> Sync:
        return _ROW.validate_python((await self._asked("backfill", source, since=since.isoformat()))["row"])

    async def track(
        self, source: Source, refs: Sequence[str], progress: Progress | None
    ) -> tuple[Sync, Mapping[str, Tracked]]:
        told = await self._asked("track", source, refs=list(refs))
        return _ROW.validate_python(told["row"]), _TRACKED.validate_python(told["tracked"])

    async def coverage(self, source: Source, progress: Progress | None) -> tuple[Sync, Days, int]:
        told = await self._asked("coverage", source)
        return _ROW.validate_python(told["row"]), told["days"], told["doubled"]

    async def publish(self) -> None:
        await self._client.post("/publish")

    async def _asked(self, what: str, source: Source, **more: Any) -> dict[str, Any]:
        return await self._client.post(f"/{what}", {"source": source.name, **more})


_ROW, _TRACKED = TypeAdapter(Sync), TypeAdapter(dict[str, Tracked])


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
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(DaemonClient(database))
        go: Go
        if await client.running():
            go = There(client)
        else:
            store = await stack.enter_async_context(Store(database))
            await store.close_interrupted(now())
            go = Here(store, now)

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
                await go.publish()
        done: list[Done[T]] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            done.append(result)
        return done
