"""A small history for each recipe of docs/alerting.md, at the end of which its rule fires for the first time.

Times are of July 2026. The 14th is a Tuesday.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from runlake.alerts.message import Event, Message
from runlake.alerts.turn import turn
from runlake.config import Config, load
from runlake.config.channels import AnyChannel
from runlake.model import Run, RunRef, Step, run_key
from runlake.report.delivery import claim
from runlake.store import Books, Store, Sync
from runlake.store.alerting import AlertBooks
from runlake.store.reports import ReportBooks
from runlake.sync.intake import batch_for

SOURCES = """
[[source]]
name = "etl"
connector = "airflow"
settings = { base_url = "https://airflow.acme.example", token = { env = "AIRFLOW_TOKEN" } }

[[source]]
name = "registry"
connector = "clinia"
settings = { base_url = "https://acme.clinia.cloud", source_key = "registry", api_key = { env = "CLINIA_KEY" } }
"""

CHANNEL = """
[[channel]]
name = "data-chat"
kind = "webhook"
url = { env = "CHAT_URL" }
"""


def july(day: int, time: str = "00:00") -> datetime:
    hour, minute = map(int, time.split(":"))
    return datetime(2026, 7, day, hour, minute, tzinfo=UTC)


def ran(at: datetime, minutes: float | None = 40, word: str = "success", pipeline: str = "nightly", **more: Any) -> Run:
    """`minutes` is how long it took; None: it has not ended."""
    run_id = more.pop("run_id", f"scheduled__{at:%Y-%m-%dT%H:%M}")
    return Run(
        pipeline_id=pipeline,
        run_id=run_id,
        vendor_status=word,
        created_at=at,
        started_at=at,
        finished_at=None if minutes is None else at + timedelta(minutes=minutes),
        **{"run_url": f"https://airflow.acme.example/dags/{pipeline}/runs/{run_id}", **more},
    )


@dataclass
class Desk:
    """A ledger that is synced as a history says, and alerts that are evaluated after each sync."""

    config: Config
    store: Store
    sent: list[list[Message]] = field(default_factory=list)
    """For each evaluation, what went out after it."""

    async def sync(self, at: datetime, *runs: Run, source: str = "etl", **row: Any) -> None:
        """`row` are fields of the sync, where it was not complete."""
        [polled] = self.config.select([source])
        kind, batch = polled.connector_type(), batch_for(polled)
        await self.store.begin(source, kind.name, kind.title, polled.tables(), at)
        for run in runs:
            batch.add(run_key(source, run.ref), run, at, "list", "GET /runs")
        made = Sync(sync_id=str(uuid4()), source=source, vendor=kind.name, kind="sync", started_at=at, finished_at=at)
        made.outcome, made.observed_through = "ok", at
        for name, value in row.items():
            setattr(made, name, value)
        await self.store.commit(batch, Books(made))
        await self.turn(at)

    async def turn(self, at: datetime) -> None:
        self.sent.append([])
        await self.store.publish(at)
        await turn(self.store, self.config, lambda: at, send=self._take)
        await self.store.publish(at)

    async def _take(self, channel: AnyChannel, message: Message) -> None:
        self.sent[-1].append(message)

    def told(self, rule: str, event: Event) -> list[list[Message]]:
        return [
            [each for each in sent if each.event is event and each.stories[0].alert.rule == rule] for sent in self.sent
        ]


@asynccontextmanager
async def desk(folder: Path, tables: str) -> AsyncIterator[Desk]:
    (folder / "runlake.toml").write_text(f'database = "runlake.duckdb"\n{SOURCES}{tables}', encoding="utf-8")
    config = load(folder / "runlake.toml")
    async with Store(config.database) as store:
        yield Desk(config, store)


def nights(until: int, count: int = 12) -> list[Run]:
    """Good ones, at 02:00, up to that day of July."""
    return [ran(july(1, "02:00") + timedelta(days=until - 1 - ago), 40 + ago % 3) for ago in reversed(range(count))]


async def failed(desk: Desk) -> None:
    await desk.sync(july(13, "12:00"), *nights(13))
    steps = [
        Step(step_id="extract", vendor_status="success"),
        Step(step_id="load", vendor_status="failed", error_message="No space left on device"),
    ]
    await desk.sync(july(14, "02:45"), ran(july(14, "02:00"), 31, "failed", steps=steps))


async def recovered(desk: Desk) -> None:
    """What comes after `failed`."""
    await desk.sync(july(14, "09:05"), ran(july(14, "08:20"), 40, run_id="manual__2026-07-14T08:20"))


async def failure_rate(desk: Desk) -> None:
    every = [july(13, "23:00") + timedelta(minutes=15 * n) for n in range(25)]
    ended = [
        ran(at, 4, "failed" if n % 3 == 2 and n > 4 else "success", pipeline="ingest") for n, at in enumerate(every)
    ]
    await desk.sync(july(13, "23:05"), ended[0])
    await desk.sync(july(14, "02:05"), *ended[:12])
    await desk.sync(july(14, "05:05"), *ended)


async def too_long(desk: Desk) -> None:
    running = partial(ran, july(14, "02:00"), None, "running")
    await desk.sync(july(13, "12:00"), *nights(13))
    await desk.sync(july(14, "03:00"), running())
    await desk.sync(july(14, "04:10"), running())


async def too_short(desk: Desk) -> None:
    await desk.sync(july(30, "12:00"), *nights(30, 25))
    await desk.sync(july(31, "02:05"), ran(july(31, "02:00"), 0.2))


async def missing(desk: Desk) -> None:
    await desk.sync(july(13, "12:00"), *nights(13))
    await desk.sync(july(14, "02:25"))
    await desk.sync(july(14, "02:35"))


def review() -> Run:
    return ran(
        july(13, "09:00"), None, "IN_REVIEW", "clinic", run_id="2nW7c25JvMg3", pipeline_name="Clinic", run_url=None
    )


async def waiting(desk: Desk) -> None:
    for time in ("09:05", "16:00", "17:10"):
        await desk.sync(july(13, time), review(), source="registry")


async def source_unobservable(desk: Desk) -> None:
    await desk.sync(july(14, "08:55"), *nights(14))
    lost: dict[str, Any] = {"outcome": "failed", "error_class": "Unavailable", "observed_through": None}
    for minute in (0, 5, 10, 15):
        at = july(14, "09:00") + timedelta(minutes=minute)
        await desk.sync(at, **lost, error="airflow answers HTTP 503 (upstream connect error)")


async def new_status_word(desk: Desk) -> None:
    await desk.sync(july(13, "12:00"), *nights(13))
    await desk.sync(july(14, "02:50"), ran(july(14, "02:00"), None, "restarting"))


async def coverage_gap(desk: Desk) -> None:
    await desk.sync(july(13, "12:00"), *nights(13))
    lost = RunRef("nightly", "manual__2026-07-12T15:00")
    listed = [(run_key("etl", lost), lost.pipeline_id, lost.run_id, july(12, "15:00"))]
    await desk.store.compare("etl", listed, july(13, "12:10"))
    await desk.sync(july(13, "12:15"))


async def report_failed(desk: Desk) -> None:
    await desk.sync(july(6, "12:00"), *nights(6))
    await desk.store.reports(partial(claim, config=desk.config, now=july(6, "12:00")))
    await desk.sync(july(13, "04:55"), *nights(13))
    [weekly] = await desk.store.reports(partial(claim, config=desk.config, now=july(13, "05:00")))
    error, at = "cannot write /srv/reports/weekly-2026-W28.html: No space left on device", july(13, "05:00")
    await desk.store.reports(partial(ReportBooks.failed, each=weekly, at=at, error=error, retry_at=july(13, "05:15")))
    await desk.sync(july(13, "05:05"))
    await desk.sync(july(13, "05:15"))


async def sql(desk: Desk) -> None:
    await desk.sync(july(14, "09:00"), *nights(14))
    queued = [ran(july(14, "09:01"), None, "queued", f"mart-{n:02}") for n in range(25)]
    for time in ("09:05", "09:10", "09:16"):
        await desk.sync(july(14, time), *queued)


HISTORIES: dict[str, Callable[[Desk], Awaitable[None]]] = {
    history.__name__: history
    for history in (
        failed, failure_rate, too_long, too_short, missing, waiting,
        source_unobservable, new_status_word, coverage_gap, report_failed, sql,
    )
}  # fmt: skip
"""By kind of rule."""


async def project(desk: Desk) -> None:
    """What commands are asked about: one alert that fires, and one that somebody looks after."""
    await desk.sync(july(13, "09:05"), review(), source="registry")
    await failed(desk)
    await desk.sync(july(14, "09:10"), review(), source="registry")
    await desk.sync(july(14, "09:20"))

    def acked(books: AlertBooks) -> None:
        [alert] = [each for each in books.open_alerts() if each.kind == "waiting"]
        books.ack(alert.alert_id, july(14, "09:25"), "ann", "asked the registry's team")

    await desk.store.alerting(acked)
    await desk.store.publish(july(14, "09:25"))
