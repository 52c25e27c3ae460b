"""Run as a program by test_kill: for each line it reads, a process that lives through a plot, to be killed on the way.

A plot is a list of moments: what a sync then finds, its commit, and a turn of alerting. A process begins with the first
moment that none before it has lived through. The processes are forks of this one, which has imported everything and
opened nothing. Each line is answered with how its process ended: 0, or minus the signal.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import uuid4

import duckdb
import h2.connection  # noqa: F401 (the client wants it at its first request)

from runlake.alerts import channels
from runlake.alerts.message import Message
from runlake.alerts.turn import turn
from runlake.config import Config
from runlake.config.channels import AnyChannel
from runlake.http.tls import tls
from runlake.model import Run, RunStatus, StatusTable, run_key
from runlake.store import Batch, Books, Store, Sync

T = TypeVar("T")
MINUTE = timedelta(minutes=1)
WORDS = StatusTable(done=RunStatus.SUCCEEDED, failed=RunStatus.FAILED)


class Points:
    """The places at which a process may die. It does at the `fatal`-th; 0 spares it."""

    def __init__(self, fatal: int, log: Path) -> None:
        self._left, self._log = fatal, log

    def reached(self, name: str) -> None:
        with self._log.open("a") as log:
            log.write(f"{name}\n")
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> ExitStack:
        """In all transactions of any ledger. To die after a commit is to die at the next of the points: until then
        nothing is kept."""
        committing, points = Store._transaction, self

        async def transaction(store: Store, work: Callable[[duckdb.DuckDBPyConnection], T], *, keep: bool = True) -> T:
            def whole(con: duckdb.DuckDBPyConnection) -> T:
                done = work(con)
                points.reached("before a commit")
                return done

            return await committing(store, whole, keep=keep)

        stack = ExitStack()
        stack.enter_context(patch.object(Store, "_transaction", transaction))
        return stack

    async def send(self, channel: AnyChannel, message: Message) -> None:
        self.reached("before a message")
        await channels.send(channel, message)
        self.reached("after a message")


async def live(job: dict[str, Any]) -> None:
    folder = Path(job["folder"])
    config = Config.model_validate(job["config"])
    points, lived = Points(job["fatal"], folder / "points"), folder / "lived"
    with points.install():
        async with Store(folder / "runlake.duckdb") as store:
            for number, moment in enumerate(job["plot"]):
                if number < int(lived.read_text() if lived.exists() else 0):
                    continue
                now = datetime.fromisoformat(moment["at"])
                await synced(store, now, moment["found"])
                await turn(store, config, lambda now=now: now, send=points.send)  # type: ignore[misc]
                points.reached("before a moment is lived through")
                lived.write_text(str(number + 1))


async def synced(store: Store, now: datetime, found: dict[str, str]) -> None:
    """What a sync commits that finds of each pipeline a run that ended five minutes ago with such a word."""
    sync = Sync(
        sync_id=str(uuid4()), source="etl", vendor="esper", kind="sync", started_at=now, finished_at=now, outcome="ok",
        observed_through=now,
    )  # fmt: skip
    batch = Batch("etl", "esper", WORDS, WORDS)
    began, ended = now - 9 * MINUTE, now - 5 * MINUTE
    for pipeline, word in found.items():
        run = Run(
            pipeline_id=pipeline, run_id=f"{pipeline} at {now:%H:%M}", vendor_status=word, created_at=began,
            started_at=began, finished_at=ended,
        )  # fmt: skip
        batch.add(run_key("etl", run.ref), run, now, "list", "GET /runs")
    if not await store.standings():
        await store.begin("etl", "esper", "Esper", {"run": (WORDS, StatusTable()), "step": (WORDS, StatusTable())}, now)
    await store.commit(batch, Books(sync))


def main() -> None:
    tls()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(live(json.loads(line)))
            # Not by the interpreter's own way out: it would wait for threads of imports that a fork does not have.
            os._exit(0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
