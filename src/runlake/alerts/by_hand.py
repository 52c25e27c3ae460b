"""What people do to alerts: acknowledge them, silence what matches, end a silence, and try a channel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from runlake.alerts import channels
from runlake.alerts.holding import is_silenced
from runlake.alerts.message import Event, Message
from runlake.alerts.scope import matches
from runlake.alerts.turn import Turned
from runlake.config import Config
from runlake.config.alerting import Severity
from runlake.config.channels import AnyChannel
from runlake.errors import ConfigError, DeliveryError
from runlake.store import Store
from runlake.store.alerting import Alert, AlertBooks, Silence, Story

LONGEST_SILENCE = timedelta(days=366)
"""What shall never be told is a rule that is not wanted."""


async def ack(store: Store, alerts: Sequence[str], *, by: str, note: str | None, at: datetime) -> list[Alert]:
    """Acknowledges open alerts, given by id or how it begins: all of them, or none. Raises ConfigError, StoreError."""

    def work(books: AlertBooks) -> list[Alert]:
        found = [books.alert(alert) for alert in alerts]
        for alert in found:
            if alert.state == "resolved":
                raise ConfigError(f"alert {alert.alert_id[:8]} is resolved already; nothing more will be told of it")
            books.ack(alert.alert_id, at, by, note)
        return found

    return await store.alerting(work)


async def silence(store: Store, silence: Silence) -> list[Alert]:
    """Keeps it; returns the open alerts that match. Raises StoreError."""

    def work(books: AlertBooks) -> list[Alert]:
        books.keep_silence(silence)
        return [alert for alert in books.open_alerts() if is_silenced(alert, silence)]

    return await store.alerting(work)


async def unsilence(store: Store, silence: str, at: datetime) -> Silence:
    """Ends a silence, given by its id or how it begins. Raises ConfigError, StoreError."""
    return await store.alerting(lambda books: books.end_silence(silence, at))


def channel(config: Config, name: str) -> AnyChannel:
    """Raises ConfigError where there is none of that name."""
    for each in config.channel:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in config.channel)
    raise ConfigError(f"no channel '{name}' in the config; " + (f"there are {names}" if names else "it has none"))


def require_known(config: Config, *, rule: str | None, source: str | None) -> None:
    """Raises ConfigError for a pattern that no rule, or no source, of the config matches: it is mistyped."""
    for what, pattern, names in (
        ("rule", rule, [each.name for each in config.rules]),
        ("source", source, [each.name for each in config.source]),
    ):
        if pattern is not None and not any(matches([pattern], name) for name in names):
            raise ConfigError(f"no {what} matches '{pattern}'; there are {', '.join(names) or 'none'}")


async def try_out(channel: AnyChannel, at: datetime) -> str | None:
    """Sends a message that says that it is a test; returns why it was not taken, or None."""
    alert = Alert(
        alert_id=str(uuid4()),
        rule="test",
        kind="test",
        key=channel.name,
        state="firing",
        severity=Severity.INFO,
        since=at,
        pending_at=at,
        fired_at=at,
        judged_at=at,
        why=f"This is a test of the channel {channel.name}, sent by hand. Nothing is wrong.",
        facts={},
    )
    message_id = str(uuid4())
    message = Message(
        message_id=message_id,
        thread=message_id,
        event=Event.TEST,
        severity=Severity.INFO,
        stories=[Story(alert=alert)],
        at=at,
    )
    try:
        await channels.send(channel, message)
    except DeliveryError as error:
        return str(error)
    return None


def what_came(turned: Turned) -> dict[str, Any]:
    """A turn in numbers, as JSON has them; `failures` says by channel why it did not take a message."""
    evaluated, delivered = turned.evaluated, turned.delivered
    return {
        "judged": len(evaluated.judged),
        "fired": len(evaluated.fired),
        "resolved": len(evaluated.resolved),
        "firing": sum(evaluated.firing.values()),
        "sent": delivered.messages,
        "failures": delivered.failures,
    }
