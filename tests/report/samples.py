"""Reports made by hand: one with everything in it, one of a week in which nothing was seen, one that is hostile."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from runlake.report.model import Chart, Column, Direction, Figure, Item, Kind, Report, Row, Section
from runlake.report.period import Period

WEEK = Period(date(2026, 11, 16), date(2026, 11, 23), ZoneInfo("Europe/Berlin"), datetime(2026, 11, 23, 5, tzinfo=UTC))

_RUN = "https://flow.example/acme/runs/{}"
_SQL = """\
WITH known AS (
  FROM runs_at('2026-11-23 05:00:00+00')
  WHERE created_at >= '2026-08-30 22:00:00+00' AND created_at < '2026-11-22 23:00:00+00'
)
SELECT pipeline, runs, success, failure, success_rate
FROM pipeline_stats('2026-11-15 23:00:00+00', '2026-11-22 23:00:00+00', among := 'known')
ORDER BY failure DESC, pipeline, source"""


def _columns(*names: str, **kinds: Kind) -> list[Column]:
    return [Column(name, kinds.get(name.replace(" ", "_"), Kind.TEXT)) for name in names]


def _at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def picture(key: str, title: str, alt: str) -> Chart:
    """A drawing that stands in for a real one: bars, in the colours that pages define."""
    bars = "".join(
        f'<rect x="{40 + day * 80}" y="{200 - height}" width="52" height="{height}" fill="var(--c-pass)"/>'
        f'<text x="{66 + day * 80}" y="220" text-anchor="middle" fill="var(--c-ink)">{name}</text>'
        for day, (name, height) in enumerate(
            zip(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), (120, 150, 90, 160, 140, 40, 60), strict=True)
        )
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 640 240" width="640" height="240" '
        f'font-family="Liberation Sans, Arial, sans-serif" font-size="12"><title>{title}</title>{bars}</svg>'
    )
    columns = _columns("day", "runs", "success rate", day=Kind.DAY, runs=Kind.COUNT, success_rate=Kind.SHARE)
    rows = [Row([date(2026, 11, day), 30 + day, 0.9 + day / 1000]) for day in range(16, 23)]
    return Chart(
        key=key,
        title=title,
        alt=alt,
        svg=svg,
        png=_png(640, 240),
        width=640,
        height=240,
        columns=columns,
        rows=rows,
        sql=_SQL,
    )


def _png(width: int, height: int) -> bytes:
    """Grey on white."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    lines = b"".join(b"\0" + (b"\xff" if y % 24 else b"\xc8") * width for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")


