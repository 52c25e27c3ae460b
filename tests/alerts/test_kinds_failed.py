"""When a failure is one, and when it is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alerts.seen import LONG_AGO, after, opened, pipeline, run
from runlake.alerts.kinds import judge
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import Failed
from runlake.store.alerting import Alert, SeenRun

RULE = Failed(kind="failed")
THREE = Failed(kind="failed", in_a_row=3)


def find(runs: list[SeenRun], *, rule: Failed = RULE, episode: Alert | None = None, since: Any = LONG_AGO) -> Judgement:
    return judge(rule, pipeline(runs, through=100), since=since, episode=episode)


def episode_of(*runs: SeenRun, rule: Failed = RULE, state: str = "firing") -> Alert:
    found = find(list(runs), rule=rule)
    assert found.verdict is Verdict.FIRING
    return opened(rule, found, state=state)


def test_a_failed_run_fires_since_it_ended_and_says_which_and_when() -> None:
    found = find([run("1", "succeeded", 0, 5), run("2", "failed", 10, 15)])
    assert (found.verdict, found.since, found.run_key, found.settled) == (Verdict.FIRING, after(15), "key-2", True)
    assert found.why == "run 2 ended as FAILED at 2026-03-02 12:15 UTC"
    assert found.seen_through == after(100)


@pytest.mark.parametrize("status", ["succeeded", "succeeded_with_warnings"])
def test_a_success_after_it_is_well(status: str) -> None:
    found = find([run("1", "failed", 0, 5), run("2", status, 10, 15)])
    assert (found.verdict, found.why) == (
        Verdict.OK,
        "run 2 succeeded at 2026-03-02 12:15 UTC, and no later one has failed",
    )


@pytest.mark.parametrize("status", ["cancelled", "skipped", "rejected", "running", "waiting", "unknown"])
def test_what_is_neither_success_nor_failure_changes_nothing(status: str) -> None:
    later = run("2", status, 10, 15)
    assert find([run("1", "failed", 0, 5), later]).verdict is Verdict.FIRING
    assert find([run("1", "succeeded", 0, 5), later]).verdict is Verdict.OK
    assert find([run("1", "failed", 0, 5), later], episode=episode_of(run("1", "failed", 0, 5))).verdict is (
        Verdict.FIRING
    )


def test_a_success_that_was_created_before_the_failed_run_says_nothing_of_it() -> None:
    overlapping = [run("1", "succeeded", 0, 30), run("2", "failed", 10, 15)]
    assert find(overlapping).verdict is Verdict.FIRING
    assert find(overlapping, episode=episode_of(run("2", "failed", 10, 15))).verdict is Verdict.FIRING


def test_a_success_that_ended_before_the_failed_run_did_says_nothing_of_it() -> None:
    assert find([run("1", "failed", 0, 30), run("2", "succeeded", 10, 15)]).verdict is Verdict.FIRING


def test_of_two_runs_created_together_one_says_nothing_of_the_other() -> None:
    assert find([run("1", "failed", 0, 5), run("2", "succeeded", 0, 9)]).verdict is Verdict.FIRING


def test_an_attempt_that_the_vendor_has_no_more_takes_nothing_back() -> None:
    gone = run("1#2", "succeeded", 6, 9, vanished=True)
    assert find([run("1", "failed", 0, 5), gone]).verdict is Verdict.FIRING


def test_what_ended_before_the_rule_stood_is_history() -> None:
    found = find([run("1", "failed", 0, 5)], since=after(6))
    assert (found.verdict, found.why) == (Verdict.OK, "no run has failed since 2026-03-02 12:06 UTC")
    assert find([run("1", "failed", 0, 5)], since=after(5)).verdict is Verdict.FIRING


def test_pain_67_backfilled_runs_never_alert() -> None:
    assert find([run("1", "failed", 0, 5, read_by="backfill")]).verdict is Verdict.OK
    assert find([run("1", "failed", 0, 5, trigger="backfill")]).verdict is Verdict.OK


def test_pain_53_an_attempt_that_is_tried_again_is_not_settled_and_one_that_then_succeeds_is_well() -> None:
    first = run("1", "failed", 0, 5)
    trying = find([first, run("1#2", "running", 6)])
    assert (trying.verdict, trying.settled) == (Verdict.FIRING, False)
    assert trying.why.endswith("and is being tried again")
    pending = opened(RULE, trying, state="pending")
    assert find([first, run("1#2", "succeeded", 6, 9)]).verdict is Verdict.OK
    assert find([first, run("1#2", "succeeded", 6, 9)], episode=pending).verdict is Verdict.OK
    spent = find([first, run("1#2", "failed", 6, 9)], episode=pending)
    assert (spent.verdict, spent.settled, spent.since) == (Verdict.FIRING, True, after(9))


def test_pain_53_a_retry_in_place_holds_a_pending_alert_back() -> None:
    pending = episode_of(run("1", "failed", 0, 5), state="pending")
    again = find([run("1", "running", 0)], episode=pending)
    assert (again.verdict, again.settled) == (Verdict.FIRING, False)
    assert find([run("1", "succeeded", 0, 9)], episode=pending).verdict is Verdict.OK


def test_pain_54_a_run_that_is_cleared_and_run_again_stays_one_episode() -> None:
    episode = episode_of(run("1", "failed", 0, 5))
    for state in (run("1", "running", 0), run("1", "failed", 0, 20), run("1", "cancelled", 0, 30)):
        found = find([state], episode=episode)
        assert (found.verdict, found.facts["failed"]) == (Verdict.FIRING, episode.facts["failed"])
    over = find([run("1", "succeeded", 0, 40)], episode=episode)
    assert (over.verdict, over.why) == (Verdict.OK, "run 1 was run again and succeeded at 2026-03-02 12:40 UTC")


def test_a_rerun_that_is_cancelled_takes_nothing_back() -> None:
    runs = [run("1", "failed", 0, 5), run("1#2", "cancelled", 6, 9)]
    assert find(runs).verdict is Verdict.FIRING
    assert find(runs, episode=episode_of(runs[0])).verdict is Verdict.FIRING


def test_a_rerun_by_hand_ends_what_a_rule_about_scheduled_runs_has_opened() -> None:
    rule = Failed(kind="failed", triggers=["schedule"])
    first = run("1", "failed", 0, 5, trigger="schedule")
    episode = episode_of(first, rule=rule)
    by_hand = run("2", "succeeded", 10, 12, trigger="manual")
    assert find([first, by_hand], rule=rule, episode=episode).verdict is Verdict.FIRING
    rerun = run("1#2", "succeeded", 10, 12, trigger="manual")
    assert find([first, rerun], rule=rule, episode=episode).verdict is Verdict.OK


def test_an_alert_is_over_with_a_success_created_and_ended_after_it() -> None:
    failed = run("1", "failed", 0, 5)
    found = find([failed, run("2", "succeeded", 10, 15)], episode=episode_of(failed))
    assert (found.verdict, found.why) == (Verdict.OK, "run 2 succeeded at 2026-03-02 12:15 UTC")


def test_a_failure_that_the_vendor_has_no_more_is_withdrawn() -> None:
    failed = run("1", "failed", 0, 5)
    found = find([replace(failed, vanished=True)], episode=episode_of(failed))
    assert (found.verdict, found.why) == (Verdict.OK, "withdrawn: run 1 is gone from the vendor")


@pytest.mark.parametrize("status", ["succeeded", "cancelled", "unknown"])
def test_a_failure_whose_word_is_mapped_otherwise_is_withdrawn(status: str) -> None:
    failed = run("1", "failed", 0, 5)
    remapped = run("1", status, 0, 5, vendor_status="FAILED")
    assert find([remapped], episode=episode_of(failed)).verdict is Verdict.OK


def test_a_failure_too_long_ago_to_be_seen_goes_on_firing_until_a_success() -> None:
    episode = episode_of(run("1", "failed", 0, 5))
    assert find([], episode=episode).verdict is Verdict.FIRING
    assert find([run("2", "succeeded", 50, 55)], episode=episode).verdict is Verdict.OK


def test_pain_64_only_so_many_in_a_row_fire_since_the_last_of_them() -> None:
    two = [run("0", "succeeded", -10, -5), run("1", "failed", 0, 5), run("2", "failed", 10, 15)]
    few = find(two, rule=THREE)
    assert (few.verdict, few.why) == (
        Verdict.OK,
        "2 runs failed since the last success, and 3 in a row are alerted on",
    )
    four = [*two, run("3", "failed", 20, 25), run("4", "failed", 30, 35)]
    found = find(four, rule=THREE)
    assert (found.verdict, found.since, found.run_key) == (Verdict.FIRING, after(25), "key-4")
    assert found.why == "4 runs failed since the last success: run 4 ended as FAILED at 2026-03-02 12:35 UTC"


def test_one_of_three_that_is_tried_again_holds_them_back() -> None:
    runs = [run("1", "failed", 0, 5), run("2", "failed", 10, 15), run("3", "failed", 20, 25), run("3#2", "running", 26)]
    assert not find(runs, rule=THREE).settled
    assert find([*runs, run("4", "failed", 30, 35)], rule=THREE).settled


def test_a_pending_alert_is_over_when_a_rerun_leaves_too_few_failures() -> None:
    runs = [run("1", "failed", 0, 5), run("2", "failed", 10, 15), run("3", "failed", 20, 25)]
    pending = episode_of(*runs, rule=THREE, state="pending")
    recovered = [*runs, run("1#2", "succeeded", 0, 30)]
    assert find(recovered, rule=THREE, episode=pending).verdict is Verdict.OK
    assert find(recovered, rule=THREE, episode=replace(pending, state="firing")).verdict is Verdict.FIRING


def test_pain_60_many_failures_seen_at_once_are_one_finding() -> None:
    found = find([run(str(n), "failed", n, n + 1) for n in range(20)])
    assert (found.since, found.facts["failures"]) == (after(1), 20)


def test_an_outage_of_ours_changes_nothing_that_was_found() -> None:
    """Pain 59: what is known of runs does not age."""
    failed = run("1", "failed", 0, 5)
    assert find([failed]).verdict is Verdict.FIRING
    assert find([failed], episode=episode_of(failed)).verdict is Verdict.FIRING
