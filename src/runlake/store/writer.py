"""Rows, history and bookkeeping in one transaction.

A batch of runs as seen becomes Arrow tables; all else is SQL: which runs are new, which changed, what is kept of the
stored row where this answer does not show it. Python touches each value once. What reads `rl.runs` names a range of
`created_at`, so that zone maps leave out the history: that is why it never changes for a stored run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from runlake.model import Run, StatusTable, Step, run_key
from runlake.store.periods import touch
from runlake.store.unjudged import note_late, unjudge

MESSAGE_CHARS = 4000
NAME_CHARS = 500
ID_CHARS = 1000

FLATTENED_AT = 200

_Sighting = tuple[Run, datetime, str, str]
"""The run, when it was seen, how it was read, and what was asked."""

_TIME = pa.timestamp("us", tz="UTC")


@dataclass(slots=True)
class Batch:
    """Runs of one source as seen, in the order seen. Where one is met twice the later sighting counts.

    Runs become columns a few hundred at a time: kept as objects until a commit of 5,000, they cost more in garbage
    collections than in parsing.
    """

    source: str
    vendor: str
    statuses: StatusTable
    step_statuses: StatusTable
    store_payloads: bool = True
    keys: list[str] = field(default_factory=list)
    _seen: list[_Sighting] = field(default_factory=list)
    _columns: list[tuple[pa.Table, pa.Table]] = field(default_factory=list)

    def add(self, key: str, run: Run, observed_at: datetime, read_by: str, request: str) -> None:
        self.keys.append(key)
        self._seen.append((run, observed_at, read_by, request))
        if len(self._seen) >= FLATTENED_AT:
            self._flatten()

    def __len__(self) -> int:
        return len(self.keys)

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """The runs, each once, and the steps of every sighting: `row_no` joins them."""
        if self._seen or not self._columns:
            self._flatten()
        runs, steps = (pa.concat_tables(tables) for tables in zip(*self._columns, strict=True))
        last = {key: row for row, key in enumerate(self.keys)}
        if len(last) < len(self.keys):
            runs = runs.filter(pa.array([last[key] == row for row, key in enumerate(self.keys)]))
        return runs, steps

    def _flatten(self) -> None:
        first = len(self.keys) - len(self._seen)
        self._columns.append(_arrow(self, first, self.keys[first:], self._seen))
        self._seen = []


@dataclass(slots=True)
class Written:
    """What a batch changed, in runs."""

    new: int = 0
    changed: int = 0
    unknown: int = 0


def stale(con: duckdb.DuckDBPyConnection, batch: Batch) -> set[str]:
    """The keys of those runs of the batch that are new or changed, or whose steps were never read."""
    keys: set[str] = set()
    for _ in _compared(con, batch):
        rows = con.execute(
            "SELECT run_key::VARCHAR FROM fresh WHERE is_new OR changed OR (NOT has_steps AND steps_hash IS NULL)"
        ).fetchall()
        keys.update(key.replace("-", "") for (key,) in rows)
    return keys


def write(con: duckdb.DuckDBPyConnection, batch: Batch, sync_id: str) -> Written:
    """Writes a batch: current rows, snapshots, steps, payloads, and which runs are watched. Within a transaction."""
    written = Written()
    for between in _compared(con, batch):
        new, changed, steps, unknown, stored = con.execute(
            "SELECT count(*) FILTER (is_new), count(*) FILTER (changed AND NOT is_new), "
            "count(*) FILTER (steps_changed), count(*) FILTER (status = 'unknown'), "
            "count(*) FILTER (NOT is_new AND (changed OR steps_changed)) FROM fresh"
        ).fetchall()[0]
        if new or stored:
            touch(con, "SELECT created_date FROM fresh WHERE is_new OR changed OR steps_changed")
        if new:
            con.execute(f"INSERT INTO rl.runs BY NAME SELECT {_COLUMNS} FROM fresh WHERE is_new")
        if stored:
            con.execute(
                "MERGE INTO rl.runs t USING "
                f"(SELECT {_COLUMNS} FROM fresh WHERE NOT is_new AND (changed OR steps_changed)) s "
                f"ON t.run_key = s.run_key AND t.created_at {between} WHEN MATCHED THEN UPDATE SET {_ASSIGNMENTS}"
            )
        if new or changed:
            unjudge(con, "SELECT source, pipeline_id FROM fresh WHERE is_new OR changed")
            if changed:
                note_late(con)
            con.execute(
                f"INSERT INTO rl.run_snapshots BY NAME SELECT {_COLUMNS}, ?::UUID AS sync_id, read_by, request "
                "FROM fresh WHERE is_new OR changed",
                [sync_id],
            )
        if steps and stored:
            con.execute(
                "INSERT INTO rl.past_step_failures SELECT s.*, f.observed_at "
                f"FROM rl.steps s JOIN fresh f USING (run_key) WHERE s.run_created_at {between} "
                "AND status_outcome(s.status) = 'failure' AND f.steps_changed AND NOT f.is_new"
            )
            con.execute(
                f"DELETE FROM rl.steps WHERE run_created_at {between} AND run_key IN "
                "(SELECT run_key FROM fresh WHERE steps_changed AND NOT is_new)"
            )
        if steps:
            con.execute(_INSERT_STEPS)
        if batch.store_payloads:
            con.execute(
                "INSERT INTO rl.run_payloads SELECT run_key, observed_at, payload FROM fresh "
                "WHERE payload IS NOT NULL AND (is_new OR changed OR steps_changed)"
            )
        con.execute(_WATCH)
        written.new += new
        written.changed += changed
        written.unknown += unknown
    return written


def _compared(con: duckdb.DuckDBPyConnection, batch: Batch) -> Iterable[str]:
    """Makes the temporary table `fresh` for each cluster of the batch in turn; yields its range of created_at.

    A cluster is a stretch of time: one very old run must not make the rest of its batch read the whole history.
    """
    if not batch.keys:
        return
    _load(con, batch)
    clusters = con.execute(_CLUSTERS).fetchall()
    for cluster, low, high in clusters:
        between = f"BETWEEN '{low}'::TIMESTAMPTZ AND '{high}'::TIMESTAMPTZ" if low else "IS NOT NULL"
        con.execute(_FRESH.format(between=between, cluster=cluster))
        yield between


def _load(con: duckdb.DuckDBPyConnection, batch: Batch) -> None:
    runs, steps = batch.tables()
    con.register("arrow_runs", runs)
    con.register("arrow_steps", steps)
    con.execute(_INCOMING_STEPS)
    con.execute(_INCOMING, [batch.source, batch.vendor])
    con.unregister("arrow_runs")
    con.unregister("arrow_steps")
    derived, low, high = con.execute(_DERIVED).fetchall()[0]
    if derived:
        con.execute(_FIND_NEAR, [low, high])
        con.execute(_STRAYS, [low, high])
        if con.execute("SELECT count(*) FROM strays").fetchall()[0][0]:
            con.execute(_FIND_STRAYS)


def _arrow(batch: Batch, first: int, keys: list[str], seen: list[_Sighting]) -> tuple[pa.Table, pa.Table]:
    """Runs and their steps as columns, numbered from `first` on."""
    runs = [run for run, *_ in seen]
    statuses = [batch.statuses[run.vendor_status] for run in runs]
    columns: dict[str, pa.Array[Any]] = {
        "row_no": pa.array(range(first, first + len(runs)), pa.int32()),
        "run_key": pa.array(keys, pa.string()),
        "pipeline_id": _text([r.pipeline_id for r in runs], ID_CHARS),
        "pipeline_name": _text([r.pipeline_name for r in runs], NAME_CHARS),
        "run_id": _text([r.run_id for r in runs], ID_CHARS),
        "attempt": _whole([r.attempt for r in runs], pa.int16()),
        "run_number": _whole([r.run_number for r in runs], pa.int64()),
        "pipeline_version": _text([r.pipeline_version for r in runs], NAME_CHARS),
        "status": pa.array([status.value for status in statuses], pa.string()),
        "vendor_status": _text([r.vendor_status for r in runs], NAME_CHARS),
        "created_at": _instants([r.created_at for r in runs]),
        "started_at": _instants([r.started_at for r in runs]),
        "finished_at": _instants([r.finished_at for r in runs]),
        "updated_at": _instants([r.updated_at for r in runs]),
        "trigger": _text([r.trigger for r in runs], NAME_CHARS),
        "triggered_by": _text([r.triggered_by for r in runs], NAME_CHARS),
        "parent_run_key": pa.array([run_key(batch.source, r.parent) if r.parent else None for r in runs], pa.string()),
        "error_code": _text([r.error_code for r in runs], NAME_CHARS),
        "error_message": _text([r.error_message for r in runs], MESSAGE_CHARS),
        "run_url": _text([r.run_url for r in runs], MESSAGE_CHARS),
        "labels": pa.array([_labels(r.labels) for r in runs], pa.map_(pa.string(), pa.string())),
        "metrics": pa.array([list(r.metrics.items()) for r in runs], pa.map_(pa.string(), pa.float64())),
        "observed_at": _instants([observed_at for _, observed_at, _, _ in seen]),
        "read_by": pa.array([read_by for _, _, read_by, _ in seen], pa.string()),
        "request": pa.array([request for *_, request in seen], pa.string()),
        "has_steps": pa.array([r.steps is not None for r in runs], pa.bool_()),
        "payload": pa.array(
            [r.payload.model_dump_json(exclude_none=True) if r.payload is not None else None for r in runs]
            if batch.store_payloads
            else [None] * len(runs),
            pa.string(),
        ),
    }
    owned: list[tuple[int, int, Step]] = []
    for row, run in enumerate(runs, first):
        if run.steps:
            owned.extend((row, number, step) for number, step in enumerate(run.steps))
    steps = [step for _, _, step in owned]
    table = batch.step_statuses
    step_columns: dict[str, pa.Array[Any]] = {
        "row_no": pa.array([row for row, _, _ in owned], pa.int32()),
        "step_no": pa.array([number for _, number, _ in owned], pa.int32()),
        "step_id": _text([s.step_id for s in steps], ID_CHARS),
        "name": _text([s.name for s in steps], NAME_CHARS),
        "kind": _text([s.kind for s in steps], NAME_CHARS),
        "status": pa.array([table[s.vendor_status].value for s in steps], pa.string()),
        "vendor_status": _text([s.vendor_status for s in steps], NAME_CHARS),
        "started_at": _instants([s.started_at for s in steps]),
        "finished_at": _instants([s.finished_at for s in steps]),
        "error_code": _text([s.error_code for s in steps], NAME_CHARS),
        "error_message": _text([s.error_message for s in steps], MESSAGE_CHARS),
    }
    return pa.table(columns), pa.table(step_columns)


def _text(values: list[str | None] | list[str], most: int) -> pa.Array[Any]:
    # Nearly all are short: asked in C, that costs a third of looking at each.
    if max(map(len, filter(None, values)), default=0) > most:
        values = [v if v is None or len(v) <= most else v[: most - 1] + "…" for v in values]
    return pa.array(values, pa.string())


def _labels(labels: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, value[:NAME_CHARS]) for name, value in labels.items()]


V = TypeVar("V", datetime, int)


def _instants(values: Sequence[datetime | None]) -> pa.Array[Any]:
    return _tolerant(values, _TIME, lambda value: datetime(1970, 1, 1, tzinfo=UTC) <= value.astimezone(UTC))


def _whole(values: Sequence[int | None], type_: pa.DataType) -> pa.Array[Any]:
    bound = 1 << (type_.bit_width - 1)
    return _tolerant(values, type_, lambda value: -bound <= value < bound)


def _tolerant(values: Sequence[V | None], type_: pa.DataType, fits: Callable[[V], bool]) -> pa.Array[Any]:
    """The column; values that do not fit (year 1 with an offset, 70-bit numbers) are nulls and cost nothing else."""
    try:
        return pa.array(values, type_)
    except (OverflowError, pa.ArrowInvalid):
        return pa.array([value if value is not None and _holds(fits, value) else None for value in values], type_)


def _holds(fits: Callable[[V], bool], value: V) -> bool:
    try:
        return fits(value)
    except OverflowError:
        return False


# --- SQL -------------------------------------------------------------------------------------------------------------

_STATE = ("vendor_status", "error_code", "error_message", "pipeline_version", "trigger", "triggered_by", "run_url")
"""The texts that make up a run's state, besides its times, labels and metrics. `updated_at` is left out: some vendors
move it at every look."""

# What an answer does not show is kept from the stored row; what may truly go back to null (times, errors) is not.
_KEPT = ("pipeline_name", "pipeline_version", "run_number", "trigger", "triggered_by", "parent_run_key", "run_url")

_COLUMNS = (
    "run_key, source, vendor, pipeline_id, pipeline_name, run_id, attempt, run_number, pipeline_version, status, "
    "vendor_status, created_at, created_date, started_at, finished_at, updated_at, queued_ms, duration_ms, trigger, "
    "triggered_by, parent_run_key, error_code, error_message, run_url, labels, metrics, first_seen_at, observed_at, "
    "vanished_at, state_hash, steps_hash"
)
_FIXED = "run_key, source, vendor, pipeline_id, run_id, attempt, created_at, created_date, first_seen_at"
_ASSIGNMENTS = ", ".join(f"{name} = s.{name}" for name in _COLUMNS.split(", ") if name not in _FIXED.split(", "))


def _ms(start: str, end: str) -> str:
    # Of microseconds: DuckDB 1 cuts them off an instant's milliseconds, DuckDB 2 rounds them.
    return f"CASE WHEN {end} >= {start} THEN (epoch_us({end}) - epoch_us({start})) // 1000 END"


def _sane(instant: str) -> str:
    """Instants outside 1970-2200 are slips of a vendor's clock or sentinels ("0001-01-01"): as good as null."""
    low, high = "'1970-01-01 00:00:00+00'::TIMESTAMPTZ", "'2200-01-01 00:00:00+00'::TIMESTAMPTZ"
    return f"CASE WHEN {instant} BETWEEN {low} AND {high} THEN {instant} END"


