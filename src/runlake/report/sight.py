"""What could be seen of each source, and so what the figures of a report cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runlake.formats import some
from runlake.report.asking import Known, at, span
from runlake.report.formats.wording import Wording, line, listing
from runlake.report.model import Kind
from runlake.report.period import Period
from runlake.report.scope import Scope, like


@dataclass(frozen=True, slots=True)
class Seen:
    """A source in a period. `unseen_ms` and `observed_through` are None where it was never seen whole, `missing` where
    it was never compared with the vendor's own list."""

    source: str
    whole: bool
    observed_through: datetime | None
    unseen_ms: int | None
    expected: int | None
    missing: int | None


def of_sources(scope: Scope) -> str:
    """The condition on `source` for those that a report is about."""
    said = [like("source", scope.sources)] if scope.sources else []
    if scope.of_runs:
        said.append("source IN (SELECT source FROM known)")
    return "\n  AND ".join(said) or "true"


def seen(known: Known, period: Period, sources: str) -> list[Seen]:
    """In the order of their names. `sources`: a condition on these."""
    found = known.read(
        f"SELECT source, seen_whole AS whole, observed_through, unseen_ms, expected, missing "
        f"FROM source_coverage({span(period)}, known_at := {at(period.known_at)}) WHERE {sources} ORDER BY source"
    )
    return [Seen(**row) for row in found]


def warnings(
    period: Period, sources: Sequence[Seen], *, unknown: int, earliest: datetime | None, is_kept: bool = True
) -> Iterator[str]:
    """Sentences on what makes the figures less than whole. `earliest`: when the first run known was created; `unknown`:
    how many have a status word without a mapping; `is_kept`: all that was known then still is."""
    wording = Wording(period)
    if not is_kept:
        yield "What was known then is no longer kept (keep_snapshots): runs that changed later are missing here."
    if not period.is_over:
        yield f"{period.name} is not over: these are the figures of {wording.instant(period.known_at)}."
    blind: dict[str, list[str]] = {}
    for each in sources:
        if not each.whole:
            blind.setdefault(unseen(each, period), []).append(each.source)
    for how, names in blind.items():
        yield f"{listing(names)} {how}; runs of that time may be missing here."
    for each in sources:
        if each.missing:
            yield (
                f"{line(each.source, 80)}: {some(each.missing, 'run')} of the {each.expected or 0:,} that its vendor "
                "lists had not been stored."
            )
    if unknown:
        have, count = ("has", "counts") if unknown == 1 else ("have", "count")
        yield f"{some(unknown, 'run')} {have} a status word without a mapping, and {count} neither way."
    if earliest is None:
        yield "No run is known, neither of this time nor of the weeks before."
    elif is_new(period, earliest):
        yield (
            f"No run is known from before {wording.instant(earliest)}: there is too little to compare with, and what "
            "failed looks new."
        )


def is_new(period: Period, earliest: datetime | None) -> bool:
    """Whether less is known than the period before it."""
    return earliest is None or earliest > period.before.since + timedelta(days=1)


def unseen(source: Seen, period: Period) -> str:
    """What could not be seen of it, or of several, after their names."""
    if source.observed_through is None or source.unseen_ms is None:
        return "could never be seen whole"
    if source.observed_through <= period.since:
        return "could not be seen at all"
    return f"could not be seen for {Wording(period).shown(source.unseen_ms, Kind.DURATION_MS)}"
