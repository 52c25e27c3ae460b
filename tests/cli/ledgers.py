"""A published ledger made of rows, for the commands that only read one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from runlake.model import RunRef, RunStatus, run_key
from runlake.store.database import connect
from runlake.store.published import publish

NOW = datetime.now(UTC).replace(microsecond=0)

CONFIG = """
database = "ledger.duckdb"

[[source]]
name = "etl"
connector = "airflow"
settings = { base_url = "https://etl.example", token = { env = "X" } }

[[source]]
name = "chat"
connector = "airflow"
settings = { base_url = "https://chat.example", token = { env = "X" } }
"""


def a_run(run_id: str, ago: timedelta, status: str = "succeeded", **facts: Any) -> dict[str, Any]:
    """A row of `rl.runs`, created so long before NOW; what is over took a minute."""
    created = NOW - ago
    over = RunStatus(status).is_final
    source, pipeline, attempt = facts.get("source", "etl"), facts.get("pipeline_id", "p1"), facts.get("attempt", 1)
    return {
        "run_key": UUID(run_key(source, RunRef(pipeline, run_id, attempt))),
        "source": source,
        "vendor": "airflow",
        "pipeline_id": pipeline,
        "run_id": run_id,
        "attempt": attempt,
        "status": status,
        "vendor_status": status,
        "created_at": created,
        "created_date": created.date(),
        "started_at": created,
        "finished_at": created + timedelta(minutes=1) if over else None,
        "duration_ms": 60_000 if over else None,
        "first_seen_at": created,
        "observed_at": created,
        "state_hash": 1,
        **facts,
    }


def a_step(run: Mapping[str, Any], name: str, status: str = "failed", number: int = 0, **facts: Any) -> dict[str, Any]:
    return {
        "run_key": run["run_key"],
        "run_created_at": run["created_at"],
        "source": run["source"],
        "step_no": number,
        "step_id": f"step {number}",
        "name": name,
        "status": status,
        "vendor_status": status,
        "observed_at": run["created_at"],
        **facts,
    }


def publish_ledger(
    folder: Path, runs: Iterable[Mapping[str, Any]], steps: Iterable[Mapping[str, Any]] = (), *, as_of: datetime = NOW
) -> Path:
    """Adds them to the ledger in `folder`, and publishes it; the config that names it."""
    database = folder / "ledger.duckdb"
    is_new = not database.exists()
    with connect(database) as con:
        for table, rows in (("runs", list(runs)), ("steps", list(steps))):
            for row in rows:
                marks = ", ".join("?" for _ in row)
                con.execute(f"INSERT INTO rl.{table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        con.execute(
            "INSERT INTO rl.watched BY NAME SELECT source, run_key, pipeline_id, run_id, attempt, 'open' AS why, "
            "created_at, created_at AS since, created_at AS read_at, 1 AS reads, 0 AS failures "
            "FROM rl.runs r WHERE status_outcome(status) IS NULL "
            "AND NOT EXISTS (FROM rl.watched w WHERE w.run_key = r.run_key)"
        )
        if is_new:
            for source, seen in (("etl", as_of - timedelta(minutes=2)), ("chat", as_of - timedelta(minutes=1))):
                con.execute("INSERT INTO rl.sources VALUES (?, 'airflow', 'Airflow', ?, ?)", [source, seen, seen])
        publish(con, database, as_of)
    (folder / "runlake.toml").write_text(CONFIG)
    return folder / "runlake.toml"
