"""Clinia, a health-data registry: a run is one record operation going through a collection's ingestion pipeline.

Docs     https://docs.clinia.com/api-reference/pipeline-executions/get-a-pipeline-execution and, for tasks,
         https://docs.clinia.com/api-reference/task/get-a-task-from-the-registry
Auth     The bare key in ``X-Clinia-API-Key``.
Paging   None documented: executions are read by id, and a task's receipts name the executions that it caused.
Order    As tracked; a "Query pipeline executions" endpoint is mentioned in the docs, but its page could not be read.
Limits   None documented.
Quirks   Two host shapes are published for the same page, so the whole base URL is configured. Steps have no name, no
         start, and one documented word, PROCESSED, which the vendor's sample shows on a step with an error, too. A task
         succeeds even when a reviewer dropped its operations. Assumed: a run starts when it is created and ends with
         its last update; an id without a task prefix is an execution's; ``query`` (off), in all its details.

Not kept: operation bodies (never asked for), target ids, ``targetType``, ``error.code`` and ``details``, who decided
and what they wrote.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from runlake.connector import Connector, Feed, Order, Page, Resolution, Settings, Wire
from runlake.errors import NotFound
from runlake.http import Sign, VendorHttp, api_key, path
from runlake.model import Pipeline, Run, RunRef, RunStatus, StatusTable, Step
from runlake.secret import Secret

TASK_PREFIXES = ("s_", "bk_", "bd_", "pg_")
"""Single, bulk, bundle and purge tasks. Bare ids, which the docs call deprecated, are tracked as ``task:<id>``."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class CliniaSettings(Settings):
    source_key: Text
    api_key: Secret
    executions: list[Text] = Field(default_factory=list)
    tasks: list[Text] = Field(default_factory=list)
    query: bool = False
    """UNVERIFIED: walk the query endpoint, whose path, body and answer are guessed from Clinia's search calls."""


class _Target(Wire):
    type: str | None = None  # its `id` names a patient's or provider's record and is left out


class _Operation(Wire):
    action: str
    target: _Target | None = None
    taskId: str | None = None


class _Decision(Wire):
    """Only that there is one: who decided what, and why, is personal."""


class _Error(Wire):
    type: str | None = None
    message: str | None = None


class _Step(Wire):
    status: str
    error: _Error | None = None
    decision: _Decision | None = None
    processedAt: AwareDatetime | None = None


class _Execution(Wire):
    id: str
    pipelineDefinitionId: str
    status: str
    steps: list[_Step]
    operation: _Operation
    createdAt: AwareDatetime
    updatedAt: AwareDatetime


class _Named(Wire):
    id: str
    pipelineDefinitionId: str = ""


class _Receipt(Wire):
    pipelineExecution: _Named | None = (
        None  # none where the collection has no pipeline, as the changelog's sample shows
    )


class _Task(Wire):
    status: str
    receipts: list[_Receipt] = Field(default_factory=list)


class _Meta(Wire):
    numPages: int
    total: int | None = None


class _Hits(Wire):
    hits: list[_Execution]
    meta: _Meta


