"""What each kind of rule looks for: pure functions of what was seen, with no clock but the source's own."""

from __future__ import annotations

from datetime import datetime, timedelta

from runlake.alerts.kinds import durations, failed, failure_rate, missing, sources, waiting
from runlake.alerts.kinds.finding import finding
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import (
    CoverageGap,
    Failed,
    FailureRate,
    Missing,
    NewStatusWord,
    Rule,
    RunRule,
    SourceUnobservable,
    TooLong,
    TooShort,
    Waiting,
)
from runlake.store.alerting import Alert, SeenPipeline, SeenSource


def judge(rule: RunRule, pipeline: SeenPipeline, *, since: datetime, episode: Alert | None) -> Judgement:
    """What the rule finds of a pipeline in its scope. `since`: what ended before is history. `episode`: the open one of
    this rule and pipeline."""
    through = pipeline.source.observed_through
    if through is None:
        return finding(rule, pipeline, Verdict.CANNOT_TELL, f"{pipeline.source.source} was not yet seen in full")
    match rule:
        case Failed():
            return failed.judge(rule, pipeline, since=since, episode=episode)
        case FailureRate():
            return failure_rate.judge(rule, pipeline, through=through, since=since, episode=episode)
        case TooLong():
            return durations.judge_too_long(rule, pipeline, since=since, episode=episode)
        case TooShort():
            return durations.judge_too_short(rule, pipeline, since=since)
        case Missing():
            return missing.judge(rule, pipeline, through=through, since=since, episode=episode)
        case Waiting():
            return waiting.judge(rule, pipeline)
    raise TypeError(f"{rule.kind} is not about runs")


def judge_source(
    rule: Rule, source: SeenSource, *, now: datetime, patience: timedelta, episode: Alert | None
) -> Judgement:
    """What the rule finds of a source. `patience`: the longest usual time between two polls of it."""
    match rule:
        case SourceUnobservable():
            return sources.judge_unobservable(rule, source, patience=patience, episode=episode)
        case NewStatusWord():
            return sources.judge_words(rule, source, now=now, episode=episode)
        case CoverageGap():
            return sources.judge_gaps(rule, source, now=now, episode=episode)
    raise TypeError(f"{rule.kind} is not about sources")
