"""When a source is asked next. Decisions only: no clock, no waiting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from runlake.config import Source
from runlake.cron import next_after
from runlake.store import Watched

LONGEST_BACKOFF = timedelta(minutes=30)
"""A vendor that was down for a day is asked again at most this long after it is back."""

SOON = timedelta(hours=1)
"""When after a start what is done seldom is done first: a daemon that is restarted each night does it too."""

QUIET_SHARE = 12
"""Without news, a source is asked after a twelfth of the time that it has been quiet."""

BACKLOG_SHARE = 60
"""For each second that requests of the same owner have to queue, open runs are let alone for a minute: syncs, which
read them too, come first. Else following 10,000 runs a day took half of a quota of 5,000 an hour, and a sweep an hour.
"""


def next_sync(source: Source, now: datetime, *, failures: int, quiet: timedelta) -> datetime:
    """When to sync after a sync that has ended now. `failures`: how many have failed in a row; `quiet`: for how long
    nothing has been new, changed or open."""
    if failures:
        base = timedelta(minutes=5) if source.cron else source.every
        after: timedelta = base * 2 ** min(failures - 1, 10)
        return now + min(after, max(LONGEST_BACKOFF, base))
    if source.cron:
        return next_after(source.cron, now)
    return now + min(max(source.every, quiet / QUIET_SHARE), source.latest)


def next_follow(
    source: Source, now: datetime, watched: Sequence[Watched], *, backlog_s: float = 0.0
) -> datetime | None:
    """When to read open runs by id before the next sync does; None where there is none to be read. `backlog_s`: what
    waits already of their owner's requests, as `Budget.backlog_s` has it."""
    if not watched:
        return None
    soonest = now + max(source.soonest, timedelta(seconds=BACKLOG_SHARE * backlog_s))
    return max(min(each.due_at or now for each in watched), soonest)
