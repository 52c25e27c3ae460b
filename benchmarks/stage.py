"""One stage, alone in its process: `python -m benchmarks.stage NAME PORT STATE LEDGER PAGE_SIZE` prints its figures.

fetch   the pages of the account, read to their last byte by the client that connectors use, and thrown away
parse   the same through the connector: validated and translated into runs, and thrown away
sync    a whole sync into LEDGER, steps, snapshots and payloads included, from opening the file to closing it
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.vendor_world import BEFORE, LATER, PROJECT
from runlake.config import Source
from runlake.connector import Feed
from runlake.http import VendorHttp
from runlake.store import Store
from runlake.sync import Network, sync
from runlake.sync import _seldom_collected as seldom_collected

Figures = dict[str, Any]


def source(port: int, state: str, page_size: int) -> Source:
    os.environ["BENCHMARK_TOKEN"] = "benchmark-token"
    settings = {
        "base_url": f"http://127.0.0.1:{port}/{state}",
        "token": {"env": "BENCHMARK_TOKEN"},
        "projects": [PROJECT],
        "page_size": page_size,
    }
    # A day more than the account is old; the rest as a user gets it.
    return Source.model_validate(
        {"name": "bench", "connector": "clarifeye", "settings": settings, "history": timedelta(days=31)}
    )


def clock(state: str) -> Callable[[], datetime]:
    """Starts at the state's instant and goes as fast as ours."""
    origin, begun = BEFORE + (LATER if state == "after" else timedelta(0)), time.monotonic()
    return lambda: origin + timedelta(seconds=time.monotonic() - begun)


async def fetch(source: Source, http: VendorHttp, page_size: int) -> Figures:
    # The client's own way to a body, less its last step, which validates.
    path, offset, runs = f"/projects/{PROJECT}/pipeline-runs/", 0, 0
    while True:
        async with http._open("GET", path, {"limit": page_size, "offset": offset}, None, signed=True) as response:
            body = await http._read(response)
        runs, offset = runs + body.count(b'"pipeline_name"'), offset + page_size
        if b'"next":null' in body[:200]:
            return {"runs": runs}


async def parse(source: Source, http: VendorHttp, page_size: int) -> Figures:
    runs = steps = 0
    with seldom_collected:  # as in a sync, or the comparison would flatter it
        async for page in source.build().pages(http, Feed(id=PROJECT), None, None):
            runs += len(page.runs)
            steps += sum(len(run.steps or ()) for run in page.runs)
    return {"runs": runs, "steps": steps}


async def whole_sync(source: Source, ledger: Path, now: Callable[[], datetime]) -> Figures:
    async with Store(ledger) as store:
        row = await sync(source, store, now=now)
    return {
        "runs": row.seen_runs,
        "new": row.new_runs,
        "changed": row.changed_runs,
        "requests": row.requests,
        "bytes": row.bytes,
        "outcome": row.outcome,
        "swept": row.swept,
        "error": row.error,
    }


async def stage(name: str, port: int, state: str, ledger: Path, page_size: int) -> Figures:
    configured, now = source(port, state, page_size), clock(state)
    begun, cpu = time.perf_counter(), time.process_time()
    if name == "sync":
        figures = await whole_sync(configured, ledger, now)
    else:
        async with Network().client(configured, configured.build(), now) as http:
            figures = await {"fetch": fetch, "parse": parse}[name](configured, http, page_size)
            figures |= {"requests": http.traffic.requests, "bytes": http.traffic.bytes}
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    # Of the life of the process, imports included; kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"wall_s": wall, "cpu_s": cpu, "peak_bytes": peak, **figures}


if __name__ == "__main__":
    name, port, state, ledger, page_size = sys.argv[1:]
    print(json.dumps(asyncio.run(stage(name, int(port), state, Path(ledger), int(page_size)))))
