"""The three things to look at: one of each sort in the order of how much it matters, then the next of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from runlake.formats import some
from runlake.model import RunStatus
from runlake.report.asking import Known, at, span
from runlake.report.formats.wording import Wording, line
from runlake.report.model import Item, Kind, Section
from runlake.report.period import Period
from runlake.report.sight import Seen, unseen

MOST = 3

LONG_WAIT = timedelta(days=1)

_NO_ERROR = (RunStatus.FAILED, RunStatus.TIMED_OUT)
"""What failure_changes says of runs without an error."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What `subjects` (each a source and a pipeline's name, or a source) are to be looked at for: each is told of
    once."""

    subjects: set[tuple[str, str | None]]
    item: Item


def look_at(known: Known, period: Period, sources: Sequence[Seen], listed: Sequence[Section]) -> list[Item]:
    """`listed` are the report's sections."""
    sorts = [
        _unseen(period, sources),
        _newly_failing(known, period),
        _less_reliable(listed, period),
        _still_failing(known, period),
        _waiting(known, period),
        _slower(listed, period),
        _missing(sources),
    ]
    told: set[tuple[str, str | None]] = set()
    items: list[Item] = []
    while sorts and len(items) < MOST:
        for sort in list(sorts):
            found = next((each for each in sort if not each.subjects <= told), None)
            if found is None:
                sorts.remove(sort)
            else:
                told |= found.subjects
                items.append(found.item)
    return items[:MOST]


def _unseen(period: Period, sources: Sequence[Seen]) -> Iterator[_Found]:
    """The one that was seen least first."""
    blind = sorted(
        (each for each in sources if not each.whole),
        key=lambda each: (each.unseen_ms is not None, -(each.unseen_ms or 0), each.source),
    )
    for each in blind:
        said = f"{line(each.source, 80)} {unseen(each, period)}: nobody knows how its runs of that time went."
        yield _Found({(each.source, None)}, Item(said, "coverage"))


def _newly_failing(known: Known, period: Period) -> Iterator[_Found]:
    """By the error of the last run: one that failed with a new error and then with an old one is still failing. What
    fails at one source with one error is told as one: a secret that has expired, a server that is gone."""
    wording = Wording(period)
    rows = known.read(
        f"""
        SELECT source, signature, list(pipeline ORDER BY failures DESC, pipeline_id) AS pipelines,
               sum(failures)::BIGINT AS failures, min(first_at) AS first_at, max_by(url, (last_at, pipeline_id)) AS url
        FROM (
          SELECT n.* FROM failure_changes({span(period)}, among := 'known') n
          JOIN recoveries({span(period)}, among := 'known') r USING (source, pipeline_id)
          WHERE n.failures > 0 AND r.recovered_at IS NULL
          QUALIFY n.change = 'new'
            AND row_number() OVER (PARTITION BY n.source, n.pipeline_id ORDER BY n.last_at DESC, n.signature) = 1)
        GROUP BY source, signature ORDER BY failures DESC, source, signature LIMIT {MOST}
        """
    )
    for row in rows:
        first, *others = row["pipelines"]
        more = f" and {some(len(others), 'more pipeline')}" if others else ""
        who = f"{_called(first)}{more} ({line(row['source'], 80)}) {'are' if others else 'is'} failing"
        failures = f"{some(row['failures'], 'failure')} since {wording.instant(row['first_at'])}"
        # Where a vendor tells no error, what is known is that it did not fail before.
        said = (
            f"{who}, which is new: {failures}"
            if row["signature"] in _NO_ERROR
            else f"{who} with a new error: {failures}, {line(row['signature'], 120)}"
        )
        subjects = {(row["source"], pipeline) for pipeline in row["pipelines"]}
        yield _Found(subjects, Item(said, "new_failures", row["url"]))


def _still_failing(known: Known, period: Period) -> Iterator[_Found]:
    wording = Wording(period)
    rows = known.read(
        f"""
        SELECT source, pipeline_id, pipeline, failures, began_at, first_url
        FROM recoveries({at(period.history.since)}, {at(period.until)}, among := 'known')
        WHERE recovered_at IS NULL AND (source, pipeline_id) IN (
          SELECT (source, pipeline_id) FROM recoveries({span(period)}, among := 'known') WHERE recovered_at IS NULL)
        ORDER BY failures DESC, source, pipeline_id LIMIT {MOST}
        """
    )
    for row in rows:
        failing = "still failing" if row["began_at"] < period.since else "failing"
        runs = some(row["failures"], "run") + (" in a row" if row["failures"] > 1 else "")
        said = f"{_name(row)} is {failing}: {runs} since {wording.instant(row['began_at'])}"
        yield _about(row, said, "recurring_failures", row["first_url"])


def _less_reliable(listed: Sequence[Section], period: Period) -> Iterator[_Found]:
    wording = Wording(period)
    for row in _rows(listed, "less_reliable"):
        rates = [wording.shown(row[when], Kind.SHARE) for when in ("success rate", "before")]
        said = f"{_name(row)} succeeds in {rates[0]} of its {row['runs']:,} runs, {rates[1]} before"
        yield _about(row, said, "less_reliable", row["url"])


def _slower(listed: Sequence[Section], period: Period) -> Iterator[_Found]:
    wording = Wording(period)
    for row in _rows(listed, "slower"):
        medians = [wording.shown(row[when], Kind.DURATION_MS) for when in ("median", "before")]
        yield _about(row, f"{_name(row)} takes {medians[0]} (median), {medians[1]} before", "slower", row["url"])


def _rows(listed: Sequence[Section], key: str) -> list[dict[str, Any]]:
    """Those of one section, by the names of its columns."""
    return [
        {**dict(zip((column.name for column in section.columns), row.values, strict=True)), "url": row.url}
        for section in listed
        if section.key == key
        for row in section.rows
    ]


def _waiting(known: Known, period: Period) -> Iterator[_Found]:
    wording = Wording(period)
    rows = known.read(
        f"""
        SELECT source, pipeline_id, pipeline, run_id, waiting_from, waited_ms, url
        FROM waits({span(period)}, among := 'known', known_at := {at(period.known_at)})
        WHERE waiting_to IS NULL AND waited_ms >= {LONG_WAIT // timedelta(milliseconds=1)}
        ORDER BY waited_ms DESC, source, pipeline_id, run_id, run_key LIMIT {MOST}
        """
    )
    for row in rows:
        waits = f"waits for somebody since {wording.instant(row['waiting_from'])}"
        yield _about(row, f"A run of {_name(row)} {waits} ({line(row['run_id'], 60)})", "waits", row["url"])


def _missing(sources: Sequence[Seen]) -> Iterator[_Found]:
    for each in sorted(sources, key=lambda each: (-(each.missing or 0), each.source)):
        if each.missing:
            said = f"{line(each.source, 80)} lacks {some(each.missing, 'run')} that its vendor lists"
            yield _Found({(each.source, None)}, Item(said, "coverage"))


def _about(row: Mapping[str, Any], said: str, section: str, url: str | None) -> _Found:
    return _Found({(row["source"], row["pipeline"])}, Item(said, section, url))


def _name(row: Mapping[str, Any]) -> str:
    return f"{_called(row['pipeline'])} ({line(row['source'], 80)})"


def _called(pipeline: str) -> str:
    """Of a name made of what cannot be seen, nothing is left."""
    return line(pipeline, 80) or "(no name)"
