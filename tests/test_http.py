"""What `VendorHttp` does on a real socket, and on respx where no socket can misbehave so."""

from __future__ import annotations

import asyncio
import gzip
import json
import selectors
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import respx
from pydantic import BaseModel, RootModel

from runlake.errors import (
    AuthenticationError,
    NotFound,
    RateLimited,
    SourceError,
    Unavailable,
    UnexpectedResponse,
    Unreachable,
)
from runlake.http import Budget, HttpLimits, Login, VendorHttp, api_key, asked, bearer, path
from runlake.secret import Secret

SECRET = "s3cr3t/canary+token"
NOW = 1_790_000_000.0
ONCE = HttpLimits(attempts=1)


class Step(BaseModel):
    id: str


class Row(BaseModel):
    id: str
    steps: list[Step] = []


class Rows(BaseModel):
    runs: list[Row]
    note: str = ""


class Anything(RootModel[Any]):
    pass


# --- a vendor on a real socket ---------------------------------------------------------------------------------------


@dataclass
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Vendor:
    """Gives its answers in turn, the last one again and again. `b""` stands for: say nothing, ever."""

    port: int = 0
    scheme: str = "http"
    requests: list[Asked] = field(default_factory=list)
    connections: int = 0
    answers: list[bytes] = field(default_factory=list)
    talks: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        talk = asyncio.current_task()
        assert talk is not None
        self.talks.add(talk)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, target, _ = first.split(" ")
                self.requests.append(Asked(method, target, headers, body))
                given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not given:
                    await reader.read()
                    return
                writer.write(given)
                await writer.drain()
                if b"connection: close" in given.partition(b"\r\n\r\n")[0].lower():
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError, ssl.SSLError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def listening(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Vendor]:
    vendor = Vendor(answers=list(answers), scheme="https" if tls else "http")
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0, ssl=tls)
    vendor.port = server.sockets[0].getsockname()[1]
    async with server:
        yield vendor
        for talk in vendor.talks:
            talk.cancel()
        await asyncio.gather(*vendor.talks)


def answer(body: Any = None, status: int = 200, **headers: Any) -> bytes:
    """One HTTP/1.1 answer; a header named with `_` is sent with `-`, one that is "" is left out."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-length": str(len(content)), "content-type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in sent.items() if v)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def chunked(*parts: bytes, whole: bool = True, **headers: Any) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + (b"0\r\n\r\n" if whole else b"")
    if not whole:
        headers["connection"] = "close"
    head, _, _ = answer(b"", content_length="", transfer_encoding="chunked", **headers).partition(b"\r\n\r\n")
    return head + b"\r\n\r\n" + body


EMPTY: dict[str, Any] = {"runs": []}


class Sleeps(list[float]):
    """A sleep that only writes down how long it would have taken."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Secret:
    monkeypatch.setenv("RUNLAKE_TEST_SECRET", SECRET)
    return Secret(env="RUNLAKE_TEST_SECRET")


@pytest.fixture
def ask(token: Secret, sleeps: Sleeps) -> Callable[..., VendorHttp]:
    def build(base_url: str, **given: Any) -> VendorHttp:
        return VendorHttp(base_url, **{"sign": bearer(token), "sleep": sleeps, "now": lambda: NOW, **given})

    return build


Ask = Callable[..., VendorHttp]


async def refusal(ask: Ask, *answers: bytes, limits: HttpLimits = ONCE, into: Any = Rows) -> SourceError:
    """What a request that ends badly raises."""
    async with listening(*answers) as vendor, ask(vendor.url, limits=limits) as http:
        with pytest.raises(SourceError) as caught:
            await http.get("/runs", into=into)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
    return caught.value


# --- asking ----------------------------------------------------------------------------------------------------------


async def test_requests_share_one_connection_and_are_signed(ask: Ask) -> None:
    async with listening(answer(EMPTY)) as vendor, ask(vendor.url + "/api/v1/") as http:
        for number in (1, 2, 3):
            await http.get("/runs", into=Rows, page=number, state=None, tag=["a", "b"])
        assert vendor.connections == 1
        assert [r.target for r in vendor.requests][:2] == [
            "/api/v1/runs?page=1&tag=a&tag=b",
            "/api/v1/runs?page=2&tag=a&tag=b",
        ]
        assert vendor.requests[0].headers["authorization"] == f"Bearer {SECRET}"
        assert vendor.requests[0].headers["user-agent"].startswith("runlake/")
        assert asked.get() == "GET /api/v1/runs?page=3&tag=a&tag=b"
        assert http.traffic.requests == 3
        assert http.traffic.bytes == 3 * len(json.dumps(EMPTY))


async def test_a_key_goes_into_the_header_of_the_vendors_choice(ask: Ask, token: Secret) -> None:
    sign = api_key("X-Api-Key", token, {"X-Tenant": "acme"})
    async with listening(answer(EMPTY)) as vendor, ask(vendor.url, sign=sign) as http:
        await http.post("/search", json={"page": 1}, into=Rows)
    [request] = vendor.requests
    assert (request.method, request.body) == ("POST", b'{"page":1}')
    assert (request.headers["x-api-key"], request.headers["x-tenant"]) == (SECRET, "acme")


