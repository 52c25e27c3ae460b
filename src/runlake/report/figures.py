"""The few numbers at the top of a report, each beside what it was in the period before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runlake.report.asking import Known, at, span
from runlake.report.model import Figure, Kind
from runlake.report.period import Period

_RUNS = "runs_between({span}, among := 'known')"
_STREAKS = "recoveries({span}, among := 'known')"


@dataclass(frozen=True, slots=True)
class _Number:
    """`expression` over `rows`: a metric, with `{span}` for the period."""

    name: str
    kind: Kind
    good: bool | None
    expression: str
    rows: str = _RUNS

    def sql(self, period: Period) -> str:
        return f"SELECT {self.expression}\n  FROM {self.rows.format(span=span(period))}"


def figures(known: Known, period: Period, *, is_new: bool) -> Iterator[Figure]:
    """`is_new`: less is known than the period before; what little is known of that is nothing to compare with."""
    for number in _numbers(period):
        now = number.sql(period)
        before = "SELECT NULL" if is_new else number.sql(period.before)
        yield Figure(
            name=number.name,
            kind=number.kind,
            value=_float(known.value(now)),
            before=_float(known.value(before)),
            good=number.good,
            sql=known.sql(f'SELECT\n ({now}) AS "{number.name}",\n ({before}) AS "before"'),
        )


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _numbers(period: Period) -> Iterator[_Number]:
    waits = f"waits({{span}}, among := 'known', known_at := {at(period.known_at)})"
    failing = "count(*) FILTER (recovered_at IS NULL)"
    yield _Number("runs", Kind.COUNT, None, "count(*)")
    yield _Number("success rate", Kind.SHARE, True, "success_rate(outcome)")
    yield _Number("failures", Kind.COUNT, False, "count(*) FILTER (outcome = 'failure')")
    yield _Number("pipelines failing at the end", Kind.COUNT, False, failing, _STREAKS)
    yield _Number("time lost", Kind.DURATION_MS, False, "coalesce(sum(wasted_ms), 0)::BIGINT")
    yield _Number("median recovery", Kind.DURATION_MS, False, "median(recovery_ms)", _STREAKS)
    yield _Number("longest wait for people", Kind.DURATION_MS, False, "max(waited_ms)", waits)
