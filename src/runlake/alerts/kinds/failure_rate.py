"""`failure_rate`: many of a pipeline's runs fail.

The window ends where the source was seen in full, so that failures seen ahead of successes (or the other way round) do
not tilt it; of a pipeline with more runs than we look at, it holds those. A run counts once, as its attempts came to.
Too few runs neither fire nor resolve; but where none of those there are failed, an alert is over.
"""

from __future__ import annotations

from datetime import datetime

from runlake.alerts.kinds.finding import end_of, finding
from runlake.alerts.kinds.results import FAILED, results
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import FailureRate
from runlake.formats import lasting, some
from runlake.store.alerting import Alert, SeenPipeline


def judge(
    rule: FailureRate, pipeline: SeenPipeline, *, through: datetime, since: datetime, episode: Alert | None
) -> Judgement:
    became = results(rule, pipeline)
    ended = sorted(
        (
            run
            for run in became.said
            if run.run_id not in became.trying and run.read_by != "backfill" and end_of(run) >= since
        ),
        key=end_of,
    )
    inside = [run for run in ended if through - rule.window < end_of(run) <= through]
    failures = [run for run in inside if run.status in FAILED]
    # Whatever enters or leaves the window moves the rate, a success no less than a failure.
    entering = [end_of(run) for run in ended if end_of(run) > through]
    leaving = [end_of(inside[0]) + rule.window] if inside else []
    percent = 100 * len(failures) / len(inside) if inside else 0.0
    why = f"{len(failures)} of {some(len(inside), 'run')} failed in the last {lasting(rule.window)}"
    if len(inside) < rule.min_runs and not (episode is not None and inside and not failures):
        verdict, why = Verdict.CANNOT_TELL, f"{why}, and it takes {rule.min_runs} runs to tell"
    elif percent > rule.above_percent:
        verdict, why = Verdict.FIRING, f"{why}: {percent:.0f} %, more than {rule.above_percent:g} %"
    else:
        verdict, why = Verdict.OK, f"{why}: {percent:.0f} %, and up to {rule.above_percent:g} % is well"
    began = episode.since if episode is not None else end_of(failures[-1]) if failures else None
    return finding(
        rule,
        pipeline,
        verdict,
        why,
        since=began if verdict is Verdict.FIRING else None,
        run_key=failures[-1].run_key if failures else None,
        seen_through=through,
        look_at=min(entering[:1] + leaving, default=None),
        facts={"failures": len(failures), "runs": len(inside), "percent": round(percent, 1)},
    )
