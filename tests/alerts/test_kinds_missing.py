"""When a run is missing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from alerts.seen import LONG_AGO, NOON, after, opened, pipeline, run, through
from runlake.alerts.kinds import judge
from runlake.alerts.kinds.cadence import Expected, expected
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import Missing
from runlake.cron import next_after
from runlake.store.alerting import MOST_RUNS, WINDOW, Alert, SeenPipeline, SeenRun

HOURLY = Missing(kind="missing", cron="0 * * * * UTC")
EVERY = Missing(kind="missing", every=timedelta(hours=6))
LEARNED = Missing(kind="missing")


def runs_at(*minutes: float) -> list[SeenRun]:
    return [run(f"r{n}", "succeeded", at, at + 1) for n, at in enumerate(minutes)]


def find(
    rule: Missing, runs: Sequence[SeenRun], seen: float, *, episode: Alert | None = None, since: Any = LONG_AGO
) -> Judgement:
    return judge(rule, pipeline(runs, through=seen), since=since, episode=episode)


# -- by cron


def test_a_run_that_is_due_is_missing_once_the_source_was_seen_past_its_grace() -> None:
    runs = runs_at(0)
    waiting = find(HOURLY, runs, 74)
    assert (waiting.verdict, waiting.look_at) == (Verdict.OK, after(75))
    found = find(HOURLY, runs, 75)
    assert (found.verdict, found.since, found.seen_through) == (Verdict.FIRING, after(60), after(75))
    assert found.why == (
        "a run was due at 2026-03-02 13:00 UTC and none had come by 2026-03-02 13:15 UTC "
        "(cron 0 * * * * UTC); the last came at 2026-03-02 12:00 UTC"
    )


def test_pain_59_while_we_cannot_see_nothing_is_missing_and_nothing_is_found_again() -> None:
    blind = find(HOURLY, runs_at(0), 74)
    assert blind.verdict is Verdict.OK
    episode = opened(HOURLY, find(HOURLY, runs_at(0), 75))
    assert find(HOURLY, runs_at(0), 75, episode=episode).verdict is Verdict.FIRING


def test_pain_49_a_run_that_is_a_little_early_counts() -> None:
    assert find(HOURLY, runs_at(50), 80).verdict is Verdict.OK
    assert find(HOURLY, runs_at(49), 80).verdict is Verdict.FIRING


def test_pain_49_early_is_never_so_early_that_it_is_late_for_the_time_before() -> None:
    often = Missing(kind="missing", cron="*/5 * * * * UTC", grace=timedelta(minutes=1))
    assert find(often, runs_at(3), 6).verdict is Verdict.OK
    assert find(often, runs_at(2), 6).verdict is Verdict.FIRING


def test_an_alert_is_over_with_a_run_created_for_that_time_or_later() -> None:
    episode = opened(HOURLY, find(HOURLY, runs_at(0), 75))
    assert find(HOURLY, runs_at(0, 49), 80, episode=episode).verdict is Verdict.FIRING
    assert find(HOURLY, runs_at(0, 50), 80, episode=episode).verdict is Verdict.OK
    over = find(HOURLY, runs_at(0, 100), 101, episode=episode)
    assert (over.verdict, over.why.partition(";")[0]) == (Verdict.OK, "the last run came at 2026-03-02 13:40 UTC")


def test_an_alert_goes_on_when_the_next_time_is_missed_too() -> None:
    episode = opened(HOURLY, find(HOURLY, runs_at(0), 75))
    found = find(HOURLY, runs_at(0, 100), 200, episode=episode)
    assert (found.verdict, found.since) == (Verdict.FIRING, after(180))


def test_times_before_the_rule_stood_are_history() -> None:
    found = find(HOURLY, [], 90, since=after(61))
    assert (found.verdict, found.look_at) == (Verdict.OK, after(135))
    assert find(HOURLY, [], 135, since=after(61)).verdict is Verdict.FIRING
    assert find(HOURLY, [], 10, since=after(61)).look_at == after(135)


def test_pain_62_after_a_long_pause_one_run_is_missing_not_all_of_them() -> None:
    asleep = SeenPipeline(source=pipeline([], through=5000).source, pipeline_id="load", paused=True, runs=runs_at(0))
    assert judge(HOURLY, asleep, since=LONG_AGO, episode=None).why == "it is paused"
    awake = find(HOURLY, runs_at(0), 5000)
    assert (awake.verdict, awake.since) == (Verdict.FIRING, after(4980))
    assert find(HOURLY, [*runs_at(0), run("new", "queued", 5001)], 5002, episode=opened(HOURLY, awake)).verdict is (
        Verdict.OK
    )


def test_a_pipeline_that_is_paused_while_it_fires_is_well() -> None:
    episode = opened(HOURLY, find(HOURLY, runs_at(0), 75))
    asleep = pipeline(runs_at(0), through=76, paused=True)
    assert judge(HOURLY, asleep, since=LONG_AGO, episode=episode).verdict is Verdict.OK


def test_a_run_that_the_vendor_has_deleted_since_came_all_the_same() -> None:
    assert find(HOURLY, [run("1", "succeeded", 60, 61, vanished=True)], 80).verdict is Verdict.OK


def test_a_rerun_is_no_new_run() -> None:
    again = [run("1", "failed", 0, 1), run("1#2", "succeeded", 60, 61)]
    assert find(HOURLY, again, 80).verdict is Verdict.FIRING


def test_a_fixed_hour_follows_the_clocks_of_its_zone() -> None:
    nightly = Missing(kind="missing", cron="30 2 * * * Europe/Berlin")
    spring = (datetime(2026, 3, 29, 1, 30, tzinfo=UTC) - NOON) / timedelta(minutes=1)
    assert find(nightly, runs_at(spring - 24 * 60), spring + 14).verdict is Verdict.OK
    assert find(nightly, runs_at(spring - 24 * 60), spring + 15).verdict is Verdict.FIRING
    assert find(nightly, runs_at(spring), spring + 15).verdict is Verdict.OK


def test_a_monthly_run_is_missed_though_the_last_one_is_out_of_sight() -> None:
    monthly = Missing(kind="missing", cron="0 0 1 * * UTC")
    found = find(monthly, [], (datetime(2026, 4, 1, 1, tzinfo=UTC) - NOON) / timedelta(minutes=1))
    assert (found.verdict, found.since) == (Verdict.FIRING, datetime(2026, 4, 1, tzinfo=UTC))
    assert found.why.endswith("none came in the last 30 d")


# -- by an interval


def test_the_next_run_is_due_so_long_after_the_one_before() -> None:
    assert find(EVERY, runs_at(0), 374).look_at == after(375)
    found = find(EVERY, runs_at(0), 375)
    assert (found.verdict, found.since) == (Verdict.FIRING, after(360))
    assert find(EVERY, runs_at(0, 376), 377, episode=opened(EVERY, found)).verdict is Verdict.OK


def test_an_interval_counts_from_when_the_rule_began_to_stand() -> None:
    assert find(EVERY, runs_at(0), 500, since=after(400)).verdict is Verdict.OK
    assert find(EVERY, runs_at(0), 775, since=after(400)).verdict is Verdict.FIRING


def test_pain_58_a_pipeline_whose_runs_are_out_of_sight_neither_fires_nor_resolves() -> None:
    for rule in (EVERY, LEARNED):
        assert find(rule, [], 500).verdict is Verdict.CANNOT_TELL
    episode = opened(EVERY, find(EVERY, runs_at(0), 375))
    assert find(EVERY, [], 100_000, episode=episode).verdict is Verdict.FIRING


# -- learned


def by_cron(text: str, *, days: int = 30, late: float = 1) -> list[datetime]:
    """When a scheduler that is late by up to so many minutes creates them, from NOON on."""
    chance, times, at = Random(text), [], NOON
    while (at := next_after(text, at)) < NOON + timedelta(days=days):
        times.append(at + timedelta(minutes=chance.uniform(0, late)))
    return sorted(times)


def seen_of(times: Sequence[datetime]) -> list[datetime]:
    """Those of them that are looked at when the last has come."""
    return [at for at in times[-MOST_RUNS:] if at > times[-1] - WINDOW]


def longest_wait(times: Sequence[datetime]) -> timedelta:
    found = expected(seen_of(times), 10)
    assert isinstance(found, Expected), found
    return found.wait


def test_pain_68_one_silent_pipeline_is_found_by_its_own_cadence() -> None:
    hourly = [run(f"r{n}", "succeeded", 60 * n, 60 * n + 1) for n in range(200)]
    last = 60 * 199
    well = find(LEARNED, hourly, last + 80)
    assert (well.verdict, well.look_at) == (Verdict.OK, after(last + 75 + 15))
    found = find(LEARNED, hourly, last + 90)
    assert (found.verdict, found.since) == (Verdict.FIRING, after(last + 75))
    assert "learned: 3 runs at this time of the week were followed within 1 h" in found.why
    came = [*hourly, run("new", "running", last + 100)]
    assert find(LEARNED, came, last + 100, episode=opened(LEARNED, found)).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("text", "late", "hours"),
    [
        ("0 2 * * * Europe/Berlin", 1, 31),
        ("0 2 * * * Europe/Berlin", 120, 34),
        ("0 * * * * UTC", 40, 2.5),
        ("0 7,15 * * * UTC", 1, 21),
    ],
)
def test_pain_68_usual_lateness_is_waited_for(text: str, late: float, hours: float) -> None:
    times = by_cron(text, late=late)
    assert timedelta(0) < longest_wait(times) <= timedelta(hours=hours)


@pytest.mark.parametrize(
    "text",
    [
        "0 7 * * mon-fri America/New_York",
        "0 7 * * mon,wed,fri UTC",
        "0 8-18 * * mon-fri Europe/Berlin",
        "0 * * * mon-fri UTC",
        "*/5 8-17 * * mon-fri Europe/Berlin",
        "*/5 * * * mon-fri UTC",
        "0 6,12,20 * * mon-fri Asia/Tokyo",
    ],
)
@pytest.mark.parametrize("late", [1, 20])
def test_no_pipeline_alerts_at_night_or_at_a_weekend_that_it_is_off(text: str, late: float) -> None:
    times = by_cron(text, days=40, late=late)
    judged = 0
    for end in range(10, len(times)):
        pause = times[end] - times[end - 1] > timedelta(hours=2)
        found = expected(seen_of(times[:end]), 10) if pause or end % 50 == 0 else "not looked at"
        if isinstance(found, Expected):
            judged += 1
            assert times[end] <= times[end - 1] + found.wait + timedelta(minutes=15)
    assert judged


def test_a_weekday_run_is_missed_the_same_day() -> None:
    times = by_cron("0 7 * * mon-fri UTC")
    tuesday = [at for at in times if at < NOON + timedelta(days=22)]
    assert tuesday[-1].weekday() == 1
    assert longest_wait(tuesday) < timedelta(hours=31)
    friday = [at for at in times if at < NOON + timedelta(days=19)]
    assert friday[-1].weekday() == 4
    assert longest_wait(friday) > timedelta(days=3)


def test_one_week_is_no_timetable() -> None:
    ten = by_cron("0 7 * * mon-fri UTC")[:10]
    assert ten[-1].weekday() == 0
    assert longest_wait(ten) > timedelta(days=3)


def test_what_follows_no_calendar_is_given_its_longest_gap_and_a_quarter() -> None:
    assert longest_wait([NOON + timedelta(hours=20 * n) for n in range(12)]) == timedelta(hours=25)


@pytest.mark.parametrize("gaps", [[60, 100, 4], [60] * 8 + [600]])
def test_gaps_of_many_sizes_are_no_cadence(gaps: list[float]) -> None:
    times = [NOON]
    for number in range(30):
        times.append(times[-1] + timedelta(minutes=gaps[number % len(gaps)]))
    assert isinstance(expected(times, 10), str)


def test_what_comes_by_chance_has_no_cadence() -> None:
    chance, times = Random(4), [NOON]
    while len(times) < 100:
        times.append(times[-1] + timedelta(hours=chance.expovariate(0.2)))
    found = expected(times, 10)
    assert isinstance(found, str)
    assert found.startswith("no regular cadence, most gaps between runs are from")
    assert found.endswith("give the rule a cron")


def test_pain_64_too_few_runs_have_no_cadence() -> None:
    found = find(LEARNED, runs_at(*range(0, 540, 60)), 5000)
    assert (found.verdict, found.why) == (Verdict.CANNOT_TELL, "only 9 runs to learn from, 10 are needed")


def test_a_pipeline_that_had_stopped_before_we_looked_is_not_missing() -> None:
    hourly = [run(f"r{n}", "succeeded", 60 * n, 60 * n + 1) for n in range(200)]
    found = find(LEARNED, hourly, 20_000, since=after(15_000))
    assert (found.verdict, found.why) == (
        Verdict.CANNOT_TELL,
        "the next run was due at 2026-03-10 20:15 UTC, before this rule and this source were watched",
    )


def test_runs_that_come_in_bursts_are_one() -> None:
    bursts = [NOON + timedelta(hours=hour, seconds=second) for hour in range(199) for second in range(20)]
    hours = [NOON + timedelta(hours=hour) for hour in range(199)]
    assert expected(bursts, 10) == expected(hours, 10)


def test_the_source_clock_alone_makes_nothing_missing_earlier() -> None:
    seen = pipeline(runs_at(0), through=75)
    assert judge(HOURLY, seen, since=LONG_AGO, episode=None).verdict is Verdict.FIRING
    assert judge(HOURLY, through(seen, 10), since=LONG_AGO, episode=None).verdict is Verdict.OK
