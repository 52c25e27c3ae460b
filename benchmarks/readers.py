"""`python -m benchmarks readers`: eight processes ask while a daemon writes, and none may notice.

Of each answer is checked that no sync is half there (of each, as many snapshots as it says it has made), that `as_of`
never goes back, and how old it is. Exit code 1 where anything was refused, torn or went back.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from benchmarks.emulated import vendors
from benchmarks.table import aligned
from runlake.store import published_path

TOKEN = "benchmark-token"
KINDS = ("client", "client", "client", "held", "command", "command", "server", "server")
"""A connection for each question, one held for ten seconds of them, `runlake sql`, and POST /sql."""
PAUSES = {"client": 0.2, "held": 0.2, "command": 2.0, "server": 1.0}
"""Seconds between two questions of one reader: without, how nine share two cores would be measured."""
HELD = 10.0

QUESTION = """
WITH told AS (SELECT sync_id, new_runs + changed_runs + vanished_runs AS told FROM rl.syncs),
     kept AS (SELECT sync_id, count(*) AS kept FROM rl.run_snapshots GROUP BY sync_id)
SELECT (SELECT epoch(max(as_of)) FROM published) AS as_of,
       count(*) FILTER (coalesce(kept, 0) <> coalesce(told, 0)) AS half,
       (SELECT count(*) FROM failures) AS failures
