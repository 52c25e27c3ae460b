"""The few numbers at the top of a report, each beside what it was in the period before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runlake.report.asking import Known, at, span
from runlake.report.model import Figure, Kind
from runlake.report.period import Period


@dataclass(frozen=True, slots=True)
class _Number:
    """`expression` over `rows`, a metric whose parameters begin with the period."""

    name: str
    kind: Kind
    good: bool | None
    expression: str
    metric: str = "runs_between"
    more: str = ""
    where: str = ""

    def sql(self, period: Period) -> str:
        return (
            f"SELECT {self.expression}\n  FROM {self.metric}({span(period)}, among := 'known'{self.more}){self.where}"
        )


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


def _float(value: object) -> float | None:
    return None if value is None else float(str(value))


def _numbers(period: Period) -> Iterator[_Number]:
    yield _Number("runs", Kind.COUNT, None, "count(*)")
    yield _Number("success rate", Kind.SHARE, True, "success_rate(outcome)")
    yield _Number("failures", Kind.COUNT, False, "count(*) FILTER (outcome = 'failure')")
    yield _Number(
        "pipelines failing at the end",
        Kind.COUNT,
        False,
        "count(*)",
        "recoveries",
        where="\n  WHERE recovered_at IS NULL",
    )
    yield _Number("time lost", Kind.DURATION_MS, False, "coalesce(sum(wasted_ms), 0)::BIGINT")
    yield _Number("median recovery", Kind.DURATION_MS, False, "median(recovery_ms)", "recoveries")
    yield _Number(
        "longest wait for people", Kind.DURATION_MS, False, "max(waited_ms)", "waits",
        more=f", known_at := {at(period.known_at)}",
    )  # fmt: skip
