"""What one owner of credentials may spend at a vendor, and who may spend it first."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import Enum
from itertools import count

import httpx


class Claim(Enum):
    """What a request is for; its value is how many seconds it lets others go first.

    Requests go in the order of when they came plus that. So open runs come before new ones, those before steps, sweeps
    and backfills, and none waits for ever, however many more urgent ones keep coming.
    """

    OPEN = 0
    NEW = 30
    STEPS = 120
    SWEEP = 600
    BACKFILL = 1800


claim: ContextVar[Claim] = ContextVar("claim", default=Claim.NEW)
"""What the requests of this task are for."""

RESERVE = 0.1
"""The share of a vendor's own quota that sweeps and backfills leave to open and new runs."""


class Budget:
    """What one owner of credentials may spend at a vendor, shared by all sources that use them.

    Two limits: a configured pace (`per_hour`), and what the vendor says in its answers (`Retry-After`, and the
    `RateLimit-*` / `X-RateLimit-*` families), which holds back every request of the owner, not just the one told off.
    """

    def __init__(self, per_hour: float | None = None, concurrency: int = 8, who: str = "") -> None:
        self._wanted: dict[str, tuple[float | None, int]] = {}
        self._waking: asyncio.TimerHandle | None = None
        self.agree(who, per_hour, concurrency)
        self._room = self._burst
        self._filled_at: float | None = None
        self._under_way = 0
        self._good = 0
        self._closed_until = self._reset_at = 0.0
        self._queue: list[tuple[float, int, asyncio.Future[None]]] = []
        self._arrivals = count()
        self.waiting: Counter[tuple[str, Claim]] = Counter()
        """Requests that wait for their turn: by whose they are, and what for."""
        self.spent = 0
        self.remaining: float | None = None
        """What is left of the vendor's own quota, and `quota` the whole of it, by its last answer that told."""
        self.quota: float | None = None

    def agree(self, who: str, per_hour: float | None, concurrency: int) -> None:
        """What one of those who share it is configured to spend at most: the least of all holds."""
        if self._wanted.get(who) != (per_hour, concurrency):
            self._wanted[who] = (per_hour, concurrency)
            self._settle()

    def leave(self, who: str) -> None:
        if self._wanted.pop(who, None) and self._wanted:
            self._settle()

    def _settle(self) -> None:
        paces = [per_hour for per_hour, _ in self._wanted.values() if per_hour]
        pace = min(paces, default=None)
        # A minute's worth at a time: smooth enough not to spend an hour's quota in one burst. What a burst may have
        # beyond one comes off the rest, or an hour that begins with one would have more than its quota.
        self._burst = max(1.0, pace / 60) if pace else 1.0
        self._per_s = (pace - (self._burst - 1)) / 3600 if pace else None
        self._most = self._slots = min(concurrency for _, concurrency in self._wanted.values())
        if self._waking is not None:  # whoever waits, waits for the pace of before
            self._waking.cancel()
            self._wake()

    @asynccontextmanager
    async def slot(self, who: str = "") -> AsyncIterator[Callable[[], None]]:
        """Room for one request, given back at the end or, by calling what this gives, before."""
        await self._turn(who)
        held = True

        def give_back() -> None:
            nonlocal held
            if held:
                self._under_way -= 1
                self._admit()
            held = False

        try:
            yield give_back
        finally:
            give_back()

    async def _turn(self, who: str) -> None:
        kind, turn = claim.get(), asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (asyncio.get_running_loop().time() + kind.value, next(self._arrivals), turn))
        self.waiting[who, kind] += 1
        try:
            self._admit()
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # our turn had come: the next one's
                self._under_way -= 1
                self._admit()
            raise
        finally:
            self.waiting[who, kind] -= 1
            if not self.waiting[who, kind]:
                del self.waiting[who, kind]

    def _admit(self) -> None:
        """Lets go whoever is first, while there is room."""
        while self._queue and self._under_way < self._slots:
            if self._queue[0][2].done():  # gave up
                heapq.heappop(self._queue)
                continue
            if (wait := self._until_room()) > 0:
                if self._waking is None:
                    self._waking = asyncio.get_running_loop().call_later(wait, self._wake)
                return
            _, _, turn = heapq.heappop(self._queue)
            self._room -= 1
            self._under_way += 1
            self.spent += 1
            turn.set_result(None)

    def _wake(self) -> None:
        self._waking = None
        self._admit()

    def _until_room(self) -> float:
        """Seconds until the pace allows one more."""
        if self._per_s is None:
            self._room = self._burst
            return 0.0
        now = asyncio.get_running_loop().time()
        since = now - self._filled_at if self._filled_at is not None else 0.0
        self._room, self._filled_at = min(self._burst, self._room + since * self._per_s), now
        # Within a rounding of one: else a clock that has come to the very instant would wait for ever.
        return 0.0 if self._room > 1 - 1e-9 else (1 - self._room) / self._per_s

    @property
    def backlog_s(self) -> float:
        """How many seconds the pace needs for what waits now, sweeps and backfills left out."""
        if self._per_s is None:
            return 0.0
        urgent = (Claim.OPEN, Claim.NEW, Claim.STEPS)
        return sum(count for (_, kind), count in self.waiting.items() if kind in urgent) / self._per_s

    def wait_s(self, now: float) -> float:
        """Seconds until the vendor wants to hear from this owner again; for a sweep or a backfill, also until a quota
        that is nearly used up is filled again."""
        wait = self._closed_until - now
        scarce = self.remaining is not None and self.quota is not None and self.remaining <= RESERVE * self.quota
        if scarce and claim.get() in (Claim.SWEEP, Claim.BACKFILL):
            wait = max(wait, self._reset_at - now)
        return max(0.0, wait)

    def close_for(self, seconds: float, now: float) -> None:
        self._closed_until = max(self._closed_until, now + _at_most_a_day(seconds))

    def refused(self) -> None:
        self._good = 0
        self._slots = max(1, self._slots // 2)

    def served(self) -> None:
        self._good += 1
        if self._good >= 50 and self._slots < self._most:
            self._good = 0
            self._slots += 1

    def learn(self, headers: httpx.Headers, now: float, skew_s: float = 0.0) -> None:
        remaining = number_in(headers, *REMAINING)
        if remaining is None:
            return
        self.remaining, self.quota = remaining, number_in(headers, "x-ratelimit-limit", "ratelimit-limit")
        reset = number_in(headers, "x-ratelimit-reset", "ratelimit-reset")
        if reset is None:
            return
        # An instant (GitHub: epoch seconds by its own clock; others: milliseconds) or seconds from now (the IETF
        # draft): no quota window is 30 years long.
        if reset > 100_000_000_000:
            reset /= 1000
        seconds = reset - (now + skew_s) if reset > 1_000_000_000 else reset
        self._reset_at = now + _at_most_a_day(seconds)
        if remaining <= 0:
            self.close_for(seconds, now)


def _at_most_a_day(seconds: float) -> float:
    """A header that means something else must not silence an owner for ever."""
    return min(seconds, 86_400)


REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining")


def number_in(headers: httpx.Headers, *names: str) -> float | None:
    for name in names:
        try:
            return float(headers[name])
        except (KeyError, ValueError):
            continue
    return None