async def test_compressed_and_chunked_answers_are_read(ask: Ask) -> None:
    body = json.dumps({"runs": [{"id": "a"}] * 1000}).encode()
    packed = gzip.compress(body)
    given = chunked(packed[:50], packed[50:], content_encoding="gzip")
    async with listening(given) as vendor, ask(vendor.url) as http:
        assert len((await http.get("/runs", into=Rows)).runs) == 1000
        assert "gzip" in vendor.requests[0].headers["accept-encoding"]
        assert http.traffic.bytes == len(body)


async def test_a_vendors_link_keeps_its_query(ask: Ask) -> None:
    async with listening(answer(EMPTY)) as vendor, ask(vendor.url + "/api") as http:
        for link in (f"{vendor.url}/api/runs?cursor=x%2By", "/api/runs?cursor=x%2By"):
            await http.get(http.link(link), into=Rows, limit=5)
            assert vendor.requests[-1].target == "/api/runs?cursor=x%2By&limit=5"
            assert http.relative(link) == "/api/runs?cursor=x%2By"


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("../admin", "..%2Fadmin"),
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        ("50%", "50%25"),
        ("ü{}", "%C3%BC%7B%7D"),
        ("\r\nHost: evil", "%0D%0AHost%3A%20evil"),
        ("https://evil.example", "https%3A%2F%2Fevil.example"),
        ("scheduled__2026-01-01T00:00:00+00:00", "scheduled__2026-01-01T00%3A00%3A00%2B00%3A00"),
    ],
)
async def test_an_id_cannot_leave_its_segment(ask: Ask, part: str, sent: str) -> None:
    async with listening(answer(EMPTY)) as vendor, ask(vendor.url + "/v1") as http:
        await http.get(path("/runs/{}/steps", part), into=Rows)
    assert vendor.requests[0].target == f"/v1/runs/{sent}/steps"


# --- budget ----------------------------------------------------------------------------------------------------------


async def test_a_refusal_holds_back_every_source_of_the_owner(ask: Ask, sleeps: Sleeps) -> None:
    budget = Budget()
    async with (
        listening(answer({}, 429, retry_after="30"), answer(EMPTY)) as vendor,
        ask(vendor.url, budget=budget, limits=ONCE) as first,
        ask(vendor.url, budget=budget, limits=ONCE) as second,
    ):
        with pytest.raises(RateLimited):
            await first.get("/runs", into=Rows)
        await second.get("/runs", into=Rows)
        assert sleeps == [30.0]
        assert second.traffic.waited_s == 30.0


async def test_a_request_queued_behind_a_refused_one_waits_too(ask: Ask, sleeps: Sleeps) -> None:
    budget = Budget(concurrency=1)
    async with (
        listening(answer({}, 429, retry_after="30"), answer(EMPTY)) as vendor,
        ask(vendor.url, budget=budget, limits=ONCE) as http,
    ):
        refused, served = await asyncio.gather(
            http.get("/runs", into=Rows), http.get("/runs", into=Rows), return_exceptions=True
        )
        assert isinstance(refused, RateLimited)
        assert served == Rows(runs=[])
        assert sleeps == [30.0]


async def test_no_more_requests_are_under_way_than_the_owner_may_have(ask: Ask) -> None:
    under_way = most = 0

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _turn in range(20):
            await asyncio.sleep(0)
        under_way -= 1
        return httpx.Response(200, json=EMPTY)

    budget = Budget(concurrency=3)
    with respx.mock() as router:
        router.get("http://vendor/runs").mock(side_effect=slow)
        async with ask("http://vendor", budget=budget) as a, ask("http://vendor", budget=budget) as b:
            await asyncio.gather(*(http.get("/runs", into=Rows) for http in (a, b) for _ in range(8)))
    assert most == 3


async def test_refusals_lower_the_concurrency_and_good_answers_raise_it_again(ask: Ask) -> None:
    budget = Budget(concurrency=4)
    for _ in range(3):
        budget.refused()
    assert budget._slots == 1
    for _ in range(1000):
        budget.served()
    assert budget._slots == 4


