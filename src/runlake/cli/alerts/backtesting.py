"""`alerts backtest`: what a rule would have sent in the last days."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any

from runlake.alerts.backtest import QUICK, Backtest, Progress, backtest, rule_named
from runlake.alerts.wording import about
from runlake.cli import show
from runlake.cli.alerts.seeing import instant, say, seen
from runlake.cli.show import Format
from runlake.config import Config
from runlake.config.alerting import RunRule
from runlake.config.spans import span, span_text
from runlake.errors import ConfigError
from runlake.formats import lasting, some
from runlake.store.alerting import Alert

LONGEST = timedelta(days=366)
_SHOWN_BY_DAY = timedelta(days=14)


def run(config: Config, name: str, *, last: str, everything: bool, format_: Format) -> None:
    """Raises ConfigError where there is no such rule, or none that can be replayed."""
    rule, length = rule_named(config, name), _length(last)
    with seen(config) as view:
        if view is None:
            return
        until = view.reader.freshness().as_of
        with _telling() as progress, _uncollected():
            result = backtest(view.books, config, rule, until - length, until, progress)
        if format_ is Format.JSON:
            sys.stdout.write(show.json_text(_content(result), indent=2) + "\n")
        else:
            _tell(result, everything)


def _length(text: str) -> timedelta:
    try:
        length = span(text)
    except ValueError as error:
        raise ConfigError(f"--last {text}: {error}") from None
    if length > LONGEST:
        raise ConfigError(f"--last {text}: write at most {span_text(LONGEST)}")
    return length


@contextmanager
def _uncollected() -> Iterator[None]:
    """Runs by the hundred thousand have no cycles among them: looking for some takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _telling() -> Iterator[Progress]:
    """A line on a terminal's stderr, from the first second on."""
    began, shown = time.monotonic(), False

    def progress(done: int, of: int) -> None:
        nonlocal began, shown
        if sys.stderr.isatty() and time.monotonic() - began >= 1:
            began, shown = time.monotonic(), True
            sys.stderr.write(f"\r{done:,} of {of:,} changes of runs")
            sys.stderr.flush()

    try:
        yield progress
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


# --- for machines ----------------------------------------------------------------------------------------------------

_ALERT = (
    *("key", "source", "pipeline_id", "pipeline_name", "run_key", "state", "severity", "since", "pending_at"),
    *("fired_at", "resolved_at", "resolution", "why", "facts", "flapping"),
)


def _content(result: Backtest) -> dict[str, Any]:
    quiet_from, quiet_until = result.longest_quiet
    return {
        "rule": result.rule.name,
        "kind": result.rule.kind,
        "definition": result.rule.model_dump(mode="json", by_alias=True, exclude_none=True),
        "since": result.since,
        "until": result.until,
        "judged": result.judged,
        "changes": result.changes,
        "messages": len(result.messages),
        "messages_by_event": Counter(message.event for message in result.messages),
        "fired": len(result.alerts),
        "resolved": len(result.resolved),
        "still_open": len(result.alerts) - len(result.resolved),
        "resolved_within": {span_text(length): result.resolved_within(length) for length in QUICK},
        "flapping": result.flapping,
        "held_by_maintenance": result.held,
        "flakes": result.flakes,
        "pending": result.pending,
        "longest_quiet": {"from": quiet_from, "until": quiet_until},
        "messages_per_day": result.per_day,
        "noisiest": [{"key": key, "fired": fired} for key, fired in result.noisiest],
        "limits": result.limits,
        "message_list": [asdict(message) for message in result.messages],
        "alerts": [
            {**{name: getattr(alert, name) for name in _ALERT}, "told": alert.told_at is not None}
            for alert in result.alerts
        ],
    }


# --- for eyes --------------------------------------------------------------------------------------------------------


def _tell(result: Backtest, everything: bool) -> None:
    judged = some(result.judged, "pipeline" if isinstance(result.rule, RunRule) else "source")
    say(f"{result.rule.name}, from {instant(result.since)} to {instant(result.until)}: {judged} judged")
    say(f"\n  messages: {len(result.messages)}{_by_event(result)}")
    say(f"  alerts that fired: {len(result.alerts)}, of which {_standing(result)}")
    if result.resolved:
        parts = [f"{_share(result, length)} within {lasting(length)}" for length in QUICK]
        say(f"  of those over: {', '.join(parts)}")
    if result.flapping:
        say(f"  too often, so in the digest only: {result.flapping}")
    if result.held:
        say(f"  told to nobody, in maintenance: {result.held}")
    pending = f", and {result.pending} may yet fire" if result.pending else ""
    say(f"  not told, for they were over before they had lasted: {result.flakes}{pending}")
    quiet_from, quiet_until = result.longest_quiet
    say(f"  longest time without a message: {lasting(quiet_until - quiet_from)}, from {instant(quiet_from)}")
    if result.messages:
        say()
        period, rows = _periods(result)
        show.table((period, "messages"), rows)
    if result.noisiest:
        say()
        show.table(("noisiest", "alerts"), [list(each) for each in result.noisiest])
    if everything and result.alerts:
        say()
        show.table(("fired", "lasted", "told", "about", "why"), [_row(alert, result.until) for alert in result.alerts])
    for limit in result.limits:
        show.note(f"note: {limit}")


def _by_event(result: Backtest) -> str:
    events = Counter(message.event for message in result.messages)
    words = {"open": "that something began", "repeat": "that it still is so", "resolve": "that it is over"}
    parts = [f"{events[event]} {text}" for event, text in words.items() if events[event]]
    return f" ({', '.join(parts)})" if parts else ""


def _standing(result: Backtest) -> str:
    return f"{len(result.resolved)} are over and {len(result.alerts) - len(result.resolved)} still open"


def _share(result: Backtest, length: timedelta) -> str:
    return f"{100 * result.resolved_within(length) / len(result.resolved):.0f} %"


def _periods(result: Backtest) -> tuple[str, list[list[Any]]]:
    """By day, or by week of more than a fortnight."""
    days = result.per_day
    if result.until - result.since <= _SHOWN_BY_DAY:
        return "day (UTC)", [[day, count] for day, count in days.items()]
    weeks: Counter[str] = Counter()
    for day, count in days.items():
        at = date.fromisoformat(day)
        weeks[(at - timedelta(days=at.weekday())).isoformat()] += count
    return "week from (UTC)", [[week, count] for week, count in weeks.items()]


def _row(alert: Alert, until: datetime) -> list[Any]:
    assert alert.fired_at is not None
    lasted = lasting((alert.resolved_at or until) - alert.fired_at)
    return [
        alert.fired_at,
        lasted if alert.state == "resolved" else f"{lasted}, still open",
        alert.told_at is not None,
        about(alert),
        alert.why,
    ]
