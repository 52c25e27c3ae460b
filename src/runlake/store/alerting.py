"""What alerting reads and writes: pipelines as seen, episodes, and the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb

from runlake.model import Outcome, RunStatus

WINDOW = timedelta(days=30)
"""How far back the runs of a pipeline are looked at."""

MOST_RUNS = 200
"""Of them, the newest; open ones come on top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownWord:
    """A vendor's status word without a mapping; `level` is run or step."""

    level: str
    word: str
    config_line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Runs of a pipeline and UTC day that the vendor lists and that the ledger still lacks."""

    pipeline_id: str
    day: str
    run_ids: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSource:
    """How far we have seen a source, and what is the matter with it."""

    source: str
    vendor: str
    observed_through: datetime | None = None
    """Up to when every run of it is known; None until a first sync is complete."""
    looked_at: datetime | None = None
    """When the last sync began that was answered, if only in part; not before `observed_through`."""
    first_synced_at: datetime | None = None
    """When the first complete sync began: what ended before is history, not news."""
    last_at: datetime | None = None
    last_outcome: str | None = None
    error_class: str | None = None
    error: str | None = None
    failing_since: datetime | None = None
    """When the first of the failed syncs since the last answered one began."""
    failures: int = 0
    words: Sequence[UnknownWord] = ()
    gaps: Sequence[Gap] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRun:
    """A run as last seen; `labels` only where they were asked for."""

    run_key: str
    run_id: str
    attempt: int
    status: RunStatus
    vendor_status: str
    created_at: datetime
    observed_at: datetime
    """When we saw it change last."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: int | None = None
    trigger: str | None = None
    read_by: str | None = None
    """How the state it is in was seen; known of failures only."""
    read_at: datetime | None = None
    """Of an open run: when we last saw that it still is."""
    vanished: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    holds: frozenset[str] = frozenset()
    """Which of the conditions (`where`) that were asked it fulfils."""

    @property
    def outcome(self) -> Outcome | None:
        return self.status.outcome

    @property
    def ended_at(self) -> datetime | None:
        """When it ended: as the vendor says, else when we saw that it had. None while it is open."""
        return None if self.outcome is None else self.finished_at or self.observed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPipeline:
    """A pipeline and its runs of the last WINDOW, newest created first, at most MOST_RUNS besides the open ones."""

    source: SeenSource
    pipeline_id: str
    pipeline_name: str | None = None
    paused: bool = False
    runs: Sequence[SeenRun] = ()

    @property
    def key(self) -> str:
        return f"{self.source.source}/{self.pipeline_id}"


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
    """When it was last put into the outbox to be told as open."""


@dataclass(slots=True, kw_only=True)
class RuleRow:
    """A rule as the ledger knows it."""

    rule: str
    kind: str
    severity: str
    definition: str
    since: datetime
    evaluated_at: datetime | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """An alert and what a message tells of it, as known when the message is made. All text is the vendor's own."""

    alert: Alert
    run_id: str | None = None
    run_url: str | None = None
    vendor_status: str | None = None
    failed_step: str | None = None
    error: str | None = None
    last_success_at: datetime | None = None
    """When the pipeline last succeeded, in the last WINDOW."""
    ended_lately: int = 0
    """Runs of the pipeline that succeeded or failed in the last seven days …"""
    failed_lately: int = 0
    """… and how many of them failed."""
    observed_through: datetime | None = None


class AlertBooks:
    """Alerting's view of a ledger or of its published copy; what writes needs an open transaction."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
