"""Receivers on loopback that keep what they are sent and answer as they are told: HTTP, and mail."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request is answered. `lost`: it has arrived, and the connection ends without an answer. `dated`: with a
    `Date` of its own."""

    status: int = 202
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False
    dated: bool = True


@dataclass(frozen=True, kw_only=True)
class Received:
    """`headers` by their names in lower case; `taken`: it was answered 2xx."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    taken: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def keys(self) -> list[str]:
        """By what a receiver tells that it had it before: `webhook-id`; `dedup_key` and action; labels and whether it
        is over."""
        if key := self.headers.get("webhook-id"):
            return [key]
        content = self.json
        if isinstance(content, list):
            return [f"{each['labels']['alert_id']} {each['endsAt'][:4]}" for each in content]
        return [f"{content['dedup_key']} {content['event_action']}"]


class Recorder:
    """An HTTP server. `answers` are given in turn, and `usual` once there are none."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.messages: list[Received] = []
        self.answers: list[Answer] = []
        self.usual = Answer()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"

    @property
    def by_key(self) -> dict[str, list[Received]]:
        found = defaultdict(list)
        for message in self.messages:
            for key in message.keys:
                found[key].append(message)
        return dict(found)

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        with self._lock:
            answer = self.answers.pop(0) if self.answers else self.usual
            taken = 200 <= answer.status < 300 and not answer.lost
            self.messages.append(Received(path=path, headers=headers, body=body, taken=taken))
            return answer

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.01)

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(recorder: Recorder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = recorder.take(self.path, headers, body)
            if answer.lost:
                self.close_connection = True
                return
            (self.send_response if answer.dated else self.send_response_only)(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    return Handler


@contextmanager
def recording(context: ssl.SSLContext | None = None) -> Iterator[Recorder]:
    recorder = Recorder(context)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    try:
        yield recorder
    finally:
        recorder.end()
        thread.join()


class Mailbox:
    """An SMTP server: `mails` as parsed, `raw` as they came. `refusal` is what it says of every mail, where set;
    `refused` of recipients, by address; `logins` are the names and passwords it was told, all of which it takes unless
    `locked`."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.refusal: str | None = None
        self.refused: dict[str, str] = {}
        self.logins: list[tuple[str, str]] = []
        self.locked = False
        self.url = ""
        self.port = 0

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=not self.locked, handled=not self.locked)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refusal is not None:
            return self.refusal
        content = envelope.original_content or b""
        self.raw.append(content)
        parsed = message_from_bytes(content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        return "250 OK"


class _OnAnyPort(Controller):
    def _trigger_server(self) -> None:
        """Greets the server, at the port that it was given in the end."""
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def receiving_mail(context: ssl.SSLContext | None = None, *, starttls: bool = False) -> Iterator[Mailbox]:
    """Its `url` is an Apprise URL with a sender and one recipient. With a context it speaks TLS, from the first byte or
    once it is asked to, and takes passwords."""
    mailbox = Mailbox()
    more: dict[str, Any] = {"tls_context": context, "require_starttls": True} if starttls else {"ssl_context": context}
    if context is not None:
        more |= {"authenticator": mailbox.authenticate, "auth_require_tls": starttls}
    controller = _OnAnyPort(mailbox, hostname="127.0.0.1", port=0, **more)
    controller.start()
    try:
        mailbox.port = controller.port
        mailbox.url = f"mailto://127.0.0.1:{controller.port}/?from=runlake@example.com&to=oncall@example.com"
        yield mailbox
    finally:
        controller.stop()
