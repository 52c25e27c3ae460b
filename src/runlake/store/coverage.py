"""What a vendor lists against what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from runlake.model import RunRef
from runlake.store.books import Watched, rows


def stored(con: duckdb.DuckDBPyConnection, source: str, keys: Sequence[str]) -> set[str]:
    """Which of these run_keys the ledger holds."""
    found = con.execute(
        "SELECT run_key::VARCHAR FROM rl.runs WHERE source = ? AND run_key IN (SELECT unnest(?::VARCHAR[])::UUID)",
        [source, list(keys)],
    ).fetchall()
    return {key.replace("-", "") for (key,) in found}


def unseen(
    con: duckdb.DuckDBPyConnection,
    source: str,
    since: datetime,
    until: datetime,
    seen: Sequence[str],
    failed_feeds: Sequence[str],
    most: int,
) -> list[Watched]:
    """Final runs created in [since, until] whose keys were not seen, newest first; at most `most`.

    Runs of feeds that could not be walked (by the prefix rule of Feed) are left out: not seeing them proves nothing.
    """
    con.register("seen", pa.table({"run_key": pa.array(seen, pa.string())}))
    con.execute("CREATE OR REPLACE TEMP TABLE seen_keys AS SELECT run_key::UUID AS run_key FROM seen")
    con.unregister("seen")
    found = rows(
        con,
        """
        SELECT pipeline_id, run_id, attempt, created_at, observed_at FROM rl.runs
        WHERE source = $source AND created_at BETWEEN $since AND $until AND vanished_at IS NULL
          AND status_outcome(status) IS NOT NULL AND run_key NOT IN (SELECT run_key FROM seen_keys)
          AND NOT EXISTS (SELECT 1 FROM unnest($failed::VARCHAR[]) AS u(f)
                          WHERE f = '' OR pipeline_id = f OR starts_with(pipeline_id, f || '/'))
        ORDER BY created_at DESC LIMIT $most
        """,
        {
            "source": source,
            "since": since,
            "until": until,
            "failed": list(failed_feeds),
            "most": most,
        },
    )
    return [
        Watched(
            ref=RunRef(row["pipeline_id"], row["run_id"], row["attempt"]),
            why="unseen",
            since=row["observed_at"],
            created_at=row["created_at"],
        )
        for row in found
    ]


def compare(
    con: duckdb.DuckDBPyConnection, source: str, listed: Sequence[tuple[str, str, str, datetime]], at: datetime
) -> list[dict[str, Any]]:
    keys, pipelines, runs, created = zip(*listed, strict=True) if listed else ((), (), (), ())
    con.register(
        "listed",
        pa.table(
            {
                "run_key": pa.array(keys, pa.string()),
                "pipeline_id": pa.array(pipelines, pa.string()),
                "run_id": pa.array(runs, pa.string()),
                "created_at": pa.array(created, pa.timestamp("us", tz="UTC")),
            }
        ),
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE listed_runs AS SELECT DISTINCT * REPLACE (run_key::UUID AS run_key) FROM listed"
    )
    con.unregister("listed")
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE compared AS
        SELECT $source AS source, l.pipeline_id, l.created_at::DATE AS day, count(*) AS expected,
               count(r.run_key) AS stored, count(*) - count(r.run_key) AS missing,
               coalesce(list(l.run_id ORDER BY l.run_id) FILTER (r.run_key IS NULL), []) AS missing_run_ids,
               $at::TIMESTAMPTZ AS checked_at
        FROM listed_runs l
        LEFT JOIN (SELECT DISTINCT run_key FROM rl.runs WHERE source = $source) r ON r.run_key = l.run_key
        GROUP BY ALL
        """,
        {"source": source, "at": at},
    )
    con.execute("INSERT INTO rl.coverage BY NAME FROM compared")
    return rows(con, "SELECT * EXCLUDE (source, checked_at) FROM compared ORDER BY day, pipeline_id")
