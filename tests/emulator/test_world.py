import subprocess
import sys
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runlake.emulator import Clock, Emulator
from runlake.emulator.clock import MONDAY_MORNING
from runlake.emulator.timeline import State

VENDORS = ("clinia", "clerk", "truestate", "clarifeye", "esper", "airflow")
_MONTH = timedelta(days=30)


def test_the_same_seed_gives_the_same_truth_and_another_seed_another() -> None:
    assert Emulator(seed=1).truth("esper") == Emulator(seed=1).truth("esper")
    assert Emulator(seed=1).truth("esper") != Emulator(seed=2).truth("esper")


def test_the_truth_does_not_depend_on_the_process() -> None:
    code = "from runlake.emulator import Emulator; print(Emulator(seed=1).truth('clerk')[5])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(Emulator(seed=1).truth("clerk")[5])


def test_the_truth_does_not_depend_on_how_the_clock_got_there() -> None:
    start = MONDAY_MORNING - _MONTH
    walked, jumped = Emulator(seed=4, start=start), Emulator(seed=4, start=start)
    for _ in range(40):
        walked.truth("airflow")
        walked.clock.advance(timedelta(hours=7))
    jumped.clock.advance(timedelta(hours=280))
    assert walked.truth("airflow") == jumped.truth("airflow")
    walked.clock.set(MONDAY_MORNING)
    assert walked.truth("airflow") == Emulator(seed=4, start=start).truth("airflow")


@pytest.mark.parametrize("name", VENDORS)
def test_a_month_has_a_few_hundred_runs_each_with_its_own_key(name: str) -> None:
    truth = Emulator(seed=5).truth(name)
    assert 150 < len(truth) < 700
    assert len({(run.pipeline_id, run.run_id) for run in truth}) == len(truth)


@pytest.mark.parametrize("name", VENDORS)
def test_every_documented_word_of_a_vendor_is_used(name: str) -> None:
    emulator = Emulator(seed=6, rate=4)
    vendor, seen = emulator.vendor(name), set()
    for run in emulator.world.every(name, emulator.clock.now()):
        seen |= {vendor.word(moment.state) for moment in run.moments}
    assert seen == {word for word, _ in vendor.words.values()}


@pytest.mark.parametrize("name", VENDORS)
def test_a_timeline_only_moves_forward_and_ends_final(name: str) -> None:
    emulator = Emulator(seed=7)
    for run in emulator.world.every(name, emulator.clock.now()):
        assert list(run.instants) == sorted(run.instants)
        assert run.moments[0].at == run.created_at
        assert run.moments[-1].state.final
        for moment in run.moments:
            assert moment.state.final == (moment.finished_at is not None)
            if moment.started_at and moment.finished_at:
                assert moment.finished_at >= moment.started_at


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 20), hours=st.integers(0, 720), name=st.sampled_from(VENDORS))
def test_steps_lie_within_their_run(seed: int, hours: int, name: str) -> None:
    emulator = Emulator(seed, Clock(MONDAY_MORNING - timedelta(hours=hours)), start=MONDAY_MORNING - _MONTH)
    now = emulator.clock.now()
    for run in emulator.world.runs(name, now)[-20:]:
        moment = run.at(now)
        for step in run.steps(now):
            if step.started_at:
                assert moment.started_at is not None
                assert moment.started_at <= step.started_at <= now
            if moment.state.final:
                assert step.state.final
                assert step.finished_at is not None
                assert moment.finished_at is not None
                assert step.finished_at <= max(moment.finished_at, moment.at)


def test_failures_come_in_clusters() -> None:
    truth = Emulator(seed=8, rate=6).truth("airflow")
    failed = [run.status == "failed" for run in truth]
    after_failure = [b for a, b in pairwise(failed) if a]
    assert sum(after_failure) / len(after_failure) > 2 * sum(failed) / len(failed)


def test_runs_are_rerun_edited_and_deleted_after_they_were_final() -> None:
    emulator = Emulator(seed=9, rate=4)
    runs = emulator.world.every("airflow", emulator.clock.now())
    reruns = [run for run in runs if run.moments[-1].attempt.number == 2]
    assert reruns
    assert all(any(m.state.final for m in run.moments if m.attempt.number == 1) for run in reruns)
    assert any(a.state.final and b.state.final for run in runs for a, b in pairwise(run.moments))
    deleted = [run for run in emulator.truth("airflow") if not run.visible]
    assert deleted
    assert all(run.finished_at for run in deleted)


def test_equal_timestamps_makes_bursts() -> None:
    plain = Counter(run.created_at for run in Emulator(seed=1).truth("esper"))
    bursts = Counter(run.created_at for run in Emulator(seed=1, equal_timestamps=True).truth("esper"))
    assert max(plain.values()) <= 2
    assert max(bursts.values()) >= 5


def test_reviews_wait_for_hours_or_days() -> None:
    emulator = Emulator(seed=2)
    waits = [
        later.at - moment.at
        for run in emulator.world.every("clinia", emulator.clock.now())
        for moment, later in pairwise(run.moments)
        if moment.state is State.WAITING
    ]
    assert max(waits) > timedelta(days=2)


def test_a_live_clock_runs_as_fast_as_it_is_told() -> None:
    clock = Clock.live(timedelta(days=-1), speed=1e6)
    first = clock.now()
    while (second := clock.now()) == first:
        pass
    assert second > first
    with pytest.raises(ValueError, match="aware"):
        clock.set(first.replace(tzinfo=None))
