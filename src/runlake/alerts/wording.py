"""What alerts are called, and when things were: in words for people, in the zone that they read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

from runlake.alerts.message import Event, LetGo, Message
from runlake.alerts.quoting import cut, quoted
from runlake.formats import lasting, some
from runlake.store.alerting import Alert, Story

LONGEST_TITLE = 120

_LET_GO = frozenset(LetGo)

_HAPPENED = {
    "failed": ("failed", "failed"),
    "failure_rate": ("fails often", "fail often"),
    "too_long": ("takes too long", "take too long"),
    "too_short": ("ended too fast", "ended too fast"),
    "missing": ("did not run when due", "did not run when due"),
    "waiting": ("waits for a person", "wait for a person"),
    "source_unobservable": ("cannot be seen", "cannot be seen"),
    "new_status_word": ("says a new status word", "say new status words"),
    "report_failed": ("has not been delivered", "have not been delivered"),
    "coverage_gap": ("has runs that the ledger lacks", "have runs that the ledger lacks"),
}
"""By kind of rule, what is said of one and of many; of what a query found, its rule is named."""


def about(alert: Alert) -> str:
    """What it is about: `source/pipeline`, by name where it has one; a source; a report; a row of a query."""
    if alert.kind == "report_failed":
        return f"report {alert.key}"
    if alert.key == f"{alert.source}/{alert.pipeline_id}":
        return f"{alert.source}/{alert.pipeline_name or alert.pipeline_id}"
    return alert.key


def thing(alert: Alert, most: int) -> str:
    """The same, fit for a message."""
    return quoted(about(alert), most)


def headline(alert: Alert, most: int) -> str:
    """What has happened to what: `etl/nightly failed`."""
    if alert.kind not in _HAPPENED:
        rule = quoted(alert.rule, most // 2)
        return f"{rule}: {thing(alert, most - len(rule) - 2)}"
    happened, _ = _HAPPENED[alert.kind]
    return f"{thing(alert, most - len(happened) - 1)} {happened}"


def title(message: Message) -> str:
    """One line of at most LONGEST_TITLE characters, which begins with how bad it is."""
    stories = message.stories
    match message.event:
        case Event.TEST:
            return "TEST message of runlake"
        case Event.DIGEST:
            return f"Digest: {some(len(stories), 'alert')} open"
        case Event.RESOLVE:
            let_go = all(story.alert.resolution in _LET_GO for story in stories)
            before, after = "NO LONGER WATCHED " if let_go else "RESOLVED ", ""
        case Event.REPEAT:
            oldest = min(story.alert.since for story in stories)
            before, after = f"{message.severity.upper()} ", f", still so after {lasting(message.at - oldest)}"
        case Event.OPEN:  # sent for the first time, or again to a channel that did not take it while it was open
            over = all(story.alert.state == "resolved" for story in stories)
            before, after = f"{message.severity.upper()} ", ", over by now" if over else ""
    room = LONGEST_TITLE - len(before) - len(after)
    what = headline(stories[0].alert, room) if len(stories) == 1 else cut(_headline_of_many(stories), room)
    return f"{before}{what}{after}"


def _headline_of_many(stories: Sequence[Story]) -> str:
    alerts = [story.alert for story in stories]
    kinds, sources = {alert.kind for alert in alerts}, {alert.source for alert in alerts}
    where = quoted(next(iter(sources)) or "", 40) if len(sources) == 1 else some(len(sources), "source")
    if len(kinds) == 1 and (kind := alerts[0].kind) in _HAPPENED:
        _, happened = _HAPPENED[kind]
        if all(alert.pipeline_id is None for alert in alerts):
            return f"{some(len(alerts), 'report' if kind == 'report_failed' else 'source')} {happened}"
        if len({alert.key for alert in alerts}) == len(alerts):
            return f"{some(len(alerts), 'pipeline')} of {where} {happened}"
    if len(rules := {alert.rule for alert in alerts}) == 1:
        return f"{some(len(alerts), 'alert')} of rule {quoted(next(iter(rules)), 40)}"
    return f"{some(len(alerts), 'alert')} of {where}" if where else some(len(alerts), "alert")


def when(instant: datetime, now: datetime, zone: tzinfo) -> str:
    """`09:12 CET`; with its day where that is not today, with its year where that is not this one."""
    there, here = _in(instant, zone), _in(now, zone)
    form = "%H:%M" if there.date() == here.date() else "%a %d %b %H:%M"
    if there.year != here.year:
        form = "%d %b %Y %H:%M"
    name = there.tzname() or ""
    return f"{there.strftime(form)} {f'UTC{name}' if name[:1] in ('+', '-') else name}".rstrip()


def _in(instant: datetime, zone: tzinfo) -> datetime:
    try:
        return instant.astimezone(zone)
    except (OverflowError, ValueError):  # a sentinel such as year 1, which has no time west of Greenwich
        return instant.astimezone(UTC)
