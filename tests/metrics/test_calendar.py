"""Local days and weeks, of the ledger's macros and of a report's period, against Python's own time zones."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest

from runlake.report.period import Period, midnight, period
from runlake.store.database import connect

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = datetime(2031, 1, 1, tzinfo=UTC)

# A zone, the Monday of a week in which its clocks change, and the hours that this week has.
WEEKS = [
    ("Europe/Berlin", date(2026, 3, 23), 167),
    ("Europe/Berlin", date(2026, 10, 19), 169),
    ("America/New_York", date(2026, 3, 2), 167),
    ("America/New_York", date(2026, 10, 26), 169),
    ("Australia/Lord_Howe", date(2026, 3, 30), 168.5),
    ("Australia/Lord_Howe", date(2026, 9, 28), 167.5),
    ("Africa/Cairo", date(2026, 4, 20), 167),  # on the Friday midnight does not exist
    ("Africa/Cairo", date(2026, 10, 26), 169),  # on the Friday it comes twice
    ("America/Santiago", date(2026, 8, 31), 167),  # on the Sunday midnight does not exist
    ("Asia/Kathmandu", date(2026, 7, 6), 168),
    ("UTC", date(2026, 12, 28), 168),  # 2026-W53, which ends in 2027
]
ZONES = sorted({zone for zone, _, _ in WEEKS})


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    path: Path = tmp_path_factory.mktemp("calendar") / "runlake.duckdb"
    con = connect(path)
    yield con
    con.close()


def _instants(zone: str) -> list[datetime]:
    """Around each local midnight and each quarter of an hour of the weeks above, and around the ends of years."""
    rng = random.Random(zone)
    found = []
    for name, monday, _ in WEEKS:
        if name == zone:
            begins = datetime(monday.year, monday.month, monday.day, tzinfo=UTC) - DAY
            found += [begins + quarter * HOUR / 4 for quarter in range(9 * 24 * 4)]
    for year in range(2020, 2031):
        found += [datetime(year, 1, 1, tzinfo=UTC) + rng.uniform(-7, 7) * DAY for _ in range(20)]
    return [instant + step for instant in found for step in (timedelta(), -timedelta(microseconds=1))]


@pytest.mark.parametrize("zone", ZONES)
def test_the_local_day_and_week_of_an_instant(con: duckdb.DuckDBPyConnection, zone: str) -> None:
    instants = _instants(zone)
    rows = con.execute(
        "SELECT i, local_day(i, $tz), local_week(i, $tz) FROM unnest($instants::TIMESTAMPTZ[]) AS t(i)",
        {"tz": zone, "instants": instants},
    ).fetchall()
    assert len(rows) == len(instants)
    for instant, day, week in rows:
        local = instant.astimezone(ZoneInfo(zone)).date()
        assert (day, week) == (local, local - local.weekday() * DAY), instant


@pytest.mark.parametrize(("zone", "monday", "hours"), WEEKS)
def test_a_week_has_all_of_its_days_and_no_other(
    con: duckdb.DuckDBPyConnection, zone: str, monday: date, hours: float
) -> None:
    year, number, _ = monday.isocalendar()
    name = f"{year}-W{number:02}"
    week = period(week=name, zone=ZoneInfo(zone), now=LATER, as_of=LATER)
    assert (week.name, week.first, week.days, week.is_week) == (name, monday, 7, True)
    assert week.until - week.since == hours * HOUR
    inside = [week.since, week.until - timedelta(microseconds=1)]
    outside = [week.since - timedelta(microseconds=1), week.until]
    rows = con.execute("SELECT local_week(unnest($1::TIMESTAMPTZ[]), $2)", [inside + outside, zone]).fetchall()
    assert [local for (local,) in rows] == [monday, monday, monday - 7 * DAY, monday + 7 * DAY]
    # Its days, one after the other, are all of it.
    days = [Period(monday + n * DAY, monday + (n + 1) * DAY, ZoneInfo(zone), LATER) for n in range(7)]
    assert [each.since for each in days[1:]] == [each.until for each in days[:-1]]
    assert (days[0].since, days[-1].until) == (week.since, week.until)
    assert (week.before.until, week.before.days) == (week.since, 7)


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_begins_with_the_first_instant_that_it_has(zone: str) -> None:
    place = ZoneInfo(zone)
    for instant in _instants(zone)[:1500:7]:
        day = instant.astimezone(place).date()
        begins = midnight(day, place)
        assert begins.astimezone(place).date() == day
        assert (begins - timedelta(microseconds=1)).astimezone(place).date() == day - DAY
        assert begins <= instant < midnight(day + DAY, place)


@pytest.mark.parametrize(("name", "first"), [("2026-W53", date(2026, 12, 28)), ("2027-W01", date(2027, 1, 4))])
def test_weeks_over_the_end_of_a_year_are_those_of_iso_8601(name: str, first: date) -> None:
    found = period(week=name, zone=ZoneInfo("Asia/Kathmandu"), now=LATER, as_of=LATER)
    assert (found.first, found.name) == (first, name)
    assert found.since == datetime(first.year, first.month, first.day, tzinfo=UTC) - 5.75 * HOUR


@pytest.mark.parametrize(("zone", "monday", "hours"), WEEKS)
def test_busy_hours_and_days_are_those_of_the_clock_on_the_wall(
    con: duckdb.DuckDBPyConnection, zone: str, monday: date, hours: float
) -> None:
    week = period(week="{}-W{:02}".format(*monday.isocalendar()), zone=ZoneInfo(zone), now=LATER, as_of=LATER)
    # A run each quarter of an hour, from an hour before to an hour after.
    instants = [week.since + n * HOUR / 4 for n in range(-4, round(hours * 4) + 4)]
    con.execute("DELETE FROM rl.runs")
    con.execute(
        "INSERT INTO rl.runs BY NAME SELECT uuid() AS run_key, 's' AS source, 'v' AS vendor, 'p' AS pipeline_id, "
        "i::VARCHAR AS run_id, 1 AS attempt, 'failed' AS status, 'f' AS vendor_status, i AS created_at, "
        "i::DATE AS created_date, i AS first_seen_at, i AS observed_at, 0 AS state_hash "
        "FROM unnest($1::TIMESTAMPTZ[]) AS t(i)",
        [instants],
    )
    local = [each.astimezone(ZoneInfo(zone)) for each in instants if week.since <= each < week.until]
    values = [week.since, week.until, zone]
    hourly = con.execute("SELECT weekday, hour, runs FROM busy_hours($1, $2, tz := $3)", values).fetchall()
    assert {(day, hour): runs for day, hour, runs in hourly} == Counter((at.isoweekday(), at.hour) for at in local)
    daily = con.execute("SELECT day, runs FROM outcomes_by_day($1, $2, tz := $3)", values).fetchall()
    assert dict(daily) == Counter(at.date() for at in local)
