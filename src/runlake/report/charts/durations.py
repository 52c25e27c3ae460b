"""How long pipelines take now, against the weeks before; those that got slower are marked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

import altair as alt

from runlake.formats import some
from runlake.report.asking import at, span
from runlake.report.charts.drawing import Box, Margins, boxes, chart, labels, legend, notes, rules, texts
from runlake.report.charts.theme import colour
from runlake.report.charts.words import Found, Key, fit, key_of, names_of, part
from runlake.report.formats.wording import Wording
from runlake.report.model import Chart, Column, Kind, Row
from runlake.report.period import Period

MOST = 14
BASELINE = timedelta(days=28)
"""Just before the period, as the metric `regressions` has it."""

_MARGINS = Margins(top=48, right=52, bottom=26)
_STEP = 30
_ROUND_MS = [
    *(1, 1_000, 60_000, 3_600_000, 86_400_000),
    *(100, 10_000, 600_000, 10, 36_000_000, 864_000_000),
    *(5_000, 30_000, 300_000, 1_800_000, 18_000_000, 432_000_000),
    *(2_000, 20_000, 120_000, 1_200_000, 7_200_000, 172_800_000),
]
"""Lengths that an axis names, the roundest first."""
_APART = 50
"""Pixels between two names on the axis, at least."""


def query(period: Period) -> str:
    """A row for each pipeline with successes now: those that got slower first, then where most time goes. `now_ms` and
    `before_ms`: the 5th, 25th, 50th, 75th and 95th percentile."""
    begin = period.since - BASELINE
    now = f"created_at >= TIMESTAMPTZ {at(period.since)}"
    quantiles = "quantile_cont(duration_ms, [0.05, 0.25, 0.5, 0.75, 0.95])"
    return f"""\
SELECT source, vendor, pipeline_id, pipeline, n_before, before_ms, n_now, now_ms, ratio, count(*) OVER () AS pipelines
FROM (SELECT source, vendor, pipeline_id, arg_max(pipeline, (created_at, run_id)) AS pipeline,
             count(*) FILTER (NOT {now}) AS n_before, {quantiles} FILTER (NOT {now}) AS before_ms,
             count(*) FILTER ({now}) AS n_now, {quantiles} FILTER ({now}) AS now_ms,
             sum(duration_ms) FILTER ({now}) AS total_ms
      FROM runs_between({at(begin)}, {at(period.until)}, among := 'known')
      WHERE outcome = 'success' AND duration_ms IS NOT NULL
      GROUP BY source, vendor, pipeline_id)
LEFT JOIN (SELECT source, pipeline_id, ratio FROM regressions({span(period)}, among := 'known')
           WHERE what = 'duration') USING (source, pipeline_id)
