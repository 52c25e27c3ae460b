"""`alerts explain`: what each rule finds of a pipeline, and why."""

from __future__ import annotations

import sys
from typing import Any

from runlake.alerts.explaining import Explained, Finding
from runlake.alerts.explaining import explain as explained
from runlake.cli import show
from runlake.cli.alerts.seeing import Seen, instant, say, seen, short
from runlake.cli.alerts.showing import fact
from runlake.cli.show import Format
from runlake.config import Config
from runlake.config.alerting import RunRule
from runlake.errors import ConfigError
from runlake.store.alerting import SeenPipeline

_MOST_NAMED = 3

_FIND = """
SELECT DISTINCT source, pipeline_id FROM (
  SELECT source, pipeline_id, pipeline_name FROM pipelines
  UNION ALL SELECT source, pipeline_id, pipeline_name FROM latest_runs)
WHERE ($source IS NULL OR source = $source)
  AND ($pipeline IN (pipeline_id, pipeline_name, concat(source, '/', pipeline_id), concat(source, '/', pipeline_name))
    OR ($begins AND (starts_with(pipeline_id, $pipeline) OR starts_with(pipeline_name, $pipeline))))
ORDER BY ALL
"""


def explain(config: Config, pipeline: str, source: str | None, format_: Format) -> None:
    """Raises ConfigError where it names no pipeline, or several."""
    if source is not None:
        config.select([source])
    with seen(config) as view:
        if view is None:
            return
        which = _pipeline(view, pipeline, source)
        name = which.source.source
        polled = next((each for each in config.source if each.name == name), None)
        if polled is None:
            raise ConfigError(f"source {name} is in the ledger and in no config: no rule looks at it")
        found = explained(
            config.rules,
            which,
            known=view.books.rules(),
            episodes={(alert.rule, alert.key): alert for alert in view.open},
            patience=polled.latest,
            now=view.now,
        )
        if format_ is Format.JSON:
            sys.stdout.write(show.json_text(_content(which, found), indent=2) + "\n")
        else:
            _tell(which, found)


def _pipeline(view: Seen, pipeline: str, source: str | None) -> SeenPipeline:
    wanted = pipeline.strip().rstrip("…")  # as copied from a table that had no room for all of it
    found = view.reader.read(_FIND, pipeline=wanted, source=source, begins=False) or view.reader.read(
        _FIND, pipeline=wanted, source=source, begins=True
    )
    if not found:
        whose = f" of source {source}" if source is not None else ""
        raise ConfigError(f"no pipeline '{wanted}'{whose} is in the ledger; give its id or its name")
    if len(found) > 1:
        named = ", ".join(f"{row['source']}/{row['pipeline_id']}" for row in found[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise ConfigError(f"'{wanted}' could be {len(found)} pipelines: {named}{more}; write one of these")
    rules = [rule for rule in view.config.rules if isinstance(rule, RunRule)]
    [seen_pipeline] = view.books.pipelines(
        view.books.sources(),
        [(found[0]["source"], found[0]["pipeline_id"])],
        view.now,
        conditions={rule.where for rule in rules if rule.where is not None},
        labels=any(rule.labels for rule in rules),
    )
    return seen_pipeline


# --- for machines ----------------------------------------------------------------------------------------------------


def _content(pipeline: SeenPipeline, explained: Explained) -> dict[str, Any]:
    return {
        "source": pipeline.source.source,
        "pipeline_id": pipeline.pipeline_id,
        "pipeline_name": pipeline.pipeline_name,
        "observed_through": pipeline.source.observed_through,
        "runs": len(pipeline.runs),
        "rules": [_row(each) for each in explained.findings],
        "out_of_scope": explained.out_of_scope,
        "of_queries": explained.of_queries,
    }


def _row(finding: Finding) -> dict[str, Any]:
    rule, found, episode = finding.rule, finding.found, finding.episode
    return {
        "rule": rule.name,
        "kind": rule.kind,
        "severity": rule.told_as.value,
        "key": found.key if found is not None else None,
        "rule_since": finding.since,
        "runs_counted": finding.counts,
        "verdict": found.verdict.value if found is not None else None,
        "why": found.why if found is not None else finding.why_not,
        "facts": found.facts if found is not None else {},
        "since": found.since if found is not None else None,
        "seen_through": found.seen_through if found is not None else None,
        "settled": found.settled if found is not None else None,
        "fires_at": finding.fires_at,
        "look_at": found.look_at if found is not None else None,
        "alert_id": episode.alert_id if episode is not None else None,
        "state": episode.state if episode is not None else None,
    }


# --- for eyes --------------------------------------------------------------------------------------------------------


def _tell(pipeline: SeenPipeline, explained: Explained) -> None:
    source, name = pipeline.source, f" ({pipeline.pipeline_name})" if pipeline.pipeline_name else ""
    say(f"{pipeline.key}{name}{', paused at its vendor' if pipeline.paused else ''}")
    through = f"seen through {instant(source.observed_through)}" if source.observed_through else "not yet seen in full"
    say(f"  {len(pipeline.runs)} runs of the last 30 days; source {source.source} {through}")
    for finding in explained.findings:
        _tell_rule(finding)
    if explained.out_of_scope:
        say(f"\nnot about this pipeline: {', '.join(explained.out_of_scope)}")
    if explained.of_queries:
        say(f"\nqueries, which are asked of the whole ledger: {', '.join(explained.of_queries)}")


def _tell_rule(finding: Finding) -> None:
    rule, found = finding.rule, finding.found
    say(f"\n{rule.name}: {found.verdict if found is not None else 'not judged yet'} ({rule.told_as})")
    say(f"  {found.why if found is not None else finding.why_not}")
    if finding.episode is not None:
        episode = finding.episode
        since = instant(episode.fired_at or episode.pending_at)
        say(f"  alert {short(episode.alert_id)}, {episode.state} since {since}")
    if found is not None and not found.settled:
        say("  told once it is settled: the vendor is trying again")
    elif finding.fires_at is not None and (finding.episode is None or finding.episode.state == "pending"):
        say(f"  told once seen through {instant(finding.fires_at)}")
    if found is not None and found.look_at is not None:
        say(f"  judged again once seen through {instant(found.look_at)}")
    stands = f"stands since {instant(finding.since)}" if finding.since is not None else "was not evaluated yet"
    counts = f"; {finding.counts} of the runs count" if finding.counts is not None else ""
    say(f"  the rule {stands}{counts}")
    for key, value in found.facts.items() if found is not None else ():
        say(f"    {key}: {fact(value)}")
