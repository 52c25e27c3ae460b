"""What one owner of credentials may spend at a vendor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import httpx
from aiolimiter import AsyncLimiter


class Budget:
    """What one owner of credentials may spend at a vendor, shared by all sources that use them.

    Two limits: a configured pace (`per_hour`), and what the vendor says in its answers (`Retry-After`, and the
    `RateLimit-*` / `X-RateLimit-*` families), which holds back every request of the owner, not just the one told off.
    """

    def __init__(self, per_hour: float | None = None, concurrency: int = 8) -> None:
        # A minute's worth at a time: smooth enough not to spend an hour's quota in one burst.
        self._pace = AsyncLimiter(max(1.0, per_hour / 60), max(60.0, 3600 / per_hour)) if per_hour else None
        self._most = concurrency
        self._slots = anyio.CapacityLimiter(concurrency)
        self._good = 0
        self._closed_until = 0.0
        self.remaining: float | None = None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Callable[[], None]]:
        """Room for one request, given back at the end or, by calling what this gives, before."""
        if self._pace is not None:
            await self._pace.acquire()
        # Not on behalf of the task: one task may have a stream open and ask for something else meanwhile.
        holder = object()
        await self._slots.acquire_on_behalf_of(holder)
        held = True

        def give_back() -> None:
            nonlocal held
            if held:
                self._slots.release_on_behalf_of(holder)
            held = False

        try:
            yield give_back
        finally:
            give_back()

    def wait_s(self, now: float) -> float:
        """Seconds until the vendor wants to hear from this owner again."""
        return max(0.0, self._closed_until - now)

    def close_for(self, seconds: float, now: float) -> None:
        # A day at most: a header that means something else must not silence an owner for ever.
        self._closed_until = max(self._closed_until, now + min(seconds, 86_400))

    def refused(self) -> None:
        self._good = 0
        self._slots.total_tokens = max(1, int(self._slots.total_tokens) // 2)

    def served(self) -> None:
        self._good += 1
        if self._good >= 50 and self._slots.total_tokens < self._most:
            self._good = 0
            self._slots.total_tokens += 1

    def learn(self, headers: httpx.Headers, now: float, skew_s: float = 0.0) -> None:
        remaining = number_in(headers, *REMAINING)
        if remaining is None:
            return
        self.remaining = remaining
        reset = number_in(headers, "x-ratelimit-reset", "ratelimit-reset")
        if remaining <= 0 and reset is not None:
            # An instant (GitHub: epoch seconds by its own clock; others: milliseconds) or seconds from now (the IETF
            # draft): no quota window is 30 years long.
            if reset > 100_000_000_000:
                reset /= 1000
            self.close_for(reset - (now + skew_s) if reset > 1_000_000_000 else reset, now)


REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining")


def number_in(headers: httpx.Headers, *names: str) -> float | None:
    for name in names:
        try:
            return float(headers[name])
        except (KeyError, ValueError):
            continue
    return None
