"""Alertmanager's API v2: `POST /api/v2/alerts`, an array of alerts (its api/v2/openapi.yaml).

An alert there is its labels: the same labels again are the same alert, so a message may arrive twice. That is why only
what stays as it is through an episode is a label, and all else an annotation. What is sent without an end is over there
after `resolve_timeout` (5 minutes) unless it is sent again and again, as Prometheus does; we send once, and what we do
not know to be over must not look so. Hence an end that is far off, and another, past one once it resolves.

One that restarts forgets what fires, without saying that it is over, and repeats it no more; the resolve is told all
the same (both tried with 0.25). Where its repeats matter, a rule's `repeat_every` sends it again.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from runlake.alerts.message import Event, Message
from runlake.alerts.quoting import link, quoted
from runlake.config.channels import Alertmanager
from runlake.formats import instant
from runlake.http import post
from runlake.store.alerting import Story

FAR_OFF = timedelta(days=365)
TEST_LASTS = timedelta(minutes=5)


async def send(channel: Alertmanager, message: Message) -> None:
    body = json.dumps([_alert(story, message) for story in message.stories]).encode()
    secrets = [] if channel.token is None else [channel.token.reveal()]
    await post(f"{str(channel.url).rstrip('/')}/api/v2/alerts", body, headers(channel), secrets)


def headers(channel: Alertmanager) -> dict[str, str]:
    """Raises ConfigError."""
    token = {} if channel.token is None else {"Authorization": f"Bearer {channel.token.reveal()}"}
    return {"Content-Type": "application/json", **token}


def _alert(story: Story, message: Message) -> dict[str, Any]:
    alert = story.alert
    labels = {
        "alertname": alert.rule,
        "alert_id": alert.alert_id,
        "kind": alert.kind,
        "severity": alert.severity,
        "owner": alert.owner,
        "source": alert.source,
        "pipeline": alert.pipeline_id,
    }
    annotations = {
        "summary": quoted(alert.why, 500),
        "pipeline_name": quoted(alert.pipeline_name or "", 200),
        "run_id": quoted(story.run_id or "", 200),
        "vendor_status": quoted(story.vendor_status or "", 200),
        "failed_step": quoted(story.failed_step or "", 200),
        "error": quoted(story.error or "", 2000),
        "last_success_at": story.last_success_at and instant(story.last_success_at),
        "observed_through": story.observed_through and instant(story.observed_through),
        "resolution": quoted(alert.resolution or "", 500),
    }
    page = link(story.run_url)
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        # Not after the end, which it would be refused for: the vendor's clock may be ahead of ours.
        "startsAt": instant(min(alert.since, message.at)),
        "endsAt": instant(_end(message)),
        # An address that is none would have all alerts of the request refused.
        **({} if page is None else {"generatorURL": page}),
    }


def _end(message: Message) -> datetime:
    if message.event is Event.RESOLVE:
        return message.at
    return message.at + (TEST_LASTS if message.event is Event.TEST else FAR_OFF)
