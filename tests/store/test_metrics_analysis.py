"""What the metrics that compare runs with one another say of histories small enough to count by hand.

Each test has a source of its own in one ledger; all ask about the week of 2026-07-06, a Monday, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from runlake.store.database import connect

WEEK = "'2026-07-06', '2026-07-13'"


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path_factory.mktemp("analysis") / "ledger.duckdb") as con:
        yield con


def insert(con: duckdb.DuckDBPyConnection, table: str, **row: Any) -> None:
    con.execute(f"INSERT INTO rl.{table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()])


def key(source: str, place: str) -> str:
    return f"md5('{source}/{place}')::UUID"


def add(
    con: duckdb.DuckDBPyConnection, source: str, place: str, status: str, at: str, table: str = "runs", **more: Any
) -> None:
    """One attempt: `place` is "pipeline/run" or "pipeline/run/attempt", `at` such as "07-06 10:00"."""
    pipeline, run, attempt = (*place.split("/"), "1")[:3]
    [(run_key,)] = con.execute(f"SELECT {key(source, f'{pipeline}/{run}/{attempt}')}").fetchall()
    seen = more.pop("seen", at)
    instants = {name: f"2026-{value}" for name, value in more.items() if name.endswith("_at")}
    insert(
        con, table, run_key=run_key, source=source, vendor="v", pipeline_id=pipeline, run_id=run, attempt=int(attempt),
        status=status, vendor_status=status, created_at=f"2026-{at}", created_date=f"2026-{at[:5]}",
        first_seen_at=f"2026-{at}", observed_at=f"2026-{seen}", state_hash=0, run_url=f"u:{run}/{attempt}",
        **(more | instants),
    )  # fmt: skip


def ask(con: duckdb.DuckDBPyConnection, source: str, columns: str, call: str) -> list[tuple[Any, ...]]:
    """Asked with `among` as a relation of a WITH clause, and as a temporary table: the same."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE kept AS FROM runs WHERE source = '{source}'")
    mine = f"WITH failed AS (FROM runs WHERE source = '{source}')"
    first, second = (
        con.execute(f"{mine} SELECT {columns} FROM {call[:-1]}, among := '{among}') ORDER BY ALL").fetchall()
        for among in ("failed", "kept")
    )
    assert first == second
    return first


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


def test_a_streak_of_failures_lasts_from_the_end_of_its_first_to_the_end_of_the_next_success(
    con: duckdb.DuckDBPyConnection,
) -> None:
    for place, status, created, more in (
        ("p/before", "failed", "07-05 23:00", {"finished_at": "07-05 23:10"}),
        ("p/1", "failed", "07-06 01:00", {"finished_at": "07-06 01:10", "pipeline_name": "Pay"}),
        ("p/2", "cancelled", "07-06 01:30", {}),
        ("other/1", "failed", "07-06 01:40", {}),
        ("other/2", "succeeded", "07-06 01:50", {}),
        ("p/3", "timed_out", "07-06 02:00", {"finished_at": "07-06 02:05"}),
        ("p/4", "running", "07-06 02:30", {}),
        ("p/5", "unknown", "07-06 02:40", {}),
        ("p/6", "succeeded", "07-06 03:00", {"finished_at": "07-06 03:30"}),
        ("p/7/1", "failed", "07-06 04:00", {}),
        ("p/7/2", "succeeded_with_warnings", "07-06 04:10", {}),
        ("p/8", "failed", "07-06 05:00", {"vanished_at": "07-07 00:00"}),
        ("p/9", "succeeded", "07-06 06:00", {}),
        ("p/10", "failed", "07-12 23:00", {}),
        ("p/11", "running", "07-12 23:30", {}),
        ("p/after", "succeeded", "07-13 00:00", {}),
    ):
        add(con, "recovers", place, status, created, **more)
    found = ask(
        con,
        "recovers",
        "pipeline, failures, began_at, recovered_at, recovery_ms, first_url",
        f"recoveries({WEEK})",
    )
    assert found == [
        ("Pay", 2, at("07-06 01:10"), at("07-06 03:30"), 140 * 60_000, "u:1/1"),
        ("other", 1, at("07-06 01:40"), at("07-06 01:50"), 10 * 60_000, "u:1/1"),
        ("p", 1, at("07-12 23:00"), None, None, "u:10/1"),
    ]


