"""The outbox: what is to be told is claimed in one commit, sent, and recorded in another.

A message gets its id when it is claimed and keeps it however often it is sent: a process that dies in between sends it
again under the same id, by which a receiver that looks at ids takes it once. What is claimed at the same time for the
same channel, event, source and rule is one message: forty pipelines that fail in one sync, or all that a limit held up.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from runlake.alerts import channels
from runlake.alerts.claiming import Claimed, claim
from runlake.alerts.message import Event, Message
from runlake.alerts.retrying import GIVEN_UP_AFTER, wait
from runlake.config import Config
from runlake.config.channels import AnyChannel
from runlake.errors import DeliveryError
from runlake.store import Store
from runlake.store.alerting import AlertBooks

Send = Callable[[AnyChannel, Message], Awaitable[None]]


@dataclass(slots=True)
class Delivered:
    """What one go at the outbox came to."""

    messages: int = 0
    refused: int = 0
    """Messages that were sent, and not taken."""
    taken: set[str] = field(default_factory=set)
    """The channels that took theirs."""
    failures: dict[str, str] = field(default_factory=dict)
    """By channel, why it did not take a message."""
    next_at: datetime | None = None
    """When a message that waits may go out: it is to be tried again, or what holds it ends."""

    def wait_for(self, at: datetime | None) -> None:
        self.next_at = min((each for each in (self.next_at, at) if each is not None), default=None)

    def then(self, later: Delivered) -> Delivered:
        """Both of two in a row."""
        return Delivered(
            messages=self.messages + later.messages,
            refused=self.refused + later.refused,
            taken=self.taken | later.taken,
            failures=self.failures | later.failures,
            next_at=later.next_at,
        )


async def deliver(store: Store, config: Config, now: Callable[[], datetime], send: Send = channels.send) -> Delivered:
    """Sends what is due, each channel's messages one after another. One at a time: what is claimed and not recorded is
    taken for left by a process that died. Raises StoreError."""
    done = Delivered()
    claimed, done.next_at = await store.alerting(partial(claim, config=config, now=now()))
    if not claimed:
        return done
    by_channel: dict[str, list[Claimed]] = defaultdict(list)
    for each in claimed:
        by_channel[each.channel.name].append(each)
    sent = await asyncio.gather(
        *(_send_all(store, each, now, send, done) for each in by_channel.values()), return_exceptions=True
    )
    for error in filter(None, sent):  # after all have ended: what still sends would be taken for left by one that died
        raise error
    return done


async def _send_all(
    store: Store, claimed: Sequence[Claimed], now: Callable[[], datetime], send: Send, done: Delivered
) -> None:
    down: DeliveryError | None = None
    for each in claimed:
        try:
            if down is not None:  # one that does not answer is not waited for again and again
                raise down
            await send(each.channel, each.message)
        except DeliveryError as error:
            if error.taken:
                await _delivered(store, each, now(), done, but=str(error))
                continue
            done.refused += error is not down
            down = error if error.again else None
            at = now()
            is_late = at - each.created_at > GIVEN_UP_AFTER
            retry_at = None if is_late and _tells_of_yesterday(each.message) else at + wait(error, each.attempts)
            failed = partial(
                AlertBooks.failed, message_id=each.message.message_id, at=at, error=str(error), retry_at=retry_at
            )
            await store.alerting(failed)
            done.failures[each.channel.name] = str(error)
            done.wait_for(retry_at)
        else:
            await _delivered(store, each, now(), done)
            done.taken.add(each.channel.name)


async def _delivered(store: Store, each: Claimed, at: datetime, done: Delivered, but: str | None = None) -> None:
    """`but`: who has not got it, and why, where others have."""
    await store.alerting(partial(AlertBooks.delivered, message_id=each.message.message_id, at=at, but=but))
    done.messages += 1
    if but is not None:
        done.failures[each.channel.name] = but
    if each.message.event is Event.OPEN and any(s.alert.state == "resolved" for s in each.message.stories):
        done.wait_for(at)  # that it is over has waited until it was told to have begun


def _tells_of_yesterday(message: Message) -> bool:
    """Whether nobody misses it by now. What still fires and was told to nobody is news however long a channel was dead,
    or a silence lasted before; and whoever was told that something began waits to be told that it is over."""
    if message.event is Event.OPEN:
        return all(story.alert.state == "resolved" for story in message.stories)
    return message.event is not Event.RESOLVE
