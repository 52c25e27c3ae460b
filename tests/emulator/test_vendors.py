"""Each vendor over a real socket: envelope, paging, credentials, missing things, and the truth behind it."""

import socket
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from runlake.emulator import CANARY, Emulator, TrueRun

from .conftest import VENDORS, Desk

Rows = dict[tuple[str, str], dict[str, Any]]


def _visible(desk: Desk, name: str) -> dict[tuple[str, str], TrueRun]:
    return {(run.pipeline_id, run.run_id): run for run in desk.emulator.truth(name) if run.visible}


def _agrees(truth: TrueRun, *, word: str, created: str, finished: str | None) -> bool:
    def same(text: str | None, instant: datetime | None) -> bool:
        return (text is None) == (instant is None) and (text is None or datetime.fromisoformat(text) == instant)

    return truth.vendor_status == word and same(created, truth.created_at) and same(finished, truth.finished_at)


@pytest.mark.parametrize("name", VENDORS)
def test_every_answer_says_that_it_is_simulated_and_tells_the_vendors_time(desk: Desk, name: str) -> None:
    response = desk.listing(name)
    assert response.status_code == 200
    assert response.headers["X-Emulator"] == "simulated"
    assert response.headers["Date"] == "Mon, 13 Jul 2026 09:00:00 GMT"


@pytest.mark.parametrize("name", VENDORS)
def test_without_the_right_credentials_nothing_is_served(desk: Desk, name: str) -> None:
    url = f"{desk.base_url}/{name}{desk.list_path(name)}"
    refused = desk.client.get(url)
    assert refused.status_code == 401
    assert desk.client.get(url, headers=dict.fromkeys(desk.headers(name), "wrong")).status_code == 401
    envelope = {
        "clinia": {"code", "type", "message", "details"},
        "clerk": {"statusCode", "message", "error"},
        "truestate": {"detail"},
        "clarifeye": {"error"},
        "esper": {"code", "message", "content"},
        "airflow": {"detail"},
    }
    assert set(refused.json()) == envelope[name]


@pytest.mark.parametrize("name", VENDORS)
def test_requests_are_logged_and_counted(desk: Desk, name: str) -> None:
    desk.listing(name)
    desk.client.get(f"{desk.base_url}/{name}/nowhere/")
    log = desk.vendor(name).requests
    assert [seen.method for seen in log] == ["GET", "GET"]
    assert log.statuses()[200] == 1
    assert log[1].path == "/nowhere/"
    log.reset()
    assert not log


@pytest.mark.parametrize("name", VENDORS)
def test_a_skewed_clock_shifts_stamps_and_truth_alike(desk: Desk, name: str) -> None:
    key = {"clinia": "receivedAt", "clerk": "startedAt", "airflow": "run_after"}.get(name, "created_at")
    before = desk.rows(name, desk.listing(name))[0][key]
    truth = desk.emulator.truth(name)[0].created_at
    desk.vendor(name).skew = timedelta(minutes=-4)
    response = desk.listing(name)
    assert response.headers["Date"] == "Mon, 13 Jul 2026 08:56:00 GMT"
    after = desk.rows(name, response)[0][key]
    assert datetime.fromisoformat(after) == datetime.fromisoformat(before) - timedelta(minutes=4)
    assert desk.emulator.truth(name)[0].created_at == truth - timedelta(minutes=4)


