"""Clerk Chat, business messaging with AI agents: a pipeline is an agent, a run one execution of it. Not Clerk.com.

Docs     https://docs.clerk.chat/api-reference/pipelines/list-pipeline-executions and, for one execution,
         https://docs.clerk.chat/api-reference/pipelines/get-a-pipeline-execution
Auth     The bare key in ``apiKey``; it is a team's.
Paging   ``links.next``, at most 50 a page; whether links are absolute is not said, both are followed.
Order    Assumed newest first by ``startedAt`` (the core watches it); there is no filter by date or status.
Limits   None documented.
Quirks   No list of pipelines is documented, so their ids are configured. No time of creation or update exists. List
         rows leave out the pipeline and the nodes. ``paused`` may last as long as a contact takes to answer. Assumed:
         the meaning of the status words, nodes using the same ones, and no next link (or an empty page) at the end.

Not kept: conversation, contact, environment, inputs, outputs and messages; ``runTime`` (unit not stated), the tokens
and goal names of nodes, the ids of conversation and trigger.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, HttpUrl, StringConstraints

from runlake.connector import BaseUrl, Connector, Feed, Order, Page, Settings, Wire
from runlake.errors import UnexpectedResponse
from runlake.http import Sign, VendorHttp, api_key, path
from runlake.model import Pipeline, Run, RunRef, RunStatus, StatusTable, Step
from runlake.secret import Secret

PAGE_SIZE = 50


class ClerkSettings(Settings):
    base_url: BaseUrl = HttpUrl("https://web-api.clerk.chat/public")
    api_key: Secret
    pipelines: list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]] = Field(min_length=1)


class _Row(Wire):
    """A list row. Whom it talked to (``conversationId``, ``triggeredByEntityId``) is left out."""

    id: str
    pipelineVersionId: str
    status: str
    startedAt: AwareDatetime | None = None
    finishedAt: AwareDatetime | None = None
    error: str | None = None
    aiTokensUsed: float | None = None
    nodesStarted: float | None = None
    triggeredBy: str | None = None


class _GraphNode(Wire):
    isGoal: bool = False


class _Node(Wire):
    id: str
    status: str
    nodeName: str | None = None
    node: _GraphNode | None = None
    startedAt: AwareDatetime | None = None
    finishedAt: AwareDatetime | None = None
    errorMessage: str | None = None


class _Detail(_Row):
    """Without the history, contact, environment, messages, inputs and outputs: personal, some of them secret."""

    pipelineName: str | None = None
    pipelineVersionNumber: str | None = None
    nodesExecuted: list[_Node] | None = None


class _Links(Wire):
    next: str | None = None


class _List(Wire):
    data: list[_Row]
    total: int
    links: _Links | None = None


class Clerk(Connector[ClerkSettings]):
    name = "clerk"
    title = "Clerk Chat"
    settings_type = ClerkSettings
    statuses = StatusTable(
        new=RunStatus.QUEUED,
        running=RunStatus.RUNNING,
        paused=RunStatus.WAITING,
        success=RunStatus.SUCCEEDED,
        failed=RunStatus.FAILED,
    )
    step_statuses = statuses

    def sign(self) -> Sign:
        return api_key("apiKey", self.settings.api_key)

    def feeds(self, pipelines: Sequence[Pipeline]) -> list[Feed]:
        return [Feed(id=id_, order=Order.NEWEST_FIRST) for id_ in dict.fromkeys(self.settings.pipelines)]

    def sort_key(self, run: Run) -> datetime | None:
        return run.started_at

    async def pages(
        self, http: VendorHttp, feed: Feed, since: datetime | None, cursor: str | None
    ) -> AsyncIterator[Page]:
        been: set[str | None] = set()
        while cursor not in been:
            been.add(cursor)
            if cursor is None:
                answer = await http.get(path("/pipelines/{}/executions", feed.id), into=_List, limit=PAGE_SIZE)
            else:
                answer = await http.get(http.link(cursor), into=_List)
            link = answer.links.next if answer.links and answer.data else None
            cursor = http.relative(link) if link else None
            yield Page([_translate(feed.id, row) for row in answer.data], cursor, answer.total)
            if cursor is None:
                return
        raise UnexpectedResponse(f"the next links of {feed.id} lead in a circle, back to {cursor}")

    async def run(self, http: VendorHttp, ref: RunRef) -> Run:
        row = await http.get(path("/pipelines/{}/executions/{}", ref.pipeline_id, ref.run_id), into=_Detail)
        run = _translate(ref.pipeline_id, row)
        run.pipeline_name = row.pipelineName
        if row.pipelineVersionNumber is not None:
            run.labels["version"] = row.pipelineVersionNumber
        if row.nodesExecuted is not None:
            run.steps = [_step(node) for node in row.nodesExecuted]
        return run

    async def detail(self, http: VendorHttp, run: Run) -> Run:
        return await self.run(http, run.ref)


def _translate(pipeline_id: str, row: _Row) -> Run:
    metrics = {}
    if row.aiTokensUsed is not None:
        metrics["ai_tokens"] = row.aiTokensUsed
    if row.nodesStarted is not None:
        metrics["nodes_started"] = row.nodesStarted
    return Run(
        pipeline_id=pipeline_id,
        run_id=row.id,
        vendor_status=row.status,
        pipeline_version=row.pipelineVersionId,
        started_at=row.startedAt,
        finished_at=row.finishedAt,
        trigger=row.triggeredBy,
        error_message=row.error or None,
        metrics=metrics,
        payload=row,
    )


def _step(node: _Node) -> Step:
    return Step(
        step_id=node.id,  # the node's execution: a node itself may come round several times
        vendor_status=node.status,
        name=node.nodeName,
        kind="goal" if node.node and node.node.isGoal else None,
        started_at=node.startedAt,
        finished_at=node.finishedAt,
        error_message=node.errorMessage or None,
    )