def test_runs_created_at_one_instant_are_taken_by_attempt_and_run_id(con: duckdb.DuckDBPyConnection) -> None:
    for place, status, ended in (
        ("p/a", "failed", "07-06 10:20"),
        ("p/b", "succeeded", "07-06 10:05"),
        ("q/a", "succeeded", "07-06 10:05"),
        ("q/b", "failed", "07-06 10:20"),
        ("r/a/2", "succeeded", "07-06 10:40"),
        ("r/b/1", "failed", "07-06 10:20"),
    ):
        add(con, "ties", place, status, "07-06 10:00", finished_at=ended, pipeline_version="1")
    found = ask(con, "ties", "pipeline_id, recovered_at, recovery_ms", f"recoveries({WEEK})")
    assert found == [("p", at("07-06 10:05"), 0), ("q", None, None), ("r", at("07-06 10:40"), 20 * 60_000)]
    assert ask(con, "ties", "pipeline_id, how", f"flaky_runs({WEEK})") == [("p", "run"), ("r", "run")]


def test_flaky_is_what_passes_again_without_a_change_of_version(con: duckdb.DuckDBPyConnection) -> None:
    for place, status, created, version in (
        ("again/a/1", "failed", "07-06 01:00", None),
        ("again/a/2", "succeeded", "07-06 02:00", None),
        ("again/a/3", "failed", "07-06 03:00", None),
        ("again/a/4", "succeeded", "07-06 04:00", None),
        ("attempts/a/1", "failed", "07-06 01:00", None),
        ("attempts/a/2", "timed_out", "07-06 02:00", None),
        ("attempts/a/3", "succeeded", "07-06 03:00", None),
        ("attempts/b", "failed", "07-06 04:00", None),
        ("attempts/c", "succeeded", "07-06 05:00", None),
        ("changed/a/1", "failed", "07-06 01:00", "1"),
        ("changed/a/2", "succeeded", "07-06 02:00", "2"),
        ("changed/b/1", "failed", "07-06 03:00", "1"),
        ("changed/b/2", "succeeded", "07-06 04:00", None),
        ("edge/a/1", "failed", "07-12 23:00", None),
        ("edge/a/2", "succeeded", "07-13 00:00", None),
        ("last/a/1", "failed", "07-06 01:00", "1"),
        ("last/a/2", "failed", "07-06 02:00", "1"),
        ("last/b", "succeeded", "07-06 03:00", "1"),
        ("versions/a", "failed", "07-06 01:00", "1"),
        ("versions/b", "cancelled", "07-06 02:00", "1"),
        ("versions/c", "succeeded", "07-06 03:00", "1"),
        ("versions/d", "failed", "07-06 04:00", "1"),
        ("versions/e", "succeeded", "07-06 05:00", "2"),
        ("versions/f", "failed", "07-06 06:00", "2"),
        ("versions/g", "succeeded", "07-06 07:00", None),
        ("versions/h", "succeeded", "07-06 08:00", "2"),
    ):
        add(con, "flaky", place, status, created, pipeline_version=version)
    add(con, "flaky", "vanished/a/1", "failed", "07-06 01:00")
    add(con, "flaky", "vanished/a/2", "succeeded", "07-06 02:00", vanished_at="07-07 00:00")
    passed = "(SELECT run_url FROM runs r WHERE r.run_key = passed_run_key)"
    assert ask(con, "flaky", f"pipeline_id, how, url, {passed}, version", f"flaky_runs({WEEK})") == [
        ("again", "attempt", "u:a/1", "u:a/2", None),
        ("again", "attempt", "u:a/3", "u:a/4", None),
        ("attempts", "attempt", "u:a/1", "u:a/3", None),
        ("attempts", "attempt", "u:a/2", "u:a/3", None),
        ("changed", "attempt", "u:b/1", "u:b/2", "1"),
        ("last", "run", "u:a/2", "u:b/1", "1"),
        ("versions", "run", "u:a/1", "u:c/1", "1"),
    ]


