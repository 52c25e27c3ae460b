"""Clarifeye, a document-intelligence platform whose extraction flows queue pipeline runs.

Docs     https://docs.clarifeye.ai/llms.txt names the pages; runs: /projects/{project_id}/pipeline-runs/ (API v1).
Auth     Bearer token. Projects cannot be listed with it, so the config names them.
Paging   ``limit`` (at most 1000) and ``offset``; the answer says ``count`` and, until the last page, ``next``.
Order    Newest first by ``created_at``, fixed; there is no filter by date or by pipeline.
Limits   None documented.
Quirks   A run names no flow id, only ``pipeline_name``, and says neither when it started nor ended. Assumed: it started
         with its first step that is not pending, ended at ``updated_at`` once final, says why it failed in the last
         line of its log, and ``pipeline_name`` is the name of its extraction flow.

EU accounts answer at https://eu.app.clarifeye.ai/api/v1 (the default), US accounts at https://us.app.clarifeye.ai/api/v1.

Not kept: logs but for the last line of a failure, ``celery_task_id``, ``tables``, the inputs, outputs, params, warnings
and ``depends_on`` of steps (edges by names that may be null).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, HttpUrl, StringConstraints

from runlake.connector import BaseUrl, Connector, Feed, Page, Settings, Wire
from runlake.http import Sign, VendorHttp, bearer, path
from runlake.model import Pipeline, Run, RunRef, RunStatus, StatusTable, Step
from runlake.secret import Secret

_LONGEST_ERROR = 500


def _each_once(projects: list[str]) -> list[str]:
    if len(set(projects)) < len(projects):
        raise ValueError("name each project once")
    return projects


class ClarifeyeSettings(Settings):
    base_url: BaseUrl = HttpUrl("https://eu.app.clarifeye.ai/api/v1")
    token: Secret
    projects: Annotated[
        # A project is the part of a pipeline id before the first "/".
        list[Annotated[str, StringConstraints(pattern=r"^[^/\s]+$")]],
        Field(min_length=1),
        AfterValidator(_each_once),
    ]
    page_size: Annotated[int, Field(ge=1, le=1000)] = 200


class _Step(Wire):
    id: str
    step: str
    status: str
    created_at: AwareDatetime
    updated_at: AwareDatetime
    name: str | None = None


class _Run(Wire):
    id: str
    pipeline_name: str
    status: str
    created_at: AwareDatetime
    updated_at: AwareDatetime
    mode: str | None = None
    user: str | None = None
    steps: list[_Step] | None = None
    # Lists give counts, one run by id gives the ids, which may be very many: counted, not stored.
    document_count: int | None = None
    chunk_count: int | None = None
    document_ids: Annotated[list[object] | None, Field(exclude=True)] = None
    chunk_ids: Annotated[list[object] | None, Field(exclude=True)] = None
    raw_logs: Annotated[str | None, Field(exclude=True)] = None


class _Page(Wire):
    count: int
    next: str | None
    results: list[_Run]


class _Flow(Wire):
    name: str


class Clarifeye(Connector[ClarifeyeSettings]):
    name = "clarifeye"
    title = "Clarifeye"
    settings_type = ClarifeyeSettings
    statuses = StatusTable(
        pending=RunStatus.QUEUED,
        running=RunStatus.RUNNING,
        completed=RunStatus.SUCCEEDED,
        completed_with_warnings=RunStatus.SUCCEEDED_WITH_WARNINGS,
        failed=RunStatus.FAILED,
        aborted=RunStatus.CANCELLED,
    )
    step_statuses = statuses

    def sign(self) -> Sign:
        return bearer(self.settings.token)

    def feeds(self, pipelines: Sequence[Pipeline]) -> list[Feed]:
        return [Feed(id=project) for project in self.settings.projects]

    async def pages(
        self, http: VendorHttp, feed: Feed, since: datetime | None, cursor: str | None
    ) -> AsyncIterator[Page]:
        offset, size = int(cursor or 0), self.settings.page_size
        more = True
        while more:
            page = await http.get(path("/projects/{}/pipeline-runs/", feed.id), into=_Page, limit=size, offset=offset)
            # Never more than was asked for, or a row listed twice would push another out of the walk.
            offset += min(len(page.results) or size, size)
            # A page without one readable row is passed over, but only as far as the vendor counts rows.
            more = bool(page.next) and (bool(page.results) or offset < page.count)
            yield Page(
                runs=[self._translate(row, feed.id) for row in page.results],
                cursor=str(offset) if more else None,
                total=page.count,
            )

    async def run(self, http: VendorHttp, ref: RunRef) -> Run:
        project = ref.pipeline_id.partition("/")[0]
        row = await http.get(path("/projects/{}/pipeline-runs/{}/", project, ref.run_id), into=_Run)
        return self._translate(row, project)

    async def pipelines(self, http: VendorHttp) -> list[Pipeline]:
        """Extraction flows. Two of one name are one pipeline, since a run tells them apart by name only."""
        found: dict[str, Pipeline] = {}
        for project in self.settings.projects:
            for flow in await http.get(path("/projects/{}/extraction-flows/", project), into=list[_Flow]):
                pipeline_id = f"{project}/{flow.name}"
                found[pipeline_id] = Pipeline(pipeline_id=pipeline_id, name=flow.name)
        return list(found.values())

    async def probe(self, http: VendorHttp) -> str:
        for project in self.settings.projects:
            await http.get(path("/projects/{}/pipeline-runs/", project), into=_Page, limit=1, offset=0)
        return "list runs"

    def _translate(self, row: _Run, project: str) -> Run:
        final = self.statuses[row.status].is_final
        steps = None if row.steps is None else [self._step(step) for step in row.steps]
        return Run(
            pipeline_id=f"{project}/{row.pipeline_name}",
            run_id=row.id,
            vendor_status=row.status,
            pipeline_name=row.pipeline_name,
            created_at=row.created_at,
            started_at=min((step.started_at for step in steps or () if step.started_at), default=None),
            finished_at=row.updated_at if final else None,
            updated_at=row.updated_at,
            triggered_by=row.user,
            error_message=_last_line(row.raw_logs) if row.status == "failed" else None,
            labels={"mode": row.mode} if row.mode else {},
            metrics=_counts(row),
            steps=steps,
            payload=row,
        )

    def _step(self, row: _Step) -> Step:
        return Step(
            step_id=row.id,
            vendor_status=row.status,
            name=row.name or row.step,
            kind=row.step,
            started_at=row.created_at if row.status != "pending" else None,
            finished_at=row.updated_at if self.step_statuses[row.status].is_final else None,
        )


def _counts(row: _Run) -> dict[str, float]:
    """Nothing is said of none: a list says 0 where the run by id says null, which is no change of the run."""
    counts: dict[str, float] = {}
    if documents := row.document_count or len(row.document_ids or ()):
        counts["documents"] = documents
    if chunks := row.chunk_count or len(row.chunk_ids or ()):
        counts["chunks"] = chunks
    return counts


def _last_line(log: str | None) -> str | None:
    line = (log or "").rstrip().rpartition("\n")[2].strip()
    return line[:_LONGEST_ERROR] or None
