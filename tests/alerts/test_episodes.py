"""The machine of episodes against a model of one key, whatever is judged and whatever the clock does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given

from runlake.alerts.episodes import FLAPPING_WITHIN, Episodes
from runlake.alerts.verdict import Verdict
from runlake.store.alerting import Alert, Notification

from .histories import ALERTS, CHANNELS, DAY, KEYS, MINUTE, RULE, T0, Look, Step, drawn, histories, judgement, modelled


@dataclass
class Rows:
    """The two tables. Nothing else is kept between evaluations: each begins like the first after a restart."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    outbox: list[Notification] = field(default_factory=list)

    def open(self) -> dict[str, Alert]:
        found = [alert for alert in self.alerts.values() if alert.state != "resolved"]
        by_key = {alert.key: alert for alert in found}
        assert len(by_key) == len(found), "two episodes of one key are open"
        return by_key

    def episodes(self, now: datetime) -> Episodes:
        fired = [a for a in self.alerts.values() if a.fired_at is not None and a.fired_at >= now - FLAPPING_WITHIN]
        told: dict[str, list[str]] = {}
        for row in self.outbox:
            if row.event == "open" and row.alert_id is not None:
                told.setdefault(row.alert_id, []).append(row.channel)
        return Episodes(
            now=now, alerts=ALERTS, fired_lately=Counter((each.rule, each.key) for each in fired), told=told
        )


def play(history: Sequence[Step]) -> Rows:
    """What an evaluation does with each step, on rows in memory."""
    rows, now, through = Rows(), T0, T0
    for step in history:
        now, through = now + step.after, through + step.seen
        before, episodes = rows.open(), rows.episodes(now)
        for key, look in zip(KEYS, step.looks, strict=True):
            episode = before.get(key)
            if look.ack and episode is not None:
                episode = rows.alerts[episode.alert_id] = replace(episode, acked_at=now, acked_by="mia")
            kept = replace(episode) if episode is not None else None
            found = judgement(key, look, through, episode.since if episode is not None else None)
            after = episodes.judged(RULE, found, episode, owner=None, channels=CHANNELS)
            assert episode == kept, "a row was changed in its place"
            if after is not None:
                episodes.repeat(RULE, after)
            if look.verdict is Verdict.CANNOT_TELL:
                assert after == episode
        rows.alerts |= episodes.changes.alerts
        rows.outbox += episodes.changes.outbox
    return rows


@drawn(60)
@given(histories)
def test_what_is_told_is_what_the_model_tells(history: list[Step]) -> None:
    rows = play(history)
    for number, key in enumerate(KEYS):
        wanted = [(told.event, told.at) for told in modelled(history, number)]
        for channel in CHANNELS:
            assert told_of(rows, key, channel) == wanted


def told_of(rows: Rows, key: str, channel: str) -> list[tuple[str, datetime]]:
    return [
        (row.event, row.created_at)
        for row in rows.outbox
        if row.channel == channel and row.alert_id is not None and rows.alerts[row.alert_id].key == key
    ]


@drawn(60)
@given(histories)
def test_each_episode_opens_once_and_is_over_once_after_it_opened(history: list[Step]) -> None:
    rows = play(history)
    for alert_id, alert in rows.alerts.items():
        for channel in CHANNELS:
            events = [row.event for row in rows.outbox if row.alert_id == alert_id and row.channel == channel]
            assert events in (
                [],
                ["open", *["repeat"] * (len(events) - 1)],
                ["open", *["repeat"] * (len(events) - 2), "resolve"],
            )
            assert ("resolve" in events) == (alert.state == "resolved" and bool(events))
        assert alert.fired_at is None or alert.fired_at >= alert.pending_at
        assert alert.resolved_at is None or alert.resolved_at >= (alert.fired_at or alert.pending_at)


@drawn(40)
@given(histories)
def test_who_repeats_keeps_its_distance_and_is_quiet_once_somebody_has_it(history: list[Step]) -> None:
    rows = play(history)
    assert RULE.repeat_every is not None
    for alert_id, alert in rows.alerts.items():
        for channel in CHANNELS:
            told = [row for row in rows.outbox if row.alert_id == alert_id and row.channel == channel]
            repeats = [row.created_at for row in told if row.event == "repeat"]
            for before, after in pairwise([row.created_at for row in told if row.event != "resolve"]):
                assert after - before >= RULE.repeat_every
            for at in repeats:
                assert alert.fired_at is not None and at - alert.fired_at < ALERTS.chronic_after
            if alert.flapping:
                assert not repeats


@drawn(40)
@given(histories)
def test_in_a_day_no_more_is_told_of_one_key_than_flaps(history: list[Step]) -> None:
    """By a clock that does not step back: then a day is a day."""
    rows = play([replace(step, after=abs(step.after)) for step in history])
    for key in KEYS:
        opened = [at for event, at in told_of(rows, key, CHANNELS[0]) if event == "open"]
        for at in opened:
            assert sum(at <= other < at + DAY for other in opened) <= ALERTS.flapping_after


def test_the_fourth_within_a_day_is_told_nowhere_and_neither_is_its_end() -> None:
    failing = Look(Verdict.FIRING, 15 * MINUTE, True, False)
    well = Look(Verdict.OK, 15 * MINUTE, True, False)
    rows = play([Step(30 * MINUTE, 30 * MINUTE, (look, look, look)) for look in [failing, well] * 5])
    assert [event for event, _ in told_of(rows, KEYS[0], CHANNELS[0])] == ["open", "resolve"] * 3
    flapping = [alert.flapping for alert in rows.alerts.values() if alert.key == KEYS[0]]
    assert flapping == [False, False, True, True, True]


def test_while_nobody_can_tell_nothing_is_fired_resolved_or_told() -> None:
    blind = Step(90 * MINUTE, timedelta(), (Look(Verdict.CANNOT_TELL, timedelta(), True, False),) * 3)
    failing = Look(Verdict.FIRING, timedelta(), True, False)
    well = Look(Verdict.OK, timedelta(), True, False)
    before = [Step(MINUTE, 30 * MINUTE, (failing, well, failing)), Step(MINUTE, 5 * MINUTE, (failing, well, well))]
    rows, later = play(before), play([*before, *[blind] * 2])
    assert [(a.key, a.state) for a in later.alerts.values()] == [(a.key, a.state) for a in rows.alerts.values()]
    assert [row.event for row in later.outbox] == [row.event for row in rows.outbox] == []


def test_what_has_no_beginning_of_its_own_holds_from_when_it_was_first_found() -> None:
    """A row of a query."""
    look = Look(verdict=Verdict.FIRING, age=timedelta(), settled=True, ack=False)
    episode, states = None, []
    for minutes in (0, 9, 10):
        at = T0 + minutes * MINUTE
        found = replace(judgement(KEYS[0], look, at, None), since=None)
        episodes = Episodes(now=at, alerts=ALERTS, fired_lately={}, told={})
        episode = episodes.judged(RULE, found, episode, owner=None, channels=CHANNELS)
        assert episode is not None
        states.append(episode.state)
    assert states == ["pending", "pending", "firing"]
