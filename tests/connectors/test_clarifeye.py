"""Clarifeye's oddities: what a run leaves unsaid, and pages that do not add up."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
import vcr
from pydantic import ValidationError

from runlake.connectors.clarifeye import Clarifeye, ClarifeyeSettings
from runlake.http import VendorHttp
from runlake.model import Run, RunRef

CASSETTES = Path(__file__).parents[2] / "cassettes" / "clarifeye"
PROJECT = "550e8400-e29b-41d4-a716-446655440000"
RUNS = f"/projects/{PROJECT}/pipeline-runs/"
AT = "2026-06-01T09:00:00Z"

SETTINGS = {"token": {"env": "RUNLAKE_TEST_SECRET"}, "projects": [PROJECT], "page_size": 2}


@pytest.fixture
def clarifeye(monkeypatch: pytest.MonkeyPatch) -> Clarifeye:
    monkeypatch.setenv("RUNLAKE_TEST_SECRET", "not-a-real-token")
    return Clarifeye(ClarifeyeSettings.model_validate(SETTINGS))


@pytest.fixture
async def http(clarifeye: Clarifeye) -> AsyncIterator[VendorHttp]:
    async with VendorHttp(str(clarifeye.settings.base_url), clarifeye.sign()) as client:
        yield client


def row(run_id: str, **said: Any) -> dict[str, Any]:
    return {
        "id": run_id,
        "pipeline_name": "Letters",
        "status": "completed",
        "created_at": AT,
        "updated_at": AT,
        "steps": [],
    } | said


def listing(rows: list[dict[str, Any]], count: int, *, more: bool) -> httpx.Response:
    return httpx.Response(200, json={"count": count, "next": "https://elsewhere/" if more else None, "results": rows})


async def walk(clarifeye: Clarifeye, http: VendorHttp, cursor: str | None = None) -> list[Run]:
    (feed,) = clarifeye.feeds([])
    return [run async for page in clarifeye.pages(http, feed, None, cursor) for run in page.runs]


async def test_a_run_read_by_id_is_the_run_that_was_listed(clarifeye: Clarifeye, http: VendorHttp) -> None:
    replay = vcr.VCR(record_mode="none", match_on=["method", "path", "query"])
    ref = RunRef(f"{PROJECT}/Letters", "3c90c3cc-0d44-4b50-8888-000000000004")
    with replay.use_cassette(str(CASSETTES / "run.yaml")):
        one = await clarifeye.run(http, ref)
    wide = Clarifeye(ClarifeyeSettings.model_validate(SETTINGS | {"page_size": 4}))
    with replay.use_cassette(str(CASSETTES / "runs.yaml")):
        (listed,) = [run for run in await walk(wide, http) if run.ref == ref]
    assert one.error_message == "2026-06-01 08:04:09 ERROR parsing failed: unreadable page 3"
    one.payload = listed.payload = None
    assert one == listed


async def test_logs_are_read_and_not_kept(clarifeye: Clarifeye, http: VendorHttp) -> None:
    replay = vcr.VCR(record_mode="none", match_on=["method", "path", "query"])
    with replay.use_cassette(str(CASSETTES / "run.yaml")):
        run = await clarifeye.run(http, RunRef(f"{PROJECT}/Letters", "3c90c3cc-0d44-4b50-8888-000000000004"))
    assert run.payload is not None
    kept = run.payload.model_dump_json()
    assert "raw_logs" not in kept
    assert "document_ids" not in kept
    assert "CANARY-PERSONAL" not in kept


@respx.mock
async def test_a_row_listed_twice_pushes_none_out_of_the_walk(clarifeye: Clarifeye, http: VendorHttp) -> None:
    base = f"https://eu.app.clarifeye.ai/api/v1{RUNS}"
    respx.get(base, params={"offset": 0}).mock(return_value=listing([row("a"), row("b"), row("b")], 3, more=True))
    respx.get(base, params={"offset": 2}).mock(return_value=listing([row("c")], 3, more=False))
    assert [run.run_id for run in await walk(clarifeye, http)] == ["a", "b", "b", "c"]


@respx.mock
async def test_a_page_without_a_readable_row_is_passed_over(clarifeye: Clarifeye, http: VendorHttp) -> None:
    base = f"https://eu.app.clarifeye.ai/api/v1{RUNS}"
    bad = {"id": None}
    respx.get(base, params={"offset": 0}).mock(return_value=listing([bad, bad], 3, more=True))
    respx.get(base, params={"offset": 2}).mock(return_value=listing([row("c")], 3, more=False))
    assert [run.run_id for run in await walk(clarifeye, http)] == ["c"]
    assert http.traffic.unreadable == 2


@respx.mock
async def test_a_list_that_always_promises_more_comes_to_an_end(clarifeye: Clarifeye, http: VendorHttp) -> None:
    asked = respx.get(url__regex=".*").mock(return_value=listing([], 3, more=True))
    assert await walk(clarifeye, http) == []
    assert asked.call_count == 2


@respx.mock
async def test_a_walk_is_taken_up_where_it_was_left(clarifeye: Clarifeye, http: VendorHttp) -> None:
    base = f"https://eu.app.clarifeye.ai/api/v1{RUNS}"
    respx.get(base, params={"offset": 2}).mock(return_value=listing([row("c")], 3, more=False))
    assert [run.run_id for run in await walk(clarifeye, http, "2")] == ["c"]


@respx.mock
async def test_a_long_last_line_of_a_log_is_cut(clarifeye: Clarifeye, http: VendorHttp) -> None:
    failed = row("a", status="failed", raw_logs="first\n" + "x" * 1_000_000)
    respx.get(url__regex=".*").mock(return_value=listing([failed], 1, more=False))
    (run,) = await walk(clarifeye, http)
    assert run.error_message == "x" * 500


@respx.mock
async def test_a_run_without_steps_in_the_answer_does_not_say_that_it_has_none(
    clarifeye: Clarifeye, http: VendorHttp
) -> None:
    silent = row("a")
    del silent["steps"]
    respx.get(url__regex=".*").mock(return_value=listing([silent, row("b")], 2, more=False))
    first, second = await walk(clarifeye, http)
    assert first.steps is None
    assert second.steps == []


def test_projects_are_named_once_and_at_least_one() -> None:
    for projects in ([], [PROJECT, PROJECT], ["a/b"], [""]):
        with pytest.raises(ValidationError):
            ClarifeyeSettings.model_validate(SETTINGS | {"projects": projects})
