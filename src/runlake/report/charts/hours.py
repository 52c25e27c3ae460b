"""At which hours of the week runs fail: a dot for each, as large as there are failures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from runlake.formats import some
from runlake.report.asking import span
from runlake.report.charts.drawing import Margins, boxes, chart, discs, notes
from runlake.report.charts.theme import colour
from runlake.report.charts.words import Found
from runlake.report.formats.wording import WEEKDAYS
from runlake.report.model import Chart, Column, Kind, Row
from runlake.report.period import Period
from runlake.store.database import quoted

_MARGINS = Margins(top=30, right=6, bottom=26, left=42)
_CELL = _MARGINS.width / 24
_STEP = 22
_LARGEST = 7.5


def query(period: Period) -> str:
    """A row for each weekday (1 is Monday) and hour of the history in which runs were created."""
    return f"""\
SELECT weekday, hour, sum(runs)::BIGINT AS runs, sum(failure)::BIGINT AS failure, sum(rated)::BIGINT AS rated
FROM busy_hours({span(period.history)}, tz := {quoted(period.zone.key)}, among := 'known')
GROUP BY weekday, hour ORDER BY weekday, hour"""


def draw(found: Sequence[Found], period: Period) -> Chart | None:
    """`found` answers `query`. Where nothing failed there is nothing to draw."""
    most = max((row["failure"] for row in found), default=0)
    if not most:
        return None
    height = 7 * _STEP
    failed = [row for row in found if row["failure"]]
    sizes = sorted({most, max(1, most // 4), 1}, reverse=True)
    # From the right edge, in front of their numbers.
    right = _MARGINS.width - 2.0
    keys = []
    for size in sizes:
        right -= len(f"{size:,}") * 6.7 + 4
        keys.append((right, f"{size:,}", size))
        right -= 18 + 2 * _radius(size, most)
    marks = [
        boxes(
            [
                (*_corner(row), _corner(row)[0] + _CELL - 2, _corner(row)[1] + _STEP - 2, colour("faint"))
                for row in found
            ]
        ),
        discs(
            [
                *((*_middle(row), _radius(row["failure"], most), colour("fail")) for row in failed),
                *((x - 7 - _radius(size, most), -16.0, _radius(size, most), colour("fail")) for x, _, size in keys),
            ]
        ),
        notes([(-10.0, (number + 0.5) * _STEP, day) for number, day in enumerate(WEEKDAYS)], align="right"),
        notes([(hour * _CELL, height + 14, f"{hour:02}:00") for hour in range(0, 24, 3)], align="left"),
        notes(
            [
                (-_MARGINS.left, -16.0, "Area: failures. Grey: an hour with runs."),
                *((x, -16.0, text) for x, text, _ in keys),
            ]
        ),
    ]
    return chart(
        "hours",
        "Failures by weekday and hour",
        _alt(failed, period),
        marks,
        height=height,
        margins=_MARGINS,
        columns=[
            Column("weekday"),
            Column("hour"),
            Column("failure", Kind.COUNT),
            Column("runs", Kind.COUNT),
            Column("failed", Kind.SHARE),
        ],
        rows=[
            Row(
                [
                    WEEKDAYS[row["weekday"] - 1],
                    f"{row['hour']:02}:00",
                    row["failure"],
                    row["runs"],
                    row["failure"] / row["rated"],
                ]
            )
            for row in sorted(failed, key=lambda row: (-row["failure"], row["weekday"], row["hour"]))
        ],
        sql=query(period),
    )


def _corner(row: Found) -> tuple[float, float]:
    return row["hour"] * _CELL, (row["weekday"] - 1) * _STEP


def _middle(row: Found) -> tuple[float, float]:
    x, y = _corner(row)
    return x + (_CELL - 2) / 2, y + (_STEP - 2) / 2


def _radius(failures: int, most: int) -> float:
    return max(1.5, math.sqrt(failures / most) * _LARGEST)


def _alt(failed: Sequence[Found], period: Period) -> str:
    worst = max(failed, key=lambda row: (row["failure"], -row["weekday"], -row["hour"]))
    total = sum(row["failure"] for row in failed)
    day, hour = WEEKDAYS[worst["weekday"] - 1], worst["hour"]
    return (
        f"{some(total, 'failure')} in {period.history.days // 7} weeks; the most in an hour of the week, "
        f"{worst['failure']:,}, on {day} between {hour:02}:00 and {(hour + 1) % 24:02}:00, {period.zone.key} time."
    )
