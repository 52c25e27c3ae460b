"""What holds for any history: blindness alone never makes an alert, and judging is fast."""

from __future__ import annotations

from datetime import timedelta
from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from alerts.histories import drawn
from alerts.seen import LONG_AGO, after, opened, pipeline, run, through
from runlake.alerts.kinds import judge
from runlake.alerts.verdict import Verdict
from runlake.config.alerting import BUILT_IN, Failed, FailureRate, Missing, RunRule, TooLong, TooShort, Waiting
from runlake.model import RunStatus
from runlake.store.alerting import SeenRun

HOUR = timedelta(hours=1)
BY_THE_CLOCK: list[RunRule] = [
    Missing(kind="missing", cron="*/30 * * * * UTC"),
    Missing(kind="missing", cron="0 */6 * * * Europe/Berlin"),
    Missing(kind="missing", every=HOUR),
    Missing(kind="missing", min_runs=3),
    TooLong(kind="too_long", limit=HOUR),
    TooLong(kind="too_long", min_runs=2),
    Waiting(kind="waiting", longer_than=HOUR),
]
ALL: list[RunRule] = [
    *BY_THE_CLOCK,
    Failed(kind="failed"),
    Failed(kind="failed", in_a_row=2),
    FailureRate(kind="failure_rate", min_runs=2),
    TooShort(kind="too_short", min_runs=2),
]

minutes = st.integers(0, 2000)


@st.composite
def histories(draw: st.DrawFn) -> list[SeenRun]:
    runs = []
    for number in range(draw(st.integers(0, 12))):
        begin, lasts = draw(minutes), draw(st.integers(0, 200))
        status = draw(st.sampled_from(RunStatus))
        end = begin + lasts if status.is_final else None
        name = f"{number // 2}#2" if number % 2 and draw(st.booleans()) else str(number)
        runs.append(run(name, status, begin, end, read_at=None if status.is_final else after(begin + lasts)))
    return runs


@drawn(400)
@given(histories(), st.sampled_from(BY_THE_CLOCK), minutes, minutes, minutes)
def test_a_source_clock_that_stands_still_makes_nothing_fire(
    runs: list[SeenRun], rule: RunRule, later: int, outage: int, since: int
) -> None:
    """Pain 59: what does not fire when all was seen until then does not fire when less was."""
    seen = pipeline(runs, through=later)
    if judge(rule, seen, since=after(since), episode=None).verdict is not Verdict.FIRING:
        blind = judge(rule, through(seen, later - outage), since=after(since), episode=None)
        assert blind.verdict is not Verdict.FIRING


@drawn(400)
@given(histories(), st.sampled_from(ALL), minutes, minutes)
def test_what_fires_goes_on_firing_as_long_as_nothing_more_is_seen(
    runs: list[SeenRun], rule: RunRule, seen_through: int, since: int
) -> None:
    """Pains 57 and 58: judging again, with the episode that the judgement opened, finds the same."""
    seen = pipeline(runs, through=seen_through)
    found = judge(rule, seen, since=after(since), episode=None)
    if found.verdict is Verdict.FIRING:
        assert found.since is not None and found.seen_through is not None
        for state in ("pending", "firing"):
            again = judge(rule, seen, since=after(since), episode=opened(rule, found, state=state))
            assert (again.verdict, again.facts, again.since) == (Verdict.FIRING, found.facts, found.since)
    elif found.look_at is not None:
        assert found.seen_through is not None and found.look_at > found.seen_through


def test_a_pipeline_of_two_hundred_runs_is_judged_by_ten_rules_in_a_few_milliseconds() -> None:
    rules = [*(rule for rule in BUILT_IN if isinstance(rule, RunRule)), *ALL][:10]
    runs = [
        run(str(n), "failed" if n % 9 == 0 else "succeeded", 60 * n, 60 * n + 20 + n % 7, trigger="schedule")
        for n in range(200)
    ]
    seen = [pipeline(runs, through=200 * 60) for _ in range(100)]
    begun = process_time()
    for each in seen:
        for rule in rules:
            judge(rule, each, since=LONG_AGO, episode=None)
    assert process_time() - begun < 1  # a tenth of that where nothing else runs
