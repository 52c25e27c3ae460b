"""What alerting sees of the ledger: each source and how far it is known, and pipelines with their recent runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import repeat
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow as pa

from runlake.model import Outcome, RunStatus
from runlake.store.books import rows
from runlake.store.given import given

WINDOW = timedelta(days=30)
"""How far back the runs of a pipeline are looked at."""

MOST_RUNS = 200
"""Of them, the newest; open ones come on top."""

COMPARED_FOR = timedelta(days=7)
"""How long a comparison with a vendor's list counts, unless its day is compared again."""

Key = tuple[str, str]
"""source, pipeline_id"""


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


# Made by the hundred thousand: to freeze it, or to ask for names, would double what that takes.
@dataclass(slots=True)
class SeenRun:
    """A run as last seen; `labels` only where they were asked for."""

    run_key: str
    """As SQL shows it, with hyphens."""
    run_id: str
    attempt: int
    status: RunStatus
    vendor_status: str
    created_at: datetime
    observed_at: datetime
    """When we saw it change last."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: int | None = None
    trigger: str | None = None
    read_by: str | None = None
    """How the state it is in was first seen; known of failures only."""
    read_at: datetime | None = None
    """Of an open run: when we last saw that it still is."""
    vanished: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    holds: frozenset[str] = frozenset()
    """Which of the conditions (`where`) that were asked it fulfils."""

    @property
    def outcome(self) -> Outcome | None:
        return self.status.outcome

    @property
    def ended_at(self) -> datetime | None:
        """When it ended: as the vendor says, else when we saw that it had. None while it is open."""
        return None if self.outcome is None else self.finished_at or self.observed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPipeline:
    """A pipeline and its runs of the last WINDOW, newest created first, at most MOST_RUNS besides the open ones."""

    source: SeenSource
    pipeline_id: str
    pipeline_name: str | None = None
    paused: bool = False
    runs: Sequence[SeenRun] = ()

    @property
    def key(self) -> str:
        return f"{self.source.source}/{self.pipeline_id}"


def of_pipelines(keys: Sequence[Key]) -> dict[str, list[str]]:
    """As two columns."""
    return {"source": [source for source, _ in keys], "pipeline_id": [pipeline for _, pipeline in keys]}


def sources(con: duckdb.DuckDBPyConnection) -> dict[str, SeenSource]:
    """All that were ever synced, by name. What is recent is so by the last sync of any of them, not by a clock."""
    found = {row["source"]: row for row in rows(con, _SOURCES)}
    last_at = max((row["last_at"] for row in found.values() if row["last_at"] is not None), default=None)
    if last_at is not None:
        for source, level, word, config_line in con.execute(_WORDS, [last_at - WINDOW]).fetchall():
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


def condition(predicate: str) -> str:
    """A user's predicate on the view `runs` as a column: where it is null, or fails for a row, it does not hold. The
    line breaks end a comment that it may end with."""
    return f"coalesce(TRY((\n{predicate}\n)), false)"


def pipelines(
    con: duckdb.DuckDBPyConnection,
    known: Mapping[str, SeenSource],
    keys: Sequence[Key],
    now: datetime,
    *,
    conditions: Mapping[str, str],
    labels: bool,
) -> list[SeenPipeline]:
    """One for each of the keys whose source is known, in their order. `conditions`: by name, what `condition` takes."""
    keys = list(dict.fromkeys(key for key in keys if key[0] in known))
    if not keys:
        return []
    extra = "".join(f", {condition(each)}" for each in conditions.values())
    query = _RUNS.format(labels="labels" if labels else "NULL", conditions=extra)
    with given(con, "asked", place=range(len(keys)), **of_pipelines(keys)):
        listed = {place: (name, paused) for place, name, paused in con.execute(_LISTED).fetchall()}
        # Not of an executed statement: DuckDB 2 warns that this would copy all rows once more.
        table = con.sql(query, params={"since": now - WINDOW}).to_arrow_table()
    runs, names = runs_by_place(table, len(keys), list(conditions))
    return [
        SeenPipeline(
            source=known[source],
            pipeline_id=pipeline_id,
            pipeline_name=listed.get(place, (None, None))[0] or names[place],
            paused=bool(listed.get(place, (None, None))[1]),
            runs=runs[place],
        )
        for place, (source, pipeline_id) in enumerate(keys)
    ]


def runs_by_place(
    table: pa.Table, pipelines: int, conditions: Sequence[str]
) -> tuple[list[list[SeenRun]], list[str | None]]:
    """By the place of each pipeline, its runs and its name. Column by column, which takes half as long as rows."""
    columns: list[list[Any]] = [column.to_pylist() for column in table.columns]
    places, names, keys, ids, attempts, statuses, words, *rest = columns
    created, observed, started, finished, durations, triggers, read_by, read, vanished, labels, *holds = rest
    made = map(
        SeenRun,
        keys,
        ids,
        attempts,
        map(_STATUSES.__getitem__, statuses),
        words,
        instants(created),
        instants(observed),
        instants(started),
        instants(finished),
        durations,
        triggers,
        read_by,
        instants(read),
        vanished,
        (dict(each) if each else _NO_LABELS for each in labels),
        map(_Holds(conditions).__getitem__, zip(*holds, strict=True)) if holds else repeat(frozenset()),
    )
    runs: list[list[SeenRun]] = [[] for _ in range(pipelines)]
    of: list[str | None] = [None] * pipelines
    for place, name, run in zip(places, names, made, strict=True):
        runs[place].append(run)
        if name is not None:
            of[place] = name
    return runs, of


def instants(seconds: Iterable[float | None]) -> Iterator[Any]:
    """Datetimes, or None; right to the microsecond until 2242. DuckDB and Arrow take six times as long."""
    instant = datetime.fromtimestamp
    return (None if each is None else instant(each, UTC) for each in seconds)


class _Holds(dict[tuple[bool, ...], frozenset[str]]):
    """The names of the conditions that hold, made once for each combination."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, holds: tuple[bool, ...]) -> frozenset[str]:
        self[holds] = frozenset(name for name, holding in zip(self._names, holds, strict=True) if holding)
        return self[holds]


