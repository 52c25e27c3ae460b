"""What is to be seen on the recorded Airflow: every state its runs and tasks can be in, at the same time.

On a fresh server (see ``server.py``), outside of any cassette:

    token = sign_in(base_url, username, password)
    prepare(base_url, token)              # record: everything but a clear
    run_id = clear_one(base_url, token)   # record: fails_until_cleared is queued again, its start_date null again
    finish_cleared(base_url, token)       # record: the same run id, a success

Not to be had on purpose: the task states ``queued`` and ``restarting`` (they last a moment) and ``removed`` (wants a
DAG that changes).
"""

import contextlib
import http.client
import json
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlencode, urlsplit

ON_DEMAND = (
    "always_succeeds",
    "always_fails",
    "skips_a_task",
    "fails_upstream",
    "passes_on_retry",
    "fails_until_cleared",
    "maps_three",
    "runs_long",
    "waits",
    "stays_paused",
)
SAME_RUN_ID = "nightly-2026-03-01"  # given to two runs: an id is unique within its DAG only

RUNS = Counter(
    {
        ("always_succeeds", "success"): 2,
        ("starts_after_orders", "success"): 2,
        ("always_fails", "failed"): 2,
        ("skips_a_task", "success"): 1,
        ("fails_upstream", "failed"): 1,
        ("passes_on_retry", "success"): 1,
        ("fails_until_cleared", "failed"): 1,
        ("maps_three", "success"): 1,
        ("runs_daily", "success"): 3,
        ("runs_long", "running"): 1,
        ("runs_long", "queued"): 1,
        ("waits", "running"): 1,
        ("stays_paused", "queued"): 1,
    }
)
TASKS = {
    ("skips_a_task", "refresh_holidays", "skipped", 1),
    ("skips_a_task", "publish_holidays", "skipped", 0),
    ("fails_upstream", "extract", "failed", 1),
    ("fails_upstream", "load", "upstream_failed", 0),
    ("passes_on_retry", "extract", "success", 2),
    ("maps_three", "load", "success", 1),
    ("runs_long", "train", "running", 1),
    ("runs_long", "train", None, 0),
    ("runs_long", "evaluate", "scheduled", 1),
    ("waits", "up_for_retry", "up_for_retry", 1),
    ("waits", "up_for_reschedule", "up_for_reschedule", 1),
    ("waits", "deferred", "deferred", 1),
    ("waits", "awaiting_input", "awaiting_input", 1),
}

Json = dict[str, Any]


def sign_in(base_url: str, username: str, password: str) -> str:
    """Return a token, valid for a day."""
    answer = _call(base_url, "POST", "/auth/token", body={"username": username, "password": password})
    return str(answer["access_token"])


def prepare(base_url: str, token: str, *, timeout_s: float = 180) -> None:
    """Trigger the DAGs and return when all of RUNS and TASKS can be seen; a fresh server, once."""
    known = set(ON_DEMAND) | {dag_id for dag_id, _ in RUNS}
    _wait_until(lambda: known - {row["dag_id"] for row in _rows(base_url, token, "/dags", "dags")}, timeout_s)
    _unpause_all_but_stays_paused(base_url, token, known)
    for dag_id in ON_DEMAND:
        _trigger(base_url, token, dag_id)
    _trigger(base_url, token, "runs_long")
    # After the asset's first consumer run: Airflow folds two updates that come close together into one run.
    _wait_until(lambda: {("starts_after_orders", "success")} - set(_runs(base_url, token)), timeout_s)
    for dag_id in ("always_succeeds", "always_fails"):
        _trigger(base_url, token, dag_id, run_id=SAME_RUN_ID)
    _wait_until(lambda: [*(RUNS - _runs(base_url, token)), *(TASKS - _tasks(base_url, token))], timeout_s)


def clear_one(base_url: str, token: str, *, timeout_s: float = 60) -> str:
    """Clear the failed run of ``fails_until_cleared`` and return its id; it stays queued, since its DAG is paused."""
    path = "/dags/fails_until_cleared"
    (run_id,) = [row["dag_run_id"] for row in _rows(base_url, token, f"{path}/dagRuns", "dag_runs")]
    _call(base_url, "PATCH", f"/api/v2{path}", token, {"is_paused": True})
    _call(base_url, "POST", f"/api/v2{path}/dagRuns/{run_id}/clear", token, {"dry_run": False})
    _wait_until(lambda: {("fails_until_cleared", "queued")} - set(_runs(base_url, token)), timeout_s)
    return str(run_id)


def finish_cleared(base_url: str, token: str, *, timeout_s: float = 60) -> None:
    """Let the cleared run go, and return when it has succeeded."""
    _call(base_url, "PATCH", "/api/v2/dags/fails_until_cleared", token, {"is_paused": False})
    _wait_until(lambda: {("fails_until_cleared", "success")} - set(_runs(base_url, token)), timeout_s)


def _unpause_all_but_stays_paused(base_url: str, token: str, dag_ids: set[str]) -> None:
    for dag_id in sorted(dag_ids - {"stays_paused"}):
        _call(base_url, "PATCH", f"/api/v2/dags/{dag_id}", token, {"is_paused": False})


def _trigger(base_url: str, token: str, dag_id: str, run_id: str | None = None) -> None:
    body = {"logical_date": None} | ({"dag_run_id": run_id} if run_id else {})
    _call(base_url, "POST", f"/api/v2/dags/{dag_id}/dagRuns", token, body)


def _runs(base_url: str, token: str) -> Counter[tuple[str, str]]:
    rows = _rows(base_url, token, "/dags/~/dagRuns", "dag_runs")
    return Counter((row["dag_id"], row["state"]) for row in rows)


def _tasks(base_url: str, token: str) -> set[tuple[str, str, str | None, int]]:
    rows = _rows(base_url, token, "/dags/~/dagRuns/~/taskInstances", "task_instances")
    return {(row["dag_id"], row["task_id"], row["state"], row["try_number"]) for row in rows}


def _rows(base_url: str, token: str, path: str, key: str) -> list[Json]:
    """Walk all pages; the server may clamp the limit, so only ``total_entries`` tells when it is the end."""
    rows: list[Json] = []
    while True:
        answer = _call(base_url, "GET", f"/api/v2{path}?{urlencode({'limit': 100, 'offset': len(rows)})}", token)
        rows += answer[key]
        if len(rows) >= answer["total_entries"] or not answer[key]:
            return rows


def _wait_until(missing: Callable[[], Collection[object]], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while left := missing():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not seen within {timeout_s:.0f} s: {left}")
        time.sleep(1)


def _call(base_url: str, method: str, path: str, token: str | None = None, body: Json | None = None) -> Json:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read().decode()
    if response.status >= http.HTTPStatus.BAD_REQUEST:
        raise RuntimeError(f"{method} {path}: {response.status} {text}")
    answer: Json = json.loads(text)
    return answer
