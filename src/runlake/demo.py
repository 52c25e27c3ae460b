"""The demo's world: six emulated vendors, a config for them, a clock that can be set forward, and questions to ask.

Everything it shows is simulated: no vendor is contacted, no run is real.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

from runlake.emulator import Clock, Emulator, Fault, Faults, World, serve
from runlake.emulator.catalog import PIPELINES, Character, Pipeline
from runlake.errors import ConfigError

PASSES = timedelta(hours=24)
HISTORY = timedelta(days=7)
RATE = 2.0
SEEDS = 60
MARK = "runlake-demo"
"""The file by which a folder is known to be a demo's, and thus free to be overwritten."""

FRAIL = Pipeline(
    "clarifeye",
    "discharge-letters",
    timedelta(hours=4),
    ("parsing", "chunking"),
    Character(length_s=600, failure=0.45, delete=0),
    group="insurance-policies",
)
"""The pipeline that is alerted on: it fails often."""

HELD = timedelta(minutes=2)
"""After a run's end, by when a failure has lasted long enough to be told."""

QUESTIONS = (
    (
        "How reliable is each vendor? Neutral, open and unknown runs count neither way.",
        """
SELECT vendor,
       round(100.0 * count(*) FILTER (outcome = 'success')
             / nullif(count(*) FILTER (outcome IN ('success', 'failure')), 0), 1) AS success_percent,
       count(*) FILTER (outcome = 'success') AS success,
       count(*) FILTER (outcome = 'failure') AS failure,
       count(*) FILTER (outcome = 'neutral') AS neutral,
       count(*) FILTER (outcome IS NULL AND status <> 'unknown') AS open,
       count(*) FILTER (status = 'unknown') AS unknown
FROM runs WHERE vanished_at IS NULL GROUP BY vendor ORDER BY success_percent
""",
    ),
    (
        "What waits for a person, and since when?",
        """
SELECT source, coalesce(pipeline_name, pipeline_id) AS pipeline, run_id, vendor_status, started_at
FROM open_runs WHERE status = 'waiting' ORDER BY started_at LIMIT 8
""",
    ),
    (
        "What failed in the last day, and in which step?",
        """
SELECT created_at, source, coalesce(pipeline_name, pipeline_id) AS pipeline, vendor_status, failed_step,
       coalesce(step_error, error_message) AS error
FROM failures WHERE created_at > (SELECT max(as_of) FROM published) - INTERVAL 1 DAY ORDER BY created_at DESC LIMIT 8
""",
    ),
)

CHANGES = """
SELECT source,
       count(*) FILTER (before NOT IN $final AND status_then IN $final) AS finished,
       count(*) FILTER (before IN $final AND vanished_at IS NULL AND status_then <> 'unknown'
                        AND (status_then NOT IN $final OR started_at > started_before)) AS reran,
       count(*) FILTER (vanished_at IS NOT NULL) AS vanished,
       count(*) FILTER (status_then = 'unknown') AS new_word
FROM (SELECT *, lag(status_then) OVER known AS before, lag(started_at) OVER known AS started_before FROM run_history
      WINDOW known AS (PARTITION BY source, pipeline_id, run_id ORDER BY observed_at, attempt))
WHERE observed_at > $since AND before IS NOT NULL GROUP BY source ORDER BY source
"""
"""What became of the runs that were known at `$since`; `$final` are the final statuses. A vendor that counts attempts
shows a rerun as a further row of the same run."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo: its config file is written, its vendors answer until `running` ends."""

    config: Path
    clock: Clock
    emulator: Emulator
    inbox: list[dict[str, Any]]
    """What the receiver of alerts was sent."""
    trouble: tuple[datetime, datetime, datetime]
    """When a run of FRAIL has just failed, when the next one has as well, and when a later one has succeeded."""

    def a_day_later(self) -> None:
        """Lets the simulated hours pass. From now on one list row of one vendor has a word that nobody documented."""
        self.clock.set(datetime.now(UTC))
        self.emulator.vendor("truestate").faults = Faults(kinds={Fault.UNKNOWN_WORD}, limit=1)

    def handles(self) -> list[tuple[str, str]]:
        """(source, handle) of what a user would have to track by now: one vendor documents no list."""
        return [("clinia", f"task:{task}") for task in self.emulator.tasks()]


