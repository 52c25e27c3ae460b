"""What alerting sees of each source: how far it is known, and what is the matter with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from runlake.store.books import rows
from runlake.store.given import given

STEPS_FOR = timedelta(days=30)
"""How far back steps are looked at for status words without a mapping; runs are however old they are."""

COMPARED_FOR = timedelta(days=7)
"""How long a comparison with a vendor's list counts, unless its day is compared again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownWord:
    """A vendor's status word without a mapping; `level` is run or step."""

    level: str
    word: str
    config_line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Runs of a pipeline and UTC day that the vendor lists and that the ledger still lacks."""

    pipeline_id: str
    day: str
    run_ids: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSource:
    """How far we have seen a source, and what is the matter with it. Syncs are its regular ones; the last is the last
    that came to an end by itself: one that runs, or that died with its process, says nothing of the source."""

    source: str
    vendor: str
    observed_through: datetime | None = None
    """Up to when every run of it is known; None until a first sync is complete."""
    looked_at: datetime | None = None
    """When the last sync began that was answered, if only in part; not before `observed_through`."""
    first_synced_at: datetime | None = None
    """When the first complete sync began: what ended before is history, not news."""
    last_at: datetime | None = None
    """When the last sync began."""
    last_outcome: str | None = None
    """ok, partial or failed."""
    error_class: str | None = None
    error: str | None = None
    failing_since: datetime | None = None
    """When the first of the failed syncs since the last answered one began."""
    failures: int = 0
    words: Sequence[UnknownWord] = ()
    gaps: Sequence[Gap] = ()


def sources(con: duckdb.DuckDBPyConnection) -> dict[str, SeenSource]:
    """All that were ever synced, by name. What is recent is so by the last sync of any of them, not by a clock."""
    found = {row["source"]: row for row in rows(con, _SOURCES)}
    last_at = max((row["last_at"] for row in found.values() if row["last_at"] is not None), default=None)
    if last_at is not None:
        for source, level, word, config_line in con.execute(_WORDS, [last_at - STEPS_FOR]).fetchall():
            if source in found:
                word_of = UnknownWord(level=level, word=word, config_line=config_line)
                found[source].setdefault("words", []).append(word_of)
        for source, pipeline_id, day, run_ids in _gaps(con, last_at - COMPARED_FOR):
            if source in found:
                gap = Gap(pipeline_id=pipeline_id, day=str(day), run_ids=run_ids)
                found[source].setdefault("gaps", []).append(gap)
    return {source: SeenSource(**row) for source, row in found.items()}


def _gaps(con: duckdb.DuckDBPyConnection, since: datetime) -> list[tuple[str, str, str, list[str]]]:
    lacking = con.execute(_LACKING, [since]).fetchall()
    if not lacking:
        return []
    names, pipelines, days, run_ids = zip(*lacking, strict=True)
    with given(con, "lacking", source=names, pipeline_id=pipelines, day=days, run_id=run_ids):
        return con.execute(_STILL_LACKING, [min(days) - timedelta(days=1)]).fetchall()


# --- SQL -------------------------------------------------------------------------------------------------------------

# As the view `source_health`: one look at narrow columns of all syncs finds the few rows to be read.
_SOURCES = """
WITH newest AS (
  SELECT source, max(started_at) AS last_at,
         coalesce(max(started_at) FILTER (outcome <> 'failed'), '-infinity') AS answered_at
  FROM rl.syncs WHERE kind = 'sync' AND outcome IN ('ok', 'partial', 'failed') GROUP BY source),
lately AS (
  SELECT s.source, s.started_at, s.finished_at, s.outcome, s.error_class, s.error, n.last_at
  FROM rl.syncs s JOIN newest n ON n.source = s.source AND s.started_at >= n.answered_at
  WHERE s.kind = 'sync' AND s.outcome IN ('ok', 'partial', 'failed'))
SELECT s.source, s.vendor, s.observed_through,
       greatest(s.observed_through, nullif(n.answered_at, '-infinity')) AS looked_at, s.first_synced_at, n.last_at,
       l.outcome AS last_outcome, l.error_class, l.error, f.failing_since, coalesce(f.failures, 0) AS failures
FROM rl.sources s LEFT JOIN newest n USING (source)
LEFT JOIN (FROM lately WHERE started_at = last_at
           QUALIFY row_number() OVER (PARTITION BY source ORDER BY finished_at DESC) = 1) l USING (source)
LEFT JOIN (SELECT source, min(started_at) AS failing_since, count(*) AS failures FROM lately
           WHERE outcome = 'failed' GROUP BY source) f USING (source)
ORDER BY s.source
"""

_WORDS = """
SELECT source, 'run', vendor_status, config_line('run', vendor_status)
FROM rl.runs WHERE status = 'unknown' AND vanished_at IS NULL GROUP BY ALL
UNION ALL
SELECT source, 'step', vendor_status, config_line('step', vendor_status)
FROM rl.steps WHERE status = 'unknown' AND run_created_at >= ? GROUP BY ALL
ORDER BY ALL
"""

# Those that were found to be missing, but were not asked for yet, are none.
_LACKING = """
SELECT source, pipeline_id, day, run_id
FROM (SELECT source, pipeline_id, day, unnest(missing_run_ids) AS run_id
      FROM (FROM rl.coverage WHERE checked_at >= ?
            QUALIFY row_number() OVER (PARTITION BY source, pipeline_id, day ORDER BY checked_at DESC) = 1))
ANTI JOIN (FROM rl.watched WHERE why = 'missing' AND read_at IS NULL AND failures = 0)
USING (source, pipeline_id, run_id)
"""
_STILL_LACKING = """
SELECT source, pipeline_id, day, list(run_id ORDER BY run_id)
FROM lacking ANTI JOIN (FROM rl.runs WHERE created_date >= ?) USING (source, pipeline_id, run_id)
GROUP BY ALL ORDER BY ALL
"""
