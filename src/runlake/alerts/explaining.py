"""Why a pipeline is, or is not, alerted on: what each rule finds of it, as an evaluation would find it now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runlake.alerts import kinds
from runlake.alerts.episodes import holds_at
from runlake.alerts.scope import counted, in_scope
from runlake.alerts.verdict import Judgement
from runlake.config.alerting import AnyRule, ReportFailed, RunRule, Sql
from runlake.store.alerting import Alert, RuleRow, SeenPipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule finds of a pipeline, or of its source. `found` is None where it cannot be judged yet: `why_not`."""

    rule: AnyRule
    since: datetime | None
    """From when on the rule stands; what ended before is none of its business. None: it was never evaluated."""
    found: Judgement | None
    why_not: str | None = None
    counts: int | None = None
    """How many of the pipeline's runs it looks at; None for rules about sources."""
    fires_at: datetime | None = None
    """By the source's clock, when what fires will have held long enough to be told."""
    episode: Alert | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    findings: list[Finding] = field(default_factory=list)
    out_of_scope: list[str] = field(default_factory=list)
    """Rules whose `sources` or `pipelines` leave this one out."""
    of_queries: list[str] = field(default_factory=list)
    """`sql` rules: what they find is no question of one pipeline."""


def explain(
    rules: Sequence[AnyRule],
    pipeline: SeenPipeline,
    *,
    known: Mapping[str, RuleRow],
    episodes: Mapping[tuple[str, str], Alert],
    patience: timedelta,
    now: datetime,
) -> Explained:
    """`known`: the rules as the ledger has them, by name; `episodes`: those open, by rule and key; `patience`: the
    longest usual time between two polls of the source."""
    explained = Explained()
    for rule in rules:
        if isinstance(rule, ReportFailed):
            continue  # about no pipeline, whichever it is
        if isinstance(rule, Sql):
            explained.of_queries.append(rule.name)
        elif not in_scope(rule, pipeline.source.source, pipeline.pipeline_id, pipeline.pipeline_name):
            explained.out_of_scope.append(rule.name)
        else:
            row = known.get(rule.name)
            since = row.since if row is not None and row.definition == rule.definition else None
            explained.findings.append(_finding(rule, pipeline, since, episodes, patience, now))
    return explained


def _finding(
    rule: AnyRule,
    pipeline: SeenPipeline,
    since: datetime | None,
    episodes: Mapping[tuple[str, str], Alert],
    patience: timedelta,
    now: datetime,
) -> Finding:
    source = pipeline.source
    if not isinstance(rule, RunRule):
        episode = episodes.get((rule.name, source.source))
        found = kinds.judge_source(rule, source, now=now, patience=patience, episode=episode)
        return Finding(rule=rule, since=since, found=found, fires_at=holds_at(rule, found), episode=episode)
    episode, counts = episodes.get((rule.name, pipeline.key)), len(counted(rule, pipeline.runs))
    if source.first_synced_at is None:
        why_not = f"{source.source} was not yet seen in full"
        return Finding(rule=rule, since=since, found=None, why_not=why_not, counts=counts, episode=episode)
    found = kinds.judge(rule, pipeline, since=max(since or now, source.first_synced_at), episode=episode)
    return Finding(rule=rule, since=since, found=found, counts=counts, fires_at=holds_at(rule, found), episode=episode)
