"""One evaluation: what has changed since the last one is judged, episodes move on, and what is to be told of them goes
into the outbox, all in one commit.

Judged are the pipelines whose runs have changed and those for which, by their source's clock, an instant has come at
which a rule wanted to look again. What is neither costs nothing, however many rules there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from runlake.alerts import kinds
from runlake.alerts.episodes import FLAPPING_WITHIN, Changes, Episodes, look_again_at
from runlake.alerts.kinds import reports as of_reports
from runlake.alerts.message import Event, LetGo
from runlake.alerts.routing import reaches
from runlake.alerts.scope import Scoped, in_scope, owner_of
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config import Config
from runlake.config.alerting import AnyRule, AnyRunRule, Owner, ReportFailed, RunRule, Sql
from runlake.cron import last_before, next_after
from runlake.store.alerting import Alert, AlertBooks, Notification, RuleRow, SeenPipeline

PORTION = 1000
"""Pipelines judged in one commit: a changed rule is a reason to judge all there are, and each takes up to 0.3 MB, which
its 200 runs are."""


@dataclass(slots=True)
class Evaluated:
    """What an evaluation did."""

    judged: frozenset[tuple[str, str]] = frozenset()
    """Pipelines, as (source, pipeline_id)."""
    fired: list[Alert] = field(default_factory=list)
    resolved: list[Alert] = field(default_factory=list)
    """Of those that had fired."""
    firing: Counter[str] = field(default_factory=Counter)
    """By rule, how many fire now."""
    unfinished: bool = False
    """Whether there is more to be judged."""
    next_at: datetime | None = None
    """When, though nothing is new, there is something to be told: a digest, or what is to be repeated."""

    def then(self, later: Evaluated) -> Evaluated:
        """Both of two in a row."""
        return Evaluated(
            judged=self.judged | later.judged,
            fired=self.fired + later.fired,
            resolved=self.resolved + later.resolved,
            firing=later.firing,
            next_at=later.next_at,
            unfinished=later.unfinished,
        )


@dataclass(slots=True)
class Asked:
    """What a rule's query answered: a judgement for each row; or why it could not be asked."""

    found: list[Judgement] = field(default_factory=list)
    error: str | None = None


def evaluate(
    books: AlertBooks,
    config: Config,
    now: datetime,
    asked: Mapping[str, Asked] | None = None,
    but_not: Set[tuple[str, str]] = frozenset(),
) -> Evaluated:
    """Judges and writes; needs an open transaction. `asked` are the answers to `sql` rules, by rule; those that were
    not asked this time stay as they are. `but_not`: pipelines that were judged just now."""
    evaluation = _Evaluation(books, config, now)
    evaluation.let_go()
    evaluation.sources()
    evaluation.pipelines(but_not)
    evaluation.reports()
    evaluation.queries(asked or {})
    return evaluation.done()


