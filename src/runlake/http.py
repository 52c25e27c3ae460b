"""The only importer of httpx: signing, budget, retry, caps and redaction for one source's requests.

What a connector gets is `VendorHttp`. Every way in which an exchange can end badly becomes one of the errors of
`errors.py`; nothing of httpx leaves this file. A request goes to the configured origin (scheme, host, port) or nowhere:
absolute links and redirects to any other are refused before a byte is sent.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import quote

import anyio
import httpx
import ijson
from aiolimiter import AsyncLimiter
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
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
)
from runlake.secret import Secret

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


def path(template: str, *parts: str | int) -> str:
    """`path("/runs/{}", id)`: fills in vendor ids so that none can climb out of its segment."""
    return template.format(*(_segment(str(part)) for part in parts))


def _segment(part: str) -> str:
    quoted = quote(part, safe="")
    return quoted.replace(".", "%2E") if part in (".", "..") else quoted


# --- signing ---------------------------------------------------------------------------------------------------------


class Sign(Protocol):
    """How a source's requests are signed."""

    async def headers(self, http: VendorHttp) -> Mapping[str, str]: ...

    def renew(self) -> bool:
        """The vendor refused the last signature. True where asking `headers` again may give another."""
        ...

    def secrets(self) -> list[str]:
        """The values to keep out of every message."""
        ...


class _Fixed:
    def __init__(self, headers: Mapping[str, tuple[str, Secret]], plain: Mapping[str, str]) -> None:
        self._headers, self._plain = headers, plain

    async def headers(self, http: VendorHttp) -> Mapping[str, str]:
        return {**self._plain, **{name: prefix + secret.reveal() for name, (prefix, secret) in self._headers.items()}}

    def renew(self) -> bool:
        return False

    def secrets(self) -> list[str]:
        return [secret.reveal() for _, secret in self._headers.values()]


def bearer(token: Secret, **plain: str) -> Sign:
    """`Authorization: Bearer <token>`, with further headers that are no secret."""
    return _Fixed({"Authorization": ("Bearer ", token)}, plain)


def api_key(header: str, key: Secret, plain: Mapping[str, str] | None = None) -> Sign:
    """The bare key in a header of the vendor's choice."""
    return _Fixed({header: ("", key)}, plain or {})


class Login:
    """A bearer token that the vendor hands out for a user name and password, asked for again when it is refused."""

    def __init__(self, path: str, token_field: str, username: str, password: Secret) -> None:
        self._path, self._token_field = path, token_field
        self._username, self._password = username, password
        self._token: str | None = None
        self._refused = ""
        self._one_login = asyncio.Lock()

    async def headers(self, http: VendorHttp) -> Mapping[str, str]:
        async with self._one_login:
            if self._token is None:
                body = {"username": self._username, "password": self._password.reveal()}
                answer = await http.post(self._path, json=body, into=dict[str, Any], signed=False)
                token = answer.get(self._token_field)
                if not isinstance(token, str) or not token:
                    raise UnexpectedResponse(f"POST {self._path} gave no {self._token_field!r}")
                self._token = token
        return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> bool:
        self._refused, self._token = self._token or self._refused, None
        return True

    def secrets(self) -> list[str]:
        return [self._password.reveal(), self._token or "", self._refused]


# --- budget ----------------------------------------------------------------------------------------------------------


