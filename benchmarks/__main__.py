"""`python -m benchmarks`: a vendor with 100,000 runs, fetched, parsed, synced, and synced again after 1 % changed.

`python -m benchmarks store`: what a commit costs on a large ledger. `python -m benchmarks publish`: what a copy of it
for readers costs. `python -m benchmarks alerts`: 1,000 rules and 10,000 pipelines, on a ledger and on a tenth of it.
`python -m benchmarks report`: the weekly report of so many runs in its twelve weeks.
`python -m benchmarks metrics`: every metric beside the plainest SQL, on so many runs of twelve months.
Sizes are flags; nothing here judges a time.
`python -m benchmarks day|soak|readers|idle`: of the daemon; `--help` after the word tells its flags.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import table

Figures = dict[str, Any]

WORDS = ("sync", "store", "publish", "alerts", "report", "metrics")
DAEMON = ("day", "soak", "readers", "idle")

STAGES = {
    "a": "fetch the pages",
    "b": "fetch and parse",
    "c": "first sync",
    "d": "sync after 1 % changed",
    "e": "the same, older runs stored",
}


def run(module: str, *arguments: object) -> Any:
    """What a process of its own prints, as JSON. Its failure is ours."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


@contextmanager
def vendor(runs: int) -> Iterator[int]:
    """The server, in a process of its own; gives its port."""
    command = [sys.executable, "-m", "benchmarks.server", str(runs)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def cpu_of(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/cpu") as answer:
        return float(answer.read())


class Benchmark:
    def __init__(self, port: int, runs: int, stored: int, page_size: int, folder: Path) -> None:
        self._port, self._runs, self._older, self._page_size = port, runs, max(0, stored - runs), page_size
        self._folder = folder
        self.wrong: list[str] = []

    def once(self) -> dict[str, Figures]:
        """Each stage once, the ledgers checked."""
        first, second, large = (self._folder / f"{name}.duckdb" for name in ("first", "second", "large"))
        for ledger in (first, second):
            ledger.unlink(missing_ok=True)
        figures = {"a": self._stage("fetch", "before", first), "b": self._stage("parse", "before", first)}
        figures["c"] = self._stage("sync", "before", first)
        self._check("c", first, "before", 0)
        shutil.copyfile(first, second)
        figures["d"] = self._stage("sync", "after", second)
        self._check("d", second, "after", 0)
        if self._older:
            shutil.copyfile(first, large)
            run("older", large, self._older)
            figures["e"] = self._stage("sync", "after", large)
            self._check("e", large, "after", self._older)
        return figures

    def _stage(self, name: str, state: str, ledger: Path) -> Figures:
        server_cpu = cpu_of(self._port)
        print(f"{name}, the account as {state}", file=sys.stderr)
        figures: Figures = run("stage", name, self._port, state, ledger, self._page_size)
        figures["server_cpu_s"] = cpu_of(self._port) - server_cpu
        if name == "sync":
            figures["file_bytes"] = ledger.stat().st_size
            if figures["outcome"] != "ok":
                self.wrong.append(f"the sync of the state {state} ended {figures['outcome']}: {figures['error']}")
        return figures

    def _check(self, stage: str, ledger: Path, state: str, older: int) -> None:
        print(f"checking the ledger of ({stage})", file=sys.stderr)
        self.wrong += [f"({stage}) {line}" for line in run("check", self._runs, state, older, ledger)]


def middle(repeats: list[dict[str, Figures]]) -> dict[str, Figures]:
    """The median of each number over the repeats."""

    def of(values: list[Any]) -> Any:
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        return median(values) if numbers else values[-1]

    return {
        stage: {name: of([repeat[stage][name] for repeat in repeats]) for name in repeats[0][stage]}
        for stage in repeats[0]
    }


def ratios(repeats: list[dict[str, Figures]]) -> dict[str, float]:
    """Medians of ratios within one repeat: what else the machine does falls on both sides."""
    pairs = [("c", "b"), ("d", "c"), ("e", "d")]
    return {
        f"({over})/({under}), {kind}": median(r[over][f"{kind}_s"] / r[under][f"{kind}_s"] for r in repeats)
        for over, under in pairs
        if over in repeats[0]
        for kind in ("wall", "cpu")
    }


def main() -> int:
    if sys.argv[1:] and sys.argv[1] in DAEMON:
        command = [sys.executable, "-m", f"benchmarks.{sys.argv[1]}", *sys.argv[2:]]
        return subprocess.run(command, check=False).returncode
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=WORDS, default="sync")
    parser.add_argument("--runs", type=int, default=100_000, help="runs that the vendor has")
    parser.add_argument("--stored", type=int, default=1_000_000, help="runs stored for (e) and all other words")
    parser.add_argument("--page-size", type=int, default=200, help="runs a page; the connector's default")
    parser.add_argument("--repeat", type=int, default=1, help="how often; medians are shown")
    parser.add_argument("--format", choices=["table", "json"], default="table")
    parser.add_argument(
        "--folder", type=Path, help="where ledgers are put; a temporary one, then removed, if not given"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        if chosen.what == "store":
            figures = run("stored", chosen.stored, Path(folder) / "stored.duckdb")
            print(json.dumps(figures, indent=1) if chosen.format == "json" else table.stored(figures))
            return 0
        if chosen.what == "publish":
            figures = run("publishing", chosen.stored, Path(folder) / "published.duckdb")
            print(json.dumps(figures, indent=1) if chosen.format == "json" else table.published(figures))
            return 0
        if chosen.what == "alerts":
            figures = run("alerts", chosen.stored, folder)
            print(json.dumps(figures, indent=1) if chosen.format == "json" else table.alerts(figures))
            return 0
        if chosen.what == "report":
            figures = run("report", chosen.stored, folder)
            print(json.dumps(figures, indent=1) if chosen.format == "json" else table.report(figures))
            return 0
        if chosen.what == "metrics":
            figures = run("metrics", chosen.stored, folder)
            print(json.dumps(figures, indent=1) if chosen.format == "json" else table.metrics(figures))
            return 0
        with vendor(chosen.runs) as port:
            benchmark = Benchmark(port, chosen.runs, chosen.stored, chosen.page_size, Path(folder))
            repeats = [benchmark.once() for _ in range(chosen.repeat)]
    figures, compared = middle(repeats), ratios(repeats)
    if chosen.format == "json":
        print(json.dumps({"stages": figures, "ratios": compared, "wrong": benchmark.wrong, "all": repeats}, indent=1))
    else:
        print(table.stages(figures, STAGES, compared))
    for line in benchmark.wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if benchmark.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
