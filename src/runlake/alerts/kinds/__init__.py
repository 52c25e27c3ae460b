"""What each kind of rule looks for: pure functions of what was seen, with no clock but the source's own."""

from __future__ import annotations

from datetime import datetime

from runlake.alerts.kinds import failed
from runlake.alerts.verdict import Judgement
from runlake.config.alerting import Failed, RunRule
from runlake.store.alerting import Alert, SeenPipeline


def judge(rule: RunRule, pipeline: SeenPipeline, *, since: datetime, episode: Alert | None) -> Judgement:
    """What the rule finds of a pipeline in its scope. `since`: what ended before is history. `episode`: the open one of
    this rule and pipeline. A source that was never seen in full is not to be judged."""
    match rule:
        case Failed():
            return failed.judge(rule, pipeline, since=since, episode=episode)
    raise TypeError(f"no pipeline is judged by {rule.kind}")
