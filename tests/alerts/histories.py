"""Random histories of what a rule finds of three keys, and a model of what is to be told of one of them.

RUNLAKE_EXAMPLES raises the number of histories, and then draws them anew each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import Phase, settings
from hypothesis import strategies as st

from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import Alerts, Failed

EXAMPLES = os.environ.get("RUNLAKE_EXAMPLES")
KEYS = ("etl/nightly", "etl/hourly", "ml/train")
CHANNELS = ("pager", "chat")
T0 = datetime(2026, 7, 13, 9, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

RULE = Failed.model_validate({"kind": "failed", "for": "10m", "repeat_every": "4h"})
ALERTS = Alerts(flapping_after=3, chronic_after=2 * DAY)


@dataclass(frozen=True)
class Look:
    """What one evaluation finds of one key. `age`: how long ago it began, of what fires and is new."""

    verdict: Verdict
    age: timedelta
    settled: bool
    ack: bool


@dataclass(frozen=True)
class Step:
    """One evaluation. `after` is what our clock says has passed: it may step back. `seen` is what the source's does."""

    after: timedelta
    seen: timedelta
    looks: tuple[Look, ...]
    """One for each key."""


looks = st.builds(
    Look,
    verdict=st.sampled_from([*Verdict, Verdict.FIRING, Verdict.OK]),
    age=st.integers(0, 15).map(lambda minutes: minutes * MINUTE),
    settled=st.integers(0, 4).map(bool),
    ack=st.integers(0, 12).map(lambda n: n == 0),
)
steps = st.builds(
    Step,
    # Mostly short, so that much happens in a day; now and then longer than that.
    after=st.sampled_from([0, 1, 10, 30, 30, 60, 60, 90, 90, 240, 3000, -90]).map(lambda n: n * MINUTE),
    seen=st.sampled_from([0, 1, 5, 15, 30, 90]).map(lambda n: n * MINUTE),
    looks=st.tuples(*(looks for _ in KEYS)),
)
histories = st.lists(steps, min_size=20, max_size=40)


@dataclass
class Told:
    """What is to be told of one key, at which evaluation."""

    step: int
    event: str
    at: datetime


def modelled(history: Sequence[Step], key: int) -> Iterator[Told]:
    """One key by itself, said as plainly as can be."""
    now = through = T0
    began = pending_at = fired_at = told_at = None
    acked, quiet, fires = False, False, list[datetime]()
    for number, step in enumerate(history):
        now, through, look = now + step.after, through + step.seen, step.looks[key]
        if look.ack and began is not None:
            acked = True
        if look.verdict is Verdict.OK:
            if told_at is not None:
                yield Told(number, "resolve", now)
            began = pending_at = fired_at = told_at = None
            acked = False
        elif look.verdict is Verdict.FIRING and fired_at is None:
            began, pending_at = began or through - look.age, pending_at or now
            if look.settled and through - began >= RULE.holds_for:
                lately = sum(at >= now - DAY for at in fires)
                fired_at = max(now, pending_at)  # our clock may have stepped back
                fires.append(fired_at)
                if lately < ALERTS.flapping_after:
                    told_at, quiet = now, lately + 1 == ALERTS.flapping_after
                    yield Told(number, "open", now)
        if told_at is not None and fired_at is not None and not acked and not quiet:
            assert RULE.repeat_every is not None
            if now - told_at >= RULE.repeat_every and now - fired_at < ALERTS.chronic_after:
                told_at = now
                yield Told(number, "repeat", now)


def judgement(key: str, look: Look, through: datetime, began: datetime | None) -> Judgement:
    fires = look.verdict is Verdict.FIRING
    return Judgement(
        rule=RULE.name,
        key=key,
        verdict=look.verdict,
        why=f"it is {look.verdict}",
        since=(began or through - look.age) if fires else None,
        seen_through=through,
        settled=look.settled,
    )


def drawn(count: int) -> settings:
    return settings(
        max_examples=int(EXAMPLES or count),
        derandomize=EXAMPLES is None,
        # Shrinking is for who looks for bugs, not for who waits for a verdict.
        phases=(Phase.generate, Phase.shrink) if EXAMPLES else (Phase.generate,),
        deadline=None,
        database=None,
        print_blob=True,
    )
