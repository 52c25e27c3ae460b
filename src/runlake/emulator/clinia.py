"""Clinia: executions by id, tasks with receipts; the query endpoint only when switched on.

Docs     https://docs.clinia.com/api-reference/pipeline-executions/get-a-pipeline-execution
Assumed  The error envelope, and everything about the query endpoint (its page could not be read).
"""

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runlake.emulator.catalog import Pipeline
from runlake.emulator.clock import Clock
from runlake.emulator.faults import Fault
from runlake.emulator.timeline import Run, State, StepView
from runlake.emulator.vendor import CANARY, Row, TrueRun, UnreadableQuery, Vendor, answer, body_of
from runlake.emulator.world import World, digest

API_KEY = "emulator-clinia-key"
SOURCE_KEY = "emulator-registry"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ONE_ROW_FAULTS = frozenset({Fault.UNKNOWN_WORD, Fault.NULLS, Fault.MISSING_FIELD, Fault.HUGE_FIELD})
_PREFIX = f"/sources/{SOURCE_KEY}/v1"


def ksuid(*parts: object) -> str:
    """27 base-62 characters, as Clinia's ids look."""
    number, text = int.from_bytes(digest("ksuid", *parts) + digest("more", *parts)), ""
    for _ in range(26):
        number, rest = divmod(number, 62)
        text += _BASE62[rest]
    return "2" + text


