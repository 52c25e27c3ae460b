"""Fixed times of day in a zone of their own, as a crontab has them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger

# Files beside the database of zones: one is another zone on each machine, and none is known to DuckDB.
_NO_ZONE = re.compile(r"localtime|posixrules|(?:posix|right)/.*")


def zone(name: str) -> ZoneInfo:
    """A time zone by its name in the IANA database. Raises ValueError."""
    try:
        if not _NO_ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise ValueError(f"there is no time zone {name!r}; write one such as Europe/Berlin or UTC")


@lru_cache
def trigger(text: str) -> CronTrigger:
    """`"*/15 8-18 * * mon-fri Europe/Berlin"`: a crontab's five fields and a time zone. Raises ValueError."""
    *fields, name = text.split() or [""]
    if len(fields) != 5:
        raise ValueError(
            'write five fields and a time zone, such as "*/15 8-18 * * mon-fri Europe/Berlin" or "0 * * * * UTC"'
        )
    if re.search(r"\d", re.sub(r"/\d+", "", fields[4])):
        # 0 is Sunday to crontab and Monday to the scheduler.
        raise ValueError("write weekdays by name, such as mon-fri: by number, 0 is Sunday to some and Monday to others")
    where = zone(name)
    try:
        when = CronTrigger.from_crontab(" ".join(fields), where)
    except ValueError as error:
        raise ValueError(f"{error}; write a crontab's five fields, such as */15 8-18 * * mon-fri") from None
    if when.get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise ValueError("such a day never comes")
    return when


def next_after(text: str, now: datetime) -> datetime:
    """The first of its times after `now`, in UTC.

    Where clocks go forward, a time that is left out comes an hour later. Where they go back, a fixed hour that comes
    twice is taken once, and "every so often" goes on every so often: as cron(8) has it.
    """
    when, every_hour = trigger(text), text.split()[1].startswith("*")
    while True:
        # Counted in UTC: in a zone's own time the hour that comes twice cannot be told from itself.
        now = now.astimezone(UTC) + timedelta(microseconds=1)
        at: datetime = when.get_next_fire_time(None, now)
        if every_hour or not at.fold:
            return at.astimezone(UTC)
        now = at


@lru_cache(maxsize=1024)
def last_before(text: str, instant: datetime) -> datetime:
    """The last of its times that had come by then, that instant included, in UTC; by the clocks as `next_after`."""
    back = timedelta(minutes=1)
    while (at := next_after(text, instant - back)) > instant:
        back *= 4
    while (after := next_after(text, at)) <= instant:
        # The scheduler only looks ahead: of the times in between, half are left out at each step.
        middle = next_after(text, after + (instant - after) / 2)
        at = middle if middle <= instant else after
    return at
