"""What is odd about TrueState: one array for everything, two ways in, free-form documents around each run."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import respx
import vcr  # type: ignore[import-untyped,unused-ignore]
from httpx import Response
from pydantic import ValidationError

from runlake.connector import Feed
from runlake.connectors.truestate import PAGE_RUNS, TrueState, TrueStateSettings
from runlake.http import HttpLimits, VendorHttp
from runlake.model import Pipeline, Run, RunRef

CASSETTES = Path(__file__).parents[2] / "cassettes" / "truestate"
HOST = "https://api.truestate.io"
KEY = {"env": "RUNLAKE_TEST_SECRET"}
RUN: dict[str, Any] = {
    "id": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
    "pipeline_config_version_id": "v1",
    "name": "nightly-8x2kp",
    "status": "Succeeded",
    "argo_manifest": {},
    "argo_metadata": {},
    "pipeline_version": {"id": "v1", "pipeline_id": "p1", "steps": [], "created_at": "2026-01-10T08:00:00Z"},
    "created_at": "2026-02-01T02:00:00Z",
    "finished_at": "2026-02-01T02:03:10Z",
    "run_steps": [],
}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLAKE_TEST_SECRET", "test-secret")


def truestate(**settings: Any) -> TrueState:
    return TrueState(TrueStateSettings.model_validate(settings if "token" in settings else {"api_key": KEY} | settings))


def http(connector: TrueState) -> VendorHttp:
    return VendorHttp(str(connector.settings.base_url), connector.sign(), limits=HttpLimits(attempts=1))


def cassette(name: str) -> Any:
    return vcr.VCR(record_mode="none", match_on=["method", "path", "query"]).use_cassette(str(CASSETTES / name))


async def read(**changed: Any) -> Run:
    connector = truestate()
    with respx.mock:
        # The slash at the end matters: without it the vendor redirects.
        respx.get(f"{HOST}/pipelines/p1/runs/r1/").mock(return_value=Response(200, json=RUN | changed))
        async with http(connector) as asking:
            return await connector.run(asking, RunRef("p1", "r1"))


@pytest.mark.parametrize("both", [{}, {"api_key": KEY, "token": KEY}])
def test_there_is_exactly_one_way_in(both: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="set exactly one of api_key and token"):
        TrueStateSettings.model_validate(both)


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({}, {"Api-key": "test-secret"}),
        ({"organisation": "acme"}, {"Api-key": "test-secret", "Current-Org-Id": "acme"}),
        ({"token": KEY, "organisation": "acme"}, {"Authorization": "Bearer test-secret", "Current-Org-Id": "acme"}),
    ],
)
async def test_the_organisation_goes_along_with_either_way_in(settings: dict[str, Any], sent: dict[str, str]) -> None:
    connector = truestate(**settings)
    async with http(connector) as asking:
        assert await connector.sign().headers(asking) == sent


async def test_configured_pipelines_are_believed_without_a_request() -> None:
    connector = truestate(pipelines=["p2", "p1", "p2"])
    async with http(connector) as asking:
        pipelines = await connector.pipelines(asking)
    assert asking.traffic.requests == 0
    assert [feed.id for feed in connector.feeds(pipelines)] == ["p2", "p1"]


async def test_pipelines_are_discovered_where_none_is_configured() -> None:
    connector = truestate()
    with cassette("pipelines.yaml"):
        async with http(connector) as asking:
            pipelines = await connector.pipelines(asking)
    assert pipelines == [
        Pipeline(pipeline_id="5a2c9d1e-8b47-4f5e-9a77-0c6e1b2d3f44", name="nightly"),
        Pipeline(pipeline_id="8e4f6a70-1c93-4d2b-b5e8-7a9c0d1e2f55", name="scoring"),
    ]
    assert [feed.id for feed in connector.feeds(pipelines)] == [pipeline.pipeline_id for pipeline in pipelines]


async def test_nothing_of_the_argo_documents_is_kept_but_the_message() -> None:
    connector = truestate()
    with cassette("run.yaml"):
        async with http(connector) as asking:
            ref = RunRef("5a2c9d1e-8b47-4f5e-9a77-0c6e1b2d3f44", "9b0a7d54-1c55-4a4e-bb1c-2f6f6c0a9e01")
            run = await connector.run(asking, ref)
    assert run.payload is not None
    assert "CANARY" not in run.payload.model_dump_json() + repr(run)
    assert run.error_message == "child 'nightly-9q7vd-clean-456' failed"


@pytest.mark.parametrize(
    "metadata",
    [None, "text", [], {"status": None}, {"status": "Failed"}, {"status": {"message": 7}}, {"status": {"message": ""}}],
)
async def test_a_metadata_document_of_any_shape_costs_nothing(metadata: object) -> None:
    assert (await read(argo_metadata=metadata)).error_message is None


async def test_a_run_starts_with_its_first_step_if_any_has_started() -> None:
    late = {"name": "b", "run_name": "b-1", "status": "Running", "started_at": "2026-02-01T02:00:30Z"}
    early = {"name": "a", "run_name": "a-1", "status": "Succeeded", "started_at": "2026-02-01T02:00:20Z"}
    pending = {"name": "c", "run_name": "c-1", "status": "Pending", "started_at": None, "finished_at": None}
    run = await read(run_steps=[late, pending, early])
    assert run.started_at is not None
    assert run.started_at.second == 20
    assert (await read(run_steps=[pending])).started_at is None


async def test_steps_of_the_same_name_stay_apart() -> None:
    step = {"name": "clean", "status": "Succeeded"}
    run = await read(run_steps=[step, step, step | {"run_name": "clean-7"}])
    assert [step.step_id for step in run.steps or []] == ["clean", "clean#1", "clean-7"]


async def test_a_run_without_the_key_of_steps_shows_none_rather_than_no_steps() -> None:
    without = {key: value for key, value in RUN.items() if key != "run_steps"}
    connector = truestate()
    with respx.mock:
        respx.get(f"{HOST}/pipelines/p1/runs/r1/").mock(return_value=Response(200, json=without))
        async with http(connector) as asking:
            assert (await connector.run(asking, RunRef("p1", "r1"))).steps is None


@respx.mock
async def test_the_array_is_handed_on_in_slices_and_a_bad_run_costs_only_itself() -> None:
    rows = [RUN | {"id": str(number)} for number in range(2 * PAGE_RUNS + 3)]
    rows[5] = RUN | {"id": "5", "created_at": "yesterday"}
    respx.get(f"{HOST}/pipelines/p1/runs/").mock(return_value=Response(200, json=rows))
    connector = truestate()
    async with http(connector) as asking:
        pages = [page async for page in connector.pages(asking, Feed(id="p1"), None, None)]
    assert [len(page.runs) for page in pages] == [PAGE_RUNS, PAGE_RUNS, 2]
    assert {page.cursor for page in pages} == {None}
    assert asking.traffic.unreadable == 1


@respx.mock
async def test_a_pipeline_that_never_ran_gives_one_empty_page() -> None:
    respx.get(f"{HOST}/pipelines/p1/runs/").mock(return_value=Response(200, json=[]))
    connector = truestate()
    async with http(connector) as asking:
        assert [page.runs async for page in connector.pages(asking, Feed(id="p1"), None, None)] == [[]]


@asynccontextmanager
async def serving(run: bytes, times: int) -> AsyncIterator[str]:
    """The array of `run`, `times` over, sent as it is asked for and never held."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[")
        for number in range(times):
            writer.write(b"," + run if number else run)
            await writer.drain()
        writer.write(b"]")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


async def test_60_mb_of_runs_pass_through_a_few_mb_of_memory() -> None:
    templates = [{"name": f"t{number}", "source": "select 1 -- " + "x" * 8_000} for number in range(37)]
    run = json.dumps(RUN | {"argo_manifest": {"spec": {"templates": templates}}, "argo_metadata": {"logs": templates}})
    times = 60_000_000 // len(run) + 1
    async with serving(run.encode(), times) as base_url:
        connector = truestate(base_url=base_url)
        async with http(connector) as asking:
            tracemalloc.start()
            try:
                seen = 0
                async for page in connector.pages(asking, Feed(id="p1"), None, None):
                    seen += len(page.runs)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert seen == times
    assert asking.traffic.bytes > 60_000_000
    assert peak < 8_000_000, f"{peak / 1e6:.1f} MB"
