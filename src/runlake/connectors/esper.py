"""Esper, which manages fleets of Android devices: a pipeline rolls operations out to them stage by stage.

Docs     https://api.esper.io; its source is GitHub esper-io/esper-cli, spec/openapi/pipelines-v0.yaml (commit 9dea84a).
Auth     Bearer token (an API key of the tenant); the tenant's own host: https://{tenant}-api.esper.cloud/api
Paging   ``limit`` and ``offset``, then ``content.next`` until it is null or "". Assumed: a ``limit`` of 100 is granted.
Order    By ``-started_at``, which many runs lack; there is no filter by date, but one by status.
Limits   429 is documented, numbers are not.
Quirks   ``complete`` is not final: the verdict follows. Statuses are documented in capitals and sent in lower case.
         An id that is gone may be answered 401, the only error documented. Assumed: runs never started sort first or
         last, and ``ended_at`` may be set before the verdict.

Not kept: ``status_meta`` (content undocumented), ``updated_by``, ``enterprise_id``, device aliases, stage descriptions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AwareDatetime, Field

from runlake.connector import Connector, Feed, Order, Page, Settings, Wire
from runlake.errors import AuthenticationError, NotFound, UnexpectedResponse
from runlake.http import Sign, VendorHttp, bearer, path
from runlake.model import Pipeline, Run, RunRef, RunStatus, StatusTable, Step
from runlake.secret import Secret

_RUNS = "/pipelines/v0/runs/"
_WORDS = {
    "pending": RunStatus.QUEUED,
    "queued": RunStatus.QUEUED,
    "processing": RunStatus.QUEUED,
    "running": RunStatus.RUNNING,
    "complete": RunStatus.RUNNING,
    "success": RunStatus.SUCCEEDED,
    "failure": RunStatus.FAILED,
    "cancelled": RunStatus.CANCELLED,
    "timeout": RunStatus.TIMED_OUT,
    "invalid": RunStatus.FAILED,
}
_OPEN = ("pending", "queued", "processing", "running", "waiting", "complete")
_FINAL_WITHOUT_START = ("invalid", "cancelled")


def _sent_or_documented(words: Mapping[str, RunStatus]) -> StatusTable:
    """Each word as it is sent and as the reference writes it."""
    return StatusTable({spelt: status for word, status in words.items() for spelt in (word, word.upper())})


class EsperSettings(Settings):
    token: Secret
    target_runs: bool = False
    """Also read one step per device: as many requests more as a run has stages, and many rows."""
    page_size: Annotated[int, Field(ge=1, le=1000)] = 100


class _Run(Wire):
    id: str
    pipeline_id: str
    status: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    updated_at: AwareDatetime | None = None
    pipeline_name: str | None = None
    run_number: int | None = None
    created_by: str | None = None  # a number on the wire


class _StageMeta(Wire):
    name: str | None = None


class _StageRun(Wire):
    id: str
    status: str
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    stage_meta: _StageMeta | None = None


class _TargetRun(Wire):
    # `device_alias` is left out: people name devices after people.
    id: str
    status: str
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    device_id: str | None = None
    command_status: str | None = None


class _Pipeline(Wire):
    id: str
    name: str | None = None


R = TypeVar("R")


class _List(Wire, Generic[R]):
    results: list[R]
    next: str | None = None
    count: int | None = None


class _ListAnswer(Wire, Generic[R]):
    """A list in its envelope; some of Esper's APIs give it bare, and the vendor's own client accepts both."""

    content: _List[R] | None = None
    results: list[R] | None = None
    next: str | None = None
    count: int | None = None

    def unwrapped(self, where: str) -> _List[R]:
        if self.content is not None:
            return self.content
        if self.results is None:
            raise UnexpectedResponse(f"GET {where}: the answer's shape has changed: it has no list of results")
        return _List[R].model_construct(results=self.results, next=self.next, count=self.count)


class _RunAnswer(Wire):
    content: _Run


class Esper(Connector[EsperSettings]):
    name = "esper"
    title = "Esper"
    settings_type = EsperSettings
    statuses = _sent_or_documented({**_WORDS, "waiting": RunStatus.WAITING})
    step_statuses = _sent_or_documented({**_WORDS, "dispatched": RunStatus.RUNNING})

    def sign(self) -> Sign:
        return bearer(self.settings.token)

    def feeds(self, pipelines: Sequence[Pipeline]) -> list[Feed]:
        """Runs that never started have no place in the order by start, so open ones are listed by status too. Those
        that ended without a start between two syncs are found by the sweep."""
        return [
            Feed(order=Order.NEWEST_FIRST),
            *(Feed(order=Order.UNSORTED, query=f"status={word}") for word in _OPEN),
            *(Feed(order=Order.UNSORTED, query=f"status={word}", sweep_only=True) for word in _FINAL_WITHOUT_START),
        ]

    def sort_key(self, run: Run) -> datetime | None:
        return run.started_at

    async def pages(
        self, http: VendorHttp, feed: Feed, since: datetime | None, cursor: str | None
    ) -> AsyncIterator[Page]:
        status = feed.query.partition("=")[2] or None
        async for rows, following, total in self._lists(
            http, _RUNS, _ListAnswer[_Run], cursor, status=status, ordering="-started_at"
        ):
            yield Page(runs=[self._translate(row) for row in rows], cursor=following, total=total)

    async def run(self, http: VendorHttp, ref: RunRef) -> Run:
        where = path("/pipelines/v0/pipelines/{}/runs/{}/", ref.pipeline_id, ref.run_id)
        try:
            answer = await http.get(where, into=_RunAnswer)
        except AuthenticationError:
            await self.probe(http)  # a token that is refused is refused here too
            raise NotFound(f"GET {where}: HTTP 401, though the token is accepted elsewhere") from None
        return await self.detail(http, self._translate(answer.content))

    async def detail(self, http: VendorHttp, run: Run) -> Run:
        steps: list[Step] = []
        where = path("/pipelines/v0/runs/{}/stageruns/", run.run_id)
        async for stages, _, _ in self._lists(http, where, _ListAnswer[_StageRun]):
            for stage in stages:
                steps.append(self._stage(stage))
                if self.settings.target_runs:
                    steps += await self._targets(http, stage.id)
        return replace(run, steps=steps)

    async def pipelines(self, http: VendorHttp) -> list[Pipeline]:
        return [
            Pipeline(pipeline_id=row.id, name=row.name)
            async for rows, _, _ in self._lists(http, "/pipelines/v0/pipelines/", _ListAnswer[_Pipeline])
            for row in rows
        ]

    async def probe(self, http: VendorHttp) -> str:
        answer = await http.get(_RUNS, into=_ListAnswer[_Run], limit=1)
        answer.unwrapped(_RUNS)
        return "list runs"

    async def _lists(
        self, http: VendorHttp, where: str, into: type[_ListAnswer[R]], cursor: str | None = None, **query: str | None
    ) -> AsyncIterator[tuple[list[R], str | None, int | None]]:
        """Rows, the cursor after them and the vendor's count, page by page."""
        here = cursor
        while True:
            if here is None:
                answer = await http.get(where, into=into, limit=self.settings.page_size, offset=0, **query)
            else:
                answer = await http.get(http.link(here), into=into)
            found = answer.unwrapped(where)
            following = http.relative(found.next) if found.next else None
            if following is not None and following == here:
                raise UnexpectedResponse(f"GET {where}: the next page is the page itself, {following}")
            yield found.results, following, found.count
            if following is None:
                return
            here = following

    async def _targets(self, http: VendorHttp, stage_run_id: str) -> list[Step]:
        where = path("/pipelines/v0/stageruns/{}/targetruns/", stage_run_id)
        return [
            self._target(row) async for rows, _, _ in self._lists(http, where, _ListAnswer[_TargetRun]) for row in rows
        ]

    def _translate(self, row: _Run) -> Run:
        return Run(
            pipeline_id=row.pipeline_id,
            run_id=row.id,
            vendor_status=row.status,
            pipeline_name=row.pipeline_name,
            run_number=row.run_number,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.ended_at if self.statuses[row.status].is_final else None,
            updated_at=row.updated_at,
            triggered_by=row.created_by,
            payload=row,
        )

    def _stage(self, row: _StageRun) -> Step:
        return Step(
            step_id=row.id,
            vendor_status=row.status,
            name=row.stage_meta.name if row.stage_meta else None,
            kind="stage",
            started_at=row.started_at,
            finished_at=row.ended_at if self.step_statuses[row.status].is_final else None,
        )

    def _target(self, row: _TargetRun) -> Step:
        status = self.step_statuses[row.status]
        return Step(
            step_id=row.id,
            vendor_status=row.status,
            name=row.device_id,
            kind="target",
            started_at=row.started_at,
            finished_at=row.ended_at if status.is_final else None,
            error_code=row.command_status if status is RunStatus.FAILED else None,
        )
