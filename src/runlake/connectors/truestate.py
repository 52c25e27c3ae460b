"""TrueState, hosted data and AI pipelines that run on Argo Workflows.

Docs     https://docs.truestate.io/api-reference/pipeline-runs/get-runs
Auth     ``Api-key: <key>`` (the guide), or a Bearer token (the reference); ``Current-Org-Id`` as the SDK sends.
Paging   None: the whole history of a pipeline is one bare array, each run with two whole Argo documents.
Order    None stated; there is no filter by date or status.
Limits   None documented.
Quirks   Statuses are free text; Argo's phases are expected, whose ``Failed`` covers terminated runs as well. Only steps
         say when they started: a run starts with its first. Addresses end in a slash, or a redirect follows. Assumed:
         reading one run, listing the pipelines, this host for both, and Argo's message in ``argo_metadata.status``.

Memory is bounded by one run document and the `PAGE_RUNS` runs translated from it and its neighbours, however long the
array is: the array is parsed while it arrives, and a run's Argo documents are gone before the next run is looked at.

Not kept: both Argo documents but for one message, and the configs of steps (queries).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field, HttpUrl, StringConstraints, model_validator

from runlake.connector import BaseUrl, Connector, Feed, Order, Page, Settings, Wire
from runlake.http import Sign, VendorHttp, api_key, bearer, path
from runlake.model import Pipeline, Run, RunRef, RunStatus, StatusTable, Step
from runlake.secret import Secret

PAGE_RUNS = 200
PipelineId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class TrueStateSettings(Settings):
    base_url: BaseUrl = HttpUrl("https://api.truestate.io")
    api_key: Secret | None = None
    token: Secret | None = None
    organisation: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+$")] | None = None
    pipelines: list[PipelineId] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_way_in(self) -> TrueStateSettings:
        if (self.api_key is None) == (self.token is None):
            raise ValueError("set exactly one of api_key and token")
        return self


def _message(metadata: Any) -> str | None:
    """`status.message` of a workflow document, which is free-form: nothing about it may cost the run."""
    status = metadata.get("status") if isinstance(metadata, dict) else None
    message = status.get("message") if isinstance(status, dict) else None
    return message if isinstance(message, str) and message else None


class _Version(Wire):
    id: str


class _Step(Wire):
    name: str
    status: str
    run_name: str | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None


class _Run(Wire):
    """Without the manifest, the metadata and the steps' queries: they may hold environments, images and secrets."""

    id: str
    name: str
    status: str
    pipeline_version: _Version
    created_at: AwareDatetime
    finished_at: AwareDatetime | None
    run_steps: list[_Step] | None = None  # the create-run page shows a run without them
    argo_message: Annotated[str | None, BeforeValidator(_message)] = Field(None, validation_alias="argo_metadata")


class _Pipeline(Wire):
    id: str
    name: str | None = None


class TrueState(Connector[TrueStateSettings]):
    name = "truestate"
    title = "TrueState"
    settings_type = TrueStateSettings
    # Argo's workflow and node phases: argo-workflows, workflow_phase.go and workflow_types.go.
    statuses = StatusTable(
        {"": RunStatus.QUEUED},  # Argo has not looked at it yet
        Pending=RunStatus.QUEUED,
        Running=RunStatus.RUNNING,
        Succeeded=RunStatus.SUCCEEDED,
        Failed=RunStatus.FAILED,
        Error=RunStatus.FAILED,
        Skipped=RunStatus.SKIPPED,
        Omitted=RunStatus.SKIPPED,
    )
    step_statuses = statuses

    def sign(self) -> Sign:
        organisation = {"Current-Org-Id": self.settings.organisation} if self.settings.organisation else {}
        if self.settings.token is not None:
            return bearer(self.settings.token, **organisation)
        assert self.settings.api_key is not None
        return api_key("Api-key", self.settings.api_key, organisation)

    async def pipelines(self, http: VendorHttp) -> list[Pipeline]:
        """The configured ones, unasked: the list that is asked otherwise is only assumed to exist."""
        if self.settings.pipelines:
            return [Pipeline(pipeline_id=id_) for id_ in dict.fromkeys(self.settings.pipelines)]
        rows = await http.get("/pipelines/", into=list[_Pipeline])
        return [Pipeline(pipeline_id=row.id, name=row.name) for row in rows]

    def feeds(self, pipelines: Sequence[Pipeline]) -> list[Feed]:
        return [Feed(id=pipeline.pipeline_id, order=Order.UNSORTED) for pipeline in pipelines]

    async def pages(
        self, http: VendorHttp, feed: Feed, since: datetime | None, cursor: str | None
    ) -> AsyncIterator[Page]:
        """Slices of the array. None has a cursor, for an array cannot be taken up again in its middle."""
        runs: list[Run] = []
        async for row in http.items(path("/pipelines/{}/runs/", feed.id), into=_Run):
            runs.append(_translate(feed.id, row))
            if len(runs) == PAGE_RUNS:
                yield Page(runs)
                runs = []
        yield Page(runs)

    async def run(self, http: VendorHttp, ref: RunRef) -> Run:
        row = await http.get(path("/pipelines/{}/runs/{}/", ref.pipeline_id, ref.run_id), into=_Run)
        return _translate(ref.pipeline_id, row)


def _translate(pipeline_id: str, row: _Run) -> Run:
    steps = row.run_steps
    return Run(
        pipeline_id=pipeline_id,
        run_id=row.id,
        vendor_status=row.status,
        pipeline_version=row.pipeline_version.id,
        created_at=row.created_at,
        started_at=min((step.started_at for step in steps if step.started_at), default=None) if steps else None,
        finished_at=row.finished_at,
        error_message=row.argo_message,
        labels={"workflow": row.name},
        steps=None if steps is None else _steps(steps),
        payload=row,
    )


def _steps(rows: list[_Step]) -> list[Step]:
    steps: dict[str, Step] = {}
    for row in rows:
        step_id = row.run_name or row.name
        if step_id in steps:  # names of steps are the vendor's free text, ids have to differ
            step_id = f"{step_id}#{len(steps)}"
        steps[step_id] = Step(
            step_id=step_id,
            vendor_status=row.status,
            name=row.name,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )
    return list(steps.values())
