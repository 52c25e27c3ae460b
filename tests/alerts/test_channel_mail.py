"""Mail as it arrives at a server: encrypted, the same mail however often it is sent, and no password told."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import trustme

from alerts.receivers import Mailbox, receiving_mail
from alerts.sending import channel, message, refused, story
from runlake.alerts.channels import mail, problem, send, takes
from runlake.alerts.letter import letter
from runlake.alerts.message import Event

Made = Callable[..., Any]
PASSWORD = "CANARY%2Fpass word".replace(" ", "%20")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with receiving_mail() as made:
        yield made


@pytest.fixture
def by_url(monkeypatch: pytest.MonkeyPatch) -> Made:
    def make(url: str, *to: str) -> Any:
        monkeypatch.setenv("SMTP_URL", url)
        keys = {"sender": "runlake@acme.example", "to": to or ["oncall@acme.example"]}
        return channel("mail", url={"env": "SMTP_URL"}, **keys)

    return make


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The context of a server called mail.example, which is on this machine, and whom clients trust."""
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert("mail.example").configure_cert(theirs)
    monkeypatch.setattr(mail, "tls", lambda: ours)
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda to, *rest: connect(("127.0.0.1", to[1]), *rest))
    return theirs


def here(mailbox: Mailbox) -> str:
    return f"smtp://127.0.0.1:{mailbox.port}"


