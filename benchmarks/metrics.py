"""What each metric costs on a large ledger: `python -m benchmarks.metrics HOW_MANY FOLDER`.

Twelve months of runs, of ten sources and 200 pipelines, in a split copy, as readers meet one of this size; 30 days are
asked about (`regressions` and `failure_changes` compare them with the 28 before). Beside each metric stands what an
analyst would write first on the view `runs`: it counts each attempt as a run, and tells neither freshness nor coverage.
Every question has a connection of its own, opened beforehand, so that all of the copy's files are new to it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from runlake.store import periods
from runlake.store.database import METRICS, connect
from runlake.store.published import publish
from runlake.store.query import Reader

UNTIL = datetime(2026, 11, 16, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=30)
MONTHS = timedelta(days=365)
TIMES = 5
COMMANDS = ("--version", "runs", f"runs --failed --since {SINCE:%Y-%m-%d}", f"pipelines --since {SINCE:%Y-%m-%d}")

Figures = dict[str, Any]

_DRAWN = """
CREATE TEMP TABLE drawn AS
SELECT i, attempt, hash(i) AS of_run, hash(i, attempt) AS dice,
       $begin::TIMESTAMPTZ + to_microseconds((i * $step)::BIGINT) + (attempt - 1) * INTERVAL 10 MINUTE AS created_at
