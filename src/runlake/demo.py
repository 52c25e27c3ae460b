"""The demo's world: six emulated vendors, a config for them, a clock that can be set forward, and questions to ask.

Everything it shows is simulated: no vendor is contacted, no run is real.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runlake.emulator import Clock, Emulator, Fault, Faults, World, serve
from runlake.emulator.catalog import PIPELINES
from runlake.errors import ConfigError

PASSES = timedelta(hours=24)
HISTORY = timedelta(days=7)
RATE = 2.0
SEEDS = 60
MARK = "runlake-demo"
"""The file by which a folder is known to be a demo's, and thus free to be overwritten."""

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

    def a_day_later(self) -> None:
        """Lets the simulated hours pass. From now on one list row of one vendor has a word that nobody documented."""
        self.clock.advance(PASSES)
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
    emulator = Emulator(_eventful(start), clock, start=start - HISTORY, rate=RATE)
    with serve(emulator) as base_url:
        config = folder / "runlake.toml"
        config.write_text(_config(emulator, base_url, folder), encoding="utf-8")
        yield Demo(config, clock, emulator)


def _eventful(start: datetime) -> int:
    """The first seed with what a demo should show: that day a finished run is rerun, another deleted. Both are rare."""
    end, recent = start + PASSES, start - timedelta(days=2)
    for seed in range(SEEDS):
        world, reran, deleted = World(seed, recent, rate=RATE), False, False
        for vendor in sorted({pipeline.vendor for pipeline in PIPELINES}):
            for run in world.runs(vendor, start):
                if run.at(start).state.final:
                    deleted |= not run.exists_at(end)
                    reran |= run.exists_at(end) and run.at(start).attempt.number < run.at(end).attempt.number
        if reran and deleted:
            return seed
    return 0


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
