"""A calendar of outcomes: a row for each pipeline, a column for each local day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import altair as alt

from runlake.formats import some
from runlake.report.asking import span
from runlake.report.charts.drawing import Box, Margins, boxes, chart, labels, legend, notes
from runlake.report.charts.theme import HATCH, colour
from runlake.report.charts.words import Found, Key, fit, key_of, names_of, part
from runlake.report.formats.wording import date_of
from runlake.report.model import Chart, Column, Kind, Row
from runlake.report.period import Period, midnight
from runlake.store.database import GAP_ABOVE, quoted

MOST = 25
DAYS = 42
"""As many as can be told apart on a phone; more, where the period itself has more."""
MOST_DAYS = 84

_MARGINS = Margins(top=46, bottom=24)
_STEP = 18
_WEEK_GAP = 4
_CLASSES = ((0.0, "none"), (0.5, "under 50 %"), (0.9, "under 90 %"), (1.0, "under 100 %"), (2.0, "all"))
"""Shares that succeeded: 0, then below each bound; of less than all never as of all."""


def days(period: Period) -> Period:
    """Those shown: whole weeks where the period is one."""
    count = min(MOST_DAYS, max(DAYS, period.days))
    return Period(period.end - timedelta(days=count), period.end, period.zone, period.known_at)


def query(period: Period) -> str:
    """The rows of the pipelines that are shown, `pipelines` of how many; those with most failures first, then runs."""
    return f"""\
SELECT source, vendor, pipeline_id, pipeline, day, runs, success, failure, neutral, success_rate, rank, pipelines
FROM (SELECT *, max(rank) OVER () AS pipelines
      FROM (SELECT *, dense_rank() OVER (ORDER BY failures DESC, all_runs DESC, source, pipeline_id) AS rank
            FROM (SELECT *, sum(failure) OVER one AS failures, sum(runs) OVER one AS all_runs
                  FROM outcomes_by_day({span(days(period))}, tz := {quoted(period.zone.key)}, among := 'known')
                  WINDOW one AS (PARTITION BY source, pipeline_id))))
WHERE rank <= {MOST}
ORDER BY rank, day"""


def draw(found: Sequence[Found], seen: Mapping[str, datetime | None], period: Period) -> Chart | None:
    """`found` answers `query`; `seen`: up to when each source was vouched for, as known then (None: never)."""
    if not found:
        return None
    shown = days(period)
    keys = list(dict.fromkeys(key_of(row) for row in found))
    names = names_of(found)
    columns = _columns(shown)
    cells = list(_cells(found, keys, columns))
    unseen = list(_unseen(keys, columns, seen, shown))
    height = len(keys) * _STEP
    marks = [
        boxes([(0, n * _STEP + 8.5, _MARGINS.width, n * _STEP + 9.5, colour("faint")) for n in range(len(keys))]),
        boxes([*cells, *unseen]),
        labels([fit(names[key]) for key in keys], _STEP, _MARGINS.left),
        notes(
            [
                (x, height + 13, date_of(day))
                for day, x in columns.items()
                if day.isoweekday() == 1 and x < _MARGINS.width - 40
            ]
        ),
        *_legend(bool(unseen)),
    ]
    count = found[0]["pipelines"]
    return chart(
        "calendar",
        "Outcomes by day",
        _alt(found, names, shown, count, bool(unseen)),
        marks,
        height=height,
        margins=_MARGINS,
        columns=[
            Column("source"),
            Column("pipeline"),
            Column("day", Kind.DAY),
            Column("runs", Kind.COUNT),
            Column("success", Kind.COUNT),
            Column("failure", Kind.COUNT),
            Column("success rate", Kind.SHARE),
        ],
        rows=[
            Row([row[name] for name in ("source", "pipeline", "day", "runs", "success", "failure", "success_rate")])
            # Days on which something failed are what the picture is looked at for.
            for row in sorted(found, key=lambda row: (not row["failure"], row["rank"]))
        ],
        sql=query(period),
        note=part(len(keys), count, "pipelines: those with most failures, then runs"),
    )


def _columns(shown: Period) -> dict[date, float]:
    """Where each day begins, in pixels, with a gap before each Monday."""
    all_days = [shown.first + timedelta(days=number) for number in range(shown.days)]
    gaps = [sum(day.isoweekday() == 1 for day in all_days[1 : number + 1]) for number in range(shown.days)]
    step = (_MARGINS.width - gaps[-1] * _WEEK_GAP) / shown.days
    return {day: number * step + gaps[number] * _WEEK_GAP for number, day in enumerate(all_days)}


def _width(columns: Mapping[date, float]) -> float:
    return (_MARGINS.width - max(columns.values())) - 1


def _cells(found: Sequence[Found], keys: Sequence[Key], columns: Mapping[date, float]) -> Iterator[Box]:
    place = {key: number * _STEP for number, key in enumerate(keys)}
    width = _width(columns)
    for row in found:
        x, y = columns[row["day"]], place[key_of(row)]
        rate = row["success_rate"]
        if rate is not None:
            number = next(n for n, (below, _) in enumerate(_CLASSES) if rate < below or rate == below == 0)
            yield x, y + 1, x + width, y + _STEP - 1, colour(f"rate-{number}")
        else:
            middle = x + width / 2
            yield middle - 2, y + 7, middle + 2, y + 11, colour("neutral")


def _unseen(
    keys: Sequence[Key], columns: Mapping[date, float], seen: Mapping[str, datetime | None], shown: Period
) -> Iterator[Box]:
    """Days of which a source was not seen to the end, but for those that had just come to theirs, or not yet."""
    width = _width(columns)
    ends = {day: midnight(day + timedelta(days=1), shown.zone) for day in columns}
    for number, (source, _) in enumerate(keys):
        if source not in seen:
            continue
        through = seen[source] or datetime.min.replace(tzinfo=UTC)
        for day, end in ends.items():
            if through < end <= shown.known_at - GAP_ABOVE:
                x = columns[day]
                yield x, number * _STEP + 1, x + width, (number + 1) * _STEP - 1, HATCH


def _legend(unseen: bool) -> list[alt.Chart]:
    left = -_MARGINS.left
    rates = [(colour(f"rate-{number}"), words) for number, (_, words) in enumerate(_CLASSES)]
    other = [("", "no run: blank")] + [(HATCH, "not seen to its end")] * unseen
    dot = boxes([(left + 4.0, -18.0, left + 8.0, -14.0, colour("neutral"))])
    return [
        *legend([("", "Succeeded:"), *rates], x=left, y=-36),
        dot,
        *legend([("", "none that succeeded or failed"), *other], x=left + 14, y=-16),
    ]


def _alt(found: Sequence[Found], names: Mapping[Key, str], shown: Period, count: int, unseen: bool) -> str:
    bad: Counter[Key] = Counter()
    for row in found:
        bad[key_of(row)] += row["failure"] > 0
    said = f"{some(count, 'pipeline')} over {some(shown.days, 'day')}."
    runs, failed = (sum(row[what] for row in found) for what in ("runs", "failure"))
    if failed:
        worst, on = bad.most_common(1)[0]
        said += (
            f" {some(failed, 'failure')} in {some(runs, 'run')} of those shown; {fit(names[worst], 60)} failed on the"
            f" most days: {on} of {shown.days}."
        )
    else:
        said += f" Nothing failed in {some(runs, 'run')}."
    return said + " Some days were not seen to their end." * unseen
