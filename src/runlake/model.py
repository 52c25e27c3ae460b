"""The language: what a run, a step and a status are, the same for every vendor. Imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol


class Outcome(StrEnum):
    """What a final status counts as. Success rate = success / (success + failure)."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


class RunStatus(StrEnum):
    """The unified vocabulary, for runs and for steps. Finality and outcome are read off the member, never stored."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    SUCCEEDED_WITH_WARNINGS = "succeeded_with_warnings"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"

    @property
    def outcome(self) -> Outcome | None:
        """None while the run is open or its word is unknown."""
        return _OUTCOMES.get(self)

    @property
    def is_final(self) -> bool:
        """Final is not for ever: vendors reopen runs, and both facts stay in the history."""
        return self in _OUTCOMES


_OUTCOMES = {
    RunStatus.SUCCEEDED: Outcome.SUCCESS,
    RunStatus.SUCCEEDED_WITH_WARNINGS: Outcome.SUCCESS,
    RunStatus.FAILED: Outcome.FAILURE,
    RunStatus.TIMED_OUT: Outcome.FAILURE,
    RunStatus.CANCELLED: Outcome.NEUTRAL,
    RunStatus.REJECTED: Outcome.NEUTRAL,
    RunStatus.SKIPPED: Outcome.NEUTRAL,
}


class StatusTable(dict[str, RunStatus]):
    """A vendor's words and ours. A word that is not listed is UNKNOWN: it must not cost the page it stands on."""

    def __missing__(self, word: str) -> RunStatus:
        return RunStatus.UNKNOWN


class Payload(Protocol):
    """What a vendor said of a run, cut down to the fields its connector declares (any pydantic model)."""

    def model_dump_json(self, *, exclude_none: bool = ...) -> str: ...


@dataclass(slots=True, frozen=True)
class RunRef:
    """Enough to read one run again at its vendor."""

    pipeline_id: str
    run_id: str
    attempt: int = 1


@dataclass(slots=True, kw_only=True)
class Step:
    """One part of a run. `step_id` is unique within its run; order in the list is the order shown to people."""

    step_id: str
    vendor_status: str
    name: str | None = None
    kind: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None


@dataclass(slots=True, kw_only=True)
class Run:
    """One execution of a pipeline as its vendor shows it now.

    Instants are aware datetimes. `created_at` is None where the vendor does not say it. `steps` is None where this
    answer does not show steps (a list row, say), and an empty list where it shows that there are none.
    """

    pipeline_id: str
    run_id: str
    vendor_status: str
    attempt: int = 1
    pipeline_name: str | None = None
    pipeline_version: str | None = None
    run_number: int | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    trigger: str | None = None
    triggered_by: str | None = None
    parent: RunRef | None = None
    error_code: str | None = None
    error_message: str | None = None
    run_url: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    steps: list[Step] | None = None
    payload: Payload | None = None

    @property
    def ref(self) -> RunRef:
        return RunRef(self.pipeline_id, self.run_id, self.attempt)


@dataclass(slots=True, frozen=True, kw_only=True)
class Pipeline:
    """A pipeline that its vendor lists, whether or not it has run."""

    pipeline_id: str
    name: str | None = None
    url: str | None = None
    paused: bool | None = None


def run_key(source: str, ref: RunRef) -> str:
    """The 128-bit key of a run as 32 hex digits: blake2b over its identity, parts separated by a unit separator."""
    identity = f"{source}\x1f{ref.pipeline_id}\x1f{ref.run_id}\x1f{ref.attempt}"
    return blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
