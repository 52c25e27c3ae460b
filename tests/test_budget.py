"""Who goes first where an owner's requests have to wait, and that nobody waits for ever. In virtual time."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runlake.http import Budget, Claim
from runlake.http.budget import RESERVE, claim
from simulation.virtual import now, run

HOUR = 3600.0
SLIP = 1e-3
"""Seconds by which the virtual clock may have moved by itself."""


async def ask(budget: Budget, kind: Claim = Claim.NEW, who: str = "", takes: float = 0.0) -> float:
    """One request; returns when it began. In a task of its own."""
    claim.set(kind)
    async with budget.slot(who):
        began = now()
        await asyncio.sleep(takes)
    return began


async def ask_on_and_on(budget: Budget, kind: Claim, who: str, takes: float, tell: Callable[[], None]) -> None:
    while True:
        await ask(budget, kind, who, takes)
        tell()


async def stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def most_within(seconds: float, begins: list[float]) -> int:
    """The most requests that began in any stretch of that length, its end not included."""
    begins, first, most = sorted(begins), 0, 0
    for place, began in enumerate(begins):
        while began - begins[first] >= seconds - SLIP:
            first += 1
        most = max(most, place - first + 1)
    return most


# -- the order


def test_open_runs_go_first_then_new_ones_steps_sweeps_and_backfills() -> None:
    served: list[Claim] = []

    async def one(budget: Budget, kind: Claim) -> None:
        await ask(budget, kind, takes=1)
        served.append(kind)

    async def work() -> None:
        budget = Budget(concurrency=1)
        async with asyncio.TaskGroup() as group, budget.slot():
            for kind in [*reversed(Claim), *Claim]:
                group.create_task(one(budget, kind))
            await asyncio.sleep(1)
            assert budget.waiting == {("", kind): 2 for kind in Claim}
        assert not budget.waiting

    run(work)
    assert served == [kind for kind in Claim for _ in range(2)]


def test_of_one_kind_whoever_came_first_goes_first() -> None:
    async def work() -> list[float]:
        budget = Budget(per_hour=60)
        return await asyncio.gather(*(ask(budget) for _ in range(5)))

    begins = run(work)
    assert begins == sorted(begins)


@pytest.mark.parametrize("kind", Claim)
def test_nothing_is_starved_by_open_runs_that_never_end(kind: Claim) -> None:
    busy = 20

    async def work() -> float:
        budget = Budget(per_hour=360, concurrency=4)  # one in ten seconds
        others = [asyncio.create_task(ask_on_and_on(budget, Claim.OPEN, "", 1, lambda: None)) for _ in range(busy)]
        await asyncio.sleep(600)
        asked_at = now()
        waited = await asyncio.create_task(ask(budget, kind)) - asked_at
        await stopped(*others)
        return waited

    # Its head start, and those who were before it then.
    assert run(work) <= kind.value + (busy + 1) * 10.1


def test_a_source_that_asks_much_leaves_another_its_turn() -> None:
    turns: Counter[str] = Counter()

    async def work() -> None:
        budget = Budget(concurrency=3)
        asking = [
            asyncio.create_task(ask_on_and_on(budget, Claim.NEW, who, 1, partial(turns.update, [who])))
            for who in ["greedy"] * 8 + ["modest"]
        ]
        await asyncio.sleep(900)
        await stopped(*asking)

    run(work)
    # Each of nine that ask has a ninth of what three at a time can do in 900 s.
    assert turns["modest"] == pytest.approx(300, abs=3)
    assert turns["greedy"] == pytest.approx(2400, abs=10)


# -- the pace


@pytest.mark.parametrize("per_hour", [0.5, 1, 30, 90, 5000])
def test_no_hour_has_more_requests_than_the_pace_and_hardly_fewer(per_hour: float) -> None:
    begins: list[float] = []
    hours = 2 if per_hour >= 1 else 8

    async def work() -> None:
        budget = Budget(per_hour=per_hour, concurrency=4)
        asking = [
            asyncio.create_task(ask_on_and_on(budget, Claim.NEW, "", 0, lambda: begins.append(now()))) for _ in range(8)
        ]
        await asyncio.sleep(hours * HOUR - 1)
        await stopped(*asking)

    run(work)
    assert most_within(HOUR, begins) <= max(1, per_hour)
    assert len(begins) >= int(per_hour * hours * 0.97)


def test_after_a_pause_a_minutes_worth_may_go_at_once() -> None:
    begins: list[float] = []

    async def work() -> None:
        budget = Budget(per_hour=600)
        for _ in range(3):
            await asyncio.sleep(10 * HOUR)
            begins.extend(await asyncio.gather(*(ask(budget) for _ in range(30))))

    run(work)
    assert most_within(1, begins) == 10


def test_the_least_that_any_source_of_the_owner_is_configured_for_holds() -> None:
    async def spent_in_an_hour(budget: Budget) -> int:
        before = budget.spent
        asking = [asyncio.create_task(ask_on_and_on(budget, Claim.NEW, "", 1, lambda: None)) for _ in range(100)]
        await asyncio.sleep(HOUR)
        await stopped(*asking)
        return budget.spent - before

    async def work() -> None:
        budget = Budget(per_hour=1200, concurrency=8, who="first")
        budget.agree("second", 120, 8)
        assert await spent_in_an_hour(budget) == pytest.approx(120, abs=3)
        budget.leave("second")
        assert await spent_in_an_hour(budget) == pytest.approx(1200, abs=25)
        budget.agree("third", None, 2)
        budget.agree("first", None, 8)
        budget.leave("nobody")
        assert await spent_in_an_hour(budget) == pytest.approx(7200, abs=5)
        budget.leave("first")
        budget.leave("third")  # the last: what it was configured for stays until somebody else comes
        assert await spent_in_an_hour(budget) == pytest.approx(7200, abs=5)

    run(work)


def test_whoever_waits_for_a_slow_pace_goes_on_once_it_is_configured_faster() -> None:
    async def work() -> float:
        budget = Budget(per_hour=1, who="slow")
        await ask(budget)
        waiting = asyncio.create_task(ask(budget))
        await asyncio.sleep(60)
        budget.agree("slow", 3600, 8)
        return await waiting

    assert run(work) == pytest.approx(61, abs=1)


def test_the_backlog_is_what_the_pace_needs_for_all_that_waits_but_sweeps_and_backfills() -> None:
    async def work() -> None:
        budget = Budget(per_hour=60)
        assert budget.backlog_s == 0
        asking = [asyncio.create_task(ask(budget, kind)) for kind in [Claim.OPEN, *Claim, *Claim]]
        await asyncio.sleep(1)  # the first has gone
        assert budget.backlog_s == pytest.approx(6 * 60)
        budget.agree("", None, 8)
        assert budget.backlog_s == 0
        await asyncio.gather(*asking)

    run(work)


# -- whoever gives up


def test_whoever_gives_up_in_the_queue_leaves_no_hole() -> None:
    async def work() -> None:
        budget = Budget(concurrency=2)
        async with budget.slot(), budget.slot():
            waiting = [asyncio.create_task(ask(budget, takes=1)) for _ in range(10)]
            await asyncio.sleep(1)
            for task in waiting[::2]:
                task.cancel()
            await asyncio.sleep(1)
            assert budget.waiting == {("", Claim.NEW): 5}
        began = await asyncio.gather(*waiting[1::2])
        assert began[-1] - began[0] == pytest.approx(2, abs=SLIP)  # five, two at a time

    run(work)


def test_whoever_gives_up_at_the_moment_of_its_turn_leaves_no_hole() -> None:
    async def work() -> None:
        budget = Budget(concurrency=1)
        async with budget.slot():
            first, second = (asyncio.create_task(ask(budget, takes=1)) for _ in range(2))
            await asyncio.sleep(1)
        first.cancel()  # its turn has come, and it has not run since
        assert await asyncio.wait_for(second, 2) == pytest.approx(1, abs=SLIP)
        with pytest.raises(asyncio.CancelledError):
            await first
        assert not budget.waiting
        assert await asyncio.wait_for(asyncio.create_task(ask(budget)), 1)

    run(work)


# -- what the vendor says


@pytest.mark.parametrize("kind", Claim)
@pytest.mark.parametrize("remaining", [1, 10, 11])
def test_of_a_learned_quota_sweeps_and_backfills_leave_a_reserve(kind: Claim, remaining: int) -> None:
    async def wait_s() -> float:
        budget = Budget()
        headers = {"x-ratelimit-remaining": str(remaining), "x-ratelimit-limit": "100", "x-ratelimit-reset": "40"}
        budget.learn(httpx.Headers(headers), now=1000.0)
        claim.set(kind)
        assert budget.wait_s(1041.0) == 0
        return budget.wait_s(1001.0)

    held_back = kind in (Claim.SWEEP, Claim.BACKFILL) and remaining <= RESERVE * 100
    assert run(wait_s) == (39.0 if held_back else 0.0)


def test_a_used_up_quota_holds_back_every_kind() -> None:
    async def work() -> None:
        budget = Budget()
        budget.learn(httpx.Headers({"ratelimit-remaining": "0", "ratelimit-reset": "40"}), now=1000.0)
        for kind in Claim:
            claim.set(kind)
            assert budget.wait_s(1010.0) == 30.0

    run(work)


# -- all at once


@dataclass(frozen=True)
class Asking:
    after: float
    kind: Claim
    takes: float
    gives_up_after: float | None


asking = st.builds(
    Asking,
    after=st.sampled_from([0, 0.5, 1, 60, 500]),
    kind=st.sampled_from(Claim),
    takes=st.sampled_from([0, 0.2, 30]),
    gives_up_after=st.none() | st.sampled_from([0.0, 0.2, 100]),
)


@given(st.lists(asking, max_size=40), st.integers(1, 8), st.none() | st.sampled_from([1.0, 7.5, 60.0, 3600.0, 5000.0]))
@settings(deadline=None)
def test_whatever_is_asked_both_limits_hold_and_everyone_is_served(
    requests: list[Asking], concurrency: int, per_hour: float | None
) -> None:
    begins: list[float] = []
    under_way = most = served = gave_up = 0

    async def one(budget: Budget, each: Asking) -> None:
        nonlocal under_way, most, served
        claim.set(each.kind)
        async with budget.slot():
            under_way += 1
            most = max(most, under_way)
            begins.append(now())
            try:
                await asyncio.sleep(each.takes)
            finally:
                under_way -= 1
        served += 1

    async def maybe(budget: Budget, each: Asking) -> None:
        nonlocal gave_up
        try:
            await asyncio.wait_for(one(budget, each), each.gives_up_after)
        except TimeoutError:
            gave_up += 1

    async def work() -> None:
        budget = Budget(per_hour=per_hour, concurrency=concurrency)
        async with asyncio.TaskGroup() as group:
            for each in requests:
                await asyncio.sleep(each.after)
                group.create_task(maybe(budget, each))
        assert not budget.waiting
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(ask(budget) for _ in range(concurrency))), HOUR * concurrency)
            return
        raise AssertionError("room was lost for good")

    run(work)
    assert served + gave_up == len(requests)
    assert gave_up <= sum(each.gives_up_after is not None for each in requests)
    assert most <= concurrency
    if per_hour is not None:
        burst = max(1.0, per_hour / 60)
        for seconds in (1.0, 60.0, 600.0, HOUR):
            assert most_within(seconds, begins) <= burst + per_hour / 3600 * seconds + SLIP
        assert most_within(HOUR, begins) <= math.ceil(per_hour)