async def test_a_mail_says_it_in_text_and_in_html_with_its_pictures(mailbox: Mailbox, by_url: Made) -> None:
    sent = replace(letter(message()), html='<p>disk full <img src="cid:days"></p>', images=[("days", b"\x89PNG")])
    await mail.send(by_url(here(mailbox), "oncall@acme.example", "data@acme.example"), sent)
    (got,) = mailbox.mails
    assert (got["From"], got["To"]) == ("runlake <runlake@acme.example>", "oncall@acme.example, data@acme.example")
    assert got["Message-ID"] == f"<{sent.message_id}@acme.example>"
    assert got["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in got.walk()] == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip
    *_, picture = got.walk()
    assert (picture["Content-ID"], picture.get_content()) == ("<days>", b"\x89PNG")
    assert picture.get_content_disposition() == "inline"
    plain = got.get_body(("plain",))
    assert plain is not None and "disk full" in plain.get_content()


async def test_an_alert_comes_as_text_and_html_in_a_thread_of_its_own(mailbox: Mailbox, by_url: Made) -> None:
    to, opened = by_url(here(mailbox)), message()
    await send(to, opened)
    await send(to, message(Event.RESOLVE, *opened.stories, thread=opened.thread))
    first, over = mailbox.mails
    assert [part.get_content_type() for part in first.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert first["References"] is None
    assert over["References"] == over["In-Reply-To"] == first["Message-ID"] != over["Message-ID"]
    assert "Nightly failed" in first["Subject"] and over["Subject"].startswith("RESOLVED")


async def test_a_mail_that_is_sent_again_is_the_same_mail(mailbox: Mailbox, by_url: Made) -> None:
    to, sent = by_url(here(mailbox)), message()
    await send(to, sent)
    await send(to, replace(sent, again=True))
    assert mailbox.mails[0]["Message-ID"] == mailbox.mails[1]["Message-ID"]


async def test_no_vendor_writes_a_header_or_ends_a_mail(mailbox: Mailbox, by_url: Made) -> None:
    hostile = "nightly\r\nBcc: everybody@example.com\r\n\r\n<script>alert(1)</script>\x00\ud800\r\n.\r\nMAIL FROM:<x@y>"
    names = {"pipeline_name": hostile, "why": hostile, "error": hostile, "failed_step": hostile}
    await send(by_url(here(mailbox)), message(Event.OPEN, story(hostile, **names)))
    (got,) = mailbox.mails
    assert got["Bcc"] is None and "Bcc: everybody" in got["Subject"]
    assert b"\r\nBcc:" not in mailbox.raw[0] and mailbox.raw[0].isascii()
    rich = got.get_body(("html",))
    assert rich is not None and "<script" not in rich.get_content()


async def test_half_a_character_costs_no_mail(mailbox: Mailbox, by_url: Made) -> None:
    await mail.send(
        by_url(here(mailbox)), replace(letter(message()), title="a\ud800b", text="a\ud800b", html="\udfffb")
    )
    assert mailbox.mails[0]["Subject"] == "a?b"


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
async def test_the_password_is_told_to_a_server_that_is_vouched_for(
    scheme: str, trusted: ssl.SSLContext, by_url: Made
) -> None:
    with receiving_mail(trusted, starttls=scheme == "smtp") as mailbox:
        await send(by_url(f"{scheme}://ann:{PASSWORD}@mail.example:{mailbox.port}"), message())
    assert len(mailbox.mails) == 1
    assert mailbox.logins == [("ann", "CANARY/pass word")]


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
async def test_a_server_that_nobody_vouches_for_is_told_nothing(
    scheme: str, trusted: ssl.SSLContext, by_url: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = ssl.create_default_context()
    monkeypatch.setattr(mail, "tls", lambda: unknown)
    with receiving_mail(trusted, starttls=scheme == "smtp") as mailbox:
        error = await refused(by_url(f"{scheme}://ann:{PASSWORD}@mail.example:{mailbox.port}"), message())
    assert error.again and "certificate does not verify" in str(error)
    assert not mailbox.mails and not mailbox.logins


async def test_nothing_goes_to_another_machine_in_the_clear(
    mailbox: Mailbox, trusted: ssl.SSLContext, by_url: Made
) -> None:
    error = await refused(by_url(f"smtp://ann:{PASSWORD}@mail.example:{mailbox.port}"), message())
    assert not error.again and "offers no STARTTLS, and nothing goes unencrypted" in str(error)
    assert not mailbox.mails


async def test_a_server_without_a_login_is_said_to_be_one(mailbox: Mailbox, by_url: Made) -> None:
    error = await refused(by_url(f"smtp://ann:{PASSWORD}@127.0.0.1:{mailbox.port}"), message())
    assert not error.again and str(error) == "its server offers no login: leave user and password out of the URL"


async def test_a_password_that_is_refused_is_not_told(trusted: ssl.SSLContext, by_url: Made) -> None:
    with receiving_mail(trusted) as mailbox:
        mailbox.locked = True
        error = await refused(by_url(f"smtps://ann:{PASSWORD}@mail.example:{mailbox.port}"), message())
    assert not error.again and "its server answers 535" in str(error)


async def test_no_secret_is_told_however_the_server_repeats_it(trusted: ssl.SSLContext, by_url: Made) -> None:
    plain = base64.b64encode(b"\0robert\0CANARY/pass word").decode()
    with receiving_mail(trusted) as mailbox:
        mailbox.refusal = f"550 CANARY/pass word {PASSWORD} {plain} robert is not welcome at mail.example"
        to = by_url(f"smtps://robert:{PASSWORD}@mail.example:{mailbox.port}")
        error = await refused(to, message())
    assert str(error) == ("its server answers 550 ([secret] [secret] [secret] [secret] is not welcome at [secret])")
    assert "CANARY" not in f"{error!r} {to!r}"


@pytest.mark.parametrize(("refusal", "again"), [("451 the disk is full", True), ("554 no such luck", False)])
async def test_a_mail_that_is_refused_says_why_and_whether_to_try_again(
    refusal: str, again: bool, mailbox: Mailbox, by_url: Made
) -> None:
    mailbox.refusal = refusal
    error = await refused(by_url(here(mailbox)), message())
    code, _, reason = refusal.partition(" ")
    assert str(error) == f"its server answers {code} ({reason})"
    assert error.again is again


async def test_a_recipient_who_is_refused_keeps_it_from_nobody_else(mailbox: Mailbox, by_url: Made) -> None:
    mailbox.refused = {"gone@acme.example": "550 no such user"}
    error = await refused(by_url(here(mailbox), "gone@acme.example", "here@acme.example"), message())
    assert error.taken
    assert str(error) == "1 of 2 recipients did not get it: gone@acme.example: 550 (no such user)"
    assert len(mailbox.mails) == 1
    error = await refused(by_url(here(mailbox), "gone@acme.example"), message())
    assert not error.taken and not error.again and "refuses every recipient" in str(error)
    mailbox.refused["here@acme.example"] = "450 come back in a minute"
    error = await refused(by_url(here(mailbox), "gone@acme.example", "here@acme.example"), message())
    assert not error.taken and error.again, "one of them may get it later"


async def test_a_server_that_does_not_answer_is_left(by_url: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing, and one that goes on saying little: its thread ends with it."""
    monkeypatch.setattr(mail, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = by_url(f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        error = await refused(to, message())
        assert error.again and str(error) == "its server did not answer within 0.05 s"
        monkeypatch.setattr(mail, "TIMEOUT_S", 20.0)
        monkeypatch.setattr(mail, "DEADLINE_S", 0.05)
        error = await refused(to, message())
        assert error.again and "it may arrive all the same" in str(error)
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 10)


async def test_a_server_that_is_not_there_is_tried_again(by_url: Made) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    error = await refused(by_url(f"smtp://127.0.0.1:{port}"), message())
    assert error.again and "refused" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "mail.example", "https://mail.example", "smtps://", "smtps://ann@mail.example", "smtps://mail.example/inbox",
        "smtps://mail.example:port", "smtp://mail.example?tls=no", "smtps://[::1",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_told_before_anything_is_sent(url: str, by_url: Made) -> None:
    told = problem(by_url(url))
    assert told is not None and told.startswith("what is at env SMTP_URL is no mail server: write smtps://")
    assert problem(by_url("smtps://ann:secret@mail.example")) is None


def test_ports_are_those_of_the_standards(by_url: Made) -> None:
    assert mail.server(by_url("smtps://mail.example")).port == 465
    assert mail.server(by_url("smtp://mail.example")).port == 587


def test_it_gets_every_event(by_url: Made) -> None:
    assert all(takes(by_url("smtp://localhost"), event) for event in Event)


@pytest.mark.parametrize("address", ["a@b\r\nBcc: c@d", "a, b@c", "<a@b>", "a", "a@", "ä@b"])
def test_an_address_is_one_address(address: str) -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        channel("mail", url={"env": "U"}, sender="runlake@acme.example", to=[address])
