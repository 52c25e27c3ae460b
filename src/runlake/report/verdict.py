"""Better or worse than before, by a rule that a reader can check."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import sqrt

from runlake.formats import some
from runlake.report.asking import Known, span
from runlake.report.formats.wording import Wording, listing
from runlake.report.model import Direction, Kind
from runlake.report.period import Period

SIGNIFICANT = 2.0
"""Standard errors by which success rates have to differ: once in twenty weeks chance alone does that."""

LEANING = 1.0
"""From so many on they lean to one side."""

FEW = 5
"""Below so many rated runs on either side only a difference that is SIGNIFICANT all the same says anything."""

NOTABLE = 0.25
"""By what part of the larger one failing pipelines, or time lost, have to differ …"""

LEAST_PIPELINES = 2
LEAST_LOST_MS = 3_600_000
"""… and by how much at least."""

RULE = (
    "Better or worse is said of the sources that could be seen whole: by the success rate where it "
    f"differs by {SIGNIFICANT:g} standard errors or more; else by the pipelines whose last rated run failed, where "
    f"they differ by {LEAST_PIPELINES} and by {NOTABLE * 100:g} % or more, and by the time lost, where it differs by "
    f"an hour and by {NOTABLE * 100:g} % or more: where these, and the success rate if it differs by {LEANING:g} "
    "standard error or more, all point the same way. Else it is about the same."
)


@dataclass(frozen=True, slots=True)
class Totals:
    """`failing`: pipelines whose last rated run failed."""

    success: int = 0
    failure: int = 0
    wasted_ms: int = 0
    failing: int = 0

    @property
    def rated(self) -> int:
        return self.success + self.failure


def totals(known: Known, period: Period, sources: Collection[str]) -> Totals:
    """Of these sources."""
    runs = known.read(
        f"SELECT source, success, failure, coalesce(wasted_ms, 0) AS wasted_ms "
        f"FROM source_stats({span(period)}, among := 'known')"
    )
    failing = known.read(
        f"SELECT source, count(*) AS failing FROM recoveries({span(period)}, among := 'known') "
        "WHERE recovered_at IS NULL GROUP BY source"
    )
    chosen = [row for row in runs if row["source"] in sources]
    return Totals(
        success=sum(row["success"] for row in chosen),
        failure=sum(row["failure"] for row in chosen),
        wasted_ms=sum(int(row["wasted_ms"]) for row in chosen),
        failing=sum(row["failing"] for row in failing if row["source"] in sources),
    )


def judged(
    period: Period, now: Totals, before: Totals, *, compared: Collection[str], left_out: Sequence[str], is_new: bool
) -> tuple[Direction, str]:
    """The direction, and the numbers behind it. Those `left_out` could not be seen whole."""
    wording = Wording(period)
    earlier = "the week before" if period.is_week else "the day before" if period.days == 1 else "the days before"
    without = f" Left out: {listing(left_out)}, not seen whole." if left_out else ""
    if left_out and not compared:
        return Direction.UNKNOWN, "No source could be seen whole: nothing can be compared."
    if not now.rated:
        of = " of the sources seen whole" if left_out else ""
        return Direction.UNKNOWN, f"No run{of} succeeded or failed in {period.name}.{without}"
    rate = f"{wording.shown(now.success / now.rated, Kind.SHARE)} of {some(now.rated, 'rated run')} succeeded"
    if is_new or not before.rated:
        return Direction.UNKNOWN, f"{rate}; too little is known of {earlier} to compare it with.{without}"
    rates = f"{rate}, {wording.shown(before.success / before.rated, Kind.SHARE)} of {before.rated:,} {earlier}"
    z = standard_errors(now, before)
    if abs(z) >= SIGNIFICANT:
        return _toward(z > 0), f"{rates}.{without}"
    if min(now.rated, before.rated) < FEW:
        return Direction.UNKNOWN, f"{rates}: too few to tell.{without}"
    # A few long runs can be lost in a week in which all went better, or the other way round: none decides alone.
    found: list[tuple[bool, str]] = []
    if _differs(now.failing, before.failing, LEAST_PIPELINES):
        ends = "fails" if now.failing == 1 else "fail"
        said = f"{some(now.failing, 'pipeline')} {ends} at the end of it, {before.failing:,} at the end of {earlier}"
        found.append((now.failing < before.failing, said))
    if _differs(now.wasted_ms, before.wasted_ms, LEAST_LOST_MS):
        lost = [wording.shown(each.wasted_ms, Kind.DURATION_MS) for each in (now, before)]
        said = f"{lost[0]} lost to runs that came to nothing, {lost[1]} {earlier}"
        found.append((now.wasted_ms < before.wasted_ms, said))
    ways = {better for better, _ in found} | ({z > 0} if abs(z) >= LEANING else set())
    told = "; ".join([*(said for _, said in found), rates])
    if len(ways) > 1:
        return Direction.SAME, f"Partly better, partly worse: {told}.{without}"
    if found:
        return _toward(ways.pop()), f"{told}.{without}"
    return Direction.SAME, f"{told}{'; so much may be chance' if ways else ''}.{without}"


def standard_errors(now: Totals, before: Totals) -> float:
    """By how many of them the success rates differ: the z of two proportions, pooled; 0 where all runs ended alike."""
    pooled = (now.success + before.success) / (now.rated + before.rated)
    error = sqrt(pooled * (1 - pooled) * (1 / now.rated + 1 / before.rated))
    return (now.success / now.rated - before.success / before.rated) / error if error else 0.0


def _differs(now: int, before: int, least: int) -> bool:
    return abs(now - before) >= max(least, NOTABLE * max(now, before))


def _toward(better: bool) -> Direction:
    return Direction.BETTER if better else Direction.WORSE
