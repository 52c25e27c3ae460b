"""The outbox: what is to be told is claimed in one commit, sent, and recorded in another.

A message gets its id when it is claimed and keeps it however often it is sent: a process that dies in between sends it
again under the same id, by which a receiver that looks at ids takes it once. What is claimed at the same time for the
same channel, event, source and rule is one message: forty pipelines that fail in one sync, or all that a limit held up.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

from runlake.alerts import channels
from runlake.alerts.holding import UNSEEN, Cause, held_back
from runlake.alerts.message import Event, Message
from runlake.config import Config
from runlake.config.alerting import AnyChannel, Severity
from runlake.errors import DeliveryError
from runlake.store import Store
from runlake.store.alerting import Alert, AlertBooks, Notification

FIRST_RETRY = timedelta(seconds=10)
LAST_RETRY = timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(days=1)
"""A message that no channel took for a day is dropped: it would tell of yesterday."""

LIMITED_FOR = timedelta(minutes=1)
"""Until a channel's limit is looked at again."""

HELD_BY = {Cause.SILENCED, Cause.MAINTENANCE, Cause.UNSEEN}
"""What holds back a message that is to be sent; the other causes are reasons not to plan one."""

Send = Callable[[AnyChannel, Message], Awaitable[None]]


_Row = tuple[Notification, Alert | None]
"""A row that waits, and its alert; a digest has none."""


@dataclass(slots=True)
class Delivered:
    """What one go at the outbox came to."""

    messages: int = 0
    taken: set[str] = field(default_factory=set)
    """The channels that took theirs."""
    failures: dict[str, str] = field(default_factory=dict)
    """By channel, why it did not take a message."""
    next_at: datetime | None = None
    """When a message that waits may go out: it is to be tried again, or what holds it ends."""


@dataclass(frozen=True, slots=True)
class _Claimed:
    channel: AnyChannel
    message: Message
    attempts: int
    created_at: datetime
    """When the first of its rows was put into the outbox."""


async def deliver(store: Store, config: Config, now: Callable[[], datetime], send: Send = channels.send) -> Delivered:
    """Sends what is due, each channel's messages one after another. One at a time: what is claimed and not recorded is
    taken for left by a process that died. Raises StoreError."""
    done = Delivered()
    claimed, waits_until = await store.alerting(partial(_claim, config=config, now=now()))
    by_channel: dict[str, list[_Claimed]] = defaultdict(list)
    for each in claimed:
        by_channel[each.channel.name].append(each)
    await asyncio.gather(*(_send_all(store, each, now, send, done) for each in by_channel.values()))
    retry_at = await store.alerting(AlertBooks.next_retry)
    done.next_at = min((at for at in (waits_until, retry_at) if at is not None), default=None)
    return done


async def _send_all(
    store: Store, claimed: Sequence[_Claimed], now: Callable[[], datetime], send: Send, done: Delivered
) -> None:
    down: DeliveryError | None = None
    for each in claimed:
        try:
            if down is not None:  # one that does not answer is not waited for again and again
                raise down
            await send(each.channel, each.message)
        except DeliveryError as error:
            down = error if error.again else None
            at = now()
            retry_at = at + _wait(error, each.attempts) if at - each.created_at <= GIVEN_UP_AFTER else None
            failed = partial(
                AlertBooks.failed, message_id=each.message.message_id, at=at, error=str(error), retry_at=retry_at
            )
            await store.alerting(failed)
            done.failures[each.channel.name] = str(error)
        else:
            await store.alerting(partial(AlertBooks.delivered, message_id=each.message.message_id, at=now()))
            done.messages += 1
            done.taken.add(each.channel.name)


def _wait(error: DeliveryError, attempts: int) -> timedelta:
    if error.retry_after is not None:
        return min(timedelta(seconds=error.retry_after), GIVEN_UP_AFTER)
    return min(FIRST_RETRY * 2 ** min(attempts, 10), LAST_RETRY) if error.again else LAST_RETRY


# --- claiming --------------------------------------------------------------------------------------------------------