_INCOMING_STEPS = f"""
CREATE OR REPLACE TEMP TABLE incoming_steps AS
SELECT *, {_ms("started_at", "finished_at")} AS duration_ms
FROM (SELECT * REPLACE ({_sane("started_at")} AS started_at, {_sane("finished_at")} AS finished_at) FROM arrow_steps)
"""

# Hashes are md5, not DuckDB's own hash(): they must mean the same in the next version.
_INCOMING = f"""
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT a.* REPLACE (a.run_key::UUID AS run_key, a.parent_run_key::UUID AS parent_run_key,
         {_sane("a.created_at")} AS created_at, {_sane("a.started_at")} AS started_at,
         {_sane("a.finished_at")} AS finished_at, {_sane("a.updated_at")} AS updated_at),
       ? AS source, ? AS vendor, w.created_at AS watched_created_at,
       CASE WHEN a.has_steps THEN coalesce(s.digest, 0) END AS incoming_steps_hash,
       coalesce(w.created_at, {_sane("a.created_at")}, {_sane("a.started_at")}) AS anchor
FROM arrow_runs a
LEFT JOIN (SELECT row_no, md5_number_lower(string_agg(concat_ws(chr(31), step_id, status, vendor_status,
             coalesce(name, ''), coalesce(epoch_us(started_at), 0), coalesce(epoch_us(finished_at), 0),
             coalesce(error_message, '')), chr(30) ORDER BY step_no)) AS digest
           FROM incoming_steps GROUP BY row_no) s ON s.row_no = a.row_no
LEFT JOIN rl.watched w ON w.run_key = a.run_key::UUID AND w.created_at IS NOT NULL
"""

