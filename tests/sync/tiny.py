"""A vendor of a few lines, server and connector, whose every answer a test can decide."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from runlake.connector import Connector, Feed, Order, Page, Resolution, Settings, Wire
from runlake.http import Sign, VendorHttp, bearer, path
from runlake.model import Pipeline, Run, RunRef, RunStatus, StatusTable, Step
from runlake.secret import Secret

T0 = datetime(2026, 7, 13, 9, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

Row = dict[str, Any]


def row(run_id: str, created: datetime, status: str = "done", /, **more: Any) -> Row:
    ended = created + MINUTE if status in {"done", "failed", "cancelled"} else None
    instants = {"created": created, "started": created, "ended": ended, "updated": created}
    return {"id": run_id, "pipeline": "etl", "status": status} | instants | more


@dataclass
class Shop:
    """The server. `lists` holds each feed's rows in the order in which they are shown; by id, all are found."""

    now: datetime = T0
    lists: dict[str, list[Row]] = field(default_factory=lambda: {"": []})
    unlisted: list[Row] = field(default_factory=list)
    tasks: dict[str, tuple[str, list[Any]]] = field(default_factory=dict)
    totals: bool = True
    more: int = 0
    """How many rows more than there are the total claims."""
    refuse: dict[str, int | tuple[int, dict[str, str]]] = field(default_factory=dict)
    """HTTP statuses, perhaps with headers, by the beginning of the path."""
    after: Callable[[int, Request], None] | None = None
    """Called after each answer is made, with how many there were: where the world moves on between pages."""
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._app = Starlette(
            routes=[
                Route("/runs/{run_id}", self._run),
                Route("/tasks/{task}", self._task),
                Route("/feeds/{feed}", self._list),
                Route("/feeds/", self._list),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def put(self, *rows: Row, feed: str = "") -> None:
        """Adds rows, or changes those of the same id in their place; newer ones come first."""
        for each in rows:
            for known in self.all():
                if (known["id"], known.get("attempt")) == (each["id"], each.get("attempt")):
                    known.clear()
                    known.update(each)
                    break
            else:
                self.lists.setdefault(feed, []).insert(0, each)

    def all(self) -> list[Row]:
        return [each for rows in self.lists.values() for each in rows] + self.unlisted

    def delete(self, run_id: str) -> None:
        for rows in [*self.lists.values(), self.unlisted]:
            rows[:] = [each for each in rows if each["id"] != run_id]

    def count(self, beginning: str) -> int:
        return sum(url.startswith(beginning) for url in self.asked)

    def forget(self) -> None:
        self.asked.clear()

    async def _list(self, request: Request) -> Response:
        rows = self.lists.get(request.path_params.get("feed", ""))
        if rows is None:
            return self._answer(request, {"error": "no such feed"}, 404)
        query = request.query_params
        if since := query.get("since"):
            bound = datetime.fromisoformat(since)
            rows = [each for each in rows if each["updated"] >= bound]
        offset, limit = int(query["offset"]), int(query["limit"])
        shown = [
            {key: value for key, value in each.items() if key not in each.get("detail_only", ())}
            for each in rows[offset : offset + limit]
        ]
        return self._answer(
            request,
            {
                "runs": shown,
                "total": len(rows) + self.more if self.totals else None,
                "end": offset + limit >= len(rows),
            },
        )

    async def _run(self, request: Request) -> Response:
        found = [each for each in self.all() if each["id"] == request.path_params["run_id"]]
        return self._answer(request, found[0]) if found else self._answer(request, {"error": "no such run"}, 404)

    async def _task(self, request: Request) -> Response:
        if request.path_params["task"] not in self.tasks:
            return self._answer(request, {"error": "no such task"}, 404)
        word, named = self.tasks[request.path_params["task"]]
        return self._answer(request, {"status": word, "runs": named})

    def _answer(self, request: Request, content: Any, status: int = 200) -> Response:
        url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        headers: dict[str, str] = {}
        for beginning, refusal in self.refuse.items():
            if url.startswith(beginning):
                status, headers = refusal if isinstance(refusal, tuple) else (refusal, {})
                content = {"error": "refused"}
        self.asked.append(url)
        response = Response(_json(content), status, headers, "application/json")
        if self.after is not None:
            self.after(len(self.asked), request)
        return response


def _json(content: Any) -> bytes:
    return JSONResponse(_plain(content)).body  # type: ignore[return-value]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key != "detail_only"}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value


class TinySettings(Settings):
    token: Secret
    feeds: list[str] = Field(default_factory=lambda: [""])
    order: Order = Order.NEWEST_FIRST
    page_size: int = 10
    tracked: list[str] = Field(default_factory=list)


class _Step(Wire):
    id: str
    status: str
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None


class _Run(Wire):
    id: str
    pipeline: str
    status: str
    attempt: int = 1
    created: AwareDatetime | None = None
    started: AwareDatetime | None
    ended: AwareDatetime | None
    error: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    steps: list[_Step] | None = None


class _Page(Wire):
    runs: list[_Run]
    total: int | None
    end: bool


class _Named(Wire):
    id: str


class _Task(Wire):
    status: str
    runs: list[_Named]


class Tiny(Connector[TinySettings]):
    name = "tiny"
    title = "Tiny"
    settings_type = TinySettings
    statuses = StatusTable(
        pending=RunStatus.QUEUED,
        running=RunStatus.RUNNING,
        blocked=RunStatus.WAITING,
        done=RunStatus.SUCCEEDED,
        failed=RunStatus.FAILED,
        cancelled=RunStatus.CANCELLED,
    )
    step_statuses = statuses

    def sign(self) -> Sign:
        return bearer(self.settings.token)

    def feeds(self, pipelines: Sequence[Pipeline]) -> list[Feed]:
        return [Feed(id=id_, order=self.settings.order) for id_ in self.settings.feeds]

    async def pages(
        self, http: VendorHttp, feed: Feed, since: datetime | None, cursor: str | None
    ) -> AsyncIterator[Page]:
        offset, size = int(cursor or 0), self.settings.page_size
        filtered = self.settings.order is Order.UPDATED_SINCE and since is not None
        while True:
            page = await http.get(
                path("/feeds/{}", feed.id),
                into=_Page,
                offset=offset,
                limit=size,
                since=since.isoformat() if filtered and since else None,
            )
            offset += size
            yield Page([_translate(each) for each in page.runs], None if page.end else str(offset), page.total)
            if page.end:
                return

    async def run(self, http: VendorHttp, ref: RunRef) -> Run:
        return _translate(await http.get(path("/runs/{}", ref.run_id), into=_Run))


class Detailed(Tiny):
    """Its lists leave out what `detail_only` of a row names."""

    name = "detailed"

    async def detail(self, http: VendorHttp, run: Run) -> Run:
        return await self.run(http, run.ref)


class Tracking(Tiny):
    """Documents no list: runs are named by tasks."""

    name = "tracking"

    def feeds(self, pipelines: Sequence[Pipeline]) -> list[Feed]:
        return []

    def tracked(self) -> list[str]:
        return self.settings.tracked

    async def resolve(self, http: VendorHttp, handle: str) -> Resolution:
        task = await http.get(path("/tasks/{}", handle), into=_Task)
        return Resolution([RunRef("etl", each.id) for each in task.runs], settled=task.status != "PENDING")


def _translate(each: _Run) -> Run:
    return Run(
        pipeline_id=each.pipeline,
        run_id=each.id,
        attempt=each.attempt,
        vendor_status=each.status,
        created_at=each.created,
        started_at=each.started,
        finished_at=each.ended,
        error_message=each.error,
        labels=each.labels,
        metrics=each.metrics,
        steps=None
        if each.steps is None
        else [
            Step(step_id=s.id, vendor_status=s.status, started_at=s.started, finished_at=s.ended) for s in each.steps
        ],
        payload=each,
    )
