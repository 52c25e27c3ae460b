"""The emulated vendors' idea of now: frozen unless told otherwise, so that a test decides when a run ends."""

import time
from datetime import UTC, datetime, timedelta
from typing import Self

MONDAY_MORNING = datetime(2026, 7, 13, 9, 0, tzinfo=UTC)


class Clock:
    """UTC instants. ``Clock()`` stands still; ``Clock.live()`` follows the wall clock, ``speed`` times as fast."""

    def __init__(self, at: datetime = MONDAY_MORNING, *, speed: float = 0.0) -> None:
        self._speed = speed
        self.set(at)

    @classmethod
    def live(cls, offset: timedelta = timedelta(), *, speed: float = 1.0) -> Self:
        """Start at the wall clock plus ``offset``; with ``speed=60`` an emulated hour passes in a minute."""
        return cls(datetime.now(UTC) + offset, speed=speed)

    def now(self) -> datetime:
        if not self._speed:
            return self._at
        return self._at + timedelta(seconds=(time.monotonic() - self._set_at) * self._speed)

    def set(self, at: datetime) -> None:
        if at.tzinfo is None:
            raise ValueError("the emulated clock takes aware datetimes only")
        self._at = at.astimezone(UTC)
        self._set_at = time.monotonic()

    def advance(self, by: timedelta) -> None:
        self.set(self.now() + by)
