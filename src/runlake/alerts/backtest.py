"""What a rule would have sent in a time that is over, had it stood then and had nobody done anything about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from runlake.alerts.holding import Cause, held_back
from runlake.alerts.message import Event
from runlake.alerts.replaying import Clock, Line, replay_pipeline, replay_source
from runlake.alerts.scope import in_scope
from runlake.config import Config
from runlake.config.alerting import (
    AnyRule,
    AnyRunRule,
    AnySourceRule,
    CoverageGap,
    Maintenance,
    Missing,
    NewStatusWord,
    ReportFailed,
    RunRule,
    Sql,
    TooLong,
    Waiting,
)
from runlake.errors import ConfigError
from runlake.formats import instant
from runlake.store.alerting import Alert, AlertBooks
from runlake.store.past import Past, PastPipeline
from runlake.store.retention import BOOKS_KEPT

PORTION = 100_000
"""Changes of runs that are held at a time."""

QUICK = (timedelta(minutes=15), timedelta(hours=1))
"""Alerts that were over so soon need nobody, or are over before anybody has looked."""

Progress = Callable[[int, int], None]
"""How many changes of runs have been gone through, and of how many."""


@dataclass(frozen=True, slots=True)
class Message:
    """One that would have gone out, to a channel that takes all; `alerts` share it."""

    at: datetime
    event: str
    alerts: int


@dataclass(slots=True, kw_only=True)
class Backtest:
    """All in the time from `since` to `until`."""

    rule: AnyRule
    since: datetime
    until: datetime
    judged: int = 0
    """Pipelines, or sources."""
    changes: int = 0
    """Of their runs, in that time and before it, as far as a verdict looks back."""
    alerts: list[Alert] = field(default_factory=list)
    """Those that fired, the first first. Their ids mean nothing."""
    messages: list[Message] = field(default_factory=list)
    """In the order of time."""
    flakes: int = 0
    """Pending ones that were over before they had held for long enough: nobody is told."""
    pending: int = 0
    """Those that may yet fire."""
    held: int = 0
    """Told to nobody, for a maintenance lasted until they were over, or still does."""
    limits: list[str] = field(default_factory=list)
    """What is not as it was."""

    @property
    def flapping(self) -> int:
        """Those that fired too often to be told otherwise than by the digest."""
        return sum(alert.told_at is None for alert in self.alerts)

    @property
    def resolved(self) -> list[Alert]:
        return [alert for alert in self.alerts if alert.state == "resolved"]

    def resolved_within(self, length: timedelta) -> int:
        return sum(_lasted(alert) <= length for alert in self.resolved)

    @property
    def longest_quiet(self) -> tuple[datetime, datetime]:
        """Between two messages, or one and the end."""
        marks = [self.since, *(message.at for message in self.messages), self.until]
        return max(pairwise(marks), key=lambda pair: pair[1] - pair[0])

    @property
    def per_day(self) -> Counter[str]:
        """Messages by UTC day; days without any too."""
        days: Counter[str] = Counter()
        day = self.since.astimezone(UTC).date()
        while day <= self.until.astimezone(UTC).date():
            days[day.isoformat()] = 0
            day += timedelta(days=1)
        days.update(message.at.astimezone(UTC).date().isoformat() for message in self.messages)
        return days

    @property
    def noisiest(self) -> list[tuple[str, int]]:
        """The five keys that fired most, and how often."""
        found = Counter(alert.key for alert in self.alerts)
        return sorted(found.items(), key=lambda each: (-each[1], each[0]))[:5]


def _lasted(alert: Alert) -> timedelta:
    assert alert.fired_at is not None and alert.resolved_at is not None
    return alert.resolved_at - alert.fired_at


def rule_named(config: Config, name: str) -> AnyRunRule | AnySourceRule:
    """In force, or written with `enabled = false` to be tried. Raises ConfigError where there is none, or where nobody
    can tell what it would have found."""
    known: dict[str, AnyRule] = {rule.name: rule for rule in (*config.rule, *config.rules)}
    if name not in known:
        raise ConfigError(f"no rule '{name}' is in the config or built in; there are {', '.join(known)}")
    rule = known[name]
    if isinstance(rule, Sql):
        raise ConfigError(
            f"rule {name} is a query, which can be asked of the ledger as it is now only; use runlake sql"
        )
    if isinstance(rule, CoverageGap):
        raise ConfigError(f"rule {name} cannot be replayed: which runs were found missing when is not kept")
    if isinstance(rule, ReportFailed):
        raise ConfigError(
            f"rule {name} is about no run and no source: there is nothing to be replayed; use runlake sql"
        )
    return rule


def backtest(
    books: AlertBooks,
    config: Config,
    rule: AnyRunRule | AnySourceRule,
    since: datetime,
    until: datetime,
    progress: Progress = lambda done, of: None,
) -> Backtest:
    """Lives through the time from `since` to `until`, which is when the ledger's copy was made."""
    past = books.past(since)
    result = Backtest(rule=rule, since=since, until=until, limits=list(_limits(past, config, rule, until)))
    if isinstance(rule, RunRule):
        lines = _pipelines(past, config, rule, result, progress)
    else:
        lines = _sources(past, config, rule, result)
    told: list[_Told] = []
    for line in lines:
        told += _add(line, config.maintenance, result)
    result.alerts.sort(key=lambda alert: (alert.fired_at or alert.pending_at, alert.key))
    result.messages = _messages(told, per_source=isinstance(rule, RunRule))
    return result


