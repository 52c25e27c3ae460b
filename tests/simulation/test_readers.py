"""Eight reader processes beside a daemon that writes: five seconds of what `python -m benchmarks readers` does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_readers_see_no_lock_and_no_half_sync_and_time_goes_on() -> None:
    command = [sys.executable, "-m", "benchmarks", "readers", "--minutes", str(5 / 60), "--alone", "0", "--rate", "20"]
    done = subprocess.run([*command, "--format", "json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["wrong"] == figures["log"] == []
    assert all(each["questions"] for each in figures["by_kind"].values())
    assert sum(each["readers"] for each in figures["by_kind"].values()) == 8
    assert figures["stored"]["runs"]
