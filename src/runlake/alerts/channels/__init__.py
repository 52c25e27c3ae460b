"""The ways out: each takes one message to one channel, once. Retrying, limits and grouping are the outbox's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from runlake.alerts.channels import alertmanager, apprise, mail, pagerduty, webhook
from runlake.alerts.letter import Letter, letter
from runlake.alerts.message import Event, Message
from runlake.alerts.render import data, text
from runlake.config.channels import Alertmanager, AnyChannel, Apprise, Mail, PagerDuty, Webhook
from runlake.errors import ConfigError, DeliveryError


async def send(channel: AnyChannel, message: Message) -> None:
    """Returns once the channel has taken it. Whatever it tells one message from another by stays the same however often
    the same message is sent. Raises DeliveryError, without a secret or an address in its text."""
    match channel:
        case Alertmanager():
            with _retried():
                await alertmanager.send(channel, message)
        case PagerDuty():
            with _retried():
                await pagerduty.send(channel, message)
        case _:
            await convey(channel, letter(message), data(message) | {"text": text(message)})


async def convey(channel: AnyChannel, letter: Letter, data: Mapping[str, Any]) -> None:
    """The same of what may be about no alert: to people as a letter, to programs as data. Those that take nothing but
    alerts (`takes_reports`) raise TypeError."""
    with _retried():
        match channel:
            case Apprise():
                await apprise.send(channel, letter)
            case Mail():
                await mail.send(channel, letter)
            case Webhook():
                await webhook.send(channel, letter.message_id, data)
            case _:
                raise TypeError(f"{channel.kind} takes nothing but alerts")


@contextmanager
def _retried() -> Iterator[None]:
    """A secret that is not there may be the next time."""
    try:
        yield
    except ConfigError as error:
        raise DeliveryError(str(error), again=True) from None


def takes(channel: AnyChannel, event: Event, *, whole: bool = True) -> bool:
    """Whether there is anything to send to such a channel. Those that keep a list of what is open themselves need no
    digest; an incident is over when all alerts of it are."""
    match channel:
        case PagerDuty():
            return event is not Event.DIGEST and (event is not Event.RESOLVE or whole)
        case Alertmanager():
            return event is not Event.DIGEST
    return event is not Event.DIGEST or channel.digest


def problem(channel: AnyChannel) -> str | None:
    """What is wrong with how the channel is written, as far as can be told without sending anything: a secret that is
    not there, an address that is none. Without a secret in the text."""
    try:
        match channel:
            case Apprise():
                apprise.service(channel)
            case Mail():
                mail.server(channel)
            case Webhook():
                webhook.target(channel)
            case Alertmanager():
                alertmanager.headers(channel)
            case PagerDuty():
                channel.routing_key.reveal()
    except (ConfigError, DeliveryError) as error:
        return str(error)
    return None
