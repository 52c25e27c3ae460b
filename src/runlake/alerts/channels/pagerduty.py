"""PagerDuty's Events API v2: `POST /v2/enqueue` (developer.pagerduty.com/docs/send-alert-event).

An incident is what has one `dedup_key`, here a message's thread: a trigger that arrives twice, or that repeats, adds to
the incident and opens no other. It is resolved once all alerts are over that it was opened for. A test opens an
incident and resolves it at once.
"""

from __future__ import annotations

import json
from typing import Any

from runlake.alerts.message import Event, Message
from runlake.alerts.quoting import link, quoted
from runlake.alerts.render import title
from runlake.config.channels import PagerDuty
from runlake.formats import instant
from runlake.http import post
from runlake.store.alerting import Story

MOST_STORIES = 25
"""An event may have 512 KB; so many are less, whatever their texts are."""


async def send(channel: PagerDuty, message: Message) -> None:
    if message.event is not Event.RESOLVE:
        await _enqueue(channel, message, "trigger", **_incident(message))
    if message.event in (Event.RESOLVE, Event.TEST):
        await _enqueue(channel, message, "resolve")


async def _enqueue(channel: PagerDuty, message: Message, action: str, **more: Any) -> None:
    key = channel.routing_key.reveal()
    body = {"routing_key": key, "event_action": action, "dedup_key": message.thread, **more}
    url = f"{str(channel.url).rstrip('/')}/v2/enqueue"
    await post(
        url, json.dumps(body, ensure_ascii=False).encode(errors="replace"), {"Content-Type": "application/json"}, [key]
    )


def _incident(message: Message) -> dict[str, Any]:
    first = message.stories[0].alert
    pages = [(link(story.run_url), story) for story in message.stories[:MOST_STORIES]]
    return {
        "client": "runlake",
        "payload": {
            "summary": title(message),  # shorter than the 1,024 characters that are taken
            "source": quoted(first.source or first.key, 255),
            "severity": message.severity,  # its words are among PagerDuty's: critical, error, warning, info
            "timestamp": instant(min(story.alert.since for story in message.stories)),
            "class": first.rule,
            **({"component": quoted(first.pipeline_id, 255)} if first.pipeline_id else {}),
            "custom_details": {
                "message_id": message.message_id,
                "alerts": [_detail(story) for story in message.stories[:MOST_STORIES]],
                "more": max(0, len(message.stories) - MOST_STORIES),
            },
        },
        "links": [{"href": page, "text": quoted(_name(story), 100)} for page, story in pages if page is not None],
    }


def _detail(story: Story) -> dict[str, Any]:
    alert = story.alert
    told = {
        "alert_id": alert.alert_id,
        "rule": alert.rule,
        "why": quoted(alert.why, 500),
        "since": instant(alert.since),
        "owner": alert.owner,
        "source": alert.source,
        "pipeline": quoted(_name(story), 255),
        "run_id": quoted(story.run_id or "", 255),
        "vendor_status": quoted(story.vendor_status or "", 255),
        "failed_step": quoted(story.failed_step or "", 255),
        "error": quoted(story.error or "", 1000),
        "last_success_at": story.last_success_at and instant(story.last_success_at),
        "lately": story.ended_lately and f"{story.failed_lately} of {story.ended_lately} runs failed in seven days",
        "seen_up_to": story.observed_through and instant(story.observed_through),
    }
    return {name: value for name, value in told.items() if value}


def _name(story: Story) -> str:
    return story.alert.pipeline_name or story.alert.pipeline_id or story.alert.key