def rich() -> Report:
    """A bad week of three vendors."""
    failures = _columns(
        "source",
        "pipeline",
        "error",
        "failures",
        "the time before",
        "first",
        "last",
        failures=Kind.COUNT,
        the_time_before=Kind.COUNT,
        first=Kind.INSTANT,
        last=Kind.INSTANT,
    )
    durations = _columns(
        "source",
        "pipeline",
        "now",
        "before",
        "ratio",
        "runs now",
        "runs before",
        now=Kind.DURATION_MS,
        before=Kind.DURATION_MS,
        ratio=Kind.RATIO,
        runs_now=Kind.COUNT,
        runs_before=Kind.COUNT,
    )
    waste = _columns(
        "source",
        "pipeline",
        "time lost",
        "reruns",
        "success rate",
        time_lost=Kind.DURATION_MS,
        reruns=Kind.COUNT,
        success_rate=Kind.SHARE,
    )
    per_source = _columns(
        "source",
        "runs",
        "success rate",
        "failed",
        "neutral",
        "open",
        "median",
        "95th percentile",
        "seen up to",
        "missing",
        runs=Kind.COUNT,
        success_rate=Kind.SHARE,
        failed=Kind.COUNT,
        neutral=Kind.COUNT,
        open=Kind.COUNT,
        median=Kind.DURATION_MS,
        seen_up_to=Kind.INSTANT,
        missing=Kind.COUNT,
        **{"95th_percentile": Kind.DURATION_MS},
    )
    waits = _columns(
        "source",
        "pipeline",
        "waited",
        "since",
        "until",
        waited=Kind.DURATION_MS,
        since=Kind.INSTANT,
        until=Kind.INSTANT,
    )
    return Report(
        title="Runs of 2026-W47",
        period=WEEK,
        scope={"source": "etl*, flow-eu", "owner": "data"},
        direction=Direction.WORSE,
        verdict="92.1 % of 1,186 rated runs succeeded, after 96.0 % of 1,204 the week before; "
        "2 pipelines that never failed before are failing still.",
        look_at=[
            Item("orders_daily at flow-eu has failed 14 times since Tue 17 Nov", "new", _RUN.format(901)),
            Item("customer-dedup at etl-prod takes 2 h 5 min, 1.8 times as long as before", "slower", _RUN.format(77)),
            Item("invoice-review at review has waited for a person for 3 d 4 h", "waits", _RUN.format(12)),
        ],
        figures=[
            Figure(name="Runs", kind=Kind.COUNT, value=1243, before=1271, good=None, sql=_SQL),
            Figure(name="Success rate", kind=Kind.SHARE, value=0.9207, before=0.9601, good=True, sql=_SQL),
            Figure(name="Failed runs", kind=Kind.COUNT, value=94, before=48, good=False, sql=_SQL),
            Figure(name="Time lost", kind=Kind.DURATION_MS, value=152_000_000, before=71_300_000, good=False, sql=_SQL),
            Figure(name="Median recovery", kind=Kind.DURATION_MS, value=2_520_000, before=5_520_000, good=False),
            Figure(name="Longest wait for a person", kind=Kind.DURATION_MS, value=274_000_000, before=None, good=False),
        ],
        warnings=[
            "review could not be seen from Fri 20 Nov 14:10 to Sun 22 Nov 09:30: what ran there then is not in here.",
            "etl-prod lists 12 runs that the ledger lacks.",
        ],
        sections=[
            Section(
                key="new",
                title="New failures",
                lead="2 pipelines fail that did not in the 4 weeks before.",
                columns=failures,
                sql=_SQL,
                more=3,
                rows=[
                    Row(
                        [
                            "flow-eu",
                            "orders_daily",
                            "relation <relation> does not exist",
                            14,
                            None,
                            _at(17, 3),
                            _at(22, 3),
                        ],
                        _RUN.format(901),
                    ),
                    Row(
                        [
                            "etl-prod",
                            "billing/export to the warehouse of the finance team in Frankfurt",
                            "HTTPSConnectionPool(host=<host>, port=<n>): Max retries exceeded with url: <path> "
                            "(Caused by ConnectTimeoutError: timed out after <n> s)",
                            2,
                            None,
                            _at(18, 22, 5),
                            _at(19, 22, 5),
                        ],
                        _RUN.format(1),
                    ),
                ],
            ),
            Section(
                key="recurring",
                title="Recurring failures",
                lead="1 failure has been seen in the 4 weeks before as well.",
                columns=failures,
                sql=_SQL,
                rows=[
                    Row(
                        ["etl-prod", "geo-index", "out of memory at <n> MB", 31, 112, _at(16, 1), _at(22, 23)],
                        _RUN.format(88),
                    )
                ],
            ),
            Section(key="fixed", title="Fixed failures", lead="Nothing that failed before has been fixed.", sql=_SQL),
            Section(
                key="slower",
                title="Slower",
                lead="1 pipeline took longer than in the four weeks before.",
                columns=durations,
                sql=_SQL,
                rows=[Row(["etl-prod", "customer-dedup", 7_500_000, 4_166_000, 1.8, 42, 160], _RUN.format(77))],
            ),
            Section(
                key="waste",
                title="Most wasteful pipelines",
                lead="Time spent on what came to nothing.",
                columns=waste,
                sql=_SQL,
                more=17,
                rows=[
                    Row(
                        ["etl-prod", f"pipeline-{n:02}", 80_000_000 // (n + 1), 40 // (n + 1), 0.5 + n / 25],
                        _RUN.format(n),
                    )
                    for n in range(10)
                ],
            ),
            Section(
                key="waits",
                title="Waiting for people",
                lead="4 runs waited, the longest for 3 d 4 h.",
                columns=waits,
                sql=_SQL,
                rows=[
                    Row(["review", "invoice-review", 274_000_000, _at(19, 9), None], _RUN.format(12)),
                    Row(["review", "label-check", 850, _at(20, 9), _at(20, 9)], _RUN.format(13)),
                ],
            ),
            Section(
                key="sources",
                title="Sources",
                lead="3 sources; 1 could not be seen all the time.",
                columns=per_source,
                sql=_SQL,
                rows=[
                    Row(["etl-prod", 812, 0.9412, 47, 12, 3, 1_260_000, 9_000_000, _at(23, 4, 55), 12]),
                    Row(["flow-eu", 402, 0.883, 46, 8, 1, 48_000, 310_000, _at(23, 4, 58), 0]),
                    Row(["review", 29, 1.0, 0, 1, 4, 850, None, _at(23, 4, 50), None]),
                ],
            ),
        ],
        charts=[
            picture("calendar", "Outcomes by day", "orders_daily has failed on 6 of 7 days."),
            picture("durations", "Durations and regressions", "customer-dedup takes 1.8 times as long as before."),
        ],
        definitions={
            "Success rate": "success / (success + failure) of final runs, each counted once, by its last attempt. "
            "Cancelled, rejected and skipped runs, open ones and unknown ones are outside of it and counted beside it.",
            "Time lost": "Durations of attempts that failed, were cancelled, or were followed by another; each once.",
            "Median recovery": "From the end of a streak's first failed run to the end of the first success after it.",
            "Regression": "At least 10 successes on each side, the median above the 3rd quartile of the weeks before, "
            "at least 1.3 times their median and 10 s more.",
        },
    )


def empty() -> Report:
    """A week of a source that was never reached."""
    return Report(
        title="Runs of 2026-W47",
        period=WEEK,
        direction=Direction.UNKNOWN,
        verdict="No run was seen, and there is no week before to compare with.",
        figures=[
            Figure(name="Runs", kind=Kind.COUNT, value=0, before=None, good=None),
            Figure(name="Success rate", kind=Kind.SHARE, value=None, before=None, good=True),
        ],
        warnings=["etl-prod has never been seen."],
        sections=[
            Section(key="new", title="New failures", lead="No run failed.", sql=_SQL),
            Section(key="sources", title="Sources", lead="1 source, which has never been seen.", sql=_SQL),
        ],
    )


def everywhere(report: Report, said: Callable[[str], str], url: str | None) -> Report:
    """`report` with each text that a vendor may have written changed, and each address replaced."""

    def rows(found: Any) -> list[Row]:
        return [Row([said(v) if isinstance(v, str) else v for v in row.values], url) for row in found]

    return replace(
        report,
        title=said(report.title),
        verdict=said(report.verdict),
        scope={name: said(value) for name, value in report.scope.items()},
        warnings=[said(each) for each in report.warnings],
        look_at=[Item(said(each.text), each.about, url) for each in report.look_at],
        figures=[replace(each, name=said(each.name)) for each in report.figures],
        sections=[
            replace(
                each,
                lead=said(each.lead),
                title=said(each.title),
                rows=rows(each.rows),
                sql=f"{each.sql}\n-- {said('sql')}",
            )
            for each in report.sections
        ],
        charts=[
            replace(each, title=said(each.title), alt=said(each.alt), rows=rows(each.rows)) for each in report.charts
        ],
        definitions={said(name): said(meaning) for name, meaning in report.definitions.items()},
    )
