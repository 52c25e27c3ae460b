"""Apache Airflow 3, REST v2: DAG runs and task instances.

Source   Measured on a 3.3.2 server; fields from apache/airflow-client-python ``spec/v2.yaml``.
Quirks   ``limit`` above 100 is clamped without a word; ``updated_at`` filters but is not in the body; unknown query
         parameters are ignored; a queued run has no start; a null start or end counts as now in filters; a naive
         instant in a filter is a 500; ``detail`` is a string, a list or an object.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runlake.emulator.airflow_query import BOUNDS, Refused, body_paging, paging, parsed
from runlake.emulator.airflow_tasks import TASK_STATES, seconds_between, task_row, task_word, tries, try_row
from runlake.emulator.catalog import Pipeline
from runlake.emulator.clock import Clock
from runlake.emulator.timeline import Run, State, StepView
from runlake.emulator.vendor import CANARY, Row, Vendor, answer, body_of
from runlake.emulator.world import World, uuid

USERNAME = "admin"
PASSWORD = "emulator-airflow-password"  # noqa: S105 - opens nothing but the emulator
STATIC_TOKEN = "emulator-airflow-token"  # noqa: S105
_WORDS = {
    State.CREATED: ("queued", "queued"),
    State.QUEUED: ("queued", "queued"),
    State.PREPARING: ("queued", "queued"),
    State.RUNNING: ("running", "running"),
    State.SUCCEEDED: ("success", "succeeded"),
    State.SKIPPED: ("success", "succeeded"),  # skipped tasks leave the run a success
    State.FAILED: ("failed", "failed"),
}


class Airflow(Vendor):
    name = "airflow"
    words = _WORDS
    unsaid = frozenset({"error_message"})
    hands_out_tokens = True
    status_key = "state"
    required_keys = ("dag_run_id", "dag_id", "state", "run_after")
    text_key = "note"

    def __init__(self, world: World, clock: Clock) -> None:
        super().__init__(world, clock)
        self._tokens: set[str] = set()
        self._issued = 0

    def routes(self) -> list[Route]:
        runs = "/api/v2/dags/{dag_id}/dagRuns"
        return [
            Route("/auth/token", self._token, methods=["POST"]),
            Route("/api/v2/version", self._version),
            Route("/api/v2/monitor/health", self._health),
            Route("/api/v2/dags", self._guard(self._dags)),
            Route(runs, self._guard(self._runs)),
            Route(runs + "/list", self._guard(self._runs_batch), methods=["POST"]),
            Route(runs + "/{run_id}", self._guard(self._run)),
            Route(runs + "/{run_id}/taskInstances", self._guard(self._tasks)),
            Route(runs + "/{run_id}/taskInstances/{task_id}/tries", self._guard(self._tries)),
            Route(runs + "/{run_id}/taskInstances/{task_id}/{map_index:int}/tries", self._guard(self._tries)),
            Route(runs + "/{run_id}/taskInstances/list", self._guard(self._tasks_batch), methods=["POST"]),
        ]

    def _guard(self, endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            try:
                response: Response = await endpoint(request)
            except Refused as refused:
                return answer({"detail": refused.detail}, refused.status)
            return response

        return guarded

    def refusal(self, request: Request) -> Response | None:
        path = request.url.path.removeprefix(request.scope.get("root_path", ""))
        if path in {"/auth/token", "/api/v2/version", "/api/v2/monitor/health"}:
            return None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return self.error(401, "Not authenticated")
        if token == STATIC_TOKEN or token in self._tokens:
            return None
        if token.startswith("emulator-jwt-"):
            return self.error(401, "Token Expired")
        return self.error(403, "Invalid JWT token")

    def error(self, status: int, message: str) -> Response:
        if status == 404 and message == "Not Found":
            return answer({"error": "API route not found"}, 404)
        return answer({"detail": message}, status)

    def expire(self) -> None:
        self._tokens.clear()

    def settings(self, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url, "username": USERNAME, "password": PASSWORD}

    def pipeline_id(self, pipeline: Pipeline) -> str:
        return pipeline.name

    def run_id(self, run: Run) -> str:
        if self._scheduled(run):
            return f"scheduled__{run.tick.isoformat()}"
        return f"manual__{run.created_at.isoformat()}_{run.uid.hex()[:8]}"

    def _scheduled(self, run: Run) -> bool:
        return self.world.pipeline(run).presence == 1

    def lookup_key(self, run: Run) -> str:
        return f"{run.pipeline}/{self.run_id(run)}"  # a run id is unique within its DAG only

    def step_count(self, run: Run, instant: datetime) -> int:
        """One for each try of each task, and one for a task that has not been tried."""
        return sum(max(1, len(tries(run, view, instant))) for view in self.steps(run, instant))

    def error_of(self, run: Run, instant: datetime) -> str | None:
        return None

    async def _token(self, request: Request) -> Response:
        body = await body_of(request)
        if body.get("username") != USERNAME or body.get("password") != PASSWORD:
            return self.error(401, "Invalid credentials")
        self._issued += 1
        token = f"emulator-jwt-{self._issued}"
        self._tokens.add(token)
        return answer({"access_token": token}, 201)

    async def _version(self, request: Request) -> Response:
        return answer({"version": "3.3.2", "git_version": None})

    async def _health(self, request: Request) -> Response:
        beat = self.stamp(self.now())
        parts: Row = {"metadatabase": {"status": "healthy"}}
        for part in ("scheduler", "triggerer", "dag_processor"):
            parts[part] = {"status": "healthy", f"latest_{part}_heartbeat": beat}
        return answer(parts)

    async def _dags(self, request: Request) -> Response:
        pipelines = self.world.pipelines(self.name)
        offset, limit = paging(request)
        rows = [
            {
                "dag_id": pipeline.name,
                "dag_display_name": pipeline.name,
                "is_paused": False,
                "is_stale": False,
                "description": f"{CANARY}-description",
                "timetable_summary": f"every {pipeline.every}",
                "tags": [{"name": pipeline.group, "dag_id": pipeline.name}],
                "owners": [f"{CANARY}-owner"],
                "fileloc": f"/opt/airflow/dags/{pipeline.name}.py",
            }
            for pipeline in pipelines
        ]
        return answer({"dags": rows[offset : offset + limit], "total_entries": len(rows)})

    def _pipelines_of(self, dag_id: str) -> Pipeline | None:
        if dag_id == "~":
            return None
        pipeline = self.pipeline_named(dag_id)
        if pipeline is None:
            raise Refused(404, f"The Dag with ID: `{dag_id}` was not found")
        return pipeline

    async def _runs(self, request: Request) -> Response:
        offset, limit = paging(request)
        runs = self.settled(
            request, self.runs(self._pipelines_of(request.path_params["dag_id"])), first_page=offset == 0
        )
        query = request.query_params
        for state in query.getlist("state"):
            if state not in {"queued", "running", "success", "failed"}:
                raise Refused(
                    422, f"Invalid value for state. Valid values are queued, running, success, failed: {state}"
                )
        if states := set(query.getlist("state")):
            runs = [run for run in runs if self.word(run.at(self.now()).state) in states]
        runs = self._bounded(runs, query.multi_items())
        runs = self._ordered(runs, query.getlist("order_by"))
        return self._run_page(request, runs, offset, limit)

    async def _runs_batch(self, request: Request) -> Response:
        """The body has no ``updated_at`` bounds; what it does not know it ignores."""
        body = await body_of(request)
        offset, limit = body_paging(body)
        runs = self.settled(request, self.runs(), first_page=offset == 0)
        if dag_ids := body.get("dag_ids"):
            runs = [run for run in runs if run.pipeline in dag_ids]
        if states := body.get("states"):
            runs = [run for run in runs if self.word(run.at(self.now()).state) in states]
        bounds = [(key, str(value)) for key, value in body.items() if not key.startswith("updated_at")]
        runs = self._bounded(runs, bounds)
        order_by = body.get("order_by")
        return self._run_page(request, self._ordered(runs, [order_by] if order_by else []), offset, limit)

    def _run_page(self, request: Request, runs: list[Run], offset: int, limit: int) -> Response:
        shown = runs[offset : offset + limit]
        self.show(shown)
        rows = self.distort(request, [self._row(run) for run in shown])
        return answer({"dag_runs": rows, "total_entries": len(runs)})

    async def _run(self, request: Request) -> Response:
        return answer(self._row(self._required(request)))

    def _required(self, request: Request) -> Run:
        dag_id, run_id = request.path_params["dag_id"], request.path_params["run_id"]
        run = self.run_named(f"{dag_id}/{run_id}")
        if run is None:
            raise Refused(404, f"The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")
        return run

    async def _tasks(self, request: Request) -> Response:
        offset, limit = paging(request)
        if request.path_params["run_id"] == "~":
            runs = self.runs(self._pipelines_of(request.path_params["dag_id"]))
        else:
            runs = [self._required(request)]
        for state in request.query_params.getlist("state"):
            if state not in TASK_STATES:
                raise Refused(422, f"Invalid value for state: {state}")
        rows = self._task_rows(runs, set(request.query_params.getlist("state")))
        return self._task_page(request, rows, offset, limit)

    async def _tasks_batch(self, request: Request) -> Response:
        body = await body_of(request)
        offset, limit = body_paging(body)
        runs = self.runs()
        if dag_ids := body.get("dag_ids"):
            runs = [run for run in runs if run.pipeline in dag_ids]
        if run_ids := body.get("dag_run_ids"):
            wanted = set(run_ids)
            runs = [run for run in runs if self.run_id(run) in wanted]
        rows = self._task_rows(runs, set(body.get("state") or ()))
        return self._task_page(request, rows, offset, limit)

    def _task_rows(self, runs: Iterable[Run], states: set[str | None]) -> list[tuple[Run, StepView]]:
        now = self.now()
        pairs = [(run, view) for run in runs for view in self.steps(run, now)]
        return [pair for pair in pairs if not states or task_word(*pair, now) in states]

    def _task_page(self, request: Request, rows: list[tuple[Run, StepView]], offset: int, limit: int) -> Response:
        shown = [self._task(run, view) for run, view in rows[offset : offset + limit]]
        return answer({"task_instances": shown, "total_entries": len(rows)})

    async def _tries(self, request: Request) -> Response:
        """Every try so far of one task, the last one included. History rows have no id."""
        run, now = self._required(request), self.now()
        wanted = request.path_params["task_id"], request.path_params.get("map_index", -1)
        for view in self.steps(run, now):
            if (view.plan.name, view.plan.map_index) == wanted:
                row = self._task(run, view)
                rows = [try_row(self, row, one) for one in tries(run, view, now)]
                return answer({"task_instances": rows, "total_entries": len(rows)})
        raise Refused(404, f"The Task Instance with dag_id: `{run.pipeline}` and task_id: `{wanted[0]}` was not found")

    def _task(self, run: Run, view: StepView) -> Row:
        return task_row(self, run, view, self.now(), self.stamp(run.tick) if self._scheduled(run) else None)

    def _updated_at(self, run: Run) -> datetime:
        """A running run is touched by every scheduler loop; a queued or finished one is left alone."""
        moment = run.at(self.now())
        return self.now() if moment.state is State.RUNNING else moment.at

    def _instant(self, run: Run, field: str) -> datetime | None:
        moment = run.at(self.now())
        match field:
            case "updated_at":
                return self._updated_at(run)
            case "run_after":
                return run.created_at
            case "start_date":
                return moment.started_at or self.now()
            case "end_date":
                return moment.finished_at or self.now()
            case "logical_date":
                return run.tick if self._scheduled(run) else None
        return None

    def _bounded(self, runs: list[Run], bounds: Iterable[tuple[str, str]]) -> list[Run]:
        for key, text in bounds:
            field, _, operator = key.rpartition("_")
            if operator not in BOUNDS or field not in {
                "updated_at",
                "run_after",
                "start_date",
                "end_date",
                "logical_date",
            }:
                continue
            bound, within = parsed(text, key) - self.skew, BOUNDS[operator]
            kept = []
            for run in runs:
                value = self._instant(run, field)
                if value is not None and within(value, bound):
                    kept.append(run)
            runs = kept
        return runs

    def _ordered(self, runs: list[Run], order_by: list[str]) -> list[Run]:
        for order in order_by[:1]:
            field = order.removeprefix("-")
            if field in {"updated_at", "run_after", "start_date", "end_date", "logical_date"}:
                now = self.now()
                runs = sorted(runs, key=lambda run: self._instant(run, field) or now)
            elif field == "dag_id":
                runs = sorted(runs, key=lambda run: run.pipeline)
            elif field not in {"id", "dag_run_id"}:
                raise Refused(
                    400, f"Ordering with '{field}' is disallowed or the attribute does not exist on the model"
                )
            if order.startswith("-"):
                runs = runs[::-1]
        return runs

    def _row(self, run: Run) -> Row:
        moment, scheduled = run.at(self.now()), self._scheduled(run)
        return {
            "dag_run_id": self.run_id(run),
            "dag_id": run.pipeline,
            "dag_display_name": run.pipeline,
            "logical_date": self.stamp(run.tick) if scheduled else None,
            "queued_at": self.stamp(moment.attempt.opened_at),
            "start_date": self.stamp(moment.started_at),
            "end_date": self.stamp(moment.finished_at),
            "duration": seconds_between(moment.started_at, moment.finished_at),
            "data_interval_start": self.stamp(run.tick) if scheduled else None,
            "data_interval_end": self.stamp(run.tick) if scheduled else None,
            "run_after": self.stamp(run.created_at),
            "last_scheduling_decision": self.stamp(moment.at) if moment.started_at else None,
            "run_type": "scheduled" if scheduled else "manual",
            "state": self.word(moment.state),
            "triggered_by": "timetable" if scheduled else "rest_api",
            "triggering_user_name": None if scheduled else "admin",
            "conf": {} if scheduled else {"patient": f"{CANARY}-patient"},
            "note": f"{CANARY}-note" if run.uid[0] % 10 == 0 else None,
            "dag_versions": [{"id": uuid("dag", run.pipeline), "version_number": 1, "dag_id": run.pipeline}],
            "bundle_version": None,
        }
