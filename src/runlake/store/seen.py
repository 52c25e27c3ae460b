"""What alerting sees of the ledger: pipelines with their recent runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import repeat
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow as pa

from runlake.model import Outcome, RunStatus
from runlake.store.given import given
from runlake.store.seen_sources import SeenSource

WINDOW = timedelta(days=30)
"""How far back the runs of a pipeline are looked at."""

MOST_RUNS = 200
"""Of them, the newest; open ones come on top."""

Key = tuple[str, str]
"""source, pipeline_id"""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPipeline:
    """A pipeline and its runs of the last WINDOW, newest created first, at most MOST_RUNS; besides these, whenever they
    were created, those that are open and, once, those that have just changed."""

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
    conditions: Collection[str],
    labels: bool,
) -> list[SeenPipeline]:
    """One for each of the keys whose source is known, in their order. `conditions` are what `condition` takes."""
    keys = list(dict.fromkeys(key for key in keys if key[0] in known))
    if not keys:
        return []
    extra = "".join(f", {condition(each)}" for each in conditions)
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
    """The conditions that hold, made once for each combination."""

    def __init__(self, conditions: Sequence[str]) -> None:
        super().__init__()
        self._conditions = conditions

    def __missing__(self, holds: tuple[bool, ...]) -> frozenset[str]:
        self[holds] = frozenset(each for each, holding in zip(self._conditions, holds, strict=True) if holding)
        return self[holds]


_STATUSES = {status.value: status for status in RunStatus}
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


# --- SQL -------------------------------------------------------------------------------------------------------------

_LISTED = "SELECT place, pipeline_name, paused FROM rl.pipelines JOIN asked USING (source, pipeline_id)"

# How a failure was seen: by what first said the word that it has now, since it last had another.
# Seconds are made of microseconds here: DuckDB's own `epoch` is off by one of them from 2106 on.
_RUNS = f"""
WITH watched AS (
  SELECT place, run_key, created_at, read_at FROM rl.watched JOIN asked USING (source, pipeline_id)
  WHERE created_at IS NOT NULL),
old AS (
  FROM watched WHERE created_at < $since
  UNION ALL
  SELECT place, run_key, created_at, NULL FROM rl.late_runs JOIN asked USING (source, pipeline_id)
  WHERE created_at < $since AND run_key NOT IN (SELECT run_key FROM watched)),
recent AS (
  SELECT place, r.*,
         row_number() OVER (PARTITION BY place ORDER BY created_at DESC, attempt DESC, run_id DESC) AS nth
  FROM runs r JOIN asked USING (source, pipeline_id) WHERE created_at >= $since),
picked AS (
  SELECT r.*, w.read_at FROM recent r LEFT JOIN watched w ON w.run_key = r.run_key
  WHERE r.nth <= {MOST_RUNS} OR w.run_key IS NOT NULL
  UNION ALL BY NAME
  SELECT w.place, r.*, NULL AS nth, w.read_at
  FROM runs r JOIN old w ON w.run_key = r.run_key AND w.created_at = r.created_at),
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
