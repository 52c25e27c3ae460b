"""What a message tells of an alert, besides what the alert itself says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from runlake.store.books import rows
from runlake.store.episodes import Alert
from runlake.store.given import given
from runlake.store.seen import WINDOW

LATELY = timedelta(days=7)


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
    """Runs of the pipeline that succeeded or failed within LATELY …"""
    failed_lately: int = 0
    """… and how many of them failed."""
    observed_through: datetime | None = None


def stories(con: duckdb.DuckDBPyConnection, alerts: Sequence[Alert], now: datetime) -> dict[str, Story]:
    """By alert. A run is looked for among those created within WINDOW before what it is about began."""
    if not alerts:
        return {}
    values = {
        "earliest": min(alert.since for alert in alerts) - WINDOW,
        "since": now - WINDOW,
        "lately": now - LATELY,
    }
    columns = {
        name: [getattr(alert, name) for alert in alerts] for name in ("alert_id", "run_key", "source", "pipeline_id")
    }
    with given(con, "alerts_told", **columns):
        found = {row.pop("alert_id"): row for row in rows(con, _STORIES, values)}
    return {alert.alert_id: Story(alert=alert, **found[alert.alert_id]) for alert in alerts}


# The steps are those of the view `failures`.
_STORIES = """
WITH asked AS (
  SELECT alert_id, run_key::UUID AS run_key, source::VARCHAR AS source, pipeline_id::VARCHAR AS pipeline_id
  FROM alerts_told),
about AS (
  SELECT run_key, created_at, run_id, run_url, vendor_status, error_message FROM rl.runs
  WHERE run_key IN (SELECT run_key FROM asked) AND created_at >= $earliest),
failed_steps AS (
  SELECT run_key, arg_min(coalesce(name, step_id), step_no) AS failed_step,
         arg_min_null(error_message, step_no) AS step_error
  FROM rl.steps WHERE status IN ('failed', 'timed_out')
    AND run_created_at IN (SELECT created_at FROM about) AND run_key IN (SELECT run_key FROM about)
  GROUP BY run_key),
lately AS (
  SELECT source, pipeline_id, max(ended_at) FILTER (outcome = 'success') AS last_success_at,
         count(*) FILTER (ended_at >= $lately) AS ended_lately,
         count(*) FILTER (outcome = 'failure' AND ended_at >= $lately) AS failed_lately
  FROM (SELECT source, pipeline_id, outcome, coalesce(finished_at, observed_at) AS ended_at
        FROM runs SEMI JOIN asked USING (source, pipeline_id)
        WHERE created_at >= $since AND outcome IN ('success', 'failure') AND vanished_at IS NULL)
  GROUP BY ALL)
SELECT a.alert_id, r.run_id, r.run_url, r.vendor_status, f.failed_step,
       coalesce(f.step_error, r.error_message) AS error, l.last_success_at, coalesce(l.ended_lately, 0) AS ended_lately,
       coalesce(l.failed_lately, 0) AS failed_lately, s.observed_through
FROM asked a LEFT JOIN about r ON r.run_key = a.run_key LEFT JOIN failed_steps f ON f.run_key = a.run_key
LEFT JOIN lately l ON l.source = a.source AND l.pipeline_id = a.pipeline_id
LEFT JOIN rl.sources s ON s.source = a.source
"""
