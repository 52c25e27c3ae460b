"""Esper: pipeline runs of a whole enterprise, their stage runs, and one target run per device.

Docs     GitHub esper-io/esper-cli ``spec/openapi/pipelines-v0.yaml`` (commit 9dea84a); api.esper.io
Assumed  Nulls first on ``-started_at`` (PostgreSQL); default order newest first; ``limit`` clamped at 100; 404 for a
         wrong id (the reference knows 401 only); 301 to the slash.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runlake.emulator.catalog import Pipeline
from runlake.emulator.timeline import Run, State, StepView
from runlake.emulator.vendor import CANARY, Row, UnreadableQuery, Vendor, answer, link, whole
from runlake.emulator.world import uuid

TOKEN = "emulator-esper-token"  # noqa: S105 - opens nothing but the emulator
ENTERPRISE = "c6c7d692-4cdb-4e1f-9d55-db374c0d6d91"
_WORDS = {
    State.CREATED: ("pending", "queued"),
    State.QUEUED: ("queued", "queued"),
    State.PREPARING: ("processing", "queued"),
    State.RUNNING: ("running", "running"),
    State.WAITING: ("waiting", "waiting"),
    State.FINALISING: ("complete", "running"),  # the verdict is pending
    State.SUCCEEDED: ("success", "succeeded"),
    State.FAILED: ("failure", "failed"),
    State.CANCELLED: ("cancelled", "cancelled"),
    State.TIMED_OUT: ("timeout", "timed_out"),
    State.INVALID: ("invalid", "failed"),
}
_LAST = datetime.max.replace(tzinfo=UTC)
_DEVICES = 3


class Esper(Vendor):
    name = "esper"
    words = _WORDS
    unsaid = frozenset({"error_message"})
    required_keys = ("id", "status", "pipeline_id", "created_at")
    text_key = "pipeline_name"
    slash_redirect = 301

    def routes(self) -> list[Route]:
        stage_run = "/pipelines/v0/stageruns/{stage_run_id}"
        run = "/pipelines/v0/pipelines/{pipeline_id}/runs/"
        return [
            Route("/pipelines/v0/runs/", self._list),
            Route("/pipelines/v0/pipelines/", self._pipelines),
            Route(run, self._list),
            Route(run + "{run_id}/", self._detail),
            Route("/pipelines/v0/runs/{run_id}/stageruns/", self._stage_runs),
            Route("/pipelines/v0/runs/{run_id}/stageruns/{stage_run_id}/", self._stage_run),
            Route(stage_run + "/targetruns/", self._target_runs),
        ]

    def refusal(self, request: Request) -> Response | None:
        if request.headers.get("Authorization") == f"Bearer {TOKEN}":
            return None
        return self.error(401, "Authentication credentials were not provided.")

    def error(self, status: int, message: str) -> Response:
        return answer({"code": status, "message": message, "content": {}}, status)

    def settings(self, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url, "token": TOKEN}

    def error_of(self, run: Run, instant: datetime) -> str | None:
        return None  # the content of status_meta is not documented

    def steps(self, run: Run, instant: datetime) -> list[StepView]:
        # The scheduler makes the stage runs while it prepares the run.
        moment = run.at(instant)
        if moment.state in {State.CREATED, State.QUEUED}:
            return []
        return run.steps(instant)

    async def _list(self, request: Request) -> Response:
        pipeline = None
        if (pipeline_id := request.path_params.get("pipeline_id")) is not None:
            pipeline = self.pipeline_named(pipeline_id)
            if pipeline is None:
                return self.error(404, "Pipeline not found")
        query, now = request.query_params, self.now()
        runs = self.settled(request, self.runs(pipeline), first_page=query.get("offset", "0") == "0")[::-1]
        if (status := query.get("status")) is not None:
            self._known_word(status)
            runs = [run for run in runs if self.word(run.at(now).state) == status]
        if pipeline is None and (name := query.get("pipeline_name")) is not None:
            runs = [run for run in runs if run.pipeline == name]
        if (ordering := query.get("ordering")) is not None:
            runs = self._ordered(runs, ordering, by_name=pipeline is None)
        return self._page(request, runs, self._row)

    def _ordered(self, runs: list[Run], ordering: str, *, by_name: bool) -> list[Run]:
        now, down = self.now(), ordering.startswith("-")
        keys: dict[str, Callable[[Run], Any]] = {
            "run_number": lambda run: run.number,
            "status": lambda run: self.word(run.at(now).state),
            # Null counts as the largest value, so it comes last going up and first going down.
            "started_at": lambda run: run.at(now).started_at or _LAST,
            "ended_at": lambda run: run.at(now).finished_at or _LAST,
        }
        if by_name:
            keys["pipeline__name"] = lambda run: run.pipeline
        key = keys.get(ordering.removeprefix("-"))
        return runs if key is None else sorted(runs, key=key, reverse=down)

    async def _detail(self, request: Request) -> Response:
        pipeline = self.pipeline_named(request.path_params["pipeline_id"])
        run = self.run_named(request.path_params["run_id"], pipeline)
        if pipeline is None or run is None:
            return self.error(404, "Pipeline run not found")
        return _content(self._row(run))

    async def _pipelines(self, request: Request) -> Response:
        name = request.query_params.get("name")
        known = [p for p in self.world.pipelines(self.name) if name in {None, p.name}]
        return self._page(request, known, self._pipeline)

    async def _stage_runs(self, request: Request) -> Response:
        run = self.run_named(request.path_params["run_id"])
        if run is None:
            return self.error(404, "Pipeline run not found")
        rows = [self._stage(run, view) for view in self.steps(run, self.now())]
        if (status := request.query_params.get("status")) is not None:
            self._known_word(status)
            rows = [row for row in rows if row["status"] == status]
        return self._page(request, rows, dict)

    async def _stage_run(self, request: Request) -> Response:
        run = self.run_named(request.path_params["run_id"])
        for view in self.steps(run, self.now()) if run else []:
            if run and self._stage_run_id(run, view) == request.path_params["stage_run_id"]:
                return _content(self._stage(run, view))
        return self.error(404, "Stage run not found")

    async def _target_runs(self, request: Request) -> Response:
        wanted = request.path_params["stage_run_id"]
        run = self.run_named(wanted.rpartition("-")[0])
        for view in self.steps(run, self.now()) if run else []:
            if run and self._stage_run_id(run, view) == wanted:
                rows = [self._target(run, view, device) for device in range(_DEVICES)]
                status = request.query_params.get("status")
                return self._page(request, [row for row in rows if status in {None, row["status"]}], dict)
        return self.error(404, "Stage run not found")

    def _known_word(self, status: str) -> None:
        if status not in {word for word, _ in _WORDS.values()}:
            raise UnreadableQuery(f"{status} is not one of the available choices")

    def _page(self, request: Request, items: Sequence[Any], render: Callable[[Any], Row]) -> Response:
        limit = min(max(whole(request.query_params, "limit", 20), 1), 100)
        offset = max(whole(request.query_params, "offset", 0), 0)
        shown = items[offset : offset + limit]
        self.show(item for item in shown if isinstance(item, Run))
        more = offset + limit < len(items)
        return _content(
            {
                "count": len(items),
                "previous": link(request, limit=limit, offset=max(offset - limit, 0)) if offset else None,
                "next": link(request, limit=limit, offset=offset + limit) if more else None,
                "results": self.distort(request, [render(item) for item in shown]),
            }
        )

    def _audit(self, created: datetime, updated: datetime) -> Row:
        return {
            "enterprise_id": ENTERPRISE,
            "created_by": 12,
            "updated_by": 12,
            "created_at": self.stamp(created),
            "updated_at": self.stamp(updated),
        }

    def _row(self, run: Run) -> Row:
        moment, pipeline = run.at(self.now()), self.world.pipeline(run)
        return {
            "id": self.run_id(run),
            "run_number": run.number,
            "pipeline_id": self.pipeline_id(pipeline),
            "pipeline_name": pipeline.name,
            "status": self.word(moment.state),
            "status_meta": {"approver": f"{CANARY}-approver"} if moment.state is State.WAITING else {},
            "started_at": self.stamp(moment.started_at),
            "ended_at": self.stamp(moment.finished_at),
        } | self._audit(run.created_at, moment.at)

    def _pipeline(self, pipeline: Pipeline) -> Row:
        return {
            "id": self.pipeline_id(pipeline),
            "name": pipeline.name,
            "description": f"{CANARY}-on-call number",
            "is_active": True,
            "is_valid": True,
            "is_visible": True,
            "is_archived": False,
            "is_default": False,
            "timeout_seconds": 86400,
        } | self._audit(self.world.start, self.world.start)

    def _stage_run_id(self, run: Run, view: StepView) -> str:
        return f"{self.run_id(run)}-{view.plan.position}"

    def _stage_state(self, run: Run, view: StepView) -> State:
        now, state = self.now(), view.state
        if state is State.NOT_RUN:
            return State.CANCELLED
        if state is State.WAITING:
            return State.RUNNING  # a run waits for promotion, a stage does not: its enum has no such word
        if state is State.CREATED:
            left = view.plan.phases[0][0] - now
            return (
                State.PREPARING
                if left < timedelta(minutes=1)
                else State.QUEUED
                if left < timedelta(minutes=5)
                else state
            )
        if state.final and run.at(now).state is State.FINALISING:
            return State.FINALISING
        return state

    def _stage(self, run: Run, view: StepView) -> Row:
        pipeline, moment = self.world.pipeline(run), run.at(self.now())
        state = self._stage_state(run, view)
        return {
            "id": self._stage_run_id(run, view),
            "pipeline_id": self.pipeline_id(pipeline),
            "pipeline_run_id": self.run_id(run),
            "stage_id": uuid("stage", pipeline.name, view.plan.name),
            "stage_meta": {"name": view.plan.name, "description": f"{CANARY}-ward phone", "created_by": 12},
            "status": self.word(state),
            "started_at": self.stamp(view.started_at),
            "ended_at": self.stamp(view.finished_at if state.final else None),
        } | self._audit(run.created_at, view.changed_at or moment.at)

    def _target(self, run: Run, view: StepView, device: int) -> Row:
        now, state = self.now(), self._stage_state(run, view)
        begun = view.started_at + timedelta(seconds=30 * device) if view.started_at else None
        word = self.word(state)
        if state is State.RUNNING and begun and now < begun:
            word = "dispatched"
        elif state.failure and device:
            word = "success"  # one device is enough to fail a stage
        stage_run_id = self._stage_run_id(run, view)
        return {
            "id": uuid("target", stage_run_id, device),
            "target_id": uuid("device", device),
            "device_id": uuid("device", device),
            "device_alias": f"{CANARY}-tablet-{device}",
            "stage_run_id": stage_run_id,
            "stage_run_operation_id": uuid("operation", stage_run_id),
            "command_id": uuid("command", stage_run_id, device),
            "command_status": "SUCCESS" if word == "success" else "FAILURE" if word == "failure" else "QUEUED",
            "command_meta": {"note": f"{CANARY}-note"},
            "status": word,
            "started_at": self.stamp(begun if begun and begun <= now else None),
            "ended_at": self.stamp(view.finished_at if state.final else None),
        } | self._audit(run.created_at, view.changed_at or run.created_at)


def _content(content: Row) -> Response:
    return answer({"code": 200, "message": "ok", "content": content})
