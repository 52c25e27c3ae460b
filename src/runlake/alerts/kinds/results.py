"""What became of each run, all its attempts taken together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from runlake.alerts.scope import counted
from runlake.config.alerting import RunRule
from runlake.model import Outcome, RunStatus
from runlake.store.alerting import SeenPipeline, SeenRun

# Sets, since hundreds of thousands of runs are asked in one evaluation: twice as fast as their outcome.
SUCCEEDED = frozenset(status for status in RunStatus if status.outcome is Outcome.SUCCESS)
FAILED = frozenset(status for status in RunStatus if status.outcome is Outcome.FAILURE)
_TELLING = SUCCEEDED | FAILED
_OPEN = frozenset(status for status in RunStatus if status.outcome is None)


@dataclass(slots=True)
class Results:
    """`said`: of each run, the last attempt that succeeded or failed, if any did; one that was cancelled or skipped
    takes nothing back. `trying`: the ids of runs of which a later attempt, or the only one, is open."""

    said: list[SeenRun]
    trying: set[str]


def results(rule: RunRule, pipeline: SeenPipeline) -> Results:
    """Of the runs of which the rule looks at one attempt at least: a rerun belongs to its run, whoever asked for it."""
    looked_at = counted(rule, pipeline.runs)
    if not any(run.attempt > 1 for run in pipeline.runs):
        said = [run for run in looked_at if run.status in _TELLING]
        return Results(said, {run.run_id for run in looked_at if run.status in _OPEN})
    mine = {run.run_id for run in looked_at}
    attempts: dict[str, list[SeenRun]] = defaultdict(list)
    for run in pipeline.runs:
        if run.run_id in mine and not run.vanished:
            attempts[run.run_id].append(run)
    found = Results([], set())
    for each in attempts.values():
        for run in sorted(each, key=lambda run: run.attempt, reverse=True):
            if run.status in _TELLING:
                found.said.append(run)
                break
            if run.status in _OPEN:
                found.trying.add(run.run_id)
    return found
