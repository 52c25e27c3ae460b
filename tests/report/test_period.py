"""Which days a report is about, and as known when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from runlake.errors import ConfigError
from runlake.report.period import Period, period

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)


def asked(zone: ZoneInfo = BERLIN, now: datetime = NOW, **more: Any) -> Period:
    return period(zone=zone, now=now, **{"as_of": now, **more})


def test_without_a_word_it_is_the_last_whole_week_as_known_six_hours_after() -> None:
    found = asked()
    assert (found.name, found.days, found.is_week, found.is_over) == ("2026-W46", 7, True, True)
    assert found.since == datetime(2026, 11, 8, 23, tzinfo=UTC)
    assert found.until == datetime(2026, 11, 15, 23, tzinfo=UTC)
    assert found.known_at == datetime(2026, 11, 16, 5, tzinfo=UTC)
    assert found.before.name == "2026-W45"
    assert found.history.first == date(2026, 8, 24)
    assert (found.history.until - found.history.since) == timedelta(days=84, hours=1)  # clocks went back in October


@pytest.mark.parametrize(
    ("week", "hours"), [("2026-W43", 169), ("2026-W13", 167), ("2026-W44", 168)], ids=["autumn", "spring", "plain"]
)
def test_a_week_in_which_clocks_change_has_an_hour_more_or_less(week: str, hours: int) -> None:
    found = asked(week=week)
    assert found.until - found.since == timedelta(hours=hours)
    assert found.name == week


def test_where_midnight_is_skipped_a_day_begins_with_its_first_minute() -> None:
    found = asked(ZoneInfo("Africa/Cairo"), since="2026-04-24", until="2026-04-25")
    assert found.since == datetime(2026, 4, 23, 22, tzinfo=UTC)
    assert found.until - found.since == timedelta(hours=23)


def test_a_week_from_before_the_ledger_is_as_known_six_hours_after_that_began() -> None:
    began = datetime(2026, 11, 17, 4, tzinfo=UTC)
    assert asked(began=began).known_at == began + timedelta(hours=6)
    assert asked(began=began, now=began + timedelta(hours=1)).known_at == began + timedelta(hours=1)
    assert asked(began=began - timedelta(days=30)).known_at == asked().known_at


def test_a_week_that_is_not_over_is_as_known_when_the_copy_was_made() -> None:
    found = asked(week="2026-W47", as_of=NOW - timedelta(minutes=3))
    assert not found.is_over
    assert found.known_at == NOW - timedelta(minutes=3)
    assert asked(known_at=NOW).known_at == NOW
    assert asked(known_at=NOW + timedelta(days=1)).known_at == NOW


def test_days_are_named_with_the_last_that_is_in_it() -> None:
    assert asked(since="2026-11-01", until="2026-11-03").name == "2026-11-01 to 2026-11-02"
    assert asked(since="2026-11-01", until="2026-11-02").name == "2026-11-01"
    assert asked(since="2026-11-01").end == date(2026, 11, 19)
    month = asked(since="2026-10-01", until="2026-11-01")
    assert month.history.days == 31 * 12
    assert month.before.first == date(2026, 8, 31)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"week": "W46"}, "'W46' is no week"),
        ({"week": "2026-W54"}, "'2026-W54' is no week"),
        ({"week": "2026-W46", "since": "2026-11-01"}, "not both"),
        ({"until": "2026-11-01"}, "--until needs --since"),
        ({"since": "November"}, "--since November: write a day"),
        ({"since": "2026-11-02", "until": "2026-11-02"}, "is not before --until"),
        ({"week": "2026-W52"}, "2026-12-21 is still to come"),
        ({"week": "0001-W01"}, "a report is of days from 1970-01-01 on"),
        ({"since": "2026-11-01", "until": "9999-12-31"}, "ten years at most"),
        ({"known_at": datetime(2026, 11, 1, tzinfo=UTC)}, "nothing of 2026-W46 was known .*: write a later --known-at"),
        (
            {"as_of": datetime(2026, 11, 1, tzinfo=UTC)},
            "at 2026-11-01 00:00 UTC: what can be read is no newer; run: ru",
        ),
    ],
)
def test_a_slip_is_told_with_what_to_write(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        asked(**given)
