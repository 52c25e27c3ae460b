"""What became of each run, all its attempts taken together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from runlake.alerts.scope import counted
from runlake.config.alerting import RunRule
from runlake.model import Outcome
from runlake.store.alerting import SeenPipeline, SeenRun

_TELLING = frozenset({Outcome.SUCCESS, Outcome.FAILURE})


@dataclass(slots=True)
class Result:
    """A run: `said` is the last attempt that succeeded or failed, if any did. One that was cancelled or skipped takes
    nothing back. `trying` tells that a later attempt is open."""

    said: SeenRun | None
    trying: bool


def results(rule: RunRule, pipeline: SeenPipeline) -> dict[str, Result]:
    """By run id, the runs of which the rule looks at one attempt at least: a rerun belongs to its run, whoever asked
    for it."""
    looked_at = counted(rule, pipeline.runs)
    if not any(run.attempt > 1 for run in pipeline.runs):
        return {run.run_id: _result([run]) for run in looked_at}
    mine = {run.run_id for run in looked_at}
    attempts: dict[str, list[SeenRun]] = defaultdict(list)
    for run in pipeline.runs:
        if run.run_id in mine and not run.vanished:
            attempts[run.run_id].append(run)
    return {run_id: _result(sorted(each, key=lambda run: run.attempt)) for run_id, each in attempts.items()}


def _result(attempts: list[SeenRun]) -> Result:
    trying = False
    for run in reversed(attempts):
        if run.outcome in _TELLING:
            return Result(run, trying)
        trying = trying or run.outcome is None
    return Result(None, trying)
