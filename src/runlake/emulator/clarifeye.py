"""Clarifeye: runs of a project by limit and offset, newest first, steps included.

Docs     https://docs.clarifeye.ai, and the vendor's OpenAPI file (backoffice) as kept by api-evangelist/clarifeye
Assumed  A missing slash is a 301, and an excessive ``limit`` is clamped, as Django REST framework does both.
"""

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runlake.emulator.catalog import Pipeline
from runlake.emulator.timeline import Run, State, StepView
from runlake.emulator.vendor import CANARY, Row, Vendor, answer, link, whole
from runlake.emulator.world import uuid

TOKEN = "emulator-clarifeye-token"  # noqa: S105 - opens nothing but the emulator
_WORDS = {
    State.CREATED: ("pending", "queued"),
    State.QUEUED: ("pending", "queued"),
    State.PREPARING: ("pending", "queued"),
    State.RUNNING: ("running", "running"),
    State.SUCCEEDED: ("completed", "succeeded"),
    State.WARNED: ("completed_with_warnings", "succeeded_with_warnings"),
    State.FAILED: ("failed", "failed"),
    State.CANCELLED: ("aborted", "cancelled"),
}
_MODES = ("recreate-all", "recreate-single", "upsert-single", "upsert-all")


class Clarifeye(Vendor):
    name = "clarifeye"
    words = _WORDS
    unsaid = frozenset({"started_at"})  # there is neither a start nor, but for updated_at, an end
    required_keys = ("id", "status", "created_at")
    text_key = "raw_logs"
    slash_redirect = 301

    def routes(self) -> list[Route]:
        return [
            Route("/projects/{project_id}/pipeline-runs/", self._list),
            Route("/projects/{project_id}/pipeline-runs/{run_id}/", self._detail),
            Route("/projects/{project_id}/extraction-flows/", self._flows),
        ]

    def refusal(self, request: Request) -> Response | None:
        if request.headers.get("Authorization") in {f"Bearer {TOKEN}", f"Token {TOKEN}"}:
            return None
        return self.error(401, "Authentication credentials were not provided.")

    def error(self, status: int, message: str) -> Response:
        return answer({"error": message}, status)

    def settings(self, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url, "token": TOKEN, "projects": list(self._projects())}

    def pipeline_id(self, pipeline: Pipeline) -> str:
        # A run names its pipeline and carries no flow id; nothing says that two projects cannot use one name.
        return f"{self._project_id(pipeline)}/{pipeline.name}"

    def error_of(self, run: Run, instant: datetime) -> str | None:
        moment = run.at(instant)
        return moment.error if moment.state.failure else None  # the last line of the logs of a failed run

    def _projects(self) -> dict[str, list[Pipeline]]:
        projects: dict[str, list[Pipeline]] = {}
        for pipeline in self.world.pipelines(self.name):
            projects.setdefault(self._project_id(pipeline), []).append(pipeline)
        return projects

    def _project_id(self, pipeline: Pipeline) -> str:
        return uuid(self.world.seed, "project", pipeline.group)

    async def _list(self, request: Request) -> Response:
        pipelines = self._projects().get(request.path_params["project_id"])
        if pipelines is None:
            return self.error(404, "Project not found")
        limit = whole(request.query_params, "limit", 100)
        limit = min(limit, 1000) if limit > 0 else 100
        offset = max(whole(request.query_params, "offset", 0), 0)
        names = {pipeline.name for pipeline in pipelines}
        runs = [run for run in self.runs() if run.pipeline in names]
        status, now = request.query_params.get("status"), self.now()
        if status is not None:
            if status not in {word for word, _ in _WORDS.values()}:
                return answer(
                    {"status": [f"Select a valid choice. {status} is not one of the available choices."]}, 400
                )
            runs = [run for run in runs if self.word(run.at(now).state) == status]
        runs = self.settled(request, runs, first_page=offset == 0)[::-1]
        shown = runs[offset : offset + limit]
        self.show(shown)
        return answer(
            {
                "count": len(runs),
                "next": link(request, limit=limit, offset=offset + limit) if offset + limit < len(runs) else None,
                "previous": link(request, limit=limit, offset=max(offset - limit, 0)) if offset else None,
                "results": self.distort(request, [self._in_list(run) for run in shown]),
            }
        )

    async def _detail(self, request: Request) -> Response:
        run = self.run_named(request.path_params["run_id"])
        project = request.path_params["project_id"]
        if run is None or self._project_id(self.world.pipeline(run)) != project:
            return self.error(404, "Pipeline run not found")
        documents = [uuid("document", run.uid.hex(), at) for at in range(_documents(run))]
        row = self._row(run) | {"document_ids": documents, "chunk_ids": None}
        row["raw_logs"] = f"DEBUG parsing {CANARY}-patient-letter.pdf\n" * 30 + row["raw_logs"]
        return answer(row)

    async def _flows(self, request: Request) -> Response:
        pipelines = self._projects().get(request.path_params["project_id"])
        if pipelines is None:
            return self.error(404, "Project not found")
        made = self.stamp(self.world.start)
        return answer(
            [
                {
                    "id": uuid("flow", pipeline.name),
                    "name": pipeline.name,
                    "publish_mode": "manual",
                    "dag": {"steps": list(pipeline.steps)},
                    "tpuf_namespaces": [],
                    "last_pushed_to_tpuf": None,
                    "created_at": made,
                    "updated_at": made,
                }
                for pipeline in pipelines
            ]
        )

    def _in_list(self, run: Run) -> Row:
        return self._row(run) | {"document_count": _documents(run), "chunk_count": _documents(run) * 30}

    def _row(self, run: Run) -> Row:
        now = self.now()
        moment, pipeline = run.at(now), self.world.pipeline(run)
        views = self.steps(run, now)
        logs = f"INFO read {CANARY}-{run.uid.hex()[:6]}.pdf\n"
        if error := self.error_of(run, now):
            logs += error
        return {
            "id": self.run_id(run),
            "created_at": self.stamp(run.created_at),
            "updated_at": self.stamp(run.touched_at(now)),
            "status": self.word(moment.state),
            "project": self._project_id(pipeline),
            "pipeline_name": pipeline.name,
            "mode": _MODES[run.uid[0] % 4],
            "celery_task_id": uuid("celery", run.uid.hex()),
            "user": uuid("user", run.uid[1]) if run.uid[1] % 2 else None,
            "tables": {"chunks": uuid("table", run.uid.hex())},
            "steps": [self._step(run, view, before) for view, before in zip(views, [None, *views], strict=False)],
            "raw_logs": logs,
        }

    def _step(self, run: Run, view: StepView, before: StepView | None) -> Row:
        state = State.CANCELLED if view.state is State.NOT_RUN else view.state
        if view.state is State.NOT_RUN and run.at(self.now()).state is not State.CANCELLED:
            state = State.CREATED  # a failure leaves the later steps waiting; only an abort ends them
        warned = state is State.WARNED
        return {
            "id": uuid("step", run.uid.hex(), view.plan.position),
            "created_at": self.stamp(run.created_at),
            "updated_at": self.stamp(view.changed_at or run.created_at),
            "step": view.plan.name,
            "name": None if view.plan.name == "parsing" else view.plan.name,
            "status": self.word(state),
            "inputs": {},
            "outputs": {"chunks": None},
            "warnings": ["2 chunks skipped"] if warned else None,
            "depends_on": [before.plan.name] if before else [],
            "params": {"prompt": f"{CANARY}-prompt"},
            "tag_extractor_id": uuid("extractor", view.plan.name) if view.plan.name == "tag-extraction" else None,
            "object_extractor_id": None,
            "chunks_extractor_id": None,
        }


def _documents(run: Run) -> int:
    return 1 + run.uid[3] % 20
