"""The status mapping as data: kept in `status_map`, and applied again to stored history when it changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import duckdb

from runlake.model import StatusTable
from runlake.store.books import rows
from runlake.store.periods import touch
from runlake.store.unjudged import unjudge


def put(
    con: duckdb.DuckDBPyConnection,
    source: str,
    vendor: str,
    tables: Mapping[str, tuple[StatusTable, StatusTable]],
) -> bool:
    """Makes the mapping of a source the stored one; True where that changed anything.

    `tables`: by level (run, step), the connector's table and the source's overrides.
    """
    wanted = {
        (level, word): (status.value, "config" if word in overrides else "connector")
        for level, (own, overrides) in tables.items()
        for word, status in {**own, **overrides}.items()
    }
    stored = {
        (row["level"], row["vendor_status"]): (row["status"], row["origin"])
        for row in rows(con, "SELECT * FROM rl.status_map WHERE source = ?", [source])
    }
    if wanted == stored:
        return False
    con.execute("DELETE FROM rl.status_map WHERE source = ?", [source])
    for (level, word), (status, origin) in wanted.items():
        con.execute(
            "INSERT INTO rl.status_map VALUES (?, ?, ?, ?, ?, ?)", [source, vendor, level, word, status, origin]
        )
    return True


def remap(con: duckdb.DuckDBPyConnection, source: str, at: datetime) -> list[dict[str, Any]]:
    """Applies the stored mapping to the source's runs and steps, from the vendor's own words.

    Returns what changes: level, vendor_status, before, after, rows. Runs that change get a snapshot (read_by = remap),
    so what was reported before stays known. Needs an open transaction.
    """
    changes: list[dict[str, Any]] = []
    for level, table in (("run", "runs"), ("step", "steps")):
        changes += rows(
            con,
            f"SELECT $level AS level, t.vendor_status, t.status AS before, coalesce(m.status, 'unknown') AS after, "
            f"count(*) AS rows FROM rl.{table} t {_JOIN} GROUP BY ALL ORDER BY ALL",
            {"level": level, "source": source},
        )
    if not changes:
        return changes
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE remapped AS SELECT t.run_key, coalesce(m.status, 'unknown') AS status "
        f"FROM rl.runs t {_JOIN}",
        {"level": "run", "source": source},
    )
    con.execute(
        "UPDATE rl.runs AS t SET status = r.status, observed_at = ? FROM remapped r WHERE r.run_key = t.run_key", [at]
    )
    con.execute(
        "INSERT INTO rl.run_snapshots BY NAME SELECT *, 'remap' AS read_by, '' AS request "
        "FROM rl.runs WHERE run_key IN (SELECT run_key FROM remapped)"
    )
    touch(con, "SELECT created_date FROM rl.runs WHERE run_key IN (SELECT run_key FROM remapped)")
    unjudge(con, "SELECT source, pipeline_id FROM rl.runs WHERE run_key IN (SELECT run_key FROM remapped)")
    steps = {"level": "step", "source": source}
    touch(con, f"SELECT DISTINCT t.run_created_at FROM rl.steps t {_JOIN}", steps)
    con.execute(
        f"INSERT INTO rl.past_step_failures SELECT t.*, $at FROM rl.steps t {_JOIN} "
        "AND status_outcome(t.status) = 'failure'",
        {**steps, "at": at},
    )
    con.execute(
        "UPDATE rl.steps AS u SET status = coalesce(m.status, 'unknown'), observed_at = $at "
        f"FROM rl.steps t {_JOIN} AND t.run_key = u.run_key AND t.step_no = u.step_no",
        {**steps, "at": at},
    )
    con.execute(
        "DELETE FROM rl.watched WHERE run_key IN "
        "(SELECT run_key FROM remapped WHERE status_outcome(status) IS NOT NULL)"
    )
    con.execute(
        """
        INSERT INTO rl.watched
        SELECT source, run_key, pipeline_id, run_id, attempt, 'open', created_at, $at, NULL, 0, 0 FROM rl.runs
        WHERE run_key IN (SELECT run_key FROM remapped WHERE status_outcome(status) IS NULL) AND vanished_at IS NULL
          AND run_key NOT IN (SELECT run_key FROM rl.watched)
        """,
        {"at": at},
    )
    return changes


_JOIN = (
    "LEFT JOIN rl.status_map m ON m.source = t.source AND m.level = $level AND m.vendor_status = t.vendor_status "
    "WHERE t.source = $source AND t.status <> coalesce(m.status, 'unknown')"
)