class _Skipping(selectors.DefaultSelector):
    """Turns waiting into a jump of the loop's clock."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        # Never quite still: by a rounding a limiter may come back a hair too early, and would for ever.
        self.skipped += timeout if timeout and not ready else 1e-6
        return ready


# 600 an hour are 10 a minute, of which the first 10 may go at once; 30 an hour are one every two minutes.
@pytest.mark.parametrize(("per_hour", "least", "most"), [(600, 179, 200), (30, 39 * 120 - 1, 39 * 120 + 20)])
def test_the_pace_is_kept_by_all_clients_of_one_owner(token: Secret, per_hour: int, least: int, most: int) -> None:
    selector = _Skipping()
    loop = asyncio.SelectorEventLoop(selector)
    began = loop.time()
    loop.time = lambda: began + selector.skipped  # type: ignore[method-assign]

    async def spend() -> float:
        budget = Budget(per_hour=per_hour)
        with respx.mock() as router:
            router.get("http://vendor/runs").respond(json=EMPTY)
            async with (
                VendorHttp("http://vendor", bearer(token), budget=budget) as a,
                VendorHttp("http://vendor", bearer(token), budget=budget) as b,
            ):
                for _ in range(20):
                    await a.get("/runs", into=Rows)
                    await b.get("/runs", into=Rows)
        return loop.time() - began

    try:
        took = loop.run_until_complete(spend())
    finally:
        loop.close()
    assert least < took < most


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(NOW) + 40)}, [40.0]),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "40"}, [40.0]),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": str((int(NOW) + 40) * 1000)}, [40.0]),
        ({"ratelimit_remaining": "0", "ratelimit_reset": "7"}, [7.0]),
        ({"ratelimit_remaining": "1", "ratelimit_reset": "7"}, []),
        ({"x_ratelimit_remaining": "0"}, []),
        ({"x_ratelimit_remaining": "soon", "x_ratelimit_reset": "40"}, []),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "tomorrow"}, []),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(NOW) - 40)}, []),
    ],
)
async def test_a_used_up_quota_is_learned_from_good_answers(
    ask: Ask, sleeps: Sleeps, headers: dict[str, Any], waits: list[float]
) -> None:
    async with listening(answer(EMPTY, **headers)) as vendor, ask(vendor.url) as http:
        await http.get("/runs", into=Rows)
        await http.get("/runs", into=Rows)
    assert sleeps == waits


async def test_an_epoch_reset_is_counted_by_the_vendors_clock(ask: Ask, sleeps: Sleeps) -> None:
    slow = NOW - 600
    headers: dict[str, Any] = {
        "x_ratelimit_remaining": "0",
        "x_ratelimit_reset": str(int(slow) + 40),
        "date": format_datetime(datetime.fromtimestamp(slow, UTC), usegmt=True),
    }
    async with listening(answer(EMPTY, **headers), answer(EMPTY)) as vendor, ask(vendor.url) as http:
        await http.get("/runs", into=Rows)
        await http.get("/runs", into=Rows)
    assert sleeps == [40.0]


async def test_a_quota_gone_for_long_is_raised_before_asking(ask: Ask, sleeps: Sleeps) -> None:
    spent = answer(EMPTY, x_ratelimit_remaining="0", x_ratelimit_reset="3000")
    async with listening(spent) as vendor, ask(vendor.url) as http:
        await http.get("/runs", into=Rows)
        with pytest.raises(RateLimited) as caught:
            await http.get("/runs", into=Rows)
        assert len(vendor.requests) == 1
    assert caught.value.retry_after == 3000
    assert sleeps == []


@pytest.mark.parametrize("nonsense", ["999999999", "9" * 30, "inf", "1e300"])
async def test_a_nonsensical_reset_does_not_silence_an_owner_for_ever(ask: Ask, nonsense: str) -> None:
    budget = Budget()
    spent = answer(EMPTY, x_ratelimit_remaining="0", x_ratelimit_reset=nonsense)
    async with listening(spent) as vendor, ask(vendor.url, budget=budget) as http:
        await http.get("/runs", into=Rows)
    assert budget.wait_s(NOW + 24 * 3600) == 0


# --- trying again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor_is_off_by", [0, -900, 900])
async def test_retry_after_as_a_date_is_counted_by_the_clock_that_wrote_it(
    ask: Ask, sleeps: Sleeps, vendor_is_off_by: int
) -> None:
    theirs = NOW + vendor_is_off_by
    busy = answer(
        {},
        503,
        date=format_datetime(datetime.fromtimestamp(theirs, UTC), usegmt=True),
        retry_after=format_datetime(datetime.fromtimestamp(theirs + 20, UTC), usegmt=True),
    )
    async with listening(busy, answer(EMPTY)) as vendor, ask(vendor.url) as http:
        await http.get("/runs", into=Rows)
        assert http.skew is not None
        assert http.skew.total_seconds() == vendor_is_off_by
    assert len(sleeps) == 1
    assert 20 <= sleeps[0] <= 20.5


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_seconds_is_waited_to_the_second(ask: Ask, sleeps: Sleeps, status: int) -> None:
    async with listening(answer({}, status, retry_after="12"), answer(EMPTY)) as vendor, ask(vendor.url) as http:
        await http.get("/runs", into=Rows)
        assert http.traffic.retries == 1
    assert 12 <= sleeps[0] <= 12.5


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_beyond_patience_is_raised_and_not_waited(ask: Ask, sleeps: Sleeps, status: int) -> None:
    async with listening(answer({}, status, retry_after="3600")) as vendor, ask(vendor.url) as http:
        with pytest.raises((RateLimited, Unavailable)) as caught:
            await http.get("/runs", into=Rows)
        assert len(vendor.requests) == 1
    assert getattr(caught.value, "retry_after", None) == 3600
    assert sleeps == []


@pytest.mark.parametrize(
    "value", ["soon", "-5", "Fri, 31 Feb 2026 00:00:00 GMT", f"Mon, 01 Jan {'9' * 25} 00:00:00 GMT"]
)
async def test_an_unreadable_retry_after_counts_as_none(ask: Ask, value: str) -> None:
    error = await refusal(ask, answer({}, 429, retry_after=value, date=value))
    assert isinstance(error, RateLimited)
    assert error.retry_after is None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408, 425])
async def test_tries_are_bounded_in_count(ask: Ask, sleeps: Sleeps, status: int) -> None:
    async with listening(answer({}, status)) as vendor, ask(vendor.url, limits=HttpLimits(attempts=4)) as http:
        with pytest.raises(RateLimited if status == 429 else Unavailable):
            await http.get("/runs", into=Rows)
        assert len(vendor.requests) == 4
        assert http.traffic.retries == 3
    assert len(sleeps) == 3
    assert all(0 <= s <= 30 for s in sleeps)


async def test_tries_are_bounded_in_time(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(at=0.0)
    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=lambda: clock.at))

    async def sleep(seconds: float) -> None:
        clock.at += seconds

    limits = HttpLimits(attempts=10_000, retry_for_s=180)
    async with (
        listening(answer({}, 503, retry_after="25")) as vendor,
        ask(vendor.url, limits=limits, sleep=sleep) as http,
    ):
        with pytest.raises(Unavailable):
            await http.get("/runs", into=Rows)
    assert 180 <= clock.at <= 180 + 26


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 413, 415, 422, 451])
async def test_no_other_refusal_is_tried_again(ask: Ask, sleeps: Sleeps, status: int) -> None:
    async with listening(answer({}, status)) as vendor, ask(vendor.url) as http:
        with pytest.raises(SourceError):
            await http.get("/runs", into=Rows)
        assert len(vendor.requests) == 1
    assert sleeps == []


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (400, {}, UnexpectedResponse),
        (401, {}, AuthenticationError),
        (403, {}, AuthenticationError),
        (403, {"x_ratelimit_remaining": "12"}, AuthenticationError),
        (403, {"x_ratelimit_remaining": "0"}, RateLimited),
        (403, {"ratelimit_remaining": "0"}, RateLimited),
        (403, {"retry_after": "9"}, RateLimited),
        (404, {}, NotFound),
        (410, {}, NotFound),
        (408, {}, Unavailable),
        (422, {}, UnexpectedResponse),
        (425, {}, Unavailable),
        (429, {}, RateLimited),
        (500, {}, Unavailable),
        (503, {"retry_after": "9"}, Unavailable),
        (300, {}, UnexpectedResponse),
    ],
)
async def test_each_status_has_its_reaction(
    ask: Ask, status: int, headers: dict[str, Any], kind: type[SourceError]
) -> None:
    error = await refusal(ask, answer({"error": {"message": "not\ttoday\n"}}, status, **headers))
    assert type(error) is kind
    assert f"GET /runs: HTTP {status} (not today)" in str(error)
    assert getattr(error, "retry_after", None) == (9 if "retry_after" in headers else None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"detail": [{"loc": ["x"], "msg": "no such field"}]}', "no such field"),
        (b'{"errors": {"name": ["is blank"]}}', "name: is blank"),
        (b'"just text"', "just text"),
        (b"<html><body><h1>Bad  Gateway</h1></body></html>", "Bad Gateway"),
        (b"\x1b[31mred\x07", "red"),
        (b"x" * 100_000, "x" * 159 + "…"),
    ],
)
async def test_an_errors_body_is_quoted_on_one_short_line(ask: Ask, body: bytes, said: str) -> None:
    assert str(await refusal(ask, answer(body, 500))) == f"GET /runs: HTTP 500 ({said})"


async def test_a_refusal_stands_although_its_body_breaks_off(ask: Ask) -> None:
    cut = answer(b"{", 401, content_length="500", connection="close")
    assert type(await refusal(ask, cut)) is AuthenticationError
    garbled = answer(b"no gzip", 429, content_encoding="gzip", retry_after="5")
    assert type(await refusal(ask, garbled)) is RateLimited


# --- signing in ------------------------------------------------------------------------------------------------------


async def test_a_refused_login_token_is_renewed_once(ask: Ask, token: Secret) -> None:
    sign = Login("/token", "access_token", "ops", token)
    given = [{"access_token": "first-token"}, EMPTY, {}, {"access_token": "second-token"}, EMPTY]
    answers = [answer(body, 401 if body == {} else 200) for body in given]
    async with listening(*answers) as vendor, ask(vendor.url, sign=sign, limits=ONCE) as http:
        await http.get("/runs", into=Rows)
        await http.get("/runs", into=Rows)
    assert [r.target for r in vendor.requests] == ["/token", "/runs", "/runs", "/token", "/runs"]
    assert json.loads(vendor.requests[0].body) == {"username": "ops", "password": SECRET}
    assert "authorization" not in vendor.requests[0].headers
    assert [r.headers["authorization"] for r in vendor.requests if r.target == "/runs"] == [
        "Bearer first-token",
        "Bearer first-token",
        "Bearer second-token",
    ]


async def test_a_login_token_refused_twice_is_an_error_without_the_tokens(ask: Ask, token: Secret) -> None:
    sign = Login("/token", "access_token", "ops", token)
    answers = [
        answer({"access_token": "first-token"}),
        answer({}, 401),
        answer({"access_token": "second-token"}),
        answer({"message": f"bad first-token second-token {SECRET}"}, 401),
    ]
    async with listening(*answers) as vendor, ask(vendor.url, sign=sign) as http:
        with pytest.raises(AuthenticationError) as caught:
            await http.get("/runs", into=Rows)
        assert len(vendor.requests) == 4
    text = "".join(traceback.format_exception(caught.value))
    assert not [word for word in ("first-token", "second-token", SECRET) if word in text]


async def test_a_wrong_password_is_asked_once(ask: Ask, token: Secret) -> None:
    sign = Login("/token", "access_token", "ops", token)
    async with listening(answer({"detail": f"no: {SECRET}"}, 401)) as vendor, ask(vendor.url, sign=sign) as http:
        with pytest.raises(AuthenticationError) as caught:
            await http.get("/runs", into=Rows)
        assert len(vendor.requests) == 1
    assert str(caught.value) == "POST /token: HTTP 401 (no: [secret])"


async def test_many_requests_at_once_sign_in_once(ask: Ask, token: Secret) -> None:
    sign = Login("/token", "access_token", "ops", token)
    async with (
        listening(answer({"access_token": "t-o-k-e-n", "runs": []})) as vendor,
        ask(vendor.url, sign=sign) as http,
    ):
        await asyncio.gather(*(http.get("/runs", into=Rows) for _ in range(5)))
    assert [r.target for r in vendor.requests].count("/token") == 1


async def test_a_login_that_gives_no_token_is_a_changed_shape(ask: Ask, token: Secret) -> None:
    sign = Login("/token", "access_token", "ops", token)
    async with listening(answer({"access_token": None})) as vendor, ask(vendor.url, sign=sign) as http:
        with pytest.raises(UnexpectedResponse):
            await http.get("/runs", into=Rows)


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", range(120, 162))
async def test_a_secret_echoed_by_the_vendor_is_not_quoted_not_even_in_part(ask: Ask, lead: int) -> None:
    text = str(await refusal(ask, answer({"message": "x" * lead + SECRET}, 401)))
    assert not [n for n in range(4, len(SECRET)) if SECRET[:n] in text]


async def test_a_secret_in_any_other_message_is_redacted(ask: Ask) -> None:
    with respx.mock() as router:
        route = router.get("http://vendor/runs")
        async with ask("http://vendor", limits=ONCE) as http:
            route.mock(side_effect=httpx.LocalProtocolError(f"Illegal header value b'Bearer {SECRET}'"))
            with pytest.raises(Unavailable) as unsent:
                await http.get("/runs", into=Rows)
            assert str(unsent.value) == "cannot read from http://vendor: Illegal header value b'Bearer [secret]'"
            for link in (f"http://[{SECRET}", f"http://evil/?token={SECRET}", f"http://{SECRET}@evil/"):
                with pytest.raises(UnexpectedResponse) as strange:
                    http.link(link)
                assert SECRET not in "".join(traceback.format_exception(strange.value))
            assert http.redact("s3cr3t%2Fcanary%2Btoken") == "[secret]"


async def test_a_secret_echoed_in_an_answer_is_kept_out_of_what_is_stored(ask: Ask) -> None:
    body = json.dumps({"runs": [{"id": f"header was {SECRET}"}, {"id": "b"}]}).encode()
    async with listening(answer(body)) as vendor, ask(vendor.url) as http:
        assert [row.id for row in (await http.get("/runs", into=Rows)).runs] == ["header was [secret]", "b"]
    half = len(SECRET) // 2
    parts = f'[{{"id": "{SECRET[:half]}', f'{SECRET[half:]}"}}, {{"id": "{SECRET[:5]}"}}]'
    async with listening(chunked(*(part.encode() for part in parts))) as vendor, ask(vendor.url) as http:
        assert [row.id async for row in http.items("/runs", into=Row)] == ["[secret]", SECRET[:5]]


# --- connections that fail -------------------------------------------------------------------------------------------


async def test_silence_is_given_up_after_the_timeout(ask: Ask) -> None:
    limits = HttpLimits(attempts=1, timeout_s=0.05)
    assert str(await refusal(ask, b"", limits=limits)).endswith("/runs: no answer within 0.05 s")
    stalled = answer(b'{"runs": [', content_length="500")
    assert "no answer within" in str(await refusal(ask, stalled, limits=limits))


async def test_a_refused_connection_is_unavailable(ask: Ask) -> None:
    async with listening(answer(EMPTY)) as vendor:
        url = vendor.url
    async with ask(url, limits=ONCE) as http:
        with pytest.raises(Unreachable, match=r"cannot reach http://127\.0\.0\.1"):
            await http.get("/runs", into=Rows)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "a" * 70 + ".example"])
async def test_a_host_that_does_not_resolve_is_unavailable(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    def unknown(name: bytes | str, *_: object, **__: object) -> Any:
        (name if isinstance(name, str) else name.decode()).encode("idna")  # as the real one begins
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with ask(f"http://{host}", limits=ONCE) as http:
        with pytest.raises(Unavailable, match=f"cannot reach http://{host}"):
            await http.get("/runs", into=Rows)


SELF_SIGNED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWsn4dciAflIcBI9N
sljeatIJ+k8ztAyP+n5RGlhwYS2hRANCAAQ+DYITm/OzLYYwUQg584HlQrsXfYaj
Ybrs9LExBaWL7a7L912kGJ95vAtrPevaKRF1kaHmbZ6ElJtNHIjESpnB
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUaVNJfBJgJHqzLCRdapdLPEDkUBowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjA2NDUyM1oYDzIxMjYxMDI5
MDY0NTIzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQ+DYITm/OzLYYwUQg584HlQrsXfYajYbrs9LExBaWL7a7L912kGJ95
vAtrPevaKRF1kaHmbZ6ElJtNHIjESpnBo28wbTAdBgNVHQ4EFgQUkyUI/pRpxJx+
3z2qR8Fc8JJc1EIwHwYDVR0jBBgwFoAUkyUI/pRpxJx+3z2qR8Fc8JJc1EIwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgVKbHhk0Eu0mMYHKeewv6fxEjTQQFHiZosU/ZE+DW5hACIQC7
PR874q64iG8AYHrMGW1dISsfJL+eHV/Ocrsc448J7g==
-----END CERTIFICATE-----
"""
"""Made for this test alone: a certificate for localhost that nobody has signed but itself."""


