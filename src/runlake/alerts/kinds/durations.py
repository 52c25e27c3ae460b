"""`too_long` and `too_short`: how long runs take, against a limit or against what this pipeline's usually do.

`too_long` looks at the runs that are under way and at the one that started last. What is under way counts as long as we
have seen it last, not until now. It fires while any is over its bound, also one that newer runs have overtaken, and for
one that we saw only after its end; so one slow run is one episode. It ends when that run is gone, has failed or was
cancelled (`failed` speaks of those), or when a newer one has started and is within the bound: a success that took too
long stays too long until then.

`too_short` looks at the success that ended last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from runlake.alerts.kinds.finding import end_of, finding, last_seen
from runlake.alerts.kinds.results import SUCCEEDED
from runlake.alerts.scope import counted
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import TooLong, TooShort
from runlake.formats import lasting
from runlake.model import RunStatus
from runlake.store.alerting import Alert, SeenPipeline, SeenRun

_UNDER_WAY = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})
_SHORTEST = timedelta(seconds=1)
"""Many vendors count whole seconds: of a bound below one, nobody can tell."""


@dataclass(slots=True)
class _Bound:
    length: timedelta
    why: str
    facts: dict[str, Any]


def judge_too_long(rule: TooLong, pipeline: SeenPipeline, *, since: datetime, episode: Alert | None) -> Judgement:
    runs = counted(rule, pipeline.runs)
    under_way = [run for run in runs if run.status in _UNDER_WAY]
    started = [*under_way, *(run for run in runs if run.duration_ms is not None and run.status.is_final)]
    newest = max(started, key=_begin, default=None)
    candidates = list(under_way)
    if newest is not None and newest.status in SUCCEEDED and end_of(newest) >= since:
        candidates.append(newest)
    bound = _longest(rule, runs, newest, episode)
    if isinstance(bound, str):
        return finding(rule, pipeline, Verdict.CANNOT_TELL, bound)
    over = max((run for run in candidates if _elapsed(run) > bound.length), key=_elapsed, default=None)
    if over is not None:
        return finding(
            rule,
            pipeline,
            Verdict.FIRING,
            f"run {over.run_id} {_so_far(over)}, and {bound.why} is too long",
            since=_begin(over) + bound.length,
            run_key=over.run_key,
            seen_through=last_seen(over) if over.outcome is None else pipeline.source.looked_at,
            facts={**bound.facts, "run_id": over.run_id, "took_s": _elapsed(over).total_seconds()},
        )
    next_over = min(under_way, key=_begin, default=None)
    return finding(
        rule,
        pipeline,
        Verdict.OK,
        "no run has started" if newest is None else f"run {newest.run_id} {_so_far(newest)}; {bound.why} is too long",
        seen_through=last_seen(next_over) if next_over else pipeline.source.looked_at,
        look_at=_begin(next_over) + bound.length + timedelta(microseconds=1) if next_over else None,
        facts=bound.facts,
    )


def judge_too_short(rule: TooShort, pipeline: SeenPipeline, *, since: datetime) -> Judgement:
    successes = [run for run in counted(rule, pipeline.runs) if run.status in SUCCEEDED]
    last = max((run for run in successes if end_of(run) >= since), key=end_of, default=None)
    if last is None or last.duration_ms is None:
        why = "no run has succeeded" if last is None else f"the vendor does not say how long run {last.run_id} took"
        return finding(rule, pipeline, Verdict.CANNOT_TELL, why)
    if rule.limit is not None:
        bound = _fixed(rule.limit, "less than")
    else:
        lengths = _lengths(successes, without=last)
        if len(lengths) < rule.min_runs:
            return finding(rule, pipeline, Verdict.CANNOT_TELL, _too_few(lengths, rule.min_runs))
        usual = _percentile(lengths, 0.05)
        bound = _Bound(
            usual * rule.factor,
            f"less than {_precise(usual * rule.factor)} ({rule.factor:g} times the 5th percentile of "
            f"{len(lengths)} successful runs, {_precise(usual)})",
            {"p5_s": usual.total_seconds(), "runs": len(lengths)},
        )
        if bound.length < _SHORTEST:
            why = f"its runs are too short for less to be told: {bound.why}"
            return finding(rule, pipeline, Verdict.CANNOT_TELL, why, facts=bound.facts)
    took = _elapsed(last)
    facts = {**bound.facts, "bound_s": bound.length.total_seconds(), "took_s": took.total_seconds()}
    if took >= bound.length:
        why = f"run {last.run_id} took {_precise(took)}; {bound.why} is too short"
        return finding(rule, pipeline, Verdict.OK, why, facts=facts)
    return finding(
        rule,
        pipeline,
        Verdict.FIRING,
        f"run {last.run_id} succeeded in {_precise(took)}, and {bound.why} is too short",
        since=end_of(last),
        run_key=last.run_key,
        facts=facts,
    )


def _longest(rule: TooLong, runs: Iterable[SeenRun], newest: SeenRun | None, episode: Alert | None) -> _Bound | str:
    """The bound; or why there is none."""
    if rule.limit is not None:
        return _fixed(rule.limit, "more than")
    lengths = _lengths((run for run in runs if run.status in SUCCEEDED), without=newest)
    if len(lengths) >= rule.min_runs:
        usual = _percentile(lengths, 0.95)
        length = max(rule.at_least, usual * rule.factor)
        learned = f"{rule.factor:g} times the 95th percentile of {len(lengths)} successful runs, {_precise(usual)}"
        if length > usual * rule.factor:
            learned += f", but no less than {lasting(rule.at_least)}"
        facts = {"bound_s": length.total_seconds(), "p95_s": usual.total_seconds(), "runs": len(lengths)}
        return _Bound(length, f"more than {lasting(length)} ({learned})", facts)
    if episode is not None and "bound_s" in episode.facts:  # what it was learned from is long ago by now
        return _fixed(timedelta(seconds=episode.facts["bound_s"]), "more than")
    return _too_few(lengths, rule.min_runs)


def _fixed(length: timedelta, than: str) -> _Bound:
    return _Bound(length, f"{than} {_precise(length)}", {"bound_s": length.total_seconds()})


def _lengths(successes: Iterable[SeenRun], *, without: SeenRun | None) -> list[int]:
    """How long they took, in milliseconds, the shortest first."""
    return sorted(run.duration_ms for run in successes if run.duration_ms is not None and run is not without)


def _percentile(lengths: Sequence[int], share: float) -> timedelta:
    return timedelta(milliseconds=lengths[max(ceil(share * len(lengths)) - 1, 0)])


def _too_few(lengths: Sequence[int], needed: int) -> str:
    return f"only {len(lengths)} successful runs to learn from, {needed} are needed"


def _begin(run: SeenRun) -> datetime:
    return run.started_at or run.created_at


def _elapsed(run: SeenRun) -> timedelta:
    if run.outcome is None:
        return last_seen(run) - _begin(run)
    return timedelta(milliseconds=run.duration_ms or 0)


def _so_far(run: SeenRun) -> str:
    if run.outcome is None:
        return f"has been {run.status} for {lasting(_elapsed(run))}"
    if run.status in SUCCEEDED:
        return f"took {_precise(_elapsed(run))}"
    return f"ended as {run.vendor_status} after {_precise(_elapsed(run))}"


def _precise(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{seconds:.1f} s" if seconds < 10 and seconds % 1 else lasting(length)
