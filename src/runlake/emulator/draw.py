"""Drawing a run's timeline. Every draw is seeded by (seed, pipeline, tick): the same question, the same answer."""

import math
import random
from collections.abc import Mapping
from datetime import datetime, timedelta

from runlake.emulator.catalog import Character, Pipeline
from runlake.emulator.timeline import Attempt, Moment, Run, State, Step

_ERRORS: Mapping[State, tuple[str, ...]] = {
    State.FAILED: (
        "connection reset by peer while reading claims_2026.parquet",
        "duplicate key value violates unique constraint dim_customer_pk",
        "schema changed: column policy_start is now text",
        "model call failed: context length exceeded",
    ),
    State.BROKEN: ("pod evicted: node ran low on memory", "failed to pull image: i/o timeout"),
    State.TIMED_OUT: ("no answer from 3 devices within the limit",),
    State.INVALID: ("the pipeline has no stages",),
    State.CANCELLED: ("stopped by a newer run",),
    State.REJECTED: ("the reviewer rejected the change",),
}


def _weighted(rng: random.Random, weights: Mapping[State, float]) -> State:
    return rng.choices(list(weights), list(weights.values()))[0]


def _span(rng: random.Random, median_s: float, sigma: float) -> timedelta:
    # Whole milliseconds: the coarsest precision any vendor shows, so truth and wire compare without rounding.
    return timedelta(milliseconds=max(1, round(median_s * math.exp(rng.gauss(0, sigma)) * 1000)))


def _attempt(rng: random.Random, kind: Character, number: int, opened: datetime, p_failure: float) -> Attempt:
    started = opened + _span(rng, kind.queue_s, 0.6)
    worked = _span(rng, kind.length_s, kind.spread)
    verdict = State.SUCCEEDED
    chance = rng.random()
    if chance < p_failure:
        verdict = _weighted(rng, kind.failures)
    elif chance > 1 - sum(kind.others.values()):
        verdict = _weighted(rng, kind.others)
    if verdict is State.INVALID or (verdict is State.CANCELLED and rng.random() < 0.4):
        return Attempt(number, opened, None, None, started, started, verdict, rng.choice(_ERRORS[verdict]))
    if verdict is State.TIMED_OUT:
        worked *= 8
    wait = None
    if number == 1 and rng.random() < kind.review:
        paused = started + _whole(worked * rng.uniform(0.3, 0.9))
        resumed = paused + _span(rng, kind.review_h * 3600, 1.0)
        wait = (paused, resumed)
        if rng.random() < kind.reject:
            verdict = State.REJECTED
    if wait is not None and verdict is State.REJECTED:
        ended = wait[1]
    else:
        ended = started + worked + (wait[1] - wait[0] if wait else timedelta())
    final_at = ended + _span(rng, kind.verdict_s, 0.5) if kind.verdict_s and verdict.final else ended
    error = rng.choice(_ERRORS[verdict]) if verdict in _ERRORS else None
    return Attempt(number, opened, started, wait, ended, final_at, verdict, error)


