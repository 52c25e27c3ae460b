"""A rule lived through again: what it would have found at each evaluation of the past, from what was known then.

An evaluation was at the end of each attempt at a source. As in live evaluation, a pipeline is judged where its runs had
changed, or where by its source's clock an instant had come at which the rule wanted to look again; the verdicts and the
episodes are made by the same code. Pipelines have nothing to do with each other, so each is lived through by itself.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from runlake.alerts import kinds
from runlake.alerts.episodes import FLAPPING_WITHIN, Changes, Episodes, look_again_at
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import Alerts, AnyRule, AnyRunRule, AnySourceRule
from runlake.model import Outcome, RunRef
from runlake.store.alerting import LATE_AFTER, MOST_RUNS, WINDOW, Alert, Notification, SeenPipeline, SeenRun, SeenSource
from runlake.store.books import Watched
from runlake.store.past import PastPipeline, PastSync, PastWord

ANYBODY = "anybody"
"""The one channel of the past: it takes all."""


class Clock:
    """A source as it was seen after each attempt at it. The instants of `ends` are the evaluations."""

    def __init__(self, source: str, first_synced_at: datetime | None, syncs: Iterable[PastSync]) -> None:
        self.ends: list[datetime] = []
        self._seen: list[SeenSource] = []
        self._looked_at: list[datetime] = []
        self._read: list[tuple[datetime, datetime]] = []
        """Of the attempts that read open runs, when each began and ended."""
        through: datetime | None = None
        answered_at: datetime | None = None
        last: PastSync | None = None
        failing: list[datetime] = []
        for sync in syncs:
            if sync.kind in {"sync", "follow"} and sync.outcome in {"ok", "partial"}:
                self._read.append((sync.started_at, sync.finished_at))
            if sync.kind == "sync" and sync.outcome in {"ok", "partial", "failed"}:
                last = sync
                if sync.outcome == "failed":
                    failing.append(sync.started_at)
                else:
                    answered_at, failing = sync.started_at, []
            through = sync.observed_through or through
            looked_at = max(filter(None, (through, answered_at)), default=None)
            now = SeenSource(
                source=source,
                vendor="",
                observed_through=through,
                looked_at=looked_at,
                first_synced_at=first_synced_at if through is not None else None,
                last_at=last.started_at if last is not None else None,
                last_outcome=last.outcome if last is not None else None,
                error_class=last.error_class if last is not None else None,
                error=last.error if last is not None else None,
                failing_since=failing[0] if failing else None,
                failures=len(failing),
            )
            self.ends.append(sync.finished_at)
            self._seen.append(now)
            before = self._looked_at[-1] if self._looked_at else sync.finished_at - WINDOW
            self._looked_at.append(max(before, looked_at) if looked_at is not None else before)

    def at(self, now: datetime) -> SeenSource | None:
        """As seen then; None before its first attempt."""
        place = bisect_right(self.ends, now)
        return self._seen[place - 1] if place else None

    def evaluation(self, now: datetime, known_at: datetime) -> datetime | None:
        """The first after `now` at which that was known."""
        return self._end(max(bisect_left(self.ends, known_at), bisect_right(self.ends, now)))

    def looks(self, now: datetime, look_at: datetime) -> datetime | None:
        """The first evaluation after `now` at which that instant had come, by this clock."""
        return self._end(max(bisect_left(self._looked_at, look_at), bisect_right(self.ends, now)))

    def _end(self, place: int) -> datetime | None:
        return self.ends[place] if place < len(self.ends) else None

    def read(self, run: Watched, now: datetime) -> None:
        """Moves on when an open run was last read: by each attempt until then that found it to be due."""
        while True:
            if run.due_at is None or run.read_at is None:
                place = bisect_left(self._read, (run.since,))
            else:
                place = bisect_left(self._read, (max(run.due_at, run.read_at + timedelta(microseconds=1)),))
            if place == len(self._read) or self._read[place][1] > now:
                return
            run.read_at = self._read[place][0]


@dataclass(slots=True)
class Line:
    """The episodes of one rule and key, one after another, and what was to be told of them."""

    rule: AnyRule
    alerts: Alerts
    episode: Alert | None = None
    changes: Changes = field(default_factory=Changes)

    def step(self, found: Judgement, now: datetime) -> None:
        if self.episode is None and found.verdict is not Verdict.FIRING:
            return
        fired = [each.fired_at for each in self.changes.alerts.values() if each.fired_at is not None]
        lately = sum(at >= now - FLAPPING_WITHIN for at in fired)
        machine = self._machine(now, {(self.rule.name, found.key): lately})
        self.episode = machine.judged(self.rule, found, self.episode, owner=None, channels=[ANYBODY])

    def repeat_until(self, end: datetime) -> None:
        """Tells it again as often as the rule wants, as an evaluation does that is planned for that."""
        while (episode := self.episode) is not None and episode.told_at is not None and self.rule.repeat_every:
            at = episode.told_at + self.rule.repeat_every
            if at >= end:
                return
            self._machine(at, {}).repeat(self.rule, episode)
            again = self.changes.alerts[episode.alert_id]
            if again.told_at == episode.told_at:  # nothing more is told of it
                return
            self.episode = again

    def _machine(self, now: datetime, fired_lately: dict[tuple[str, str], int]) -> Episodes:
        told = self.episode is not None and self.episode.told_at is not None
        return Episodes(
            now=now,
            alerts=self.alerts,
            fired_lately=fired_lately,
            told={self.episode.alert_id: [ANYBODY]} if self.episode is not None and told else {},
            changes=self.changes,
        )

    @property
    def outbox(self) -> list[Notification]:
        return self.changes.outbox


class _Pipeline:
    """A pipeline and its runs as they were known at a time that only goes on."""

    def __init__(self, pipeline: PastPipeline, changes: Sequence[tuple[datetime, SeenRun]]) -> None:
        self._pipeline, self._changes, self._next = pipeline, changes, 0
        self._order: list[tuple[datetime, int, str, str]] = []
        """Created, attempt, run_id, run_key of each run …"""
        self._runs: list[SeenRun] = []
        """… and what is known of it."""
        self._open: dict[str, tuple[Watched, SeenRun]] = {}
        self._late: set[str] = set()
        self._said_by: dict[str, tuple[str, str | None]] = {}
        """Of each run, its word, and how that was first seen."""

    def learn(self, now: datetime) -> None:
        while self._next < len(self._changes) and self._changes[self._next][0] <= now:
            self._put(self._changes[self._next][1])
            self._next += 1

    @property
    def next_change(self) -> datetime | None:
        return self._changes[self._next][0] if self._next < len(self._changes) else None

    @property
    def has_runs(self) -> bool:
        return bool(self._runs)

    def _put(self, run: SeenRun) -> None:
        key, read_by = run.run_key, run.read_by
        order = (run.created_at, run.attempt, run.run_id, key)
        place = bisect_left(self._order, order)
        if place < len(self._order) and self._order[place] == order:
            self._runs[place] = run
            if run.created_at < run.observed_at - LATE_AFTER:
                self._late.add(key)
        else:
            self._order.insert(place, order)
            self._runs.insert(place, run)
        if self._said_by.get(key, (None,))[0] != run.vendor_status:
            self._said_by[key] = (run.vendor_status, read_by)
        run.read_by = self._said_by[key][1] if run.outcome is Outcome.FAILURE else None
        if run.outcome is not None or run.vanished:
            self._open.pop(key, None)
            return
        read_at = None if read_by == "remap" else run.observed_at  # that looked at our own history only
        if key in self._open:
            watched, _ = self._open[key]
            watched.read_at = read_at or watched.read_at
        else:
            ref = RunRef(self._pipeline.pipeline_id, run.run_id, run.attempt)
            watched = Watched(ref=ref, why="open", since=run.observed_at, read_at=read_at)
        self._open[key] = (watched, run)

    def seen(self, source: SeenSource, clock: Clock, now: datetime) -> SeenPipeline:
        for watched, run in self._open.values():
            clock.read(watched, now)
            run.read_at = watched.read_at
        oldest = bisect_left(self._order, (now - WINDOW,))
        newest = max(oldest, len(self._order) - MOST_RUNS)
        runs = self._runs[newest:]
        runs.reverse()
        if self._open or self._late:
            runs += [
                run
                for run in reversed(self._runs[:newest])
                if run.run_key in self._open or (run.run_key in self._late and run.created_at < now - WINDOW)
            ]
            self._late.clear()
        return SeenPipeline(
            source=source,
            pipeline_id=self._pipeline.pipeline_id,
            pipeline_name=self._pipeline.pipeline_name,
            paused=self._pipeline.paused,
            runs=runs,
        )


def replay_pipeline(
    rule: AnyRunRule,
    alerts: Alerts,
    pipeline: PastPipeline,
    changes: Sequence[tuple[datetime, SeenRun]],
    clock: Clock,
    start: datetime,
    until: datetime,
) -> Line:
    """From an evaluation at `start` on, at which the rule begins: what ended before is none of its business."""
    line, known = Line(rule, alerts), _Pipeline(pipeline, changes)
    now: datetime | None = start
    while now is not None and now <= until:
        known.learn(now)
        source, ahead = clock.at(now), []
        if source is None or source.first_synced_at is None:  # it waits until that is seen in full
            ahead.append(clock.evaluation(now, now))
        elif known.has_runs:
            seen, since = known.seen(source, clock, now), max(start, source.first_synced_at)
            found = kinds.judge(rule, seen, since=since, episode=line.episode)
            line.step(found, now)
            look_at = look_again_at(rule, found)
            if look_at is not None:
                ahead.append(clock.looks(now, look_at))
        if known.next_change is not None:
            ahead.append(clock.evaluation(now, known.next_change))
        now = min((at for at in ahead if at is not None), default=None)
        line.repeat_until(min(now or until, until))
    return line


def replay_source(
    rule: AnySourceRule,
    alerts: Alerts,
    words: Sequence[PastWord],
    clock: Clock,
    patience: timedelta,
    start: datetime,
    until: datetime,
) -> Line:
    """`words` are for a rule about them; `patience` is the longest usual time between two polls of the source."""
    line, said, place = Line(rule, alerts), {}, 0
    for now in [start, *clock.ends[bisect_right(clock.ends, start) :]]:
        source = clock.at(now)
        if now > until or source is None:
            continue
        while place < len(words) and words[place].known_at <= now:
            said[words[place].run_key] = words[place].word
            place += 1
        unmapped = {word.word: word for word in said.values() if word is not None}
        seen = replace(source, words=[unmapped[word] for word in sorted(unmapped)])
        line.repeat_until(now)
        line.step(kinds.judge_source(rule, seen, now=now, patience=patience, episode=line.episode), now)
    line.repeat_until(until)
    return line
