"""`POST /sql`: a reader's own SQL on the published copy, for whoever has the token.

The body is the query as text, or `{"query": "…"}`. `?format=` or `Accept` choose among json, csv, arrow and parquet; an
answer says in `X-Runlake-As-Of` when its copy was made, and is whole: an error is `{"error": "…"}` instead of one.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from runlake.errors import Busy, ConfigError, RunlakeError, StoreError, TooLarge, TooSlow
from runlake.formats import instant, json_text
from runlake.store.sandbox import Answered, AnswerFormat, Limits, ask

MOST_BODY = 64 * 1024
"""Bytes of a request: a query of 60 kB is no longer written by hand."""

PATIENCE_S = 5.0
"""How long a query waits for its turn before it is refused."""

_RETRY_AFTER_S = 5
_PORTION = 256 * 1024

_TEXT = ("text/plain", "application/x-www-form-urlencoded")
"""The second is what `curl --data` calls whatever it sends."""

MEDIA_TYPES = {
    AnswerFormat.JSON: "application/json",
    AnswerFormat.CSV: "text/csv; charset=utf-8",
    AnswerFormat.ARROW: "application/vnd.apache.arrow.stream",
    AnswerFormat.PARQUET: "application/vnd.apache.parquet",
}

_STATUS: dict[type[RunlakeError], int] = {TooLarge: 413, TooSlow: 408, Busy: 429, ConfigError: 400, StoreError: 503}

_STOPPING = "the daemon is stopping; ask again once it runs"
_NOT_CONFIGURED = 'SQL is not served without a token: set sql_token = { env = "RUNLAKE_SQL_TOKEN" } under [daemon]'


class Sql:
    """The endpoint. `database` and `token` are asked at each request, so that a reloaded config counts at once; a token
    of None means that none is configured. At most `at_once` queries run, and as many more wait for their turn."""

    def __init__(
        self,
        database: Callable[[], Path],
        token: Callable[[], str | None],
        limits: Limits | None = None,
        at_once: int = 4,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._database = database
        self._token = token
        self._limits = limits or Limits()
        self._at_once = at_once
        self._turn = asyncio.Semaphore(at_once)
        self._patience_s = patience_s
        self._asking: set[asyncio.Task[Answered]] = set()
        self._closed = False

    def route(self, path: str = "/sql") -> Route:
        return Route(path, self._respond, methods=["POST"])

    async def close(self) -> None:
        """Ends every query under way; they and all that come later are answered with 503."""
        self._closed = True
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _respond(self, request: Request) -> Response:
        try:
            self._admit(request)
            format_ = _format(request)
            query = await _query(request)
            answered = await self._answer(request, query, format_)
        except HTTPException as refused:
            return _error(refused.status_code, refused.detail, refused.headers)
        except Busy as error:
            return _error(429, str(error), {"Retry-After": str(error.retry_after)})
        except RunlakeError as error:
            return _error(next(status for kind, status in _STATUS.items() if isinstance(error, kind)), str(error))
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        return _Spooled(answered, format_)

    def _admit(self, request: Request) -> None:
        token = self._token()
        if token is None:
            raise HTTPException(403, _NOT_CONFIGURED)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # As bytes: compare_digest takes no text beyond ASCII.
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            raise HTTPException(401, "send the token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})

    async def _answer(self, request: Request, query: str, format_: AnswerFormat) -> Answered:
        """The answer; where the client goes away or the daemon ends before, the query ends too."""
        if self._closed:
            raise StoreError(_STOPPING)
        if len(self._asking) >= 2 * self._at_once:
            raise self._busy()
        task, gone = asyncio.create_task(self._in_turn(query, format_)), asyncio.create_task(_gone(request))
        self._asking.add(task)
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and not task.cancelled():
                return task.result()
            if self._closed:
                raise StoreError(_STOPPING)
            raise ClientDisconnect
        finally:
            task.cancel()
            gone.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)
            self._asking.discard(task)

    async def _in_turn(self, query: str, format_: AnswerFormat) -> Answered:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._turn.acquire()
        except TimeoutError:
            raise self._busy() from None
        try:
            return await ask(self._database(), query, format_, self._limits)
        finally:
            self._turn.release()

    def _busy(self) -> Busy:
        return Busy(f"{self._at_once} queries run at once and others wait; ask again in a few seconds", _RETRY_AFTER_S)


async def _gone(request: Request) -> None:
    """Returns when the client has gone away; only for a request whose body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Spooled(StreamingResponse):
    """An answer, read from its file in portions; the file is closed whatever becomes of the client."""

    def __init__(self, answered: Answered, format_: AnswerFormat) -> None:
        self._file = answered.file
        headers = {
            "Content-Length": str(answered.size),
            "X-Runlake-As-Of": instant(answered.as_of),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        portions = iter(lambda: self._file.read(_PORTION), b"")
        super().__init__(portions, headers=headers, media_type=MEDIA_TYPES[format_])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json_text({"error": text}) + "\n", status, headers, "application/json")


# --- the request -----------------------------------------------------------------------------------------------------


async def _query(request: Request) -> str:
    media_type = request.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    if media_type not in (*_TEXT, "application/json"):
        raise HTTPException(415, 'send the query as text/plain, or {"query": "SELECT …"} as application/json')
    body = bytearray()
    async for portion in request.stream():
        body += portion
        if len(body) > MOST_BODY:
            raise TooLarge(f"a request may have {MOST_BODY:,} bytes at most")
    try:
        text = body.decode()
        return text if media_type in _TEXT else _of_json(text)
    except UnicodeDecodeError:
        raise ConfigError("the request is not UTF-8 text") from None


def _of_json(text: str) -> str:
    try:
        match json.loads(text):
            case {"query": str(query), **others} if not others:
                return query
    except (ValueError, RecursionError):
        pass  # told below: no JSON and other JSON are mended in the same way
    raise ConfigError('write the query as {"query": "SELECT …"}')


def _format(request: Request) -> AnswerFormat:
    """What `?format=` names, else what `Accept` likes best; JSON where either likes anything."""
    named = request.query_params.get("format")
    if named is not None:
        if named not in list(AnswerFormat):
            raise HTTPException(406, f"no format {named[:20]!r}; there are {', '.join(AnswerFormat)}")
        return AnswerFormat(named)
    ranges = [_range(part) for part in request.headers.get("accept", "*/*").split(",")]
    for wanted, weight in sorted(ranges, key=lambda each: -each[1]):
        for format_, full in MEDIA_TYPES.items():
            media_type = full.partition(";")[0]
            if weight > 0 and wanted in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
                return format_
    raise HTTPException(406, f"accept one of {', '.join(MEDIA_TYPES.values())}, or add ?format=json")


def _range(part: str) -> tuple[str, float]:
    """`text/csv;q=0.5` as its media type and its weight."""
    media_type, *parameters = (each.strip().lower() for each in part.split(";"))
    weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return media_type, float(weight)
    except ValueError:
        return media_type, 0.0
