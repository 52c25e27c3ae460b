"""Apache Airflow 3, the open-source scheduler, through its REST API v2.

Docs     https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html; facts below measured on 3.3.2.
Auth     Bearer token, or a user name and password for which ``POST /auth/token`` hands one out. Read rights suffice.
Paging   ``limit`` (silently cut to the server's ``maximum_page_limit``) and ``offset``, until ``total_entries``.
Order    ``updated_at_gte`` filters by time of update, which no answer shows; unfiltered, newest ``run_after`` first.
Limits   None.
Quirks   A cleared run keeps its id and is queued again, without start or end. A run id is unique within its DAG only. A
         task that waits still shows the dates of the try before. ``dag_run_ids: []`` filters nothing.

Not kept: ``conf``, ``note`` (free text), data intervals, partition keys, bundle versions; of task instances: host,
process, executor, pool, queue and rendered fields.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator

from runlake.connector import Connector, Feed, Order, Page, Settings, Wire
from runlake.errors import NotFound
from runlake.http import Login, Sign, VendorHttp, bearer, path
from runlake.model import Pipeline, Run, RunRef, RunStatus, StatusTable, Step
from runlake.secret import Secret

_NO_STATE = "none"
"""Our word for the state null: a task that is not scheduled yet."""


class AirflowSettings(Settings):
    token: Secret | None = None
    username: str | None = None
    password: Secret | None = None
    page_size: Annotated[int, Field(ge=1, le=1000)] = 100

    @model_validator(mode="after")
    def _one_way_in(self) -> AirflowSettings:
        login = self.username is not None and self.password is not None
        half = (self.username is None) != (self.password is None)
        if half or login == (self.token is not None):
            raise ValueError("write either token, or both username and password")
        return self


class _Version(Wire):
    version_number: str  # a number on the wire


class _Run(Wire):
    dag_id: str
    dag_run_id: str
    state: str
    run_after: AwareDatetime
    start_date: AwareDatetime | None
    end_date: AwareDatetime | None
    queued_at: AwareDatetime | None = None
    logical_date: AwareDatetime | None = None
    run_type: str | None = None
    triggered_by: str | None = None
    triggering_user_name: str | None = None
    dag_display_name: str | None = None
    dag_versions: list[_Version] = Field(default_factory=list)


class _Runs(Wire):
    dag_runs: list[_Run]
    total_entries: int | None


class _Task(Wire):
    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int
    try_number: int
    state: str | None
    start_date: AwareDatetime | None
    end_date: AwareDatetime | None
    task_display_name: str | None = None
    operator_name: str | None = None


class _Tasks(Wire):
    task_instances: list[_Task]
    total_entries: int | None


class _Dag(Wire):
    dag_id: str
    dag_display_name: str | None = None
    is_paused: bool | None = None


class _Dags(Wire):
    dags: list[_Dag]
    total_entries: int | None


class Airflow(Connector[AirflowSettings]):
    name = "airflow"
    title = "Apache Airflow"
    settings_type = AirflowSettings
    verified = "Apache Airflow 3.3.2"
    statuses = StatusTable(
        queued=RunStatus.QUEUED,
        running=RunStatus.RUNNING,
        success=RunStatus.SUCCEEDED,
        failed=RunStatus.FAILED,
    )
    step_statuses = StatusTable(
        {
            _NO_STATE: RunStatus.QUEUED,
            "scheduled": RunStatus.QUEUED,
            "queued": RunStatus.QUEUED,
            "running": RunStatus.RUNNING,
            "restarting": RunStatus.RUNNING,
            "deferred": RunStatus.RUNNING,
            # Between two tries, or two looks of a sensor: begun and not over.
            "up_for_retry": RunStatus.RUNNING,
            "up_for_reschedule": RunStatus.RUNNING,
            "awaiting_input": RunStatus.WAITING,
            "success": RunStatus.SUCCEEDED,
            "failed": RunStatus.FAILED,
            "skipped": RunStatus.SKIPPED,
            # Nothing ran, and the task that did fail says so itself.
            "upstream_failed": RunStatus.SKIPPED,
            "removed": RunStatus.SKIPPED,
        }
    )

    def sign(self) -> Sign:
        if self.settings.token is not None:
            return bearer(self.settings.token)
        assert self.settings.username is not None and self.settings.password is not None  # see _one_way_in
        return Login("/auth/token", "access_token", self.settings.username, self.settings.password)

    def feeds(self, pipelines: Sequence[Pipeline]) -> list[Feed]:
        return [Feed(order=Order.UPDATED_SINCE)]

    async def pages(
        self, http: VendorHttp, feed: Feed, since: datetime | None, cursor: str | None
    ) -> AsyncIterator[Page]:
        offset, more = int(cursor or 0), True
        while more:
            answer = await http.get(
                "/api/v2/dags/~/dagRuns",
                into=_Runs,
                limit=self.settings.page_size,
                offset=offset,
                # By id, new and newly updated runs come after those that the walk has passed.
                order_by="-run_after" if since is None else "id",
                updated_at_gte=None if since is None else _instant(since),
            )
            rows, total = answer.dag_runs, answer.total_entries
            offset, more = self._following(offset, len(rows), total)
            steps = await self._steps(http, [(row.dag_id, row.dag_run_id) for row in rows])
            yield Page(
                runs=[self._translate(row, steps.get((row.dag_id, row.dag_run_id), [])) for row in rows],
                cursor=str(offset) if more else None,
                total=total if since is None else None,
            )

    async def run(self, http: VendorHttp, ref: RunRef) -> Run:
        row = await http.get(path("/api/v2/dags/{}/dagRuns/{}", ref.pipeline_id, ref.run_id), into=_Run)
        key = (row.dag_id, row.dag_run_id)
        return self._translate(row, (await self._steps(http, [key])).get(key, []))

    async def pipelines(self, http: VendorHttp) -> list[Pipeline]:
        found: list[Pipeline] = []
        offset, more = 0, True
        while more:
            answer = await http.get(
                "/api/v2/dags", into=_Dags, limit=self.settings.page_size, offset=offset, order_by="dag_id"
            )
            offset, more = self._following(offset, len(answer.dags), answer.total_entries)
            found += [
                Pipeline(
                    pipeline_id=dag.dag_id,
                    name=dag.dag_display_name,
                    url=self._page(path("/dags/{}", dag.dag_id)),
                    paused=dag.is_paused,
                )
                for dag in answer.dags
            ]
        return found

    async def probe(self, http: VendorHttp) -> str:
        # Not the version: that is told to anyone.
        await http.get("/api/v2/dags", into=_Dags, limit=1)
        return "list DAGs"

    def _following(self, offset: int, received: int, total: int | None) -> tuple[int, bool]:
        """The next offset, and whether anything is there. A short page is no sign of the end: the server may cut
        `limit`, and rows that cannot be read are left out. One without any readable row is passed over."""
        following = offset + (received or self.settings.page_size)
        return following, (received > 0 if total is None else following < total)

    async def _steps(self, http: VendorHttp, keys: list[tuple[str, str]]) -> dict[tuple[str, str], list[Step]]:
        """The steps of these runs, as (DAG, run id), in bulk, plus one request per task that was tried again."""
        if not keys:
            return {}
        tasks: dict[tuple[str, str], list[_Task]] = {key: [] for key in keys}
        dag_ids, run_ids = sorted({dag_id for dag_id, _ in keys}), sorted({run_id for _, run_id in keys})
        offset, more = 0, True
        while more:
            body = {
                "dag_ids": dag_ids,
                "dag_run_ids": run_ids,
                "order_by": "id",
                "page_limit": self.settings.page_size,
                "page_offset": offset,
            }
            answer = await http.post("/api/v2/dags/~/dagRuns/~/taskInstances/list", json=body, into=_Tasks)
            offset, more = self._following(offset, len(answer.task_instances), answer.total_entries)
            for task in answer.task_instances:
                # The filters cross: they also match DAGs of this page under run ids of other DAGs.
                of_run = tasks.get((task.dag_id, task.dag_run_id))
                if of_run is not None:
                    of_run.append(task)
        return {key: await self._in_order(http, of_run) for key, of_run in tasks.items()}

    async def _in_order(self, http: VendorHttp, tasks: list[_Task]) -> list[Step]:
        """As they started, those that have not started last; the earlier tries of a task right before it."""
        steps: list[Step] = []
        for task in sorted({_task_key(task): task for task in tasks}.values(), key=_by_start):
            if task.try_number > 1:
                steps += [self._step(row, f"{_step_id(task)}#{row.try_number}") for row in await _earlier(http, task)]
            steps.append(self._step(task, _step_id(task)))
        return steps

    def _translate(self, row: _Run, steps: list[Step]) -> Run:
        return Run(
            pipeline_id=row.dag_id,
            run_id=row.dag_run_id,
            vendor_status=row.state,
            pipeline_name=row.dag_display_name,
            pipeline_version=row.dag_versions[-1].version_number if row.dag_versions else None,
            # Not queued_at, which moves when the run is cleared.
            created_at=row.run_after,
            started_at=row.start_date,
            finished_at=row.end_date if self.statuses[row.state].is_final else None,
            trigger=row.run_type,
            triggered_by=row.triggering_user_name or row.triggered_by,
            run_url=self._page(path("/dags/{}/runs/{}", row.dag_id, row.dag_run_id)),
            steps=steps,
            payload=row,
        )

    def _step(self, row: _Task, step_id: str) -> Step:
        word = row.state or _NO_STATE
        status = self.step_statuses[word]
        return Step(
            step_id=step_id,
            vendor_status=word,
            name=row.task_display_name,
            kind=row.operator_name,
            started_at=row.start_date if status is not RunStatus.QUEUED else None,
            finished_at=row.end_date if status.is_final else None,
        )

    def _page(self, where: str) -> str:
        return f"{self.settings.base_url}".rstrip("/") + where


def _instant(moment: datetime) -> str:
    """With a zone, always: the server answers a naive time with a 500."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _task_key(task: _Task) -> tuple[str, int]:
    return task.task_id, task.map_index


def _by_start(task: _Task) -> tuple[bool, float, str, int]:
    start = task.start_date
    return start is None, start.timestamp() if start else 0.0, task.task_id, task.map_index


def _step_id(task: _Task) -> str:
    """Mapped tasks count from 0; a plain one has the index -1."""
    return task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]"


async def _earlier(http: VendorHttp, task: _Task) -> list[_Task]:
    """The tries of a task before its last one, oldest first."""
    of_task = path("/api/v2/dags/{}/dagRuns/{}/taskInstances/{}", task.dag_id, task.dag_run_id, task.task_id)
    try:
        tries = await http.get(
            f"{of_task}/tries" if task.map_index < 0 else f"{of_task}/{task.map_index}/tries", into=_Tasks
        )
    except NotFound:
        return []  # the task went away after it was listed, which is not to say that its run did
    return sorted((row for row in tries.task_instances if row.try_number < task.try_number), key=lambda t: t.try_number)
