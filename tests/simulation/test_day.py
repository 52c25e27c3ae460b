"""200 sources with 50 new runs a day each, one of them being backfilled, on a quota of 5,000 requests an hour."""

from __future__ import annotations

import pytest

from runlake.http import Claim

from .day import BACKFILL, DAY, PER_HOUR, Figures, quantile, simulate

EVERY, SLOWEST = 300.0, 900.0
"""The defaults of a source's `every` and `slowest`, in seconds."""


@pytest.fixture(scope="module")
def day() -> Figures:
    return simulate()


def test_no_hour_has_more_requests_than_the_quota_and_nearly_all_are_used(day: Figures) -> None:
    assert day.most_in_an_hour() <= PER_HOUR
    assert len(day.begins) > 0.95 * PER_HOUR * 24


def test_every_sync_ends_before_the_next_one_is_due(day: Figures) -> None:
    assert quantile(day.cycles, 0.99) < EVERY / 2
    assert max(day.cycles) < EVERY
    # Those that list three days again every six hours take longer, but no longer than a quiet source waits.
    assert len(day.sweeps) >= 200 * 3
    assert max(day.sweeps) < SLOWEST


def test_open_runs_hardly_wait_for_their_turn(day: Figures) -> None:
    assert quantile(day.waits[Claim.OPEN], 0.5) < 2
    assert quantile(day.waits[Claim.OPEN], 0.99) < 15
    assert quantile(day.late_follows, 0.99) < 60


def test_nine_of_ten_runs_are_seen_to_end_within_six_minutes(day: Figures) -> None:
    assert len(day.late_ends) > 8000
    assert quantile(day.late_ends, 0.9) < 360
    assert max(day.late_ends) < 3600 + EVERY  # one that is open for half a day is read hourly


def test_a_backfill_gets_on_all_the_time_meanwhile(day: Figures) -> None:
    by_hour = [0] * 24
    for at in day.backfilled_at:
        by_hour[int(at // 3600)] += 1
    assert by_hour[0] == 0
    assert min(by_hour[1:]) > 100
    assert BACKFILL / sum(by_hour) * DAY < 4 * DAY