WHERE n_now > 0
ORDER BY ratio DESC NULLS LAST, total_ms DESC, source, pipeline_id
LIMIT {MOST}"""


def draw(found: Sequence[Found], period: Period) -> Chart | None:
    """`found` answers `query`."""
    if not found:
        return None
    names = names_of(found)
    ends = [value for row in found for values in (row["now_ms"], row["before_ms"]) if values for value in values]
    scale = _Scale(min(ends), max(ends))
    height = len(found) * _STEP
    ticks = sorted(scale.ticks())
    wording = Wording(period)
    regressed = [(number, row) for number, row in enumerate(found) if row["ratio"] is not None]
    marks = [
        rules([(x, -4, x, height, colour("line")) for _, x in ticks]),
        notes([(x, height + 14, wording.shown(ms, Kind.DURATION_MS)) for ms, x in ticks], align="center"),
        rules(list(_whiskers(found, scale)), 2),
        boxes(list(_bars(found, scale))),
        rules(list(_medians(found, scale)), 2.5),
        labels([fit(names[key_of(row)]) for row in found], _STEP, _MARGINS.left),
        texts(
            [
                (_MARGINS.width + _MARGINS.right - 2.0, number * _STEP + 20.0, wording.shown(row["ratio"], Kind.RATIO))
                for number, row in regressed
            ],
            align="right",
            fontWeight="bold",
            fill=colour("fail"),
        ),
        *_legend(),
    ]
    return chart(
        "durations",
        "How long runs take, now and before",
        _alt(found, names, wording),
        marks,
        height=height,
        margins=_MARGINS,
        columns=[
            Column("source"),
            Column("pipeline"),
            Column("median now", Kind.DURATION_MS),
            Column("95 % within", Kind.DURATION_MS),
            Column("runs now", Kind.COUNT),
            Column("median before", Kind.DURATION_MS),
            Column("runs before", Kind.COUNT),
            Column("slower", Kind.RATIO),
        ],
        rows=[
            Row(
                [
                    row["source"],
                    row["pipeline"],
                    row["now_ms"][2],
                    row["now_ms"][4],
                    row["n_now"],
                    row["before_ms"][2] if row["before_ms"] else None,
                    row["n_before"],
                    row["ratio"],
                ]
            )
            for row in found
        ],
        sql=query(period),
        note=part(
            len(found), found[0]["pipelines"], "pipelines: those that got slower, then those that take most time"
        ),
    )


class _Scale:
    """Milliseconds to pixels, by their logarithm; at least a factor of four wide."""

    def __init__(self, low: float, high: float) -> None:
        bottom, top = math.log10(max(1, low)), math.log10(max(1, high))
        wider = max(0.04 * (top - bottom), (math.log10(4) - (top - bottom)) / 2)
        self._bottom, self._top = bottom - wider, top + wider

    def __call__(self, ms: float) -> float:
        return (math.log10(max(1, ms)) - self._bottom) / (self._top - self._bottom) * _MARGINS.width

    def ticks(self) -> list[tuple[int, float]]:
        chosen: list[tuple[int, float]] = []
        for ms in _ROUND_MS:
            x = self(ms)
            if 0 <= x <= _MARGINS.width and all(abs(x - other) >= _APART for _, other in chosen):
                chosen.append((ms, x))
        return chosen


def _lanes(found: Sequence[Found]) -> Iterator[tuple[float, float, Sequence[float], str]]:
    """Top, height, percentiles and colour of each bar: before, a thin one above; now, a thicker one below."""
    for number, row in enumerate(found):
        top = number * _STEP
        if row["before_ms"]:
            yield top + 5, 5, row["before_ms"], colour("neutral")
        yield top + 14, 10, row["now_ms"], colour("pass" if row["ratio"] is None else "fail")


def _bars(found: Sequence[Found], scale: _Scale) -> Iterator[Box]:
    for top, height, (_, low, median, high, _), fill in _lanes(found):
        # Where all runs take as long as each other, the stroke would hide the bar.
        left, right = min(scale(low), scale(median) - 4), max(scale(high), scale(median) + 4)
        yield left, top, right, top + height, fill


def _whiskers(found: Sequence[Found], scale: _Scale) -> Iterator[Box]:
    for top, height, (low, _, _, _, high), stroke in _lanes(found):
        yield scale(low), top + height / 2, scale(high), top + height / 2, stroke


def _medians(found: Sequence[Found], scale: _Scale) -> Iterator[Box]:
    for top, height, (_, _, median, _, _), _ in _lanes(found):
        yield scale(median), top - 1.5, scale(median), top + height + 1.5, colour("ink")


def _legend() -> list[alt.Chart]:
    left = -_MARGINS.left
    return [
        *legend(
            [
                (colour("neutral"), f"the {BASELINE.days} days before"),
                (colour("pass"), "now"),
                (colour("fail"), "now, and slower: by how many times"),
            ],
            x=left,
            y=-38,
        ),
        notes([(left, -18, "Bar: the middle half of the runs. Line: 5 % to 95 %. Stroke: the median.")]),
    ]


def _alt(found: Sequence[Found], names: Mapping[Key, str], wording: Wording) -> str:
    slower = [row for row in found if row["ratio"] is not None]
    if not slower:
        return f"None of {some(found[0]['pipelines'], 'pipeline')} got notably slower."
    row = slower[0]
    median, before = (wording.shown(row[name][2], Kind.DURATION_MS) for name in ("now_ms", "before_ms"))
    more = f" {some(len(slower) - 1, 'other')} got slower too." if len(slower) > 1 else ""
    return (
        f"{fit(names[key_of(row)], 60)} takes {wording.shown(row['ratio'], Kind.RATIO)} as long as before: a median of "
        f"{median} where it was {before}.{more}"
    )