async def test_a_certificate_that_does_not_verify_is_said_so_and_nothing_is_sent(ask: Ask, tmp_path: Path) -> None:
    pem = tmp_path / "self-signed.pem"
    pem.write_text(SELF_SIGNED)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    async with listening(answer(EMPTY), tls=tls) as vendor, ask(vendor.url, limits=ONCE) as http:
        with pytest.raises(Unavailable) as caught:
            await http.get("/runs", into=Rows)
        assert vendor.requests == []
    assert str(caught.value) == (
        f"cannot reach {vendor.url}: its TLS certificate does not verify (self-signed certificate)"
    )


def _lower_errors(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from _lower_errors(sub)


LOWER = {e for base in (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) for e in _lower_errors(base)}


@pytest.mark.parametrize("lower", sorted(LOWER, key=str), ids=lambda e: str(e.__name__))
@pytest.mark.parametrize("where", ["before the answer", "within it"])
async def test_nothing_of_httpx_leaves_the_client(ask: Ask, lower: type[Exception], where: str) -> None:
    request = httpx.Request("GET", "http://vendor/runs")
    raised: Exception
    if issubclass(lower, httpx.HTTPStatusError):
        raised = lower("boo", request=request, response=httpx.Response(500))
    else:
        try:
            raised = lower("boo")
        except TypeError:
            raised = lower()

    async def breaking() -> AsyncIterator[bytes]:
        yield b"["
        raise raised

    with respx.mock() as router:
        route = router.get("http://vendor/runs")
        if where == "within it":
            route.mock(side_effect=lambda _: httpx.Response(200, stream=_Stream(breaking())))
        else:
            route.mock(side_effect=raised)
        async with ask("http://vendor", limits=ONCE) as http:
            with pytest.raises(UnexpectedResponse if lower is httpx.InvalidURL else Unavailable):
                await http.get("/runs", into=Rows)
            with pytest.raises(UnexpectedResponse if lower is httpx.InvalidURL else Unavailable):
                [_ async for _ in http.items("/runs", into=Row)]


class _Stream(httpx.AsyncByteStream):
    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk


# --- bodies that are wrong -------------------------------------------------------------------------------------------

SMALL = HttpLimits(attempts=1, body_bytes=1024 * 1024)
BIG = b'{"runs": [], "note": "' + b"x" * 2_000_000 + b'"}'


@pytest.mark.parametrize(
    "given",
    [answer(BIG), chunked(BIG), answer(gzip.compress(BIG), content_encoding="gzip")],
    ids=["content-length", "chunked", "gzip bomb"],
)
async def test_an_answer_beyond_the_cap_is_cut_off(ask: Ask, given: bytes) -> None:
    error = await refusal(ask, given, limits=SMALL)
    assert type(error) is UnexpectedResponse
    assert str(error) == "GET /runs: the answer is larger than 1 MiB and was cut off"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (answer(b"<!doctype html><h1>Maintenance</h1>", content_type="text/html"), "an HTML page came instead"),
        (answer(b'{"runs": [{"id": "a"'), "breaks off or is not JSON"),
        (answer(b'{"runs": [', content_length="5000", connection="close"), "cannot read from"),
        (chunked(b'{"runs": [', whole=False), "cannot read from"),
        (answer(b"not gzip", content_encoding="gzip"), "cannot read from"),
        (answer(b""), "the answer is empty"),
        (answer(b" \n"), "the answer is empty"),
        (answer(b'{"runs": [], "note": "\xff\xfe"}'), "is not JSON"),
        (answer(b"", 204, content_length=""), "the answer is empty"),
        (b"220 smtp ready\r\n\r\n", "cannot read from"),
    ],
)
async def test_an_answer_that_is_not_whole_json_is_worth_another_try(ask: Ask, given: bytes, said: str) -> None:
    error = await refusal(ask, given)
    assert type(error) is Unavailable
    assert said in str(error)
    async with listening(given, answer(EMPTY)) as vendor, ask(vendor.url) as http:
        assert await http.get("/runs", into=Rows) == Rows(runs=[])