FROM told FULL JOIN kept USING (sync_id)
"""
Asked = Callable[[], tuple[float, int]]
"""Asks; returns as_of, and how many syncs are half there."""


@contextmanager
def asking(kind: str, folder: Path, address: str) -> Iterator[Asked]:
    copy = str(published_path(folder / "runlake.duckdb"))
    held: tuple[float, duckdb.DuckDBPyConnection] | None = None

    def client() -> tuple[float, int]:
        with duckdb.connect(copy, read_only=True) as con:
            [(as_of, half, _)] = con.execute(QUESTION).fetchall()
        return as_of, half

    def holding() -> tuple[float, int]:
        nonlocal held
        if held is None or time.monotonic() - held[0] > HELD:
            if held is not None:
                held[1].close()
            held = (time.monotonic(), duckdb.connect(copy, read_only=True))
        [(as_of, half, _)] = held[1].execute(QUESTION).fetchall()
        return as_of, half

    def command() -> tuple[float, int]:
        asked = [sys.executable, "-m", "runlake", "sql", "--format", "json", QUESTION]
        done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(done.stderr.strip()[-300:])
        [row] = json.loads(done.stdout)
        return row["as_of"], row["half"]

    def server() -> tuple[float, int]:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/plain"}
        request = urllib.request.Request(f"{address}/sql?format=json", QUESTION.encode(), headers)
        with urllib.request.urlopen(request) as answer:
            [row] = json.load(answer)
        return row["as_of"], row["half"]

    yield {"client": client, "held": holding, "command": command, "server": server}[kind]
    if held is not None:
        held[1].close()


def read(kind: str, folder: Path, address: str, seconds: float) -> dict[str, Any]:
    """One reader, for so long."""
    took: list[float] = []
    age: list[float] = []
    wrong: list[str] = []
    newest, ends = 0.0, time.monotonic() + seconds
    with asking(kind, folder, address) as ask:
        while time.monotonic() < ends:
            wall, began = time.time(), time.perf_counter()
            try:
                as_of, half = ask()
            except (duckdb.Error, OSError) as error:  # of which HTTPError is one
                wrong.append(f"{kind}: {error}")
                continue
            took.append(time.perf_counter() - began)
            age.append(wall - as_of)
            if half:
                wrong.append(f"{kind}: {half} syncs are half there")
            if as_of < newest:
                wrong.append(f"{kind}: as_of went back {newest - as_of} s")
            newest = as_of
            time.sleep(PAUSES[kind])
    return {"kind": kind, "took": took, "age": age, "wrong": wrong}


@contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """Yields its address, once it has published. It must end well."""
    with subprocess.Popen(
        [sys.executable, "-m", "runlake", "daemon", "--log-format", "console"],
        cwd=folder,
        env={**os.environ, "BENCHMARK_SQL_TOKEN": TOKEN, "NO_COLOR": "1"},
        stderr=(folder / "log").open("w"),
    ) as process:
        try:
            copy = published_path(folder / "runlake.duckdb")
            while not copy.exists():
                if process.poll() is not None:
                    raise SystemExit((folder / "log").read_text())
                time.sleep(0.1)
            told = re.search(r"(http://\S+)/healthz", (folder / "log").read_text())
            assert told is not None
            yield told[1]
            process.send_signal(signal.SIGTERM)
            if process.wait(timeout=20):
                raise SystemExit((folder / "log").read_text())
        finally:
            process.kill()


def publish_seconds(address: str) -> float:
    with urllib.request.urlopen(f"{address}/metrics") as answer:
        found = re.search(r"^runlake_publish_seconds (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def sync_seconds(folder: Path, since: datetime, until: datetime) -> list[float]:
    with duckdb.connect(str(folder / "runlake.duckdb"), read_only=True) as con:
        rows = con.execute(
            "SELECT epoch(finished_at - started_at) FROM rl.syncs WHERE kind = 'sync' AND started_at BETWEEN ? AND ? "
            "AND finished_at IS NOT NULL",
            [since, until],
        ).fetchall()
    return [seconds for (seconds,) in rows]


def measure(folder: Path, seconds: float, alone: float, rate: float) -> dict[str, Any]:
    start = {"now": datetime.now(UTC).isoformat(), "days": 0.1, "live": True}
    with vendors(seed=3, rate=rate, **start) as emulated:
        (folder / "runlake.toml").write_text(
            "[daemon]\n"
            'listen = "127.0.0.1:0"\npublish_every = "2s"\nsql_token = { env = "BENCHMARK_SQL_TOKEN" }\n'
            + "".join(emulated.table(vendor, folder, 'every = "5s"', 'fastest = "2s"') for vendor in emulated.names)
        )
        with daemon(folder) as address:
            time.sleep(min(20.0, alone))  # the first syncs, which take longer
            before = datetime.now(UTC)
            time.sleep(alone)
            begun = datetime.now(UTC)
            command = [sys.executable, "-m", "benchmarks.readers", "--read"]
            readers = [
                subprocess.Popen(
                    [*command, kind, "--folder", str(folder), "--address", address, "--minutes", str(seconds / 60)],
                    stdout=(folder / f"reader{number}").open("w"),  # a pipe that nobody empties would hold it up
                )
                for number, kind in enumerate(KINDS)
            ]
            slowest_publish = 0.0
            while any(reader.poll() is None for reader in readers):
                slowest_publish = max(slowest_publish, publish_seconds(address))
                time.sleep(1)
            told = [json.loads((folder / f"reader{number}").read_text()) for number in range(len(KINDS))]
            ended = datetime.now(UTC)
    return {
        "seconds": seconds,
        "readers": told,
        "publish_s": slowest_publish,
        "sync_s_alone": sync_seconds(folder, before, begun),
        "sync_s_read": sync_seconds(folder, begun, ended),
        "runs": rows(folder, "runs"),
        "syncs": rows(folder, "syncs"),
        "log": [line for line in (folder / "log").read_text().splitlines() if "error" in line or "warning" in line],
    }


def rows(folder: Path, table: str) -> int:
    with duckdb.connect(str(folder / "runlake.duckdb"), read_only=True) as con:
        return int(con.execute(f"SELECT count(*) FROM rl.{table}").fetchall()[0][0])


def summed_up(found: dict[str, Any]) -> dict[str, Any]:
    by_kind = {}
    for kind in dict.fromkeys(KINDS):
        took = sorted(s for each in found["readers"] if each["kind"] == kind for s in each["took"])
        age = [s for each in found["readers"] if each["kind"] == kind for s in each["age"]]
        by_kind[kind] = {
            "readers": KINDS.count(kind),
            "questions": len(took),
            "p50_ms": median(took) * 1000 if took else None,
            "p99_ms": took[int(len(took) * 0.99)] * 1000 if took else None,
            "oldest_s": max(age, default=None),
        }
    alone, read = found["sync_s_alone"], found["sync_s_read"]
    return {
        "seconds": found["seconds"],
        "by_kind": by_kind,
        "publish_s": found["publish_s"],
        "syncs": {
            "alone": len(alone),
            "read": len(read),
            "alone_p50_s": median(alone) if alone else None,
            "read_p50_s": median(read) if read else None,
        },
        "stored": {"runs": found["runs"], "syncs": found["syncs"]},
        "wrong": [line for each in found["readers"] for line in each["wrong"]],
        "log": found["log"],
    }


def text(figures: dict[str, Any]) -> str:
    table = [["", "readers", "questions", "p50 ms", "p99 ms", "oldest s"]]
    for kind, each in figures["by_kind"].items():
        cells = (each["p50_ms"], each["p99_ms"], each["oldest_s"])
        table.append(
            [kind, str(each["readers"]), f"{each['questions']:,}", *("-" if c is None else f"{c:,.1f}" for c in cells)]
        )
    syncs = figures["syncs"]
    return (
        f"{aligned(table)}\n\nslowest publish {figures['publish_s']:.2f} s; {figures['stored']['runs']:,} runs and "
        f"{figures['stored']['syncs']:,} syncs stored; median sync {syncs['alone_p50_s']:.3f} s alone "
        f"({syncs['alone']}), {syncs['read_p50_s']:.3f} s while read ({syncs['read']}): "
        f"{syncs['read_p50_s'] / syncs['alone_p50_s']:.2f} times\nwrong: {len(figures['wrong'])}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks readers", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--alone", type=float, default=2, help="minutes before them in which nobody reads")
    parser.add_argument("--rate", type=float, default=100, help="times as many runs as the emulator's usual 80 a day")
    parser.add_argument("--format", choices=["table", "json"], default="table")
    parser.add_argument("--read", choices=sorted(set(KINDS)), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.read:
        print(json.dumps(read(chosen.read, chosen.folder, chosen.address, chosen.minutes * 60)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        figures = summed_up(measure(Path(folder), chosen.minutes * 60, chosen.alone * 60, chosen.rate))
    print(json.dumps(figures, indent=1) if chosen.format == "json" else text(figures))
    for line in [*figures["wrong"], *figures["log"]]:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if figures["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
