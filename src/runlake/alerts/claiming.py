"""Deciding what goes out: of every row of the outbox that waits, in the commit that claims it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from runlake.alerts import channels
from runlake.alerts.holding import Cause, Hold, Holds
from runlake.alerts.message import Event, Message
from runlake.alerts.routing import reaches
from runlake.config import Config
from runlake.config.alerting import Severity
from runlake.config.channels import AnyChannel
from runlake.store.alerting import Alert, AlertBooks, Notification, Story

LIMITED_FOR = timedelta(minutes=1)
"""Until a channel's limit is looked at again."""

_TICK = timedelta(microseconds=1)

HELD_BY = {Cause.SILENCED, Cause.MAINTENANCE, Cause.UNSEEN}
"""What holds back a message that is to be sent; the other causes are reasons not to plan one."""

_Row = tuple[Notification, Alert | None]
"""A row that waits, and its alert; a digest has none."""


@dataclass(frozen=True, slots=True)
class Claimed:
    channel: AnyChannel
    message: Message
    attempts: int
    created_at: datetime
    """When the first of its rows was put into the outbox."""


def claim(books: AlertBooks, config: Config, now: datetime) -> tuple[list[Claimed], datetime | None]:
    """Decides of every row that waits: it goes out now, it waits on, or there is nothing to tell any more. Returns what
    goes out, and when what is held back may."""
    waiting = books.waiting()
    if not waiting:
        return [], None
    known = {channel.name: channel for channel in config.channel}
    unsent = {(row.alert_id, row.channel) for row, _ in waiting if row.event == Event.OPEN}
    untold = {(row.alert_id, row.channel) for row, _ in waiting if row.event == Event.OPEN and row.message_id is None}
    holds = Holds(books, config.maintenance, now)
    ready: dict[str, list[_Row]] = defaultdict(list)
    dropped: list[Notification] = []
    later: list[datetime] = []
    before: set[tuple[str | None, str]] = set()
    for row, alert in waiting:
        about = (row.alert_id, row.channel)
        if row.channel not in known or (alert is not None and _is_moot(row, alert, about in untold, about in before)):
            dropped.append(row)
            continue
        if row.event in (Event.OPEN, Event.REPEAT):
            before.add(about)
        if row.retry_at is not None and row.retry_at > now:
            continue
        if row.event == Event.RESOLVE and about in unsent:
            continue  # first that it began
        if row.event in (Event.OPEN, Event.REPEAT) and row.message_id is None and alert is not None:
            waits, until = _waits(holds.of(alert))
            if waits:
                later += [until] if until is not None else []
            else:
                ready[row.channel].append((row, alert))
        else:
            ready[row.channel].append((row, alert))
    books.dropped(dropped, now)
    if instead := _instead(books, config, [each for each in waiting if each[0].channel not in known], now):
        books.enqueue(instead)
        later.append(now)
    claimed: list[Claimed] = []
    for name, found in ready.items():
        threads = books.threads(name, [row.alert_id for row, _ in found if row.alert_id is not None])
        # Who was never told that it began, for their channel took nothing for a day, is not told that it is over.
        untold_of = [row for row, _ in found if row.event == Event.RESOLVE and row.alert_id not in threads]
        books.dropped(untold_of, now)
        rows = [each for each in found if each[0].event != Event.RESOLVE or each[0].alert_id in threads]
        hour_ago = now - timedelta(hours=1)
        room = known[name].per_hour - books.messages_since(name, hour_ago)
        groups, too_many = _groups(rows, threads, room, hour_ago)
        # Asked once for all: each message by itself would hold up the ledger's thread for as long as its query takes.
        stories = books.stories([row.alert_id for each in groups for row, _ in each if row.alert_id is not None], now)
        claimed += filter(None, (_message(books, config, known[name], each, threads, stories, now) for each in groups))
        if too_many:
            later.append(now + LIMITED_FOR)
    return claimed, min(later, default=None)


def _instead(books: AlertBooks, config: Config, gone: Sequence[_Row], now: datetime) -> list[Notification]:
    """For the channels there are, what those that are gone were to tell of what still fires, where nobody else was, or
    is to be, told: such a channel may be called otherwise by now."""
    firing = {
        alert.alert_id: alert
        for row, alert in gone
        if row.event == Event.OPEN and alert is not None and alert.state == "firing"
    }
    told = books.told(list(firing))
    return [
        Notification(alert_id=alert.alert_id, channel=channel.name, event=Event.OPEN, created_at=now)
        for alert in firing.values()
        if alert.alert_id not in told
        for channel in config.channel
        if reaches(channel, rule=alert.rule, severity=Severity(alert.severity), owner=alert.owner)
    ]


