"""Messages to send, and channels made as a config makes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter

from runlake.alerts.channels import send
from runlake.alerts.message import Event, Message
from runlake.config.alerting import Severity
from runlake.config.channels import AnyChannel
from runlake.errors import DeliveryError
from runlake.store.alerting import Alert, Story

AT = datetime(2026, 7, 14, 9, 30, tzinfo=UTC)


def channel(kind: str, **keys: Any) -> Any:
    made: AnyChannel = TypeAdapter(AnyChannel).validate_python({"name": "ours", "kind": kind, **keys})
    return made


def story(pipeline: str = "nightly", **keys: Any) -> Story:
    """A run of `etl/{pipeline}` that failed 20 minutes ago; keys of the story, or of its alert."""
    of_alert = {name: keys.pop(name) for name in list(keys) if name in Alert.__slots__}
    alert = {
        "alert_id": str(uuid4()),
        "rule": "failed",
        "kind": "failed",
        "key": f"etl/{pipeline}",
        "state": "firing",
        "severity": "critical",
        "since": AT - timedelta(minutes=20),
        "pending_at": AT - timedelta(minutes=19),
        "fired_at": AT - timedelta(minutes=18),
        "judged_at": AT,
        "why": "the last run failed",
        "facts": {"failed_in_a_row": 1},
        "owner": "data",
        "source": "etl",
        "pipeline_id": pipeline,
        "pipeline_name": pipeline.capitalize(),
        **of_alert,
    }
    told = {
        "run_id": "r-17",
        "run_url": "https://vendor.example/runs/17?tab=log",
        "vendor_status": "ERRORED",
        "failed_step": "load",
        "error": "disk full",
        "last_success_at": AT - timedelta(days=1),
        "ended_lately": 7,
        "failed_lately": 2,
        "observed_through": AT - timedelta(minutes=1),
        **keys,
    }
    return Story(alert=Alert(**alert), **told)


def message(event: Event = Event.OPEN, *stories: Story, **keys: Any) -> Message:
    given = {"message_id": str(uuid4()), "at": AT, "severity": Severity.CRITICAL, **keys}
    return Message(event=event, stories=stories or (story(),), **{"thread": given["message_id"], **given})


async def refused(to: Any, sent: Message) -> DeliveryError:
    """What is said of a channel that does not take it."""
    with pytest.raises(DeliveryError) as caught:
        await send(to, sent)
    return caught.value


@contextmanager
def secrets(monkeypatch: pytest.MonkeyPatch, **values: str) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield
