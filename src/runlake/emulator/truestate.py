"""TrueState: all runs of a pipeline in one bare array, each with two whole Argo documents.

Docs     https://docs.truestate.io/api-reference/pipeline-runs/get-runs
Assumed  ``GET /pipelines/`` and get-one (by the SDK's older ``/workflows/``); Argo's words; newest first; a 307 to
         the slash.
"""

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runlake.emulator.catalog import Pipeline
from runlake.emulator.timeline import Run, State, StepView
from runlake.emulator.vendor import CANARY, Row, Vendor, answer
from runlake.emulator.world import uuid

API_KEY = "emulator-truestate-key"
_WORDS = {
    State.CREATED: ("Pending", "queued"),
    State.QUEUED: ("Pending", "queued"),
    State.PREPARING: ("Pending", "queued"),
    State.RUNNING: ("Running", "running"),
    State.SUCCEEDED: ("Succeeded", "succeeded"),
    State.FAILED: ("Failed", "failed"),
    State.BROKEN: ("Error", "failed"),
    # Argo says Failed for a terminated workflow: the phase cannot tell it from a failure.
    State.CANCELLED: ("Failed", "failed"),
}
_STEP_WORDS = {state: word for state, (word, _) in _WORDS.items()} | {
    State.SKIPPED: "Skipped",
    State.NOT_RUN: "Omitted",
}


class TrueState(Vendor):
    name = "truestate"
    words = _WORDS
    unsaid = frozenset({"started_at"})  # only the steps say when they started
    required_keys = ("id", "status", "name", "created_at", "pipeline_version")
    text_key = "name"
    slash_redirect = 307

    def routes(self) -> list[Route]:
        return [
            Route("/pipelines/", self._pipelines),
            Route("/pipelines/{pipeline_id}/runs/", self._list),
            Route("/pipelines/{pipeline_id}/runs/{run_id}/", self._detail),
        ]

    def refusal(self, request: Request) -> Response | None:
        bearer = request.headers.get("Authorization") == f"Bearer {API_KEY}"
        if bearer or request.headers.get("Api-key") == API_KEY:
            return None
        return self.error(401, "Not authenticated")

    def error(self, status: int, message: str) -> Response:
        return answer({"detail": message}, status)

    def settings(self, base_url: str) -> dict[str, Any]:
        ids = [self.pipeline_id(p) for p in self.world.pipelines(self.name)]
        return {"base_url": base_url, "api_key": API_KEY, "pipelines": ids}

    def steps(self, run: Run, instant: datetime) -> list[StepView]:
        # Argo knows a node only once it has met it.
        return [view for view in run.steps(instant) if view.changed_at]

    async def _pipelines(self, request: Request) -> Response:
        wanted = request.query_params.get("name")
        return answer(
            [
                {"id": self.pipeline_id(p), "name": p.name, "created_at": self.stamp(self.world.start)}
                for p in self.world.pipelines(self.name)
                if wanted is None or p.name == wanted
            ]
        )

    async def _list(self, request: Request) -> Response:
        pipeline = self.pipeline_named(request.path_params["pipeline_id"])
        if pipeline is None:
            return self.error(404, "Pipeline not found")
        version = request.query_params.get("version_id")
        runs = self.settled(request, self.runs(pipeline), first_page=True)[::-1]
        if version not in {None, _version_id(pipeline)}:
            runs = []
        self.show(runs)
        return answer(self.distort(request, [self._row(pipeline, run) for run in runs]))

    async def _detail(self, request: Request) -> Response:
        pipeline = self.pipeline_named(request.path_params["pipeline_id"])
        run = self.run_named(request.path_params["run_id"], pipeline)
        if pipeline is None or run is None:
            return self.error(404, "Run not found")
        return answer(self._row(pipeline, run))

    def _row(self, pipeline: Pipeline, run: Run) -> Row:
        now = self.now()
        moment, name = run.at(now), f"{run.pipeline.replace('_', '-')}-{run.uid.hex()[:5]}"
        junk = f"{CANARY}-{run.uid.hex()[:6]}"
        version = _version_id(pipeline)
        made = self.stamp(self.world.start)
        return {
            "id": self.run_id(run),
            "pipeline_config_version_id": version,
            "name": name,
            "status": self.word(moment.state),
            "argo_manifest": {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "metadata": {"generateName": f"{pipeline.name}-"},
                "spec": {
                    "entrypoint": "main",
                    "templates": [
                        {
                            "name": step,
                            "container": {
                                "image": f"registry.example.com/{CANARY}/{step}:latest",
                                "env": [{"name": "WAREHOUSE_PASSWORD", "value": f"{junk}-password"}],
                                "args": ["--note", "generated template text " * 8],
                            },
                        }
                        for step in pipeline.steps
                    ],
                },
            },
            "argo_metadata": {
                "metadata": {"name": name, "labels": {"submitted-by": f"{junk}@example.com"}},
                "status": {"phase": self.word(moment.state), "message": moment.error, "progress": "1/1"},
            },
            "pipeline_version": {
                "id": version,
                "pipeline_id": self.pipeline_id(pipeline),
                "created_at": made,
                "steps": [
                    {
                        "id": uuid("step", pipeline.name, step),
                        "name": step,
                        "created_at": made,
                        "config": {
                            "job_type": "data-transform",
                            "query_type": "sql",
                            "query": f"patients where name = '{junk}'",
                            "input_datasets": ["raw"],
                            "output_datasets": [step],
                        },
                    }
                    for step in pipeline.steps
                ],
            },
            "created_at": self.stamp(run.created_at),
            "finished_at": self.stamp(moment.finished_at),
            "run_steps": [
                {
                    "name": view.plan.name,
                    "run_name": f"{name}-{view.plan.name}-{moment.attempt.number}",
                    "status": _STEP_WORDS[view.state],
                    "started_at": self.stamp(view.started_at or view.finished_at),
                    "finished_at": self.stamp(view.finished_at),
                }
                for view in self.steps(run, now)
            ],
        }


def _version_id(pipeline: Pipeline) -> str:
    return uuid("version", pipeline.name, pipeline.version)
