"""When each pipeline ran: a strip of time for each, with the runs of the period on it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby, pairwise
from operator import itemgetter

from runlake.formats import some
from runlake.report.asking import at, span
from runlake.report.charts.drawing import Box, Margins, boxes, chart, labels, legend, notes, rules
from runlake.report.charts.theme import HATCH, colour
from runlake.report.charts.words import Found, Key, fit, key_of, names_of, part
from runlake.report.formats.wording import WEEKDAYS, date_of
from runlake.report.model import Chart, Column, Kind, Row
from runlake.report.period import Period, midnight

MOST = 20

_MARGINS = Margins(top=30, bottom=26)
_STEP = 20
_SLOTS = _MARGINS.width * 2
"""Time is cut into slots of half a pixel, in the database: a million runs are drawn as few."""


@dataclass(frozen=True, slots=True)
class _Look:
    fill: str
    height: int
    least: int
    """Slots that a mark takes at least."""
    words: str


_LOOKS = {
    # From the lowest layer to the highest. Heights differ too: colour is not all that tells them apart.
    "success": _Look(colour("pass"), 9, 2, "succeeded"),
    "neutral": _Look(colour("neutral"), 5, 3, "cancelled or skipped"),
    "open": _Look(colour("open"), 9, 3, "not ended"),
    "waiting": _Look(HATCH, 14, 6, "waiting"),
    "failure": _Look(colour("fail"), 16, 4, "failed"),
}


def query(period: Period) -> str:
    """Of the pipelines shown, how many runs begin and end in the same slots with the same outcome. What is open lasts
    until then, what waits for somebody is also open. A run that ended elsewhere is cut at the period's end."""
    slot = f"{(period.until - period.since).total_seconds() / _SLOTS!r}"

    def slot_of(instant: str) -> str:
        return f"floor(epoch({instant} - TIMESTAMPTZ {at(period.since)}) / {slot})::INTEGER"

    return f"""\
SELECT source, vendor, pipeline_id, pipeline, rank, pipelines, what, greatest(0, {slot_of("began")}) AS slot_from,
       least({_SLOTS}, {slot_of("ended")}) AS slot_to, sum(runs)::BIGINT AS runs
FROM (SELECT source, pipeline_id, coalesce(outcome, if(status = 'waiting', status, 'open')) AS what,
             coalesce(started_at, created_at) AS began,
             coalesce(finished_at, if(outcome IS NULL, TIMESTAMPTZ {at(period.known_at)}, NULL), began) AS ended,
             1 AS runs
      FROM runs_between({span(period)}, among := 'known')
      UNION ALL
      SELECT source, pipeline_id, 'waiting', waiting_from, coalesce(waiting_to, TIMESTAMPTZ {at(period.known_at)}), 0
      FROM waits({span(period)}, among := 'known', known_at := {at(period.known_at)}))
JOIN (SELECT source, vendor, pipeline_id, pipeline,
             row_number() OVER (ORDER BY failure DESC, runs DESC, source, pipeline_id) AS rank,
             count(*) OVER () AS pipelines
      FROM pipeline_stats({span(period)}, among := 'known')
      QUALIFY rank <= {MOST}) USING (source, pipeline_id)
GROUP BY ALL ORDER BY rank, what, slot_from, slot_to"""


def draw(found: Sequence[Found], period: Period) -> Chart | None:
    """`found` answers `query`."""
    if not found:
        return None
    keys = list(dict.fromkeys(key_of(row) for row in found))
    names = names_of(found)
    height = len(keys) * _STEP
    days = list(_days(period))
    edges = [*(x for x, _ in days), _MARGINS.width]
    middles = [(left + right) / 2 for left, right in pairwise(edges)]
    marks = [
        rules([(x, -2, x, height + 3, colour("line")) for x in edges]),
        notes([(x, height + 16, name) for x, (_, name) in zip(middles, days, strict=True) if name], align="center"),
        boxes([(0, y - 0.5, _MARGINS.width, y + 0.5, colour("line")) for y in _middles(len(keys))]),
        *(boxes(_marks(found, keys, what)) for what in _LOOKS),
        labels([fit(names[key]) for key in keys], _STEP, _MARGINS.left),
        *legend(
            [(look.fill, look.words) for what, look in _LOOKS.items() if any(row["what"] == what for row in found)],
            x=-_MARGINS.left,
            y=-18,
        ),
    ]
    return chart(
        "strip",
        "When they ran",
        _alt(found, names, period),
        marks,
        height=height,
        margins=_MARGINS,
        columns=[
            Column("source"),
            Column("pipeline"),
            *(Column(name, Kind.COUNT) for name in ("runs", "success", "failure", "neutral", "open")),
        ],
        rows=list(_rows(found)),
        sql=query(period),
        note=part(len(keys), found[0]["pipelines"], "pipelines: those with most failures, then runs"),
    )


def _days(period: Period) -> Iterator[tuple[float, str]]:
    """Where each local day begins, and its name; of many days only some have one."""
    length = period.until - period.since
    every = -(-period.days // 8)
    for number in range(period.days):
        day = period.first + timedelta(days=number)
        x = (midnight(day, period.zone) - period.since) / length * _MARGINS.width
        name = f"{WEEKDAYS[day.weekday()]} {day.day}" if every == 1 else date_of(day)
        yield x, name if number % every == 0 else ""


def _middles(count: int) -> Iterator[float]:
    return ((number + 0.5) * _STEP for number in range(count))


def _marks(found: Iterable[Found], keys: Sequence[Key], what: str) -> Iterator[Box]:
    """Of each pipeline, the stretches of time in which some run was so: what touches is one mark."""
    look = _LOOKS[what]
    spans: defaultdict[Key, list[tuple[int, int]]] = defaultdict(list)
    for row in found:
        if row["what"] == what:
            begin = min(row["slot_from"], _SLOTS - look.least)
            spans[key_of(row)].append((begin, max(row["slot_to"], begin + look.least)))
    for key, y in zip(keys, _middles(len(keys)), strict=True):
        for begin, end in _joined(sorted(spans[key])):
            yield begin / 2, y - look.height / 2, end / 2, y + look.height / 2, look.fill


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in spans:
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined


def _rows(found: Sequence[Found]) -> Iterator[Row]:
    for _, group in groupby(found, key=itemgetter("rank")):
        rows = list(group)
        runs: Counter[str] = Counter()
        for row in rows:
            runs[row["what"]] += row["runs"]
        each = [runs["success"], runs["failure"], runs["neutral"], runs["open"] + runs["waiting"]]
        yield Row([rows[0]["source"], rows[0]["pipeline"], sum(each), *each])


def _alt(found: Sequence[Found], names: Mapping[Key, str], period: Period) -> str:
    runs: Counter[str] = Counter()
    failed: Counter[Key] = Counter()
    for row in found:
        runs[row["what"]] += row["runs"]
        if row["what"] == "failure":
            failed[key_of(row)] += row["runs"]
    shown = some(sum(runs.values()), "run")
    if not failed:
        return f"{shown} of {some(len(names), 'pipeline')} through {period.name}; none failed."
    worst, count = failed.most_common(1)[0]
    going = runs["open"] + runs["waiting"]
    still = f" {some(going, 'run')} had not ended." if going else ""
    return (
        f"{shown} of {some(len(names), 'pipeline')} through {period.name}; {runs['failure']:,} failed, "
        f"{count:,} of them of {fit(names[worst], 60)}.{still}"
    )
