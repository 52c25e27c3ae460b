"""Success rates by source over the weeks of the history: a band for each, so that no line hides another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby

import altair as alt

from runlake.formats import some
from runlake.report.asking import span
from runlake.report.charts.drawing import Box, Margins, chart, discs, labels, legend, notes, plot, rules, texts
from runlake.report.charts.theme import colour
from runlake.report.charts.words import Found, fit, part
from runlake.report.formats.wording import Wording, date_of
from runlake.report.model import Chart, Column, Kind, Row
from runlake.report.period import Period
from runlake.store.database import quoted

MOST = 10

_MARGINS = Margins(top=30, right=92, bottom=26)
_STEP = 38
_BAND = 28


def query(period: Period) -> str:
    """A row for each source and each week, or as many days as the period has, that begins on `week`."""
    history = period.history
    first, step = f"DATE '{history.first}'", _step(period)
    return f"""\
SELECT source, vendor, {first} + ((day - {first}) // {step} * {step})::INTEGER AS week, sum(runs)::BIGINT AS runs,
       sum(success)::BIGINT AS success, sum(failure)::BIGINT AS failure,
       sum(success) / nullif(sum(success) + sum(failure), 0) AS success_rate
FROM outcomes_by_day({span(history)}, tz := {quoted(period.zone.key)}, among := 'known')
GROUP BY ALL ORDER BY source, week"""


def _step(period: Period) -> int:
    return max(7, period.days)


def draw(found: Sequence[Found], period: Period) -> Chart | None:
    """`found` answers `query`."""
    rated = [row for row in found if row["success_rate"] is not None]
    if not rated:
        return None
    lines = {source: list(rows) for source, rows in groupby(rated, key=lambda row: str(row["source"]))}
    by_failures = sorted(lines, key=lambda source: (-sum(row["failure"] for row in lines[source]), source))
    shown = sorted(by_failures[:MOST], key=lambda source: (lines[source][-1]["success_rate"], source))
    step = _step(period)
    weeks = [period.history.first + timedelta(days=step * number) for number in range(period.history.days // step)]
    x = {week: 6 + number * (_MARGINS.width - 12) / (len(weeks) - 1) for number, week in enumerate(weeks)}
    low = _low(min(row["success_rate"] for source in shown for row in lines[source]))
    points = list(_points(shown, lines, x, low))
    height = len(shown) * _STEP
    name = "weeks" if step == 7 else f"times {step} days"
    marks = [
        rules(list(_edges(len(shown)))),
        *_drawn(points),
        *_last(shown, lines, weeks, period),
        labels([fit(source) for source in shown], _STEP, _MARGINS.left),
        notes([(x[week], height + 14, date_of(week)) for week in weeks[::-3]], align="center"),
        *legend(
            [("", f"A band is {low:.0%} to 100 %.".replace("%", " %", 1)), (colour("rate-2"), "share that failed")],
            x=-_MARGINS.left,
            y=-18,
        ),
    ]
    return chart(
        "rates",
        f"Success rate by source over {len(weeks)} {name}",
        _alt(lines, weeks, period),
        marks,
        height=height,
        margins=_MARGINS,
        columns=[
            Column("source"),
            Column("week from" if step == 7 else "from", Kind.DAY),
            Column("runs", Kind.COUNT),
            Column("success", Kind.COUNT),
            Column("failure", Kind.COUNT),
            Column("success rate", Kind.SHARE),
        ],
        rows=[
            Row([row[name] for name in ("source", "week", "runs", "success", "failure", "success_rate")])
            for row in sorted(found, key=lambda row: (-row["week"].toordinal(), row["source"]))
        ],
        sql=query(period),
        note=part(len(shown), len(lines), "sources: those with most failures"),
    )


def _low(lowest: float) -> float:
    """Where the bands begin: at a round share below everything, so that lines use the room, and never above 90 %."""
    return next(bound for bound in (0.9, 0.8, 0.6, 0.5, 0.0) if lowest >= bound)


def _points(
    shown: Sequence[str], lines: Mapping[str, Sequence[Found]], x: Mapping[date, float], low: float
) -> Iterator[dict[str, str | float]]:
    """With the stretch that each is part of: a line does not cross weeks in which nothing was rated."""
    places = {week: number for number, week in enumerate(x)}
    for order, source in enumerate(shown):
        top = order * _STEP + (_STEP - _BAND) / 2
        for number, row in enumerate(lines[source]):
            # Of rows without a gap between them, place and number grow alike.
            part = f"{order:03} {places[row['week']] - number:03}"
            y = top + float(1 - row["success_rate"]) / (1 - low) * _BAND
            yield {"part": part, "x": x[row["week"]], "y": y, "y2": top}


def _drawn(points: Sequence[Mapping[str, str | float]]) -> list[alt.Chart]:
    base = plot(points)
    area = base.mark_area(fill=colour("rate-2")).encode(y2="y2:Q", detail="part:N")
    line = base.mark_line(stroke=colour("ink"), strokeWidth=1.5, strokeJoin="round").encode(detail="part:N")
    dots = discs([(float(point["x"]), float(point["y"]), 2.0, colour("ink")) for point in points])
    return [area, line, dots]


def _edges(count: int) -> Iterator[Box]:
    for number in range(count):
        top = number * _STEP + (_STEP - _BAND) / 2
        for y in (top, top + _BAND):
            yield 0, y, _MARGINS.width, y, colour("line")


def _last(
    shown: Sequence[str], lines: Mapping[str, Sequence[Found]], weeks: Sequence[date], period: Period
) -> list[alt.Chart]:
    """Beside each band the rate of the last week, and of the one before."""
    said = Wording(period).shown
    now, before = [], []
    for number, source in enumerate(shown):
        rates = {row["week"]: row["success_rate"] for row in lines[source]}
        middle = (number + 0.5) * _STEP
        now.append((_MARGINS.width + 10.0, middle - 7, said(rates.get(weeks[-1]), Kind.SHARE)))
        if weeks[-2] in rates:
            before.append((_MARGINS.width + 10.0, middle + 9, f"was {said(rates[weeks[-2]], Kind.SHARE)}"))
    return [texts(now, fontWeight="bold"), notes(before)]


def _alt(lines: Mapping[str, Sequence[Found]], weeks: Sequence[date], period: Period) -> str:
    """Of the last week: the lowest and the highest, and who has none."""
    now = {source: rows[-1]["success_rate"] for source, rows in lines.items() if rows[-1]["week"] == weeks[-1]}
    # A period of a few days is not what the last point is of.
    when = period.name if period.days == _step(period) else f"{_step(period)} days from {date_of(weeks[-1])}"
    shown = Wording(period).shown
    by_rate = [
        f"{fit(source, 60)} {shown(now[source], Kind.SHARE)}"
        for source in sorted(now, key=lambda each: (now[each], each))
    ]
    if len(by_rate) > 1:
        said = f"{when}: {by_rate[0]} is the lowest of {some(len(by_rate), 'source')}, {by_rate[-1]} the highest."
    else:
        said = f"{when}: {by_rate[0]}." if by_rate else f"{when}: no run is known that succeeded or failed."
    none = sorted(set(lines) - set(now))
    if by_rate and none:
        more = f" and {some(len(none) - 1, 'other')}" if len(none) > 1 else ""
        said += f" Of {fit(none[0], 60)}{more} no run is known that succeeded or failed."
    return said