def test_clinia_names_executions_through_tasks(desk: Desk) -> None:
    settings, truth = desk.settings("clinia"), _visible(desk, "clinia")
    prefix = f"/sources/{settings['source_key']}/v1"
    assert settings["tasks"] == desk.emulator.tasks()
    met = set()
    for task in settings["tasks"]:
        for receipt in desk.get("clinia", f"{prefix}/tasks/{task}?withReceipts=true").json()["receipts"]:
            met.add((receipt["type"], receipt["pipelineExecution"]["id"]))
    assert met == set(truth)
    for (pipeline, run_id), run in list(truth.items())[::20]:
        row = desk.get("clinia", f"{prefix}/pipelines/executions/{run_id}").json()
        finished = row["updatedAt"] if run.finished_at else None
        assert _agrees(run, word=row["status"], created=row["createdAt"], finished=finished)
        assert row["pipelineDefinitionId"].startswith(f"{pipeline}.")
        assert len(row["steps"]) == run.step_count
        assert next((s["error"]["message"] for s in row["steps"] if "error" in s), None) == run.error_message
        assert "body" not in row["operation"]
    some = settings["tasks"][:2]
    assert {run.run_id for run in desk.emulator.clinia.truth_of(some, [])} < {run.run_id for run in truth.values()}
    assert "receipts" not in desk.get("clinia", f"{prefix}/tasks/{some[0]}").json()
    assert desk.get("clinia", f"{prefix}/tasks/bk_nothing").status_code == 404
    assert desk.get("clinia", f"{prefix}/pipelines/executions/nothing").status_code == 404
    with_body = desk.get("clinia", f"{prefix}/pipelines/executions/{run_id}?withOperationBody=true")
    assert CANARY in with_body.json()["operation"]["body"]["name"]


def test_clinia_answers_queries_only_when_told_to(desk: Desk) -> None:
    url = f"{desk.base_url}/clinia/sources/emulator-registry/v1/pipelines/executions/query"
    headers = desk.headers("clinia")
    assert desk.client.post(url, headers=headers, json={}).status_code == 404
    desk.emulator.clinia.query_enabled = True
    answer = desk.client.post(url, headers=headers, json={"page": 1, "perPage": 50}).json()
    assert len(answer["hits"]) == 50
    assert answer["meta"]["total"] == len(_visible(desk, "clinia"))


def test_clerk_pages_through_one_pipeline_fifty_at_most(desk: Desk) -> None:
    truth, rows = _visible(desk, "clerk"), Rows()
    for pipeline in desk.settings("clerk")["pipelines"]:
        url: str | None = f"/pipelines/{pipeline}/executions?limit=50"
        while url:
            page = desk.get("clerk", url).json()
            rows |= {(pipeline, row["id"]): row for row in page["data"]}
            assert len(page["data"]) <= 50
            url = page["links"]["next"]
    assert set(rows) == set(truth)
    for key, row in rows.items():
        run = truth[key]
        assert (row["status"], row["error"]) == (run.vendor_status, run.error_message)
        assert (row["finishedAt"] is None) == (run.finished_at is None)
    assert desk.get("clerk", f"/pipelines/{pipeline}/executions?limit=51").status_code == 400
    assert desk.get("clerk", f"/pipelines/{pipeline}/executions?page=0").status_code == 400
    (pipeline, run_id), run = next(iter(truth.items()))
    detail = desk.get("clerk", f"/pipelines/{pipeline}/executions/{run_id}")
    assert len(detail.json()["nodesExecuted"]) == run.step_count
    assert detail.text.count(CANARY) > 5
    assert desk.get("clerk", f"/pipelines/{pipeline}/executions/none").status_code == 404
    desk.emulator.clerk.relative_links = True
    assert desk.listing("clerk").json()["links"]["next"].startswith("/clerk/pipelines/")


def test_truestate_gives_whole_runs_in_a_bare_array(desk: Desk) -> None:
    truth, rows = _visible(desk, "truestate"), Rows()
    pipelines = desk.get("truestate", "/pipelines/").json()
    assert [row["id"] for row in pipelines] == desk.settings("truestate")["pipelines"]
    for pipeline in pipelines:
        answer = desk.get("truestate", f"/pipelines/{pipeline['id']}/runs/")
        rows |= {(pipeline["id"], row["id"]): row for row in answer.json()}
    assert set(rows) == set(truth)
    for (pipeline_id, run_id), row in rows.items():
        run = truth[pipeline_id, run_id]
        assert _agrees(run, word=row["status"], created=row["created_at"], finished=row["finished_at"])
        assert row["argo_metadata"]["status"]["message"] == run.error_message
        assert len(row["run_steps"]) == run.step_count
    assert desk.get("truestate", f"/pipelines/{pipeline_id}/runs/{run_id}/").json() == row
    moved = desk.get("truestate", f"/pipelines/{pipeline_id}/runs")
    assert moved.status_code == 307
    assert moved.headers["Location"].endswith("/runs/")
    assert desk.get("truestate", f"/pipelines/{pipeline_id}/runs/none/").json() == {"detail": "Run not found"}
    other = desk.get("truestate", f"/pipelines/{pipeline_id}/runs/?version_id={run_id}")
    assert other.json() == []


