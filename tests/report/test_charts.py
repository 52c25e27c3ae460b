"""The report's charts: what they say, in every look, and that vendors' words stay words."""

from __future__ import annotations

import dataclasses
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from runlake.report.asking import Known
from runlake.report.charts import calendar, draw, durations, hours, rates, strip
from runlake.report.charts.drawing import MOST_ROWS
from runlake.report.charts.theme import COLOURS, WIDTH, declarations
from runlake.report.charts.words import fit, names_of
from runlake.report.model import Chart
from runlake.report.period import Period
from runlake.store.query import Reader

from . import seeded

WEEK = Period(date(2026, 11, 16), date(2026, 11, 23), ZoneInfo("Europe/Berlin"), datetime(2026, 11, 23, 5, tzinfo=UTC))
HOSTILE = [
    "</svg><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "x" * 500,
    "\u202etxt.exe\u202c",
    "\x1b[31mred\x00\ufffe\ud800",
    "\U0001f600 \u6771\u4eac\u306e\u65e5\u6b21\u96c6\u8a08" * 3,
    "url(#hatch) var(--c-ink) &amp; ]]>",
]


@pytest.fixture(scope="module")
def charts(ledger: Path) -> dict[str, Chart]:
    """Of the seeded ledger."""
    with Reader(ledger) as reader:
        Known(reader, seeded.reported())
        return {chart.key: chart for chart in draw(reader, seeded.reported())}


def days(pipelines: list[str], count: int = 42, failing: int = 5) -> list[dict[str, Any]]:
    """Rows of the calendar: on each `failing`th day something failed."""
    shown = calendar.days(WEEK)
    return [
        {"source": "here", "vendor": "v", "pipeline_id": str(number), "pipeline": name, "rank": number + 1}
        | {"day": shown.first + timedelta(days=day), "runs": 10, "neutral": 0, "pipelines": len(pipelines)}
        | {"success": 10 - failed, "failure": failed, "success_rate": 1 - failed / 10}
        for number, name in enumerate(pipelines)
        for day in range(count)
        for failed in [(day % 9) + 1 if (day + number) % failing == 0 else 0]
    ]


def words(svg: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_all_five_say_what_they_show(charts: dict[str, Chart]) -> None:
    assert list(charts) == ["calendar", "rates", "durations", "strip", "hours"]
    assert charts["calendar"].alt.startswith("10 pipelines over 42 days. 41 failures in 472 runs of those shown; Shaky")
    assert charts["rates"].alt == (
        "2026-W46: etl 74.2 % is the lowest of 2 sources, ml 87.5 % the highest. "
        "Of chat no run is known that succeeded or failed."
    )
    assert charts["durations"].alt == "Slow takes 2.9 x as long as before: a median of 15 min where it was 5 min 14 s."
    assert charts["strip"].alt.startswith("77 runs of 8 pipelines through 2026-W46; 18 failed, 10 of them of Shaky.")
    assert "60 failures in 12 weeks; the most in an hour of the week, 10, on Tue between 05:00" in charts["hours"].alt


def test_each_is_a_table_too(charts: dict[str, Chart]) -> None:
    for chart in charts.values():
        assert 0 < len(chart.rows) <= MOST_ROWS
        assert all(len(row.values) == len(chart.columns) for row in chart.rows)
    assert list(charts["strip"].rows[0].values) == ["etl", "Shaky", 21, 11, 10, 0, 0]


def test_drawn_again_it_is_the_same_to_the_byte(charts: dict[str, Chart], ledger: Path) -> None:
    """Though Vega has counted other ids by then."""
    with Reader(ledger) as reader:
        Known(reader, seeded.reported())
        assert strip.draw(reader.read(strip.query(seeded.reported())), seeded.reported()) == charts["strip"]


def test_a_page_may_hold_them_all(charts: dict[str, Chart]) -> None:
    whole = "".join(chart.svg for chart in charts.values())
    ids = re.findall(r' id="([^"]*)"', whole)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]*)\)", whole)) <= set(ids)
    assert not re.search(
        r"<script|<style|<image|<a |href|xlink|class=| on\w+=|https?://(?!www\.w3\.org/2000/svg)", whole
    )


