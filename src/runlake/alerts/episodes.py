"""Episodes: what becomes of an alert when a rule has judged again. Pure: rows in, rows out.

    nothing ── fires ──▶ pending ── held for `for` ──▶ firing ── is well ──▶ resolved
                            └─────── is well ───────────────────────────────────▲   (a flake: nobody was told)

For each rule and key there is one episode at most that is not resolved. It is told once when it opens, again as often
as its rule wants, and once when it is over. Who cannot tell changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import uuid4

from runlake.alerts.message import Event
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import Alerts, AnyRule
from runlake.store.alerting import Alert, Notification

FLAPPING_WITHIN = timedelta(days=1)


@dataclass(slots=True)
class Changes:
    """What an evaluation has changed: episodes, and what is to be told of them."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    """By id."""
    outbox: list[Notification] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episodes:
    """The machine, with what it needs to know besides: all by (rule, key), or by alert."""

    now: datetime
    alerts: Alerts
    fired_lately: Mapping[tuple[str, str], int]
    """How often each has fired within FLAPPING_WITHIN."""
    told: Mapping[str, Sequence[str]]
    """By alert, the channels on which it was, or is still to be, told as open."""
    changes: Changes = field(default_factory=Changes)

    def judged(
        self, rule: AnyRule, found: Judgement, episode: Alert | None, *, owner: str | None, channels: Sequence[str]
    ) -> Alert | None:
        """The episode after a judgement; None where there is none, or none any more."""
        match found.verdict:
            case Verdict.CANNOT_TELL:
                return episode
            case Verdict.OK:
                if episode is not None:
                    self.over(episode, found.why)
                return None
        after = self._news(rule, found, episode, owner)
        if after.state == "pending" and _has_held(rule, found, found.since or after.since):
            self._fire(after, channels)
        if after != episode:
            self._keep(after)
        return after

    def over(self, episode: Alert, resolution: str) -> None:
        """Resolves an episode. Those who were told that it began are told that it is over."""
        latest = episode.fired_at or episode.pending_at
        ended = replace(episode, state="resolved", resolved_at=max(self.now, latest), resolution=resolution)
        self._keep(ended)
        if episode.state == "firing":
            self._tell(ended, Event.RESOLVE, self.told.get(episode.alert_id, ()))

    def repeat(self, rule: AnyRule, episode: Alert) -> Alert:
        """Tells a firing one again, where its rule wants that and nothing speaks against it; the episode after that."""
        if rule.repeat_every is None or episode.told_at is None or not self.may_repeat(episode):
            return episode
        if self.now - episode.told_at < rule.repeat_every:
            return episode
        again = replace(episode, told_at=self.now)
        self._keep(again)
        self._tell(again, Event.REPEAT, self.told.get(episode.alert_id, ()))
        return again

    def may_repeat(self, episode: Alert) -> bool:
        quiet = episode.acked_at is not None or episode.flapping or self.is_chronic(episode)
        return episode.state == "firing" and not quiet

    def is_chronic(self, episode: Alert) -> bool:
        return episode.fired_at is not None and self.now - episode.fired_at >= self.alerts.chronic_after

    def _news(self, rule: AnyRule, found: Judgement, episode: Alert | None, owner: str | None) -> Alert:
        """The episode with what was found now; a new one, pending, where there is none."""
        if episode is None:
            episode = Alert(
                alert_id=str(uuid4()),
                rule=rule.name,
                kind=rule.kind,
                key=found.key,
                state="pending",
                severity=rule.told_as,
                since=found.since or self.now,
                pending_at=self.now,
                judged_at=self.now,
                why=found.why,
                facts=found.facts,
                source=found.source,
                pipeline_id=found.pipeline_id,
            )
        current = replace(
            episode,
            why=found.why,
            facts=found.facts,
            pipeline_name=found.pipeline_name or episode.pipeline_name,
            run_key=found.run_key or episode.run_key,
        )
        if current.state == "pending":  # what has been told stays so: receivers know an alert by it
            current.since = found.since or current.since
            current.severity, current.owner = rule.told_as, owner
        return current

    def _fire(self, episode: Alert, channels: Sequence[str]) -> None:
        before = self.fired_lately.get((episode.rule, episode.key), 0)
        episode.state, episode.fired_at = "firing", max(self.now, episode.pending_at)
        episode.flapping = before + 1 >= self.alerts.flapping_after
        if before < self.alerts.flapping_after:
            episode.told_at = self.now
            self._tell(episode, Event.OPEN, channels)

    def _tell(self, episode: Alert, event: Event, channels: Sequence[str]) -> None:
        self.changes.outbox += [
            Notification(alert_id=episode.alert_id, channel=channel, event=event, created_at=self.now)
            for channel in channels
        ]

    def _keep(self, episode: Alert) -> None:
        self.changes.alerts[episode.alert_id] = replace(episode, judged_at=self.now)


def _has_held(rule: AnyRule, found: Judgement, since: datetime) -> bool:
    """Whether it may be told: settled, and seen to last as long as the rule wants, by the source's own clock."""
    if not rule.holds_for:
        return found.settled
    return found.settled and found.seen_through is not None and found.seen_through - since >= rule.holds_for


def holds_at(rule: AnyRule, found: Judgement) -> datetime | None:
    """By the source's clock, when what fires will have held long enough; None where that is no question of time."""
    if found.verdict is Verdict.FIRING and found.settled and found.since is not None and rule.holds_for:
        return found.since + rule.holds_for
    return None


def look_again_at(rule: AnyRule, found: Judgement) -> datetime | None:
    """By the source's clock, when to judge again though nothing is new. What has come already waits until that clock
    goes on, or runs change."""
    ahead = (
        at
        for at in (found.look_at, holds_at(rule, found))
        if at is not None and (found.seen_through is None or at > found.seen_through)
    )
    return min(ahead, default=None)