def test_hours_are_those_of_the_clock_on_the_wall(con: duckdb.DuckDBPyConnection) -> None:
    for place, status, created, duration in (
        ("p/a", "failed", "10-25 00:30", 5),  # 02:30 in Berlin, clocks are put back at 03:00
        ("p/b", "succeeded", "10-25 01:30", None),  # 02:30 again
        ("p/c", "running", "10-25 02:29", None),
        ("p/d/1", "failed", "10-25 02:30", 70),
        ("p/d/2", "cancelled", "10-25 18:29", 100),
        ("q/a", "succeeded", "10-25 18:29", 1_000),
    ):
        add(con, "hours", place, status, created, duration_ms=duration, finished_at=created)
    figures, days = "weekday, hour, runs, failure, rated, busy_ms", "'2026-10-24', '2026-10-27'"
    berlin = ask(con, "hours", figures, f"busy_hours({days}, tz := 'Europe/Berlin')")
    assert berlin == [(7, 2, 2, 1, 2, 5), (7, 3, 1, 0, 0, 0), (7, 19, 2, 0, 1, 1_100)]
    kathmandu = ask(con, "hours", figures, f"busy_hours({days}, tz := 'Asia/Kathmandu')")
    assert kathmandu == [(1, 0, 2, 0, 1, 1_100), (7, 6, 1, 1, 1, 5), (7, 7, 1, 0, 1, 0), (7, 8, 1, 0, 0, 0)]
    assert ask(con, "hours", figures, f"busy_hours({days})")[0] == (7, 0, 1, 1, 1, 5)


def several(con: duckdb.DuckDBPyConnection, pipeline: str, day: str, durations_s: list[int], failures: int = 0) -> None:
    for number, duration in enumerate([*durations_s, *(1 for _ in range(failures))]):
        status = "succeeded" if number < len(durations_s) else "failed"
        place = f"{pipeline}/{day}-{number}"
        add(
            con,
            "worse",
            place,
            status,
            f"{day} {number:02}:00",
            duration_ms=1000 * duration,
            finished_at=f"{day} 23:59",
        )


def test_what_got_worse_rests_on_enough_runs_of_both_sides(con: duckdb.DuckDBPyConnection) -> None:
    for pipeline, before, now in (
        ("1.3 times", [40] * 10, [52] * 10),
        ("a day too old", [], [80] * 10),
        ("below the third quartile", [40] * 6 + [100] * 4, [60] * 10),
        ("less than 10 s", [10] * 10, [19] * 10),
        ("less than 1.3 times", [100] * 10, [129] * 10),
        ("nine before", [40] * 9, [80] * 10),
        ("four now", [40] * 10, [80] * 4),
        ("a nightly one", [40] * 20, [80] * 5),
    ):
        several(con, pipeline, "06-08", before)
        several(con, pipeline, "07-06", now)
    several(con, "a day too old", "06-07", [40] * 10)
    several(con, "fails", "06-30", [1] * 20)
    several(con, "fails", "07-07", [1] * 8, failures=2)
    several(con, "fails a little", "06-30", [1] * 20)
    several(con, "fails a little", "07-07", [1] * 9, failures=1)
    several(con, "fails once", "06-10", [1] * 20)
    several(con, "fails once", "07-07", [1] * 4, failures=1)
    several(con, "fails twice", "06-10", [1] * 20)
    several(con, "fails twice", "07-07", [1] * 3, failures=2)
    several(con, "fails at all four", "06-10", [1] * 20)
    several(con, "fails at all four", "07-07", [], failures=4)
    several(con, "never failed", "06-30", [1] * 10)
    several(con, "never failed", "07-07", [1] * 10)
    columns = "pipeline, what, now, before, ratio, n_now, n_before"
    assert ask(con, "worse", columns, f"regressions({WEEK})") == [
        ("1.3 times", "duration", 52_000, 40_000, 1.3, 10, 10),
        ("a nightly one", "duration", 80_000, 40_000, 2, 5, 20),
        ("fails", "success rate", 0.8, 1, 0.8, 10, 20),
        ("fails twice", "success rate", 0.6, 1, 0.6, 5, 20),
    ]
    longer = ask(con, "worse", columns, f"regressions({WEEK}, baseline := INTERVAL 29 DAY)")
    assert ("a day too old", "duration", 80_000, 40_000, 2, 10, 10) in longer


