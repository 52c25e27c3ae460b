"""Runs that wait, many that fail, and what is the matter with a source."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from alerts.seen import LONG_AGO, after, opened, pipeline, run, source
from runlake.alerts.kinds import judge, judge_source
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import (
    CoverageGap,
    FailureRate,
    NewStatusWord,
    Rule,
    RunRule,
    SourceUnobservable,
    Waiting,
)
from runlake.store.alerting import Alert, Gap, SeenRun, SeenSource, UnknownWord

RATE = FailureRate(kind="failure_rate", min_runs=4)
UNSEEN = SourceUnobservable(kind="source_unobservable")


def find(
    rule: RunRule, runs: list[SeenRun], *, seen: float = 100, episode: Alert | None = None, since: Any = LONG_AGO
) -> Judgement:
    return judge(rule, pipeline(runs, through=seen), since=since, episode=episode)


def of_source(seen: SeenSource, *, rule: Rule = UNSEEN, episode: Alert | None = None, patience: float = 5) -> Judgement:
    return judge_source(rule, seen, now=after(10_000), patience=timedelta(minutes=patience), episode=episode)


def ended(name: str, status: str, end: float, **rest: Any) -> SeenRun:
    return run(name, status, end - 1, end, **rest)


# -- waiting


def test_a_run_waits_from_when_we_saw_it_turn_until_we_saw_it_last() -> None:
    rule = Waiting(kind="waiting", longer_than=timedelta(hours=1))
    well = find(rule, [run("1", "waiting", 0, observed_at=after(30), read_at=after(90))])
    assert (well.verdict, well.why) == (
        Verdict.OK,
        "run 1 has waited for 1 h, since 2026-03-02 12:30 UTC; up to 1 h is well",
    )
    assert well.look_at is not None and well.seen_through == after(90) < well.look_at
    found = find(rule, [run("1", "waiting", 0, observed_at=after(30), read_at=after(95))])
    assert (found.verdict, found.since, found.run_key) == (Verdict.FIRING, after(90), "key-1")
    assert find(rule, [run("1", "running", 0)], episode=opened(rule, found)).verdict is Verdict.OK


def test_of_several_that_wait_the_one_that_has_waited_longest_counts() -> None:
    runs = [run(str(n), "waiting", n, read_at=after(90)) for n in (50, 10, 20)]
    assert find(Waiting(kind="waiting", longer_than=timedelta(hours=1)), runs).run_key == "key-10"


# -- failure_rate


def test_pain_64_a_rate_needs_enough_runs_that_ended_in_the_window() -> None:
    runs = [ended("1", "failed", 10), ended("2", "failed", 20), ended("3", "succeeded", 30)]
    few = find(RATE, runs)
    assert (few.verdict, few.why) == (
        Verdict.CANNOT_TELL,
        "2 of 3 runs failed in the last 1 d, and it takes 4 runs to tell",
    )
    found = find(RATE, [*runs, ended("4", "failed", 40), ended("5", "cancelled", 50), run("6", "running", 60)])
    assert (found.verdict, found.since, found.run_key) == (Verdict.FIRING, after(40), "key-4")
    assert found.why == "3 of 4 runs failed in the last 1 d: 75 %, more than 50 %"
    assert find(RATE, [*runs, ended("4", "succeeded", 40)]).verdict is Verdict.OK


def test_a_rate_moves_when_the_oldest_run_leaves_the_window_or_one_seen_ahead_enters_it() -> None:
    runs = [ended(str(n), "failed", 10 * n) for n in range(1, 6)]
    assert find(RATE, runs).look_at == after(10 + 24 * 60)
    ahead = find(RATE, runs, seen=45)
    assert (ahead.look_at, ahead.facts["runs"]) == (after(50), 4)


def test_a_rate_counts_the_runs_that_ended_within_the_window() -> None:
    day = 24 * 60
    runs = [ended(str(n), "failed", n) for n in (0, 10, day, day + 5)]
    assert find(RATE, runs, seen=day).facts["runs"] == 2


def test_a_rate_that_stays_high_has_been_so_since_it_began() -> None:
    runs = [ended(str(n), "failed", n) for n in range(5)]
    episode = opened(RATE, find(RATE, runs[:4]))
    assert find(RATE, runs, episode=episode).since == after(3)


def test_pain_53_a_run_that_succeeded_when_tried_again_is_no_failure_in_the_rate() -> None:
    runs = [ended(str(n), "failed", n) for n in range(4)]
    retried = [run(f"{n}#2", "succeeded", n, n + 1) for n in range(4)]
    assert find(RATE, [*runs, *retried]).facts["failures"] == 0
    assert find(RATE, [*runs, run("0#2", "running", 50)]).facts["runs"] == 3


def test_pain_67_what_was_backfilled_or_is_history_does_not_count_in_the_rate() -> None:
    runs = [ended(str(n), "failed", n, read_by="backfill") for n in range(9)]
    assert find(RATE, runs).facts["runs"] == 0
    assert find(RATE, [ended(str(n), "failed", n) for n in range(9)], since=after(9)).facts["runs"] == 0


def test_pain_58_no_runs_leave_a_rate_as_it_was_and_a_few_good_ones_end_it() -> None:
    episode = opened(RATE, find(RATE, [ended(str(n), "failed", n) for n in range(4)]))
    later = 3 * 24 * 60
    assert find(RATE, [], seen=later, episode=episode).verdict is Verdict.CANNOT_TELL
    good = [ended("5", "succeeded", later - 10)]
    assert find(RATE, good, seen=later, episode=episode).verdict is Verdict.OK
    assert find(RATE, good, seen=later).verdict is Verdict.CANNOT_TELL


# -- source_unobservable


def failing(begin: float, last: float, failures: int, error: str = "Unavailable") -> SeenSource:
    return source(
        begin - 1,
        last_at=after(last),
        last_outcome="failed",
        error_class=error,
        error="503 from the vendor",
        failing_since=after(begin),
        failures=failures,
    )


@pytest.mark.parametrize("error", ["AuthenticationError", "ConfigError"])
def test_a_refused_or_missing_secret_is_told_at_once(error: str) -> None:
    found = of_source(failing(10, 10, 1, error))
    assert (found.verdict, found.since, found.key) == (Verdict.FIRING, after(10), "etl")
    assert found.why == "1 poll in a row failed since 2026-03-02 12:10 UTC: 503 from the vendor"


def test_a_source_that_fails_long_enough_cannot_be_seen() -> None:
    assert of_source(failing(10, 20, 3)).verdict is Verdict.CANNOT_TELL
    found = of_source(failing(10, 25, 4))
    assert (found.verdict, found.since, found.seen_through) == (Verdict.FIRING, after(10), after(25))
    assert of_source(failing(10, 25, 4), patience=30).verdict is Verdict.CANNOT_TELL


def test_pain_59_our_own_outage_is_not_the_source_failing() -> None:
    assert of_source(failing(10, 600, 2)).verdict is Verdict.CANNOT_TELL


def test_pain_58_a_poll_that_failed_neither_begins_nor_ends_it() -> None:
    episode = opened(UNSEEN, of_source(failing(10, 25, 4)))
    assert of_source(failing(40, 40, 1), episode=episode).verdict is Verdict.CANNOT_TELL
    assert of_source(source(0, last_outcome=None, last_at=None), episode=episode).verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize("outcome", ["ok", "partial"])
def test_a_source_that_answers_can_be_seen(outcome: str) -> None:
    episode = opened(UNSEEN, of_source(failing(10, 25, 4)))
    found = of_source(source(30, last_outcome=outcome), episode=episode)
    assert (found.verdict, found.why) == (Verdict.OK, "it answered at 2026-03-02 12:30 UTC")


def test_a_source_of_which_only_a_part_is_seen_for_long_is_told_once_a_second_poll_says_so() -> None:
    def partly(looked_at: float) -> SeenSource:
        return source(0, looked_at=after(looked_at), last_at=after(looked_at), last_outcome="partial")

    assert of_source(partly(60)).verdict is Verdict.OK
    found = of_source(partly(65))
    assert (found.verdict, found.since, found.settled) == (Verdict.FIRING, after(0), False)
    assert found.why == "only a part of it has been seen since 2026-03-02 12:00 UTC, 1 h 5 min"
    pending = opened(UNSEEN, found, state="pending")
    pending.pending_at = after(66)
    assert not of_source(partly(65), episode=pending).settled
    assert of_source(partly(70), episode=pending).settled


# -- new_status_word, coverage_gap


def test_words_that_nobody_has_mapped_are_one_finding_that_says_what_to_write() -> None:
    rule = NewStatusWord(kind="new_status_word")
    assert of_source(source(), rule=rule).verdict is Verdict.OK
    word = UnknownWord(level="run", word="on hold", config_line='"on hold" = "waiting"')
    found = of_source(source(words=[word] * 7), rule=rule)
    assert (found.verdict, found.since, len(found.facts["words"])) == (Verdict.FIRING, after(0), 7)
    assert found.why.startswith(
        '7 status words not mapped, write in the config: run \'on hold\' ("on hold" = "waiting")'
    )
    assert found.why.endswith(", and 2 more")
    assert of_source(source(50, words=[word]), rule=rule, episode=opened(rule, found)).since == after(0)


def test_runs_that_the_vendor_lists_and_we_lack_are_one_finding() -> None:
    rule = CoverageGap(kind="coverage_gap")
    assert of_source(source(), rule=rule).verdict is Verdict.OK
    gaps = [Gap(pipeline_id="load", day="2026-03-01", run_ids=["1", "2"])]
    found = of_source(source(gaps=gaps), rule=rule)
    assert found.why == "2 runs that the vendor lists could not be read: load on 2026-03-01 (2 runs)"


# -- all


def test_a_source_that_was_not_yet_seen_in_full_tells_nothing_of_its_pipelines() -> None:
    unseen = source(observed_through=None)
    seen = pipeline([ended("1", "failed", 10)])
    found = judge(RATE, type(seen)(source=unseen, pipeline_id="load"), since=LONG_AGO, episode=None)
    assert (found.verdict, found.why) == (Verdict.CANNOT_TELL, "etl was not yet seen in full")