def _pipelines(past: Past, config: Config, rule: AnyRunRule, result: Backtest, progress: Progress) -> Iterator[Line]:
    names = {source.name for source in config.source}
    synced = past.first_synced_at()
    wanted = [
        each for each in past.pipelines() if each.source in names and in_scope(rule, *each.key, each.pipeline_name)
    ]
    wanted.sort(key=lambda each: each.key)
    result.judged, result.changes, done = len(wanted), sum(each.changes for each in wanted), 0
    clocks: dict[str, Clock] = {}
    progress(done, result.changes)
    for portion in _portions(wanted):
        clocks = {
            name: clocks.get(name) or Clock(name, synced.get(name), past.syncs(name))
            for name in {each.source for each in portion}
        }
        keys = [each.key for each in portion]
        histories = past.changes(keys, where=rule.where, labels=bool(rule.labels))
        for pipeline, changes in zip(portion, histories, strict=True):
            clock = clocks[pipeline.source]
            yield replay_pipeline(rule, config.alerts, pipeline, changes, clock, result.since, result.until)
            done += pipeline.changes
            progress(done, result.changes)


def _portions(pipelines: Iterable[PastPipeline]) -> Iterator[list[PastPipeline]]:
    portion: list[PastPipeline] = []
    size = 0
    for each in pipelines:
        if portion and size + each.changes > PORTION:
            yield portion
            portion, size = [], 0
        portion.append(each)
        size += each.changes
    if portion:
        yield portion


def _sources(past: Past, config: Config, rule: AnySourceRule, result: Backtest) -> Iterator[Line]:
    synced = past.first_synced_at()
    for source in config.source:
        if in_scope(rule, source.name):
            syncs = past.syncs(source.name)
            if syncs:
                result.judged += 1
                words = past.words(source.name) if isinstance(rule, NewStatusWord) else []
                clock = Clock(source.name, synced.get(source.name), syncs)
                yield replay_source(rule, config.alerts, words, clock, source.latest, result.since, result.until)


# --- what is told ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """A row of the outbox that would have gone out."""

    at: datetime
    event: str
    alert: Alert


def _add(line: Line, maintenance: Sequence[Maintenance], result: Backtest) -> Iterator[_Told]:
    """Counts the episodes of a line; yields what is told of them, as the outbox does where nobody interferes."""
    for alert in line.changes.alerts.values():
        if alert.fired_at is not None:
            result.alerts.append(alert)
        elif alert.state == "resolved":
            result.flakes += 1
        else:
            result.pending += 1
    opened: dict[str, datetime] = {}
    for row in line.changes.outbox:
        assert row.alert_id is not None
        alert = line.changes.alerts[row.alert_id]
        if row.event == Event.RESOLVE:
            at = row.created_at if row.alert_id in opened else None
        else:
            at = _free(alert, maintenance, row.created_at, result.until)
            if row.event == Event.OPEN:
                if at is None or (alert.resolved_at is not None and alert.resolved_at <= at):
                    result.held += 1
                    continue
                opened[row.alert_id] = at
            elif at != row.created_at or opened.get(row.alert_id, at) >= at:
                continue  # what waits with that it began is told once
        if at is not None:
            yield _Told(at, row.event, alert)


def _free(alert: Alert, maintenance: Sequence[Maintenance], at: datetime, until: datetime) -> datetime | None:
    """From `at` on, when no maintenance holds it back; None where it lasts beyond `until`."""
    while at <= until:
        holds = held_back(alert, silences=(), maintenance=maintenance, unseen=(), now=at)
        ends = [hold.until for hold in holds if hold.cause is Cause.MAINTENANCE and hold.until is not None]
        if not ends:
            return at
        at = max(ends)
    return None


def _messages(told: Iterable[_Told], *, per_source: bool) -> list[Message]:
    """What is told at one time of the same rule and source shares a message; what was told together to have begun is
    told together to be over."""
    groups: Counter[tuple[datetime, str, tuple[datetime, str] | None]] = Counter()
    threads: dict[str, tuple[datetime, str]] = {}
    for each in sorted(told, key=lambda each: (each.at, each.event == Event.RESOLVE)):
        source = (each.alert.source or "") if per_source else ""
        if each.event == Event.OPEN:
            threads[each.alert.alert_id] = (each.at, source)
        thread = threads[each.alert.alert_id] if each.event == Event.RESOLVE else (each.at, source)
        groups[each.at, each.event, thread] += 1
    return [Message(at, event, count) for (at, event, _), count in groups.items()]


# --- what nobody knows any more --------------------------------------------------------------------------------------


def _limits(past: Past, config: Config, rule: AnyRule, until: datetime) -> Iterator[str]:
    yield "without what people did: acks and silences are not replayed; the maintenance of the config is"
    begins = past.begins()
    if begins is not None and begins > past.start:
        yield f"the ledger begins at {instant(begins)}: before that nothing fires"
    elif begins is not None and begins > past.since:
        yield f"the ledger begins at {instant(begins)}: limits learned early in this time rest on less than they would"
    if config.daemon.keep_snapshots is not None and past.since < until - config.daemon.keep_snapshots:
        yield "`keep_snapshots` is shorter than this time and 30 days: of older runs only what became of them is known"
    if past.start < until - BOOKS_KEPT:
        yield "syncs that changed nothing are kept for 30 days: before, what is told by the clock is told later"
    if isinstance(rule, TooLong | Waiting):
        yield "how long an open run was seen is known to within an hour"
    if isinstance(rule, Missing):
        yield "which pipelines are paused is as of now"
    if isinstance(rule, NewStatusWord):
        yield "words of runs only: of steps no history is kept"
