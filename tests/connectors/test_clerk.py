"""What is odd about Clerk Chat: links of unknown form, rows without their pipeline, other people's conversations."""

from pathlib import Path
from typing import Any

import pytest
import respx
import vcr  # type: ignore[import-untyped,unused-ignore]
from httpx import Response
from pydantic import ValidationError

from runlake.connector import Feed
from runlake.connectors.clerk import Clerk, ClerkSettings
from runlake.errors import UnexpectedResponse
from runlake.http import HttpLimits, VendorHttp
from runlake.model import RunRef

CASSETTES = Path(__file__).parents[2] / "cassettes" / "clerk"
HOST = "https://web-api.clerk.chat"
AGENT = "1b1f3e0e-9f49-4f0c-8a56-4a6d2a7b9c10"
OTHER = "5d0c7a52-7c1e-4c27-9f0b-6e1f2b8a4d33"
LIST = f"/public/pipelines/{AGENT}/executions"
ROW = {"id": "r1", "pipelineVersionId": "v1", "status": "success", "startedAt": "2026-03-02T10:00:00.000Z"}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLAKE_TEST_SECRET", "test-secret")


def clerk(*pipelines: str) -> Clerk:
    given = {"api_key": {"env": "RUNLAKE_TEST_SECRET"}, "pipelines": pipelines or [AGENT]}
    return Clerk(ClerkSettings.model_validate(given))


def http(connector: Clerk) -> VendorHttp:
    return VendorHttp(str(connector.settings.base_url), connector.sign(), limits=HttpLimits(attempts=1))


def cassette(name: str) -> Any:
    return vcr.VCR(record_mode="none", match_on=["method", "path", "query"]).use_cassette(str(CASSETTES / name))


def answer(rows: list[dict[str, Any]], next_: str | None) -> Response:
    return Response(200, json={"data": rows, "total": 99, "links": {"next": next_, "prev": None, "self": LIST}})


@pytest.mark.parametrize(("pipeline", "runs"), [(AGENT, 5), (OTHER, 2)])
async def test_links_are_followed_whether_absolute_or_relative(pipeline: str, runs: int) -> None:
    connector = clerk()
    with cassette("runs.yaml"):
        async with http(connector) as asking:
            pages = [page async for page in connector.pages(asking, Feed(id=pipeline), None, None)]
    assert [page.total for page in pages] == [runs, runs]
    assert sum(len(page.runs) for page in pages) == runs
    assert {run.pipeline_id for page in pages for run in page.runs} == {pipeline}


async def test_a_walk_is_taken_up_again_where_a_page_said() -> None:
    connector = clerk()
    with cassette("runs.yaml"):
        async with http(connector) as asking:
            first = await anext(aiter(connector.pages(asking, Feed(id=AGENT), None, None)))
            rest = [page async for page in connector.pages(asking, Feed(id=AGENT), None, first.cursor)]
    assert first.cursor == f"{LIST}?page=2&limit=50"
    assert [run.vendor_status for page in rest for run in page.runs] == ["success", "failed"]


@respx.mock
async def test_links_that_lead_in_a_circle_are_an_error_not_an_endless_walk() -> None:
    connector = clerk()
    respx.get(f"{HOST}{LIST}").mock(return_value=answer([ROW], f"{LIST}?page=2&limit=50"))
    async with http(connector) as asking:
        with pytest.raises(UnexpectedResponse, match="in a circle"):
            async for _ in connector.pages(asking, Feed(id=AGENT), None, None):
                assert asking.traffic.requests < 5


@respx.mock
async def test_an_empty_page_ends_the_walk_even_if_it_links_on() -> None:
    connector = clerk()
    respx.get(f"{HOST}{LIST}").mock(return_value=answer([], f"{LIST}?page=3&limit=50"))
    async with http(connector) as asking:
        pages = [page async for page in connector.pages(asking, Feed(id=AGENT), None, None)]
    assert [(page.runs, page.cursor) for page in pages] == [([], None)]


@respx.mock
async def test_the_key_is_not_taken_to_another_host() -> None:
    connector = clerk()
    respx.get(f"{HOST}{LIST}").mock(return_value=answer([ROW], "https://elsewhere.example/executions?page=2"))
    async with http(connector) as asking:
        with pytest.raises(UnexpectedResponse, match="another host"):
            [page async for page in connector.pages(asking, Feed(id=AGENT), None, None)]
    assert len(respx.calls) == 1
    assert respx.calls.last.request.headers["apiKey"] == "test-secret"


@respx.mock
async def test_a_run_that_has_not_started_and_a_new_word_cost_nothing() -> None:
    connector = clerk()
    waiting = {"id": "r2", "pipelineVersionId": "v1", "status": "hibernating", "finishedAt": None, "error": None}
    respx.get(f"{HOST}{LIST}").mock(return_value=answer([waiting, ROW], ""))
    async with http(connector) as asking:
        [page] = [page async for page in connector.pages(asking, Feed(id=AGENT), None, None)]
    assert [run.vendor_status for run in page.runs] == ["hibernating", "success"]
    assert connector.sort_key(page.runs[0]) is None
    assert connector.sort_key(page.runs[1]) == page.runs[1].started_at is not None


async def test_each_pass_through_a_node_is_a_step() -> None:
    connector = clerk()
    with cassette("runs.yaml"):
        async with http(connector) as asking:
            first = await anext(aiter(connector.pages(asking, Feed(id=AGENT), None, None)))
    row = first.runs[1]
    with cassette("steps.yaml"):
        async with http(connector) as asking:
            run = await connector.detail(asking, row)
    assert row.steps is None
    assert run.ref == row.ref
    assert (run.pipeline_name, run.pipeline_version, run.labels) == ("My Agent", row.pipeline_version, {"version": "7"})
    assert run.steps is not None
    assert [(step.name, step.vendor_status) for step in run.steps] == [
        ("Greeting", "success"),
        ("Greeting", "running"),
        ("Answer", "new"),
    ]
    assert len({step.step_id for step in run.steps}) == 3


async def test_nothing_of_the_conversation_is_kept() -> None:
    connector = clerk()
    with cassette("run.yaml"):
        async with http(connector) as asking:
            run = await connector.run(asking, RunRef(AGENT, "6f1c0f0e-6f2b-4f0f-9a55-0d2f6c1b7a01"))
    assert run.payload is not None
    kept = run.payload.model_dump_json()
    assert "CANARY" not in kept + repr(run)
    assert "Booked appointment" not in kept
    assert [step.kind for step in run.steps or []] == [None, "goal"]


def test_a_pipeline_is_walked_once_and_there_has_to_be_one() -> None:
    assert [feed.id for feed in clerk(AGENT, OTHER, AGENT).feeds([])] == [AGENT, OTHER]
    with pytest.raises(ValidationError, match="pipelines"):
        ClerkSettings.model_validate({"api_key": {"env": "X"}, "pipelines": []})
