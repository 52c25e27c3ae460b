"""Mail by SMTP (RFC 5321, with RFC 3207 and 8314 for TLS): text and HTML, with its pictures inside.

Nothing goes unencrypted, unless to this machine, and no server whose certificate does not verify is told the password.
A mail that is sent again has the same Message-ID, which many servers and mail programs show once. Where a server takes
it for some recipients and refuses others, those who got it are not sent it again.
"""

from __future__ import annotations

import asyncio
import base64
import smtplib
import socket
from contextlib import suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as LINES
from email.utils import localtime
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from runlake.alerts.letter import Letter
from runlake.config.channels import Mail
from runlake.errors import DeliveryError
from runlake.http import brief, cause_of, pieces, redact, tls

TIMEOUT_S = 10.0
"""To connect, and for each answer."""

DEADLINE_S = 60.0
"""For the whole mail: TIMEOUT_S alone would let a server that drips bytes hold up those after it."""

_POLICY = LINES.clone(cte_type="7bit")
"""Bytes that every server takes, whatever it offers."""


@dataclass(frozen=True, slots=True)
class Server:
    host: str
    port: int
    secure: bool
    """TLS from the first byte; else STARTTLS, unless it is on this machine."""
    user: str
    password: str

    @property
    def is_here(self) -> bool:
        with suppress(ValueError):
            return ip_address(self.host).is_loopback
        return self.host == "localhost"


def server(channel: Mail) -> Server:
    """Where its URL leads. Raises ConfigError where it is not there, DeliveryError where it is none."""
    try:
        parts = urlsplit(channel.url.reveal())
        port, host = parts.port, parts.hostname
    except ValueError:
        parts, port, host = urlsplit(""), None, None
    secure = parts.scheme == "smtps"
    rest = parts.path.strip("/") or parts.query or parts.fragment
    if (
        not host
        or rest
        or parts.scheme not in ("smtp", "smtps")
        or (parts.username is None) != (parts.password is None)
    ):
        raise DeliveryError(
            f"what is at {channel.url.place} is no mail server: write smtps://user:password@host:465, or "
            "smtp://user:password@host:587, with %XX for characters of the password that mean something in a URL",
            again=False,
        )
    return Server(
        host, port or (465 if secure else 587), secure, unquote(parts.username or ""), unquote(parts.password or "")
    )


async def send(channel: Mail, letter: Letter) -> None:
    """In a thread, cut off where it still goes on when this ends. Raises ConfigError, DeliveryError."""
    to, content = server(channel), written(channel, letter)
    smtp = smtplib.SMTP_SSL(timeout=TIMEOUT_S, context=tls()) if to.secure else smtplib.SMTP(timeout=TIMEOUT_S)
    try:
        async with asyncio.timeout(DEADLINE_S):
            refused = await asyncio.to_thread(_exchange, smtp, to, channel, content)
    except TimeoutError:
        raise DeliveryError(
            f"its server was not done within {DEADLINE_S:g} s; it may arrive all the same", again=True
        ) from None
    finally:
        _cut(smtp)
    if refused:
        raise DeliveryError(
            f"{len(refused)} of {len(channel.to)} recipients did not get it: {refused[0]}", again=False, taken=True
        )


def written(channel: Mail, letter: Letter) -> bytes:
    """The mail as it is sent: one form of it, where there are several, for whatever shows it."""
    mail, domain = EmailMessage(_POLICY), channel.sender.rpartition("@")[2]
    mail["From"] = Address("runlake", addr_spec=channel.sender)
    mail["To"] = [Address(addr_spec=each) for each in channel.to]
    mail["Subject"] = _text(letter.title)
    mail["Date"] = localtime()
    mail["Message-ID"] = f"<{letter.message_id}@{domain}>"
    if letter.thread != letter.message_id:
        mail["References"] = mail["In-Reply-To"] = f"<{letter.thread}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is told to it
    mail.set_content(_text(letter.text))
    if letter.html is not None:
        mail.add_alternative(_text(letter.html), subtype="html")
        rich = mail.get_payload()[-1]  # type: ignore[index]
        assert isinstance(rich, EmailMessage)
        for cid, png in letter.images:
            rich.add_related(png, "image", "png", cid=f"<{cid}>", disposition="inline", filename=f"{cid}.png")
    return mail.as_bytes()


def _text(text: str) -> str:
    """Without halves of characters, which no mail can carry."""
    return text.encode(errors="replace").decode()


def _exchange(smtp: smtplib.SMTP, to: Server, channel: Mail, content: bytes) -> list[str]:
    """What the server says of recipients that it refuses, where it took the mail for others. Raises DeliveryError."""
    try:
        # Whose certificate is asked for. Given to the constructor, it would connect there, where nobody can cut it off.
        smtp._host = to.host  # type: ignore[attr-defined]
        smtp.connect(to.host, to.port)
        if not to.secure and not to.is_here:
            smtp.starttls(context=tls())
        if to.user:
            smtp.login(to.user, to.password)
        refused = smtp.sendmail(channel.sender, channel.to, content)
    except smtplib.SMTPRecipientsRefused as error:
        told = _refusals(error.recipients, to, channel)
        again = any(code < 500 for code, _ in error.recipients.values())
        raise DeliveryError(f"its server refuses every recipient: {told[0]}", again=again) from None
    except smtplib.SMTPResponseException as error:
        reason = _hidden(error.smtp_error, to, channel)
        raise DeliveryError(f"its server answers {error.smtp_code} ({reason})", again=error.smtp_code < 500) from None
    except smtplib.SMTPNotSupportedError as error:
        no_login = "login: leave user and password out of the URL"
        what = no_login if "AUTH" in str(error) else "STARTTLS, and nothing goes unencrypted"
        raise DeliveryError(f"its server offers no {what}", again=False) from None
    except (smtplib.SMTPException, OSError, UnicodeError, ValueError) as error:
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            raise DeliveryError(f"its server did not answer within {TIMEOUT_S:g} s", again=True) from None
        raise DeliveryError(
            f"the exchange with its server broke off: {_hidden(cause_of(error), to, channel)}", again=True
        ) from None
    finally:
        with suppress(OSError, smtplib.SMTPException):
            smtp.putcmd("quit")  # what it says to that changes nothing
        smtp.close()
    return _refusals(refused, to, channel)


def _refusals(refused: dict[str, tuple[int, bytes]], to: Server, channel: Mail) -> list[str]:
    return [
        f"{address}: {code} ({_hidden(reason, to, channel)})" for address, (code, reason) in sorted(refused.items())
    ]


def _hidden(reason: bytes | str, to: Server, channel: Mail) -> str:
    """What a server says, without what is secret of the channel, however it repeats it."""
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
    given = [to.user, to.password, f"\0{to.user}\0{to.password}"]
    encoded = [base64.b64encode(each.encode()).decode() for each in given if each]
    return brief(redact(text, [*pieces(channel.url.reveal()), to.host, to.user, to.password, *encoded]))


def _cut(smtp: smtplib.SMTP) -> None:
    """Ends an exchange that goes on in its thread, where it does."""
    if (open_ := smtp.sock) is not None:
        with suppress(OSError):
            socket.socket.shutdown(open_, socket.SHUT_RDWR)  # not the TLS one's own, which that thread is in
