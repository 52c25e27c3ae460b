"""Reports that are made by themselves: planned when they are due, made, and sent to each place, which is recorded.

That a report is sent is written before it is, so that a process that dies in between sends it again under the same id,
by which a receiver that looks at ids takes it once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

from runlake.alerts import channels
from runlake.alerts.letter import Letter
from runlake.alerts.retrying import GIVEN_UP_AFTER, wait
from runlake.config import Config
from runlake.config.channels import AnyChannel, Mail
from runlake.config.reports import Report
from runlake.cron import last_before, next_after
from runlake.errors import DeliveryError, StoreError
from runlake.formats import plain
from runlake.report import rendering
from runlake.report.period import Period, period
from runlake.report.rendering import Asked, Rendered
from runlake.report.scope import Scope
from runlake.store import Store
from runlake.store.files import put, safe
from runlake.store.reports import ReportBooks, Sending

Publish = Callable[[datetime], Awaitable[None]]
"""Has readers' copy made from then or later. Raises StoreError."""

Render = Callable[[Asked], Awaitable[Rendered]]

STORED = timedelta(minutes=5)
"""So long after an instant what was seen by then is in the ledger too: syncs commit every few seconds. A report that
is made sooner would lack what another of the same week has."""


@dataclass(slots=True)
class Done:
    """What one go came to. Places are (report, where it goes)."""

    delivered: list[tuple[str, str]] = field(default_factory=list)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    next_at: datetime | None = None
    """When the next one is due, or one that was not taken is tried again."""


async def deliver(
    store: Store, config: Config, now: Callable[[], datetime], publish: Publish, render: Render = rendering.render
) -> Done:
    """Makes and sends what is due, one report after another. One at a time: what is claimed and not recorded is taken
    for left by a process that died. Raises StoreError."""
    due = await store.reports(partial(claim, config=config, now=now()))
    reports = {report.name: report for report in config.report}
    known = {channel.name: channel for channel in config.channel}
    done, same = Done(), defaultdict(list)
    for each in due:
        same[each.report, each.period].append(each)
    for (name, _), sendings in same.items():
        made = await _made(store, config, reports[name], sendings[0], publish, render)
        for each in sendings:
            await _send(store, reports[name], known, each, made, now, done)
    done.next_at = await store.reports(partial(_next_at, config=config, now=now()))
    return done


# --- what is due -----------------------------------------------------------------------------------------------------


def claim(books: ReportBooks, config: Config, now: datetime) -> list[Sending]:
    """Plans what has come due, and returns what is sent now. Of ticks that were missed, the last is made up for; those
    of before the report was in the config are not."""
    planned = books.planned(now)
    places = {report.name: report.places(config.channel) for report in config.report}
    for report in config.report:
        covered = _last_due(report, now, books.began())
        since, names = planned.get(report.name, (None, []))
        if since is None:
            first = _sending(report, covered, None, now)
            books.plan([first])
            books.dropped([first], now)
        elif covered.since > since and covered.name not in names:
            books.plan([_sending(report, covered, place, now) for place in places[report.name]])
    waiting = books.waiting()
    wanted = [each for each in waiting if each.channel in places.get(each.report, ())]
    books.dropped([each for each in waiting if each not in wanted], now)
    due = [each for each in wanted if _due_at(each) <= now]
    books.claim(due, now)
    return due


def _last_due(report: Report, now: datetime, began: datetime | None) -> Period:
    """The week that the last tick was about, as known when it was, or sooner."""
    due = last_before(report.cron, now)
    return period(zone=report.zone, now=due, as_of=due, began=began)


def _sending(report: Report, covered: Period, channel: str | None, now: datetime) -> Sending:
    return Sending(
        report=report.name,
        period=covered.name,
        since=covered.since,
        until=covered.until,
        zone=covered.zone.key,
        known_at=covered.known_at,
        channel=channel,
        message_id=str(uuid4()),
        created_at=now,
    )


def _next_at(books: ReportBooks, config: Config, now: datetime) -> datetime | None:
    waiting = (_due_at(each) for each in books.waiting())
    return min([*waiting, *(next_after(report.cron, now) for report in config.report)], default=None)


def _due_at(each: Sending) -> datetime:
    """When it is sent: not before it was planned, of which a clock may have been ahead."""
    return each.retry_at or max(each.created_at, each.known_at + STORED)


# --- making it, and sending it ---------------------------------------------------------------------------------------


async def _made(
    store: Store, config: Config, report: Report, sending: Sending, publish: Publish, render: Render
) -> Rendered | DeliveryError:
    """The report, or why there is none."""
    zone = ZoneInfo(sending.zone)
    first, end = (at.astimezone(zone).date() for at in (sending.since, sending.until))
    scope = Scope(report.sources, report.pipelines, report.owners, report.labels)
    try:
        await publish(sending.known_at + STORED)
        return await render(Asked(store.path.absolute(), config, Period(first, end, zone, sending.known_at), scope))
    except StoreError as error:
        return DeliveryError(f"there is no copy of the ledger for it: {error}", again=True)
    except DeliveryError as error:
        return error


async def _send(
    store: Store,
    report: Report,
    known: Mapping[str, AnyChannel],
    each: Sending,
    made: Rendered | DeliveryError,
    now: Callable[[], datetime],
    done: Done,
) -> None:
    place, but = (each.report, each.place), None
    try:
        if isinstance(made, DeliveryError):
            raise made
        if each.channel is None:
            await asyncio.to_thread(_write, report.folder, f"{each.report}-{each.period}.html", made.page)
        else:
            await channels.convey(known[each.channel], *_said(known[each.channel], each, made, now()))
    except DeliveryError as error:
        done.failures[place] = str(error)
        at = now()
        if not error.taken:
            retry_at = at + wait(error, each.attempts) if at - each.created_at < GIVEN_UP_AFTER else None
            await store.reports(partial(ReportBooks.failed, each=each, at=at, error=str(error), retry_at=retry_at))
            return
        but = str(error)
    await store.reports(partial(ReportBooks.delivered, each=each, at=now(), but=but))
    done.delivered.append(place)


def _said(channel: AnyChannel, each: Sending, made: Rendered, now: datetime) -> tuple[Letter, dict[str, object]]:
    """To people and to programs. All reports of one name are a thread."""
    again, full = each.attempts > 0, isinstance(channel, Mail)
    text = f"{made.brief}\n\nThis may have been sent before." if again else made.brief
    letter = Letter(
        message_id=each.message_id,
        thread=f"report-{each.report}",
        title=made.subject,
        text=made.mail.text if full else text,
        html=made.mail.html if full else None,
        images=made.mail.images if full else (),
    )
    data = {
        "version": 1,
        "event": "report",
        "message_id": each.message_id,
        "thread": letter.thread,
        "name": each.report,
        "at": plain(now),
        "again": again,
        "title": made.subject,
        "text": text,
        "report": made.data,
    }
    return letter, data


def _write(folder: Path | None, name: str, page: str) -> None:
    """Atomically: whoever opens it has all of it. Raises DeliveryError."""
    assert folder is not None
    fresh = folder / f".{name}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh.write_text(page, encoding="utf-8")
        safe(fresh)
        put(fresh, folder / name)
    except OSError as error:
        raise DeliveryError(f"cannot write {folder / name}: {error.strerror or error}", again=True) from None
