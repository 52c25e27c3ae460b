"""What a receiver of ours gets, and how it knows that it is from us and not a second time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from alerts.receivers import Answer, Received, Recorder, recording
from alerts.sending import AT, channel, message, refused, story
from runlake.alerts.channels import problem, send, takes
from runlake.alerts.message import Event

KEY = bytes(range(32))
Made = Callable[..., Any]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as made:
        yield made


@pytest.fixture
def webhook(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Made:
    """To the recorder, signed with a secret where one is given."""

    def make(secret: str | None = None) -> Any:
        monkeypatch.setenv("HOOK_URL", f"{recorder.url}/hooks/CANARY-path")
        monkeypatch.setenv("HOOK_SECRET", secret or "")
        return channel("webhook", url={"env": "HOOK_URL"}, **({"secret": {"env": "HOOK_SECRET"}} if secret else {}))

    return make


def signature(got: Received, key: bytes) -> str:
    """As the specification of Standard Webhooks says it, word for word."""
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(
    ("secret", "key"),
    [("whsec_" + base64.b64encode(KEY).decode(), KEY), ("CANARY of ours", b"CANARY of ours")],
    ids=["whsec", "as it stands"],
)
async def test_the_receiver_can_check_the_signature(recorder: Recorder, webhook: Made, secret: str, key: bytes) -> None:
    sent = message()
    await send(webhook(secret), sent)
    (got,) = recorder.messages
    assert got.headers["webhook-signature"] == signature(got, key)
    assert got.headers["webhook-id"] == sent.message_id
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 60
    assert b"CANARY" not in got.body


async def test_without_a_secret_it_is_not_signed(recorder: Recorder, webhook: Made) -> None:
    await send(webhook(), message())
    assert "webhook-signature" not in recorder.messages[0].headers


async def test_the_key_is_the_same_however_often_it_is_sent(recorder: Recorder, webhook: Made) -> None:
    """Of a 504 and of a lost answer nobody knows whether the message arrived: the receiver must be able to tell."""
    recorder.answers = [Answer(status=504), Answer(lost=True), Answer(status=429, headers={"Retry-After": "30"})]
    to, sent = webhook(), message(Event.RESOLVE, thread="another")
    tries = [await refused(to, sent) for _ in range(3)]
    assert [each.again for each in tries] == [True, True, True]
    assert tries[2].retry_after == 30
    await send(to, sent)
    assert {key: [each.taken for each in came] for key, came in recorder.by_key.items()} == {
        sent.message_id: [False, False, False, True]
    }


async def test_the_body_has_what_is_known_of_each_alert(recorder: Recorder, webhook: Made) -> None:
    first, second = story(), story("hourly", error="no\nroom \ud800")
    sent = message(Event.RESOLVE, first, second, thread="the-first", whole=False, again=True)
    await send(webhook(), sent)
    (got,) = recorder.messages
    body = got.json
    assert got.headers["content-type"] == "application/json"
    told = {name: body[name] for name in ("version", "event", "message_id", "thread", "severity", "whole", "again")}
    assert told == {
        "version": 1,
        "event": "resolve",
        "message_id": sent.message_id,
        "thread": "the-first",
        "severity": "critical",
        "whole": False,
        "again": True,
    }
    assert body["at"] == "2026-07-14T09:30:00Z"
    assert body["title"]
    assert body["text"]
    assert [alert["alert_id"] for alert in body["alerts"]] == [first.alert.alert_id, second.alert.alert_id]
    assert [alert["error"] for alert in body["alerts"]] == ["disk full", "no\nroom \ud800"]
    assert body["alerts"][0]["since"] == (AT - timedelta(minutes=20)).isoformat().replace("+00:00", "Z")
    assert body["alerts"][0]["facts"] == {"failed_in_a_row": 1}


async def test_no_secret_is_told(recorder: Recorder, webhook: Made) -> None:
    to = webhook("CANARY-secret")
    recorder.usual = Answer(status=400, body=b"CANARY-secret at /hooks/CANARY-path")
    error = await refused(to, message())
    assert not error.again
    assert "HTTP 400" in str(error)
    assert "CANARY" not in f"{error!r} {to!r}"


async def test_a_secret_that_is_not_there_is_waited_for(webhook: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    to = webhook("CANARY")
    monkeypatch.delenv("HOOK_SECRET")
    error = await refused(to, message())
    assert error.again
    assert "HOOK_SECRET is not set" in str(error)
    assert problem(to) == str(error)


def test_what_is_written_wrong_is_told_before_anything_is_sent(webhook: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem(webhook("CANARY")) is None
    for secret in ("whsec_", "whsec_CANARY", "whsec_Q0FO!UlI="):
        assert problem(webhook(secret)) == "what follows whsec_ in env HOOK_SECRET is not Base64"
    to = webhook()
    monkeypatch.setenv("HOOK_URL", "hooks.example.com/CANARY")
    assert problem(to) == "the address at env HOOK_URL does not begin with https:// and a host"


def test_a_webhook_gets_digests_unless_it_wants_none() -> None:
    url = {"env": "HOOK_URL"}
    assert all(takes(channel("webhook", url=url), event) for event in Event)
    assert [event for event in Event if not takes(channel("webhook", url=url, digest=False), event)] == [Event.DIGEST]
