"""Airflow's task instances: their words, their tries, and what becomes of both when a run is cleared.

Source   Measured on a 3.3.2 server; ``TaskInstanceState`` in apache/airflow-client-python ``spec/v2.yaml``.
Quirks   A cleared task gets a new id and the state null, but keeps the dates of its last try until it runs again; a try
         that is to be repeated is ``failed`` in the history (that word is read off Airflow's source, not measured).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from runlake.emulator.timeline import Run, State, StepView
from runlake.emulator.vendor import CANARY, Row, Vendor
from runlake.emulator.world import uuid

_TASK_WORDS: dict[State, str | None] = {
    State.CREATED: None,
    State.RUNNING: "running",
    State.RETRYING: "up_for_retry",
    State.SUCCEEDED: "success",
    State.SKIPPED: "skipped",
    State.FAILED: "failed",
    State.NOT_RUN: "upstream_failed",
}
# A task about to start, and the two ways in which a sensor waits.
_SOON_WORDS = ((timedelta(seconds=2), "queued"), (timedelta(seconds=5), "scheduled"))
_SENSOR_WORDS = ("deferred", "up_for_reschedule")
TASK_STATES = {
    *("removed", "scheduled", "queued", "running", "success", "restarting", "failed", "up_for_retry"),
    *("up_for_reschedule", "upstream_failed", "skipped", "deferred"),
}


@dataclass(frozen=True, slots=True)
class Try:
    number: int
    started_at: datetime
    finished_at: datetime | None
    word: str


def task_word(run: Run, view: StepView, now: datetime) -> str | None:
    if view.state is State.CREATED and run.at(now).started_at:
        left = view.plan.phases[0][0] - now
        return next((word for span, word in _SOON_WORDS if left < span), None)
    if view.state is State.RUNNING and view.plan.name.startswith("wait_for"):
        return _SENSOR_WORDS[run.uid[4] % 2]
    return _TASK_WORDS[view.state]


def tries(run: Run, view: StepView, now: datetime) -> list[Try]:
    """Every try of a task so far, through all attempts at its run, oldest first."""
    found: list[Try] = []
    for attempt in run.attempts(now):
        for step in run.planned(attempt):
            if (step.position, step.map_index) != (view.plan.position, view.plan.map_index):
                continue
            begun: datetime | None = None
            for at, state in step.phases:
                if at > now:
                    break
                if state is State.RUNNING:
                    begun = at
                elif begun is not None:
                    word = "failed" if state is State.RETRYING else _TASK_WORDS[state] or "failed"
                    found.append(Try(len(found) + 1, begun, at, word))
                    begun = None
            if begun is not None:
                found.append(Try(len(found) + 1, begun, None, task_word(run, step.at(now), now) or "running"))
    return found


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start) / timedelta(seconds=1) if start and end else None


def task_row(vendor: Vendor, run: Run, view: StepView, now: datetime, logical_date: str | None) -> Row:
    attempt, past = run.at(now).attempt.number, tries(run, view, now)
    # A task that never ran because of another one starts and ends at the same instant.
    started, finished = view.finished_at, view.finished_at
    if past and view.state is not State.NOT_RUN:
        started, finished = past[-1].started_at, past[-1].finished_at
    version = {"id": uuid("dag", run.pipeline), "version_number": 1, "dag_id": run.pipeline}
    return {
        # The id of a task instance changes when its run is cleared.
        "id": uuid("task", run.uid.hex(), attempt, view.plan.position, view.plan.map_index),
        "task_id": view.plan.name,
        "dag_id": run.pipeline,
        "dag_run_id": vendor.run_id(run),
        "map_index": view.plan.map_index,
        "rendered_map_index": None,
        "logical_date": logical_date,
        "run_after": vendor.stamp(run.created_at),
        "start_date": vendor.stamp(started),
        "end_date": vendor.stamp(finished),
        "duration": seconds_between(started, finished),
        "state": task_word(run, view, now),
        "try_number": len(past),
        "max_tries": attempt,
        "task_display_name": view.plan.name,
        "dag_display_name": run.pipeline,
        "hostname": f"{CANARY}-worker",
        "unixname": f"{CANARY}-unix",
        "pool": "default_pool",
        "pool_slots": 1,
        "queue": "default",
        "priority_weight": 1,
        "operator": "PythonOperator",
        "operator_name": "PythonOperator",
        "queued_when": vendor.stamp(started),
        "scheduled_when": vendor.stamp(started),
        "pid": 4242 if view.started_at else None,
        "executor": None,
        "executor_config": "{}",
        "note": None,
        "rendered_fields": {"op_kwargs": f"{CANARY}-arguments"},
        "trigger": None,
        "triggerer_job": None,
        "dag_version": version,
    }


def try_row(vendor: Vendor, row: Row, one: Try) -> Row:
    """One row of the history of the task that ``row`` shows."""
    return row | {
        "id": None,
        "try_number": one.number,
        "state": one.word,
        "start_date": vendor.stamp(one.started_at),
        "end_date": vendor.stamp(one.finished_at),
        "duration": seconds_between(one.started_at, one.finished_at),
    }
