"""What is odd about Clinia: no list, handles that name executions, records of patients."""

from pathlib import Path
from typing import Any

import pytest
import respx
import vcr  # type: ignore[import-untyped,unused-ignore]
from httpx import Response
from pydantic import ValidationError

from runlake.connectors.clinia import Clinia, CliniaSettings
from runlake.errors import AuthenticationError, NotFound
from runlake.http import HttpLimits, VendorHttp
from runlake.model import Run, RunRef

CASSETTES = Path(__file__).parents[2] / "cassettes" / "clinia"
BASE = "https://acme.clinia.cloud/sources/my-source/v1"
BULK = "bk_2wil2vg5uqi08x1aet097gLW8DO"
BUNDLE = "bd_2wjA7cQn0f3mTtUe1rXkPz6HsVb"
FAILED = "2wil32MxUzWq9sYc4RbTnHe7Jkf"
EXECUTION = {
    "id": "2wiaT0qD5rPzLh3Xw9VbKc7NfYs",
    "pipelineDefinitionId": "practitioner.3",
    "status": "SUCCESSFUL",
    "steps": [],
    "operation": {"action": "UPSERT"},
    "createdAt": "2025-05-05T09:30:00.125Z",
    "updatedAt": "2025-05-05T09:30:01.201Z",
}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLAKE_TEST_SECRET", "test-secret")


def clinia(**settings: Any) -> Clinia:
    given = {"base_url": "https://acme.clinia.cloud", "source_key": "my-source"} | settings
    return Clinia(CliniaSettings.model_validate(given | {"api_key": {"env": "RUNLAKE_TEST_SECRET"}}))


def http(connector: Clinia) -> VendorHttp:
    return VendorHttp(str(connector.settings.base_url), connector.sign(), limits=HttpLimits(attempts=1))


def cassette(name: str) -> Any:
    return vcr.VCR(record_mode="none", match_on=["method", "path", "query"]).use_cassette(str(CASSETTES / name))


async def test_a_pending_task_names_its_executions_so_far_and_a_finished_one_all_of_them() -> None:
    connector = clinia()
    with cassette("task.yaml"):
        async with http(connector) as asking:
            pending = await connector.resolve(asking, BULK)
            finished = await connector.resolve(asking, BUNDLE)
    # The third receipt has no execution: its collection has no pipeline.
    assert pending.refs == [RunRef("clinic", "2wil31Z26Qht2Zkq3NoVKeK8Ste"), RunRef("clinic", FAILED)]
    assert not pending.settled
    assert finished.refs == [RunRef("clinic", "2wjA7fVt1hXyBc5Dw8KpQr3MnZs")]
    assert finished.settled


@pytest.mark.parametrize("handle", ["2wiaT0qD5rPzLh3Xw9VbKc7NfYs", "execution:2wiaT0qD5rPzLh3Xw9VbKc7NfYs"])
async def test_an_execution_names_itself_without_a_request(handle: str) -> None:
    connector = clinia()
    async with http(connector) as asking:
        resolution = await connector.resolve(asking, handle)
    assert resolution.refs == [RunRef("", "2wiaT0qD5rPzLh3Xw9VbKc7NfYs")]
    assert resolution.settled
    assert asking.traffic.requests == 0


@pytest.mark.parametrize(
    ("handle", "task_id"),
    [("s_1", "s_1"), ("bk_1", "bk_1"), ("bd_1", "bd_1"), ("pg_1", "pg_1"), ("task:2wiaBare", "2wiaBare")],
)
@respx.mock
async def test_tasks_are_known_by_their_prefix_or_by_being_called_one(handle: str, task_id: str) -> None:
    connector = clinia()
    asked = respx.get(f"{BASE}/tasks/{task_id}", params={"withReceipts": "true"})
    asked.mock(return_value=Response(200, json={"taskId": task_id, "status": "SUCCESS"}))
    async with http(connector) as asking:
        resolution = await connector.resolve(asking, handle)
    assert asked.call_count == 1
    assert (resolution.refs, resolution.settled) == ([], True)


@pytest.mark.parametrize("handle", ["collection:clinic", "task:", "a:b:c"])
async def test_a_handle_of_another_kind_names_nothing(handle: str) -> None:
    connector = clinia()
    async with http(connector) as asking:
        with pytest.raises(NotFound, match="neither task:<id> nor execution:<id>"):
            await connector.resolve(asking, handle)


@respx.mock
async def test_a_task_that_clinia_does_not_know_names_nothing() -> None:
    connector = clinia()
    respx.get(f"{BASE}/tasks/bk_gone").mock(return_value=Response(404, json={"message": "no such task"}))
    async with http(connector) as asking:
        with pytest.raises(NotFound):
            await connector.resolve(asking, "bk_gone")


async def test_executions_and_tasks_of_the_config_are_tracked() -> None:
    assert clinia(executions=["2wi"], tasks=["bk_1"]).tracked() == ["execution:2wi", "task:bk_1"]