def claim(folder: Path) -> None:
    """Makes the folder, or empties the one that an earlier demo left. Raises ConfigError for anyone else's."""
    mark = folder / MARK
    try:
        if folder.exists() and not mark.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} holds something that is not a demo; name another with --folder")
        (folder / "secrets").mkdir(parents=True, exist_ok=True)
        mark.write_text("runlake demo made this folder and may overwrite what is in it.\n", encoding="utf-8")
        for old in (*folder.glob("runlake*.duckdb*"), *(folder / "secrets").iterdir()):
            old.unlink()
    except OSError as error:
        raise ConfigError(f"cannot use {folder} for the demo: {error.strerror}") from None


@contextmanager
def running(folder: Path) -> Iterator[Demo]:
    """Serves the vendors on 127.0.0.1; their time begins `PASSES` ago and goes on at its usual pace."""
    claim(folder)
    start = datetime.now(UTC) - PASSES
    clock = Clock(start, speed=1.0)
    seed, trouble = _eventful(start)
    emulator = Emulator(seed, clock, start=start - HISTORY, pipelines=(*PIPELINES, FRAIL), rate=RATE)
    with serve(emulator) as base_url, _receiver() as (address, inbox):
        config = folder / "runlake.toml"
        config.write_text(_config(emulator, base_url, folder) + _alerting(address, folder), encoding="utf-8")
        yield Demo(config, clock, emulator, inbox, trouble)


def _eventful(start: datetime) -> tuple[int, tuple[datetime, datetime, datetime]]:
    """The first seed with what a demo should show: that day a finished run is rerun, another deleted, both of which are
    rare, and FRAIL fails twice in a row and then recovers; and when that is (`Demo.trouble`). Where none of SEEDS has
    all of it, one with the latter."""
    end, recent = start + PASSES, start - timedelta(days=2)
    found = None
    for seed in range(SEEDS):
        world, reran, deleted = World(seed, recent, (*PIPELINES, FRAIL), rate=RATE), False, False
        trouble = _trouble(world, start, end)
        if trouble is None:
            continue
        found = found or (seed, trouble)
        for vendor in sorted({pipeline.vendor for pipeline in PIPELINES}):
            for run in world.runs(vendor, start):
                if run.at(start).state.final:
                    deleted |= not run.exists_at(end)
                    reran |= run.exists_at(end) and run.at(start).attempt.number < run.at(end).attempt.number
        if reran and deleted:
            return seed, trouble
    assert found is not None, f"of {SEEDS} seeds, FRAIL fails twice and recovers in most"
    return found


def _trouble(world: World, start: datetime, end: datetime) -> tuple[datetime, datetime, datetime] | None:
    ended = [(run.moments[-1].at + HELD, run.moments[-1].state) for run in world.runs(FRAIL.vendor, end, FRAIL.name)]
    that_day = [(at, state) for at, state in ended if start + HELD < at < end]
    for (first, failed), (second, again) in pairwise(that_day):
        well = [at for at, state in that_day if at > second and not state.failure]
        if failed.failure and again.failure and well:
            return first, second, well[0]
    return None


@contextmanager
def _receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Takes what a webhook sends, on 127.0.0.1; gives its address, and the list of what it was sent."""
    inbox: list[dict[str, Any]] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", inbox
        finally:
            server.shutdown()
            thread.join()


def _alerting(address: str, folder: Path) -> str:
    (folder / "secrets" / "alerts-url").write_text(f"{address}\n", encoding="utf-8")
    return f"""
[[rule]]
kind = "failed"
pipelines = ["{FRAIL.name}"]

[[channel]]
name = "demo"
kind = "webhook"
url = {{ file = "secrets/alerts-url" }}
rules = ["failed"]
digest = false
"""


def _config(emulator: Emulator, base_url: str, folder: Path) -> str:
    parts = [
        "# Written by `runlake demo`. Everything in it is simulated: the vendors were local servers.",
        'database = "runlake.duckdb"',
    ]
    for name in emulator.vendors:
        parts += ["", "[[source]]", f'name = "{name}"', f'connector = "{name}"', "[source.settings]"]
        for key, value in emulator.settings(name, base_url).items():
            if key in ("api_key", "token", "password"):
                secret = folder / "secrets" / f"{name}-{key}"
                secret.write_text(f"{value}\n", encoding="utf-8")
                secret.chmod(0o600)
                parts.append(f'{key} = {{ file = "secrets/{secret.name}" }}')
            elif isinstance(value, list):
                parts.append(f"{key} = [" + ", ".join(f'"{each}"' for each in value) + "]")
            else:
                parts.append(f'{key} = "{value}"')
    return "\n".join(parts) + "\n"
