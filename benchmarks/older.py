"""Puts older runs into a ledger, by SQL: `python -m benchmarks.older LEDGER HOW_MANY`.

Copies of its own runs with their steps, snapshots and payloads, under new ids, moved back by whole spans of time; so
old and new ones are as much alike as in a ledger that grew.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from benchmarks.vendor_world import SPAN
from runlake.store.database import connect

_KEY = "md5(run_key::VARCHAR || '{time}')::UUID AS run_key"
_RUNS = (
    "run_id || '-{time}' AS run_id, created_at - {back} AS created_at, (created_at - {back})::DATE AS created_date, "
    "started_at - {back} AS started_at, finished_at - {back} AS finished_at, updated_at - {back} AS updated_at, "
    "first_seen_at - {back} AS first_seen_at, observed_at - {back} AS observed_at"
)
_STEPS = (
    "run_created_at - {back} AS run_created_at, started_at - {back} AS started_at, finished_at - {back} AS finished_at,"
    " observed_at - {back} AS observed_at"
)
_FINAL = "status IN ('succeeded', 'failed', 'cancelled')"
_TABLES = {
    "runs": _RUNS,
    "run_snapshots": _RUNS,
    "steps": _STEPS,
    "run_payloads": "observed_at - {back} AS observed_at",
}


def add_older(con: duckdb.DuckDBPyConnection, count: int) -> None:
    """Adds `count` runs to a ledger that is not empty. All of them final: open ones would be read again by id."""
    con.execute(f"CREATE TEMP TABLE model AS SELECT run_key, created_at FROM rl.runs WHERE {_FINAL}")
    have = con.execute("SELECT count(*) FROM model").fetchall()[0][0]
    for table in _TABLES:
        con.execute(f"CREATE TEMP TABLE model_{table} AS SELECT t.* FROM rl.{table} t SEMI JOIN model USING (run_key)")
    for time in range(1, -(-count // have) + 1):
        wanted = min(have, count - have * (time - 1))
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT run_key FROM model ORDER BY created_at DESC LIMIT {wanted}"
        )
        back = f"INTERVAL {int(SPAN.total_seconds()) * time} SECOND"
        for table, changes in _TABLES.items():
            replaced = f"{_KEY}, {changes}".format(time=time, back=back)
            con.execute(
                f"INSERT INTO rl.{table} SELECT * REPLACE ({replaced}) FROM model_{table} t SEMI JOIN chosen "
                "USING (run_key)"
            )
    con.execute("CHECKPOINT lake")


if __name__ == "__main__":
    ledger, count = sys.argv[1:]
    opened = connect(Path(ledger))
    add_older(opened, int(count))
    opened.close()
    print("null")