_STATUSES = {status.value: status for status in RunStatus}
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


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

_LISTED = "SELECT place, pipeline_name, paused FROM rl.pipelines JOIN asked USING (source, pipeline_id)"

# How a failure was seen: by what first said the word that it has now, since it last had another.
# Seconds are made of microseconds here: DuckDB's own `epoch` is off by one of them from 2106 on.
_RUNS = f"""
WITH watched AS (
  SELECT place, run_key, created_at, read_at FROM rl.watched JOIN asked USING (source, pipeline_id)
  WHERE created_at IS NOT NULL),
recent AS (
  SELECT place, r.*,
         row_number() OVER (PARTITION BY place ORDER BY created_at DESC, attempt DESC, run_id DESC) AS nth
  FROM runs r JOIN asked USING (source, pipeline_id) WHERE created_at >= $since),
picked AS (
  SELECT r.*, w.read_at FROM recent r LEFT JOIN watched w ON w.run_key = r.run_key
  WHERE r.nth <= {MOST_RUNS} OR w.run_key IS NOT NULL
  UNION ALL BY NAME
  SELECT w.place, r.*, NULL AS nth, w.read_at
  FROM runs r JOIN (FROM watched WHERE created_at < $since) w ON w.run_key = r.run_key AND w.created_at = r.created_at),
told AS (
  SELECT s.run_key, s.observed_at, s.read_by, s.vendor_status = p.vendor_status AS is_so,
         max(s.observed_at) FILTER (s.vendor_status <> p.vendor_status) OVER (PARTITION BY s.run_key) AS other_at
  FROM rl.run_snapshots s
  JOIN (SELECT run_key, vendor_status FROM recent WHERE outcome = 'failure' AND nth <= {MOST_RUNS}) p USING (run_key)
  WHERE s.created_at >= $since),
seen_by AS (
  SELECT run_key, arg_min(read_by, observed_at) AS read_by FROM told
  WHERE is_so AND observed_at > coalesce(other_at, '-infinity') GROUP BY run_key)
SELECT place, CASE WHEN nth = 1 THEN pipeline_name END, run_key::VARCHAR, run_id, attempt, status, vendor_status,
       epoch_us(created_at) / 1e6, epoch_us(observed_at) / 1e6, epoch_us(started_at) / 1e6,
       epoch_us(finished_at) / 1e6, duration_ms, trigger, seen_by.read_by, epoch_us(read_at) / 1e6,
       vanished_at IS NOT NULL, {{labels}}{{conditions}}
FROM picked LEFT JOIN seen_by USING (run_key)
ORDER BY place, nth, created_at DESC
"""
