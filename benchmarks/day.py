"""`python -m benchmarks day`: a simulated day of 200 sources on a shared quota, once with the order of claims and once
with the same requests first come, first served. What requests waited for their turn, and what came of it.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from benchmarks.table import aligned
from simulation.day import Figures, quantile, simulate

ORDERS = {"in order of claims": False, "first come, first served": True}
_OTHERS = {
    "sync: due to done": "cycles",
    "with a sweep": "sweeps",
    "open runs: due to read": "late_follows",
    "run's end to seen": "late_ends",
}


def of(values: list[float]) -> dict[str, float]:
    return {
        "count": len(values),
        "p50": quantile(values, 0.5),
        "p99": quantile(values, 0.99),
        "max": max(values, default=0),
    }


def measured(found: Figures) -> dict[str, Any]:
    waits = {f"waits, {kind.name.lower()}": of(waits) for kind, waits in found.waits.items()}
    return {
        "most_in_an_hour": found.most_in_an_hour(),
        "seconds": waits | {name: of(getattr(found, kept)) for name, kept in _OTHERS.items()},
    }


def text(figures: dict[str, dict[str, Any]]) -> str:
    columns = ("count", "p50", "p99", "max")
    rows = [["seconds", *(f"{name} {column}" for name in ("", "FIFO") for column in columns)]]
    for what in next(iter(figures.values()))["seconds"]:
        found = [each["seconds"][what] for each in figures.values()]
        rows.append([what, *(f"{each[c]:,.{0 if c == 'count' else 1}f}" for each in found for c in columns)])
    most = "; ".join(f"{name}: {each['most_in_an_hour']:,}" for name, each in figures.items())
    return f"{aligned(rows)}\n\nmost requests in any hour: {most}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks day", description=__doc__)
    parser.add_argument("--format", choices=["table", "json"], default="table")
    chosen = parser.parse_args()
    figures = {name: measured(simulate(fifo=fifo)) for name, fifo in ORDERS.items()}
    print(json.dumps(figures, indent=1) if chosen.format == "json" else text(figures))
