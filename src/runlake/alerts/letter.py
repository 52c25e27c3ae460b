"""A message as people are sent it, whatever it is about: a title, plain text and, for those who show it, HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runlake.alerts.message import Event, Message
from runlake.alerts.render import html, text, title
from runlake.config.alerting import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """`message_id` stays the same however often it is sent; `thread` is what all about the same thing share: the id of
    the first of them, or a name. Vendors' text in it is harmless already."""

    message_id: str
    thread: str
    title: str
    """One line."""
    text: str
    html: str | None = None
    images: Sequence[tuple[str, bytes]] = ()
    """PNG, by the `cid:` under which the HTML has them."""
    severity: Severity = Severity.INFO
    over: bool = False


def letter(message: Message) -> Letter:
    """Of alerts."""
    return Letter(
        message_id=message.message_id,
        thread=message.thread,
        title=title(message),
        text=text(message),
        html=html(message),
        severity=message.severity,
        over=message.event is Event.RESOLVE,
    )
