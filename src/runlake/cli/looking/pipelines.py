"""`pipelines`: how each pipeline does, those that fail first."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from runlake.cli import show
from runlake.cli.looking.asked import Asked, require_sources
from runlake.cli.looking.layout import Column, Line, lay_out, width, write
from runlake.cli.reading import as_of
from runlake.cli.show import Format
from runlake.config import Config
from runlake.formats import lasting, some
from runlake.report.formats.wording import percent
from runlake.store.query import Reader

# All of a pipeline's figures are the metrics' own: see docs/metrics.md.
_FIGURES = """
WITH _looked_at AS (FROM runs WHERE {where})
SELECT p.* EXCLUDE (observed_through, missing_runs), s.failures AS streak, s.began_at AS failing_since,
       p.observed_through, p.missing_runs
FROM pipeline_stats($since, $until, among := '_looked_at') p
LEFT JOIN (FROM recoveries($since, $until, among := '_looked_at') WHERE recovered_at IS NULL) s
  USING (source, pipeline_id)
WHERE NOT $failing OR s.failures > 0
ORDER BY streak DESC NULLS LAST, source, pipeline, pipeline_id
"""


def pipelines(config: Config, asked: Asked, format_: Format, *, failing: bool) -> None:
    """Of each pipeline with a run among those asked for, on stdout; `asked.since` is there."""
    with Reader(config.database) as reader:
        fresh = reader.freshness()
        require_sources(asked.scope.sources, config, fresh)
        where, values = asked.where()
        values = {"until": datetime.now(UTC), **values, "failing": failing}
        found = reader.read(_FIGURES.format(where=where), **values)
        if format_ is Format.JSON:
            show.json_rows(list(found[0]) if found else [], [list(row.values()) for row in found])
        elif found:
            write(lay_out(_heads(), [_line(row) for row in found], width()))
        else:
            since = f"{show.local(values['since'], seconds=False)} {show.zone()}"
            sys.stdout.write("no pipeline fails\n" if failing else f"no pipeline has run since {since}\n")
        tell_missing(found)
        as_of(fresh)


def _heads() -> list[Column]:
    return [
        Column("source", least=8, goes=2),
        Column("pipeline", least=22),
        Column("runs", right=True, goes=5),
        Column("success rate", right=True, goes=1),
        Column("median", right=True, goes=4),
        Column(f"last run ({show.zone()})", goes=3),
        Column("last", least=9, styled=True),
        Column("fails", right=True, goes=1),
    ]


def _line(row: dict[str, Any]) -> Line:
    p50, rate = row["p50_ms"], row["success_rate"]
    return Line(
        [
            row["source"],
            row["pipeline"],
            f"{row['runs']:,}",
            "" if rate is None else f"{percent(rate)} of {row['success'] + row['failure']:,}",
            "" if p50 is None else lasting(timedelta(milliseconds=p50)),
            show.local(row["last_run_at"], seconds=False),
            row["last_status"],
            "" if row["streak"] is None else some(row["streak"], "run"),
        ]
    )


def tell_missing(found: list[dict[str, Any]]) -> None:
    """Where a comparison with the vendor's list has found that runs are missing, the figures are of the others."""
    for source in sorted({row["source"] for row in found}):
        if missing := sum(row["missing_runs"] or 0 for row in found if row["source"] == source):
            show.note(
                f"{source}: without {some(int(missing), 'run')} that its vendor lists; see: runlake coverage {source}"
            )
