"""`POST /hooks/{source}`: somebody who knows says that runs have changed. They are read again by id, soon.

A hint is never believed, only looked up: forged, replayed or lost, it changes nothing in the end. Body:
`{"pipeline_id": "…", "run_id": "…"}`, or several under `runs`; any other body brings the next sync forward.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from functools import partial
from typing import Any

import structlog
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runlake.config import Hook
from runlake.daemon import Daemon
from runlake.errors import ConfigError, StoreError
from runlake.model import RunRef

log = structlog.get_logger()

MOST_BODY = 1024 * 1024
MOST_RUNS = 100
MOST_WAITING = 4
"""Hints of one source that may wait for their turn; those beyond only bring its next sync forward."""


class _Named(BaseModel):
    pipeline_id: str = Field(max_length=1000)
    run_id: str = Field(max_length=1000, min_length=1)
    attempt: int = Field(default=1, ge=1, le=32_000)


class _Several(BaseModel):
    runs: list[_Named] = Field(max_length=MOST_RUNS)


_BODY: TypeAdapter[_Several | _Named] = TypeAdapter(_Several | _Named)


def route(daemon: Daemon) -> Route:
    waiting: dict[str, set[asyncio.Task[None]]] = {}

    async def respond(request: Request) -> Response:
        name = request.path_params["source"]
        polled = daemon.sources.get(name)
        hook = polled.source.hook if polled is not None else None
        body = await _body(request)
        if body is None:
            return JSONResponse({"error": f"more than {MOST_BODY // 1024} KiB"}, 413)
        try:
            # One answer for a source that is not there, that takes no hints, and for a wrong secret.
            known = hook is not None and _signed(hook, request.headers.get(hook.header, ""), body)
        except ConfigError as error:
            log.error("hook.off", source=name, error=str(error))
            known = False
        if not known:
            return JSONResponse({"error": "no hook here for this secret"}, 401)
        refs, tasks = _refs(body), waiting.setdefault(name, set())
        if not refs or len(tasks) >= MOST_WAITING:
            daemon.sync_soon(name)
            return JSONResponse({"reading": "sync"}, 202)
        task = asyncio.create_task(read(name, refs))
        tasks.add(task)
        task.add_done_callback(partial(ended, name))
        return JSONResponse({"reading": len(refs)}, 202)

    def ended(name: str, task: asyncio.Task[None]) -> None:
        waiting[name].discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            log.error("request.crashed", path=f"/hooks/{name}", exc_info=bug)

    async def read(name: str, refs: list[RunRef]) -> None:
        try:
            await daemon.attempt(name, lambda polled: polled.hint(refs))
        except (ConfigError, StoreError):
            return  # the source was taken out meanwhile; or the ledger refuses, which the daemon has told

    return Route("/hooks/{source}", respond, methods=["POST"])


async def _body(request: Request) -> bytes | None:
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY:
                return None
    except ClientDisconnect:
        return None
    return body


def _signed(hook: Hook, given: str, body: bytes) -> bool:
    secret = hook.secret.reveal().encode()
    if hook.scheme == "token":
        return hmac.compare_digest(given.encode(), secret)
    wanted = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(given.removeprefix("sha256=").lower().encode(), wanted.encode())


def _refs(body: bytes) -> list[RunRef]:
    """The runs that a body names; none where it is of another shape."""
    try:
        content: Any = json.loads(body)
        named = _BODY.validate_python(content)
    except (ValueError, RecursionError, ValidationError):
        return []
    runs = named.runs if isinstance(named, _Several) else [named]
    return [RunRef(run.pipeline_id, run.run_id, run.attempt) for run in runs]
