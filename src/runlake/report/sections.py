"""The lists of a report, each a question to the metrics and a sentence on what it comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runlake.formats import some
from runlake.report.asking import Known, Listed, Question, Shown, at, shown, span, within
from runlake.report.model import Kind, Section
from runlake.report.period import Period
from runlake.report.scope import Scope, like
from runlake.report.sight import of_sources

PIPELINE = (shown("source"), shown("pipeline"))


@dataclass(frozen=True, slots=True)
class Planned:
    """A section to be. `lead` is said of what was found; where nothing was, `nothing`, or, if None, there is none."""

    key: str
    title: str
    question: Question
    lead: Callable[[Listed], str]
    nothing: str | None


def count(name: str, expression: str | None = None) -> Shown:
    return shown(name, expression, Kind.COUNT)


def lasted(name: str, expression: str) -> Shown:
    return shown(name, expression, Kind.DURATION_MS)


def instant(name: str, expression: str) -> Shown:
    return shown(name, expression, Kind.INSTANT)


def share(name: str, expression: str) -> Shown:
    return shown(name, expression, Kind.SHARE)


def sections(known: Known, period: Period, scope: Scope) -> list[Section]:
    """In the order of the report."""
    made = []
    for planned in _plan(period, scope):
        found = known.listed(planned.question)
        if not found.rows and planned.nothing is None:
            continue
        made.append(
            Section(
                key=planned.key,
                title=planned.title,
                lead=planned.lead(found) if found.rows else planned.nothing or "",
                columns=found.columns,
                rows=found.rows,
                more=found.count - len(found.rows),
                sql=known.sql(planned.question.sql()),
            )
        )
    return made


def _plan(period: Period, scope: Scope) -> Iterator[Planned]:
    yield from _failures(period)
    yield from _worse(period)
    yield from _pipelines(period)
    yield from _causes(period)
    yield from _beside(period)
    yield from _alerts(period, scope)
    yield from _sources(period, of_sources(scope))


def _failures(period: Period) -> Iterator[Planned]:
    changes = f"FROM failure_changes({span(period)}, among := 'known')"
    error = shown("error", "signature")
    yield Planned(
        "new_failures",
        "New failures",
        Question(
            (
                *PIPELINE,
                error,
                count("failures"),
                instant("first", "first_at"),
                instant("last", "last_at"),
            ),
            f"{changes}\nWHERE change = 'new'",
            "failures DESC, source, pipeline_id, signature",
            "url",
        ),
        lambda found: f"{some(found.count, 'error')} that the four weeks before did not have.",
        "No failure is new: whatever failed had failed in the four weeks before.",
    )
    yield Planned(
        "recurring_failures",
        "Recurring failures",
        Question(
            (*PIPELINE, error, count("failures"), count("before", "failures_before"), instant("last", "last_at")),
            f"{changes}\nWHERE change = 'recurring'",
            "failures DESC, source, pipeline_id, signature",
            "url",
        ),
        lambda found: (
            f"{some(found.count, 'error')} that the four weeks before had as well; “before” is how often in these."
        ),
        "No failure of the four weeks before came again.",
    )
    yield Planned(
        "fixed_failures",
        "Fixed failures",
        Question(
            (*PIPELINE, error, count("before", "failures_before"), instant("last", "last_at")),
            f"{changes}\nWHERE change = 'fixed'",
            "failures_before DESC, source, pipeline_id, signature",
            "url",
        ),
        lambda found: (
            f"{some(found.count, 'error')} of the four weeks before did not come again, and the pipeline's last run"
            " succeeded."
        ),
        "Nothing that failed in the four weeks before is known to be fixed.",
    )


def _worse(period: Period) -> Iterator[Planned]:
    got_worse = (
        f"FROM regressions({span(period)}, among := 'known')\n"
        f"JOIN (SELECT source, pipeline_id, last_url FROM pipeline_stats({span(period)}, among := 'known')) "
        "USING (source, pipeline_id)"
    )
    sizes = (count("runs", "n_now"), count("runs before", "n_before"))
    yield Planned(
        "less_reliable",
        "Less reliable",
        Question(
            (*PIPELINE, share("success rate", "now"), share("before", "before"), *sizes),
            f"{got_worse}\nWHERE what = 'success rate'",
            "now - before, source, pipeline_id",
            "last_url",
        ),
        lambda found: (
            f"{some(found.count, 'pipeline')} failed more often than in the four weeks before, and not by chance alone."
        ),
        "Of the pipelines with five rated runs now and ten before, none failed notably more often.",
    )
    yield Planned(
        "slower",
        "Slower",
        Question(
            (
                *PIPELINE,
                lasted("median", "now"),
                lasted("before", "before"),
                shown("times", "ratio", Kind.RATIO),
                *sizes,
            ),
            f"{got_worse}\nWHERE what = 'duration'",
            "now - before DESC, source, pipeline_id",
            "last_url",
        ),
        lambda found: f"{some(found.count, 'pipeline')} took longer than in the four weeks before.",
        "Of the pipelines with five successful runs now and ten before, none took notably longer.",
    )


def _pipelines(period: Period) -> Iterator[Planned]:
    stats = f"FROM pipeline_stats({span(period)}, among := 'known')"
    yield Planned(
        "slowest",
        "Slowest pipelines",
        Question(
            (*PIPELINE, count("runs", "timed"), lasted("median", "p50_ms"), lasted("p95", "p95_ms")),
            f"{stats}\nWHERE timed > 0",
            "p50_ms DESC, source, pipeline_id",
            "last_url",
        ),
        lambda found: f"By the median of their successful runs; {some(found.count, 'pipeline')} had one.",
        "No run succeeded whose duration is known.",
    )
    yield Planned(
        "flakiest",
        "Flakiest pipelines",
        Question(
            (
                shown("source"),
                shown("pipeline", "max_by(pipeline, (failed_at, failed_run_key))"),
                count("flaky runs", "count(*)"),
                count("passed when tried again", "count(*) FILTER (how = 'attempt')"),
                count("passed the next time", "count(*) FILTER (how = 'run')"),
                instant("last", "max(failed_at)"),
            ),
            f"FROM flaky_runs({span(period)}, among := 'known')\nGROUP BY source, pipeline_id",
            "count(*) DESC, source, pipeline_id",
            "max_by(url, (failed_at, failed_run_key))",
        ),
        lambda found: f"{some(found.count, 'pipeline')} failed and then succeeded although nothing had been changed.",
        "No run is known to have failed and then succeeded without a change.",
    )
    yield Planned(
        "most_wasteful",
        "Most wasteful pipelines",
        Question(
            (*PIPELINE, lasted("time lost", "wasted_ms"), count("runs"), count("failures", "failure"), count("reruns")),
            f"{stats}\nWHERE wasted_ms > 0",
            "wasted_ms DESC, source, pipeline_id",
            "last_url",
        ),
        lambda found: (
            f"Time spent on attempts that failed, were cancelled or had to be repeated, in"
            f" {some(found.count, 'pipeline')}."
        ),
        "No time is known to have been lost to failed, cancelled or repeated attempts.",
    )


def _causes(period: Period) -> Iterator[Planned]:
    yield Planned(
        "failing_steps",
        "Steps that fail most",
        Question(
            (
                *PIPELINE,
                shown("step"),
                count("failed runs", "failed_runs"),
                count("of failed runs", "runs_failed_in_all"),
                shown("last error", "error_message"),
            ),
            f"FROM failing_steps({span(period)}, among := 'known', steps := 'known_steps')",
            "failed_runs DESC, failures DESC, source, pipeline_id, step",
            "url",
        ),
        lambda found: f"{some(found.count, 'step')} failed, where vendors show steps.",
        None,
    )
    yield Planned(
        "error_signatures",
        "Most frequent errors",
        Question(
            (
                shown("source"),
                shown("error", "signature"),
                count("failures"),
                count("pipelines"),
                instant("last", "last_at"),
            ),
            f"FROM error_signatures({span(period)}, among := 'known')",
            "failures DESC, source, signature",
            "url",
        ),
        lambda found: f"{some(found.count, 'kind')} of error, with ids, numbers and quoted values left out.",
        None,
    )


def _beside(period: Period) -> Iterator[Planned]:
    yield Planned(
        "waits",
        "Waiting for people",
        Question(
            (
                *PIPELINE,
                shown("run", "run_id"),
                instant("from", "waiting_from"),
                instant("to", "waiting_to"),
                lasted("waited", "waited_ms"),
            ),
            f"FROM waits({span(period)}, among := 'known', known_at := {at(period.known_at)})",
            "waited_ms DESC, source, pipeline_id, run_id, run_key, waiting_from",
            "url",
        ),
        lambda found: f"{some(found.count, 'time')} a run stood still until somebody acted; the longest first.",
        "No run waited for anybody.",
    )
    yield Planned(
        "late_failures",
        "Older runs that failed now",
        Question(
            (
                *PIPELINE,
                shown("run", "run_id"),
                instant("created", "created_at"),
                instant("ended", "finished_at"),
                shown("error", "coalesce(error_signature, status)"),
            ),
            f"FROM runs_between({at(period.history.since)}, {at(period.since)}, among := 'known')\n"
            f"WHERE outcome = 'failure' AND {within('finished_at', period)}",
            "finished_at DESC, source, pipeline_id, run_id, attempt",
            "run_url",
        ),
        lambda found: f"{some(found.count, 'run')} had begun before, and failed in this time; not counted above.",
        None,
    )
    yield Planned(
        "cost",
        "What runs used",
        Question(
            (
                shown("metric"),
                *PIPELINE,
                # Binary fractions: 0.1 and 0.2 come to 0.30000000000000004.
                shown("total", "round(total, 6)", Kind.NUMBER),
                count("runs"),
                shown("per run", "round(per_run, 6)", Kind.NUMBER),
            ),
            f"FROM run_metrics({span(period)}, among := 'known')\n"
            "QUALIFY row_number() OVER (PARTITION BY metric ORDER BY total DESC, source, pipeline_id) <= 3",
            "metric, total DESC, source, pipeline_id",
            most=30,
        ),
        lambda found: "What vendors count, such as tokens: of each, the three pipelines with the most.",
        None,
    )


def _alerts(period: Period, scope: Scope) -> Iterator[Planned]:
    # Only what stays as it was: why one fires, and of how much severity it is, is said anew while it does.
    among = like("source", scope.sources) if scope.sources else "true"
    if scope.of_runs:
        among += "\n  AND (source, pipeline_id) IN (SELECT (source, pipeline_id) FROM known)"
    yield Planned(
        "alerts",
        "Alerts",
        Question(
            (
                instant("fired", "fired_at"),
                shown("rule"),
                shown("about", "key"),
                instant("over", f"CASE WHEN resolved_at <= TIMESTAMPTZ {at(period.known_at)} THEN resolved_at END"),
            ),
            f"FROM alerts\nWHERE {within('fired_at', period)}\n"
            f"  AND fired_at <= TIMESTAMPTZ {at(period.known_at)} AND {among}",
            "fired_at DESC, rule, key, alert_id",
        ),
        lambda found: f"{some(found.count, 'alert')} fired.",
        None,
    )


def _sources(period: Period, sources: str) -> Iterator[Planned]:
    coverage = f"source_coverage({span(period)}, known_at := {at(period.known_at)})"
    yield Planned(
        "sources",
        "Source by source",
        Question(
            (
                shown("source", "c.source"),
                shown("vendor", "c.vendor"),
                count("runs", "coalesce(s.runs, 0)"),
                share("success rate", "s.success_rate"),
                count("failures", "coalesce(s.failure, 0)"),
                count("stopped or skipped", "coalesce(s.neutral, 0)"),
                count("still open", "coalesce(s.open, 0)"),
                lasted("median", "s.p50_ms"),
                lasted("time lost", "coalesce(s.wasted_ms, 0)"),
                shown("seen", "CASE WHEN c.seen_whole THEN 'whole' ELSE 'not whole' END"),
            ),
            f"FROM {coverage} c\n"
            f"LEFT JOIN source_stats({span(period)}, among := 'known') s USING (source)\nWHERE {sources}",
            "c.source",
            most=50,
        ),
        lambda found: f"{some(found.count, 'source')}.",
        "No source was known yet.",
    )
    yield Planned(
        "coverage",
        "What could be seen",
        Question(
            (
                shown("source"),
                instant("seen through", "observed_through"),
                lasted("not seen", "unseen_ms"),
                count("listed by the vendor", "expected"),
                count("stored", "stored"),
                count("missing", "missing"),
                count("days compared", "checked_days"),
            ),
            f"FROM {coverage}\nWHERE {sources}",
            "source",
            most=50,
        ),
        lambda found: "How far each source could be seen, and what a comparison with its vendor's own list found.",
        "No source was known yet.",
    )
