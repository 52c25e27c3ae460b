"""What is the matter with a source as such: it cannot be seen, says a new word, or has runs that we lack."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from runlake.alerts.kinds.finding import told
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import CoverageGap, NewStatusWord, Rule, SourceUnobservable
from runlake.formats import instant, lasting, some
from runlake.store.alerting import Alert, SeenSource

_NEEDS_A_PERSON = frozenset({"AuthenticationError", "ConfigError"})
_SHOWN = 5
"""So many words or gaps stand in a sentence; the facts have all."""


def judge_unobservable(
    rule: SourceUnobservable, source: SeenSource, *, patience: timedelta, episode: Alert | None
) -> Judgement:
    """Failing counts between the first and the last failed poll, and no longer than as many polls take: when we did not
    look ourselves, that says nothing of the source."""
    if source.last_outcome == "failed" and source.failing_since is not None and source.last_at is not None:
        lasted = min(source.last_at - source.failing_since, patience * (source.failures - 1))
        facts = {
            "error_class": source.error_class,
            "failing_since": instant(source.failing_since),
            "failures": source.failures,
        }
        why = (
            f"{some(source.failures, 'poll')} in a row failed since {told(source.failing_since)}: "
            f"{source.error or source.error_class}"
        )
        if source.error_class in _NEEDS_A_PERSON or lasted >= max(rule.after, patience):
            return _finding(rule, source, Verdict.FIRING, why, since=source.failing_since, facts=facts)
        return _finding(rule, source, Verdict.CANNOT_TELL, f"{why}; that may pass", facts=facts)
    if source.last_outcome == "partial" and source.observed_through and source.looked_at:
        behind = source.looked_at - source.observed_through
        if behind > max(timedelta(hours=1), 3 * patience, rule.after):
            why = f"only a part of it has been seen since {told(source.observed_through)}, {lasting(behind)}"
            # After a time in which we did not look, the first poll may be partial too: the next one tells.
            confirmed = episode is not None and episode.pending_at < source.looked_at
            return _finding(
                rule,
                source,
                Verdict.FIRING,
                f"{why}: {source.error}" if source.error else why,
                since=source.observed_through,
                settled=confirmed or (episode is not None and episode.state == "firing"),
                facts={
                    "partly_seen": True,
                    "observed_through": instant(source.observed_through),
                    "behind_s": behind.total_seconds(),
                },
            )
    if source.last_outcome in {"ok", "partial"}:
        answered = source.looked_at or source.last_at
        why = f"it answered at {told(answered)}" if answered else "it answered"
        return _finding(rule, source, Verdict.OK, why)
    return _finding(rule, source, Verdict.CANNOT_TELL, "no poll of it has come to an end yet")


def judge_words(rule: NewStatusWord, source: SeenSource, *, now: datetime, episode: Alert | None) -> Judgement:
    if not source.words:
        return _finding(rule, source, Verdict.OK, "every status word of its runs is mapped")
    shown = [f"{word.level} {word.word!r} ({word.config_line})" for word in source.words[:_SHOWN]]
    return _finding(
        rule,
        source,
        Verdict.FIRING,
        f"{some(len(source.words), 'status word')} not mapped, write in the config: {_listed(shown, source.words)}",
        since=_began(source, now, episode),
        facts={
            "words": [
                {"level": word.level, "word": word.word, "config_line": word.config_line} for word in source.words
            ]
        },
    )


def judge_gaps(rule: CoverageGap, source: SeenSource, *, now: datetime, episode: Alert | None) -> Judgement:
    if not source.gaps:
        return _finding(rule, source, Verdict.OK, "no run that the vendor lists is known to be missing")
    missing = sum(len(gap.run_ids) for gap in source.gaps)
    shown = [f"{gap.pipeline_id} on {gap.day} ({some(len(gap.run_ids), 'run')})" for gap in source.gaps[:_SHOWN]]
    return _finding(
        rule,
        source,
        Verdict.FIRING,
        f"{some(missing, 'run')} that the vendor lists could not be read: {_listed(shown, source.gaps)}",
        since=_began(source, now, episode),
        facts={
            "gaps": [{"pipeline_id": gap.pipeline_id, "day": gap.day, "runs": len(gap.run_ids)} for gap in source.gaps]
        },
    )


def _listed(shown: list[str], things: Any) -> str:
    more = len(things) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


def _began(source: SeenSource, now: datetime, episode: Alert | None) -> datetime:
    return episode.since if episode is not None else source.looked_at or now


def _finding(
    rule: Rule,
    source: SeenSource,
    verdict: Verdict,
    why: str,
    *,
    since: datetime | None = None,
    settled: bool = True,
    facts: Mapping[str, Any] | None = None,
) -> Judgement:
    return Judgement(
        rule=rule.name,
        key=source.source,
        verdict=verdict,
        why=why,
        source=source.source,
        since=since,
        seen_through=source.last_at,
        settled=settled,
        facts=dict(facts or {}),
    )
