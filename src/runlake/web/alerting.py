"""What `runlake alerts …` asks of the daemon, over the socket beside its ledger."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.routing import Route

from runlake.alerts import by_hand
from runlake.config import load
from runlake.daemon import Daemon
from runlake.store.alerting import Silence
from runlake.web.control import answered, content


class Acked(BaseModel):
    """Who looks after which alerts."""

    model_config = ConfigDict(extra="forbid")

    alerts: list[str]
    by: str
    note: str | None


class Silenced(BaseModel):
    """A silence, as a command has made it."""

    model_config = ConfigDict(extra="forbid")

    silence_id: str
    reason: str
    created_by: str
    created_at: datetime
    until: datetime
    rule: str | None
    source: str | None
    pipeline: str | None


class Named(BaseModel):
    """A silence or a channel."""

    model_config = ConfigDict(extra="forbid")

    name: str


def routes(daemon: Daemon) -> list[Route]:
    async def ack(request: Request) -> Any:
        given = await content(request, Acked)
        found = await by_hand.ack(daemon.store, given.alerts, by=given.by, note=given.note, at=daemon.now())
        await daemon.chores.publish()
        return {"alerts": [asdict(alert) for alert in found]}

    async def silence(request: Request) -> Any:
        given = await content(request, Silenced)
        held = await by_hand.silence(daemon.store, Silence(**given.model_dump()))
        await daemon.chores.publish()
        return {"alerts": [asdict(alert) for alert in held]}

    async def unsilence(request: Request) -> Any:
        ended = await by_hand.unsilence(daemon.store, (await content(request, Named)).name, daemon.now())
        daemon.alerting.soon()  # which tells what still fires
        await daemon.chores.publish()
        return {"silence": asdict(ended)}

    async def evaluate(_: Request) -> Any:
        came = by_hand.what_came(await daemon.alerting.turn())
        await daemon.chores.publish()
        return came

    async def try_out(request: Request) -> Any:
        """By the file as it is now, which the daemon may not have read again yet."""
        channel = by_hand.channel(load(daemon.path), (await content(request, Named)).name)
        return {"error": await by_hand.try_out(channel, daemon.now())}

    return [
        Route(f"/alerts/{work.__name__}", answered(work), methods=["POST"])
        for work in (ack, silence, unsilence, evaluate, try_out)
    ]
