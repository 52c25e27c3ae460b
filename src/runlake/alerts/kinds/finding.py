"""A judgement of a pipeline, put together; and how instants are told in its sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import RunRule
from runlake.store.alerting import SeenPipeline, SeenRun


def finding(rule: RunRule, pipeline: SeenPipeline, verdict: Verdict, why: str, **rest: Any) -> Judgement:
    """`rest` are further fields of Judgement; what is seen through is, unless told, what was looked at last."""
    return Judgement(
        rule=rule.name,
        key=pipeline.key,
        verdict=verdict,
        why=why,
        source=pipeline.source.source,
        pipeline_id=pipeline.pipeline_id,
        pipeline_name=pipeline.pipeline_name,
        **{"seen_through": pipeline.source.looked_at, **rest},
    )


def told(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def end_of(run: SeenRun) -> datetime:
    """When a run ended that has: as the vendor says, else when we saw that it had."""
    return run.finished_at or run.observed_at


def last_seen(run: SeenRun) -> datetime:
    """When we last saw that an open run still is."""
    return run.read_at or run.observed_at
