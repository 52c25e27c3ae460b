"""Thirteen weeks of four sources in a ledger, written as syncs would leave it; and what may happen after."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from runlake.model import RunRef, run_key
from runlake.report.period import Period, period
from runlake.store.database import connect
from runlake.store.published import publish

ZONE = ZoneInfo("Europe/Berlin")
WEEK = "2026-W46"
MONDAY = datetime(2026, 11, 9, tzinfo=ZONE).astimezone(UTC)
AS_OF = datetime(2026, 11, 18, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

HOSTILE = '<script>alert(1)</script>|[x](javascript:alert(1))\u202e"\x1b[31m'

VENDORS = {"chat": "Talk", "docs": "Paper", "etl": "Flow", "ml": "Brain"}
_OUTCOMES = {"ok": "succeeded", "warn": "succeeded_with_warnings", "bad": "failed", "stop": "cancelled"}
_STATUSES = {**_OUTCOMES, "going": "running", "review": "waiting", "odd": "unknown"}


def reported(week: str = WEEK, **more: Any) -> Period:
    return period(week=week, zone=ZONE, now=AS_OF, **{"as_of": AS_OF, **more})


@dataclass
class History:
    """What syncs saw."""

    snapshots: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self,
        place: str,
        created_at: datetime,
        word: str = "ok",
        lasted: timedelta = 5 * MINUTE,
        *,
        attempt: int = 1,
        run_id: str = "",
        error: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Seen while it ran and when it had ended, if it has; as it was seen last."""
        source, _, pipeline_id = place.partition("/")
        run_id = run_id or f"{created_at:%m%d%H%M}"
        row = {
            "run_key": str(uuid.UUID(run_key(source, RunRef(pipeline_id, run_id, attempt)))),
            "source": source, "vendor": VENDORS[source], "pipeline_id": pipeline_id, "run_id": run_id,
            "attempt": attempt, "created_at": created_at, "created_date": created_at.date(),
            "first_seen_at": created_at + MINUTE, "started_at": created_at + MINUTE, "queued_ms": 60_000,
            "state_hash": len(self.snapshots),
            "run_url": f"https://{source}.example.com/{pipeline_id}/{run_id}/{attempt}",
            "pipeline_name": pipeline_id.title(), "labels": [("team", source)],
            "read_by": "list", "request": "GET /runs",
            **more,
        }  # fmt: skip
        self._saw(row, "going", created_at + MINUTE)
        if word != "going":
            ended = created_at + MINUTE + lasted
            row |= {"error_message": error, "finished_at": ended, "duration_ms": lasted // timedelta(milliseconds=1)}
            self._saw(row, word, ended + 2 * MINUTE)
        return row

    def _saw(self, row: dict[str, Any], word: str, at: datetime) -> None:
        self.snapshots.append({**row, "vendor_status": word, "status": _STATUSES[word], "observed_at": at})

    def saw(self, row: dict[str, Any], word: str, at: datetime, **more: Any) -> None:
        """The same run once more, changed."""
        self._saw({**row, "state_hash": len(self.snapshots), **more}, word, at)

    def step(self, run: dict[str, Any], name: str, word: str, error: str | None) -> None:
        self.steps.append(
            {
                "run_key": run["run_key"],
                "run_created_at": run["created_at"],
                "source": run["source"],
                "step_no": 0,
                "step_id": name,
                "name": name,
                "status": _STATUSES[word],
                "vendor_status": word,
                "error_message": error,
                "observed_at": run["finished_at"] + 2 * MINUTE,
            }
        )

    def put(self, con: duckdb.DuckDBPyConnection) -> None:
        """Adds what was seen, and makes the runs what they were seen as last."""
        for table, rows in (("run_snapshots", self.snapshots), ("steps", self.steps)):
            if rows:
                columns = dict.fromkeys(key for row in rows for key in row)
                kinds = {"labels": pa.map_(pa.string(), pa.string()), "metrics": pa.map_(pa.string(), pa.float64())}
                con.register(
                    "seen", pa.table({key: pa.array([row.get(key) for row in rows], kinds.get(key)) for key in columns})
                )
                con.execute(f"INSERT INTO rl.{table} BY NAME FROM seen")
                con.unregister("seen")
        con.execute("DELETE FROM rl.runs")
        con.execute(
            "INSERT INTO rl.runs BY NAME SELECT * EXCLUDE (sync_id, read_by, request) FROM rl.run_snapshots "
            "QUALIFY row_number() OVER (PARTITION BY run_key ORDER BY observed_at DESC) = 1"
        )


def _days(since: datetime, until: datetime, every: timedelta = DAY) -> Iterator[datetime]:
    while since < until:
        yield since
        since += every


def thirteen_weeks() -> History:
    """Until the end of the reported week, as was known a few hours later."""
    seen = History()
    begin, end = MONDAY - 12 * 7 * DAY, MONDAY + 7 * DAY
    for at in _days(begin + 3 * HOUR, end):
        broken = at >= MONDAY + 2 * DAY
        run = seen.run(
            "etl/load", at, "bad" if broken else "ok", error=f"connection {at:%d} refused" if broken else None
        )
        if broken:
            seen.step(run, "open the door", "bad", f"no key {at:%d}")
    for week in range(-12, 1):
        at = MONDAY + week * 7 * DAY + DAY + 4 * HOUR
        seen.run("etl/clean", at, "bad", error="disk full")
        seen.run("etl/clean", at + HOUR)
    for at in _days(begin + 5 * HOUR, end):
        late = MONDAY - 7 * DAY <= at < MONDAY
        seen.run("etl/summary", at, "bad" if late else "ok", error="no such table 'x1'" if late else None)
    for at in _days(begin + 6 * HOUR, end, 6 * HOUR):
        seen.run("etl/slow", at, lasted=(15 if at >= MONDAY else 5) * MINUTE + (at.hour * timedelta(seconds=1)))
    for number, at in enumerate(_days(begin + 7 * HOUR, end, 8 * HOUR)):
        bad = number % (2 if at >= MONDAY else 20) == 1
        seen.run("etl/shaky", at, "bad" if bad else "ok", error=f"timeout after {number} s" if bad else None)
    for at in _days(begin + 8 * HOUR, end):
        metrics = [("tokens", 1000.0 + at.day), ("rows", 10.0)]
        if at.weekday() == 3:
            seen.run("ml/train", at, "bad", error="out of memory", metrics=metrics, pipeline_version="v1")
            seen.run("ml/train", at + HOUR, attempt=2, run_id=f"{at:%m%d%H%M}", metrics=metrics, pipeline_version="v1")
        else:
            seen.run("ml/train", at, "bad" if at.weekday() == 5 else "ok", metrics=metrics, pipeline_version="v1")
    patient = seen.run("ml/review", MONDAY + DAY, "going")
    seen.saw(patient, "review", MONDAY + DAY + HOUR)
    quick = seen.run("ml/review", MONDAY + 2 * DAY, "going")
    seen.saw(quick, "review", MONDAY + 2 * DAY + HOUR)
    ended = {"finished_at": MONDAY + 2 * DAY + 4 * HOUR, "duration_ms": 14_400_000}
    seen.saw(quick, "ok", MONDAY + 2 * DAY + 4 * HOUR, **ended)
    seen.run("ml/late", MONDAY - 2 * DAY, "bad", 3 * DAY, error="gave up")
    for at in _days(begin + 9 * HOUR, MONDAY - 2 * DAY):
        seen.run("chat/talk", at)
    seen.run("etl/evil", MONDAY + 3 * DAY, "bad", error=HOSTILE, pipeline_name=HOSTILE, run_url="javascript:alert(1)")
    seen.run("etl/evil", MONDAY + 4 * DAY, "stop", pipeline_name=HOSTILE)
    seen.run("etl/evil", MONDAY + 5 * DAY, "odd", pipeline_name=HOSTILE)
    return seen


def books(con: duckdb.DuckDBPyConnection) -> None:
    """What is known of the sources: `etl` and `ml` are seen; `chat` was not since before the week; `docs` never."""
    began = MONDAY - 12 * 7 * DAY
    for source, first, through in (
        ("chat", began, MONDAY - 2 * DAY),
        ("docs", None, None),
        ("etl", began, AS_OF),
        ("ml", began, AS_OF),
    ):
        con.execute("INSERT INTO rl.sources VALUES (?, ?, ?, ?, ?)", [source, VENDORS[source], source, first, through])
    sync(con, "docs", MONDAY - 7 * DAY, "failed")
    for day, stored, at in ((0, 6, 1), (1, 7, 2)):
        con.execute(
            "INSERT INTO rl.coverage VALUES ('etl', 'load', ?, 8, ?, ?, [], ?)",
            [date(2026, 11, 9) + day * DAY, stored, 8 - stored, MONDAY + at * DAY],
        )
    for key, fired, over in (("etl/load", 3, None), ("etl/evil", 4, 5), ("etl/clean", -3, -2)):
        alert(con, key, MONDAY + fired * DAY, None if over is None else MONDAY + over * DAY)


def sync(con: duckdb.DuckDBPyConnection, source: str, at: datetime, outcome: str = "ok") -> None:
    con.execute(
        "INSERT INTO rl.syncs VALUES (uuid(), ?, ?, 'sync', ?, ?, ?, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, false, 1, 1, "
        "0, 0, NULL, ?, [])",
        [source, VENDORS[source], at, at + MINUTE, outcome, at if outcome == "ok" else None],
    )


def alert(con: duckdb.DuckDBPyConnection, key: str, fired: datetime, over: datetime | None) -> None:
    source, _, pipeline = key.partition("/")
    con.execute(
        "INSERT INTO rl.alerts BY NAME SELECT ?::UUID AS alert_id, 'failed' AS rule, 'failed' AS kind, ? AS key, "
        "? AS state, 'warning' AS severity, ? AS source, ? AS pipeline_id, ?::TIMESTAMPTZ AS since, "
        "since AS pending_at, since AS fired_at, ?::TIMESTAMPTZ AS resolved_at, since AS judged_at, "
        "'it failed' AS why, '{}' AS facts, false AS flapping",
        [str(uuid.uuid5(uuid.NAMESPACE_URL, f"{key} {fired}")), key, "firing" if over is None else "resolved", source,
         pipeline, fired, over],
    )  # fmt: skip


def seed(ledger: Path) -> None:
    with connect(ledger) as con:
        thirteen_weeks().put(con)
        books(con)
        publish(con, ledger, AS_OF)


def later(ledger: Path) -> None:
    """A week goes by: old runs are run again, reopened, read as something else and gone; others are new; what could not
    be seen is seen; what was broken is whole; alerts are over; a source is new."""
    now = AS_OF + 7 * DAY
    seen = History()
    with connect(ledger) as con:
        seen.run("etl/load", now - HOUR)
        known = thirteen_weeks().snapshots
        ended = [row for row in known if row["created_at"] >= MONDAY - 14 * DAY and row["vendor_status"] != "going"]
        for number, row in enumerate(ended):
            match number % 5:
                case 0:
                    again = {"attempt": row["attempt"] + 1, "run_id": row["run_id"]}
                    seen.run(f"{row['source']}/{row['pipeline_id']}", row["created_at"] + MINUTE, **again)
                    seen.snapshots[-1] |= {"observed_at": now}
                    seen.snapshots[-2] |= {"observed_at": now - MINUTE}
                case 1:
                    seen.saw(row, "going", now)
                case 2:
                    seen.saw(row, "bad" if row["status"] == "succeeded" else "ok", now, read_by="remap")
                case 3:
                    seen.saw(row, row["vendor_status"], now, vanished_at=now)
        for day in range(4):
            seen.run("chat/talk", MONDAY + day * DAY, "bad", error="found late")
            seen.snapshots[-1] |= {"observed_at": now}
            seen.snapshots[-2] |= {"observed_at": now}
        seen.put(con)
        con.execute("INSERT INTO rl.gaps VALUES ('chat', ?, ?)", [MONDAY - 2 * DAY, now])
        con.execute(
            "UPDATE rl.sources SET observed_through = ?, first_synced_at = coalesce(first_synced_at, ?)", [now, now]
        )
        con.execute("INSERT INTO rl.sources VALUES ('new', 'Flow', 'new', ?, ?)", [now, now])
        con.execute(
            "INSERT INTO rl.coverage "
            "SELECT * REPLACE (expected AS stored, 0 AS missing, ?::TIMESTAMPTZ AS checked_at) FROM rl.coverage",
            [now],
        )
        con.execute("UPDATE rl.alerts SET resolved_at = coalesce(resolved_at, ?), state = 'resolved'", [now])
        con.execute("INSERT INTO rl.past_step_failures SELECT *, ? FROM rl.steps", [now])
        con.execute("DELETE FROM rl.steps")
        sync(con, "docs", now)
        publish(con, ledger, now)
