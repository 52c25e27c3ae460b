"""Pipelines and sources as the ledger would show them, written short: minutes after NOON are instants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from runlake.alerts.verdict import Judgement
from runlake.config.alerting import Rule
from runlake.model import RunStatus
from runlake.store.alerting import Alert, SeenPipeline, SeenRun, SeenSource

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""Of a Monday."""

LONG_AGO = NOON - timedelta(days=365)


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def run(name: str, status: str, begin: float, end: float | None = None, **rest: Any) -> SeenRun:
    """`name` is a run id, with "#2" behind it for a second attempt."""
    run_id, _, attempt = name.partition("#")
    created_at, finished_at = after(begin), None if end is None else after(end)
    fields: dict[str, Any] = {
        "run_key": f"key-{name}",
        "run_id": run_id,
        "attempt": int(attempt or 1),
        "status": RunStatus(status),
        "vendor_status": status.upper(),
        "created_at": created_at,
        "started_at": created_at,
        "finished_at": finished_at,
        "observed_at": finished_at or created_at,
        "duration_ms": None if end is None else int((end - begin) * 60_000),
    }
    return SeenRun(**{**fields, **rest})


def source(through: float = 0, **rest: Any) -> SeenSource:
    """Seen up to `through`, in full."""
    fields: dict[str, Any] = {
        "source": "etl",
        "vendor": "meridian",
        "observed_through": after(through),
        "looked_at": after(through),
        "first_synced_at": LONG_AGO,
        "last_at": after(through),
        "last_outcome": "ok",
    }
    return SeenSource(**{**fields, **rest})


def pipeline(runs: Sequence[SeenRun], through: float = 0, **rest: Any) -> SeenPipeline:
    newest_first = sorted(runs, key=lambda each: each.created_at, reverse=True)
    return SeenPipeline(source=source(through), pipeline_id="load", pipeline_name="Load", runs=newest_first, **rest)


def through(seen: SeenPipeline, minutes: float) -> SeenPipeline:
    """The same, with the source's clock there."""
    return replace(seen, source=source(minutes))


def opened(rule: Rule, found: Judgement, *, state: str = "firing") -> Alert:
    """The episode that such a judgement would open."""
    assert found.since is not None
    return Alert(
        alert_id="episode",
        rule=rule.name,
        kind=rule.kind,
        key=found.key,
        state=state,
        severity=rule.told_as,
        since=found.since,
        pending_at=found.seen_through or found.since,
        judged_at=found.seen_through or found.since,
        why=found.why,
        facts=found.facts,
        source=found.source,
        pipeline_id=found.pipeline_id,
        run_key=found.run_key,
    )
