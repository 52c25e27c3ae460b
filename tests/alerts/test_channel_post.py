"""One POST to an address that the user wrote: what comes back of it, and what does not."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from importlib import import_module
from urllib.parse import quote

import pytest
import trustme

from alerts.receivers import Answer, Recorder, recording
from runlake.errors import DeliveryError
from runlake.http import ping, post

TOKEN = 'T0K/EN+canary"7f3a'


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as made:
        yield made


async def refused(url: str, *secrets: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await post(url, b"{}", {}, secrets)
    return caught.value


async def test_what_is_sent_arrives(recorder: Recorder) -> None:
    await post(f"{recorder.url}/in?a=b", b'{"x": 1}', {"Content-Type": "application/json"})
    (got,) = recorder.messages
    assert (got.path, got.body, got.headers["content-type"]) == ("/in?a=b", b'{"x": 1}', "application/json")
    assert got.headers["user-agent"].startswith("runlake/")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_another_time_may_mend_is_worth_one(recorder: Recorder, status: int) -> None:
    recorder.usual = Answer(status=status, body=b'{"message": "not now"}')
    error = await refused(recorder.url)
    assert error.again
    assert str(error) == f"its host answers HTTP {status} (not now)"
    assert len(recorder.messages) == 1, "trying again is for the outbox, which has a memory"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
async def test_what_no_time_mends_is_not(recorder: Recorder, status: int) -> None:
    recorder.usual = Answer(status=status)
    error = await refused(recorder.url)
    assert not error.again
    assert str(error) == f"its host answers HTTP {status}"


async def test_the_wait_that_the_host_asks_for_is_told(recorder: Recorder) -> None:
    recorder.usual = Answer(status=429, headers={"Retry-After": "17"})
    assert (await refused(recorder.url)).retry_after == 17
    # By its own clock, which is years behind ours. It answers a date besides the one of the server here.
    dates = {"Date": "Wed, 01 Jan 2020 00:00:00 GMT", "Retry-After": "Wed, 01 Jan 2020 00:01:00 GMT"}
    recorder.usual = Answer(status=503, headers=dates, dated=False)
    assert (await refused(recorder.url)).retry_after == 60
    recorder.usual = Answer(status=503, headers={"Retry-After": "soon"})
    assert (await refused(recorder.url)).retry_after is None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_and_not_told(recorder: Recorder, status: int) -> None:
    with recording() as other:
        recorder.usual = Answer(status=status, headers={"Location": f"{other.url}/{quote(TOKEN, safe='')}"})
        error = await refused(recorder.url)
        assert not error.again
        assert f"HTTP {status}, a redirect" in str(error) and "canary" not in str(error)
        assert other.messages == []


async def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with recording(context) as unknown:
        error = await refused(unknown.url)
        assert error.again
        assert "its TLS certificate does not verify" in str(error)
        assert unknown.messages == []


async def test_an_answer_that_is_lost_leaves_the_message_to_be_sent_again(recorder: Recorder) -> None:
    recorder.answers = [Answer(lost=True)]
    assert (await refused(recorder.url)).again
    assert len(recorder.messages) == 1
    assert not recorder.messages[0].taken


async def test_a_host_that_is_not_there_is_worth_another_try() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        error = await refused(f"http://127.0.0.1:{nobody.getsockname()[1]}/{TOKEN}")
    assert error.again
    assert "cannot reach its host" in str(error)


async def test_a_host_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("runlake.http.post"), "DEADLINE_S", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error = await refused(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert error.again
    assert "did not answer within 0.05 s" in str(error)


@pytest.mark.parametrize(
    "url", ["", "hooks.example.com/x", "ftp://example.com", "https://", "https://a b/c", "https://a:b/"]
)
async def test_what_is_no_address_is_told(url: str) -> None:
    assert not (await refused(url)).again


async def test_no_secret_is_told_whoever_sends_it_back(recorder: Recorder) -> None:
    address = f"{recorder.url}/services/{quote(TOKEN, safe='')}/canary-path?key=canary-key"
    forms = [TOKEN, quote(TOKEN, safe=""), json.dumps(TOKEN)[1:-1], "canary-path", "canary-key", address]
    for form in forms:
        recorder.usual = Answer(status=400, body=f"no such place: {form}".encode())
        error = await refused(address, TOKEN)
        assert str(error) == "its host answers HTTP 400 (no such place: [secret])"
    assert "canary" not in repr(error)


async def test_an_endless_refusal_is_quoted_in_short(recorder: Recorder) -> None:
    recorder.usual = Answer(status=500, body=b"<h1>oh\x1b[2J</h1>" + b"no " * 1_000_000)
    error = await refused(recorder.url)
    assert len(str(error)) < 250
    assert "\x1b" not in str(error)


async def test_no_more_of_a_refusal_is_read_than_is_quoted() -> None:
    """Else one that never ends would be held to be no answer at all."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000000\r\n\r\n" + b"no " * 2000)
        await reader.read()  # until the other side has had enough
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        error = await asyncio.wait_for(refused(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), 5)
    assert "HTTP 400 (no no" in str(error)


async def test_a_sign_of_life_says_in_words_why_it_failed(recorder: Recorder) -> None:
    assert await ping(f"{recorder.url}/canary") is None
    recorder.usual = Answer(status=404)
    assert await ping(f"{recorder.url}/canary") == "its host answers HTTP 404"
    assert "canary" not in (await ping("https://[canary") or "canary")