class Budget:
    """What one owner of credentials may spend at a vendor, shared by all sources that use them.

    Two limits: a configured pace (`per_hour`), and what the vendor says in its answers (`Retry-After`, and the
    `RateLimit-*` / `X-RateLimit-*` families), which holds back every request of the owner, not just the one told off.
    """

    def __init__(self, per_hour: float | None = None, concurrency: int = 8) -> None:
        # A minute's worth at a time: smooth enough not to spend an hour's quota in one burst.
        self._pace = AsyncLimiter(max(1.0, per_hour / 60), 60) if per_hour else None
        self._most = concurrency
        self._slots = anyio.CapacityLimiter(concurrency)
        self._good = 0
        self._closed_until = 0.0
        self.remaining: float | None = None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Callable[[], None]]:
        """Room for one request, given back at the end or, by calling what this gives, before."""
        if self._pace is not None:
            await self._pace.acquire()
        # Not on behalf of the task: one task may have a stream open and ask for something else meanwhile.
        holder = object()
        await self._slots.acquire_on_behalf_of(holder)
        held = True

        def give_back() -> None:
            nonlocal held
            if held:
                self._slots.release_on_behalf_of(holder)
            held = False

        try:
            yield give_back
        finally:
            give_back()

    def wait_s(self, now: float) -> float:
        """Seconds until the vendor wants to hear from this owner again."""
        return max(0.0, self._closed_until - now)

    def close_for(self, seconds: float, now: float) -> None:
        # A day at most: a header that means something else must not silence an owner for ever.
        self._closed_until = max(self._closed_until, now + min(seconds, 86_400))

    def refused(self) -> None:
        self._good = 0
        self._slots.total_tokens = max(1, int(self._slots.total_tokens) // 2)

    def served(self) -> None:
        self._good += 1
        if self._good >= 50 and self._slots.total_tokens < self._most:
            self._good = 0
            self._slots.total_tokens += 1

    def learn(self, headers: httpx.Headers, now: float, skew_s: float = 0.0) -> None:
        remaining = _number(headers, *_REMAINING)
        if remaining is None:
            return
        self.remaining = remaining
        reset = _number(headers, "x-ratelimit-reset", "ratelimit-reset")
        if remaining <= 0 and reset is not None:
            # An instant (GitHub: epoch seconds by its own clock; others: milliseconds) or seconds from now (the IETF
            # draft): no quota window is 30 years long.
            if reset > 100_000_000_000:
                reset /= 1000
            self.close_for(reset - (now + skew_s) if reset > 1_000_000_000 else reset, now)


_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining")


def _number(headers: httpx.Headers, *names: str) -> float | None:
    for name in names:
        try:
            return float(headers[name])
        except (KeyError, ValueError):
            continue
    return None


# --- the client ------------------------------------------------------------------------------------------------------


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
        budget: Budget | None = None,
        limits: HttpLimits | None = None,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._base = httpx.URL(base_url.rstrip("/"))
        self._sign = sign
        self._budget = budget or Budget()
        self._limits = limits or HttpLimits()
        self._sleep, self._now = sleep, now
        self.traffic = Traffic()
        self.skew: timedelta | None = None
        """The vendor's clock less ours, from the last `Date` header, which counts whole seconds."""
        self._client = httpx.AsyncClient(
            http2=True,
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
            text = _clean(self.redact(url), 80)
            raise UnexpectedResponse(f"{self._base.host} gave a link that is no URL: {text}") from None
        if not _same_origin(target, self._base):
            raise UnexpectedResponse(
                f"{self._base.host} points to another host, {_clean(_origin(target), 80)}; runlake asks only the "
                "configured base_url"
            )
        return str(target)

    def relative(self, url: str) -> str:
        """The path and query of an approved link: fit to be stored and given to `link` again."""
        return httpx.URL(self.link(url)).raw_path.decode("ascii")

    def redact(self, text: str) -> str:
        for form in self._secret_forms():
            text = text.replace(form, "[secret]")
        return text

    def _secret_forms(self) -> set[str]:
        """Each secret as it may be written: plain, in a URL, in JSON. Too short ones would redact ordinary words."""
        return {
            form
            for secret in self._sign.secrets()
            for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
            if len(form) >= 4
        }

    def _without_secrets(self, content: bytes) -> bytes:
        """A vendor may echo what it was sent: kept from there, a secret would end up in the database."""
        for form in self._secret_forms():
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
        return self._parse(content, into, f"{method} {response.request.url.path}")

    async def _stream(self, path: str, into: type[T], params: Mapping[str, Param]) -> AsyncIterator[T]:
        adapter = _adapter(into)
        async with self._open("GET", path, params, None, signed=True, keep_slot=False) as response:
            where = f"GET {response.request.url.path}"
            found: list[Any] = ijson.sendable_list()
            parser = ijson.items_coro(found, "item", use_float=True)
            begun = False
            try:
                async for chunk in self._scrubbed(self._chunks(response, self._limits.stream_bytes)):
                    if not begun and (start := chunk.lstrip()):
                        if not start.startswith(b"["):
                            raise _not_json(where, chunk)
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
        beginnings = [form[:end].encode() for form in self._secret_forms() for end in range(1, len(form))]
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
            async with self._budget.slot() as give_back:
                # Once it is our turn, not before: a request ahead in the queue may have been told to slow down.
                await self._wait_for_budget(method, url)
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
        except httpx.TimeoutException:
            raise Unavailable(f"{method} {url.host}{url.path}: no answer within {self._limits.timeout_s:g} s") from None
        except httpx.InvalidURL as error:
            raise UnexpectedResponse(f"{method} {url.path}: {error}") from None
        except (httpx.HTTPError, httpx.StreamError, UnicodeError) as error:  # the last: a host no resolver can be asked
            raise Unavailable(f"cannot read from {_origin(url)}: {_clean(self.redact(_cause(error)))}") from None

    async def _wait_for_budget(self, method: str, url: httpx.URL) -> None:
        seconds = self._budget.wait_s(self._now())
        if seconds > self._limits.patience_s:
            raise RateLimited(f"{method} {url.path}: the vendor's quota is used up for {seconds:.0f} s", seconds)
        if seconds:
            await self._wait(seconds)

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
            date = parsedate_to_datetime(response.headers["date"])
            self.skew = timedelta(seconds=round(_utc(date).timestamp() - self._now()))
        self._budget.learn(response.headers, self._now(), self._skew_s)

    @property
    def _skew_s(self) -> float:
        return self.skew.total_seconds() if self.skew else 0.0

    async def _chunks(self, response: httpx.Response, most: int) -> AsyncIterator[bytes]:
        size = 0
        async with self._translating(response.request.method, response.request.url):
            async for chunk in response.aiter_bytes():
                size += len(chunk)
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
        reason = _clean(self.redact(_reason(body)))
        text = f"{response.request.method} {response.request.url.path}: HTTP {status}" + (
            f" ({reason})" if reason else ""
        )
        retry_after = self._retry_after(response.headers)
        throttled = status == 429 or (
            status == 403 and (retry_after is not None or _number(response.headers, *_REMAINING) == 0)
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
        """Seconds to wait, from either form of Retry-After (RFC 9110 section 10.2.3)."""
        value = headers.get("retry-after", "").strip()
        if not value:
            return None
        if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
            return float(value)
        try:
            until = _utc(parsedate_to_datetime(value)).timestamp()
        except (ValueError, OverflowError):
            return None
        # Counted by the clock that wrote it, which may be minutes off ours.
        return max(0.0, until - (self._now() + self._skew_s))

    def _parse(self, content: bytes, into: type[T], where: str) -> T:
        adapter = _adapter(into)
        try:
            return adapter.validate_json(content)
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] == "json_invalid":
                content = _repaired(content, where)
                try:
                    return adapter.validate_json(content)
                except ValidationError as again:
                    error = again
            value, dropped = _without_bad_items(adapter, content, error, where)
            self._count_unreadable(dropped)
            return value

    def _count_unreadable(self, items: int) -> None:
        self.traffic.unreadable += items
        unreadable.set(unreadable.get() + items)


def _adapter(into: type[T]) -> TypeAdapter[T]:
    return cast(TypeAdapter[T], _cached_adapter(cast(Hashable, into)))


@cache
def _cached_adapter(into: Any) -> TypeAdapter[Any]:
    return TypeAdapter(into)


def _without_bad_items(adapter: TypeAdapter[T], content: bytes, error: ValidationError, where: str) -> tuple[T, int]:
    """The answer less the innermost list items that do not validate. One bad row must not cost its page."""
    try:
        data: Any = from_json(content)
    except ValueError:  # nested deeper than the parser goes
        raise UnexpectedResponse(f"{where}: {_problem(error)}") from None
    dropped = 0
    for _ in range(3):  # leaving out a step may show that its run is bad too
        bad: set[tuple[int | str, ...]] = set()
        for problem in error.errors(include_url=False, include_input=False):
            place = problem["loc"]
            last_index = max((i for i, part in enumerate(place) if isinstance(part, int)), default=None)
            if last_index is None:
                raise UnexpectedResponse(f"{where}: {_problem(error)}") from None
            bad.add(place[: last_index + 1])
        for place in sorted(bad, key=lambda p: (len(p), p[-1]), reverse=True):
            try:
                holder = data
                for part in place[:-1]:
                    holder = holder[part]
                del holder[place[-1]]
            except (KeyError, IndexError, TypeError):
                raise UnexpectedResponse(f"{where}: {_problem(error)}") from None
        dropped += len(bad)
        try:
            return adapter.validate_json(to_json(data)), dropped
        except ValidationError as again:
            error = again
    raise UnexpectedResponse(f"{where}: {_problem(error)}")


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"the answer's shape has changed: {place or 'it'}: {first['msg'].lower()}"


def _repaired(content: bytes, where: str) -> bytes:
    """JSON that the strict parser refuses but Python's reads: lone surrogates, which one row's text may hold."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise _not_json(where, content) from None
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")


def _not_json(where: str, content: bytes) -> Unavailable:
    if content.lstrip()[:1] == b"<":
        return Unavailable(f"{where}: an HTML page came instead of JSON (maintenance, or a wrong base_url)")
    if not content.strip():
        return Unavailable(f"{where}: the answer is empty")
    return Unavailable(f"{where}: the answer breaks off or is not JSON")


def _reason(body: bytes) -> str:
    """What the vendor says went wrong: the first text under the keys that error envelopes use, else the body's head."""
    try:
        found = _say(from_json(body))
    except ValueError:
        text = body.decode("utf-8", "replace")
        found = re.sub(r"<[^>]*>", " ", text) if text.lstrip().startswith("<") else text
    return found


def _say(data: Any) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, list):
        return _say(data[0]) if data else ""
    if isinstance(data, dict):
        for key in ("message", "detail", "error", "msg", "title", "reason", "errors"):
            if data.get(key):
                return _say(data[key])
        return ", ".join(f"{key}: {_say(value)}" for key, value in list(data.items())[:3] if _say(value))
    return ""


def _clean(text: str, most: int = 160) -> str:
    """Vendor text fit for one line of a terminal: no control characters, no runs of blanks, bounded."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: most * 8]).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _cause(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        why = re.sub(r"^.*verify failed: | \(_ssl\.c:\d+\)$", "", text)
        return f"its TLS certificate does not verify ({why})"
    return text


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _same_origin(a: httpx.URL, b: httpx.URL) -> bool:
    ports = {"http": 80, "https": 443}
    return (a.scheme, a.host, a.port or ports.get(a.scheme)) == (b.scheme, b.host, b.port or ports.get(b.scheme))


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
