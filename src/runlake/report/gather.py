"""Asks the published copy for everything that a report says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from runlake.config import Config
from runlake.config.problems import there_is
from runlake.errors import ConfigError
from runlake.report.asking import Known, span
from runlake.report.figures import figures
from runlake.report.look_at import look_at
from runlake.report.model import Chart, Report
from runlake.report.period import Period
from runlake.report.scope import Scope
from runlake.report.sections import sections
from runlake.report.sight import is_new, of_sources, seen, warnings
from runlake.report.verdict import RULE, judged, totals
from runlake.store.database import METRICS
from runlake.store.query import Freshness, Reader


def build(reader: Reader, config: Config, period: Period, scope: Scope, *, pictures: bool = True) -> Report:
    """The report of a period as known at its `known_at`: the same one whenever it is asked for.

    Leaves the temporary tables `known` and `known_steps` on the reader. Without `pictures`, which take a second or two,
    it has no charts. Raises ConfigError where the scope names a source or an owner that there is not.
    """
    fresh = reader.freshness()
    _require_sources(fresh, scope)
    known = Known(reader, period, scope.condition(config.owner))
    sources = seen(known, period, of_sources(scope))
    earliest = known.value("SELECT min(created_at) FROM known")
    new = is_new(period, earliest)
    unknown = known.value(
        f"SELECT count(*) FILTER (status = 'unknown') FROM runs_between({span(period)}, among := 'known')"
    )
    # Whatever could be seen up to the end could be seen before.
    compared = [each.source for each in sources if each.whole]
    direction, verdict = judged(
        period,
        totals(known, period, compared),
        totals(known, period.before, compared),
        compared=compared,
        left_out=[each.source for each in sources if not each.whole],
        is_new=new,
    )
    listed = sections(known, period, scope)
    at_the_top = list(figures(known, period, is_new=new))
    charts = _charts(reader, period, known) if pictures else []
    return Report(
        title=f"Runs of {period.name}",
        period=period,
        scope=scope.said,
        direction=direction,
        verdict=verdict,
        look_at=look_at(known, period, sources, listed),
        figures=at_the_top,
        warnings=list(
            warnings(period, sources, unknown=unknown, earliest=earliest, is_kept=_is_kept(fresh, config, period))
        ),
        sections=listed,
        charts=charts,
        definitions={
            "better or worse": RULE,
            **_definitions(
                known,
                [*(each.sql for each in at_the_top), *(each.sql for each in listed), *(each.sql for each in charts)],
            ),
        },
    )


def _is_kept(fresh: Freshness, config: Config, period: Period) -> bool:
    """Whether all that was known then still is."""
    keep = config.daemon.keep_snapshots
    return keep is None or period.known_at >= fresh.as_of - keep


def _require_sources(fresh: Freshness, scope: Scope) -> None:
    known = sorted(fresh.observed_through)
    if scope.sources and known and not any(map(scope.has_source, known)):
        raise ConfigError(f"no source '{', '.join(scope.sources)}' in the ledger; {there_is(scope.sources[0], known)}")


def _charts(reader: Reader, period: Period, known: Known) -> list[Chart]:
    from runlake.report.charts import draw  # noqa: PLC0415 (a second, for those who want pictures)

    return [replace(chart, sql=known.sql(chart.sql)) for chart in draw(reader, period)]


def _definitions(known: Known, asked: Iterable[str]) -> dict[str, str]:
    """In the ledger's own words and the order of docs/metrics.md, of the metrics that were asked; but for those which
    say what was known then, as the top of the report does."""
    used = {word for select in asked for word in re.findall(r"\b([a-z]\w*)\(", select)}
    used -= {"runs_at", "failed_steps_at"}
    comments = known.read("SELECT function_name AS name, comment FROM duckdb_functions() WHERE NOT internal")
    said = {row["name"]: row["comment"] for row in comments}
    return {name: said[name] for name in METRICS if name in used}
