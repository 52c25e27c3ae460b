"""What the weekly report costs: `python -m benchmarks.report HOW_MANY FOLDER`.

So many runs in the twelve weeks, of ten sources and 300 pipelines, each seen three times: queued, running, ended; one
in twenty failed. Each part is compared with the plainest thing that reads the same runs: a copy of the view `runs` into
a temporary table.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import duckdb

from runlake.config import Config
from runlake.report.asking import Known
from runlake.report.charts import draw
from runlake.report.formats import Format, render
from runlake.report.gather import build
from runlake.report.period import Period, period
from runlake.report.scope import Scope
from runlake.store.database import connect
from runlake.store.published import publish
from runlake.store.query import Reader

BEGIN = datetime(2026, 8, 24, tzinfo=UTC)
AS_OF = BEGIN + timedelta(days=84, hours=12)
TIMES = 3

Figures = dict[str, Any]
T = TypeVar("T")

_RUNS = """
CREATE TEMP TABLE drawn AS
SELECT i, hash(i) AS dice, uuid() AS run_key, 'source-' || (i % 10) AS source, 'vendor-' || (i % 10) AS vendor,
       'pipeline-' || (dice % 300) AS pipeline_id, 'run-' || i AS run_id, 1 AS attempt,
       'v' || (i // 100000) AS pipeline_version,
       ?::TIMESTAMPTZ + to_microseconds((i * (84 * 86400 * 1000000::BIGINT / ?))::BIGINT) AS created_at,
       CASE WHEN dice % 20 = 0 THEN 'failed' WHEN dice % 50 = 1 THEN 'cancelled' ELSE 'succeeded' END AS ended,
       (30000 + hash(i * 3) % 600000)::BIGINT AS lasted
FROM range(?) AS numbers(i)
"""
_SNAPSHOTS = """
INSERT INTO rl.run_snapshots BY NAME
SELECT run_key, source, vendor, pipeline_id, upper(pipeline_id) AS pipeline_name, run_id, attempt, pipeline_version,
       CASE look WHEN 0 THEN 'queued' WHEN 1 THEN 'running' ELSE ended END AS status, status AS vendor_status,
       created_at, created_at::DATE AS created_date, created_at + INTERVAL 5 SECOND AS first_seen_at,
       CASE WHEN look > 0 THEN created_at + INTERVAL 30 SECOND END AS started_at,
       CASE WHEN look > 0 THEN 30000 END AS queued_ms,
       CASE WHEN look = 2 THEN started_at + to_milliseconds(lasted) END AS finished_at,
       CASE WHEN look = 2 THEN lasted END AS duration_ms,
       CASE WHEN status = 'failed' THEN 'host ' || i || ' refused after ' || (dice % 100) || ' s' END AS error_message,
       'https://etl.example.com/runs/' || run_id AS run_url, map {'team': 't' || (dice % 20)} AS labels,
       map {'tokens': (dice % 1000)::DOUBLE} AS metrics, created_at + to_seconds(5 + look * 400) AS observed_at,
       (i * 3 + look)::UBIGINT AS state_hash, 'list' AS read_by
FROM drawn, range(3) AS looks(look) ORDER BY observed_at
"""
_TABLES = """
INSERT INTO rl.runs BY NAME
SELECT * EXCLUDE (sync_id, read_by, request) FROM rl.run_snapshots WHERE status NOT IN ('queued', 'running')
ORDER BY created_at;
INSERT INTO rl.steps BY NAME
SELECT run_key, created_at AS run_created_at, source, 3 AS step_no, 's3' AS step_id, 'load' AS name, status,
       vendor_status, observed_at, error_message FROM rl.runs;
INSERT INTO rl.sources
SELECT source, vendor, vendor, min(created_at), max(observed_at) FROM rl.runs GROUP BY ALL;
UPDATE rl.sources SET observed_through = observed_through + INTERVAL 1 DAY
"""


def fill(ledger: Path, runs: int) -> None:
    with connect(ledger) as con:
        con.execute(_RUNS, [BEGIN, runs, runs])
        con.execute(_SNAPSHOTS)
        con.execute(_TABLES)
        publish(con, ledger, AS_OF)


Taken = dict[str, list[tuple[float, float]]]
"""By part, milliseconds of wall and of CPU time."""


def taking(ms: Taken, part: str, work: Callable[[], T]) -> T:
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    ms.setdefault(part, []).append(((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000))
    return done


def once(ledger: Path, week: Period, ms: Taken) -> str:
    """The report as a page; adds to `ms` what each part took."""
    with Reader(ledger) as reader:
        plain = "FROM runs WHERE created_at >= $since AND created_at < $until"
        span = {"since": week.history.since, "until": week.history.until}
        taking(ms, "a plain copy of its runs", lambda: reader.keep("plain", plain, **span))
    with Reader(ledger) as reader:
        taking(ms, "runs as known then", lambda: Known(reader, week))
    with Reader(ledger) as reader:
        report = taking(ms, "gathered", lambda: build(reader, Config(), week, Scope(), pictures=False))
        taking(ms, "drawn", lambda: draw(reader, week))
    with Reader(ledger) as reader:
        report = taking(ms, "in all: gathered and drawn", lambda: build(reader, Config(), week, Scope()))
    return taking(ms, "rendered", lambda: render(report, Format.HTML))


def main() -> None:
    runs, ledger = int(sys.argv[1]), Path(sys.argv[2]) / "report.duckdb"
    print(f"making {runs:,} runs", file=sys.stderr)
    fill(ledger, runs)
    week = period(zone=ZoneInfo("UTC"), now=AS_OF, as_of=AS_OF)
    ms: Taken = {}
    pages = {once(ledger, week, ms) for _ in range(TIMES)}
    if len(pages) != 1:
        sys.exit("the same week was not rendered the same")
    figures: Figures = {
        "runs": runs,
        "duckdb": duckdb.__version__,
        "page_bytes": len(pages.pop().encode()),
        "ms": {
            part: {"wall": median(wall for wall, _ in taken), "cpu": median(cpu for _, cpu in taken)}
            for part, taken in ms.items()
        },
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
