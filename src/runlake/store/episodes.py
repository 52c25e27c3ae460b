"""The rows that alerting keeps: rules, their episodes, the outbox, and silences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import duckdb

from runlake.store.books import rows
from runlake.store.given import given


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


def values_of(row: Alert | RuleRow | Notification | Silence) -> dict[str, Any]:
    """By column, as the tables have them: facts are JSON."""
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    if isinstance(row, Alert):
        values["facts"] = json.dumps(row.facts, ensure_ascii=False)
    return values


def alerts(con: duckdb.DuckDBPyConnection, which: str, values: Sequence[Any] = ()) -> list[Alert]:
    """`which` is the rest of the query: a WHERE, an order."""
    query = "SELECT * REPLACE (alert_id::VARCHAR AS alert_id, run_key::VARCHAR AS run_key) FROM rl.alerts"
    found = rows(con, f"{query} {which}", values)
    return [Alert(**{**row, "facts": json.loads(row["facts"])}) for row in found]


def alerts_named(con: duckdb.DuckDBPyConnection, alert_ids: Sequence[str]) -> list[Alert]:
    """In no order that means anything; those that are not there are left out."""
    if not alert_ids:
        return []
    with given(con, "named", id=list(alert_ids)):
        return alerts(con, f"WHERE {NAMED}")


NAMED = "alert_id IN (SELECT id::UUID FROM named)"
"""For queries to which `named` is given, with a column `id`."""
