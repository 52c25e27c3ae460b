"""Random histories: what vendors showed of their runs at which instant, and the same written into a ledger.

A history is drawn with a seed. Its attempts run through all eleven statuses; it has reruns (also with the time of the
first attempt, and over a week's edge), runs that are opened again, waits of more than a week, runs that vanish and come
back, words that are remapped, equal timestamps, ends before starts, and names, times, versions and errors left out.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runlake.model import Run, RunRef, RunStatus, Step

from .histories import DAY, ERRORS, FIRST, HOUR, LAST, MINUTE, ODD, WEEK, Event, History, Listed, Look, Seen, message

FINAL = [
    *(["SUCCEEDED"] * 11 + ["SUCCEEDED_WITH_WARNINGS"] * 2 + ["FAILED"] * 6 + ["TIMED_OUT"] * 2),
    *("CANCELLED", "CANCELLED", "REJECTED", "SKIPPED", ODD),
]


@dataclass(frozen=True, slots=True)
class _Pipeline:
    """`steady`: what it takes, in seconds. `slow_from` and `bad_from`: when it becomes slower, or fails more."""

    id: str
    name: str | None
    every: timedelta
    steady: float
    versions: bool = True
    says_created: bool = True
    rounds: timedelta | None = None
    slow_from: datetime = LAST
    bad_from: datetime = LAST
    renamed_at: datetime = LAST


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    vendor: str
    pipelines: tuple[_Pipeline, ...]
    every: timedelta
    until: datetime = LAST
    remaps: Mapping[datetime, Mapping[str, RunStatus]] = ()  # type: ignore[assignment]


SOURCES = (
    _Source(
        "north",
        "alpha",
        (
            _Pipeline("load", "Nightly load", 5 * HOUR, 600, slow_from=FIRST + 5 * WEEK),
            _Pipeline("orders", "Orders", 11 * HOUR, 40, bad_from=FIRST + 4 * WEEK, versions=False),
            _Pipeline("rare", None, 5 * DAY, 4000),
        ),
        every=80 * HOUR,
    ),
    _Source(
        "south",
        "alpha",
        (
            # The same id as in `north`, and an id that is another's name.
            _Pipeline("load", "Orders", 10 * HOUR, 900, rounds=DAY, renamed_at=FIRST + 4 * WEEK),
            _Pipeline("Orders", None, 13 * HOUR, 20, rounds=HOUR),
        ),
        every=100 * HOUR,
        remaps={
            FIRST + 3 * WEEK + 5 * HOUR: {ODD: RunStatus.FAILED, "WAITING": RunStatus.RUNNING},
            FIRST + 5 * WEEK + 30 * HOUR: {ODD: RunStatus.SUCCEEDED, "SKIPPED": RunStatus.WAITING},
        },
    ),
    _Source(
        "west", "beta", (_Pipeline("a/b", "Ünïcode 'quoted'", 12 * HOUR, 300, says_created=False),), every=130 * HOUR
    ),
    # Not seen any more from the fifth week on.
    _Source("silent", "beta", (_Pipeline("etl", "ETL", 14 * HOUR, 90),), every=130 * HOUR, until=FIRST + 4 * WEEK),
)


def history(seed: int) -> History:
    """In the order of time."""
    rng = random.Random(seed)
    events: History = [
        # A source that was never seen whole.
        Look(source="never", vendor="gamma", at=FIRST + WEEK, statuses={}, observed_through=None)
    ]
    for source in SOURCES:
        events += _looks(rng, source)
    return sorted(events, key=lambda event: (event.at, isinstance(event, Listed), event.source))


def polls(seed: int) -> History:
    """Of sources without a run: syncs now and then, failing ones, long gaps, one that was never seen whole; lists that
    show runs which nobody knows."""
    rng = random.Random(seed)
    events: History = []
    for source in ("often", "seldom", "never"):
        at = FIRST + rng.random() * DAY
        while at < FIRST + 6 * DAY:
            failed = source == "never" or rng.random() < 0.2
            seen = None if failed else at - rng.choice([MINUTE, MINUTE, 2 * HOUR])
            events.append(Look(source=source, vendor="alpha", at=at, statuses={}, observed_through=seen))
            if rng.random() < 0.2:
                runs = [(rng.choice("pq"), f"{n}", at - rng.random() * 4 * DAY) for n in range(rng.randrange(1, 9))]
                events.append(Listed(source, _fine(rng, at), tuple(runs)))
            steps = [2, 5, 30] if source == "often" else [9, 9, 40]
            at = _fine(rng, at + rng.random() * rng.choice(steps) * HOUR)
    return sorted(events, key=lambda event: event.at)


def _looks(rng: random.Random, source: _Source) -> Iterator[Event]:
    lives = [life for pipeline in source.pipelines for life in _lives(rng, pipeline)]
    shown: dict[RunRef, Run] = {}
    gone: set[RunRef] = set()
    at = _fine(rng, FIRST + rng.random() * DAY)
    while at < source.until + 2 * DAY:
        seen: list[Seen] = []
        for life in lives:
            now = life.at(at)
            if now is None:
                continue
            ref = now.run.ref
            # Now and then one is listed again as it was, with less than was shown before, or after it was gone.
            again = rng.random() < (0.15 if ref in gone else 0.002)
            if again or (now.run != shown.get(ref) and ref not in gone):
                gone.discard(ref)
                shown[ref] = now.run
                seen.append(now if rng.random() < 0.8 else _less(now))
        met = {each.run.ref for each in seen}
        left = [life.ref for life in lives if life.vanishes and life.ref in shown and life.ref not in gone | met]
        gone.update(left := left[:2])
        statuses: Mapping[str, RunStatus] = {}
        for since, mapping in dict(source.remaps).items():
            if at >= since:
                statuses = mapping
        failed = rng.random() < 0.1
        yield Look(
            source=source.name,
            vendor=source.vendor,
            at=at,
            seen=tuple(seen[::-1]),
            gone=tuple(left),
            statuses=statuses,
            observed_through=None if failed else at - MINUTE,
        )
        if rng.random() < 0.15:
            yield _listed(rng, source.name, at, lives)
        at = _fine(rng, at + source.every * rng.uniform(0.2, 1.8))


def _listed(rng: random.Random, source: str, at: datetime, lives: list[_Life]) -> Listed:
    """All that was created in the days before, known or not, and some that no sync has shown."""
    since = at - rng.choice([3, 10, 20]) * DAY
    runs = {
        (life.ref.pipeline_id, life.ref.run_id, life.created_at)
        for life in lives
        if life.ref.attempt == 1 and since <= life.created_at < at
    }
    for number in range(rng.randrange(4)):
        pipeline = rng.choice([life.ref.pipeline_id for life in lives])
        runs.add((pipeline, f"unseen-{number}-{rng.randrange(10**6)}", since + rng.random() * (at - since)))
    return Listed(source, at, tuple(sorted(runs)))


@dataclass(frozen=True, slots=True)
class _Life:
    """What there is to be seen of an attempt, from which instant on."""

    ref: RunRef
    created_at: datetime
    instants: tuple[datetime, ...]
    moments: tuple[Seen, ...]
    vanishes: bool

    def at(self, instant: datetime) -> Seen | None:
        place = bisect_right(self.instants, instant)
        return self.moments[place - 1] if place else None


def _lives(rng: random.Random, pipeline: _Pipeline) -> Iterator[_Life]:
    number, tick = 0, FIRST + pipeline.every * rng.random()
    while tick < LAST:
        number += 1
        created = _fine(rng, tick)
        if pipeline.rounds is not None and rng.random() < 0.7:
            created = FIRST + (tick - FIRST) // pipeline.rounds * pipeline.rounds
        run_id = f"r{rng.randrange(10**6):06}-{number}"
        life = _life(rng, pipeline, run_id, 1, created)
        yield life
        for attempt in range(2, 5):
            if rng.random() > 0.22:
                break
            ended = life.instants[-1]
            later = ended + rng.random() * rng.choice([5 * HOUR, 6 * DAY])
            created = rng.choice([_fine(rng, later), _fine(rng, later), life.created_at, life.created_at - HOUR])
            life = _life(rng, pipeline, run_id, attempt, created, shown_from=ended)
            yield life
        tick += pipeline.every * rng.uniform(0.3, 1.7)


def _life(
    rng: random.Random,
    pipeline: _Pipeline,
    run_id: str,
    attempt: int,
    created: datetime,
    shown_from: datetime | None = None,
) -> _Life:
    name = pipeline.name if created < pipeline.renamed_at else "Orders, renamed"
    version = f"v{1 + (created - FIRST) // (9 * DAY)}" if pipeline.versions and rng.random() < 0.9 else None
    run = Run(
        pipeline_id=pipeline.id,
        run_id=run_id,
        attempt=attempt,
        vendor_status="PENDING",
        pipeline_name=name,
        pipeline_version=version,
        created_at=created if pipeline.says_created else None,
        updated_at=created,
        run_url=f"https://vendor.example/{run_id}/{attempt}" if rng.random() < 0.8 else None,
        labels={"team": rng.choice("xyz")} if rng.random() < 0.7 else {},
    )
    begun = max(created, shown_from) if shown_from else created
    moments: list[tuple[datetime, Seen]] = [(begun, Seen(run, None))]
    at = started = _fine(rng, begun + rng.random() * 20 * MINUTE)
    slow = 2.5 if created >= pipeline.slow_from else 1.0
    for _ in range(3):
        run = replace(run, vendor_status="RUNNING", started_at=started, error_code=None, error_message=None)
        moments.append((at, Seen(run, None)))
        if rng.random() < 0.15:
            moments.append((at := at + rng.random() * 3 * HOUR, Seen(replace(run, vendor_status="WAITING"), None)))
            at += rng.choice([HOUR, 5 * HOUR, DAY, 9 * DAY]) * rng.random()
            if rng.random() < 0.5:
                moments.append((at, Seen(run, None)))
        if rng.random() < 0.04:
            break  # for ever open
        at = _fine(rng, at + timedelta(seconds=pipeline.steady * slow * rng.lognormvariate(0, 0.3)))
        word = rng.choice(FINAL)
        if created >= pipeline.bad_from and rng.random() < 0.5:
            word = "FAILED"
        run, error = _ended(rng, run, word, at)
        moments.append((at, Seen(run, error)))
        if rng.random() > (0.25 if word in {"FAILED", "TIMED_OUT"} else 0.06):
            break
        at += rng.random() * 2 * DAY  # and again, as the same attempt
        if rng.random() < 0.5:
            started = _fine(rng, at)
    instants, shown = zip(*moments, strict=True)
    return _Life(run.ref, created, instants, shown, rng.random() < 0.1)


def _ended(rng: random.Random, run: Run, word: str, at: datetime) -> tuple[Run, str | None]:
    known = [error for error in ERRORS if error != "late" or at >= FIRST + 5 * WEEK]
    error = rng.choice(known) if word in {"FAILED", "TIMED_OUT"} or rng.random() < 0.03 else None
    finished: datetime | None = at
    if (chance := rng.random()) < 0.04:
        finished = None
    elif chance < 0.06:
        finished = run.started_at and run.started_at - MINUTE
    return replace(
        run,
        vendor_status=word,
        started_at=run.started_at if run.created_at is None or rng.random() > 0.04 else None,
        finished_at=finished,
        updated_at=at,
        error_code=ERRORS[error][0] if error else None,
        error_message=message(error, rng) if error else None,
        metrics={name: float(rng.randrange(0, 9000)) / 2 for name in ("tokens", "rows") if rng.random() < 0.4},
        steps=_steps(rng, word) if rng.random() < 0.8 else None,
    ), error


def _steps(rng: random.Random, word: str) -> list[Step]:
    steps = []
    for number in range(rng.randrange(4)):
        ends = word if number == 2 or rng.random() < 0.3 else "SUCCEEDED"
        failed = ends in {"FAILED", "TIMED_OUT"}
        named = rng.random()
        steps.append(
            Step(
                step_id=f"s{number}",
                vendor_status=ends,
                name=rng.choice(["extract", "load"]) if named < 0.6 else None,
                kind=rng.choice(["sql", "load"]) if named < 0.8 else None,
                error_message=f"step failed on row {rng.randrange(99)}" if failed and rng.random() < 0.8 else None,
            )
        )
    return steps


def _less(seen: Seen) -> Seen:
    """As an answer that does not show all."""
    return Seen(replace(seen.run, pipeline_name=None, run_url=None, steps=None), seen.error)


def _fine(rng: random.Random, instant: datetime) -> datetime:
    """With microseconds, or to the second."""
    return instant.replace(microsecond=rng.choice([0, 0, rng.randrange(10**6)]))