def _claim(books: AlertBooks, config: Config, now: datetime) -> tuple[list[_Claimed], datetime | None]:
    """Decides of every row that waits: it goes out now, it waits on, or there is nothing to tell any more. Returns what
    goes out, and when what is held back may."""
    waiting = books.waiting()
    known = {channel.name: channel for channel in config.channel}
    unsent = {(row.alert_id, row.channel) for row, _ in waiting if row.event == Event.OPEN}
    untold = {(row.alert_id, row.channel) for row, _ in waiting if row.event == Event.OPEN and row.message_id is None}
    held = _held(books, config, [alert for _, alert in waiting if alert is not None], now)
    ready: dict[str, list[_Row]] = defaultdict(list)
    dropped: list[Notification] = []
    later: list[datetime] = []
    for row, alert in waiting:
        about = (row.alert_id, row.channel)
        if row.channel not in known or (alert is not None and _is_moot(row, alert, about in untold)):
            dropped.append(row)
        elif row.retry_at is not None and row.retry_at > now:
            continue
        elif row.event == Event.RESOLVE and about in unsent:
            continue  # first that it began
        elif row.event in (Event.OPEN, Event.REPEAT) and row.message_id is None and row.alert_id in held:
            later += filter(None, [held[row.alert_id]])
        else:
            ready[row.channel].append((row, alert))
    books.dropped(dropped, now)
    claimed: list[_Claimed] = []
    for name, found in ready.items():
        threads = books.threads(name, [row.alert_id for row, _ in found if row.alert_id is not None])
        # Who was never told that it began, for their channel took nothing for a day, is not told that it is over.
        untold_of = [row for row, _ in found if row.event == Event.RESOLVE and row.alert_id not in threads]
        books.dropped(untold_of, now)
        rows = [each for each in found if each[0].event != Event.RESOLVE or each[0].alert_id in threads]
        room = known[name].per_hour - books.messages_since(name, now - timedelta(hours=1))
        groups, too_many = _groups(rows, threads, room)
        claimed += filter(None, (_message(books, known[name], group, threads, now) for group in groups))
        if too_many:
            later.append(now + LIMITED_FOR)
    return claimed, min(later, default=None)


def _is_moot(row: Notification, alert: Alert, untold: bool) -> bool:
    """Over before anybody was told that it began; or a repetition of what is over or being seen to."""
    if row.event == Event.REPEAT:
        return row.message_id is None and (alert.state == "resolved" or alert.acked_at is not None)
    return alert.state == "resolved" and untold


def _held(books: AlertBooks, config: Config, alerts: Sequence[Alert], now: datetime) -> dict[str, datetime | None]:
    """The alerts that must wait, and until when; None where nobody knows."""
    unseen = {alert.source for alert in books.open_alerts() if alert.kind == UNSEEN and alert.state == "firing"}
    silences = books.silences(now)
    held: dict[str, datetime | None] = {}
    for alert in alerts:
        holds = held_back(
            alert,
            silences=silences,
            maintenance=config.maintenance,
            unseen={source for source in unseen if source is not None},
            now=now,
        )
        until = [hold.until for hold in holds if hold.cause in HELD_BY]
        if until:
            held[alert.alert_id] = None if None in until else max(filter(None, until))
    return held


def _groups(rows: Sequence[_Row], threads: Mapping[str, str], room: int) -> tuple[list[list[_Row]], bool]:
    """What goes out on a channel now, by message, and whether its limit leaves something waiting. Messages that were
    claimed before, and not recorded, come first."""
    old: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    fresh: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    for row, alert in rows:
        if row.message_id is not None:
            old[row.event, row.message_id].append((row, alert))
        else:
            fresh[_belongs_to(row, alert, threads)].append((row, alert))
    room = max(0, room - len(old))
    if len(fresh) > room:
        fresh = _merged(fresh)
    return [*old.values(), *list(fresh.values())[:room]], len(fresh) > room


def _belongs_to(row: Notification, alert: Alert | None, threads: Mapping[str, str]) -> tuple[str, ...]:
    """What goes into one message with it. Those that were told of together are told together to be over."""
    if alert is None:
        return (row.event,)
    if row.event == Event.RESOLVE:
        return (row.event, threads.get(alert.alert_id, alert.alert_id))
    about_runs = alert.pipeline_id is not None
    return (row.event, alert.rule, (alert.source or "") if about_runs else "")


def _merged(fresh: Mapping[tuple[str, ...], list[_Row]]) -> dict[tuple[str, ...], list[_Row]]:
    """Where a channel's limit leaves no room for each: all that opens in one message. What is over keeps its thread."""
    merged: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    for key, rows in fresh.items():
        merged[key if key[0] == Event.RESOLVE else key[:1]] += rows
    return dict(sorted(merged.items(), key=lambda each: each[0][0] != Event.OPEN))


def _message(
    books: AlertBooks,
    channel: AnyChannel,
    group: Sequence[_Row],
    threads: Mapping[str, str],
    now: datetime,
) -> _Claimed | None:
    rows = [row for row, _ in group]
    first = rows[0]
    event = Event(first.event)
    message_id = first.message_id or str(uuid4())
    if event is Event.DIGEST:
        ids = [alert.alert_id for alert in books.open_alerts() if alert.state == "firing"]
    else:
        ids = [row.alert_id for row in rows if row.alert_id is not None]
    thread = threads.get(ids[0], message_id) if ids and event is not Event.DIGEST else message_id
    whole = event is not Event.RESOLVE or books.is_over(channel.name, thread)
    if not ids or not channels.takes(channel, event, whole=whole):
        books.dropped(rows, now)
        return None
    stories = books.stories(ids, now)
    message = Message(
        message_id=message_id,
        thread=thread,
        event=event,
        severity=max((Severity(story.alert.severity) for story in stories.values()), key=lambda each: each.rank),
        stories=[stories[each] for each in ids],
        at=now,
        whole=whole,
        again=first.message_id is not None,
    )
    books.claim(message_id, rows, now)
    return _Claimed(channel, message, first.attempts, min(row.created_at for row in rows))
