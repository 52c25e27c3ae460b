"""What holds an alert back from being told: a person, a maintenance, a source that cannot be seen, or itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from runlake.alerts.scope import in_scope, matches
from runlake.config.alerting import Maintenance
from runlake.cron import last_before
from runlake.store.alerting import Alert, AlertBooks, Silence

UNSEEN = "source_unobservable"
"""The kind of the one alert that speaks for all of a source that cannot be seen."""


class Cause(StrEnum):
    ACKED = "acked"
    SILENCED = "silenced"
    MAINTENANCE = "maintenance"
    UNSEEN = "source unseen"
    FLAPPING = "flapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """`why` is what a person wrote: a note, a reason, the name of a maintenance. `until`: None where nobody knows."""

    cause: Cause
    by: str | None = None
    why: str | None = None
    until: datetime | None = None


def held_back(
    alert: Alert,
    *,
    silences: Sequence[Silence],
    maintenance: Sequence[Maintenance],
    unseen: Collection[str],
    now: datetime,
) -> list[Hold]:
    """All of it, what a person did first. `unseen`: the sources for which an alert of kind UNSEEN fires."""
    holds: list[Hold] = []
    if alert.acked_at is not None:
        holds.append(Hold(cause=Cause.ACKED, by=alert.acked_by, why=alert.ack_note))
    for silence in silences:
        if silence.created_at <= now < silence.until and is_silenced(alert, silence):
            holds.append(Hold(cause=Cause.SILENCED, by=silence.created_by, why=silence.reason, until=silence.until))
    for each in maintenance:
        until = last_before(each.cron, now) + each.lasts
        if now < until and in_scope(each, alert.source or "", alert.pipeline_id, alert.pipeline_name):
            holds.append(Hold(cause=Cause.MAINTENANCE, why=each.name, until=until))
    if alert.kind != UNSEEN and alert.source in unseen:
        holds.append(Hold(cause=Cause.UNSEEN))
    if alert.flapping:
        holds.append(Hold(cause=Cause.FLAPPING))
    return holds


def is_silenced(alert: Alert, silence: Silence) -> bool:
    """Whether it matches all patterns that the silence has, whenever that is; a pipeline by its id or its name."""
    patterns = (
        (silence.rule, [alert.rule]),
        (silence.source, [alert.source]),
        (silence.pipeline, [alert.pipeline_id, alert.pipeline_name]),
    )
    return all(
        pattern is None or matches([pattern], *(word for word in words if word is not None))
        for pattern, words in patterns
    )


class Holds:
    """What holds back any alert of a ledger at one moment."""

    def __init__(self, books: AlertBooks, maintenance: Sequence[Maintenance], now: datetime) -> None:
        self._silences, self._maintenance, self._now = books.silences(now), maintenance, now
        self._unseen = {
            alert.source
            for alert in books.open_alerts()
            if alert.kind == UNSEEN
            and alert.state == "firing"
            and alert.source is not None
            # Of one that is seen in part, what is seen is no less true: one list that is refused mutes no other.
            and not alert.facts.get("partly_seen")
        }

    def of(self, alert: Alert) -> list[Hold]:
        return held_back(
            alert, silences=self._silences, maintenance=self._maintenance, unseen=self._unseen, now=self._now
        )