async def test_the_answer_names_the_pipeline_of_a_run_known_only_by_its_id() -> None:
    connector = clinia()
    with cassette("run.yaml"):
        async with http(connector) as asking:
            run = await connector.run(asking, RunRef("", FAILED))
    assert run.ref == RunRef("clinic", FAILED)
    assert run.pipeline_version == "1"


@respx.mock
async def test_the_bodies_of_operations_are_never_asked_for() -> None:
    connector = clinia()
    asked = respx.get(url__startswith=BASE).mock(return_value=Response(200, json=EXECUTION))
    async with http(connector) as asking:
        await connector.run(asking, RunRef("", EXECUTION["id"]))  # type: ignore[arg-type]
    assert not asked.calls.last.request.url.query


async def test_neither_reviewers_nor_records_are_kept() -> None:
    connector = clinia()
    with cassette("run.yaml"):
        async with http(connector) as asking:
            run = await connector.run(asking, RunRef("clinic", FAILED))
    assert run.payload is not None
    assert "CANARY" not in run.payload.model_dump_json() + repr(run)
    assert [step.kind for step in run.steps or []] == ["review", None]
    assert run.error_code == "ALREADY_EXISTS"


async def read(**changed: Any) -> Run:
    connector = clinia()
    with respx.mock:
        respx.get(url__startswith=BASE).mock(return_value=Response(200, json=EXECUTION | changed))
        async with http(connector) as asking:
            return await connector.run(asking, RunRef("", "any"))


@pytest.mark.parametrize(
    ("definition", "pipeline_id", "version"),
    [
        ("clinics.2", "clinics", "2"),
        ("eu.clinics.10", "eu.clinics", "10"),
        ("clinics", "clinics", None),
        ("clinics.draft", "clinics.draft", None),
        (".1", ".1", None),
    ],
)
async def test_a_definition_is_a_pipeline_and_its_version(
    definition: str, pipeline_id: str, version: str | None
) -> None:
    run = await read(pipelineDefinitionId=definition)
    assert (run.pipeline_id, run.pipeline_version) == (pipeline_id, version)


@pytest.mark.parametrize("status", ["IN_PROGRESS", "IN_REVIEW", "ARCHIVED"])
async def test_an_update_is_no_end_while_a_run_is_open_or_its_word_is_new(status: str) -> None:
    run = await read(status=status)
    assert run.finished_at is None
    assert run.updated_at is not None


async def test_a_new_word_of_a_step_costs_nothing() -> None:
    run = await read(steps=[{"status": "PROCESSED"}, {"status": "SHRUGGED", "error": None, "decision": None}])
    assert [step.vendor_status for step in run.steps or []] == ["PROCESSED", "SHRUGGED"]


async def test_nothing_is_walked_unless_the_guessed_query_is_switched_on() -> None:
    assert clinia().feeds([]) == []
    assert len(clinia(query=True).feeds([])) == 1


@respx.mock
async def test_the_guessed_query_counts_pages_from_zero_and_resumes() -> None:
    connector = clinia(query=True)
    meta = {"perPage": 20, "numPages": 2, "total": 21}
    query = respx.post(f"{BASE}/pipelines/executions/query")
    query.mock(
        side_effect=[
            Response(200, json={"hits": [EXECUTION], "meta": meta | {"page": 0}}),
            Response(200, json={"hits": [EXECUTION], "meta": meta | {"page": 1}}),
            Response(200, json={"hits": [EXECUTION], "meta": meta | {"page": 1}}),
        ]
    )
    [feed] = connector.feeds([])
    async with http(connector) as asking:
        whole = [page async for page in connector.pages(asking, feed, None, None)]
        rest = [page async for page in connector.pages(asking, feed, None, whole[0].cursor)]
    assert [(page.cursor, page.total) for page in whole] == [("1", 21), (None, 21)]
    assert len(rest) == 1
    assert [call.request.content for call in query.calls] == [
        b'{"page":0,"perPage":20}',
        b'{"page":1,"perPage":20}',
        b'{"page":1,"perPage":20}',
    ]


@respx.mock
async def test_a_key_can_be_tried_before_anything_is_tracked() -> None:
    connector = clinia()
    nobody = respx.get(f"{BASE}/pipelines/executions/runlake-probe")
    nobody.mock(return_value=Response(404, json={"message": "not found"}))
    async with http(connector) as asking:
        assert await connector.probe(asking) == "read an execution that is not there"
        nobody.mock(return_value=Response(401, json={"message": "bad key"}))
        with pytest.raises(AuthenticationError):
            await connector.probe(asking)


@pytest.mark.parametrize("missing", ["base_url", "source_key"])
def test_host_and_source_have_no_default(missing: str) -> None:
    given = {"base_url": "https://acme.clinia.cloud", "source_key": "s", "api_key": {"env": "X"}}
    del given[missing]
    with pytest.raises(ValidationError, match=missing):
        CliniaSettings.model_validate(given)
