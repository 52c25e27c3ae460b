"""Esper's oddities: runs without a start, lists with and without envelope, and a 401 that means two things."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
import vcr

from runlake.connector import Order
from runlake.connectors.esper import Esper, EsperSettings
from runlake.errors import AuthenticationError, NotFound, UnexpectedResponse
from runlake.http import VendorHttp
from runlake.model import Run, RunRef

CASSETTES = Path(__file__).parents[2] / "cassettes" / "esper"
FAILED = RunRef("d3bcdc92-4191-401b-ad0c-42056c6efab9", "5f0c2d1e-9b1f-4e7e-8a0b-000000000009")
RUNS = "https://acme-api.esper.cloud/api/pipelines/v0/runs/"
SETTINGS = {"base_url": "https://acme-api.esper.cloud/api", "token": {"env": "RUNLAKE_TEST_SECRET"}, "page_size": 6}
AT = "2026-06-01T09:00:00Z"

replay = vcr.VCR(record_mode="none", match_on=["method", "path", "query"])


@pytest.fixture
def esper(monkeypatch: pytest.MonkeyPatch) -> Esper:
    monkeypatch.setenv("RUNLAKE_TEST_SECRET", "not-a-real-token")
    return Esper(EsperSettings.model_validate(SETTINGS))


@pytest.fixture
async def http(esper: Esper) -> AsyncIterator[VendorHttp]:
    async with VendorHttp(str(esper.settings.base_url), esper.sign()) as client:
        yield client


def row(run_id: str, **said: Any) -> dict[str, Any]:
    return {
        "id": run_id,
        "pipeline_id": "p",
        "status": "success",
        "created_at": AT,
        "started_at": AT,
        "ended_at": AT,
    } | said


def listing(rows: list[dict[str, Any]], following: str | None) -> httpx.Response:
    content = {"count": len(rows), "previous": None, "next": following, "results": rows}
    return httpx.Response(200, json={"code": 200, "message": "ok", "content": content})


async def walk(esper: Esper, http: VendorHttp, cursor: str | None = None, feed: int = 0) -> list[Run]:
    pages = esper.pages(http, esper.feeds([])[feed], None, cursor)
    return [run async for page in pages for run in page.runs]


async def test_each_open_word_has_a_list_of_its_own_since_most_of_them_have_no_start(
    esper: Esper, http: VendorHttp
) -> None:
    feeds = esper.feeds([])
    assert {word for word, status in esper.statuses.items() if not status.is_final and word.islower()} == {
        feed.query.removeprefix("status=") for feed in feeds if feed.query and not feed.sweep_only
    }
    assert len({feed.key for feed in feeds}) == len(feeds)
    with replay.use_cassette(str(CASSETTES / "runs.yaml")) as cassette:
        for at, feed in enumerate(feeds):
            runs = await walk(esper, http, feed=at)
            if feed.order is Order.UNSORTED:
                assert {run.vendor_status for run in runs} == {feed.query.removeprefix("status=")}
        assert cassette.all_played


async def test_a_run_that_never_started_has_no_place_in_the_order(esper: Esper, http: VendorHttp) -> None:
    with replay.use_cassette(str(CASSETTES / "runs.yaml")):
        keys = [esper.sort_key(run) for run in await walk(esper, http)]
    known = [key for key in keys if key is not None]
    assert len(known) == 6
    assert known == sorted(known, reverse=True)


async def test_a_run_whose_verdict_is_pending_has_no_end(esper: Esper, http: VendorHttp) -> None:
    with replay.use_cassette(str(CASSETTES / "runs.yaml")):
        (run,) = [run for run in await walk(esper, http) if run.vendor_status == "complete"]
    assert run.finished_at is None


async def test_all_pages_of_stages_are_read(esper: Esper, http: VendorHttp) -> None:
    with replay.use_cassette(str(CASSETTES / "run.yaml")) as cassette:
        run = await esper.run(http, FAILED)
        assert cassette.all_played
    assert run.steps is not None
    assert [step.name for step in run.steps][5:7] == ["lobby", "roof"]
    assert len(run.steps) == 10


async def test_devices_are_steps_only_when_asked_for(esper: Esper, http: VendorHttp) -> None:
    curious = Esper(EsperSettings.model_validate(SETTINGS | {"target_runs": True}))
    with replay.use_cassette(str(CASSETTES / "targets.yaml")) as cassette:
        run = await curious.run(http, FAILED)
        assert cassette.all_played
    assert run.steps is not None
    assert [step.kind for step in run.steps] == ["stage"] + ["target"] * 12
    assert {step.vendor_status for step in run.steps[1:]} <= set(esper.step_statuses)
    assert [step.error_code for step in run.steps if step.error_code] == ["FAILED", "TIMEOUT"]
    assert "CANARY-PERSONAL" not in repr(run)


async def test_a_run_refused_with_a_good_token_is_gone(esper: Esper, http: VendorHttp) -> None:
    with replay.use_cassette(str(CASSETTES / "gone.yaml")) as cassette, pytest.raises(NotFound):
        await esper.run(http, FAILED)
    assert cassette.all_played


@respx.mock
async def test_a_refused_token_is_not_a_missing_run(esper: Esper, http: VendorHttp) -> None:
    respx.get(url__regex=".*").respond(401, json={"code": 401, "message": "Invalid token", "content": {}})
    with pytest.raises(AuthenticationError, match="Invalid token"):
        await esper.run(http, FAILED)


@respx.mock
async def test_the_error_envelope_of_the_rest_of_the_platform_is_read_too(esper: Esper, http: VendorHttp) -> None:
    respx.get(url__regex=".*").respond(401, json={"errors": [], "message": "No such key", "status": 401})
    with pytest.raises(AuthenticationError, match="No such key"):
        await walk(esper, http)


@respx.mock
async def test_a_next_link_to_the_same_page_ends_in_an_error(esper: Esper, http: VendorHttp) -> None:
    asked = respx.get(url__regex=".*").mock(return_value=listing([row("a")], f"{RUNS}?limit=6&offset=6"))
    with pytest.raises(UnexpectedResponse, match="the page itself"):
        await walk(esper, http)
    assert asked.call_count == 2


@respx.mock
async def test_an_answer_without_a_list_is_a_changed_shape(esper: Esper, http: VendorHttp) -> None:
    respx.get(url__regex=".*").respond(200, json={"code": 200, "message": "ok"})
    with pytest.raises(UnexpectedResponse, match="no list of results"):
        await walk(esper, http)


@respx.mock
async def test_a_walk_is_taken_up_at_the_link_where_it_was_left(esper: Esper, http: VendorHttp) -> None:
    following = f"{RUNS}?limit=6&offset=6&ordering=-started_at"
    respx.get(RUNS, params={"offset": 0}).mock(return_value=listing([row("a")], following))
    respx.get(RUNS, params={"offset": 6}).mock(return_value=listing([row("b")], ""))
    first = await anext(esper.pages(http, esper.feeds([])[0], None, None))
    assert first.cursor == "/api/pipelines/v0/runs/?limit=6&offset=6&ordering=-started_at"
    assert [run.run_id for run in await walk(esper, http, first.cursor)] == ["b"]


@respx.mock
async def test_one_row_without_an_id_costs_that_row_only(esper: Esper, http: VendorHttp) -> None:
    respx.get(url__regex=".*").mock(return_value=listing([row("a"), row("b") | {"id": None}, row("c")], None))
    assert [run.run_id for run in await walk(esper, http)] == ["a", "c"]
    assert http.traffic.unreadable == 1
