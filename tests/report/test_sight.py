"""What is said of a source that could not be seen, and of a ledger that is young."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from runlake.report.sight import Seen, is_new, unseen, warnings

from .seeded import DAY, HOUR, MONDAY, reported

WEEK = reported()
SECOND = timedelta(seconds=1)


def source(observed_through: datetime | None, unseen_ms: int | None, *, whole: bool = False) -> Seen:
    return Seen("etl", whole, observed_through, unseen_ms, None, None)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (source(None, 7 * 24 * 3_600_000), "could never be seen whole"),
        (source(MONDAY - HOUR, 7 * 24 * 3_600_000), "could not be seen at all"),
        (source(MONDAY, 7 * 24 * 3_600_000), "could not be seen at all"),
        (source(MONDAY + 7 * DAY - 5 * HOUR, 5 * 3_600_000), "could not be seen for 5 h"),
    ],
)
def test_what_could_not_be_seen_is_told(seen: Seen, told: str) -> None:
    assert unseen(seen, WEEK) == told
    assert list(warnings(WEEK, [seen], unknown=0, earliest=MONDAY - 90 * DAY)) == [
        f"etl {told}; runs of that time may be missing here."
    ]


def test_sources_that_could_not_be_seen_for_as_long_are_told_of_together() -> None:
    gone = [Seen(name, False, MONDAY - HOUR, 1, None, None) for name in ("a", "b", "c\n")]
    late = source(MONDAY + 7 * DAY - 5 * HOUR, 5 * 3_600_000)
    assert list(warnings(WEEK, [*gone, late], unknown=0, earliest=MONDAY - 90 * DAY)) == [
        "a, b and c could not be seen at all; runs of that time may be missing here.",
        "etl could not be seen for 5 h; runs of that time may be missing here.",
    ]


def test_of_what_was_seen_whole_nothing_is_said() -> None:
    seen = source(MONDAY + 7 * DAY, 0, whole=True)
    assert list(warnings(WEEK, [seen], unknown=0, earliest=MONDAY - 90 * DAY)) == []


def test_less_is_known_than_the_week_before_where_the_first_run_is_of_its_second_day() -> None:
    second_day = WEEK.before.since + DAY
    assert [is_new(WEEK, at) for at in (None, second_day + SECOND, second_day)] == [True, True, False]
