"""`waiting`: a run waits for a person, as long as we have seen it wait."""

from __future__ import annotations

from datetime import timedelta

from runlake.alerts.kinds.finding import finding, last_seen, told
from runlake.alerts.scope import counted
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import Waiting
from runlake.formats import lasting
from runlake.model import RunStatus
from runlake.store.alerting import SeenPipeline, SeenRun


def judge(rule: Waiting, pipeline: SeenPipeline) -> Judgement:
    waiting = [run for run in counted(rule, pipeline.runs) if run.status is RunStatus.WAITING]
    if not waiting:
        return finding(rule, pipeline, Verdict.OK, "no run waits for a person")
    first = max(waiting, key=_waited)
    facts = {"waiting": len(waiting), "run_id": first.run_id, "waited_s": _waited(first).total_seconds()}
    why = f"run {first.run_id} has waited for {lasting(_waited(first))}, since {told(first.observed_at)}"
    if _waited(first) > rule.longer_than:
        return finding(
            rule,
            pipeline,
            Verdict.FIRING,
            f"{why}; more than {lasting(rule.longer_than)} is too long",
            since=first.observed_at + rule.longer_than,
            run_key=first.run_key,
            seen_through=last_seen(first),
            facts=facts,
        )
    return finding(
        rule,
        pipeline,
        Verdict.OK,
        f"{why}; up to {lasting(rule.longer_than)} is well",
        seen_through=last_seen(first),
        look_at=first.observed_at + rule.longer_than + timedelta(microseconds=1),
        facts=facts,
    )


def _waited(run: SeenRun) -> timedelta:
    """From when we saw it turn to waiting: of that, vendors say nothing."""
    return last_seen(run) - run.observed_at
