"""Airflow's oddities, over recordings of a real server: cleared runs, shared run ids, retried and mapped tasks."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import respx
import vcr
import yaml
from pydantic import ValidationError

from runlake.connectors.airflow import Airflow, AirflowSettings
from runlake.errors import AuthenticationError
from runlake.http import VendorHttp
from runlake.model import Run, RunRef

CASSETTES = Path(__file__).parents[2] / "cassettes" / "airflow"
BASE = "http://localhost:8080"
SECRET = {"env": "RUNLAKE_TEST_SECRET"}
SETTINGS: dict[str, Any] = {"base_url": BASE, "token": SECRET, "page_size": 7}
AT = "2026-06-01T09:00:00Z"

replay = vcr.VCR(record_mode="none", match_on=["method", "path", "query"])


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    monkeypatch.setenv("RUNLAKE_TEST_SECRET", "not-a-real-token")
    return Airflow(AirflowSettings.model_validate(SETTINGS))


@pytest.fixture
async def http(airflow: Airflow) -> AsyncIterator[VendorHttp]:
    async with VendorHttp(BASE, airflow.sign()) as client:
        yield client


async def walk(airflow: Airflow, http: VendorHttp, since: datetime | None = None) -> list[Run]:
    (feed,) = airflow.feeds([])
    return [run async for page in airflow.pages(http, feed, since, None) for run in page.runs]


def steps(run: Run) -> dict[str, str]:
    assert run.steps is not None
    return {step.step_id: step.vendor_status for step in run.steps}


def ref_of(cassette: str, dag_id: str) -> RunRef:
    """The run of `dag_id` that a recording reads first: its id is another in each recording."""
    for interaction in yaml.safe_load((CASSETTES / cassette).read_text())["interactions"]:
        answer = yaml.safe_load(interaction["response"]["body"]["string"])
        for row in answer.get("dag_runs", [answer]):
            if row.get("dag_id") == dag_id:
                return RunRef(dag_id, row["dag_run_id"])
    raise AssertionError(f"{cassette} has no run of {dag_id}")


async def test_two_dags_may_share_a_run_id_and_no_step(airflow: Airflow, http: VendorHttp) -> None:
    with replay.use_cassette(str(CASSETTES / "runs.yaml")) as cassette:
        runs = await walk(airflow, http)
        assert cassette.all_played
    assert len({run.ref for run in runs}) == len(runs) == 18
    same = {run.pipeline_id: steps(run) for run in runs if run.run_id == "nightly-2026-03-01"}
    assert same == {
        "always_fails": {"extract": "failed"},
        "always_succeeds": {"extract": "success", "load": "success"},
    }


async def test_a_task_that_waits_has_not_ended_although_airflow_shows_an_end(
    airflow: Airflow, http: VendorHttp
) -> None:
    with replay.use_cassette(str(CASSETTES / "runs.yaml")):
        (run,) = [run for run in await walk(airflow, http) if run.pipeline_id == "waits"]
    assert set(steps(run).values()) == {"up_for_retry", "up_for_reschedule", "deferred", "awaiting_input"}
    assert [step.finished_at for step in run.steps or []] == [None] * 4


async def test_each_mapped_task_is_a_step(airflow: Airflow, http: VendorHttp) -> None:
    with replay.use_cassette(str(CASSETTES / "runs.yaml")):
        (run,) = [run for run in await walk(airflow, http) if run.pipeline_id == "maps_three"]
    assert list(steps(run)) == ["load[0]", "load[1]", "load[2]", "add_up"]


async def test_an_earlier_try_is_a_step_before_the_last(airflow: Airflow, http: VendorHttp) -> None:
    with replay.use_cassette(str(CASSETTES / "run.yaml")) as cassette:
        run = await airflow.run(http, ref_of("run.yaml", "passes_on_retry"))
        assert cassette.all_played
    assert list(steps(run).items()) == [("extract#1", "failed"), ("extract", "success")]


async def test_a_cleared_run_goes_back_to_where_it_has_neither_start_nor_end(
    airflow: Airflow, http: VendorHttp
) -> None:
    ref = ref_of("reopened.yaml", "fails_until_cleared")
    with replay.use_cassette(str(CASSETTES / "reopened.yaml")) as cassette:
        failed, queued, passed = [await airflow.run(http, ref) for _ in range(3)]
        assert cassette.all_played
    assert [run.vendor_status for run in (failed, queued, passed)] == ["failed", "queued", "success"]
    assert {run.created_at for run in (failed, queued, passed)} == {failed.created_at}
    assert (queued.started_at, queued.finished_at) == (None, None)
    assert [(step.started_at, step.finished_at) for step in queued.steps or []] == [(None, None)] * 2
    assert failed.finished_at is not None
    assert passed.started_at is not None
    assert passed.started_at > failed.finished_at
    assert steps(passed) == {"extract#1": "failed", "extract": "success", "load": "success"}


async def test_a_cleared_run_is_among_what_was_updated(airflow: Airflow, http: VendorHttp) -> None:
    first = yaml.safe_load((CASSETTES / "updated.yaml").read_text())["interactions"][0]["request"]["uri"]
    since = datetime.fromisoformat(parse_qs(urlsplit(first).query)["updated_at_gte"][0])
    elsewhere = since.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    with replay.use_cassette(str(CASSETTES / "updated.yaml")) as cassette:
        runs = await walk(airflow, http, elsewhere)
        assert cassette.all_played
    assert {run.pipeline_id: run.vendor_status for run in runs} == {
        "fails_until_cleared": "success",
        "runs_long": "running",
        "waits": "running",
    }


async def test_a_password_is_exchanged_for_a_token(airflow: Airflow) -> None:
    settings = {"base_url": BASE, "page_size": 7, "username": "viewer", "password": SECRET}
    viewer = Airflow(AirflowSettings.model_validate(settings))
    async with VendorHttp(BASE, viewer.sign()) as http:
        with replay.use_cassette(str(CASSETTES / "login.yaml")) as cassette:
            await viewer.probe(http)
            assert cassette.all_played


async def test_what_is_no_token_is_refused_with_a_403(airflow: Airflow, http: VendorHttp) -> None:
    with replay.use_cassette(str(CASSETTES / "forbidden.yaml")), pytest.raises(AuthenticationError, match="403"):
        await walk(airflow, http)


async def test_dags_link_to_their_page_and_say_whether_they_are_paused(airflow: Airflow, http: VendorHttp) -> None:
    with replay.use_cassette(str(CASSETTES / "pipelines.yaml")) as cassette:
        pipelines = await airflow.pipelines(http)
        assert cassette.all_played
    assert len(pipelines) == 12
    assert {pipeline.pipeline_id for pipeline in pipelines if pipeline.paused} == {"stays_paused"}
    assert all(pipeline.url == f"{BASE}/dags/{pipeline.pipeline_id}" for pipeline in pipelines)


@pytest.mark.parametrize(
    "ways",
    [
        {},
        {"token": SECRET, "username": "viewer", "password": SECRET},
        {"token": SECRET, "username": "viewer"},
        {"username": "viewer"},
        {"password": SECRET},
    ],
)
def test_there_is_one_way_in(ways: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either token, or both username and password"):
        AirflowSettings.model_validate({"base_url": BASE} | ways)


def run_row(run_id: str) -> dict[str, Any]:
    return {
        "dag_id": "d",
        "dag_run_id": run_id,
        "state": "success",
        "run_after": AT,
        "start_date": AT,
        "end_date": AT,
    }


def task_row(run_id: str, **said: Any) -> dict[str, Any]:
    return {
        "dag_id": "d",
        "dag_run_id": run_id,
        "task_id": "t",
        "map_index": -1,
        "try_number": 1,
        "state": "success",
        "start_date": AT,
        "end_date": AT,
    } | said


def tasks(*rows: dict[str, Any], total: int | None = None) -> httpx.Response:
    found = len(rows) if total is None else total
    return httpx.Response(200, json={"task_instances": rows, "total_entries": found})


@respx.mock
async def test_a_page_cut_short_by_the_server_is_not_the_last(airflow: Airflow, http: VendorHttp) -> None:
    rows = [run_row(f"r{at}") for at in range(5)]

    def cut(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        return httpx.Response(200, json={"dag_runs": rows[offset : offset + 2], "total_entries": 5})

    respx.get(f"{BASE}/api/v2/dags/~/dagRuns").mock(side_effect=cut)
    respx.post(url__regex=".*/taskInstances/list").mock(return_value=tasks())
    assert [run.run_id for run in await walk(airflow, http)] == ["r0", "r1", "r2", "r3", "r4"]


@respx.mock
async def test_no_run_is_no_question_for_tasks_which_would_answer_with_all_there_are(
    airflow: Airflow, http: VendorHttp
) -> None:
    respx.get(f"{BASE}/api/v2/dags/~/dagRuns").respond(json={"dag_runs": [], "total_entries": 0})
    asked = respx.post(url__regex=".*").mock(return_value=tasks())
    assert await walk(airflow, http) == []
    assert asked.call_count == 0


@respx.mock
async def test_a_task_that_went_away_costs_its_tries_and_not_its_run(airflow: Airflow, http: VendorHttp) -> None:
    respx.get(f"{BASE}/api/v2/dags/d/dagRuns/r").respond(json=run_row("r"))
    respx.post(url__regex=".*/taskInstances/list").mock(return_value=tasks(task_row("r", try_number=3, map_index=0)))
    tries = respx.get(f"{BASE}/api/v2/dags/d/dagRuns/r/taskInstances/t/0/tries").respond(404, json={"detail": "gone"})
    assert steps(await airflow.run(http, RunRef("d", "r"))) == {"t[0]": "success"}
    assert tries.call_count == 1


@respx.mock
async def test_tasks_of_other_runs_that_the_filters_match_are_left_out(airflow: Airflow, http: VendorHttp) -> None:
    respx.get(f"{BASE}/api/v2/dags/d/dagRuns/r").respond(json=run_row("r"))
    other = task_row("r", dag_id="other")
    respx.post(url__regex=".*/taskInstances/list").mock(return_value=tasks(other, task_row("r", state="brand_new")))
    run = await airflow.run(http, RunRef("d", "r"))
    assert steps(run) == {"t": "brand_new"}
    assert [step.finished_at for step in run.steps or []] == [None]
