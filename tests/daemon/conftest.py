"""`runlake daemon` in a process of its own, or in this one with a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import duckdb
import httpx
import pytest
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import LogCapture

from cli.conftest import Vendors, start
from runlake.config import load
from runlake.daemon import Daemon
from runlake.emulator import Clock, Emulator, serve
from runlake.http import HttpLimits
from runlake.store import Store, published_path
from runlake.sync import Network
from sync.conftest import Stage, stage

__all__ = ["stage"]

WITHIN = 20.0
"""Seconds after which something is held not to come any more."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a Unix socket's has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rl") as made:
        yield Path(made)


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configure(
    folder: Path, *tables: str, daemon: str = 'publish_every = "1s"', database: str = "runlake.duckdb"
) -> Path:
    """A config on a ledger that is there after as before; the address stays when it is written again."""
    known = folder / "port"
    if not known.exists():
        known.write_text(str(free_port()))
    path = folder / "runlake.toml"
    head = f'database = "{database}"\n[daemon]\nlisten = "127.0.0.1:{known.read_text()}"\n{daemon}\n'
    path.write_text("\n".join([head, *tables]))
    return path


@dataclass(frozen=True)
class Account:
    """An emulated vendor on the stage, as sources of a config."""

    emulator: Emulator
    stage: Stage
    folder: Path

    @property
    def base_url(self) -> str:
        return self.stage.base_url

    def table(self, vendor: str, more: str = 'every = "1s"', *, base_url: str | None = None) -> str:
        return Vendors(self.emulator, self.base_url).table(vendor, self.folder, more=more, base_url=base_url)

    def named(self, name: str, vendor: str, more: str = 'every = "1s"', *, base_url: str | None = None) -> str:
        return self.table(vendor, more, base_url=base_url).replace(f'name = "{vendor}"', f'name = "{name}"')


@pytest.fixture
def account(stage: Stage, folder: Path) -> Account:
    """Three days of runs, and time passes."""
    clock = Clock.live()
    emulator = Emulator(5, clock, start=clock.now() - timedelta(days=3))
    stage.scene = emulator
    return Account(emulator, stage, folder)


class Gate:
    """An ASGI app before another, which lets so many requests through, then none until it is opened. `only` those
    below a path count and wait."""

    def __init__(self, scene: ASGIApp, requests: int, *, only: str = "/") -> None:
        self.scene, self.left, self.only = scene, requests, only
        self.reached, self._opened = threading.Event(), threading.Event()

    def open(self) -> None:
        self._opened.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counts = scope["path"].startswith(self.only)
        self.left -= counts
        if counts and self.left < 0:
            self.reached.set()
            await asyncio.to_thread(self._opened.wait, WITHIN)
        await self.scene(scope, receive, send)


@contextmanager
def on_stage(scene: ASGIApp, port: int = 0) -> Iterator[str]:
    """Any ASGI app on a socket of its own."""
    if not hasattr(scene, "release"):
        cast(Any, scene).release = lambda: None
    with serve(cast(Emulator, scene), port) as base_url:
        yield base_url


class Running:
    """The process, and what it has said so far."""

    def __init__(self, folder: Path, *, log: str = "json", **options: Any) -> None:
        self.folder, self.database = folder, folder / "runlake.duckdb"
        self.process: subprocess.Popen[str] = start("daemon", "--log-format", log, cwd=folder, **options)
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                if line.startswith('{"'):
                    self.events.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def said(self, event: str, **values: Any) -> list[dict[str, Any]]:
        return [e for e in self.events if e["event"] == event and all(e.get(key) == values[key] for key in values)]

    def wait_for(self, event: str, *, times: int = 1, **values: Any) -> dict[str, Any]:
        """The event, the n-th time that it is told."""
        self.wait_until(lambda: len(self.said(event, **values)) >= times, f"{event} {values}")
        return self.said(event, **values)[times - 1]

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """For what the log tells."""
        with self._news:
            came = self._news.wait_for(lambda: holds() or not self._reader.is_alive(), WITHIN)
        assert came, f"no {what}\n{self.text}"
        assert holds(), f"ended without {what}\n{self.text}"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{(self.folder / 'port').read_text()}"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", timeout=WITHIN)

    def metric(self, name: str) -> dict[str, float]:
        """By labels, as they are written."""
        lines = [line.rpartition(" ") for line in self.get("/metrics").text.splitlines() if line.startswith(name)]
        return {labels.removeprefix(name): float(value) for labels, _, value in lines}

    def control(self, method: str, path: str, **more: Any) -> httpx.Response:
        with httpx.Client(transport=httpx.HTTPTransport(uds=f"{self.database}.sock"), timeout=WITHIN) as client:
            return client.request(method, f"http://daemon{path}", **more)

    def published(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(published_path(self.database)), read_only=True) as con:
            return con.execute(query).fetchall()

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> tuple[int, float]:
        """How it ended, and after how many seconds; None waits for it to end by itself."""
        began = time.monotonic()
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(WITHIN)
        self._reader.join(WITHIN)
        return code, time.monotonic() - began


