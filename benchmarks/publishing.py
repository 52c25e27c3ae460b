"""What it costs to give readers a fresh copy of a large ledger, and what that copy costs them:
`python -m benchmarks.publishing HOW_MANY LEDGER`.

The ledger is that of `stored.py`, 100,000 runs a month at most; one that is there already is used as it is.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.stored import COMMITTED, as_run, batch, books, edited, fill, queries
from benchmarks.vendor_world import BEFORE, LATER, World
from runlake.store import Store, published_path
from runlake.store.database import connect
from runlake.store.periods import touch
from runlake.store.published import Published, publish

LATE = 10
WHOLE = 1 << 60
NOW = BEFORE + LATER

_OLD = f"created_date < DATE '{BEFORE.date()}' - 40"
_CHOSEN = (
    f"SELECT max(run_key) FROM rl.runs WHERE {_OLD} GROUP BY date_trunc('month', created_date) "
    f"ORDER BY min(created_date) DESC LIMIT {LATE}"
)

Figures = dict[str, Any]


def publishes(ledger: Path, world: World) -> dict[str, list[Figures]]:
    """Of each case, what its publishes took in all: a few, where all that is to be written is too much for one.

    The last whole copy is kept beside the ledger as `whole.duckdb`.
    """
    found: dict[str, list[Figures]] = {}

    def published(case: str, shape: str) -> None:
        made: list[Published] = []
        while not made or made[-1].shape != shape:
            with connect(ledger) as con:
                made.append(publish(con, ledger, NOW, split_above=0 if shape == "split" else WHOLE))
        taken = {"seconds": sum(each.seconds for each in made), "bytes": sum(each.bytes for each in made)}
        found.setdefault(case, []).append({"publishes": len(made), **taken})

    for _ in range(3):
        published("whole", "whole")
    os.link(published_path(ledger), ledger.with_name("whole.duckdb"))
    published("split, the first time", "split")
    for time_ in range(3):
        published("split, nothing new", "split")
        asyncio.run(_sync(ledger, world, time_))
        published(f"split, after {COMMITTED:,} changed runs of three days", "split")
        _change_late_ones(ledger, time_, 1)
        published("split, after a late change", "split")
        _change_late_ones(ledger, time_, LATE)
        published(f"split, after {LATE} late changes, each of another month", "split")
    return found


async def _sync(ledger: Path, world: World, time_: int) -> None:
    days = world.runs // 10
    runs = (edited(as_run(world, n), time_) for n in range(world.runs - days, world.runs, max(1, days // COMMITTED)))
    async with Store(ledger) as store:
        await store.commit(batch(runs, NOW), books(NOW))


def _change_late_ones(ledger: Path, time_: int, most: int) -> None:
    with connect(ledger) as con:
        con.execute("BEGIN")
        con.execute(f"CREATE TEMP TABLE late AS FROM rl.runs WHERE run_key IN ({_CHOSEN}) LIMIT {most}")
        con.execute(f"UPDATE rl.runs SET error_code = 'late {time_}' WHERE run_key IN (SELECT run_key FROM late)")
        touch(con, "SELECT created_at FROM late")
        con.execute("COMMIT")


def measured(stored: int, ledger: Path) -> dict[str, Any]:
    world = World(max(2 * COMMITTED, min(100_000, stored // 10)))
    if not ledger.exists():
        asyncio.run(fill(ledger, world, stored))
    found = publishes(ledger, world)
    return {
        "stored_runs": stored,
        "file_bytes": ledger.stat().st_size,
        "cases": {
            case: {name: median(each[name] for each in times) for name in times[0]} for case, times in found.items()
        },
        "ms": {
            shape: {name: median(times) for name, times in queries(copy).items()}
            for shape, copy in (("whole", ledger.with_name("whole.duckdb")), ("split", published_path(ledger)))
        },
    }


if __name__ == "__main__":
    stored, ledger = sys.argv[1:]
    print(json.dumps(measured(int(stored), Path(ledger))))