def _is_moot(row: Notification, alert: Alert, untold: bool, before: bool) -> bool:
    """Over before anybody was told that it began; or a repetition of what is over, being seen to, or yet to be told:
    `before` it the same waits already."""
    if row.event == Event.REPEAT:
        return row.message_id is None and (before or alert.state == "resolved" or alert.acked_at is not None)
    return alert.state == "resolved" and untold


def _waits(holds: Sequence[Hold]) -> tuple[bool, datetime | None]:
    """Whether it must wait, and until when; None where nobody knows."""
    until = [hold.until for hold in holds if hold.cause in HELD_BY]
    return bool(until), None if None in until else max(filter(None, until), default=None)


def _groups(
    rows: Sequence[_Row], threads: Mapping[str, str], room: int, counted_from: datetime
) -> tuple[list[list[_Row]], bool]:
    """What goes out on a channel now, by message, and whether its limit leaves something waiting. Messages that were
    claimed before, and were not taken, come first; those of `counted_from` or later have their `room` already."""
    old: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    fresh: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    for row, alert in rows:
        if row.message_id is not None:
            old[row.event, row.message_id].append((row, alert))
        else:
            fresh[_belongs_to(row, alert, threads)].append((row, alert))
    begun = (row.claimed_at for [(row, _), *_] in old.values())
    room = max(0, room - sum(at is None or at < counted_from for at in begun))
    if len(fresh) > room:
        fresh = _merged(fresh)
    return [*old.values(), *list(fresh.values())[:room]], len(fresh) > room


def _belongs_to(row: Notification, alert: Alert | None, threads: Mapping[str, str]) -> tuple[str, ...]:
    """What goes into one message with it. Those that were told of together are told together again, and to be over."""
    if alert is None:
        return (row.event,)
    if row.event in (Event.REPEAT, Event.RESOLVE):
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
    config: Config,
    channel: AnyChannel,
    group: Sequence[_Row],
    threads: Mapping[str, str],
    stories: Mapping[str, Story],
    now: datetime,
) -> Claimed | None:
    """Claims the rows for one message; None where there is nothing in it for such a channel."""
    rows = [row for row, _ in group]
    first = rows[0]
    event = Event(first.event)
    message_id = first.message_id or str(uuid4())
    digest = _Digest(books, config, channel, first, now) if event is Event.DIGEST else None
    ids = digest.about if digest is not None else [row.alert_id for row in rows if row.alert_id is not None]
    thread = message_id if digest is not None or not ids else threads.get(ids[0], message_id)
    whole = event is not Event.RESOLVE or books.is_over(channel.name, thread)
    if not ids or not channels.takes(channel, event, whole=whole):
        books.dropped(rows, now)
        return None
    if digest is not None:
        stories = books.stories(ids, now)
    message = Message(
        message_id=message_id,
        thread=thread,
        event=event,
        severity=max((Severity(stories[each].alert.severity) for each in ids), key=lambda each: each.rank),
        stories=[stories[each] for each in ids],
        at=now,
        whole=whole,
        again=first.message_id is not None,
        zone=config.alerts.zone,
    )
    books.claim(message_id, rows, now)
    message = message if digest is None else digest.told(message)
    return Claimed(channel, message, first.attempts, min(row.created_at for row in rows))


class _Digest:
    """What still fires, and how that has changed since the digest before."""

    def __init__(
        self, books: AlertBooks, config: Config, channel: AnyChannel, row: Notification, now: datetime
    ) -> None:
        def is_for_it(alert: Alert) -> bool:
            return alert.fired_at is not None and reaches(
                channel, rule=alert.rule, severity=Severity(alert.severity), owner=alert.owner
            )

        self._since = books.last_digest(channel.name, row.created_at - _TICK)
        alerts = [alert for alert in books.open_alerts() if is_for_it(alert)]
        over = [] if self._since is None else [alert for alert in books.resolved_since(self._since) if is_for_it(alert)]
        self._resolved = len(over)
        self._opened = sum(
            self._since is not None and alert.fired_at is not None and alert.fired_at >= self._since
            for alert in [*alerts, *over]
        )
        self.about = [alert.alert_id for alert in alerts]
        holds = Holds(books, config.maintenance, now)
        self._held = {alert.alert_id: found[0].cause.value for alert in alerts if (found := holds.of(alert))} | {
            alert.alert_id: "chronic"
            for alert in alerts
            if alert.fired_at is not None and now - alert.fired_at >= config.alerts.chronic_after
        }

    def told(self, message: Message) -> Message:
        return replace(message, held=self._held, since=self._since, opened=self._opened, resolved=self._resolved)
