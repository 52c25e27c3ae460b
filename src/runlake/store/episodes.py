"""The rows that alerting keeps: rules, their episodes, the outbox, and silences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(slots=True, kw_only=True)
class Alert:
    """One episode: a row of `alerts`. `state` is pending, firing or resolved; one that resolves unfired was a flake."""

    alert_id: str
    rule: str
    kind: str
    key: str
    state: str
    severity: str
    since: datetime
    """When what it is about began, as the vendor's times say."""
    pending_at: datetime
    judged_at: datetime
    why: str
    facts: dict[str, Any]
    owner: str | None = None
    source: str | None = None
    pipeline_id: str | None = None
    pipeline_name: str | None = None
    run_key: str | None = None
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: str | None = None
    flapping: bool = False
    acked_at: datetime | None = None
    acked_by: str | None = None
    ack_note: str | None = None
    told_at: datetime | None = None
    """When it was last told as open, or put into the outbox for that."""


@dataclass(slots=True, kw_only=True)
class RuleRow:
    """A rule as the ledger knows it."""

    rule: str
    kind: str
    severity: str
    definition: str
    since: datetime
    error: str | None = None
    retired_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Notification:
    """A row of the outbox: that this event of this alert is to be told on this channel. `event` is open, repeat,
    resolve, or digest: that one is about all that is open, and has no `alert_id`."""

    alert_id: str | None
    channel: str
    event: str
    created_at: datetime
    message_id: str | None = None
    claimed_at: datetime | None = None
    attempts: int = 0
    retry_at: datetime | None = None
    delivered_at: datetime | None = None
    dropped_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Nobody is told of what matches all patterns that are not None, until then."""

    silence_id: str
    reason: str
    created_by: str
    created_at: datetime
    until: datetime
    rule: str | None = None
    source: str | None = None
    pipeline: str | None = None
