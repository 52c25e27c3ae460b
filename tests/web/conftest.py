"""The daemon and its doors on real sockets, polling emulated vendors; the test runs its jobs and moves its clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from cli.conftest import Vendors
from daemon.conftest import folder
from runlake.config import load
from runlake.daemon import Daemon
from runlake.emulator import Clock, Emulator, serve
from runlake.store import Store
from runlake.store.books import rows
from runlake.web.server import serving

__all__ = ["folder"]

MONDAY = datetime(2026, 7, 13, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def shared_vendors() -> Iterator[Vendors]:
    emulator = Emulator(5, Clock(MONDAY), start=MONDAY - timedelta(days=2))
    with serve(emulator) as base_url:
        yield Vendors(emulator, base_url)


@pytest.fixture
def vendors(shared_vendors: Vendors) -> Vendors:
    shared_vendors.emulator.reset()
    shared_vendors.emulator.clock.set(MONDAY)
    return shared_vendors


@dataclass
class Served:
    daemon: Daemon
    url: str
    client: httpx.AsyncClient
    clock: Clock
    may_reopen: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(f"{self.url}{path}", headers=headers)

    async def sync(self, *names: str) -> None:
        for name in names or self.daemon.sources:
            await self.daemon.attempt(name, lambda polled: polled.sync())

    async def hints_read(self) -> None:
        """Waits for the attempts that hooks have begun."""
        me = asyncio.current_task()
        reading = [
            task
            for task in asyncio.all_tasks()
            if task is not me and getattr(task.get_coro(), "__qualname__", "") == "route.<locals>.read"
        ]
        if reading:
            await asyncio.wait(reading)

    async def ask(self, query: str) -> list[dict[str, object]]:
        store = self.daemon.store
        return await store._do(lambda: rows(store._connection, query))


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve_daemon(vendors: Vendors, folder: Path) -> Serve:
    """`async with serve_daemon(table, …, daemon='sql_token = …') as served:`. Its jobs wait to be run."""

    @asynccontextmanager
    async def one(*tables: str, daemon: str = "", host: str = "127.0.0.1", home: str = "") -> AsyncIterator[Served]:
        (folder / home).mkdir(exist_ok=True)
        path, clock = folder / home / "runlake.toml", vendors.emulator.clock
        head = f'database = "ledger.duckdb"\n[daemon]\nlisten = "{host}:0"\n{daemon}'
        path.write_text("\n".join([head, *tables]))
        config, may_reopen = load(path), asyncio.Event()

        async def sleep(seconds: float) -> None:
            await may_reopen.wait()

        async with Store(config.database) as store, httpx.AsyncClient(timeout=20, trust_env=False) as client:
            running = Daemon(path, config, store, now=clock.now, sleep=sleep, paused=True)
            async with serving(running) as url, running.running():
                yield Served(running, url, client, clock, may_reopen)

    return one
