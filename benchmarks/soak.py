"""`python -m benchmarks soak`: the daemon for simulated weeks, its clock and the vendors' moved on from job to job.

At each midnight is told what it holds: memory, open files, tasks, threads, rows, bytes. At the end the ledger is
compared with what really happened. Exit code 1 where it differs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
from pydantic import TypeAdapter

from benchmarks.emulated import Vendors, emulator, vendors
from benchmarks.table import aligned
from runlake.config import load
from runlake.daemon import Daemon
from runlake.daemon.logs import configure
from runlake.store import Store
from runlake.web.server import serving
from sync.judge import differences

T0 = datetime(2026, 7, 13, tzinfo=UTC)
ACCOUNT: dict[str, Any] = {"seed": 11, "now": T0.isoformat(), "days": 3, "rate": 1.0, "live": False}
SWEEP_WINDOW = timedelta(days=3)
CONFIG = """
[daemon]
listen = "127.0.0.1:0"
publish_every = "1h"
keep_payloads = "2d"
keep_snapshots = "2d"
"""


class Soak:
    """A paused daemon, its jobs, and a clock for both it and the vendors."""

    def __init__(self, daemon: Daemon, emulated: Vendors, address: str, now: datetime) -> None:
        self._daemon, self._emulated, self._address = daemon, emulated, address
        self.now = now
        self._seconds: list[float] = []
        self._jobs = 0

    async def until(self, end: datetime) -> None:
        """Runs each job at its time."""
        while True:
            job = min(self._daemon.scheduler.get_jobs(), key=lambda each: each.next_run_time)
            if job.next_run_time >= end:
                break
            await self._on(max(self.now, job.next_run_time))
            self._daemon.scheduler.remove_job(job.id)
            began = time.perf_counter()
            await job.func(*job.args)
            self._jobs += 1
            if job.id.startswith("sync:"):
                self._seconds.append(time.perf_counter() - began)
        await self._on(end)

    async def _on(self, instant: datetime) -> None:
        if instant.hour != self.now.hour:  # somebody looks in
            async with httpx.AsyncClient(base_url=self._address) as client:
                for path in ("/metrics", "/healthz", "/readyz"):
                    (await client.get(path)).raise_for_status()
        self.now = instant
        self._emulated.at(instant)

    def syncs(self) -> list[float]:
        """How long each took, since this was last asked."""
        seconds, self._seconds = self._seconds, []
        return seconds

    async def midnight(self) -> dict[str, Any]:
        """What the process holds, and what the day has cost."""
        await self._daemon.chores.publish()  # which closes the log of what was written since
        await asyncio.sleep(0.05)  # until the server has let go of its last connection
        gc.collect()
        seconds = self.syncs()
        jobs, self._jobs = self._jobs, 0
        return {
            "jobs": jobs,
            "syncs": len(seconds),
            "sync_ms": 1000 * sum(seconds) / max(1, len(seconds)),
            "resident": resident(),
            "objects": sys.getallocatedblocks(),
            "files": open_files(),
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "rows": await rows(self._daemon.store),
            "file_bytes": self._daemon.store.path.stat().st_size,
        }


def fill_cache() -> None:
    """Pydantic keeps up to 16,384 short strings that it has seen: filled now, it grows no more."""
    TypeAdapter(list[str]).validate_json(json.dumps([f"a string of the soak, {number}" for number in range(200_000)]))


def resident() -> int:
    """Bytes of memory that are ours alone: no libraries, no mapped files."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:"))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def rows(store: Store) -> dict[str, int]:
    tables = ("runs", "run_snapshots", "run_payloads", "syncs")
    query = f"SELECT {', '.join(f'(SELECT count(*) FROM rl.{table})' for table in tables)}"
    [counts] = await store._do(lambda: store._connection.execute(query).fetchall())
    return dict(zip(tables, counts, strict=True))


async def soak(folder: Path, days: int, every: str) -> dict[str, Any]:
    with vendors(**ACCOUNT) as emulated:
        path = folder / "runlake.toml"
        lines = (f'every = "{every}"', 'history = "3d"')
        path.write_text(CONFIG + "".join(emulated.table(vendor, folder, *lines) for vendor in emulated.names))
        config = load(path)
        async with Store(config.database) as store:
            begun: list[Soak] = []
            daemon = Daemon(path, config, store, now=lambda: begun[0].now if begun else T0, paused=True)
            async with serving(daemon) as address:
                begun.append(soak := Soak(daemon, emulated, address, T0))
                async with daemon.running():
                    midnights = []
                    for day in range(days):
                        await soak.until(T0 + timedelta(days=day + 1))
                        midnights.append(await soak.midnight())
                        print(f"day {day + 1}: {midnights[-1]}", file=sys.stderr)
                    wrong = await compared(daemon, soak)
    return {"days": midnights, "wrong": wrong, "live_bytes": live_bytes(config.database, folder)}


async def compared(daemon: Daemon, soak: Soak) -> list[str]:
    """What is wrong in the ledger, once each source was swept and then synced again."""
    truth = emulator(**ACCOUNT)
    for hours in (7, 1):
        await soak.until(soak.now + timedelta(hours=hours))
        truth.clock.set(soak.now)
        await daemon.attempt("clinia", lambda polled: polled.track(truth.tasks()))
        for name in daemon.sources:
            await daemon.attempt(name, lambda polled: polled.sync())
    return [
        f"{vendor}: {line}"
        for vendor in truth.vendors
        for line in await differences(daemon.store, truth, vendor, SWEEP_WINDOW)
    ]


def live_bytes(database: Path, folder: Path) -> int:
    """What the ledger takes in a fresh file."""
    fresh = folder / "fresh.duckdb"
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{database}' AS lake (READ_ONLY)")
        con.execute(f"ATTACH '{fresh}' AS fresh (STORAGE_VERSION 'v1.5.0')")
        con.execute("COPY FROM DATABASE lake TO fresh")
        con.execute("CHECKPOINT fresh")
    return fresh.stat().st_size


def text(figures: dict[str, Any]) -> str:
    table = [["day", "jobs", "syncs", "ms a sync", "MB", "objects", "files", "tasks", "threads", "runs", "file MB"]]
    for day, each in enumerate(figures["days"], 1):
        numbers = (each["jobs"], each["syncs"], each["sync_ms"], each["resident"] / 1e6, each["objects"])
        counts = (each["files"], each["tasks"], each["threads"], each["rows"]["runs"], each["file_bytes"] / 1e6)
        table.append([str(day), *(f"{number:,.0f}" for number in numbers), *(f"{count:,.0f}" for count in counts)])
    ratio = figures["days"][-1]["file_bytes"] / figures["live_bytes"]
    return f"{aligned(table)}\n\nthe file is {ratio:.2f} times what is alive; wrong: {len(figures['wrong'])}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--days", type=int, default=21)
    parser.add_argument("--every", default="30m", help="how often each of six sources is synced")
    parser.add_argument("--format", choices=["table", "json"], default="table")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as out:
        configure(json=True, out=out)
        fill_cache()
        figures = asyncio.run(soak(Path(folder), chosen.days, chosen.every))
        out.flush()
        log = [json.loads(line) for line in Path(folder, "log").read_text().splitlines()]
        figures["log"] = [event for event in log if event["level"] in ("warning", "error")]
    print(json.dumps(figures, indent=1) if chosen.format == "json" else text(figures))
    for line in [*figures["wrong"], *figures["log"]]:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if figures["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