def test_clarifeye_pages_by_offset_newest_first(desk: Desk) -> None:
    truth, rows = _visible(desk, "clarifeye"), Rows()
    for project in desk.settings("clarifeye")["projects"]:
        url: str | None = f"/projects/{project}/pipeline-runs/?limit=30"
        created: list[str] = []
        while url:
            page = desk.get("clarifeye", url).json()
            created += [row["created_at"] for row in page["results"]]
            rows |= {(f"{project}/{row['pipeline_name']}", row["id"]): row for row in page["results"]}
            url = page["next"]
        assert created == sorted(created, reverse=True)
        assert page["count"] == len(created)
    assert set(rows) == set(truth)
    for key, row in rows.items():
        run = truth[key]
        finished = row["updated_at"] if run.finished_at else None
        assert _agrees(run, word=row["status"], created=row["created_at"], finished=finished)
        assert len(row["steps"]) == run.step_count
        if row["status"] == "failed":
            assert row["raw_logs"].splitlines()[-1] == run.error_message
    base = f"/projects/{project}/pipeline-runs/"
    detail = desk.get("clarifeye", f"{base}{row['id']}/").json()
    assert "document_ids" in detail
    assert "document_count" not in detail
    assert desk.get("clarifeye", f"{base}none/").json() == {"error": "Pipeline run not found"}
    assert desk.get("clarifeye", base + "?status=nonsense").status_code == 400
    failed = desk.get("clarifeye", base + "?status=failed&limit=5000").json()["results"]
    assert {row["status"] for row in failed} <= {"failed"}
    flows = desk.get("clarifeye", f"/projects/{project}/extraction-flows/").json()
    assert {"id", "name", "dag"} <= set(flows[0])


def test_esper_wraps_lists_and_sorts_never_started_runs_first(desk: Desk) -> None:
    truth, rows, starts = _visible(desk, "esper"), Rows(), []
    url: str | None = "/pipelines/v0/runs/?ordering=-started_at&limit=500"
    while url:
        content = desk.get("esper", url).json()["content"]
        assert len(content["results"]) <= 100
        rows |= {(row["pipeline_id"], row["id"]): row for row in content["results"]}
        starts += [row["started_at"] for row in content["results"]]
        url = content["next"]
    assert set(rows) == set(truth)
    nulls = starts.count(None)
    assert nulls
    assert starts[:nulls] == [None] * nulls
    assert starts[nulls:] == sorted(starts[nulls:], reverse=True)
    for key, row in rows.items():
        assert _agrees(truth[key], word=row["status"], created=row["created_at"], finished=row["ended_at"])
    (pipeline, run_id), run = next((key, run) for key, run in truth.items() if run.step_count > 1)
    one = desk.get("esper", f"/pipelines/v0/pipelines/{pipeline}/runs/{run_id}/").json()
    assert one == {"code": 200, "message": "ok", "content": rows[pipeline, run_id]}
    stages = desk.get("esper", f"/pipelines/v0/runs/{run_id}/stageruns/").json()["content"]["results"]
    assert len(stages) == run.step_count
    targets = desk.get("esper", f"/pipelines/v0/stageruns/{stages[0]['id']}/targetruns/").json()["content"]
    assert targets["count"] == 3
    waiting = desk.get("esper", "/pipelines/v0/runs/?status=waiting&limit=100").json()["content"]["results"]
    assert {row["id"] for row in waiting} == {key[1] for key, run in truth.items() if run.status == "waiting"}
    assert desk.get("esper", "/pipelines/v0/runs/?status=napping").status_code == 400
    assert desk.get("esper", f"/pipelines/v0/pipelines/{pipeline}/runs/none/").status_code == 404
    assert desk.get("esper", "/pipelines/v0/pipelines/?name=os-patch").json()["content"]["count"] == 1


