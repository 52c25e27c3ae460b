"""When a pipeline's next run is due, learned from when its runs were created.

Two ways, both quiet at night and at weekends where the pipeline is:

- Where nearly every run had one a week before (daily on weekdays, hourly from eight to six), the next is due after as
  long as it took at this time of the week before, the longest time counted. An hour either way is the same time of the
  week, for the clocks' sake.
- Else, where the gaps are of one size, it is due after the longest of them and a quarter. Under a week of history says
  nothing of nights or weekends: then it is given a day, or three from Thursday on.

The rest is not regular. Lateness that is usual is in the gaps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil

from runlake.formats import lasting

_AT_ONCE = 60
"""Seconds: runs created within a minute came together."""
_WEEK = 7 * 86_400
_SAME_TIME = 75 * 60
_ANY_NIGHT, _ANY_WEEKEND = 86_400, 3 * 86_400
_THURSDAY = 3


@dataclass(frozen=True, slots=True)
class Expected:
    """The next run is to come within `wait` of the last; `why` says how that is known."""

    wait: timedelta
    why: str


def expected(created: Sequence[datetime], min_runs: int) -> Expected | str:
    """`created` are instants, the earliest first. A text where there is nothing to be expected: why not."""
    times: list[float] = []
    for time in map(datetime.timestamp, created):
        if not times or time - times[-1] >= _AT_ONCE:
            times.append(time)
    if len(times) < min_runs:
        return f"only {len(times)} runs to learn from, {min_runs} are needed"
    gaps = [later - earlier for earlier, later in pairwise(times)]
    ordered = sorted(gaps)
    usual = ordered[len(ordered) // 2]
    if _is_timetable(times, usual):
        same = [gap for time, gap in zip(times, gaps, strict=False) if _same_time_of_week(time, times[-1])]
        if len(same) >= 2:
            wait = max(same) + max(usual / 4, max(same) / 20)
            return _expected(wait, f"{len(same)} runs at this time of the week were followed within {_text(max(same))}")
    if _is_steady(ordered, usual):
        wait = ordered[-1] * 1.25
        if times[-1] - times[0] < _WEEK:
            pause = _ANY_NIGHT if created[-1].astimezone(UTC).weekday() < _THURSDAY else _ANY_WEEKEND
            why = f"{len(times)} runs came within {_text(times[-1] - times[0])}, which says nothing of other days"
            return _expected(max(wait, pause), why)
        return _expected(wait, f"the longest gap between {len(times)} runs was {_text(ordered[-1])}")
    shortest, longest = (_text(ordered[ceil(len(ordered) * share) - 1]) for share in (0.1, 0.95))
    return f"no regular cadence, most gaps between runs are from {shortest} to {longest}: give the rule a cron"


def _is_timetable(times: Sequence[float], usual: float) -> bool:
    """Whether 9 of 10 had one a week before, give or take a quarter of the usual gap."""
    near = usual / 4
    again = [time - _WEEK for time in times if time - _WEEK >= times[0] - near]
    kept = sum(1 for time in again if times[min(bisect_left(times, time - near), len(times) - 1)] <= time + near)
    return len(again) >= 4 and kept >= 0.9 * len(again)


def _is_steady(ordered: Sequence[float], usual: float) -> bool:
    """Whether few are much shorter, and few much longer: what comes by chance has many of both."""
    short, long = ordered[ceil(len(ordered) * 0.1) - 1], ordered[ceil(len(ordered) * 0.95) - 1]
    return short >= usual / 4 and long <= 3.5 * usual


def _same_time_of_week(time: float, other: float) -> bool:
    apart = (other - time + _SAME_TIME) % _WEEK
    return apart <= 2 * _SAME_TIME and other - time > _WEEK / 2


def _expected(seconds: float, why: str) -> Expected:
    return Expected(timedelta(seconds=seconds), why)


def _text(seconds: float) -> str:
    return lasting(timedelta(seconds=seconds))
