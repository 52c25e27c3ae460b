"""What happens to one run, in words that belong to no vendor.

A timeline is fixed when the run is drawn; the state at any instant is read off it. So nothing has to run in the
background, and yesterday looks the same however often it is asked for.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from functools import cached_property


class State(Enum):
    """States of runs and steps. Each vendor module says which of its words stands for which of these."""

    CREATED = auto()
    QUEUED = auto()
    PREPARING = auto()
    RUNNING = auto()
    RETRYING = auto()
    WAITING = auto()
    FINALISING = auto()
    SUCCEEDED = auto()
    WARNED = auto()
    FAILED = auto()
    BROKEN = auto()  # infrastructure, not the work itself
    TIMED_OUT = auto()
    CANCELLED = auto()
    REJECTED = auto()
    SKIPPED = auto()
    INVALID = auto()
    NOT_RUN = auto()  # a step that an earlier failure kept from starting

    @property
    def final(self) -> bool:
        return self in _FINAL

    @property
    def failure(self) -> bool:
        return self in FAILURES


FAILURES = frozenset({State.FAILED, State.BROKEN, State.TIMED_OUT, State.INVALID})
_FINAL = FAILURES | {
    State.SUCCEEDED,
    State.WARNED,
    State.CANCELLED,
    State.REJECTED,
    State.SKIPPED,
    State.NOT_RUN,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step as planned: the instants at which it changes."""

    name: str
    position: int
    map_index: int
    phases: tuple[tuple[datetime, State], ...]
    error: str | None = None
    tries: int = 1

    def at(self, instant: datetime) -> "StepView":
        state, changed, started, finished, tries = State.CREATED, None, None, None, 0
        for when, phase in self.phases:
            if when > instant:
                break
            state, changed = phase, when
            if phase is State.RUNNING:
                started = started or when
                tries = min(tries + 1, self.tries)
            if phase.final:
                finished = when
        return StepView(self, state, started, finished, changed, tries, self.error if state.final else None)


@dataclass(frozen=True, slots=True)
class StepView:
    """One step as it is at some instant."""

    plan: Step
    state: State
    started_at: datetime | None
    finished_at: datetime | None
    changed_at: datetime | None
    tries: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One go at a run: ``worked_until`` is when the work stops, ``final_at`` when the verdict is in."""

    number: int
    opened_at: datetime
    started_at: datetime | None
    wait: tuple[datetime, datetime] | None
    worked_until: datetime
    final_at: datetime
    verdict: State
    error: str | None


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything about a run that is true from ``at`` until the next moment."""

    at: datetime
    state: State
    attempt: Attempt
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    tokens: int


@dataclass(frozen=True)
class Run:
    """One run: created once, then a list of moments, and for a few the instant they are deleted."""

    vendor: str
    pipeline: str
    number: int
    uid: bytes
    tick: datetime
    created_at: datetime
    moments: tuple[Moment, ...]
    deleted_at: datetime | None
    plan: Callable[["Run", Attempt], tuple[Step, ...]] = field(repr=False)

    @cached_property
    def instants(self) -> tuple[datetime, ...]:
        return tuple(moment.at for moment in self.moments)

    @cached_property
    def _steps(self) -> dict[int, tuple[Step, ...]]:
        return {}

    def at(self, instant: datetime) -> Moment:
        if instant >= self.moments[-1].at:
            return self.moments[-1]
        return self.moments[max(bisect_right(self.instants, instant) - 1, 0)]

    def steps(self, instant: datetime) -> list[StepView]:
        """The steps of the attempt under way."""
        return [step.at(instant) for step in self.planned(self.at(instant).attempt)]

    def planned(self, attempt: Attempt) -> tuple[Step, ...]:
        """The steps of an attempt, planned on first use: most runs are never looked at so closely."""
        planned = self._steps.get(attempt.number)
        if planned is None:
            planned = self._steps[attempt.number] = self.plan(self, attempt)
        return planned

    def attempts(self, instant: datetime) -> list[Attempt]:
        """The attempts begun so far, the one under way last."""
        begun = {moment.attempt.number: moment.attempt for moment in self.moments if moment.at <= instant}
        return list(begun.values())

    def touched_at(self, instant: datetime) -> datetime:
        """When the run or one of its steps last changed."""
        changes = (view.changed_at for view in self.steps(instant) if view.changed_at is not None)
        return max(self.at(instant).at, *changes, self.created_at)

    def exists_at(self, instant: datetime) -> bool:
        return self.created_at <= instant and (self.deleted_at is None or instant < self.deleted_at)