class Clinia(Connector[CliniaSettings]):
    name = "clinia"
    title = "Clinia"
    settings_type = CliniaSettings
    statuses = StatusTable(
        IN_PROGRESS=RunStatus.RUNNING,
        IN_REVIEW=RunStatus.WAITING,
        SUCCESSFUL=RunStatus.SUCCEEDED,
        ERROR=RunStatus.FAILED,
        CANCELLED=RunStatus.CANCELLED,
        DROPPED=RunStatus.REJECTED,
    )
    step_statuses = StatusTable(PROCESSED=RunStatus.SUCCEEDED)

    def sign(self) -> Sign:
        return api_key("X-Clinia-API-Key", self.settings.api_key)

    def tracked(self) -> list[str]:
        return [f"execution:{id_}" for id_ in self.settings.executions] + [f"task:{id_}" for id_ in self.settings.tasks]

    async def resolve(self, http: VendorHttp, handle: str) -> Resolution:
        """A task's executions; an execution itself, unasked. `handle` is an id, or ``task:<id>``, ``execution:<id>``.

        A task is settled once it is no longer PENDING. Before, it may still name further executions.
        """
        kind, _, id_ = handle.rpartition(":")
        if kind not in {"", "task", "execution"} or not id_:
            raise NotFound(f"{handle!r} is neither task:<id> nor execution:<id>")
        if kind == "execution" or (not kind and not id_.startswith(TASK_PREFIXES)):
            return Resolution([RunRef("", id_)])
        task = await http.get(self._path("tasks/{}", id_), into=_Task, withReceipts=True)
        named = [receipt.pipelineExecution for receipt in task.receipts if receipt.pipelineExecution]
        refs = [RunRef(_definition(execution.pipelineDefinitionId)[0], execution.id) for execution in named]
        return Resolution(list(dict.fromkeys(refs)), settled=task.status != "PENDING")

    async def run(self, http: VendorHttp, ref: RunRef) -> Run:
        """`ref.pipeline_id` may be empty: an execution's id finds it, and the answer names its pipeline."""
        # Never with withOperationBody: the bodies are records of patients.
        return self._translate(await http.get(self._path("pipelines/executions/{}", ref.run_id), into=_Execution))

    def feeds(self, pipelines: Sequence[Pipeline]) -> list[Feed]:
        # Nothing to walk until the endpoint is known; the order, too, is a guess that the core watches.
        return [Feed(order=Order.NEWEST_FIRST)] if self.settings.query else []

    async def pages(
        self, http: VendorHttp, feed: Feed, since: datetime | None, cursor: str | None
    ) -> AsyncIterator[Page]:
        """UNVERIFIED, only with ``query``: by analogy with Clinia's search, whose pages count from 0."""
        number = int(cursor or 0)
        while True:
            asked = {"page": number, "perPage": 20}
            answer = await http.post(self._path("pipelines/executions/query"), json=asked, into=_Hits)
            number += 1
            following = str(number) if answer.hits and number < answer.meta.numPages else None
            yield Page([self._translate(row) for row in answer.hits], following, answer.meta.total)
            if following is None:
                return

    async def probe(self, http: VendorHttp) -> str:
        if self.settings.query:
            return await super().probe(http)
        if self.settings.executions:
            await self.run(http, RunRef("", self.settings.executions[0]))
            return "read a tracked execution"
        if self.settings.tasks:
            await self.resolve(http, f"task:{self.settings.tasks[0]}")
            return "read a tracked task"
        # Nothing is tracked yet. Assumed: a bad key is answered before a missing execution is.
        with suppress(NotFound):
            await self.run(http, RunRef("", "runlake-probe"))
        return "read an execution that is not there"

    def _path(self, template: str, *parts: str) -> str:
        return path("/sources/{}/v1/" + template, self.settings.source_key, *parts)

    def _translate(self, row: _Execution) -> Run:
        pipeline_id, version = _definition(row.pipelineDefinitionId)
        failed = next((step.error for step in row.steps if step.error), None)
        operation, labels = row.operation, {}
        if operation.taskId:
            labels["task_id"] = operation.taskId
        if operation.target and operation.target.type:
            labels["target_type"] = operation.target.type
        return Run(
            pipeline_id=pipeline_id,
            run_id=row.id,
            vendor_status=row.status,
            pipeline_version=version,
            created_at=row.createdAt,
            started_at=row.createdAt,
            finished_at=row.updatedAt if self.statuses[row.status].is_final else None,
            updated_at=row.updatedAt,
            trigger=operation.action,
            error_code=failed.type if failed else None,
            error_message=failed.message if failed else None,
            labels=labels,
            steps=[_step(index, step) for index, step in enumerate(row.steps)],
            payload=row,
        )


def _step(index: int, step: _Step) -> Step:
    return Step(
        step_id=str(index),
        vendor_status=step.status,
        kind="review" if step.decision else None,
        finished_at=step.processedAt,
        error_code=step.error.type if step.error else None,
        error_message=step.error.message if step.error else None,
    )


def _definition(id_: str) -> tuple[str, str | None]:
    """``clinics.2`` is version 2 of the pipeline ``clinics`` (docs: explanation/ingestion-pipeline/basics)."""
    name, _, version = id_.rpartition(".")
    return (name, version) if name and version.isdecimal() else (id_, None)
