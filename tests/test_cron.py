"""Fixed times of day: in whose zone, and what happens when its clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runlake.cron import last_before, next_after, trigger

SPRING, AUTUMN = datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC)


def times(text: str, start: datetime, count: int) -> list[str]:
    found, now = [], start
    for _ in range(count):
        now = next_after(text, now)
        found.append(f"{now.astimezone(UTC):%d %H:%M}")
    return found


def test_a_time_that_is_left_out_in_spring_comes_an_hour_later_by_the_clock() -> None:
    assert times("30 2 * * * Europe/Berlin", SPRING, 3) == ["29 01:30", "30 00:30", "31 00:30"]


def test_a_time_that_comes_twice_in_autumn_is_taken_once() -> None:
    assert times("30 2 * * * Europe/Berlin", AUTUMN, 3) == ["25 00:30", "26 01:30", "27 01:30"]


@pytest.mark.parametrize("start", [SPRING, AUTUMN])
def test_every_half_hour_is_every_half_hour_whatever_the_clocks_do(start: datetime) -> None:
    now = start
    for _ in range(24):
        after = next_after("*/30 * * * * Europe/Berlin", now)
        assert (after - now).total_seconds() == 1800
        now = after


def test_the_hour_is_that_of_the_zone_named() -> None:
    assert times("0 9 * * mon-fri America/New_York", AUTUMN, 2) == ["26 13:00", "27 13:00"]
    assert times("0 9 * * mon-fri America/New_York", datetime(2026, 11, 1, 20, tzinfo=UTC), 1) == ["02 14:00"]


@pytest.mark.parametrize(
    "text",
    [
        "*/5 8-17 * * mon-fri Europe/Berlin",
        "30 2 * * * Europe/Berlin",
        "*/20 * * * * America/New_York",
        "0 9 * * mon UTC",
        "0 0 1 * * Asia/Kolkata",
    ],
)
@pytest.mark.parametrize("start", [SPRING, AUTUMN])
def test_the_last_time_is_that_after_which_none_has_come(text: str, start: datetime) -> None:
    last = next_after(text, start - timedelta(days=32))
    for hours in range(48):
        instant = start + timedelta(hours=hours, minutes=7 * hours % 60)
        while (after := next_after(text, last)) <= instant:
            last = after
        assert last_before(text, instant) == last


def test_the_last_time_may_be_years_ago() -> None:
    assert last_before("0 0 29 feb * UTC", AUTUMN) == datetime(2024, 2, 29, tzinfo=UTC)


def test_a_time_that_has_just_come_is_the_last() -> None:
    nine = datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert last_before("0 9 * * mon UTC", nine) == nine
    assert last_before("0 9 * * mon UTC", nine - timedelta(microseconds=1)) == nine - timedelta(days=7)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "write five fields and a time zone"),
        ("* * * * *", "write five fields and a time zone"),
        ("* * * * 0 UTC", "write weekdays by name"),
        ("* * * * 1-5 UTC", "write weekdays by name"),
        ("* * * * * Mars/Olympus", "there is no time zone 'Mars/Olympus'"),
        ("* * * * * ../../etc/passwd", "there is no time zone"),
        ("* * * * * localtime", "there is no time zone"),
        ("* * * * * right/Europe/Berlin", "there is no time zone"),
        ("61 * * * * UTC", "write a crontab's five fields"),
        ("0 0 30 2 * UTC", "never comes"),
    ],
)
def test_what_is_no_cron_says_what_to_write(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        trigger(text)