def test_each_tells_its_name_and_what_it_shows_to_those_who_cannot_see_it(charts: dict[str, Chart]) -> None:
    for chart in charts.values():
        root = ET.fromstring(chart.svg)
        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == f"{chart.key}-title {chart.key}-desc"
        title, desc = root[0], root[1]
        assert (title.text, desc.text) == (chart.title, chart.alt)


def test_it_scales_and_has_the_size_that_it_says(charts: dict[str, Chart]) -> None:
    for chart in charts.values():
        assert f'viewBox="0 0 {chart.width} {chart.height}"' in chart.svg
        assert chart.width == WIDTH
        assert chart.png[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", chart.png[16:24]) == (2 * chart.width, 2 * chart.height)


def test_all_colours_are_the_page_s_to_choose(charts: dict[str, Chart]) -> None:
    for chart in charts.values():
        used = set(re.findall(r'(?:fill|stroke)="([^"]*)"', chart.svg))
        assert used <= {f"var(--c-{name})" for name in COLOURS} | {"none", f"url(#{chart.key}-hatch)"}
    assert all(f"--c-{name}:{pair[1]};" in declarations(dark=True) for name, pair in COLOURS.items())


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance of `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_are_legible_and_told_apart_by_lightness_alone(dark: bool) -> None:
    """Which every kind of colour vision has, and grey print."""
    shown = {name: pair[dark] for name, pair in COLOURS.items()}
    assert all(contrast(shown[name], shown["ground"]) >= 4.5 for name in ("ink", "soft", "fail"))
    steps = [luminance(shown[f"rate-{number}"]) for number in range(5)]
    assert steps == sorted(steps, reverse=dark)
    assert all(contrast(shown[f"rate-{a}"], shown[f"rate-{b}"]) >= 1.15 for a, b in pairwise(range(5)))
    assert contrast(shown["fail"], shown["pass"]) >= 2


def test_vendors_words_stay_words() -> None:
    chart = calendar.draw(days(HOSTILE), {"here": None}, WEEK)
    assert chart is not None
    assert not re.search(r"<(script|img)", chart.svg)
    assert not re.search("[\x00-\x08\x1b\u202a-\u202e\ufffe\ud800]", chart.svg + chart.alt)
    said = words(chart.svg)
    assert "</svg><scr\u2026</script>" in said
    assert "red" in said
    assert all(len(each) < 80 for each in said)
    assert ET.fromstring(chart.svg).find(".//{*}script") is None


def test_names_are_cut_in_their_middle_and_say_their_source_where_two_are_the_same() -> None:
    assert fit("short") == "short"
    assert fit("sync contacts to the warehouse") == "sync conta\u2026warehouse"
    assert fit("\u6771" * 30) == "\u6771" * 5 + "\u2026" + "\u6771" * 4
    assert fit(" \n\t ") == "(no name)"
    rows = [{"source": source, "pipeline_id": "1", "pipeline": "load"} for source in ("a", "b")]
    assert list(names_of(rows).values()) == ["load \u00b7 a", "load \u00b7 b"]


def test_the_largest_still_fits_into_a_page_and_a_mail() -> None:
    longer = Period(date(2026, 9, 1), date(2026, 11, 24), WEEK.zone, datetime(2026, 11, 24, 5, tzinfo=UTC))
    rows = [
        row
        | {"day": longer.first + (row["day"] - calendar.days(WEEK).first) * 2 + timedelta(days=more), "pipelines": 300}
        for row in days([f"pipeline {number}" for number in range(25)])
        for more in (0, 1)
    ]
    chart = calendar.draw(rows, {}, longer)
    assert chart is not None
    assert len(chart.svg) < 150_000
    assert len(chart.png) < 130_000
    assert "25 of 300 pipelines: those with most failures, then runs" in words(chart.svg)


def test_days_that_were_not_seen_are_hatched_and_those_without_a_rated_run_dotted() -> None:
    rows = days(["load"], count=39)
    rows[0] |= {"success_rate": None, "success": 0, "failure": 0, "neutral": 10}
    whole = calendar.draw(rows, {"here": WEEK.until}, WEEK)
    blind = calendar.draw(rows, {"here": WEEK.until - timedelta(days=3)}, WEEK)
    assert whole is not None
    assert blind is not None
    assert "hatch" not in whole.svg
    assert blind.svg.count("url(#calendar-hatch)") == 2  # the days together, and the legend
    assert "not seen to its end" in words(blind.svg)
    assert blind.alt.endswith("Some days were not seen to their end.")
    assert whole.svg.count('fill="var(--c-neutral)"') == 2


def test_a_day_that_is_not_over_is_not_called_unseen() -> None:
    now = dataclasses.replace(WEEK, known_at=WEEK.until - timedelta(hours=23))
    chart = calendar.draw(days(["load"]), {"here": now.known_at - timedelta(hours=3)}, now)
    assert chart is not None
    assert "hatch" not in chart.svg


def test_all_is_said_of_no_day_on_which_one_failed() -> None:
    """Nor none of one on which one succeeded."""
    rows = days(["load"], count=4, failing=99)
    for row, share in zip(rows, (0.99999, 0.00001, 0.0, 1.0), strict=True):
        row |= {"success_rate": share, "failure": int(share < 1)}
    chart = calendar.draw(rows, {}, WEEK)
    assert chart is not None
    # One of each in the legend.
    assert [chart.svg.count(f"var(--c-rate-{number})") for number in range(5)] == [2, 2, 1, 2, 2]


def weeks(source: str, *shares: float | None) -> Iterator[dict[str, Any]]:
    for number, share in enumerate(shares):
        failed = 0 if share is None else round(100 * (1 - share))
        yield {
            "source": source,
            "vendor": "v",
            "week": WEEK.history.first + timedelta(days=7 * number),
            "runs": 100,
        } | {
            "success": 100 - failed,
            "failure": failed,
            "success_rate": share,
        }


def test_a_week_in_which_nothing_was_rated_breaks_the_line() -> None:
    whole = rates.draw([*weeks("a", *[0.9] * 12)], WEEK)
    broken = rates.draw([*weeks("a", *[0.9] * 5, None, *[0.9] * 6)], WEEK)
    assert whole is not None
    assert broken is not None
    assert [each.svg.count('stroke-width="1.5"') for each in (whole, broken)] == [1, 2]


def test_a_source_that_was_missing_all_week_has_no_rate_now() -> None:
    chart = rates.draw([*weeks("gone", *[1.0] * 11), *weeks("here", *[0.8] * 12)], WEEK)
    assert chart is not None
    said = words(chart.svg)
    assert "\u2013" in said
    assert "was 100 %" in said
    assert "A band is 80 % to 100 %." in said


def test_a_rate_is_not_said_of_a_day_where_it_is_of_a_week() -> None:
    day = dataclasses.replace(WEEK, first=WEEK.end - timedelta(days=1))
    chart = rates.draw([*weeks("a", *[0.9] * 12)], day)
    assert chart is not None
    assert chart.alt == "7 days from 16 Nov: a 90.0 %."


def test_of_many_sources_those_with_most_failures_are_shown() -> None:
    found = [row for number in range(30) for row in weeks(f"s{number:02}", *[1 - number / 100] * 12)]
    chart = rates.draw(found, WEEK)
    assert chart is not None
    assert "10 of 30 sources: those with most failures" in words(chart.svg)
    assert "s29" in words(chart.svg)
    assert "s01" not in words(chart.svg)


def lasting(name: str, now: list[float], before: list[float] | None, ratio: float | None = None) -> dict[str, Any]:
    return {"source": "s", "vendor": "v", "pipeline_id": name, "pipeline": name, "pipelines": 1, "ratio": ratio} | {
        "n_before": 20 if before else 0,
        "before_ms": before,
        "n_now": 20,
        "now_ms": now,
    }


def test_a_first_week_a_single_run_and_no_time_at_all_can_be_drawn() -> None:
    for now in ([0.0] * 5, [1.0, 10.0, 1e3, 1e7, 9e9]):
        chart = durations.draw([lasting("one", now, None)], WEEK)
        assert chart is not None
        assert "NaN" not in chart.svg
        assert chart.alt == "None of 1 pipeline got notably slower."


def test_what_got_slower_is_told_in_words_and_not_by_colour_alone() -> None:
    slower = lasting("slow", [6e5] * 5, [2e5] * 5, 3.0)
    chart = durations.draw([slower, lasting("same", [6e5] * 5, [6e5] * 5)], WEEK)
    assert chart is not None
    assert "3.0 x" in words(chart.svg)
    assert [row.values[-1] for row in chart.rows] == [3.0, None]
    assert len(re.findall(r'<path [^>]*fill="var\(--c-fail\)"', chart.svg)) == 2  # its bar, and the legend


def runs(what: str, *slots: tuple[int, int], name: str = "load") -> list[dict[str, Any]]:
    return [
        {"source": "s", "vendor": "v", "pipeline_id": name, "pipeline": name, "rank": 1, "pipelines": 1, "what": what}
        | {"slot_from": begin, "slot_to": end, "runs": 2}
        for begin, end in slots
    ]


def test_a_strip_joins_what_touches_and_shows_the_shortest_run() -> None:
    chart = strip.draw(runs("success", (0, 0), (1, 4), (4, 9), (50, 50), (652, 652)), WEEK)
    assert chart is not None
    marks, _legend = re.findall(r'<path d="([^"]*)" fill="var\(--c-pass\)"', chart.svg)
    assert marks.count("M") == 3
    assert "M325,5.5h1v9h-1Z" in marks, "the last ends with the week, at 326"
    assert list(chart.rows[0].values) == ["s", "load", 10, 10, 0, 0, 0]


@pytest.mark.parametrize("first", [date(2026, 3, 23), date(2026, 10, 19)])
def test_a_strip_of_a_week_in_which_clocks_change_has_days_as_long_as_they_were(first: date) -> None:
    week = Period(first, first + timedelta(days=7), WEEK.zone, datetime(2026, 11, 23, tzinfo=UTC))
    chart = strip.draw(runs("failure", (0, 4)), week)
    assert chart is not None
    middles = [
        float(x) for x in re.findall(r"<text[^>]*translate\(([\d.]+),[\d.]+\)[^>]*>(?:Mon|Tue|Sat|Sun) \d", chart.svg)
    ]
    assert len(middles) == 4
    weekday, saturday_to_sunday = middles[1] - middles[0], middles[3] - middles[2]
    assert (saturday_to_sunday < weekday) == (first.month == 3)


def test_a_dot_has_as_much_area_as_there_are_failures() -> None:
    dots = [
        {"weekday": day, "hour": 3, "runs": 200, "rated": 200, "failure": count} for day, count in ((1, 25), (2, 100))
    ]
    chart = hours.draw(dots, WEEK)
    assert chart is not None
    radii = sorted({float(radius) for radius in re.findall(r"M([\d.]+),0A\1,\1", chart.svg)})
    assert radii[-2:] == [3.8, 7.5]


def test_nothing_to_show_is_no_chart(reader: Reader) -> None:
    empty = seeded.reported()
    Known(reader, empty, "source = 'nobody'")
    assert draw(reader, empty) == []
    assert hours.draw([{"weekday": 1, "hour": 0, "runs": 3, "failure": 0, "rated": 3}], WEEK) is None


def test_nobody_who_draws_nothing_waits_for_altair() -> None:
    said = "import sys, runlake.report.charts.theme; print('altair' in sys.modules or 'vl_convert' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_a_png_is_compressed_and_whole(charts: dict[str, Chart]) -> None:
    png = charts["hours"].png
    packed = b""
    at = 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + data),)
        packed += data if kind == b"IDAT" else b""
        at += length + 12
    width, height = struct.unpack(">II", png[16:24])
    assert len(zlib.decompress(packed)) == height * (4 * width + 1)
    assert len(png) < 100_000