# Runs of vendors that do not say when a run was created. Such a run is stored at its first start, or where we first saw
# it, which may be long before the start it shows now that it was started again. What does not stand near its start is
# looked for in all of the history: 20 ms a million runs, at these vendors only, for batches with new runs.
_DERIVED = """
SELECT count(*), min(anchor) - INTERVAL 1 DAY, max(anchor) + INTERVAL 1 DAY
FROM incoming WHERE created_at IS NULL AND watched_created_at IS NULL
"""
_FIND_NEAR = """
UPDATE incoming SET anchor = r.created_at FROM rl.runs r
WHERE r.run_key = incoming.run_key AND incoming.created_at IS NULL AND incoming.watched_created_at IS NULL
  AND r.created_at BETWEEN ? AND ?
"""
_STRAYS = """
CREATE OR REPLACE TEMP TABLE strays AS
SELECT run_key FROM incoming WHERE created_at IS NULL AND watched_created_at IS NULL
  AND run_key NOT IN (SELECT run_key FROM rl.runs WHERE created_at BETWEEN ? AND ?)
"""
_FIND_STRAYS = """
UPDATE incoming SET anchor = r.created_at FROM rl.runs r
WHERE r.run_key = incoming.run_key AND r.run_key IN (SELECT run_key FROM strays)
"""