class _Evaluation:
    def __init__(self, books: AlertBooks, config: Config, now: datetime) -> None:
        self._books, self._config, self._now = books, config, now
        self._rules = config.rules
        self._by_name = {rule.name: rule for rule in self._rules}
        self._names = {source.name for source in config.source}
        self._known = self._keep_rules()
        self._open = {(alert.rule, alert.key): alert for alert in books.open_alerts()}
        self._firing_before = {alert.alert_id for alert in self._open.values() if alert.state == "firing"}
        self._episodes = Episodes(
            now=now,
            alerts=config.alerts,
            fired_lately=books.fired_between(now - FLAPPING_WITHIN, now),
            told=books.told([alert.alert_id for alert in self._open.values()]),
        )
        self._seen = {name: seen for name, seen in books.sources().items() if name in self._names}
        self._judged: frozenset[tuple[str, str]] = frozenset()
        self._called: dict[str, str | None] = {}
        self._unfinished = False
        self._errors: dict[str, str | None] = {}

    def _keep_rules(self) -> dict[str, RuleRow]:
        """The rules as the ledger knows them, brought up to the config: one that has changed begins anew."""
        before = self._books.rules()
        rows, changed = {}, False
        for rule in self._rules:
            row, definition = before.get(rule.name), rule.definition
            if row is None or row.definition != definition or row.retired_at is not None:
                row = RuleRow(
                    rule=rule.name, kind=rule.kind, severity=rule.told_as, definition=definition, since=self._now
                )
                changed = True
            elif row.severity != rule.told_as:
                row.severity, changed = rule.told_as, True
            rows[rule.name] = row
        for name in before.keys() - rows.keys():
            if before[name].retired_at is None:
                before[name].retired_at, changed = self._now, True
        if changed:
            self._books.keep_rules([*rows.values(), *(before[name] for name in before.keys() - rows.keys())])
            self._books.judge_all(self._now)
        return rows

    # -- what is judged

    def let_go(self) -> None:
        """Ends the episodes that will never be judged again."""
        unpolled = False
        for (name, key), episode in list(self._open.items()):
            if resolution := self._no_more(self._by_name.get(name), episode):
                self._episodes.over(episode, resolution.value)
                del self._open[name, key]
                unpolled |= episode.source is not None and episode.source not in self._names
        if unpolled:  # should such a source come back, what is still so fires anew
            self._books.judge_all(self._now)

    def _no_more(self, rule: AnyRule | None, episode: Alert) -> LetGo | None:
        """Why no rule is about it any more, where that is so."""
        if rule is None:
            return LetGo.NO_RULE
        if rule.kind != episode.kind:
            return LetGo.OTHER_KIND
        if isinstance(rule, Sql):
            return None
        if isinstance(rule, ReportFailed):
            return None if any(report.name == episode.key for report in self._config.report) else LetGo.NO_REPORT
        if episode.source not in self._names:
            return LetGo.NO_SOURCE
        called = self._called.get(episode.key, episode.pipeline_name)
        return None if in_scope(rule, episode.source, episode.pipeline_id, called) else LetGo.OUT_OF_SCOPE

    def sources(self) -> None:
        rules = [rule for rule in self._rules if not isinstance(rule, RunRule | ReportFailed | Sql)]
        for source in self._config.source:
            seen = self._seen.get(source.name)
            if seen is None:  # never synced
                continue
            for rule in rules:
                if in_scope(rule, source.name):
                    episode = self._open.get((rule.name, source.name))
                    found = kinds.judge_source(rule, seen, now=self._now, patience=source.latest, episode=episode)
                    self._step(rule, found, None)

    def pipelines(self, but_not: Set[tuple[str, str]]) -> None:
        rules = [rule for rule in self._rules if isinstance(rule, RunRule)]
        seen = {name: each for name, each in self._seen.items() if each.first_synced_at is not None}
        candidates = [key for key in self._books.candidates(seen) if key not in but_not]
        keys, self._unfinished = candidates[:PORTION], len(candidates) > PORTION
        conditions = {rule.where for rule in rules if rule.where is not None}
        labels = any(rule.labels for rule in rules) or any(owner.labels for owner in self._config.owner)
        scoped, lookouts = Scoped(rules), dict[tuple[str, str], datetime | None]()
        for pipeline in self._books.pipelines(seen, keys, self._now, conditions=conditions, labels=labels):
            its_rules = scoped.of(pipeline.source.source, pipeline.pipeline_id, pipeline.pipeline_name)
            lookouts[pipeline.source.source, pipeline.pipeline_id] = self._pipeline(its_rules, pipeline)
            self._called[pipeline.key] = pipeline.pipeline_name
        self._books.judged(keys, lookouts)
        self._judged = frozenset(keys)

    def _pipeline(self, rules: Sequence[AnyRunRule], pipeline: SeenPipeline) -> datetime | None:
        """Judges by the rules that it is in the scope of; returns when to look at it again."""
        first_synced_at = pipeline.source.first_synced_at
        assert first_synced_at is not None
        ahead: list[datetime | None] = []
        for rule in rules:
            since = max(self._known[rule.name].since, first_synced_at)
            found = kinds.judge(rule, pipeline, since=since, episode=self._open.get((rule.name, pipeline.key)))
            self._step(rule, found, pipeline)
            ahead.append(look_again_at(rule, found))
        return min(filter(None, ahead), default=None)

    def reports(self) -> None:
        rules = [rule for rule in self._rules if isinstance(rule, ReportFailed)]
        if not self._config.report or not rules:
            return
        last = self._books.last_reports(self._now)
        for report in self._config.report:
            for rule in rules:
                self._step(rule, of_reports.judge(rule, report, self._config.channel, last, self._now), None)

    def queries(self, asked: Mapping[str, Asked]) -> None:
        for rule in self._rules:
            answer = asked.get(rule.name)
            if not isinstance(rule, Sql) or answer is None:
                continue
            self._errors[rule.name] = answer.error
            if answer.error is not None:  # what fires goes on firing
                continue
            for found in answer.found:
                self._step(rule, found, None)
            gone = {found.key for found in answer.found}
            for (name, key), episode in list(self._open.items()):
                if name == rule.name and key not in gone:
                    self._episodes.over(episode, "its row is gone from the query's answer")
                    del self._open[name, key]

    def _step(self, rule: AnyRule, found: Judgement, pipeline: SeenPipeline | None) -> None:
        episode = self._open.get((rule.name, found.key))
        if episode is None and found.verdict is not Verdict.FIRING:
            return
        owner = rule.owner or _owner(self._config.owner, found, pipeline)
        after = self._episodes.judged(rule, found, episode, owner=owner, channels=self._channels(rule, owner))
        if after is None:
            self._open.pop((rule.name, found.key), None)
        else:
            self._open[rule.name, found.key] = after

    def _channels(self, rule: AnyRule, owner: str | None) -> list[str]:
        return [
            channel.name
            for channel in self._config.channel
            if reaches(channel, rule=rule.name, severity=rule.told_as, owner=owner)
        ]

    # -- what follows from it

    def done(self) -> Evaluated:
        self.let_go()  # pipelines may be called otherwise by now
        for (name, key), episode in self._open.items():
            self._open[name, key] = self._episodes.repeat(self._by_name[name], episode)
        self._plan_digest()
        changes = self._episodes.changes
        self._books.save_alerts(list(changes.alerts.values()))
        self._books.enqueue(changes.outbox)
        self._keep_errors()
        return self._summary(changes)

    def _plan_digest(self) -> None:
        due = last_before(self._config.alerts.digest, self._now)
        for channel in self._config.channel:
            if channel.digest:
                last = self._books.last_digest(channel.name, self._now) or min(
                    (row.since for row in self._known.values()), default=self._now
                )
                if last < due:
                    self._episodes.changes.outbox.append(
                        Notification(alert_id=None, channel=channel.name, event=Event.DIGEST, created_at=self._now)
                    )

    def _next_at(self) -> datetime | None:
        every = {rule.name: rule.repeat_every for rule in self._rules if rule.repeat_every is not None}
        repeats = [
            alert.told_at + every[alert.rule]
            for alert in self._open.values()
            if alert.rule in every and alert.told_at is not None and self._episodes.may_repeat(alert)
        ]
        digests = (
            [next_after(self._config.alerts.digest, self._now)] if any(c.digest for c in self._config.channel) else []
        )
        return min([*repeats, *digests], default=None)

    def _keep_errors(self) -> None:
        told = [row for name, row in self._known.items() if name in self._errors and row.error != self._errors[name]]
        for row in told:
            row.error = self._errors[row.rule]
        if told:
            self._books.keep_rules(told)

    def _summary(self, changes: Changes) -> Evaluated:
        alerts = changes.alerts.values()
        return Evaluated(
            judged=self._judged,
            fired=[each for each in alerts if each.state == "firing" and each.alert_id not in self._firing_before],
            resolved=[alert for alert in alerts if alert.state == "resolved" and alert.fired_at is not None],
            firing=Counter(name for (name, _), alert in self._open.items() if alert.state == "firing"),
            unfinished=self._unfinished,
            next_at=self._next_at(),
        )


def _owner(owners: Sequence[Owner], found: Judgement, pipeline: SeenPipeline | None) -> str | None:
    labels: Mapping[str, str] = {}
    if pipeline is not None:
        labels = next((run.labels for run in pipeline.runs if run.run_key == found.run_key), {})
    return owner_of(owners, found.source or "", found.pipeline_id, found.pipeline_name, labels)
