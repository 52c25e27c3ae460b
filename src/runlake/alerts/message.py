"""What is said of alerts: the same facts for every channel, in plain text, in HTML and as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import StrEnum

from runlake.config.alerting import Severity
from runlake.store.alerting import Story


class Event(StrEnum):
    OPEN = "open"
    REPEAT = "repeat"
    RESOLVE = "resolve"
    DIGEST = "digest"
    TEST = "test"


class LetGo(StrEnum):
    """Why an alert is over of which nobody can say that it is well: the config has changed."""

    NO_RULE = "the rule is not in force any more"
    OTHER_KIND = "the rule looks for something else now"
    NO_SOURCE = "the source is polled no more"
    OUT_OF_SCOPE = "the rule is about it no more"
    NO_REPORT = "the config has no such report any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message about one or many alerts.

    `message_id` stays the same however often it has to be sent. `thread` is what all messages about these alerts share:
    the id of the message that told of them first, which for an open one is its own. `whole` tells whether all alerts of
    that first message are over with this one. `again` tells that it may have arrived before. `zone` is the one in which
    people read its times.
    """

    message_id: str
    thread: str
    event: Event
    severity: Severity
    stories: Sequence[Story]
    at: datetime
    whole: bool = True
    again: bool = False
    zone: tzinfo = UTC
    held: Mapping[str, str] = field(default_factory=dict)
    """Of a digest, by alert: the word for why it is told of here only, such as acked, silenced, flapping or chronic."""
    since: datetime | None = None
    """Of a digest: when the one before was made, with what opened and what was resolved from then on."""
    opened: int = 0
    resolved: int = 0
