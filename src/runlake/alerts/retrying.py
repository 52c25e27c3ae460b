"""When to try again what a channel did not take."""

from __future__ import annotations

from datetime import timedelta

from runlake.errors import DeliveryError

FIRST_RETRY = timedelta(seconds=10)
LAST_RETRY = timedelta(minutes=15)
LONGEST_WAIT = timedelta(hours=1)
"""Whatever a host asks for: one odd answer must not keep what is urgent for a day."""

GIVEN_UP_AFTER = timedelta(days=1)
"""What a channel did not take for a day is dropped where it would tell of yesterday."""


def wait(error: DeliveryError, attempts: int) -> timedelta:
    if error.retry_after is not None:
        return min(timedelta(seconds=error.retry_after), LONGEST_WAIT)
    return min(FIRST_RETRY * 2 ** min(attempts, 10), LAST_RETRY) if error.again else LAST_RETRY