class Clinia(Vendor):
    name = "clinia"
    words = {  # noqa: RUF012
        State.CREATED: ("IN_PROGRESS", "running"),
        State.QUEUED: ("IN_PROGRESS", "running"),
        State.PREPARING: ("IN_PROGRESS", "running"),
        State.RUNNING: ("IN_PROGRESS", "running"),
        State.WAITING: ("IN_REVIEW", "waiting"),
        State.SUCCEEDED: ("SUCCESSFUL", "succeeded"),
        State.FAILED: ("ERROR", "failed"),
        State.CANCELLED: ("CANCELLED", "cancelled"),
        State.REJECTED: ("DROPPED", "rejected"),
    }
    unsaid = frozenset({"started_at"})
    required_keys = ("id", "status")
    text_key = "type"
    precision = "milliseconds"

    def __init__(self, world: World, clock: Clock) -> None:
        super().__init__(world, clock)
        self.query_enabled = False
        self._task_ids: dict[tuple[str, int], str] = {}

    def reset(self) -> None:
        super().reset()
        self.query_enabled = False

    def routes(self) -> list[Route]:
        return [
            Route(_PREFIX + "/pipelines/executions/query", self._query, methods=["POST"]),
            Route(_PREFIX + "/pipelines/executions/{execution_id}", self._execution),
            Route(_PREFIX + "/tasks/{task_id}", self._task),
        ]

    def refusal(self, request: Request) -> Response | None:
        if request.headers.get("X-Clinia-API-Key") == API_KEY:
            return None
        return self.error(401, "invalid api key")

    def error(self, status: int, message: str) -> Response:
        kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
        return answer(
            {"code": status, "type": kinds.get(status, "INTERNAL"), "message": message, "details": []}, status
        )

    def settings(self, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url, "source_key": SOURCE_KEY, "api_key": API_KEY, "tasks": self.tasks()}

    def pipeline_id(self, pipeline: Pipeline) -> str:
        return pipeline.name  # on the wire with its version behind a dot

    def _definition_id(self, run: Run) -> str:
        return f"{run.pipeline}.{self.world.pipeline(run).version}"

    def run_id(self, run: Run) -> str:
        return ksuid(run.uid.hex())

    def task_id(self, run: Run) -> str:
        group = run.number // self.world.pipeline(run).batch
        known = self._task_ids.get((run.pipeline, group))
        if known is None:
            known = self._task_ids[run.pipeline, group] = f"bk_{ksuid(self.world.seed, run.pipeline, group)}"
        return known

    def tasks(self) -> list[str]:
        """The ids of the bulk tasks submitted so far, oldest first."""
        return list(self._by_task())

    def truth_of(self, tasks: list[str], executions: list[str]) -> list[TrueRun]:
        """The executions that these task and execution ids name."""
        wanted_tasks, wanted = set(tasks), set(executions)
        return [
            self.true(run)
            for run in self.world.every(self.name, self.now())
            if self.task_id(run) in wanted_tasks or self.run_id(run) in wanted
        ]

    def steps(self, run: Run, instant: datetime) -> list[StepView]:
        # The answer lists the steps that were processed; a step under review is the one a reviewer acts on.
        return [view for view in run.steps(instant) if view.finished_at and view.state is not State.NOT_RUN]

    def error_of(self, run: Run, instant: datetime) -> str | None:
        return next((view.error for view in self.steps(run, instant) if view.state is State.FAILED), None)

    def _by_task(self) -> dict[str, list[Run]]:
        tasks: dict[str, list[Run]] = {}
        for run in self.runs():
            tasks.setdefault(self.task_id(run), []).append(run)
        return tasks

    async def _execution(self, request: Request) -> Response:
        run = self.run_named(request.path_params["execution_id"])
        if run is None:
            return self.error(404, "pipeline execution not found")
        row = self._rendered(run, request.query_params.get("withOperationBody") == "true")
        # Clinia documents no list, so the faults of a single row strike here.
        return answer(self.distort(request, [row], _ONE_ROW_FAULTS)[0])

    async def _task(self, request: Request) -> Response:
        task_id = request.path_params["task_id"]
        runs = self._by_task().get(task_id)
        if runs is None:
            return self.error(404, "task not found")
        now = self.now()
        states = [run.at(now).state for run in runs]
        row: Row = {"taskId": task_id, "status": _task_word(states)}
        if request.query_params.get("withReceipts") == "true":
            row["receipts"] = self.distort(request, [self._receipt(task_id, run) for run in runs])
        return answer(row)

    def _receipt(self, task_id: str, run: Run) -> Row:
        state = run.at(self.now()).state
        return {
            "taskId": task_id,
            "id": ksuid(run.uid.hex(), "resource"),
            "type": run.pipeline,
            "targetType": "RESOURCE",
            "action": _action(run),
            "status": _task_word([state]),
            "receivedAt": self.stamp(run.created_at),
            "pipelineExecution": {
                "id": self.run_id(run),
                "pipelineDefinitionId": self._definition_id(run),
                "status": self.word(state),
            },
        }

    async def _query(self, request: Request) -> Response:
        if not self.query_enabled:
            return self.error(404, "not found")
        body = await body_of(request)
        page, per_page = body.get("page", 0), body.get("perPage", 20)
        if not (isinstance(page, int) and isinstance(per_page, int) and page >= 0 and 0 < per_page <= 100):
            raise UnreadableQuery("page or perPage out of range")
        runs = self.settled(request, self.runs(), first_page=page == 0)[::-1]
        shown = runs[page * per_page : (page + 1) * per_page]
        self.show(shown)
        hits = self.distort(request, [self._rendered(run, with_body=False) for run in shown])
        total = len(runs)
        meta = {"page": page, "perPage": per_page, "numPages": -(-total // per_page), "total": total}
        return answer({"hits": hits, "meta": meta})

    def _rendered(self, run: Run, with_body: bool) -> Row:
        now = self.now()
        operation: Row = {
            "taskId": self.task_id(run),
            "action": _action(run),
            "target": {"targetType": "RESOURCE", "id": ksuid(run.uid.hex(), "resource"), "type": run.pipeline},
        }
        if with_body:
            operation["body"] = {"name": f"{CANARY}-patient", "birthDate": f"{CANARY}-1950-01-01"}
        return {
            "id": self.run_id(run),
            "pipelineDefinitionId": self._definition_id(run),
            "status": self.word(run.at(now).state),
            "steps": [self._step(run, view) for view in self.steps(run, now)],
            "operation": operation,
            "processedOperation": operation,
            "createdAt": self.stamp(run.created_at),
            "updatedAt": self.stamp(run.touched_at(now)),
        }

    def _step(self, run: Run, view: StepView) -> Row:
        # The word for a failed step is not documented; the vendor's own sample shows PROCESSED with an error.
        row: Row = {"status": "PROCESSED", "processedAt": self.stamp(view.finished_at)}
        if view.state is State.FAILED:
            row["error"] = {"code": 400, "message": view.error, "type": "ALREADY_EXISTS", "details": [{}]}
        if any(state is State.WAITING for _, state in view.plan.phases):
            row["decision"] = {
                "id": ksuid(run.uid.hex(), "decision"),
                "description": f"{CANARY}-remark about a patient",
                "author": {"id": "u1", "email": f"{CANARY}-reviewer@example.com"},
                "actedAt": self.stamp(view.finished_at),
            }
        return row


def _action(run: Run) -> str:
    return ("CREATE", "UPSERT", "DELETE")[run.uid[0] % 3]


def _task_word(states: list[State]) -> str:
    """A task succeeds even when a reviewer dropped its operations (Clinia's changelog)."""
    if not all(state.final for state in states):
        return "PENDING"
    if any(state.failure for state in states):
        return "FAILURE"
    return "CANCELLED" if all(state is State.CANCELLED for state in states) else "SUCCESS"