@pytest.mark.parametrize(
    "body", [{"unexpected": True}, {"runs": {}}, {"runs": None}, [], None, 7, {"runs": [], "note": 1}]
)
async def test_a_changed_shape_is_said_so(ask: Ask, body: Any) -> None:
    error = await refusal(ask, answer(body))
    assert type(error) is UnexpectedResponse
    assert "the answer's shape has changed" in str(error)


@pytest.mark.parametrize("depth", [150, 400, 5000, 200_000])
async def test_a_deeply_nested_answer_ends_no_process(ask: Ask, depth: int) -> None:
    body = b'{"runs": [], "deep": ' + b"[" * depth + b"]" * depth + b"}"
    async with listening(answer(body)) as vendor, ask(vendor.url, limits=ONCE) as http:
        try:
            assert await http.get("/runs", into=Rows) == Rows(runs=[])
        except SourceError:
            assert depth > 150


# --- rows that are wrong ---------------------------------------------------------------------------------------------


async def read(ask: Ask, body: Any, into: Any = Rows) -> tuple[Any, int]:
    async with listening(answer(body)) as vendor, ask(vendor.url, limits=ONCE) as http:
        return await http.get("/runs", into=into), http.traffic.unreadable


async def test_a_bad_row_is_left_out_and_counted(ask: Ask) -> None:
    rows: list[Any] = [{"id": "a"}, {"id": None}, {}, {"id": "b"}, "row", {"id": "c", "steps": [{"id": "s"}]}]
    assert await read(ask, {"runs": rows}) == (
        Rows(runs=[Row(id="a"), Row(id="b"), Row(id="c", steps=[Step(id="s")])]),
        3,
    )