# Stretches of time at least two days apart; from the ninth on they share one. A day of slack on both sides covers runs
# whose created_at was derived (from the start, or from when they were first seen).
_CLUSTERS = """
CREATE OR REPLACE TEMP TABLE clusters AS
SELECT row_no, anchor, least(8, sum(gap) OVER (ORDER BY anchor DESC ROWS UNBOUNDED PRECEDING))::INTEGER AS cluster
FROM (SELECT row_no, anchor,
             coalesce(lag(anchor) OVER (ORDER BY anchor DESC) > anchor + INTERVAL 2 DAY, false)::INTEGER AS gap
      FROM incoming WHERE anchor IS NOT NULL)
UNION ALL SELECT row_no, NULL, -1 FROM incoming WHERE anchor IS NULL;
SELECT cluster, (min(anchor) - INTERVAL 1 DAY)::VARCHAR, (max(anchor) + INTERVAL 1 DAY)::VARCHAR
FROM clusters GROUP BY cluster ORDER BY cluster
"""

_FRESH = f"""
CREATE OR REPLACE TEMP TABLE fresh AS
WITH known AS (
  SELECT * FROM rl.runs WHERE created_at {{between}}
    AND run_key IN (SELECT run_key FROM incoming JOIN clusters USING (row_no) WHERE cluster = {{cluster}})),
merged AS (
  SELECT i.* REPLACE (
           {", ".join(f"coalesce(i.{name}, k.{name}) AS {name}" for name in _KEPT)},
           coalesce(k.created_at, i.watched_created_at, i.created_at, i.started_at, i.observed_at) AS created_at,
           map_concat(coalesce(k.labels, MAP {{{{}}}}), i.labels) AS labels,
           map_concat(coalesce(k.metrics, MAP {{{{}}}}), i.metrics) AS metrics),
         k.run_key IS NULL AS is_new, k.state_hash AS known_hash, k.status AS known_status,
         k.vanished_at AS was_vanished_at, k.steps_hash AS known_steps_hash,
         coalesce(k.first_seen_at, i.observed_at) AS first_seen_at
  FROM incoming i JOIN clusters c USING (row_no) LEFT JOIN known k ON k.run_key = i.run_key
  WHERE c.cluster = {{cluster}}),
hashed AS (
  SELECT *, md5_number_lower(concat_ws(chr(31), {", ".join(f"coalesce({name}, '')" for name in _STATE)},
           coalesce(epoch_us(started_at), 0), coalesce(epoch_us(finished_at), 0), labels::VARCHAR, metrics::VARCHAR))
           AS state_hash
  FROM merged)
SELECT * EXCLUDE (incoming_steps_hash),
       created_at::DATE AS created_date, NULL::TIMESTAMPTZ AS vanished_at,
       {_ms("created_at", "started_at")} AS queued_ms, {_ms("started_at", "finished_at")} AS duration_ms,
       is_new OR state_hash <> known_hash OR status <> known_status OR was_vanished_at IS NOT NULL AS changed,
       has_steps AND incoming_steps_hash IS DISTINCT FROM known_steps_hash AS steps_changed,
       CASE WHEN has_steps THEN incoming_steps_hash WHEN NOT changed THEN known_steps_hash END AS steps_hash
FROM hashed
"""

_INSERT_STEPS = """
INSERT INTO rl.steps
SELECT f.run_key, f.created_at, f.source, s.step_no, s.step_id, s.name, s.kind, s.status, s.vendor_status, s.started_at,
       s.finished_at, s.duration_ms, s.error_code, s.error_message, f.observed_at
FROM incoming_steps s JOIN fresh f USING (row_no) WHERE f.steps_changed
"""

_WATCH = """
CREATE OR REPLACE TEMP TABLE still_open AS
SELECT f.source, f.run_key, f.pipeline_id, f.run_id, f.attempt, 'open' AS why, f.created_at,
       coalesce(w.since, f.observed_at) AS since, f.observed_at AS read_at,
       coalesce(w.reads, 0) + 1 AS reads, 0 AS failures
FROM fresh f LEFT JOIN rl.watched w ON w.run_key = f.run_key WHERE status_outcome(f.status) IS NULL;
DELETE FROM rl.watched WHERE run_key IN (SELECT run_key FROM fresh);
INSERT INTO rl.watched SELECT * FROM still_open
"""
