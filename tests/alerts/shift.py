"""Who is on call: a real ledger, synced from a vendor whose every answer is decided here, a turn of alerting after each
poll, and real receivers on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from runlake.alerts.turn import turn
from runlake.config import Config, Source
from runlake.connector import connectors
from runlake.http import HttpLimits, VendorHttp
from runlake.model import Pipeline
from runlake.store import Store
from runlake.sync import Network, backfill, sync
from sync.conftest import Stage, ask
from sync.tiny import MINUTE, T0, Shop, Tiny, row

from .receivers import Recorder, recording


class Listing(Tiny):
    """Lists its pipelines too, as they are `shown`."""

    name = "listing"
    shown: ClassVar[list[Pipeline]] = []

    async def pipelines(self, http: VendorHttp) -> list[Pipeline]:
        return self.shown


async def _at_once(seconds: float) -> None:
    pass


@dataclass
class Shift:
    folder: Path
    shop: Shop
    store: Store
    base_url: str
    pager: Recorder
    tables: dict[str, Any]
    connector: str = "tiny"
    asked_at: dict[str, datetime] = field(default_factory=dict)
    _runs: int = 0

    @property
    def now(self) -> datetime:
        return self.shop.now

    @property
    def source(self) -> Source:
        settings = {"base_url": self.base_url, "token": {"file": str(self.folder / "token")}, "page_size": 500}
        return Source(name="shop", connector=self.connector, settings=settings, concurrency=1)

    @property
    def config(self) -> Config:
        channel = {"kind": "webhook", "name": "pager", "url": {"file": str(self.folder / "url")}, "digest": False}
        return Config.model_validate({"source": [self.source], "channel": [channel], **self.tables})

    def ran(
        self,
        pipeline: str,
        status: str = "done",
        /,
        *,
        ago: timedelta = timedelta(),
        took: timedelta = MINUTE,
        **more: Any,
    ) -> str:
        """A run of it that begins now, or so long ago; the next poll sees it. Returns its id."""
        self._runs += 1
        run_id, created = str(more.pop("run_id", f"{pipeline}-{self._runs:04}")), self.now - ago
        ended = created + took if status in {"done", "failed", "cancelled"} else None
        self.shop.put(
            row(run_id, created, status, **{"pipeline": pipeline, "ended": ended, "updated": self.now, **more})
        )
        return run_id

    async def poll(self, after: timedelta = 5 * MINUTE) -> None:
        """A sync, and what it has to tell."""
        self.shop.now += after
        network = Network(HttpLimits(attempts=2), _at_once)
        await sync(self.source, self.store, network=network, now=lambda: self.now)
        await self.turn()

    async def polls(self, length: timedelta, every: timedelta = 30 * MINUTE) -> None:
        end = self.now + length
        while self.now < end:
            await self.poll(every)

    async def backfill(self, since: datetime) -> None:
        network = Network(HttpLimits(attempts=2), _at_once)
        await backfill(self.source, self.store, since, network=network, now=lambda: self.now)
        await self.turn()

    async def turn(self, after: timedelta = timedelta()) -> None:
        self.shop.now += after
        await turn(self.store, self.config, lambda: self.now, asked_at=self.asked_at)

    async def restart(self) -> None:
        await self.store.__aexit__()
        self.store = await Store(self.store.path).__aenter__()

    def told(self) -> list[tuple[str, str, list[str]]]:
        """(event, rule, pipelines or else keys) of each message that was taken."""
        return [
            (
                message.json["event"],
                ",".join(sorted({alert["rule"] for alert in message.json["alerts"]})),
                sorted(alert["pipeline_id"] or alert["key"] for alert in message.json["alerts"]),
            )
            for message in self.pager.messages
            if message.taken
        ]

    async def episodes(self) -> Sequence[tuple[Any, ...]]:
        query = "SELECT rule, coalesce(pipeline_id, key), state, fired_at IS NOT NULL FROM rl.alerts ORDER BY ALL"
        return await ask(self.store, query)


@asynccontextmanager
async def shift(
    folder: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch, *, connector: str = "tiny", **tables: Any
) -> AsyncIterator[Shift]:
    """Begins with nothing known; the first poll is history. `tables` are those of the config besides source and, if it
    is not among them, channel."""
    for kind in (Tiny, Listing):
        monkeypatch.setitem(cast(dict[str, Any], connectors()), kind.name, kind)
    stage.scene = shop = Shop(now=T0)
    (folder / "token").write_text("tiny-secret")
    with recording() as pager:
        (folder / "url").write_text(pager.url)
        store = await Store(folder / "runlake.duckdb").__aenter__()
        scene = Shift(folder, shop, store, stage.base_url, pager, tables, connector)
        try:
            yield scene
            assert await scene.store.audit() == 0
        finally:
            await scene.store.__aexit__()
