"""`alerts show`: all that is known of one alert."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from shlex import quote
from typing import Any

from runlake.alerts.wording import about
from runlake.cli import show
from runlake.cli.alerts.seeing import Seen, hold_row, hold_text, instant, say, seen, short
from runlake.cli.show import Format
from runlake.config import Config
from runlake.formats import lasting
from runlake.store.alerting import Alert, Notification, Story


def show_one(config: Config, alert: str, format_: Format) -> None:
    """Raises ConfigError where `alert` is no id of one, nor how just one begins."""
    with seen(config) as view:
        if view is None:
            return
        found = view.books.alert(alert)
        story = view.books.stories([found.alert_id], view.now)[found.alert_id]
        told = view.books.notifications(found.alert_id)
        if format_ is Format.JSON:
            content = {
                **asdict(story),
                "held_back": [hold_row(hold) for hold in view.holds(found)],
                "notifications": [asdict(each) for each in told],
            }
            sys.stdout.write(show.json_text(content, indent=2) + "\n")
        else:
            _tell(view, story, told)


def _tell(view: Seen, story: Story, told: Sequence[Notification]) -> None:
    alert = story.alert
    say(f"{alert.severity}: {about(alert)}: {alert.rule}, {alert.state}")
    say()
    say(f"  {alert.why}")
    for name, value in _facts(view, story):
        say(f"  {name}: {value}")
    if alert.facts:
        say("\nWhat that rests on")
        for name, value in alert.facts.items():
            say(f"  {name}: {fact(value)}")
    say("\nWho was told")
    if told:
        show.table(_TOLD, [_row(each) for each in told])
    else:
        say(f"  nobody: {_why_nobody(alert)}")
    if holds := view.holds(alert):
        say("\nWhat holds it back")
        for hold in holds:
            say(f"  {hold_text(hold)}")
    if alert.state != "resolved" and alert.acked_at is None:
        show.note(f"runlake alerts ack {short(alert.alert_id)} says that somebody looks after it")


def _why_nobody(alert: Alert) -> str:
    if alert.fired_at is None:
        return "it has not fired"
    return "it comes and goes, so only the digest tells it" if alert.flapping else "no channel of the config takes it"


def _facts(view: Seen, story: Story) -> Iterator[tuple[str, str]]:
    alert = story.alert
    end = alert.resolved_at or view.now
    yield "alert", alert.alert_id
    yield "since", f"{instant(alert.since)}, {lasting(end - alert.since)}"
    for name, at in (("first seen", alert.pending_at), ("fired", alert.fired_at), ("last judged", alert.judged_at)):
        if at is not None:
            yield name, instant(at)
    if alert.resolved_at is not None:
        yield "over", f"{instant(alert.resolved_at)}: {alert.resolution}"
    if alert.acked_at is not None:
        yield "acked", f"{instant(alert.acked_at)} by {alert.acked_by}{f': {alert.ack_note}' if alert.ack_note else ''}"
    yield "owner", alert.owner or "nobody; [[owner]] in the config names one"
    if story.run_id is not None:
        yield "run", f"{story.run_id} ({story.vendor_status}); runlake explain {alert.source} {quote(story.run_id)}"
    if story.run_url is not None:
        yield "see", story.run_url
    if story.failed_step is not None:
        yield "failing step", story.failed_step
    if story.error is not None:
        yield "error", story.error
    if alert.pipeline_id is not None:
        explain = f"runlake alerts explain {quote(alert.pipeline_id)} --source {alert.source}"
        yield "pipeline", f"{alert.pipeline_id}; {explain}"
        yield "last success", instant(story.last_success_at) if story.last_success_at is not None else "none lately"
        yield "last 7 days", f"{story.failed_lately} of {story.ended_lately} runs failed"
    if story.observed_through is not None:
        yield "seen through", instant(story.observed_through)


_TOLD = ("channel", "event", "planned", "outcome", "at", "attempts", "error")


def _row(row: Notification) -> list[Any]:
    outcome, at = _outcome(row)
    return [row.channel, row.event, row.created_at, outcome, at, row.attempts, row.error]


def _outcome(row: Notification) -> tuple[str, datetime | None]:
    """What became of it, in a word, and when."""
    if row.delivered_at is not None:
        return "sent", row.delivered_at
    if row.dropped_at is not None:
        return "dropped", row.dropped_at
    if row.retry_at is not None:
        return "again at", row.retry_at
    return ("sending", row.claimed_at) if row.claimed_at is not None else ("waits", None)


def fact(value: Any) -> str:
    """One of the inputs of a verdict, which are as JSON has them: instants in the reader's zone."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {fact(each)}" for name, each in value.items())
    if isinstance(value, str) and value[10:11] == "T":
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return value
        return instant(at) if at.tzinfo is not None else value
    return show.cell(value)
