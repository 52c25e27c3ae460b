"""The daemon for days on end, in a process of its own: it holds at the end what it held on the second day."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DAYS = 3


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks", "soak", "--days", str(DAYS), "--every", "2h", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_no_file_task_or_thread_is_left_behind(figures: dict[str, Any]) -> None:
    for what in ("files", "tasks", "threads"):
        held = [day[what] for day in figures["days"]]
        assert held[1:] == [held[1]] * (DAYS - 1), what


def test_no_attempt_leaves_an_object_behind(figures: dict[str, Any]) -> None:
    """Objects of Python are counted one by one: caches of urllib and the like make it a few hundred more or fewer from
    day to day, and a row or a client that an attempt leaves behind is dozens. What DuckDB holds is bounded more
    roughly."""
    before, last = figures["days"][1], figures["days"][-1]
    assert last["jobs"] > 100
    assert last["objects"] - before["objects"] < 3 * last["jobs"]
    assert last["resident"] - before["resident"] < 32 * 2**20


def test_the_ledger_equals_the_vendors_and_has_little_dead_space(figures: dict[str, Any]) -> None:
    assert figures["wrong"] == figures["log"] == []
    assert figures["days"][-1]["rows"]["runs"] > figures["days"][0]["rows"]["runs"]
    assert figures["days"][-1]["file_bytes"] < 2 * figures["live_bytes"] + 2**20