async def test_a_bad_step_costs_only_itself(ask: Ask) -> None:
    steps: list[Any] = [{"id": "1"}, {"id": 2}, {"id": "3"}, None]
    page, dropped = await read(ask, {"runs": [{"id": "a", "steps": steps}, {"id": "b", "steps": [{}]}]})
    assert [[step.id for step in run.steps] for run in page.runs] == [["1", "3"], []]
    assert dropped == 3


async def test_a_row_bad_in_itself_and_in_its_steps_is_left_out_whole(ask: Ask) -> None:
    page, _ = await read(ask, {"runs": [{"id": None, "steps": [{}, {}]}, {"id": "b"}]})
    assert [run.id for run in page.runs] == ["b"]


async def test_a_bare_array_loses_only_its_bad_rows(ask: Ask) -> None:
    assert await read(ask, [{"id": "a"}, {}, {"id": "b"}], into=list[Row]) == ([Row(id="a"), Row(id="b")], 1)


async def test_a_lone_surrogate_costs_nothing_but_itself(ask: Ask) -> None:
    body = rb'{"runs": [{"id": "a\ud83d"}, {"id": "b"}, {"id": 7}], "note": "\ude00 \ud83d\ude00"}'
    page, dropped = await read(ask, body)
    assert ([run.id for run in page.runs], page.note, dropped) == (["a?", "b"], "? 😀", 1)