def test_airflow_clamps_filters_and_never_shows_updated_at(desk: Desk) -> None:
    truth, rows = _visible(desk, "airflow"), Rows()
    total = 1
    while len(rows) < total:
        page = desk.get("airflow", f"/api/v2/dags/~/dagRuns?limit=1000&offset={len(rows)}").json()
        assert len(page["dag_runs"]) <= 100
        total = page["total_entries"]
        rows |= {(row["dag_id"], row["dag_run_id"]): row for row in page["dag_runs"]}
    assert set(rows) == set(truth)
    for key, row in rows.items():
        assert _agrees(truth[key], word=row["state"], created=row["run_after"], finished=row["end_date"])
        assert "updated_at" not in row
    recent = desk.get("airflow", "/api/v2/dags/~/dagRuns?updated_at_gte=2026-07-12T00:00:00Z").json()
    assert 0 < recent["total_entries"] < len(rows) / 5
    ignored = desk.get("airflow", "/api/v2/dags/~/dagRuns?updated_since=2026-07-12T00:00:00Z").json()
    assert ignored["total_entries"] == len(rows)
    statuses = {
        "limit=-1": 422,
        "limit=0": 200,
        "order_by=colour": 400,
        "state=napping": 422,
        "updated_at_gte=yesterday": 422,
        "updated_at_gte=2026-07-12T00:00:00": 500,
    }
    for query, status in statuses.items():
        assert desk.get("airflow", f"/api/v2/dags/~/dagRuns?{query}").status_code == status, query
    assert desk.get("airflow", "/api/v2/nothing").json() == {"error": "API route not found"}
    assert len(desk.get("airflow", "/api/v2/dags").json()["dags"]) == 3


def test_airflow_task_instances_by_run_and_by_many_runs(desk: Desk) -> None:
    truth = [run for run in desk.emulator.truth("airflow") if run.visible][-8:]
    url = f"{desk.base_url}/airflow/api/v2/dags/~/dagRuns/~/taskInstances/list"
    asked = {"dag_run_ids": [run.run_id for run in truth], "page_limit": 7, "page_offset": 0}
    tasks: list[dict[str, Any]] = []
    while True:
        page = desk.client.post(url, headers=desk.headers("airflow"), json=asked | {"page_offset": len(tasks)}).json()
        tasks += page["task_instances"]
        if len(tasks) >= page["total_entries"]:
            break
    for run in truth:
        own = [task for task in tasks if (task["dag_id"], task["dag_run_id"]) == (run.pipeline_id, run.run_id)]
        assert sum(max(1, task["try_number"]) for task in own) == run.step_count
        path = f"/api/v2/dags/{run.pipeline_id}/dagRuns/{quote(run.run_id, safe='')}"
        assert desk.get("airflow", f"{path}/taskInstances").json()["task_instances"] == own
        assert desk.get("airflow", path).json()["dag_run_id"] == run.run_id
    assert {task["map_index"] for task in tasks} == {-1, 0, 1, 2}
    gone = desk.get("airflow", "/api/v2/dags/hourly_orders/dagRuns/nothing/taskInstances")
    assert gone.status_code == 404


