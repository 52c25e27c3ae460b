"""`failed`: the last runs of a pipeline failed, and the vendor is not trying again.

A failure is over once a run succeeded that was created and ended after it, or once the run itself did on a later
attempt: of two runs that overlap, one says nothing of the other. An episode remembers the run that it began with, since
a vendor that runs it again in place shows no failure meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from runlake.alerts.kinds.finding import end_of, finding, told
from runlake.alerts.kinds.results import FAILED, SUCCEEDED, results
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import Failed
from runlake.formats import instant, some
from runlake.store.alerting import Alert, SeenPipeline, SeenRun


@dataclass(slots=True, kw_only=True)
class _Failure:
    """Of a run that failed, what an episode remembers."""

    run_key: str
    run_id: str
    vendor_status: str
    created_at: datetime
    ended_at: datetime

    @classmethod
    def of(cls, run: SeenRun) -> _Failure:
        return cls(
            run_key=run.run_key,
            run_id=run.run_id,
            vendor_status=run.vendor_status,
            created_at=run.created_at,
            ended_at=end_of(run),
        )

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> _Failure:
        instants = {name: datetime.fromisoformat(facts[name]) for name in ("created_at", "ended_at")}
        return cls(**{**facts, **instants})

    def as_facts(self) -> dict[str, Any]:
        return {**asdict(self), "created_at": instant(self.created_at), "ended_at": instant(self.ended_at)}

    def __str__(self) -> str:
        return f"run {self.run_id} ended as {self.vendor_status} at {told(self.ended_at)}"


def judge(rule: Failed, pipeline: SeenPipeline, *, since: datetime, episode: Alert | None) -> Judgement:
    became = results(rule, pipeline)
    successes = [run for run in became.said if run.status in SUCCEEDED]
    successes.sort(key=_created, reverse=True)
    failures = sorted(
        (
            run
            for run in became.said
            if run.status in FAILED
            and run.read_by != "backfill"
            and end_of(run) >= since
            and _answer(run.created_at, end_of(run), successes) is None
        ),
        key=end_of,
    )
    settled = [run for run in failures if run.run_id not in became.trying]
    facts: dict[str, Any] = {"failures": len(failures), "in_a_row": rule.in_a_row}
    if successes:
        facts["last_success"] = {"run_id": successes[0].run_id, "ended_at": instant(end_of(successes[0]))}
    began_with = _remembered(episode)
    if len(failures) >= rule.in_a_row:
        made_it = (settled if len(settled) >= rule.in_a_row else failures)[rule.in_a_row - 1]
        newest = _Failure.of(failures[-1])
        is_told = began_with is not None and episode is not None and episode.state == "firing"
        first = began_with if began_with is not None and is_told else newest
        why = str(newest) if len(failures) == 1 else f"{len(failures)} runs failed since the last success: {newest}"
        if len(settled) < rule.in_a_row:
            why += ", and is being tried again"
        return finding(
            rule,
            pipeline,
            Verdict.FIRING,
            why,
            since=end_of(made_it),
            run_key=newest.run_key,
            settled=len(settled) >= rule.in_a_row,
            facts={**facts, "failed": first.as_facts()},
        )
    if began_with is None or episode is None:
        return finding(rule, pipeline, Verdict.OK, _well(rule, failures, successes, since), facts=facts)
    said = next((run for run in became.said if run.run_id == began_with.run_id), None)
    over = _over(began_with, pipeline, said, successes)
    if over is None and episode.state == "pending" and said is not None:
        over = _well(rule, failures, successes, since)  # others recovered before it was told
    if over is not None:
        return finding(rule, pipeline, Verdict.OK, over, facts=facts)
    trying = began_with.run_id in became.trying
    return finding(
        rule,
        pipeline,
        Verdict.FIRING,
        f"{began_with}, and {'is being run again' if trying else 'no later run has succeeded'}",
        since=episode.since,
        run_key=began_with.run_key,
        settled=not trying,
        facts={**facts, "failed": began_with.as_facts()},
    )


def _over(failure: _Failure, pipeline: SeenPipeline, said: SeenRun | None, successes: Sequence[SeenRun]) -> str | None:
    """Why what an episode began with is over; None while it is not."""
    if said is not None and said.status in SUCCEEDED:
        return f"run {failure.run_id} was run again and succeeded at {told(end_of(said))}"
    answer = _answer(failure.created_at, failure.ended_at, successes)
    if answer is not None:
        return f"run {answer.run_id} succeeded at {told(end_of(answer))}"
    now = next((run for run in pipeline.runs if run.run_key == failure.run_key), None)
    if now is None:  # longer ago than we look back
        return None
    if now.vanished:
        return f"withdrawn: run {failure.run_id} is gone from the vendor"
    if now.vendor_status == failure.vendor_status and now.status not in FAILED:
        return f"withdrawn: {failure.vendor_status} is mapped to {now.status} now, which is no failure"
    return None


def _answer(created_at: datetime, ended_at: datetime, successes: Sequence[SeenRun]) -> SeenRun | None:
    """A success that was created and ended after that; `successes` are by creation, the newest first."""
    later = takewhile(lambda run: run.created_at > created_at, successes)
    return next((run for run in later if end_of(run) > ended_at), None)


def _well(rule: Failed, failures: Sequence[SeenRun], successes: Sequence[SeenRun], since: datetime) -> str:
    if failures:
        return (
            f"{some(len(failures), 'run')} failed since the last success, and {rule.in_a_row} in a row are alerted on"
        )
    if successes:
        return f"run {successes[0].run_id} succeeded at {told(end_of(successes[0]))}, and no later one has failed"
    return f"no run has failed since {told(since)}"


def _remembered(episode: Alert | None) -> _Failure | None:
    failed = episode.facts.get("failed") if episode is not None else None
    return None if failed is None else _Failure.from_facts(failed)


def _created(run: SeenRun) -> datetime:
    return run.created_at