# --- staying on the configured host ----------------------------------------------------------------------------------


async def test_a_redirect_on_the_same_host_is_followed_signed(ask: Ask) -> None:
    for location, lands in [
        ("/elsewhere?x=1", "/elsewhere?x=1"),
        ("runs/", "/api/v1/runs/"),
        ("?page=2", "/api/v1/runs?page=2"),
    ]:
        async with (
            listening(answer({}, 307, location=location), answer(EMPTY)) as vendor,
            ask(vendor.url + "/api/v1") as http,
        ):
            await http.get("/runs", into=Rows)
            assert vendor.requests[1].target == lands
            assert vendor.requests[1].headers["authorization"] == f"Bearer {SECRET}"
    async with listening(answer(EMPTY)) as vendor, ask(vendor.url) as http:
        vendor.answers.insert(0, answer({}, 301, location=f"{vendor.url}/moved"))
        await http.get("/runs", into=Rows)
        assert vendor.requests[1].target == "/moved"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host_is_refused_and_reaches_nobody(ask: Ask, status: int) -> None:
    async with listening(answer(EMPTY)) as other:
        for location in (f"{other.url}/runs", f"//127.0.0.1:{other.port}/runs", f"http://localhost:{other.port}/"):
            error = await refusal(ask, answer({}, status, location=location))
            assert type(error) is UnexpectedResponse
            assert "points to another host" in str(error)
    assert other.connections == 0


async def test_redirects_in_a_circle_end(ask: Ask) -> None:
    assert type(await refusal(ask, answer({}, 302, location="/runs"))) is UnexpectedResponse


@pytest.mark.parametrize("location", ["", "http://[", "http://h:99999999/"])
async def test_a_redirect_to_nowhere_is_an_error(ask: Ask, location: str) -> None:
    async with listening(answer({}, 302, location=location)) as vendor, ask(vendor.url, limits=ONCE) as http:
        with pytest.raises(UnexpectedResponse):
            await http.get("/runs", into=Rows)
        assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    "link",
    [
        "http://{other}/runs",
        "//{other}/runs",
        "https://{self}/runs",
        "http://{self}@{other}/runs",
        "http://{self}.evil.example/",
        "ftp://{self}/",
        "javascript:alert(1)",
        "http://[::1",
        "http://{self}:x/",
    ],
)
async def test_a_link_to_another_host_is_refused_and_reaches_nobody(ask: Ask, link: str) -> None:
    async with (
        listening(answer(EMPTY)) as other,
        listening(answer(EMPTY)) as vendor,
        ask(vendor.url, limits=ONCE) as http,
    ):
        url = link.format(other=f"127.0.0.1:{other.port}", self=f"127.0.0.1:{vendor.port}")
        with pytest.raises(UnexpectedResponse):
            await http.get(http.link(url), into=Rows)
        if "://" in url:
            with pytest.raises(UnexpectedResponse):
                await http.get(url, into=Rows)
        assert other.connections == 0
        assert vendor.connections == 0


@pytest.mark.parametrize("continued", [".evil.example/runs", "@evil.example/runs", "0/runs", ":1/runs", "evil"])
async def test_a_path_cannot_continue_the_host_name(ask: Ask, continued: str) -> None:
    async with listening(answer(EMPTY)) as vendor, ask(vendor.url, limits=ONCE) as http:
        with respx.mock(assert_all_called=False) as router:
            anywhere = router.route().respond(json=EMPTY)
            with pytest.raises(UnexpectedResponse):
                await http.get(continued, into=Rows)
            assert not anywhere.called


