"""How values are said: numbers, changes, instants in the report's zone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from report.samples import WEEK
from runlake.report.formats.wording import NOTHING, Wording, change, code, heading, line
from runlake.report.model import Column, Figure, Kind
from runlake.report.period import Period

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (Kind.COUNT, 1234567, "1,234,567"),
        (Kind.COUNT, 0, "0"),
        (Kind.COUNT, Decimal(12), "12"),
        (Kind.SHARE, 0.9731, "97.3 %"),
        (Kind.SHARE, 1.0, "100 %"),
        (Kind.SHARE, 0, "0 %"),
        (Kind.SHARE, 0.99999, "> 99.9 %"),
        (Kind.SHARE, 0.00001, "< 0.1 %"),
        (Kind.DURATION_MS, 850, "850 ms"),
        (Kind.DURATION_MS, 999.7, "1 s"),
        (Kind.DURATION_MS, 7_530_000.4, "2 h 5 min"),
        (Kind.DURATION_MS, 0, "0 ms"),
        (Kind.DURATION_MS, -90_000, f"{MINUS}1 min 30 s"),
        (Kind.DURATION_MS, 599_999, "9 min 59 s"),
        (Kind.DURATION_MS, 630_000, "10 min"),
        (Kind.RATIO, 1.84, "1.8 x"),
        (Kind.NUMBER, 1234.5678, "1,234.57"),
        (Kind.NUMBER, 1e15, "1,000,000,000,000,000"),
        (Kind.NUMBER, 0.5, "0.5"),
        (Kind.NUMBER, float("nan"), NOTHING),
        (Kind.NUMBER, float("inf"), NOTHING),
        (Kind.COUNT, None, NOTHING),
        (Kind.TEXT, None, NOTHING),
        (Kind.TEXT, "", NOTHING),
        (Kind.TEXT, " two\n lines ", "two lines"),
        (Kind.COUNT, "many", "many"),
        (Kind.DAY, date(2026, 11, 16), "Mon 16 Nov"),
        (Kind.DAY, date(2025, 11, 16), "Sun 16 Nov 2025"),
        (Kind.INSTANT, datetime(2026, 11, 16, 8, 5, tzinfo=UTC), "Mon 16 Nov 09:05"),
        (Kind.INSTANT, datetime(2026, 11, 15, 23, 30, tzinfo=UTC), "Mon 16 Nov 00:30"),
        (Kind.INSTANT, datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Sun 25 Oct 02:30 CEST"),
        (Kind.INSTANT, datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Sun 25 Oct 02:30 CET"),
    ],
)
def test_a_value_is_said_by_its_kind(kind: Kind, value: Any, said: str) -> None:
    assert Wording(WEEK).shown(value, kind) == said


def test_a_time_of_the_day_that_a_spring_has_skipped_needs_no_more_words() -> None:
    spring = Period(date(2026, 3, 23), date(2026, 3, 30), ZoneInfo("Europe/Berlin"), WEEK.known_at)
    assert Wording(spring).instant(datetime(2026, 3, 29, 1, 0, tzinfo=UTC)) == "Sun 29 Mar 03:00"


@pytest.mark.parametrize(
    ("first", "end", "said"),
    [
        (date(2026, 11, 16), date(2026, 11, 23), "Mon 16 Nov to Sun 22 Nov 2026"),
        (date(2026, 12, 28), date(2027, 1, 4), "Mon 28 Dec 2026 to Sun 3 Jan 2027"),
        (date(2026, 11, 16), date(2026, 11, 17), "Mon 16 Nov 2026"),
    ],
)
def test_the_days_of_a_period_are_said_with_their_year(first: date, end: date, said: str) -> None:
    period = replace(WEEK, first=first, end=end)
    assert Wording(period).days(period) == said


@pytest.mark.parametrize(
    ("kind", "now", "before", "good", "said"),
    [
        (Kind.COUNT, 12, 9, False, "+3, worse; was 9"),
        (Kind.COUNT, 9, 1234, False, f"{MINUS}1,225, better; was 1,234"),
        (Kind.COUNT, 12, 9, None, "+3; was 9"),
        (Kind.COUNT, 9, 9, False, "unchanged"),
        (Kind.SHARE, 0.961, 0.973, True, f"{MINUS}1.2 points, worse; was 97.3 %"),
        (Kind.SHARE, 0.9731, 0.9732, True, "unchanged"),
        (Kind.SHARE, 1.0, 0.99999, True, "hardly changed; was > 99.9 %"),
        (Kind.DURATION_MS, 7_500_000, 0, False, "+2 h 5 min, worse; was 0 ms"),
        (Kind.COUNT, 3, None, False, "nothing to compare with"),
        (Kind.SHARE, None, 0.5, True, "was 50.0 %"),
        (Kind.SHARE, None, None, True, "nothing to compare with"),
    ],
)
def test_a_change_says_how_much_and_whether_that_is_good(
    kind: Kind, now: float | None, before: float | None, good: bool | None, said: str
) -> None:
    assert str(change(Figure(name="x", kind=kind, value=now, before=before, good=good))) == said


def test_a_row_is_about_its_pipeline_or_error_or_rule_else_what_stands_first() -> None:
    def at(*names: str) -> int:
        return heading([Column(name) for name in names])

    assert [at("source", "pipeline"), at("source", "error"), at("fired", "rule"), at("source", "vendor")] == [
        1,
        1,
        1,
        0,
    ]


def test_a_text_has_one_line_no_power_over_terminals_and_an_end() -> None:
    assert line("a\x1b[31mb\u202ec\r\nd") == "abc d"
    assert line("x" * 5000) == "x" * 299 + "…"
    assert code("\nSELECT 'a\x1b[2J'\n  FROM b  \n") == "SELECT 'a'\n  FROM b"
