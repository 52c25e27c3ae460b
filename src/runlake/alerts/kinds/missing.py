"""`missing`: no run came when one was due, and the source was seen in full until after that.

Only the last time that has come counts, so a pipeline that stood still for long is told once. A run is created when its
first attempt is; one that the vendor has deleted since came all the same. An alert is over when a run is seen that was
created for the time that it told of, or later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runlake.alerts.kinds.cadence import expected
from runlake.alerts.kinds.finding import finding, told
from runlake.alerts.scope import counted
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import Missing
from runlake.cron import last_before, next_after
from runlake.formats import instant, lasting
from runlake.store.alerting import WINDOW, Alert, SeenPipeline

_TICK = timedelta(microseconds=1)


@dataclass(slots=True)
class _Due:
    """A run is to be created at `at`, or from `begins` on; as none has come, it is missing at `late`."""

    at: datetime
    begins: datetime
    late: datetime
    why: str


def judge(
    rule: Missing, pipeline: SeenPipeline, *, through: datetime, since: datetime, episode: Alert | None
) -> Judgement:
    if pipeline.paused:
        return finding(rule, pipeline, Verdict.OK, "it is paused", seen_through=through)
    created = _created(rule, pipeline)
    last = created[-1] if created else None
    due = _due(rule, created, through, since)
    facts: dict[str, Any] = {"last_created_at": instant(last) if last else None}
    if not isinstance(due, str):
        facts |= {"due_at": instant(due.at), "due_from": instant(due.begins), "late_at": instant(due.late)}
        if due.late <= through:
            why = f"a run was due at {told(due.at)} and none had come by {told(due.late)} ({due.why})"
            since_when = f"; the last came at {told(last)}" if last else f"; none came in the last {lasting(WINDOW)}"
            return finding(
                rule,
                pipeline,
                Verdict.FIRING,
                why + since_when,
                since=due.at,
                seen_through=through,
                facts=facts,
            )
    if episode is not None and not _has_come(episode.facts, last):
        why = f"no run has come since one was due at {told(episode.since)}"
        return finding(
            rule, pipeline, Verdict.FIRING, why, since=episode.since, seen_through=through, facts=episode.facts
        )
    if isinstance(due, str) and (episode is None or last is None):
        return finding(rule, pipeline, Verdict.CANNOT_TELL, due, seen_through=through, facts=facts)
    why = f"the last run came at {told(last)}" if last else "none has been due yet"
    look_at = None
    if not isinstance(due, str) and due.late > through:
        why, look_at = f"{why}; the next is due by {told(due.late)} ({due.why})", due.late
    return finding(rule, pipeline, Verdict.OK, why, seen_through=through, look_at=look_at, facts=facts)


def _created(rule: Missing, pipeline: SeenPipeline) -> list[datetime]:
    """When each run's first attempt was created, the earliest first."""
    runs = counted(rule, pipeline.runs, vanished=True)
    if not any(run.attempt > 1 for run in runs):
        return sorted(run.created_at for run in runs)
    first: dict[str, datetime] = {}
    for run in runs:
        first[run.run_id] = min(run.created_at, first.get(run.run_id, run.created_at))
    return sorted(first.values())


def _due(rule: Missing, created: list[datetime], through: datetime, since: datetime) -> _Due | str:
    """The time that was missed, or else the next one; a text where none is known: why."""
    if rule.cron is not None:
        return _by_cron(rule, rule.cron, created[-1] if created else None, through, since)
    if not created:
        return f"no run in the last {lasting(WINDOW)}, too long ago to tell when the next is due: give the rule a cron"
    last = created[-1]
    if rule.every is not None:
        # What came before the rule stood is history; that none has come since is not.
        at = max(last, since) + rule.every
        return _Due(at, last + _TICK, at + rule.grace, f"at the latest {lasting(rule.every)} after the one before")
    usual = expected(created, rule.min_runs)
    if isinstance(usual, str):
        return usual
    at = last + usual.wait
    if at < since:
        return f"the next run was due at {told(at)}, before this rule and this source were watched"
    return _Due(at, last + _TICK, at + rule.grace, f"learned: {usual.why}")


def _by_cron(rule: Missing, cron: str, last: datetime | None, through: datetime, since: datetime) -> _Due:
    at = last_before(cron, through - rule.grace)
    begins = _begins(rule, cron, at)
    if at < since or (last is not None and last >= begins):
        at = next_after(cron, max(at, since - _TICK))
        begins = _begins(rule, cron, at)
    return _Due(at, begins, at + rule.grace, f"cron {cron}")


def _begins(rule: Missing, cron: str, at: datetime) -> datetime:
    """From when on a run is this time's: a little too early, but nearer to it than to the time before."""
    return at - min(rule.early, (at - last_before(cron, at - _TICK)) / 2)


def _has_come(facts: Mapping[str, Any], last: datetime | None) -> bool:
    """Whether a run has come since the time of which an episode tells."""
    due_from = facts.get("due_from")
    return due_from is None or (last is not None and last >= datetime.fromisoformat(due_from))