def _moments(attempt: Attempt, tokens: int) -> list[Moment]:
    def moment(at: datetime, state: State) -> Moment:
        started = attempt.started_at if attempt.started_at is not None and at >= attempt.started_at else None
        final = state.final
        return Moment(
            at,
            state,
            attempt,
            started,
            attempt.worked_until if final else None,
            attempt.error if final else None,
            tokens if final else tokens // 2,
        )

    queue = (attempt.started_at or attempt.final_at) - attempt.opened_at
    moments = [
        moment(attempt.opened_at, State.CREATED),
        moment(attempt.opened_at + queue // 4, State.QUEUED),
        moment(attempt.opened_at + queue // 2, State.PREPARING),
    ]
    if attempt.started_at is not None:
        moments.append(moment(attempt.started_at, State.RUNNING))
        if attempt.wait is not None:
            moments.append(moment(attempt.wait[0], State.WAITING))
            if attempt.wait[1] < attempt.worked_until:
                moments.append(moment(attempt.wait[1], State.RUNNING))
        if attempt.worked_until < attempt.final_at:
            moments.append(moment(attempt.worked_until, State.FINALISING))
    moments.append(moment(attempt.final_at, attempt.verdict))
    return moments


def history(
    rng: random.Random, kind: Character, created: datetime, p_failure: float
) -> tuple[tuple[Moment, ...], datetime | None]:
    """All moments of a run, reruns and late edits included, and when it is deleted, if ever."""
    tokens = rng.randrange(100, 4000)
    first = _attempt(rng, kind, 1, created, p_failure)
    moments = _moments(first, tokens)
    if rng.random() < (kind.rerun if first.verdict.failure else kind.rerun / 40):
        again = _attempt(rng, kind, 2, first.final_at + _span(rng, 4 * 3600, 1.2), 0.2)
        moments += _moments(again, tokens + 250)
    last = moments[-1]
    if rng.random() < kind.edit:
        flips = kind.edit_flips and last.state is State.SUCCEEDED
        moments.append(
            Moment(
                last.at + _span(rng, 20 * 3600, 0.8),
                State.FAILED if flips else last.state,
                last.attempt,
                last.started_at,
                last.finished_at,
                f"{last.error} (edited)" if last.error else None,
                last.tokens + 17,
            )
        )
    deleted = moments[-1].at + _span(rng, 3 * 86400, 0.5) if rng.random() < kind.delete else None
    return tuple(moments), deleted


def steps(rng: random.Random, pipeline: Pipeline, run: Run, attempt: Attempt) -> tuple[Step, ...]:
    """The steps of one attempt, one after the other; the one in which a run went wrong ends as the run does."""
    if attempt.verdict is State.INVALID:
        return ()
    names = pipeline.steps
    if attempt.started_at is None:
        gone = ((attempt.final_at, State.NOT_RUN),)
        return tuple(Step(name, i, -1, gone) for i, name in enumerate(names))
    bad = attempt.verdict not in {State.SUCCEEDED, State.WARNED, State.SKIPPED}
    reached = rng.randrange(len(names)) if bad else len(names) - 1
    warned = rng.randrange(len(names)) if attempt.verdict is State.WARNED else -1
    wait_from, wait_to = attempt.wait or (attempt.worked_until, attempt.worked_until)
    total = (attempt.worked_until - attempt.started_at) - (wait_to - wait_from)
    cuts = sorted(rng.random() for _ in range(reached))
    edges = [timedelta(), *(_whole(total * cut) for cut in cuts), total]

    def instant(offset: timedelta, *, end: bool) -> datetime:
        at = (attempt.started_at or attempt.opened_at) + offset
        return at + (wait_to - wait_from) if at > wait_from or (end and at == wait_from) else at

    planned: list[Step] = []
    for i, name in enumerate(names):
        if i > reached:
            planned.append(Step(name, i, -1, ((attempt.worked_until, State.NOT_RUN),)))
            continue
        begin, end = instant(edges[i], end=False), instant(edges[i + 1], end=True)
        verdict, error = State.SUCCEEDED, None
        if bad and i == reached:
            verdict, error = attempt.verdict, attempt.error
        elif i == warned:
            verdict, error = State.WARNED, "2 items skipped"
        elif rng.random() < pipeline.character.step_skip and i:
            planned.append(Step(name, i, -1, ((begin, State.SKIPPED),)))
            continue
        phases = [(begin, State.RUNNING)]
        tries = 1
        if attempt.wait and begin <= wait_from < wait_to <= end:
            phases.append((wait_from, State.WAITING))
            if wait_to < end:
                phases.append((wait_to, State.RUNNING))
        elif rng.random() < pipeline.character.step_retry:
            tries = 2
            phases += [
                (begin + _whole((end - begin) * 0.4), State.RETRYING),
                (begin + _whole((end - begin) * 0.6), State.RUNNING),
            ]
        phases.append((end, verdict))
        copies = range(pipeline.character.mapped) if name == "load_partition" else (-1,)
        planned += [Step(name, i, copy, tuple(phases), error, tries) for copy in copies]
    return tuple(planned)


def _whole(span: timedelta) -> timedelta:
    return span // timedelta(milliseconds=1) * timedelta(milliseconds=1)
