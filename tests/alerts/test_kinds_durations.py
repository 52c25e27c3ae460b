"""When a run takes too long, and when it was too fast."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alerts.seen import LONG_AGO, after, opened, pipeline, run
from runlake.alerts.kinds import judge
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import RunRule, TooLong, TooShort
from runlake.store.alerting import Alert, SeenRun

HOUR = TooLong(kind="too_long", limit=timedelta(hours=1))
LEARNED = TooLong(kind="too_long")
USUAL = [run(f"u{n}", "succeeded", -1000 + 30 * n, -1000 + 30 * n + 20) for n in range(20)]
"""Twenty runs of 20 minutes: a bound of an hour."""


def find(
    rule: RunRule, runs: list[SeenRun], *, episode: Alert | None = None, since: Any = LONG_AGO, **rest: Any
) -> Judgement:
    return judge(rule, pipeline(runs, through=500, **rest), since=since, episode=episode)


def under_way(name: str, begin: float, seen: float, status: str = "running") -> SeenRun:
    return run(name, status, begin, read_at=after(seen))


@pytest.mark.parametrize("status", ["queued", "running"])
def test_a_run_under_way_is_as_long_as_we_have_seen_it_last(status: str) -> None:
    """Pain 59: it does not grow longer while nobody looks."""
    well = find(HOUR, [under_way("1", 0, 60, status)])
    assert (well.verdict, well.seen_through) == (Verdict.OK, after(60))
    assert well.look_at is not None and well.look_at > after(60)
    found = find(HOUR, [under_way("1", 0, 65, status)])
    assert (found.verdict, found.since, found.seen_through) == (Verdict.FIRING, after(60), after(65))
    assert found.why == f"run 1 has been {status} for 1 h 5 min, and more than 1 h is too long"


def test_a_run_that_was_never_read_by_itself_is_as_long_as_it_was_when_it_was_listed() -> None:
    found = find(HOUR, [run("1", "running", 0, observed_at=after(65))])
    assert (found.verdict, found.since, found.seen_through) == (Verdict.FIRING, after(60), after(65))


@pytest.mark.parametrize("status", ["waiting", "unknown"])
def test_what_waits_for_a_person_or_says_nobody_knows_what_is_not_under_way(status: str) -> None:
    assert find(HOUR, [under_way("1", 0, 400, status)]).verdict is Verdict.OK


def test_a_slow_run_is_one_episode_that_ends_when_a_newer_one_has_started() -> None:
    episode = opened(HOUR, find(HOUR, [under_way("1", 0, 65)]))
    slow = run("1", "succeeded", 0, 240)
    took = find(HOUR, [slow], episode=episode)
    assert (took.verdict, took.why) == (Verdict.FIRING, "run 1 took 4 h, and more than 1 h is too long")
    well = find(HOUR, [slow, under_way("2", 250, 255)], episode=episode)
    assert (well.verdict, well.why) == (Verdict.OK, "run 2 has been running for 5 min; more than 1 h is too long")


def test_a_slow_run_that_is_cancelled_fails_or_vanishes_is_over() -> None:
    episode = opened(HOUR, find(HOUR, [under_way("1", 0, 65)]))
    for status in ("cancelled", "failed", "timed_out"):
        over = find(HOUR, [run("1", status, 0, 240)], episode=episode)
        assert (over.verdict, over.why) == (
            Verdict.OK,
            f"run 1 ended as {status.upper()} after 4 h; more than 1 h is too long",
        )
    assert find(HOUR, [replace(under_way("1", 0, 65), vanished=True)], episode=episode).verdict is Verdict.OK


def test_a_run_that_hangs_while_newer_ones_pass_it_still_fires() -> None:
    runs = [under_way("1", 0, 300), run("2", "succeeded", 100, 120), under_way("3", 290, 300)]
    found = find(HOUR, runs)
    assert (found.verdict, found.run_key) == (Verdict.FIRING, "key-1")


def test_a_slow_run_that_was_seen_only_after_its_end_fires_unless_it_is_history() -> None:
    slow = run("1", "succeeded", 0, 90)
    assert find(HOUR, [slow]).verdict is Verdict.FIRING
    assert find(HOUR, [slow], since=after(91)).verdict is Verdict.OK


def test_the_bound_is_learned_from_successful_runs() -> None:
    well = find(LEARNED, [*USUAL, under_way("1", 0, 60)])
    assert well.verdict is Verdict.OK
    found = find(LEARNED, [*USUAL, under_way("1", 0, 61)])
    assert found.verdict is Verdict.FIRING
    assert found.why == (
        "run 1 has been running for 1 h 1 min, and more than 1 h "
        "(3 times the 95th percentile of 20 successful runs, 20 min) is too long"
    )
    assert found.facts["p95_s"] == 1200


def test_a_run_does_not_raise_its_own_bound() -> None:
    found = find(LEARNED, [*USUAL[:10], run("1", "succeeded", 0, 120)])
    assert (found.verdict, found.facts["p95_s"]) == (Verdict.FIRING, 1200)


def test_the_slowest_and_the_fastest_twentieth_are_left_out() -> None:
    varied = [run(f"v{n}", "succeeded", -1000 + 30 * n, -1000 + 31 * n + 1) for n in range(40)]
    assert find(LEARNED, varied).facts["p95_s"] == 38 * 60
    fast = find(TooShort(kind="too_short"), [*varied, run("1", "succeeded", 200, 230)])
    assert fast.facts["p5_s"] == 2 * 60


def test_a_learned_bound_is_no_less_than_the_rule_says() -> None:
    quick = [run(f"q{n}", "succeeded", n, n + 0.5) for n in range(20)]
    well = find(LEARNED, [*quick, under_way("1", 100, 129)])
    assert well.verdict is Verdict.OK
    assert "but no less than 30 min" in well.why


def test_pain_64_too_few_runs_to_learn_from_tell_nothing() -> None:
    found = find(LEARNED, [*USUAL[:4], under_way("1", 0, 400)])
    assert (found.verdict, found.why) == (
        Verdict.CANNOT_TELL,
        "only 4 successful runs to learn from, 10 are needed",
    )


def test_an_episode_keeps_its_bound_when_nothing_is_left_to_learn_from() -> None:
    episode = opened(LEARNED, find(LEARNED, [*USUAL, under_way("1", 0, 61)]))
    assert find(LEARNED, [under_way("1", 0, 400)], episode=episode).verdict is Verdict.FIRING
    assert find(LEARNED, [run("1", "cancelled", 0, 400)], episode=episode).verdict is Verdict.OK


def test_pain_69_time_in_the_queue_is_not_time_running() -> None:
    late = run("1", "running", 0, started_at=after(50), read_at=after(70))
    assert find(HOUR, [late]).verdict is Verdict.OK


def test_pain_70_a_success_far_faster_than_usual_fires_until_one_is_normal() -> None:
    rule = TooShort(kind="too_short")
    fast = run("1", "succeeded", 0, 2)
    found = find(rule, [*USUAL, fast])
    assert (found.verdict, found.since, found.run_key) == (Verdict.FIRING, after(2), "key-1")
    assert found.why == (
        "run 1 succeeded in 2 min, and less than 6 min "
        "(0.3 times the 5th percentile of 20 successful runs, 20 min) is too short"
    )
    episode = opened(rule, found)
    assert find(rule, [*USUAL, fast, run("2", "failed", 10, 11)], episode=episode).verdict is Verdict.FIRING
    assert find(rule, [*USUAL, fast, run("2", "succeeded", 10, 30)], episode=episode).verdict is Verdict.OK


def test_a_fast_run_is_judged_by_a_limit_too_and_never_by_too_few() -> None:
    fast = run("1", "succeeded", 0, 2)
    assert find(TooShort(kind="too_short", limit=timedelta(minutes=5)), [fast]).verdict is Verdict.FIRING
    assert find(TooShort(kind="too_short", limit=timedelta(minutes=2)), [fast]).verdict is Verdict.OK
    assert find(TooShort(kind="too_short"), [*USUAL[:19], fast]).verdict is Verdict.CANNOT_TELL


def test_a_fast_run_that_ended_before_the_rule_stood_is_history() -> None:
    rule = TooShort(kind="too_short", limit=timedelta(minutes=5))
    assert find(rule, [run("1", "succeeded", 0, 2)], since=after(3)).verdict is Verdict.CANNOT_TELL


def test_whole_seconds_do_not_tell_a_fast_run_from_a_normal_one() -> None:
    seconds = [run(f"s{n}", "succeeded", n, n + 2 / 60) for n in range(20)]
    found = find(TooShort(kind="too_short"), [*seconds, run("1", "succeeded", 100, 100)])
    assert found.verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ([], "no run has succeeded"),
        ([run("1", "succeeded", 0, 2, duration_ms=None)], "the vendor does not say how long run 1 took"),
    ],
)
def test_without_a_length_nobody_can_tell_whether_it_was_short(runs: list[SeenRun], why: str) -> None:
    found = find(TooShort(kind="too_short"), runs)
    assert (found.verdict, found.why) == (Verdict.CANNOT_TELL, why)