@pytest.fixture
def begin(folder: Path) -> Iterator[Callable[..., Running]]:
    """Starts daemons, which the end of the test ends."""
    begun: list[Running] = []

    def one(**options: Any) -> Running:
        begun.append(Running(folder, **options))
        return begun[-1]

    yield one
    for running in begun:
        running.end(signal.SIGKILL)
        for pipe in (running.process.stdout, running.process.stderr):
            if pipe is not None:
                pipe.close()


def until(holds: Callable[[], Any], what: str) -> Any:
    """For what no log tells: asks again and again, a hundredth of a second apart."""
    pause, deadline = threading.Event(), time.monotonic() + WITHIN
    while not (found := holds()):
        assert time.monotonic() < deadline, f"no {what}"
        pause.wait(0.01)
    return found


async def soon(holds: Callable[[], Any]) -> None:
    """For what another task of this loop does."""
    async with asyncio.timeout(WITHIN):
        while not holds():  # noqa: ASYNC110 (there is no event for it)
            await asyncio.sleep(0.005)


@dataclass
class Rehearsal:
    """A daemon in this process, whose jobs the test runs, one after the other, each at its time."""

    daemon: Daemon = field(init=False)
    clock: Clock
    """The vendors'; ours is `ahead` of it."""
    ahead: timedelta = timedelta()
    log: LogCapture = field(default_factory=LogCapture)
    ran: list[tuple[str, datetime]] = field(default_factory=list)

    def now(self) -> datetime:
        return self.clock.now() + self.ahead

    async def sleep(self, seconds: float) -> None:
        """Lets time pass instead."""
        self.clock.advance(timedelta(seconds=seconds))
        await asyncio.sleep(0)

    def next(self) -> Any:
        return min(self.daemon.scheduler.get_jobs(), key=lambda job: job.next_run_time)

    async def run(self, job: Any) -> None:
        self.clock.set(max(self.clock.now(), job.next_run_time - self.ahead))
        self.daemon.scheduler.remove_job(job.id)
        self.ran.append((job.id, self.now()))
        await job.func(*job.args)

    async def pass_by(self, length: timedelta) -> None:
        """Runs what is due until then."""
        end = self.now() + length
        while (job := self.next()).next_run_time <= end:
            await self.run(job)
        self.clock.set(max(self.clock.now(), end - self.ahead))

    def times(self, job: str) -> list[datetime]:
        return [at for name, at in self.ran if name == job]

    def said(self, event: str, **values: Any) -> list[Any]:
        return [e for e in self.log.entries if e["event"] == event and values.items() <= e.items()]


@asynccontextmanager
async def rehearsal(path: Path, clock: Clock, *, limits: HttpLimits | None = None) -> AsyncIterator[Rehearsal]:
    """On the config at `path`."""
    play = Rehearsal(clock)
    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, play.log], cache_logger_on_first_use=False)
    config = load(path)
    network = Network(sleep=play.sleep, limits=limits or HttpLimits())
    try:
        async with Store(config.database) as store:
            play.daemon = Daemon(path, config, store, network=network, now=play.now, sleep=play.sleep, paused=True)
            async with play.daemon.running():
                yield play
    finally:
        structlog.configure(**before)
