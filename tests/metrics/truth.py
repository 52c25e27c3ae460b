"""What is to be known of a history at an instant, as polars frames: without a ledger, by what STATE and KEPT say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from runlake.model import RunStatus, run_key

from .histories import WORDS, History, Listed, Look, Seen

Row = dict[str, Any]

INSTANT = pl.Datetime("us", "UTC")

# A run is as it was last shown; of this, what an answer leaves out is as it was shown before.
KEPT = ("pipeline_name", "pipeline_version", "trigger", "triggered_by", "run_url")
# It has changed where any of this has, its status included; a new name or another updated_at alone is no change.
STATE = (
    "vendor_status",
    "status",
    "error_code",
    "error_message",
    "pipeline_version",
    "run_url",
    "started_at",
    "finished_at",
    "labels",
    "metrics",
    "vanished_at",
)
SHOWN = (*KEPT, "vendor_status", "started_at", "finished_at", "updated_at", "error_code", "error_message")

RUNS: dict[str, Any] = {
    "run_key": pl.String,
    "source": pl.String,
    "vendor": pl.String,
    "pipeline_id": pl.String,
    "pipeline_name": pl.String,
    "run_id": pl.String,
    "attempt": pl.Int64,
    "pipeline_version": pl.String,
    "status": pl.String,
    "outcome": pl.String,
    "vendor_status": pl.String,
    "created_at": INSTANT,
    "started_at": INSTANT,
    "finished_at": INSTANT,
    "updated_at": INSTANT,
    "queued_ms": pl.Int64,
    "duration_ms": pl.Int64,
    "error_code": pl.String,
    "error_message": pl.String,
    "run_url": pl.String,
    "labels": pl.Object,
    "metrics": pl.Object,
    "first_seen_at": INSTANT,
    "observed_at": INSTANT,
    "vanished_at": INSTANT,
    "error": pl.String,
}
"""The columns of the view `runs`, and which of ERRORS it is."""

STEPS: dict[str, Any] = {
    "run_key": pl.String,
    "source": pl.String,
    "step_no": pl.Int64,
    "step_id": pl.String,
    "name": pl.String,
    "kind": pl.String,
    "status": pl.String,
    "error_message": pl.String,
    "observed_at": INSTANT,
}
COMPARED: dict[str, Any] = {
    "source": pl.String,
    "pipeline_id": pl.String,
    "day": pl.Date,
    "expected": pl.Int64,
    "stored": pl.Int64,
    "checked_at": INSTANT,
}
WAITED: dict[str, Any] = {"run_key": pl.String, "at": INSTANT, "status": pl.String, "vanished": pl.Boolean}


@dataclass
class Known:
    """`changes`: each status of a run and since when we have seen it so. `compared`: of each pipeline and day, all
    comparisons."""

    runs: pl.DataFrame
    steps: pl.DataFrame
    compared: pl.DataFrame
    changes: pl.DataFrame
    observed_through: dict[str, datetime | None]


@dataclass
class _Life:
    row: Row
    steps: list[Row] = field(default_factory=list)
    steps_known: bool = False


def known(history: History, at: datetime | None = None) -> Known:
    """What there was to know at an instant; None: all. Of steps, the run's `observed_at` is that of its last change of
    anything, as the view `runs` has it where `at` is None, else that of the last change of the run itself."""
    lives: dict[str, _Life] = {}
    compared: list[Row] = []
    changes: list[Row] = []
    through: dict[str, datetime | None] = {}
    mapping: dict[str, Mapping[str, RunStatus]] = {}
    for event in history:
        if at is not None and event.at > at:
            break
        if isinstance(event, Listed):
            compared += _compared(lives, event)
            continue
        if mapping.get(event.source, {}) != event.statuses:
            for life in lives.values():
                if life.row["source"] == event.source:
                    status = _status(life.row["vendor_status"], event)
                    if status != life.row["status"]:
                        life.row |= {"status": status, "observed_at": event.at}
                        changes.append(_change(life.row))
        mapping[event.source] = event.statuses
        through.setdefault(event.source, None)
        if at is not None and event.seen_at > at:
            continue
        through[event.source] = event.observed_through or through.get(event.source)
        for seen in event.seen:
            if _see(lives, seen, event, of_steps=at is None):
                changes.append(_change(lives[run_key(event.source, seen.run.ref)].row))
        for ref in event.gone:
            row = lives[run_key(event.source, ref)].row
            row |= {"vanished_at": event.seen_at, "observed_at": event.seen_at}
            changes.append(_change(row))
    rows = [_as_shown(life.row) for life in lives.values()]
    return Known(
        runs=frame(rows, RUNS),
        steps=frame([step for life in lives.values() for step in life.steps], STEPS),
        compared=frame(compared, COMPARED),
        changes=frame(changes, WAITED),
        observed_through=through,
    )


def frame(rows: Iterable[Row], schema: dict[str, Any]) -> pl.DataFrame:
    rows = list(rows)
    return pl.DataFrame({name: pl.Series(name, [row[name] for row in rows], type_) for name, type_ in schema.items()})


def _status(word: str, look: Look) -> str:
    return (look.statuses.get(word) or WORDS.get(word) or RunStatus.UNKNOWN).value


def _change(row: Row) -> Row:
    return {
        "run_key": row["run_key"],
        "at": row["observed_at"],
        "status": row["status"],
        "vanished": row["vanished_at"] is not None,
    }


def _see(lives: dict[str, _Life], seen: Seen, look: Look, *, of_steps: bool) -> bool:
    """Takes note of what was shown; whether the run is new or has changed."""
    run = seen.run
    key = run_key(look.source, run.ref)
    life = lives.get(key)
    before: Row = life.row if life else {}
    row: Row = {name: getattr(run, name) for name in SHOWN}
    row |= {name: before.get(name) for name in KEPT if row[name] is None}
    row |= {
        "run_key": key,
        "source": look.source,
        "vendor": look.vendor,
        "pipeline_id": run.pipeline_id,
        "run_id": run.run_id,
        "attempt": run.attempt,
        "status": _status(run.vendor_status, look),
        "created_at": before.get("created_at") or run.created_at or run.started_at or look.seen_at,
        "labels": before.get("labels", {}) | run.labels,
        "metrics": before.get("metrics", {}) | run.metrics,
        "first_seen_at": before.get("first_seen_at") or look.seen_at,
        "observed_at": look.seen_at,
        "vanished_at": None,
        "error": seen.error,
    }
    changed = life is None or any(row[name] != before[name] for name in STATE)
    if life is None:
        life = lives[key] = _Life(row)
    steps = None if run.steps is None else [_step(key, look, number, step) for number, step in enumerate(run.steps)]
    as_before = life.steps_known and steps is not None and _bare(steps) == _bare(life.steps)
    if changed:
        life.row = row
        life.steps_known = steps is not None
    if steps is not None and not as_before:
        life.steps, life.steps_known = steps, True
        life.row = row if changed or of_steps else life.row
    return changed


def _step(key: str, look: Look, number: int, step: Any) -> Row:
    return {
        "run_key": key,
        "source": look.source,
        "step_no": number,
        "step_id": step.step_id,
        "name": step.name,
        "kind": step.kind,
        "status": WORDS.get(step.vendor_status, RunStatus.UNKNOWN).value,
        "error_message": step.error_message,
        "observed_at": look.seen_at,
    }


def _bare(steps: list[Row]) -> list[Row]:
    return [{name: value for name, value in step.items() if name not in {"observed_at", "kind"}} for step in steps]


def _as_shown(row: Row) -> Row:
    status = RunStatus(row["status"])
    has_end = status.is_final or status is RunStatus.UNKNOWN
    return row | {
        "outcome": status.outcome and status.outcome.value,
        "queued_ms": _between(row["created_at"], row["started_at"]),
        "finished_at": row["finished_at"] if has_end else None,
        "duration_ms": _between(row["started_at"], row["finished_at"]) if has_end else None,
    }


def _between(start: datetime | None, end: datetime | None) -> int | None:
    if start is None or end is None or end < start:
        return None
    return (end - start) // timedelta(milliseconds=1)


def _compared(lives: dict[str, _Life], listed: Listed) -> list[Row]:
    stored = {(life.row["pipeline_id"], life.row["run_id"]) for life in lives.values() if _is_first(life, listed)}
    days: dict[tuple[str, Any], list[str]] = {}
    for pipeline_id, run_id, created_at in listed.runs:
        days.setdefault((pipeline_id, created_at.date()), []).append(run_id)
    return [
        {
            "source": listed.source,
            "pipeline_id": pipeline_id,
            "day": day,
            "expected": len(runs),
            "stored": sum((pipeline_id, run) in stored for run in runs),
            "checked_at": listed.at,
        }
        for (pipeline_id, day), runs in days.items()
    ]


def _is_first(life: _Life, listed: Listed) -> bool:
    return bool(life.row["source"] == listed.source and life.row["attempt"] == 1)
