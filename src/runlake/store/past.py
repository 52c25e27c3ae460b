"""What alerting could see at any time of a past that the ledger has: each sync, and each change of a run as it came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import duckdb

from runlake.store.given import given
from runlake.store.seen import WINDOW, Key, SeenRun, condition, instants, of_pipelines, runs_by_place
from runlake.store.seen_sources import UnknownWord


class PastSync(NamedTuple):
    """An attempt at a source that has ended; of any kind, for whatever was read is judged when it ends."""

    kind: str
    started_at: datetime
    finished_at: datetime
    outcome: str
    error_class: str | None
    error: str | None
    observed_through: datetime | None


class PastPipeline(NamedTuple):
    """A pipeline with runs in that time; its name and whether it is paused are those of now."""

    source: str
    pipeline_id: str
    pipeline_name: str | None
    paused: bool
    changes: int

    @property
    def key(self) -> Key:
        return self.source, self.pipeline_id


class PastWord(NamedTuple):
    """From `known_at` on, a run's status word lacked a mapping (`word`), or did not any more (None)."""

    known_at: datetime
    run_key: str
    word: UnknownWord | None


@dataclass(frozen=True, slots=True)
class Past:
    """The time from `start` on, with as much before it as judging at `start` needs.

    What a sync saw is known from its end on; what no sync saw, or one that took days to go back, from when it was seen.
    Of syncs that changed nothing, those of the last BOOKS_KEPT are there.
    """

    _con: duckdb.DuckDBPyConnection
    start: datetime

    @property
    def since(self) -> datetime:
        """What was created before is not looked at, unless it was open."""
        return self.start - WINDOW

    def begins(self) -> datetime | None:
        """When the ledger first saw anything."""
        [(at,)] = self._con.execute("SELECT min(started_at) FROM rl.syncs").fetchall()
        return at if at is None or isinstance(at, datetime) else None

    def syncs(self, source: str) -> list[PastSync]:
        """In the order in which they ended."""
        table = self._con.sql(_SYNCS, params={"source": source, "since": self.since}).to_arrow_table()
        kinds, began, ended, *rest, through = (column.to_pylist() for column in table.columns)
        made = zip(kinds, instants(began), instants(ended), *rest, instants(through), strict=True)
        return list(map(PastSync._make, made))

    def first_synced_at(self) -> dict[str, datetime]:
        """By source, when its first complete sync began."""
        query = "SELECT source, first_synced_at FROM rl.sources WHERE first_synced_at IS NOT NULL"
        return dict(self._con.execute(query).fetchall())

    def pipelines(self) -> list[PastPipeline]:
        """In no order that means anything."""
        found = self._con.execute(_PIPELINES, {"since": self.since, "start": self.start}).fetchall()
        return [PastPipeline(*row) for row in found]

    def changes(self, keys: Sequence[Key], *, where: str | None, labels: bool) -> list[list[tuple[datetime, SeenRun]]]:
        """For each of the keys, what was seen of its runs, and when that was known, in that order. `read_by` is that
        of the change; what holds is `where` itself, if that is given."""
        if not keys:
            return []
        extra = f", {condition(where)}" if where is not None else ""
        query = _CHANGES.format(labels="labels" if labels else "NULL", conditions=extra)
        with given(self._con, "asked", place=range(len(keys)), **of_pipelines(keys)):
            table = self._con.sql(query, params={"since": self.since, "start": self.start}).to_arrow_table()
        places, known = (table[name].to_pylist() for name in ("place", "known"))
        runs, _ = runs_by_place(table.drop_columns(["known"]), len(keys), [where] if where is not None else [])
        times: list[list[datetime]] = [[] for _ in keys]
        for place, at in zip(places, instants(known), strict=True):
            times[place].append(at)
        return [list(zip(*both, strict=True)) for both in zip(times, runs, strict=True)]

    def words(self, source: str) -> list[PastWord]:
        """Of all runs that ever had a word without a mapping, in the order of time. Of steps no history is kept."""
        found = self._con.execute(_WORDS, {"source": source}).fetchall()
        return [
            PastWord(at, key, UnknownWord(level="run", word=word, config_line=line) if unmapped else None)
            for at, key, word, line, unmapped in found
        ]


# A sync that runs, or a backfill, which may take days, tells of what it sees before it ends. Snapshots have no order
# but time: in a large copy most of them are in files.
_KNOWN_AT = "coalesce(CASE WHEN y.kind <> 'backfill' THEN y.finished_at END, s.observed_at)"

_SYNCS = """
SELECT kind, epoch_us(started_at) / 1e6, epoch_us(finished_at) / 1e6, outcome, error_class, error,
       epoch_us(observed_through) / 1e6
FROM rl.syncs WHERE source = $source AND finished_at >= $since ORDER BY finished_at, started_at
"""

# Runs that were open longer than alerting looks back: those that changed since, and those that are open still.
_LONG_OPEN = """
long_open AS (
  SELECT run_key FROM rl.run_snapshots WHERE created_at < $since AND observed_at >= $start
    AND (status_outcome(status) IS NULL OR read_by <> 'backfill')
  UNION SELECT run_key FROM rl.watched WHERE created_at < $since)
"""

_PIPELINES = f"""
WITH {_LONG_OPEN}
SELECT s.source, s.pipeline_id, coalesce(any_value(p.pipeline_name), arg_max(s.pipeline_name, s.observed_at)),
       coalesce(any_value(p.paused), false), count(*)
FROM rl.run_snapshots s LEFT JOIN rl.pipelines p ON p.source = s.source AND p.pipeline_id = s.pipeline_id
WHERE s.created_at >= $since OR s.run_key IN (FROM long_open) GROUP BY ALL
"""

# The columns are those of the view `runs`, for conditions, as they were then.
_CHANGES = f"""
WITH {_LONG_OPEN},
picked AS (
  SELECT a.place, s.* REPLACE (
           CASE WHEN status_has_end(s.status) THEN s.finished_at END AS finished_at,
           CASE WHEN status_has_end(s.status) THEN s.duration_ms END AS duration_ms),
         status_outcome(s.status) AS outcome, {_KNOWN_AT} AS known_at
  FROM rl.run_snapshots s JOIN asked a ON a.source = s.source AND a.pipeline_id = s.pipeline_id
  LEFT JOIN rl.syncs y ON y.sync_id = s.sync_id
  WHERE s.created_at >= $since OR s.run_key IN (FROM long_open))
SELECT place, NULL::VARCHAR AS name, run_key::VARCHAR AS run_key, run_id, attempt, status, vendor_status,
       epoch_us(created_at) / 1e6, epoch_us(observed_at) / 1e6, epoch_us(started_at) / 1e6,
       epoch_us(finished_at) / 1e6, duration_ms, trigger, read_by, NULL::DOUBLE AS read,
       vanished_at IS NOT NULL, {{labels}}{{conditions}}, epoch_us(known_at) / 1e6 AS known
FROM picked ORDER BY place, known_at, observed_at
"""

_WORDS = f"""
SELECT {_KNOWN_AT} AS known_at, s.run_key::VARCHAR, s.vendor_status, config_line('run', s.vendor_status),
       s.status = 'unknown' AND s.vanished_at IS NULL
FROM rl.run_snapshots s LEFT JOIN rl.syncs y ON y.sync_id = s.sync_id
WHERE s.source = $source AND s.run_key IN (SELECT run_key FROM rl.run_snapshots WHERE status = 'unknown')
ORDER BY known_at, s.observed_at
"""
