"""What a rule finds of one thing: it fires, it is well, or nobody can tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    FIRING = "firing"
    OK = "ok"
    CANNOT_TELL = "cannot tell"
    """What fires goes on firing, what does not stays silent."""


@dataclass(slots=True, kw_only=True)
class Judgement:
    """What a rule finds of one `key`: a pipeline (`source/pipeline_id`), a source, a report, or a row of a query."""

    rule: str
    key: str
    verdict: Verdict
    why: str
    """One sentence for people, with the numbers that it rests on; vendors' text in it is as it came."""
    source: str | None = None
    pipeline_id: str | None = None
    pipeline_name: str | None = None
    run_key: str | None = None
    """The run that it is about, where it is about one."""
    since: datetime | None = None
    """Of what fires: when it began, as the vendor's times say."""
    seen_through: datetime | None = None
    """Up to when what it rests on was seen: the clock by which `for` is counted."""
    settled: bool = True
    """False while it may still undo itself: the vendor is trying the run again. It is pending until then."""
    look_at: datetime | None = None
    """By that clock, when to judge again though nothing is new."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The inputs, as JSON has them: what `explain` prints, and what an open episode needs to know of its beginning."""
