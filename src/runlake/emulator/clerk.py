"""Clerk Chat: executions of one pipeline (an AI agent), newest first, at most 50 a page.

Docs     https://docs.clerk.chat/api-reference/pipelines/list-pipeline-executions
Assumed  Newest first; pages count from 1; ``links`` null at the ends; ``runTime`` in ms; the error envelope.
"""

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runlake.emulator.clock import Clock
from runlake.emulator.timeline import Run, State, StepView
from runlake.emulator.vendor import CANARY, Row, UnreadableQuery, Vendor, answer, link, whole
from runlake.emulator.world import World, uuid

API_KEY = "emulator-clerk-key"
_WORDS = {
    State.CREATED: ("new", "queued"),
    State.QUEUED: ("new", "queued"),
    State.PREPARING: ("new", "queued"),
    State.RUNNING: ("running", "running"),
    State.WAITING: ("paused", "waiting"),
    State.SUCCEEDED: ("success", "succeeded"),
    State.FAILED: ("failed", "failed"),
}


class Clerk(Vendor):
    name = "clerk"
    words = _WORDS
    unsaid = frozenset({"created_at"})  # there is no createdAt anywhere
    required_keys = ("id", "status", "pipelineVersionId")
    text_key = "error"
    precision = "milliseconds"

    def __init__(self, world: World, clock: Clock) -> None:
        super().__init__(world, clock)
        self.relative_links = False  # the docs do not say which

    def reset(self) -> None:
        super().reset()
        self.relative_links = False

    def routes(self) -> list[Route]:
        return [
            Route("/pipelines/{pipeline_id}/executions", self._list),
            Route("/pipelines/{pipeline_id}/executions/{execution_id}", self._detail),
        ]

    def refusal(self, request: Request) -> Response | None:
        return None if request.headers.get("apiKey") == API_KEY else self.error(401, "Invalid API key")

    def error(self, status: int, message: str) -> Response:
        names = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
        content = {"statusCode": status, "message": message, "error": names.get(status, "Internal Server Error")}
        return answer(content, status)

    def settings(self, base_url: str) -> dict[str, Any]:
        ids = [self.pipeline_id(p) for p in self.world.pipelines(self.name)]
        return {"base_url": base_url, "api_key": API_KEY, "pipelines": ids}

    def steps(self, run: Run, instant: datetime) -> list[StepView]:
        return sorted(
            (view for view in run.steps(instant) if view.started_at),
            key=lambda view: (view.started_at or instant, view.plan.position),
        )

    async def _list(self, request: Request) -> Response:
        pipeline = self.pipeline_named(request.path_params["pipeline_id"])
        if pipeline is None:
            return self.error(404, "Pipeline not found")
        limit, page = whole(request.query_params, "limit", 20), whole(request.query_params, "page", 1)
        if not 1 <= limit <= 50:
            raise UnreadableQuery("limit must not be greater than 50")
        if page < 1:
            raise UnreadableQuery("page must not be less than 1")
        runs = self.settled(request, self.runs(pipeline), first_page=page == 1)[::-1]
        shown = runs[(page - 1) * limit : page * limit]
        self.show(shown)
        links = {
            "self": self._link(request, page, limit),
            "next": self._link(request, page + 1, limit) if page * limit < len(runs) else None,
            "prev": self._link(request, page - 1, limit) if page > 1 else None,
        }
        rows = self.distort(request, [self._row(run) for run in shown])
        return answer({"data": rows, "total": len(runs), "links": links})

    def _link(self, request: Request, page: int, limit: int) -> str:
        absolute = link(request, page=page, limit=limit)
        return (
            absolute.removeprefix(f"{request.url.scheme}://{request.url.netloc}") if self.relative_links else absolute
        )

    def _row(self, run: Run) -> Row:
        moment, pipeline = run.at(self.now()), self.world.pipeline(run)
        row: Row = {
            "id": self.run_id(run),
            "pipelineVersionId": uuid("version", run.pipeline, pipeline.version),
            "status": self.word(moment.state),
            "startedAt": self.stamp(moment.started_at),
            "finishedAt": self.stamp(moment.finished_at),
            "runTime": None,
            "aiTokensUsed": moment.tokens,
            "nodesStarted": len(self.steps(run, self.now())),
            "triggeredBy": "message_received" if run.uid[1] % 4 else None,
            "triggeredByEntityId": uuid("entity", run.uid.hex()),
            "conversationId": uuid("conversation", run.uid.hex()) if run.uid[2] % 3 else None,
            "error": moment.error,
        }
        if moment.started_at is None:
            del row["startedAt"]  # optional, but not documented as nullable
        if moment.started_at and moment.finished_at:
            row["runTime"] = round((moment.finished_at - moment.started_at).total_seconds() * 1000)
        else:
            del row["runTime"]
        return row

    async def _detail(self, request: Request) -> Response:
        pipeline = self.pipeline_named(request.path_params["pipeline_id"])
        run = self.run_named(request.path_params["execution_id"], pipeline)
        if pipeline is None or run is None:
            return self.error(404, "Pipeline execution not found")
        now, junk = self.now(), f"{CANARY}-{run.uid.hex()[:6]}"
        nodes = [self._node(run, view, junk) for view in self.steps(run, now)]
        row = self._row(run)
        row.pop("runTime", None)  # documented for the list only
        return answer(
            row
            | {
                "pipelineId": self.pipeline_id(pipeline),
                "pipelineName": pipeline.name,
                "pipelineVersionNumber": pipeline.version,
                "conversationHistory": {"messages": [{"from": "contact", "text": f"{junk} my knee hurts again"}]},
                "contactDetails": {"name": f"{junk} Doe", "phone": f"{junk}-555-0100"},
                "environment": {"CRM_TOKEN": f"{junk}-token"},
                "nodesExecuted": nodes,
                "pipelineMessages": [
                    {
                        "id": uuid("message", run.uid.hex(), at),
                        "sourceNode": node["node"],
                        "sourceNodeExecutionId": node["id"],
                        "messageType": "text",
                        "content": {"text": f"{junk} dear patient"},
                        "destinations": {"sms": [f"{junk}-555-0100"]},
                        "created": node["startedAt"],
                    }
                    for at, node in enumerate(nodes)
                ],
            }
        )

    def _node(self, run: Run, view: StepView, junk: str) -> Row:
        goal = view.plan.position == len(self.world.pipeline(run).steps) - 1
        key = str(view.plan.position + 1)
        return {
            "id": uuid("node", run.uid.hex(), run.at(self.now()).attempt.number, key),
            "nodeName": view.plan.name,
            "node": {
                "id": key,
                "name": view.plan.name,
                "staticId": key,
                "isGoal": goal,
                "goalName": "Booked appointment" if goal else None,
            },
            "startedAt": self.stamp(view.started_at),
            "finishedAt": self.stamp(view.finished_at),
            "status": self.word(view.state),
            "errorMessage": view.error,
            "aiTokensUsed": 64,
            "input": {"text": f"{junk} asks"},
            "output": {"text": f"{junk} hears"},
        }
