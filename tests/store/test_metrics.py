"""What the metrics say of histories small enough to count by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from runlake.store.books import rows
from runlake.store.database import connect

ATTEMPTS = """
run, attempt, status,    at,               duration_ms, vanished
a,   1,       failed,    2026-07-06 00:00, 100,
a,   2,       failed,    2026-07-06 01:00, 200,
a,   3,       succeeded, 2026-07-06 02:00, 400,
b,   1,       cancelled, 2026-07-07 00:00, 800,
c,   1,       running,   2026-07-08 00:00, ,
d,   1,       queued,    2026-07-09 00:00, ,            2026-07-10
e,   1,       succeeded, 2026-07-12 23:59, 50,
e,   2,       failed,    2026-07-13 00:00, 60,
f,   1,       failed,    2026-07-05 23:59, 7,
"""
"""Of one pipeline, in UTC."""


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path_factory.mktemp("metrics") / "ledger.duckdb") as con:
        for line in ATTEMPTS.split("\n")[2:-1]:
            run, attempt, status, at, duration, vanished = (cell.strip() or None for cell in line.split(","))
            add_run(con, run, attempt, status, at, duration_ms=duration, vanished_at=vanished)
        yield con


def add_run(con: duckdb.DuckDBPyConnection, run: Any, attempt: Any, status: Any, at: Any, **more: Any) -> None:
    """One attempt, seen once, when it was created."""
    row = {
        "source": "s", "vendor": "v", "pipeline_id": "p", "run_id": run, "attempt": attempt, "status": status,
        "vendor_status": status, "created_at": at, "created_date": at[:10], "first_seen_at": at, "observed_at": at,
        "state_hash": 0, **more,
    }  # fmt: skip
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    con.execute(
        f"INSERT INTO rl.runs (run_key, {names}) VALUES (md5('{run}/{attempt}')::UUID, {marks})", [*row.values()]
    )


def ask(con: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return con.execute(query).fetchall()


def test_a_run_counts_once_by_its_last_attempt_in_the_period(con: duckdb.DuckDBPyConnection) -> None:
    week = "FROM runs_between('2026-07-06', '2026-07-13')"
    assert ask(con, f"{week} SELECT run_id, attempt, outcome, attempts, wasted_ms ORDER BY ALL") == [
        ("a", 3, "success", 3, 300),
        ("b", 1, "neutral", 1, 800),
        ("c", 1, None, 1, 0),
        ("e", 1, "success", 1, 0),
    ]


def test_the_runs_looked_at_can_be_any_relation(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE OR REPLACE TEMP TABLE mine AS FROM runs WHERE run_id = 'b'")
    assert ask(con, "SELECT run_id FROM runs_between('2026-07-06', '2026-07-13', among := 'mine')") == [("b",)]
    other = "WITH other AS (FROM runs WHERE run_id = 'c') SELECT run_id FROM runs_between({}, among := 'other')"
    assert ask(con, other.format("'2026-07-06', '2026-07-13'")) == [("c",)]


@pytest.mark.parametrize(
    "code, message, signature",
    [
        (None, None, None),
        ("", " \n", None),
        ("E1001", None, "E1001"),
        ("E1001", "row 17", "E1001: row #"),
        (None, "GET https://x.example/v2/2wil31Z2xQ?page=3: HTTP 503", "GET https://x.example/v#/#?page=#: HTTP 503"),
        (None, "exit code 137 (worker-12, pid 4411) after 12.5s", "exit code 137 (worker-#, pid #) after #"),
        (None, "can't read 'a b'; the source's file isn't there", 'can\'t read "…"; the source\'s file isn\'t there'),
        (None, 'Table "users_17" is gone\n  at line 17:3', 'Table "…" is gone at line #'),
        (None, "run 550e8400-e29b-41d4-a716-446655440000 ended 2026-11-16T09:00:00.123Z", "run # ended #"),
        (None, "commit deadbeefcafebabe of 2026-11-16 09:00:00+02:00", "commit # of #"),
        (None, "no s3://lake/2026/11/file_3.csv in row 1,234", "no s#://lake/#/#/file_#.csv in row #"),
        (None, "\u202eabc\x1b[31m", "abc"),
        (None, "\x1b[0mat  \x1b[33mnoon:\n\x1b[1;31mDatabase Error\x1b[0m in [a]", "at noon: Database Error in [a]"),
    ],
)  # fmt: skip
def test_what_changes_from_run_to_run_is_taken_out_of_an_error(
    con: duckdb.DuckDBPyConnection, code: str | None, message: str | None, signature: str | None
) -> None:
    told = con.execute("SELECT error_signature(?::VARCHAR, ?::VARCHAR)", [code, message]).fetchall()
    assert told == [(signature,)]


def test_days_and_weeks_are_those_of_the_zone(con: duckdb.DuckDBPyConnection) -> None:
    """2026-10-25 has 25 hours in Berlin: it ends at 23:00 UTC, and began at 22:00."""
    days = (
        "SELECT local_day(i, 'Europe/Berlin')::VARCHAR, local_week(i, 'Europe/Berlin')::VARCHAR FROM (VALUES {}) t(i)"
    )
    instants = ["2026-10-24 21:59+00:00", "2026-10-24 22:00+00:00", "2026-10-25 22:59+00:00", "2026-10-25 23:00+00:00"]
    assert ask(con, days.format(", ".join(f"('{at}')".replace("+", ":00+") for at in instants))) == [
        ("2026-10-24", "2026-10-19"),
        ("2026-10-25", "2026-10-19"),
        ("2026-10-25", "2026-10-19"),
        ("2026-10-26", "2026-10-26"),
    ]


def test_a_success_rate_leaves_out_what_has_no_verdict(con: duckdb.DuckDBPyConnection) -> None:
    outcomes = "SELECT success_rate(o) FROM (SELECT unnest({}::VARCHAR[]))  t(o)"
    assert ask(con, outcomes.format("['success', 'failure', 'success', 'success', 'neutral', NULL]")) == [(0.75,)]
    assert ask(con, outcomes.format("['neutral', NULL]")) == [(None,)]


def test_the_figures_of_a_pipeline_and_of_its_source(con: duckdb.DuckDBPyConnection) -> None:
    [stats] = rows(con, "FROM pipeline_stats('2026-07-06', '2026-07-13')")
    assert stats == {
        "source": "s", "vendor": "v", "pipeline_id": "p", "pipeline": "p", "runs": 4, "success": 2, "failure": 0,
        "neutral": 1, "open": 1, "unknown": 0, "warned": 0, "success_rate": 1.0, "timed": 2, "p50_ms": 225.0,
        "p95_ms": 382.5, "queued": 0, "p50_queued_ms": None, "p95_queued_ms": None, "reruns": 2, "wasted_ms": 1100,
        "last_status": "succeeded", "last_run_at": datetime(2026, 7, 12, 23, 59, tzinfo=UTC), "last_url": None,
        "observed_through": None, "missing_runs": None,
    }  # fmt: skip
    [of_source] = rows(con, "FROM source_stats('2026-07-06', '2026-07-13')")
    assert of_source == {name: value for name, value in stats.items() if not name.startswith("pipeline")}


def test_a_run_counts_on_its_local_day(con: duckdb.DuckDBPyConnection) -> None:
    days = "FROM outcomes_by_day('2026-07-06', '2026-07-13', tz := '{}') SELECT day::VARCHAR, {} ORDER BY ALL"
    assert ask(con, days.format("UTC", "runs, success, neutral, open")) == [
        ("2026-07-06", 1, 1, 0, 0),
        ("2026-07-07", 1, 0, 1, 0),
        ("2026-07-08", 1, 0, 0, 1),
        ("2026-07-12", 1, 1, 0, 0),
    ]
    there = ask(con, days.format("America/New_York", "runs"))
    assert there == [("2026-07-05", 1), ("2026-07-06", 1), ("2026-07-07", 1), ("2026-07-12", 1)]


def test_what_vendors_measure_is_added_up(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "CREATE OR REPLACE TEMP TABLE measured AS SELECT * REPLACE "
        "(MAP {'tokens': (ascii(run_id) - 96)::DOUBLE, 'files': NULL} AS metrics) FROM runs"
    )
    cost = "FROM run_metrics('2026-07-06', '2026-07-13', among := 'measured')"
    assert ask(con, f"{cost} SELECT pipeline, metric, runs, total, per_run") == [
        ("p", "tokens", 4, 1.0 + 2 + 3 + 5, 11 / 4)
    ]


def test_what_is_added_up_comes_to_the_same_in_any_order(con: duckdb.DuckDBPyConnection) -> None:
    totals = set()
    for order in ("run_id", "run_id DESC"):
        con.execute(
            "CREATE OR REPLACE TEMP TABLE measured AS SELECT * REPLACE "
            f"(MAP {{'cost': CASE run_id WHEN 'a' THEN 1e16 ELSE 1 END}} AS metrics) FROM runs ORDER BY {order}"
        )
        totals |= {*ask(con, "SELECT total FROM run_metrics('2026-07-06', '2026-07-13', among := 'measured')")}
    assert len(totals) == 1


def test_freshness_and_coverage_stand_beside_each_figure(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("BEGIN")
    con.execute("INSERT INTO rl.sources VALUES ('s', 'v', 'V', NULL, '2026-07-13 05:00')")
    for pipeline, day, missing, at in (
        ("p", "2026-07-05", 1, "2026-07-13"),
        ("p", "2026-07-06", 50, "2026-07-12"),
        ("p", "2026-07-06", 2, "2026-07-13"),
        ("p", "2026-07-12", 4, "2026-07-13"),
        ("q", "2026-07-12", 8, "2026-07-13"),
        ("p", "2026-07-13", 16, "2026-07-13"),
    ):
        con.execute("INSERT INTO rl.coverage VALUES ('s', ?, ?, 99, 0, ?, [], ?)", [pipeline, day, missing, at])
    beside = "SELECT DISTINCT observed_through::VARCHAR, missing_runs FROM {}('2026-07-06', '2026-07-13')"
    seen = "2026-07-13 05:00:00+00"
    assert ask(con, beside.format("pipeline_stats")) == [(seen, 6)]
    assert ask(con, beside.format("outcomes_by_day")) == [(seen, 6)]
    assert ask(con, beside.format("source_stats")) == [(seen, 14)]
    con.execute("ROLLBACK")
