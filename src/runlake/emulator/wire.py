"""The last yard: logging, authentication, and the faults that hit a whole answer."""

import asyncio
import json
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from runlake.emulator.faults import ROW_FAULTS, Fault
from runlake.emulator.vendor import Seen, UnreadableQuery, Vendor

_MAINTENANCE = (
    "<!doctype html><html><head><title>Maintenance</title></head><body><h1>We will be back soon</h1></body></html>"
)


class Wire:
    """An ASGI app around one vendor."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self._held: set[asyncio.Event] = set()

    def release(self) -> None:
        """Let every held answer go at once. Call it in the server's own loop."""
        for event in self._held:
            event.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        fault, rng = self.vendor.faults.draw()
        scope["emulator.fault"], scope["emulator.random"] = fault, rng
        response = await self._respond(request, receive, fault)
        status = response.status_code if response is not None else 0
        if response is not None:
            response.headers["X-Emulator"] = "simulated"
            response.headers["Date"] = format_datetime(self.vendor.now() + self.vendor.skew, usegmt=True)
            mangled = fault if fault is scope.get("emulator.happened") else None
        path, query = scope["path"].removeprefix(scope["root_path"]), scope["query_string"].decode("latin-1")
        # Logged before the last byte leaves: whoever has the answer finds it in the log.
        self.vendor.requests.append(Seen(request.method, path, query, status, scope.get("emulator.happened")))
        if response is not None:
            await self._send(response, mangled, receive, send)

    async def _respond(self, request: Request, receive: Receive, fault: Fault | None) -> Response | None:
        vendor, faults = self.vendor, self.vendor.faults
        if faults.refusals_left > 0:
            faults.refusals_left -= 1
            request.scope["emulator.happened"] = Fault.EXPIRED_TOKEN
            return vendor.error(401, "Token Expired")
        replaced = self._replacement(request, fault)
        if replaced is not None:
            assert fault is not None
            vendor.happened(request, fault)
            return replaced
        if fault is Fault.TIMEOUT:
            vendor.happened(request, fault)
            await request.body()  # else the body would be taken for the disconnect that ends the wait
            if not await self._hold(faults.timeout_s, receive):
                return None
        response = await self._answer(request)
        if fault is None or fault in ROW_FAULTS or fault in {Fault.TIMEOUT, Fault.EXPIRED_TOKEN}:
            return response
        if fault is Fault.FOREIGN_NEXT:
            return self._lead_astray(request, response)
        vendor.happened(request, fault)
        if fault is Fault.TRUNCATED_JSON:
            body = bytes(response.body)
            return Response(body[: max(1, len(body) * 2 // 3)], response.status_code, media_type="application/json")
        return response

    def _replacement(self, request: Request, fault: Fault | None) -> Response | None:
        vendor, faults = self.vendor, self.vendor.faults
        match fault:
            case Fault.RATE_LIMITED | Fault.RATE_LIMITED_DATE:
                response = vendor.error(429, "Rate limit exceeded")
                until = vendor.now() + vendor.skew + timedelta(seconds=faults.retry_after_s)
                dated = fault is Fault.RATE_LIMITED_DATE
                response.headers["Retry-After"] = (
                    format_datetime(until, usegmt=True) if dated else str(faults.retry_after_s)
                )
                return response
            case Fault.SERVER_ERROR:
                return vendor.error(500, "Internal Server Error")
            case Fault.UNAVAILABLE:
                return vendor.error(503, "Service Unavailable")
            case Fault.HTML_PAGE:
                return HTMLResponse(_MAINTENANCE)
            case Fault.REDIRECT:
                return RedirectResponse(f"{faults.foreign_url}{request.url.path}", 302)
            case Fault.EXPIRED_TOKEN if not (vendor.hands_out_tokens and request.url.path.endswith("/auth/token")):
                if vendor.hands_out_tokens:
                    vendor.expire()
                else:
                    faults.refusals_left = faults.expired_requests - 1
                return vendor.error(401, "Token Expired")
        return None

    async def _answer(self, request: Request) -> Response:
        refusal = self.vendor.refusal(request)
        if refusal is not None:
            return refusal
        if self.vendor.slash_redirect == 301 and request.method == "GET" and not request.url.path.endswith("/"):
            return RedirectResponse(str(request.url.replace(path=request.url.path + "/")), 301)
        try:
            return await _collect(self.vendor.app, request)
        except UnreadableQuery as error:
            return self.vendor.error(400, str(error))

    def _lead_astray(self, request: Request, response: Response) -> Response:
        """Point the answer's next link, where the vendor has one, at another host."""
        if response.status_code != 200:
            return response
        content: Any = json.loads(bytes(response.body))
        foreign = f"{self.vendor.faults.foreign_url}{request.url.path}?page=2"
        for holder in (content, content.get("links"), content.get("content")) if isinstance(content, dict) else ():
            if isinstance(holder, dict) and "next" in holder:
                holder["next"] = foreign
                self.vendor.happened(request, Fault.FOREIGN_NEXT)
                return Response(json.dumps(content), media_type="application/json")
        return response

    async def _send(self, response: Response, fault: Fault | None, receive: Receive, send: Send) -> None:
        body = bytes(response.body)
        headers = [(name, value) for name, value in response.raw_headers if name.lower() != b"content-length"]
        if fault is not Fault.OVERSIZED:
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        match fault:
            case Fault.CUT_BODY:
                # Returning with the body incomplete makes the server close the connection.
                await send(_chunk(body[: len(body) // 2], more=True))
                return
            case Fault.SLOW_BYTES:
                size = max(1, len(body) // 20)
                for start in range(0, len(body), size):
                    if not await self._hold(self.vendor.faults.slow_s / 20, receive):
                        return
                    await send(_chunk(body[start : start + size], more=True))
                await send(_chunk(b"", more=False))
            case Fault.OVERSIZED:
                # Leading blanks are legal JSON: only a reader that counts bytes can object.
                blank = b" " * 65536
                for _ in range(int(self.vendor.faults.oversized_mb * 16)):
                    await send(_chunk(blank, more=True))
                await send(_chunk(body, more=False))
            case _:
                await send(_chunk(body, more=False))

    async def _hold(self, seconds: float, receive: Receive) -> bool:
        """Wait; False if the client went away. Ends early when the server stops."""
        released = asyncio.Event()
        self._held.add(released)
        gone = asyncio.ensure_future(_disconnected(receive))
        stop = asyncio.ensure_future(released.wait())
        try:
            done, _ = await asyncio.wait({gone, stop}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._held.discard(released)
            gone.cancel()
            stop.cancel()
        return gone not in done


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _chunk(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def _collect(app: Any, request: Request) -> Response:
    """The inner app's whole answer, so that it can be mangled."""
    parts: list[bytes] = []
    start: Message = {}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(request.scope, request.receive, send)
    response = Response(b"".join(parts), start["status"])
    response.raw_headers = list(start["headers"])
    return response
