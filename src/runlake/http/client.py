"""One source's HTTP client: budget, retry, caps and redaction around httpx."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import httpx
import ijson
from pydantic import ValidationError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from runlake import __version__
from runlake.errors import (
    AuthenticationError,
    NotFound,
    RateLimited,
    SourceError,
    Unavailable,
    UnexpectedResponse,
    Unreachable,
)
from runlake.http.address import origin, same_origin
from runlake.http.answer import (
    adapter_of,
    brief,
    cause_of,
    date_in,
    not_json,
    parse,
    reason_in,
    redact,
    wait_in,
    written,
)
from runlake.http.budget import REMAINING, Budget, number_in
from runlake.http.sign import Sign
from runlake.http.tls import tls

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
Param = str | int | float | bool | Sequence[str] | None

asked: ContextVar[str] = ContextVar("asked", default="")
"""The last request made in this task, as `GET /path?query`: what `runlake explain` shows. Without secrets: those
travel in headers."""

first_asked: ContextVar[str] = ContextVar("first_asked", default="")
"""The first request since it was last set to "": of several that make up a page, the one that says what it is."""

unreadable: ContextVar[int] = ContextVar("unreadable", default=0)
"""How many list items this task could not read: a walk that left some out must not count as complete."""


@dataclass(slots=True)
class Traffic:
    """What a sync cost at the vendor."""

    requests: int = 0
    bytes: int = 0
    retries: int = 0
    waited_s: float = 0.0
    unreadable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Bounds that keep one vendor from holding up or filling up the rest. Seconds and bytes."""

    timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    answer_s: float = 600.0
    """For one whole answer: `timeout_s` alone would let a vendor that drips bytes hold a sync for ever."""
    body_bytes: int = 64 * 1024 * 1024
    stream_bytes: int = 1024 * 1024 * 1024
    attempts: int = 5
    retry_for_s: float = 180.0
    patience_s: float = 60.0
    """The longest wait within a sync; a vendor that asks for more is left alone until a later sync."""