FROM range($runs) AS numbers(i), range(1, 3) AS attempts(attempt) WHERE attempt = 1 OR hash(i) % 1000 < 20
"""
# Of 1,000: 20 runs failed and were attempted again, 60 more failed, 10 timed out or were skipped.
_RUNS = """
INSERT INTO rl.runs BY NAME
SELECT md5(i || '/' || attempt)::UUID AS run_key, 'source-' || (of_run // 1000 % 10) AS source,
       'vendor-' || (of_run // 1000 % 5) AS vendor, 'pipeline-' || (of_run // 1000 % 200) AS pipeline_id,
       upper(pipeline_id) AS pipeline_name, 'run-' || i AS run_id, attempt, i AS run_number,
       'v' || (i // 20000) AS pipeline_version,
       CASE WHEN attempt = 1 AND of_run % 1000 < 20 THEN 'failed'
            WHEN created_at > $until::TIMESTAMPTZ - INTERVAL 1 HOUR THEN 'running'
            WHEN created_at > $until::TIMESTAMPTZ - INTERVAL 7 DAY AND dice % 2000 = 1 THEN 'waiting'
            WHEN dice % 1000 < 60 THEN 'failed' WHEN dice % 1000 < 67 THEN 'timed_out'
            WHEN dice % 1000 < 70 THEN 'skipped' WHEN dice % 1000 < 90 THEN 'cancelled'
            WHEN dice % 1000 < 120 THEN 'succeeded_with_warnings' ELSE 'succeeded' END AS status,
       status AS vendor_status, created_at, created_at::DATE AS created_date,
       (dice // 7 % 60000)::BIGINT AS queued_ms, created_at + to_milliseconds(queued_ms) AS started_at,
       CASE WHEN status NOT IN ('running', 'waiting') THEN (30000 + dice // 11 % 600000)::BIGINT END AS duration_ms,
       started_at + to_milliseconds(duration_ms) AS finished_at, finished_at AS updated_at, 'schedule' AS trigger,
       'user-' || (dice // 13 % 50) AS triggered_by,
       CASE WHEN status IN ('failed', 'timed_out') THEN 'E' || (dice // 17 % 12) END AS error_code,
       CASE WHEN status IN ('failed', 'timed_out') THEN CASE dice // 19 % 4
         WHEN 0 THEN 'could not connect to 10.0.' || (dice % 250) || '.17:5432 after ' || dice % 90 || ' s (request ' ||
                     md5(i::VARCHAR)::UUID || ')'
         WHEN 1 THEN 'Table "events_' || (dice % 5000) || '" has no column "' || md5(i::VARCHAR) || '" at line ' || i
         WHEN 2 THEN 'GET https://api.example.com/v2/files/' || i || '?page=' || dice % 90 || ': HTTP 50' || dice % 4
         ELSE 'out of memory at ' || created_at || ' in chunk ' || i || ', ' || repeat('worker frame, ', 12) END
       END AS error_message,
       'https://etl.example.com/pipelines/' || pipeline_id || '/runs/' || run_id AS run_url,
       map {'team': 'team-' || (of_run // 1000 % 20), 'env': 'prod'} AS labels,
       CASE WHEN of_run // 1000 % 2 = 0 THEN map {'tokens': (dice % 9000)::DOUBLE, 'documents': (dice % 90)::DOUBLE} END
         AS metrics,
       created_at + INTERVAL 5 SECOND AS first_seen_at,
       coalesce(finished_at, started_at) + INTERVAL 2 MINUTE AS observed_at, dice AS state_hash
FROM drawn
"""
_HISTORY = """
INSERT INTO rl.run_snapshots BY NAME FROM rl.runs;
INSERT INTO rl.run_snapshots BY NAME
SELECT * EXCLUDE (look) REPLACE (
  CASE look WHEN 0 THEN 'queued' ELSE if(state_hash % 500 = 2, 'waiting', 'running') END AS status,
  status AS vendor_status, CASE look WHEN 1 THEN started_at END AS started_at,
  CASE look WHEN 1 THEN queued_ms END AS queued_ms, NULL AS finished_at, NULL AS duration_ms, NULL AS updated_at,
  NULL AS error_code, NULL AS error_message, created_at + to_seconds(5 + look * 60) AS observed_at,
  hash(state_hash, look) AS state_hash)
FROM rl.runs, range(2) AS looks(look) WHERE created_at >= $since::TIMESTAMPTZ - INTERVAL 31 DAY
"""
_STEPS = """
INSERT INTO rl.steps BY NAME
SELECT run_key, created_at AS run_created_at, source, step_no, 's' || step_no AS step_id,
       ['fetch', 'parse', 'embed', 'load'][step_no + 1] AS name, 'task' AS kind,
       if(step_no = 3, status, 'succeeded') AS status, status AS vendor_status, started_at, finished_at, duration_ms,
       if(step_no = 3, error_code, NULL) AS error_code, if(step_no = 3, error_message, NULL) AS error_message,
       observed_at
FROM rl.runs, range(4) AS steps(step_no) WHERE status IN ('failed', 'timed_out') OR state_hash % 10 = 3
"""
_REST = """
INSERT INTO rl.sources
SELECT source, vendor, vendor, min(created_at), $until::TIMESTAMPTZ FROM rl.runs GROUP BY ALL;
INSERT INTO rl.pipelines BY NAME
SELECT source, pipeline_id, upper(pipeline_id) AS pipeline_name, false AS paused, min(created_at) AS first_seen_at,
       max(created_at) AS observed_at FROM rl.runs GROUP BY ALL;
INSERT INTO rl.coverage
SELECT source, pipeline_id, created_date, count(*), count(*), 0, [], created_date + INTERVAL 30 HOUR
FROM rl.runs WHERE created_date < $until::TIMESTAMPTZ::DATE GROUP BY ALL ORDER BY created_date;
INSERT INTO rl.syncs
SELECT uuid(), source, vendor, 'sync', begun, begun + INTERVAL 9 SECOND, 'ok', NULL, NULL, 200, 90, 80, 20, 0, 0, 0, 0,
       false, 4, 500000, 0, 0, 0, begun, []
FROM rl.sources, range($since::TIMESTAMPTZ, $until::TIMESTAMPTZ, INTERVAL 5 MINUTE) AS every(begun) ORDER BY begun
"""


def fill(ledger: Path, runs: int) -> None:
    step = MONTHS / timedelta(microseconds=1) / runs
    span = {"since": SINCE, "until": UNTIL}
    with connect(ledger) as con:
        con.execute(_DRAWN, {"begin": UNTIL - MONTHS, "step": step, "runs": runs})
        con.execute(_RUNS, {"until": UNTIL})
        con.execute("DROP TABLE drawn")
        for statement in (*_HISTORY.split(";"), _STEPS, *_REST.split(";")):
            con.execute(statement, {name: at for name, at in span.items() if f"${name}" in statement} or None)
        periods.RUNS_AT_ONCE = runs * 2  # all in one publish, which holds nobody up here
        publish(con, ledger, UNTIL, split_above=0)


_PERIOD = f"'{SINCE:%Y-%m-%d}', '{UNTIL:%Y-%m-%d}'"
_THEN = f"created_at >= '{SINCE:%Y-%m-%d}' AND created_at < '{UNTIL:%Y-%m-%d}'"
_WITH_BEFORE = f"created_at >= '{SINCE - timedelta(days=28):%Y-%m-%d}' AND created_at < '{UNTIL:%Y-%m-%d}'"
_NOW = f"created_at >= '{SINCE:%Y-%m-%d}'"
_PIPELINE = "source, vendor, pipeline_id, pipeline_name"
_COUNTS = "count(*), count(*) FILTER (status LIKE 'succeeded%'), count(*) FILTER (status IN ('failed', 'timed_out'))"
_FAILED = f"FROM runs WHERE {_THEN} AND status IN ('failed', 'timed_out')"
_IN_ORDER = "OVER (PARTITION BY source, pipeline_id ORDER BY created_at)"

QUESTIONS = {
    "success_rate": (
        f"SELECT vendor, success_rate(outcome) FROM runs WHERE {_THEN} GROUP BY ALL",
        f"SELECT vendor, avg((status LIKE 'succeeded%')::INTEGER) FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "p50": (
        f"SELECT vendor, p50(duration_ms) FROM runs WHERE {_THEN} GROUP BY ALL",
        f"SELECT vendor, median(duration_ms) FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "p95": (
        f"SELECT vendor, p95(duration_ms) FROM runs WHERE {_THEN} GROUP BY ALL",
        f"SELECT vendor, quantile_cont(duration_ms, 0.95) FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "local_day": (
        f"SELECT local_day(created_at, 'Europe/Berlin'), count(*) FROM runs WHERE {_THEN} GROUP BY ALL",
        f"SELECT created_date, count(*) FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "local_week": (
        f"SELECT local_week(created_at, 'Europe/Berlin'), count(*) FROM runs WHERE {_THEN} GROUP BY ALL",
        f"SELECT date_trunc('week', created_date), count(*) FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "error_signature": (
        f"SELECT error_signature(error_code, error_message), count(*) {_FAILED} GROUP BY ALL",
        f"SELECT error_code, error_message, count(*) {_FAILED} GROUP BY ALL",
    ),
    "observed_through": ("SELECT source, observed_through(source) FROM published", "FROM published"),
    "missing_runs": (
        f"SELECT source, missing_runs(source, {_PERIOD}) FROM published",
        f"SELECT source, sum(missing) FROM coverage WHERE day >= '{SINCE:%Y-%m-%d}' GROUP BY ALL",
    ),
    "runs_between": (
        f"SELECT count(*), sum(wasted_ms), count(error_signature) FROM runs_between({_PERIOD})",
        f"SELECT count(*), sum(duration_ms), count(error_message) FROM runs WHERE {_THEN}",
    ),
    "runs_at": (
        f"SELECT status, count(*), sum(duration_ms) FROM runs_at('{UNTIL}') WHERE {_THEN} GROUP BY ALL",
        f"SELECT status, count(*), sum(duration_ms) FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "failed_steps_at": (
        f"FROM failed_steps_at('{UNTIL}') WHERE {_THEN.replace('created_at', 'run_created_at')}",
        f"FROM steps WHERE {_THEN.replace('created_at', 'run_created_at')} AND status IN ('failed', 'timed_out')",
    ),
    "outcomes_by_day": (
        f"FROM outcomes_by_day({_PERIOD}, tz := 'Europe/Berlin')",
        f"SELECT {_PIPELINE}, created_date, {_COUNTS} FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "source_stats": (
        f"FROM source_stats({_PERIOD})",
        f"SELECT source, {_COUNTS}, median(duration_ms), median(queued_ms) FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "pipeline_stats": (
        f"FROM pipeline_stats({_PERIOD})",
        f"SELECT {_PIPELINE}, {_COUNTS}, median(duration_ms), median(queued_ms) FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "run_metrics": (
        f"FROM run_metrics({_PERIOD})",
        f"SELECT {_PIPELINE}, sum(metrics['tokens']), sum(metrics['documents']) FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "recoveries": (
        f"FROM recoveries({_PERIOD})",
        f"SELECT *, lead(created_at) {_IN_ORDER} FROM (SELECT {_PIPELINE}, created_at, status, run_key, run_url "
        f"FROM runs WHERE {_THEN}) QUALIFY status = 'failed' AND lead(status) {_IN_ORDER} <> 'failed'",
    ),
    "flaky_runs": (
        f"FROM flaky_runs({_PERIOD})",
        f"SELECT *, lead(run_key) {_IN_ORDER} FROM (SELECT {_PIPELINE}, created_at, status, run_key, run_url "
        f"FROM runs WHERE {_THEN}) QUALIFY status = 'failed' AND lead(status) {_IN_ORDER} = 'succeeded'",
    ),
    "busy_hours": (
        f"FROM busy_hours({_PERIOD}, tz := 'Europe/Berlin')",
        f"SELECT source, vendor, isodow(created_at), hour(created_at), {_COUNTS} FROM runs WHERE {_THEN} GROUP BY ALL",
    ),
    "regressions": (
        f"FROM regressions({_PERIOD})",
        f"SELECT {_PIPELINE}, median(duration_ms) FILTER ({_NOW}), median(duration_ms) FILTER (NOT {_NOW}) "
        f"FROM runs WHERE {_WITH_BEFORE} GROUP BY ALL",
    ),
    "failure_changes": (
        f"FROM failure_changes({_PERIOD})",
        f"SELECT {_PIPELINE}, error_code, count(*) FILTER ({_NOW}), count(*) FILTER (NOT {_NOW}) FROM runs "
        f"WHERE {_WITH_BEFORE} AND status IN ('failed', 'timed_out') GROUP BY ALL",
    ),
    "error_signatures": (
        f"FROM error_signatures({_PERIOD})",
        f"SELECT source, error_code, count(*), min(created_at), max(created_at) {_FAILED} GROUP BY ALL",
    ),
    "failing_steps": (
        f"FROM failing_steps({_PERIOD})",
        f"SELECT r.source, r.pipeline_id, s.name, count(*) FROM steps s JOIN runs r USING (run_key) "
        f"WHERE r.{_THEN} AND s.status = 'failed' GROUP BY ALL",
    ),
    "waits": (
        f"FROM waits({_PERIOD}, known_at := '{UNTIL}'::TIMESTAMPTZ)",
        "SELECT run_key, min(observed_at), max(observed_at) FROM run_history "
        f"WHERE {_THEN} AND status_then = 'waiting' GROUP BY ALL",
    ),
    "source_coverage": (f"FROM source_coverage({_PERIOD}, known_at := '{UNTIL}'::TIMESTAMPTZ)", "FROM source_health"),
}
"""By metric: itself, and the plainest SQL."""


@contextmanager
def timed(took: list[dict[str, float]], who: int = resource.RUSAGE_SELF) -> Iterator[None]:
    """Adds the seconds that it took: by the clock, and of the CPU, with system time and of all threads."""

    def cpu() -> float:
        usage = resource.getrusage(who)
        return usage.ru_utime + usage.ru_stime

    wall, before = time.perf_counter(), cpu()
    yield
    took.append({"wall": time.perf_counter() - wall, "cpu": cpu() - before})


def asked(ledger: Path, query: str) -> Figures:
    took: list[dict[str, float]] = []
    for _ in range(TIMES):
        with Reader(ledger) as reader:
            # Kept by DuckDB, so that nothing is counted of turning many rows into Python's.
            with timed(took):
                reader.keep("answer", query)
            [counted] = reader.read("SELECT count(*) AS rows FROM answer")
    return {**middle(took), **counted}


def middle(took: list[dict[str, float]]) -> dict[str, float]:
    return {kind: median(each[kind] for each in took) for kind in took[0]}


def commands(ledger: Path) -> dict[str, dict[str, float]]:
    """Whole processes, from their start to their end."""
    config = ledger.with_name("runlake.toml")
    config.write_text(f"database = '{ledger}'\n", encoding="utf-8")

    found = {}
    for line in COMMANDS:
        took: list[dict[str, float]] = []
        for _ in range(TIMES):
            with timed(took, resource.RUSAGE_CHILDREN):
                subprocess.run(
                    [sys.executable, "-m", "runlake", "-c", str(config), *line.split()], check=True, capture_output=True
                )
        found[f"runlake {line}"] = middle(took)
    return found


def main() -> None:
    if missing := set(METRICS) ^ set(QUESTIONS):
        sys.exit(f"metrics without a question here, or the reverse: {', '.join(sorted(missing))}")
    runs, ledger = int(sys.argv[1]), Path(sys.argv[2]) / "metrics.duckdb"
    if not ledger.exists():
        print(f"making {runs:,} runs", file=sys.stderr)
        fill(ledger, runs)
    metrics = {}
    for name, (metric, plain) in QUESTIONS.items():
        metrics[name] = {"metric": asked(ledger, metric), "plain": asked(ledger, plain)}
        print(name, file=sys.stderr)
    figures = {
        "runs": runs,
        "duckdb": duckdb.__version__,
        "file_bytes": ledger.stat().st_size,
        "metrics": metrics,
        "commands": commands(ledger),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