# --- bare arrays, one item at a time ---------------------------------------------------------------------------------


async def test_items_arrive_while_the_answer_is_still_under_way(ask: Ask) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b"["
        for number in range(1_000_000):
            sent += 1
            yield b'{"id": "%d"},' % number

    with respx.mock() as router:
        router.get("http://vendor/runs").mock(side_effect=lambda _: httpx.Response(200, stream=_Stream(endless())))
        async with ask("http://vendor") as http, aclosing(cast(Any, http.items("/runs", into=Row))) as items:
            got = [(await anext(items)).id for _ in range(3)]
    assert got == ["0", "1", "2"]
    assert sent == 3


@pytest.mark.parametrize("body", [b"[]", b" \n[ ]\n"])
async def test_an_empty_array_has_no_items(ask: Ask, body: bytes) -> None:
    async with listening(answer(body)) as vendor, ask(vendor.url) as http:
        assert [item async for item in http.items("/runs", into=Row)] == []


async def test_an_array_may_begin_with_a_chunk_of_blanks(ask: Ask) -> None:
    async with listening(chunked(b" ", b"\n", b'[{"id": "a"}', b"]")) as vendor, ask(vendor.url, limits=ONCE) as http:
        assert [item.id async for item in http.items("/runs", into=Row)] == ["a"]


async def test_bad_items_are_left_out_and_counted(ask: Ask) -> None:
    body = rb'[{"id": "a"}, {}, null, {"id": 5}, {"id": "\ud83d"}, {"id": "b", "steps": [{"id": "s"}]}]'
    async with listening(answer(body)) as vendor, ask(vendor.url, limits=ONCE) as http:
        ids = [item.id async for item in http.items("/runs", into=Row)]
    assert (ids[0], ids[-1], len(ids)) == ("a", "b", 3)
    assert http.traffic.unreadable == 3


async def test_a_cut_array_is_asked_for_again(ask: Ask, sleeps: Sleeps) -> None:
    cut = chunked(b'[{"id": "a"},', whole=False)
    whole = answer([{"id": "a"}, {"id": "b"}])
    short = answer(b'[{"id": "a"}, {"id"')
    async with listening(cut, short, whole) as vendor, ask(vendor.url) as http:
        assert [item.id async for item in http.items("/runs", into=Row)][-2:] == ["a", "b"]
        assert http.traffic.retries == len(sleeps) == 2


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"  ", b'{"unexpected": true}', b'[{"id": "a"} {"id": "b"}]', b'["\xff"]']
)
async def test_what_is_no_array_is_refused_as_unavailable(ask: Ask, body: bytes) -> None:
    async with listening(answer(body)) as vendor, ask(vendor.url, limits=ONCE) as http:
        with pytest.raises(Unavailable):
            [_ async for _ in http.items("/runs", into=Row)]


async def test_a_deeply_nested_array_ends_no_process(ask: Ask) -> None:
    body = b'[{"id": "a", "deep": ' + b"[" * 1000 + b"]" * 1000 + b"}]"
    async with listening(answer(body)) as vendor, ask(vendor.url, limits=ONCE) as http:
        assert [item.id async for item in http.items("/runs", into=Row)] == ["a"]


async def test_an_endless_array_is_cut_off(ask: Ask) -> None:
    limits = HttpLimits(attempts=1, stream_bytes=1024 * 1024)
    async with listening(answer([{"id": "x" * 1000}] * 2000)) as vendor, ask(vendor.url, limits=limits) as http:
        with pytest.raises(UnexpectedResponse, match="larger than 1 MiB"):
            [_ async for _ in http.items("/runs", into=Row)]


async def test_a_request_made_while_a_stream_is_open_is_served(ask: Ask) -> None:
    """As when a run's steps are asked for while the list of runs still arrives."""
    listed = answer([{"id": "a"}, {"id": "b"}])
    async with listening(listed, answer(EMPTY)) as vendor, ask(vendor.url, budget=Budget(concurrency=1)) as http:
        async with asyncio.timeout(5):
            async for item in http.items("/runs", into=Row):
                await http.get(path("/runs/{}", item.id), into=Rows)
    assert [r.target for r in vendor.requests] == ["/runs", "/runs/a", "/runs/b"]


async def test_a_stream_may_be_left_early_by_another_task(ask: Ask) -> None:
    budget = Budget(concurrency=1)
    listed = answer([{"id": "a"}, {"id": "b"}])
    async with listening(listed, answer(EMPTY)) as vendor, ask(vendor.url, budget=budget) as http:
        items = http.items("/runs", into=Row)
        assert (await anext(items)).id == "a"
        await asyncio.create_task(items.aclose())  # type: ignore[attr-defined]
        async with asyncio.timeout(5):
            await http.get("/runs", into=Rows)
    assert http.traffic.retries == 0


async def test_an_answer_that_drips_is_given_up(ask: Ask) -> None:
    text = str(await refusal(ask, answer({"runs": []}), limits=HttpLimits(attempts=1, answer_s=0)))
    assert text.endswith("/runs: the answer was not whole after 0 s")
