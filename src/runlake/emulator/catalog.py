"""The pipelines of an invented hospital group: names, schedules and temperaments. All of it is made up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from runlake.emulator.timeline import State


@dataclass(frozen=True, slots=True)
class Character:
    """How runs of a pipeline tend to go. Shares are between 0 and 1, lengths are medians."""

    length_s: float
    queue_s: float = 8.0
    spread: float = 0.45
    failure: float = 0.03
    failures: Mapping[State, float] = field(default_factory=lambda: {State.FAILED: 1.0})
    others: Mapping[State, float] = field(default_factory=dict)
    review: float = 0.0
    review_h: float = 20.0
    reject: float = 0.0
    verdict_s: float = 0.0
    rerun: float = 0.0
    edit: float = 0.0
    edit_flips: bool = False
    delete: float = 0.004
    step_retry: float = 0.0
    step_skip: float = 0.0
    mapped: int = 0


@dataclass(frozen=True, slots=True)
class Pipeline:
    """``presence`` below 1 makes an irregular pipeline: that share of the ticks has a run, somewhere in the tick."""

    vendor: str
    name: str
    every: timedelta
    steps: tuple[str, ...]
    character: Character
    group: str = ""
    version: int = 1
    presence: float = 1.0
    batch: int = 1


_CLINIA = Character(
    length_s=6,
    queue_s=0.4,
    failure=0.03,
    others={State.CANCELLED: 0.02},
    review=0.12,
    review_h=30,
    reject=0.25,
    delete=0,
)
_CLERK = Character(length_s=90, queue_s=3, failure=0.05, review=0.2, review_h=9, rerun=0.04, edit=0.02)
_TRUESTATE = Character(
    length_s=420,
    queue_s=20,
    failures={State.FAILED: 0.75, State.BROKEN: 0.25},
    others={State.CANCELLED: 0.02},
    rerun=0.15,
    edit=0.02,
    step_skip=0.06,
)
_CLARIFEYE = Character(length_s=700, queue_s=30, others={State.WARNED: 0.12, State.CANCELLED: 0.03})
_ESPER = Character(
    length_s=5400,
    queue_s=60,
    failure=0.05,
    failures={State.FAILED: 0.6, State.TIMED_OUT: 0.25, State.INVALID: 0.15},
    others={State.CANCELLED: 0.05},
    review=0.3,
    review_h=40,
    verdict_s=240,
    edit=0.02,
)
_AIRFLOW = Character(
    length_s=300,
    queue_s=5,
    others={State.SKIPPED: 0.02},
    rerun=0.35,
    edit=0.01,
    edit_flips=True,
    step_retry=0.05,
    step_skip=0.04,
    mapped=3,
)

_HOUR, _DAY, _MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)

PIPELINES: tuple[Pipeline, ...] = (
    Pipeline(
        "clinia", "clinic", 5 * _HOUR, ("normalise", "match", "review"), _CLINIA, version=2, presence=0.5, batch=4
    ),
    Pipeline("clinia", "practitioner", 9 * _HOUR, ("normalise", "geocode"), _CLINIA, presence=0.7, batch=3),
    Pipeline(
        "clerk",
        "support-triage-agent",
        15 * _MINUTE,
        ("Greeting", "Classify", "Look up account", "Answer"),
        _CLERK,
        version=7,
        presence=0.09,
    ),
    Pipeline("clerk", "appointment-reminder-agent", 6 * _HOUR, ("Remind", "Await reply", "Confirm"), _CLERK, version=3),
    Pipeline("clerk", "intake-agent", 8 * _HOUR, ("Consent", "Questions", "Summary"), _CLERK, presence=0.8),
    Pipeline("truestate", "nightly-claims-load", _DAY, ("extract", "clean", "load", "publish"), _TRUESTATE),
    Pipeline("truestate", "dim_customer", 6 * _HOUR, ("stage", "merge"), _TRUESTATE, version=4),
    Pipeline("truestate", "property-scores", 4 * _HOUR, ("features", "score", "export"), _TRUESTATE, presence=0.9),
    Pipeline(
        "clarifeye",
        "policy-extraction",
        5 * _HOUR,
        ("parsing", "chunking", "tag-extraction", "object-extraction"),
        _CLARIFEYE,
        group="insurance-policies",
        presence=0.9,
    ),
    Pipeline(
        "clarifeye", "claims-letters", 20 * _MINUTE, ("parsing", "chunking"), _CLARIFEYE, "insurance-policies", 1, 0.06
    ),
    Pipeline(
        "clarifeye", "protocol-index", 12 * _HOUR, ("parsing", "chunking", "tag-extraction"), _CLARIFEYE, "protocols"
    ),
    Pipeline("esper", "kiosk-app-rollout", 8 * _HOUR, ("canary", "ward tablets", "everywhere"), _ESPER, presence=0.9),
    Pipeline("esper", "os-patch", _DAY, ("canary", "fleet"), _ESPER),
    Pipeline("esper", "wifi-certificates", 5 * _HOUR, ("fleet",), _ESPER, presence=0.7),
    Pipeline(
        "airflow", "nightly_warehouse", _DAY, ("extract", "load_partition", "test", "publish"), _AIRFLOW, "warehouse"
    ),
    Pipeline("airflow", "hourly_orders", 2 * _HOUR, ("extract", "load_partition", "check"), _AIRFLOW, "warehouse"),
    Pipeline("airflow", "lab_results_sync", 30 * _MINUTE, ("wait_for_file", "load"), _AIRFLOW, "clinical", 1, 0.08),
)
