"""`runlake daemon`: what a person sees of it, and which signals it obeys; and what other commands ask of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import structlog

from runlake import __version__
from runlake.cli import DONE, show
from runlake.config import load
from runlake.daemon import Daemon
from runlake.daemon.logs import configure
from runlake.errors import ConfigError, RunlakeError, StoreError
from runlake.http import DaemonClient
from runlake.store import Store, network_filesystem, published_path
from runlake.store.database import connect
from runlake.web.server import serving

log = structlog.get_logger()
T = TypeVar("T")

LONGEST_END = 9.0
"""Seconds from the signal to the end, whatever goes on."""


def daemon(path: Path, *, json_logs: bool) -> None:
    """Until SIGTERM, SIGINT or Ctrl-C. Raises ConfigError, StoreError."""
    configure(json=json_logs)
    asyncio.run(_run(path.absolute(), json_logs=json_logs))


async def _run(path: Path, *, json_logs: bool) -> None:
    config = load(path)
    if where := network_filesystem(config.database):
        log.warning("ledger.on_network", filesystem=where, todo="put it on a local disk: its lock does not hold there")
    async with Store(config.database) as store:
        daemon = Daemon(path, config, store)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, daemon.stop)
        hung_up = asyncio.Event()  # however often, before it is seen to: one wish
        loop.add_signal_handler(signal.SIGHUP, hung_up.set)
        async with serving(daemon) as address:
            if not json_logs:
                _greet(daemon, address)
            async with daemon.running():
                reloading = asyncio.create_task(_reload(daemon, hung_up))
                await daemon.stopped.wait()
                _end_in_time()
                reloading.cancel()


def _end_in_time() -> None:
    """No thread can be ended from outside: one that waits for a resolver, or compacts a large ledger, would be waited
    for. The ledger is whole at any moment, and what is cut short is done again after the next start."""

    def cut_short() -> None:
        log.warning("daemon.cut_short", after_s=LONGEST_END)
        os._exit(DONE)

    timer = threading.Timer(LONGEST_END, cut_short)
    timer.daemon = True
    timer.start()


def _greet(daemon: Daemon, address: str) -> None:
    database, count = daemon.config.database, len(daemon.config.source)
    show.note(
        f"runlake {__version__} polls {count} source{'s' if count != 1 else ''} into {_near(database)}; Ctrl-C ends it"
    )
    for what, where in (
        ("status", "runlake status, runlake doctor"),
        ("health", f"{address}/healthz, /readyz, /metrics"),
        ("SQL", f'runlake sql "FROM latest_runs LIMIT 10", or any DuckDB client on {_near(published_path(database))}'),
    ):
        show.note(f"  {what:<7} {where}")
    if not count:
        show.note(
            "  nothing to poll yet: add a [[source]] to the config (runlake init shows how), then: runlake reload"
        )


def _near(path: Path) -> str:
    with suppress(ValueError):
        return str(path.absolute().relative_to(Path.cwd()))
    return str(path)


async def _reload(daemon: Daemon, hung_up: asyncio.Event) -> None:
    while await hung_up.wait():
        hung_up.clear()
        try:
            daemon.reload()
        except ConfigError as error:
            log.error("config.refused", error=str(error), kept="what ran before")


def ask(database: Path, question: Callable[[DaemonClient], Awaitable[T]]) -> T:
    """Asks the daemon that holds the ledger. Raises ConfigError where none runs, StoreError where none answers."""

    async def asked() -> T:
        async with DaemonClient(database) as client:
            if not await client.running():
                raise _unanswered(database, client.path)
            return await question(client)

    return asyncio.run(asked())


def _unanswered(database: Path, socket: Path) -> RunlakeError:
    try:
        if database.exists():
            connect(database, read_only=True).close()
    except StoreError as error:  # it has a holder, who is named
        return StoreError(
            f"{error}; if that is the daemon, it does not answer at {_near(socket)}: it is busy, or the socket is "
            "gone or its path longer than 107 bytes: kill -HUP reloads, a restart in a shorter folder helps"
        )
    return ConfigError(f"no daemon runs on {_near(database)}; `runlake daemon` starts one")


def reload(path: Path) -> None:
    database = load(path).database  # what is wrong with the file is told here, too
    told = ask(database, lambda client: client.post("/reload"))
    changes = told["changes"]
    for change in changes:
        sys.stdout.write(f"{show.clean(change)}\n")
    if not changes:
        show.note("all is as it was")