def test_a_failure_is_new_recurring_or_fixed_by_what_its_error_has_in_common(con: duckdb.DuckDBPyConnection) -> None:
    for place, status, created, code in (
        ("p/1", "failed", "06-07 23:59", "too old"),
        ("p/2", "failed", "06-08 00:00", "over"),
        ("p/3", "failed", "07-01 00:00", "goes on"),
        ("p/4", "failed", "07-06 00:00", "goes on"),
        ("p/5", "timed_out", "07-06 01:00", None),
        ("p/6", "timed_out", "07-06 01:00", None),
        ("p/7", "failed", "07-06 02:00", "too old"),
        ("p/8", "succeeded", "07-12 00:00", None),
        ("p/9", "cancelled", "07-12 01:00", None),
        ("p/10/1", "failed", "07-05 23:00", "was run again"),
        ("p/10/2", "succeeded", "07-05 23:30", None),
        ("still/1", "failed", "07-01 00:00", "elsewhere"),
        ("still/2", "failed", "07-06 00:00", "other"),
        ("unseen/1", "failed", "07-01 00:00", "nobody knows"),
        ("unseen/2", "running", "07-06 00:00", None),
    ):
        add(con, "changes", place, status, created, error_code=code)
    assert ask(
        con, "changes", "pipeline, change, signature, failures, failures_before, url", f"failure_changes({WEEK})"
    ) == [
        ("p", "fixed", "over", 0, 1, "u:2/1"),
        ("p", "new", "timed_out", 2, 0, "u:6/1"),
        ("p", "new", "too old", 1, 0, "u:7/1"),
        ("p", "recurring", "goes on", 1, 1, "u:4/1"),
        ("still", "new", "other", 1, 0, "u:2/1"),
    ]


def test_errors_that_differ_in_ids_alone_are_one(con: duckdb.DuckDBPyConnection) -> None:
    for place, created, message in (
        ("p/1", "07-06 00:00", "row 17 is bad"),
        ("q/1", "07-07 00:00", "row 4711 is bad"),
        ("p/2", "07-07 00:00", "row 5 is bad"),
        ("p/3", "07-08 00:00", None),
    ):
        add(con, "errors", place, "failed", created, error_message=message)
    add(con, "errors", "p/4", "succeeded", "07-09 00:00", error_message="row 18 is bad")
    columns = "signature, failures, pipelines, first_at, last_at, error_message, url"
    assert ask(con, "errors", columns, f"error_signatures({WEEK})") == [
        ("failed", 1, 1, at("07-08 00:00"), at("07-08 00:00"), None, "u:3/1"),
        ("row # is bad", 3, 2, at("07-06 00:00"), at("07-07 00:00"), "row 5 is bad", "u:2/1"),
    ]


def test_a_step_counts_where_its_run_failed_too(con: duckdb.DuckDBPyConnection) -> None:
    for place, status in (
        ("p/1", "failed"),
        ("p/2/1", "failed"),
        ("p/2/2", "failed"),
        ("p/3", "failed"),
        ("p/4", "succeeded"),
    ):
        add(con, "steps", place, status, "07-06 00:00")
    for place, number, name, kind, status in (
        ("p/1/1", 0, "load", "k", "failed"),
        ("p/1/1", 1, "load", "k", "timed_out"),
        ("p/1/1", 2, None, "check", "failed"),
        ("p/2/1", 0, "load", "k", "failed"),  # an attempt that was followed by another
        ("p/2/2", 0, None, None, "failed"),
        ("p/2/2", 1, "load", "k", "failed"),
        ("p/2/2", 2, "load", "k", "skipped"),
        ("p/4/1", 0, "load", "k", "failed"),  # and yet its run passed
    ):
        [(run_key,)] = con.execute(f"SELECT {key('steps', place)}").fetchall()
        insert(
            con, "steps", run_key=run_key, run_created_at="2026-07-06", source="steps", step_no=number,
            step_id=f"id {number}", name=name, kind=kind, status=status, vendor_status=status,
            error_message=f"{place} {number}", observed_at="2026-07-06",
        )  # fmt: skip
    columns = "step, failures, failed_runs, runs_failed_in_all, error_message, url"
    found = ask(con, "steps", columns, f"failing_steps({WEEK})")
    assert found == [
        ("check", 1, 1, 3, "p/1/1 2", "u:1/1"),
        ("id 0", 1, 1, 3, "p/2/2 0", "u:2/2"),
        ("load", 3, 2, 3, "p/2/2 1", "u:2/2"),
    ]
    con.execute("CREATE TEMP TABLE first_steps AS FROM steps WHERE step_no = 0")
    assert [row[:2] for row in ask(con, "steps", columns, f"failing_steps({WEEK}, steps := 'first_steps')")] == [
        ("id 0", 1),
        ("load", 1),
    ]


