"""An event loop in which waiting takes no time: a day of it passes in seconds, and in the same way each time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Skipping(selectors.DefaultSelector):
    """Turns waiting into a jump of the loop's clock."""

    at = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if timeout is None and not ready:
            raise AssertionError("everyone waits, and for nothing that will ever come")
        # Never quite still: by a rounding a limiter may come back a hair too early, and would for ever.
        self.at += timeout if timeout and not ready else 1e-7
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0. For work without threads and sockets: nothing from outside can wake it."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.at


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())


def now() -> float:
    """Seconds since the loop began."""
    return asyncio.get_running_loop().time()
