"""Mail as it arrives at a mail server, and what the other services are sent by way of Apprise."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import trustme

from alerts.receivers import Answer, Mailbox, Recorder, receiving_mail, recording
from alerts.sending import channel, message, refused, story
from runlake.alerts import render
from runlake.alerts.channels import apprise, problem, send, takes
from runlake.alerts.message import Event

Made = Callable[[str], Any]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as made:
        yield made


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with receiving_mail() as made:
        yield made


@pytest.fixture
def by_url(monkeypatch: pytest.MonkeyPatch) -> Made:
    def make(url: str) -> Any:
        monkeypatch.setenv("APPRISE_CHANNEL", url)
        return channel("apprise", url={"env": "APPRISE_CHANNEL"})

    return make


def as_json(recorder: Recorder, query: str = "") -> str:
    return recorder.url.replace("http", "json", 1) + f"/CANARY-path{query}"


async def test_a_mail_says_it_in_text_and_in_html(mailbox: Mailbox, by_url: Made) -> None:
    sent = message()
    await send(by_url(mailbox.url), sent)
    (mail,) = mailbox.mails
    assert mail["To"] == "oncall@example.com"
    assert "runlake@example.com" in mail["From"]
    assert "Nightly" in mail["Subject"]
    assert mail["X-Runlake-Message"] == sent.message_id
    plain, rich = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert "disk full" in plain.get_content()
    assert "disk full" in rich.get_content()
    assert "https://vendor.example/runs/17" in rich.get_content()
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]


async def test_all_mails_of_an_alert_are_one_thread(mailbox: Mailbox, by_url: Made) -> None:
    to, opened = by_url(mailbox.url), message()
    await send(to, opened)
    await send(to, message(Event.RESOLVE, *opened.stories, thread=opened.thread))
    await send(to, message())
    first, over, other = mailbox.mails
    assert first["References"] == over["References"] == over["In-Reply-To"]
    assert opened.message_id in first["References"]
    assert other["References"] != first["References"]
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 3


async def test_no_vendor_writes_a_header_of_a_mail(mailbox: Mailbox, by_url: Made) -> None:
    hostile = "nightly\r\nBcc: everybody@example.com\r\n\r\n<script>alert(1)</script>\x00\ud800"
    names = {"pipeline_name": hostile, "why": hostile, "error": hostile, "failed_step": hostile}
    await send(by_url(mailbox.url), message(Event.OPEN, story(hostile, **names)))
    (mail,) = mailbox.mails
    assert mail["Bcc"] is None
    assert "Bcc: everybody" in mail["Subject"], "it is a word among others"
    assert b"\r\nBcc:" not in mailbox.raw[0]
    rich = mail.get_body(("html",))
    assert rich is not None
    assert "<script" not in rich.get_content()


async def test_a_mail_that_is_refused_is_worth_another_try_and_says_why(mailbox: Mailbox, by_url: Made) -> None:
    mailbox.refusal = "451 the disk of runlake@example.com is full"
    error = await refused(by_url(mailbox.url), message())
    assert error.again
    assert "is full" in str(error)
    assert "example.com" not in str(error)


async def test_a_mail_server_that_nobody_vouches_for_is_refused(mailbox: Mailbox, by_url: Made) -> None:
    """One that offers no encryption where it is wanted, and one whose certificate does not verify."""
    encrypted = mailbox.url.replace("mailto://", "mailtos://")
    assert "STARTTLS" in str(await refused(by_url(encrypted), message()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with recording(context) as unknown:
        host = unknown.url.removeprefix("https://")
        mail = f"mailtos://{host}/?from=runlake@example.com&to=oncall@example.com&mode=ssl"
        for url in (mail, f"jsons://{host}/"):
            error = await refused(by_url(url), message())
            assert error.again
            assert "certificate verify failed" in str(error).lower()
        assert unknown.messages == []
    assert mailbox.mails == []


async def test_services_that_show_text_get_text(recorder: Recorder, by_url: Made) -> None:
    sent = message()
    await send(by_url(as_json(recorder)), sent)
    (got,) = recorder.messages
    assert "disk full" in got.json["message"]
    assert "<" not in got.json["message"]
    assert "Nightly" in got.json["title"]
    assert got.json["type"] == "failure"
    await send(by_url(as_json(recorder)), message(Event.RESOLVE, *sent.stories))
    assert recorder.messages[1].json["type"] == "success"


async def test_what_a_service_would_refuse_for_its_length_is_cut(recorder: Recorder, by_url: Made) -> None:
    from apprise.plugins.custom_json import NotifyJSON

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NotifyJSON, "body_maxlen", 100)
        await send(by_url(as_json(recorder)), message())
    (got,) = recorder.messages
    assert len(got.json["message"]) <= 100


async def test_html_that_would_be_cut_is_text_instead(mailbox: Mailbox, by_url: Made) -> None:
    from apprise.plugins.email.base import NotifyEmail

    sent = message()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NotifyEmail, "body_maxlen", len(render.html(sent)) - 1)
        await send(by_url(mailbox.url), sent)
    (mail,) = mailbox.mails
    assert [part.get_content_type() for part in mail.walk()] == ["text/plain"]
    assert "disk full" in mail.get_content()


async def test_nobody_is_sent_to_pictures_of_others(recorder: Recorder, by_url: Made) -> None:
    recorder.usual = Answer(status=200, body=b"{}")
    await send(by_url(recorder.url.replace("http", "ntfy", 1) + "/topic"), message())
    (got,) = recorder.messages
    assert got.json["topic"] == "topic"
    assert got.headers["user-agent"] == "runlake"
    assert "apprise" not in f"{got.headers} {got.json}".lower()


async def test_a_redirect_is_not_followed(recorder: Recorder, by_url: Made) -> None:
    with recording() as other:
        recorder.usual = Answer(status=307, headers={"Location": f"{other.url}/stolen"})
        assert (await refused(by_url(as_json(recorder)), message())).again
        assert other.messages == []
    assert len(recorder.messages) == 1


async def test_a_service_that_is_not_done_in_time_is_left(
    recorder: Recorder, by_url: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = asyncio.Event()
    loop = asyncio.get_running_loop()
    usual = recorder.take

    def slow(*request: Any) -> Answer:
        asyncio.run_coroutine_threadsafe(answered.wait(), loop).result()
        return usual(*request)

    monkeypatch.setattr(recorder, "take", slow)
    monkeypatch.setattr(apprise, "DEADLINE_S", 0.05)
    error = await refused(by_url(as_json(recorder)), message())
    answered.set()
    assert error.again
    assert str(error) == "it was not done within 0.05 s; it may arrive all the same"


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """All that reaches the log of a program that logs everything."""
    out, root = StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(out), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield out
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Empty before and after."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


async def test_no_secret_is_told_or_logged_or_kept(
    recorder: Recorder,
    by_url: Made,
    logged: StringIO,
    capfd: pytest.CaptureFixture[str],
    empty_home: None,
) -> None:
    url = as_json(recorder, "?+X-Key=CANARY-header").replace("json://", "json://user:CANARY-password@", 1)
    to = by_url(url)
    await send(to, message())
    assert recorder.messages[0].headers["x-key"] == "CANARY-header"
    recorder.usual = Answer(status=403, body=b"CANARY-path and CANARY-header and CANARY-password")
    error = await refused(to, message())
    assert "error=403" in str(error)
    assert str(error).endswith("; [secret] and [secret] and [secret]")
    logging.getLogger("elsewhere").debug("that is heard")
    assert "that is heard" in logged.getvalue()
    assert "CANARY" not in f"{error!r} {to!r} {logged.getvalue()} {''.join(capfd.readouterr())}"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("CANARY", "is no URL that Apprise knows"),
        ("canary://CANARY", "is no URL that Apprise knows"),
        ("mailto://", "is no URL that Apprise knows"),
        ("slack://CANARY", "is no URL that Apprise knows"),
        ("json://one/CANARY, json://two/CANARY", "has several URLs"),
        ("jsons://one/CANARY?verify=no", "leave verify=no out"),
        ("jsons://one/CANARY?redirect=yes", "leave redirect=yes out"),
    ],
)
async def test_a_url_that_is_none_is_told_before_anything_is_sent(by_url: Made, url: str, told: str) -> None:
    to = by_url(url)
    error = await refused(to, message())
    assert not error.again
    assert told in str(error)
    assert "CANARY" not in str(error).replace("APPRISE_CHANNEL", "")
    assert problem(to) == str(error)


async def test_a_failure_cannot_be_declared_a_success(recorder: Recorder, by_url: Made) -> None:
    recorder.usual = Answer(status=500)
    assert (await refused(by_url(as_json(recorder, "?optional=yes")), message())).again


async def test_a_secret_that_is_not_there_is_waited_for(by_url: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    to = by_url("json://localhost")
    assert problem(to) is None
    monkeypatch.delenv("APPRISE_CHANNEL")
    again = channel("apprise", url={"env": "APPRISE_CHANNEL"})
    error = await refused(again, message())
    assert error.again
    assert "APPRISE_CHANNEL is not set" in str(error)


def test_it_gets_every_event(by_url: Made) -> None:
    assert all(takes(by_url("json://localhost"), event) for event in Event)


def test_it_is_loaded_only_where_it_is_needed() -> None:
    script = "import sys, runlake.alerts.channels; print('apprise' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
