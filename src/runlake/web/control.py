"""What the commands of this machine ask of the daemon, over the socket beside its ledger."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runlake import __version__
from runlake import sync as engine
from runlake.config import load
from runlake.daemon import Daemon
from runlake.errors import ConfigError, RunlakeError
from runlake.formats import json_text

M = TypeVar("M", bound=BaseModel)


class Asked(BaseModel):
    """An attempt at a source, as a command asks for it."""

    model_config = ConfigDict(extra="forbid")

    source: str
    since: datetime | None = None
    refs: list[str] = []


class Kept(BaseModel):
    """Where a backup goes."""

    target: Path


class Tried(BaseModel):
    """Something that can be tried before it is done."""

    dry_run: bool


def routes(daemon: Daemon) -> list[Route]:
    async def status(_: Request) -> Any:
        return {"pid": os.getpid(), "version": __version__, **daemon.status()}

    async def reload(_: Request) -> Any:
        return {"changes": daemon.reload()}

    async def publish(_: Request) -> Any:
        return {"as_of": await daemon.chores.publish()}

    async def backup(request: Request) -> Any:
        kept = await content(request, Kept)
        return {"bytes": await daemon.store.backup(kept.target)}

    async def rebuild(request: Request) -> Any:
        rebuilt = await daemon.store.rebuild(dry_run=(await content(request, Tried)).dry_run)
        await daemon.chores.publish()
        return {"tables": rebuilt}

    async def remap(request: Request) -> Any:
        """By the file as it is now, which the daemon may not have read again yet."""
        dry_run = (await content(request, Tried)).dry_run
        changes = await engine.remap(load(daemon.path).source, daemon.store, daemon.now(), dry_run=dry_run)
        if not dry_run:
            daemon.reload()
            await daemon.chores.publish()
        return {"changes": changes}

    async def sync(request: Request) -> Any:
        asked = await content(request, Asked)
        return {"row": asdict(await daemon.attempt(asked.source, lambda polled: polled.sync()))}

    async def backfill(request: Request) -> Any:
        asked = await content(request, Asked)
        if asked.since is None:
            raise ConfigError("a backfill needs `since`")
        since = asked.since
        return {"row": asdict(await daemon.attempt(asked.source, lambda polled: polled.backfill(since)))}

    async def track(request: Request) -> Any:
        asked = await content(request, Asked)
        row = await daemon.attempt(asked.source, lambda polled: polled.track(asked.refs))
        tracked = await daemon.store.tracked(asked.source)
        return {"row": asdict(row), "tracked": {handle: asdict(each) for handle, each in tracked.items()}}

    async def coverage(request: Request) -> Any:
        asked = await content(request, Asked)
        row, days = await daemon.attempt(asked.source, lambda polled: polled.coverage())
        return {"row": asdict(row), "days": days, "doubled": await daemon.store.audit()}

    return [
        Route("/status", answered(status)),
        *(
            Route(f"/{work.__name__}", answered(work), methods=["POST"])
            for work in (reload, publish, backup, rebuild, remap, sync, backfill, track, coverage)
        ),
    ]


async def content(request: Request, kind: type[M]) -> M:
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise ConfigError(
            f"the daemon is of another version than this command: {error.error_count()} fields differ"
        ) from None


def answered(work: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        try:
            return _json(await work(request))
        except RunlakeError as error:
            return _json({"error": str(error), "class": type(error).__name__}, 409)

    return respond


def _json(content: Any, status: int = 200) -> Response:
    return Response(json_text(content), status, media_type="application/json")