class VendorHttp:
    """One source's HTTP client. `close()` it, or use it as an async context manager."""

    def __init__(
        self,
        base_url: str,
        sign: Sign,
        *,
        name: str = "",
        budget: Budget | None = None,
        limits: HttpLimits | None = None,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._base = httpx.URL(base_url.rstrip("/"))
        self._sign = sign
        self._name, self._budget = name, budget or Budget()
        self._limits = limits or HttpLimits()
        self._sleep, self._now = sleep, now
        self.traffic = Traffic()
        self.skew: timedelta | None = None
        """The vendor's clock less ours, from the last `Date` header, which counts whole seconds."""
        self._client = httpx.AsyncClient(
            http2=True,
            verify=tls(),
            follow_redirects=False,
            timeout=httpx.Timeout(self._limits.timeout_s, connect=self._limits.connect_timeout_s),
            headers={"User-Agent": f"runlake/{__version__}", "Accept": "application/json"},
        )

    async def __aenter__(self) -> VendorHttp:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str, *, into: type[T], **params: Param) -> T:
        """One JSON answer, validated. A list item of it that cannot be read is left out and counted, not fatal.

        `path` is below the base URL, or an absolute URL that `link` has approved. Parameters that are None are left
        out. Raises any SourceError.
        """
        return await self._asking(lambda: self._answer("GET", path, into, params, None, signed=True))

    async def post(
        self, path: str, *, json: Mapping[str, Any], into: type[T], signed: bool = True, **params: Param
    ) -> T:
        """As `get`, for vendors that read by POST. Never used to change anything at a vendor."""
        return await self._asking(lambda: self._answer("POST", path, into, params, json, signed=signed))

    async def items(self, path: str, *, into: type[T], **params: Param) -> AsyncIterator[T]:
        """The items of a bare JSON array, validated one at a time while it arrives.

        Memory stays within one item and one network chunk, however long the array. An item that cannot be read is
        counted and left out. An array that breaks off is asked for again from the start, so items may repeat.
        """
        async for attempt in self._attempts():
            with attempt:
                async for item in self._stream(path, into, params):
                    yield item

    def link(self, url: str) -> str:
        """A link that the vendor gave (absolute, or relative to the host), if it stays on the configured origin."""
        try:
            target = self._base.join(url)
        except httpx.InvalidURL:
            text = brief(self.redact(url), 80)
            raise UnexpectedResponse(f"{self._base.host} gave a link that is no URL: {text}") from None
        if not same_origin(target, self._base):
            raise UnexpectedResponse(
                f"{self._base.host} points to another host, {brief(origin(target), 80)}; runlake asks only the "
                "configured base_url"
            )
        return str(target)

    def relative(self, url: str) -> str:
        """The path and query of an approved link: fit to be stored and given to `link` again."""
        return httpx.URL(self.link(url)).raw_path.decode("ascii")

    def redact(self, text: str) -> str:
        return redact(text, self._sign.secrets())

    def _without_secrets(self, content: bytes) -> bytes:
        """A vendor may echo what it was sent: kept from there, a secret would end up in the database."""
        for form in written(self._sign.secrets()):
            if (found := form.encode()) in content:
                content = content.replace(found, b"[secret]")
        return content

    # -- one exchange

    async def _asking(self, ask: Callable[[], Awaitable[T]]) -> T:
        async for attempt in self._attempts():
            with attempt:
                return await ask()
        raise AssertionError("tenacity re-raises the last error")

    def _attempts(self) -> AsyncRetrying:
        return AsyncRetrying(
            sleep=self._wait,
            stop=stop_after_attempt(self._limits.attempts) | stop_after_delay(self._limits.retry_for_s),
            wait=self._wait_for,
            retry=retry_if_exception(self._worth_another_try),
            before_sleep=self._count_retry,
            reraise=True,
        )

    def _worth_another_try(self, error: BaseException) -> bool:
        if not isinstance(error, RateLimited | Unavailable):
            return False
        return (error.retry_after or 0) <= self._limits.patience_s

    def _wait_for(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_for = getattr(error, "retry_after", None)
        # The vendor's word, to the second; a little jitter so that many sources do not come back as one.
        backoff: float = wait_random_exponential(multiplier=0.5, max=30)(state)
        return asked_for + min(backoff, 0.5) if asked_for is not None else backoff

    def _count_retry(self, _: RetryCallState) -> None:
        self.traffic.retries += 1

    async def _wait(self, seconds: float) -> None:
        self.traffic.waited_s += seconds
        await self._sleep(seconds)

    async def _answer(
        self, method: str, path: str, into: type[T], params: Mapping[str, Param], body: Any, *, signed: bool
    ) -> T:
        async with self._open(method, path, params, body, signed=signed) as response:
            content = await self._read(response)
        if signed:  # the answer to a login is the secret
            content = self._without_secrets(content)
        value, dropped = parse(content, into, f"{method} {response.request.url.path}")
        self._count_unreadable(dropped)
        return value

    async def _stream(self, path: str, into: type[T], params: Mapping[str, Param]) -> AsyncIterator[T]:
        adapter = adapter_of(into)
        async with self._open("GET", path, params, None, signed=True, keep_slot=False) as response:
            where = f"GET {response.request.url.path}"
            found: list[Any] = ijson.sendable_list()
            parser = ijson.items_coro(found, "item", use_float=True)
            begun = False
            try:
                async for chunk in self._scrubbed(self._chunks(response, self._limits.stream_bytes)):
                    if not begun and (start := chunk.lstrip()):
                        if not start.startswith(b"["):
                            raise not_json(where, chunk)
                        begun = True
                    parser.send(chunk)
                    for item in found:
                        try:
                            yield adapter.validate_python(item)
                        except ValidationError:
                            self._count_unreadable(1)
                    found.clear()
                parser.close()
            except ijson.JSONError:
                raise Unavailable(f"{where}: the answer breaks off or is not JSON") from None

    async def _scrubbed(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """As `_without_secrets`, for secrets that may lie across two chunks."""
        beginnings = [form[:end].encode() for form in written(self._sign.secrets()) for end in range(1, len(form))]
        held = b""
        async for chunk in chunks:
            held = self._without_secrets(held + chunk)
            begun = max((len(b) for b in beginnings if held.endswith(b)), default=0)
            if ready := held[: len(held) - begun]:  # an empty chunk would mean the end
                yield ready
            held = held[len(held) - begun :]
        if held:
            yield held

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, params: Mapping[str, Param], body: Any, *, signed: bool, keep_slot: bool = True
    ) -> AsyncIterator[httpx.Response]:
        """A response with a good status, its body unread. Every way to fail raises a SourceError.

        `keep_slot=False` gives back the budget's slot once the answer begins: whoever reads a long one may need further
        requests before its end.
        """
        url = self._url(path, params)
        asked.set(f"{method} {url.raw_path.decode('ascii')}")
        first_asked.set(first_asked.get() or asked.get())
        may_renew = signed
        for _ in range(5):
            headers = await self._sign.headers(self) if signed else {}
            async with self._turn(method, url) as give_back:
                request = self._client.build_request(method, url, headers=headers, json=body)
                self.traffic.requests += 1
                async with self._translating(method, url):
                    response = await self._client.send(request, stream=True)
                    try:
                        self._note(response)
                        if response.has_redirect_location:
                            url = self._redirected(url, response.headers["location"])
                            continue
                        if response.status_code == 401 and may_renew and self._sign.renew():
                            may_renew = False
                            continue
                        if not response.is_success:
                            raise self._refusal(response, await self._head(response))
                        self._budget.served()
                        if not keep_slot:
                            give_back()
                        yield response
                        return
                    finally:
                        await response.aclose()
        raise UnexpectedResponse(f"{method} {url.path}: redirected in circles")

    @asynccontextmanager
    async def _translating(self, method: str, url: httpx.URL) -> AsyncIterator[None]:
        try:
            yield
        # The last: a name that no resolver can be asked for.
        except (httpx.ConnectError, httpx.ConnectTimeout, UnicodeError) as error:
            raise Unreachable(f"cannot reach {origin(url)}: {brief(self.redact(cause_of(error)))}") from None
        except httpx.TimeoutException:
            raise Unavailable(f"{method} {url.host}{url.path}: no answer within {self._limits.timeout_s:g} s") from None
        except httpx.InvalidURL as error:
            raise UnexpectedResponse(f"{method} {url.path}: {error}") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Unavailable(f"cannot read from {origin(url)}: {brief(self.redact(cause_of(error)))}") from None

    @asynccontextmanager
    async def _turn(self, method: str, url: httpx.URL) -> AsyncIterator[Callable[[], None]]:
        """A slot of the budget. Whether the vendor wants to be left alone is asked once it is our turn, not before: a
        request ahead in the queue may have been told so. Who waits for that gives way to more urgent ones meanwhile."""
        async with self._budget.slot(self._name) as give_back:
            seconds = self._budget.wait_s(self._now())
            if not seconds:
                yield give_back
                return
        if seconds > self._limits.patience_s:
            raise RateLimited(f"{method} {url.path}: the vendor's quota is used up for {seconds:.0f} s", seconds)
        await self._wait(seconds)
        async with self._budget.slot(self._name) as give_back:
            yield give_back

    def _url(self, path: str, params: Mapping[str, Param]) -> httpx.URL:
        # Either way through `link`: a path that does not begin with "/" would continue the host's name.
        url = httpx.URL(self.link(path if "://" in path else f"{self._base}{path}"))
        kept = {name: value for name, value in params.items() if value is not None}
        # `merge` keeps the query that a vendor's link brought along.
        return url.copy_merge_params(kept) if kept else url

    def _redirected(self, url: httpx.URL, location: str) -> httpx.URL:
        with suppress(httpx.InvalidURL):  # `link` says what is wrong with it
            location = str(url.join(location))
        return httpx.URL(self.link(location))

    def _note(self, response: httpx.Response) -> None:
        with suppress(KeyError, ValueError, OverflowError):
            date = date_in(response.headers["date"])
            self.skew = timedelta(seconds=round(date.timestamp() - self._now()))
        self._budget.learn(response.headers, self._now(), self._skew_s)

    @property
    def _skew_s(self) -> float:
        return self.skew.total_seconds() if self.skew else 0.0

    async def _chunks(self, response: httpx.Response, most: int) -> AsyncIterator[bytes]:
        size, began = 0, time.monotonic()
        async with self._translating(response.request.method, response.request.url):
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if time.monotonic() - began > self._limits.answer_s:
                    raise Unavailable(
                        f"{response.request.method} {response.request.url.path}: the answer was not whole after "
                        f"{self._limits.answer_s:g} s"
                    )
                if size > most:
                    raise UnexpectedResponse(
                        f"{response.request.method} {response.request.url.path}: the answer is larger than "
                        f"{most // (1024 * 1024)} MiB and was cut off"
                    )
                self.traffic.bytes += len(chunk)
                yield chunk

    async def _read(self, response: httpx.Response) -> bytes:
        return b"".join([chunk async for chunk in self._chunks(response, self._limits.body_bytes)])

    async def _head(self, response: httpx.Response) -> bytes:
        """The first 4 KB or so of an error's body: enough to quote."""
        head = b""
        with suppress(SourceError):  # the status says enough, whatever becomes of the body
            async for chunk in self._chunks(response, self._limits.body_bytes):
                head += chunk
                if len(head) >= 4096:
                    break
        return head

    def _refusal(self, response: httpx.Response, body: bytes) -> SourceError:
        status = response.status_code
        reason = brief(self.redact(reason_in(body)))
        text = f"{response.request.method} {response.request.url.path}: HTTP {status}" + (
            f" ({reason})" if reason else ""
        )
        retry_after = self._retry_after(response.headers)
        throttled = status == 429 or (
            status == 403 and (retry_after is not None or number_in(response.headers, *REMAINING) == 0)
        )
        if throttled:
            self._budget.refused()
            if retry_after is not None:
                self._budget.close_for(retry_after, self._now())
            return RateLimited(text, retry_after)
        if status in (401, 403):
            return AuthenticationError(text)
        if status in (404, 410):
            return NotFound(text)
        if status in (408, 425) or status >= 500:
            return Unavailable(text, retry_after)
        return UnexpectedResponse(text)

    def _retry_after(self, headers: httpx.Headers) -> float | None:
        return wait_in(headers.get("retry-after", ""), self._now() + self._skew_s)

    def _count_unreadable(self, items: int) -> None:
        self.traffic.unreadable += items
        unreadable.set(unreadable.get() + items)