WAITS = {
    "p/before": ("07-01 00:00", ["07-01 00:00 waiting", "07-05 00:00 running"]),
    "p/into": ("07-01 00:00", ["07-01 00:00 queued", "07-05 00:00 waiting", "07-06 06:00 succeeded"]),
    "p/twice": (
        "07-07 00:00",
        ["07-07 00:00 waiting", "07-07 01:00 running", "07-07 02:00 waiting", "07-07 05:00 rejected"],
    ),
    "p/on": ("07-12 00:00", ["07-12 12:00 waiting", "07-12 13:00 waiting"]),
    "p/again": ("07-12 01:00", ["07-12 01:00 waiting", "07-12 02:00 running", "07-13 01:00 waiting"]),
    "p/after": ("07-12 00:00", ["07-12 00:00 running", "07-13 00:00 waiting"]),
    "q/remapped": ("07-08 00:00", ["07-08 00:00 waiting", "07-08 00:30 unknown"]),
}
"""When it was created, and what was seen of it when."""


def test_a_wait_is_as_long_as_it_was_seen_and_as_known_then(con: duckdb.DuckDBPyConnection) -> None:
    for place, (created, sightings) in WAITS.items():
        for seen in sightings:
            add(con, "waits", place, seen[12:], created, table="run_snapshots", seen=seen[:11])
        add(con, "waits", place, sightings[-1][12:], created, seen=sightings[-1][:11])
    gone = ("p/gone", "waiting", "07-09 00:00")
    add(con, "waits", *gone, table="run_snapshots")
    add(con, "waits", *gone, vanished_at="07-10 00:00")
    hour, columns = 3_600_000, "run_id, waiting_from, waiting_to, waited_ms, in_period_ms"
    assert ask(con, "waits", columns, f"waits({WEEK}, known_at := '2026-07-14 12:00')") == [
        ("again", at("07-12 01:00"), at("07-12 02:00"), hour, hour),
        ("into", at("07-05 00:00"), at("07-06 06:00"), 30 * hour, 6 * hour),
        ("on", at("07-12 12:00"), None, 48 * hour, 12 * hour),
        ("remapped", at("07-08 00:00"), at("07-08 00:30"), hour // 2, hour // 2),
        ("twice", at("07-07 00:00"), at("07-07 01:00"), hour, hour),
        ("twice", at("07-07 02:00"), at("07-07 05:00"), 3 * hour, 3 * hour),
    ]
    assert ask(con, "waits", columns, f"waits({WEEK}, known_at := '2026-07-07 00:30')") == [
        ("into", at("07-05 00:00"), at("07-06 06:00"), 30 * hour, 6 * hour),
        ("twice", at("07-07 00:00"), None, hour // 2, hour // 2),
    ]


def test_what_is_missing_is_told_of_the_pipeline_where_a_row_has_one_and_else_of_the_source(
    con: duckdb.DuckDBPyConnection,
) -> None:
    add(con, "lacks", "p/1", "failed", "07-06 00:00")
    insert(con, "sources", source="lacks", vendor="v", connector_title="V", observed_through="2026-07-12 08:00")
    for pipeline, day, missing in (("p", "07-06", 3), ("q", "07-12", 4), ("p", "07-13", 50)):
        insert(
            con, "coverage", source="lacks", pipeline_id=pipeline, day=f"2026-{day}", expected=60, stored=60 - missing,
            missing=missing, missing_run_ids=[], checked_at="2026-07-14",
        )  # fmt: skip
    columns = "observed_through, missing_runs"
    assert ask(con, "lacks", columns, f"recoveries({WEEK})") == [(at("07-12 08:00"), 3)]
    assert ask(con, "lacks", columns, f"error_signatures({WEEK})") == [(at("07-12 08:00"), 7)]
