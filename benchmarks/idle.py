"""`python -m benchmarks idle`: what polling costs while nothing happens, in the daemon and by `runlake sync` from cron.

An hour of each, with one source and with many: Airflow, asked every five minutes. The daemon's
hour is simulated; `runlake sync` is measured a few times and counted twelve times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.emulated import vendors
from benchmarks.soak import Soak
from benchmarks.table import aligned
from runlake.config import load
from runlake.daemon import Daemon
from runlake.daemon.logs import configure
from runlake.store import Store
from runlake.web.server import serving

TIMES = 5
"""How often `runlake sync` is measured."""
POLLS_AN_HOUR = 12
BLOCK = 512
"""Bytes, in which the kernel counts what a process has written to disk."""


def measured(who: int) -> tuple[float, int]:
    """CPU seconds and bytes written to disk so far: RUSAGE_SELF, or RUSAGE_CHILDREN that have ended."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime, used.ru_oublock * BLOCK


def cron(folder: Path, sources: int) -> dict[str, float]:
    """An hour of `runlake sync` for all sources, from cron every five minutes."""
    command = [sys.executable, "-m", "runlake", "sync"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)  # the first, which reads history
    cpu, written = measured(resource.RUSAGE_CHILDREN)
    for _ in range(TIMES):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = measured(resource.RUSAGE_CHILDREN)
    with duckdb.connect(str(folder / "runlake.duckdb"), read_only=True) as con:
        [(requests,)] = con.execute(
            "SELECT sum(requests) FROM (FROM rl.syncs ORDER BY started_at OFFSET ?)", [sources]
        ).fetchall()
    share = POLLS_AN_HOUR / TIMES
    return {
        "polls": POLLS_AN_HOUR * sources,
        "requests": int(requests) * share,
        "cpu_s": (after[0] - cpu) * share,
        "written": (after[1] - written) * share,
    }


async def daemon(folder: Path, emulated: Any, began_at: datetime) -> dict[str, float]:
    """An hour of the daemon, which finds the ledger as `cron` has left it."""
    config = load(folder / "runlake.toml")
    async with Store(config.database) as store:
        begun: list[Soak] = []
        polling = Daemon(
            folder / "runlake.toml", config, store, now=lambda: begun[0].now if begun else began_at, paused=True
        )
        async with serving(polling) as address:
            begun.append(soak := Soak(polling, emulated, address, began_at))
            async with polling.running():
                # After the first syncs, and once the quiet has begun to count.
                await soak.until(began_at + timedelta(minutes=10))
                asked = sum(polled.tally.requests for polled in polling.sources.values())
                cpu, written = measured(resource.RUSAGE_SELF)
                soak.syncs()
                await soak.until(began_at + timedelta(minutes=70))
                after = measured(resource.RUSAGE_SELF)
                return {
                    "polls": len(soak.syncs()),
                    "requests": sum(polled.tally.requests for polled in polling.sources.values()) - asked,
                    "cpu_s": after[0] - cpu,
                    "written": after[1] - written,
                }


def measure(sources: int) -> dict[str, dict[str, float]]:
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name, Path(name, "log").open("w") as out:
        folder = Path(name)
        configure(json=True, out=out)
        with vendors(seed=11, now=now.isoformat(), days=3, rate=1.0, live=False) as emulated:
            tables = [emulated.table("airflow", folder, name=f"s{number}") for number in range(sources)]
            (folder / "runlake.toml").write_text('[daemon]\nlisten = "127.0.0.1:0"\n' + "".join(tables))
            return {
                "cron": cron(folder, sources),
                "daemon": asyncio.run(daemon(folder, emulated, datetime.now(UTC))),
            }


def text(figures: dict[int, dict[str, dict[str, float]]]) -> str:
    table = [["an hour of", "polls", "requests", "CPU s", "CPU ms a poll", "MB written", "kB a poll"]]
    for sources, found in figures.items():
        for way, each in found.items():
            counts = (each["polls"], each["requests"])
            costs = (each["cpu_s"], 1000 * each["cpu_s"] / each["polls"])
            written = (each["written"] / 1e6, each["written"] / 1e3 / each["polls"])
            name = f"{way}, {sources} source{'s' if sources > 1 else ''}"
            table.append([name, *(f"{n:,.0f}" for n in counts), *(f"{n:,.1f}" for n in (*costs, *written))])
    return aligned(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks idle", description=__doc__)
    parser.add_argument("--sources", type=int, default=200)
    parser.add_argument("--format", choices=["table", "json"], default="table")
    chosen = parser.parse_args()
    figures = {sources: measure(sources) for sources in (1, chosen.sources)}
    print(json.dumps(figures, indent=1) if chosen.format == "json" else text(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
