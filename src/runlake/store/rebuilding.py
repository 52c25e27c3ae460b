"""The current tables made again from the history, and what that changes: nothing, in a ledger that is whole.

Made are `rl.runs`, from the last snapshot of each run, and `rl.watched`, from the runs that are open. The steps are
not: snapshots do not hold them, and payloads hold the few fields that a connector declares, in its vendor's shape. They
stay as they are, and those of a run that had to be added are read again when it is met next.
"""

from __future__ import annotations

from typing import Any

import duckdb

from runlake.store.books import rows
from runlake.store.periods import touch
from runlake.store.unjudged import unjudge


def rebuild(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Returns how many rows were added, changed and removed, for each table. Needs an open transaction."""
    con.execute(_LATEST)
    con.execute(_WRONG)
    runs = rows(
        con,
        """
        SELECT 'runs' AS "table", count(*) FILTER (stored = 0) AS added,
               count(*) FILTER (stored > 0 AND row_no IS NOT NULL AND agreeing = 0) AS changed,
               coalesce(sum(greatest(stored - (row_no IS NOT NULL)::INTEGER, 0)), 0)::BIGINT AS removed
        FROM wrong
        """,
    )
    for note, columns in ((touch, "created_at"), (unjudge, "source, pipeline_id")):
        note(
            con,
            f"SELECT {columns} FROM rl.runs WHERE run_key IN (SELECT run_key FROM wrong) "
            f"UNION SELECT {columns} FROM rl.run_snapshots WHERE rowid IN (SELECT row_no FROM wrong)",
        )
    con.execute("DELETE FROM rl.runs WHERE run_key IN (SELECT run_key FROM wrong)")
    con.execute(
        "INSERT INTO rl.runs BY NAME SELECT s.* EXCLUDE (sync_id, read_by, request) "
        "REPLACE (w.steps_hash AS steps_hash) FROM rl.run_snapshots s JOIN wrong w ON w.row_no = s.rowid"
    )
    watched = {name: con.execute(statement).fetchall()[0][0] for name, statement in _WATCHED.items()}
    return [*runs, {"table": "watched", **watched}]


_UNRECORDED = ("pipeline_name", "run_number", "parent_run_key", "updated_at", "observed_at", "steps_hash")
"""What the writer moves in the current row without a snapshot, where nothing but a run's steps has changed."""

# The last to arrive, not the last by `observed_at`: the writer compares with the row it has, whatever the clock says.
_LATEST = "CREATE OR REPLACE TEMP TABLE latest AS SELECT max(rowid) AS row_no FROM rl.run_snapshots GROUP BY run_key"

# Rows are compared by a hash, for they are wide: both are made in this one statement, so that DuckDB's own will do.
_SAME = f"hash(*COLUMNS(* EXCLUDE (row_no, {', '.join(_UNRECORDED)})))"
_WRONG = f"""
CREATE OR REPLACE TEMP TABLE wrong AS
WITH known AS (
  SELECT row_no, run_key, {_SAME} AS digest
  FROM (SELECT rowid AS row_no, * EXCLUDE (sync_id, read_by, request) FROM rl.run_snapshots
        WHERE rowid IN (SELECT row_no FROM latest))),
current AS (
  SELECT run_key, steps_hash, {_SAME} AS digest FROM (SELECT rowid AS row_no, * FROM rl.runs))
SELECT run_key, any_value(k.row_no) AS row_no, count(c.run_key) AS stored,
       count(*) FILTER (c.digest = k.digest) AS agreeing, any_value(c.steps_hash) AS steps_hash
FROM known k FULL JOIN current c USING (run_key)
GROUP BY run_key HAVING stored <> 1 OR agreeing <> 1
"""

_OPEN = "(FROM rl.runs WHERE status_outcome(status) IS NULL AND vanished_at IS NULL)"
_WATCHED = {
    "removed": f"DELETE FROM rl.watched WHERE why = 'open' AND run_key NOT IN (SELECT run_key FROM {_OPEN})",
    "changed": f"UPDATE rl.watched w SET created_at = r.created_at FROM {_OPEN} r "
    "WHERE r.run_key = w.run_key AND w.created_at IS DISTINCT FROM r.created_at",
    # A vendor that was asked for a run and answered with a later attempt of it has nothing more to say of the earlier.
    "added": f"""
    INSERT INTO rl.watched
    SELECT source, run_key, pipeline_id, run_id, attempt, 'open', created_at, observed_at, NULL, 0, 0 FROM {_OPEN} r
    WHERE run_key NOT IN (SELECT run_key FROM rl.watched) AND NOT EXISTS (
      SELECT 1 FROM rl.runs l WHERE l.source = r.source AND l.pipeline_id = r.pipeline_id AND l.run_id = r.run_id
      AND l.attempt > r.attempt)
    """,
}