def test_airflow_keeps_the_tries_of_a_cleared_run(desk: Desk) -> None:
    emulator = desk.emulator
    run = next(
        run for run in emulator.world.runs("airflow", emulator.clock.now()) if run.moments[-1].attempt.number == 2
    )
    path = f"/api/v2/dags/{run.pipeline}/dagRuns/{quote(emulator.airflow.run_id(run), safe='')}/taskInstances"
    cleared = run.moments[-1].attempt.opened_at
    emulator.clock.set(cleared - timedelta(milliseconds=1))
    before = desk.get("airflow", path).json()["task_instances"][0]
    emulator.clock.set(cleared)
    waiting = desk.get("airflow", path).json()["task_instances"][0]
    assert (waiting["state"], waiting["try_number"]) == (None, 1)
    assert waiting["end_date"]  # of the try before
    emulator.clock.set(run.moments[-1].at)
    again = desk.get("airflow", path).json()["task_instances"][0]
    assert again["try_number"] >= 2
    assert before["id"] != waiting["id"] == again["id"]
    history = desk.get("airflow", f"{path}/{again['task_id']}/tries").json()["task_instances"]
    assert [row["try_number"] for row in history] == list(range(1, again["try_number"] + 1))
    assert history[0]["end_date"] == waiting["end_date"]


def test_airflow_hands_out_tokens(desk: Desk) -> None:
    url = f"{desk.base_url}/airflow"
    settings = desk.settings("airflow")
    user = {"username": settings["username"], "password": settings["password"]}
    assert desk.client.post(f"{url}/auth/token", json=user | {"password": "no"}).status_code == 401
    issued = desk.client.post(f"{url}/auth/token", json=user)
    assert issued.status_code == 201
    bearer = {"Authorization": f"Bearer {issued.json()['access_token']}"}
    assert desk.client.get(f"{url}/api/v2/dags", headers=bearer).status_code == 200
    malformed = desk.client.get(f"{url}/api/v2/dags", headers={"Authorization": "Bearer x"})
    assert (malformed.status_code, malformed.json()) == (403, {"detail": "Invalid JWT token"})
    assert desk.client.get(f"{url}/api/v2/version").json()["version"] == "3.3.2"
    assert desk.client.get(f"{url}/api/v2/monitor/health").json()["scheduler"]["status"] == "healthy"


def test_a_queued_airflow_run_has_no_start_and_counts_as_now_in_filters(desk: Desk) -> None:
    emulator = desk.emulator
    upcoming = emulator.world.every("airflow", emulator.clock.now() + timedelta(days=1))[-1]
    emulator.clock.set(upcoming.created_at)
    queued = desk.get("airflow", "/api/v2/dags/~/dagRuns?state=queued&start_date_gte=2026-07-13T09:00:00Z").json()
    row = next(row for row in queued["dag_runs"] if row["dag_id"] == upcoming.pipeline)
    assert (row["start_date"], row["end_date"]) == (None, None)


@pytest.mark.parametrize("name", [name for name in VENDORS if name != "clinia"])
def test_a_deleted_run_is_404_and_in_no_list(desk: Desk, name: str) -> None:
    emulator = desk.emulator
    emulator.clock.advance(timedelta(days=90))
    gone = next(run for run in emulator.truth(name) if not run.visible)
    path = {
        "clerk": f"/pipelines/{gone.pipeline_id}/executions/{gone.run_id}",
        "truestate": f"/pipelines/{gone.pipeline_id}/runs/{gone.run_id}/",
        "clarifeye": f"/projects/{gone.pipeline_id.split('/')[0]}/pipeline-runs/{gone.run_id}/",
        "esper": f"/pipelines/v0/pipelines/{gone.pipeline_id}/runs/{gone.run_id}/",
        "airflow": f"/api/v2/dags/{gone.pipeline_id}/dagRuns/{quote(gone.run_id, safe='')}",
    }[name]
    assert desk.get(name, path).status_code == 404
    run = next(
        r for r in emulator.world.every(name, emulator.clock.now()) if emulator.vendor(name).run_id(r) == gone.run_id
    )
    assert run.deleted_at is not None
    emulator.clock.set(run.deleted_at - timedelta(seconds=1))
    assert desk.get(name, path).status_code == 200


def test_the_port_is_free_again_after_the_block() -> None:
    from runlake.emulator import serve

    with serve(Emulator()) as base_url:
        port = int(base_url.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
