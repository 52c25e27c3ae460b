"""The time that a report is about: whole local days, and as known at which instant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runlake.errors import ConfigError

SETTLES = timedelta(hours=6)
"""After its end a period is looked at as it was known then: runs that were open at midnight have mostly ended, and
sources have been asked. Whatever is learned later does not change the report, unless it is asked for."""

WEEKS = 12
"""So many weeks, the reported one included, are what it is compared with and its trends are drawn from."""

EARLIEST = date(1970, 1, 1)
LONGEST = timedelta(days=3653)
"""Ten years: with the time before, which is compared, still within what calendars know."""

_WEEK = re.compile(r"(\d{4})-W(\d\d)")


@dataclass(frozen=True, slots=True)
class Period:
    """Local days [first, end) in `zone`, as known at `known_at` (an instant in UTC).

    A day begins at its local midnight, or with the first minute that it has: days in which clocks are put forward or
    back have 23 or 25 hours.
    """

    first: date
    end: date
    zone: ZoneInfo
    known_at: datetime

    @property
    def since(self) -> datetime:
        """The first instant, in UTC."""
        return midnight(self.first, self.zone)

    @property
    def until(self) -> datetime:
        """The first instant after it, in UTC."""
        return midnight(self.end, self.zone)

    @property
    def days(self) -> int:
        return (self.end - self.first).days

    @property
    def before(self) -> Period:
        """As many days just before it, as known at the same instant."""
        return Period(self.first - timedelta(days=self.days), self.first, self.zone, self.known_at)

    @property
    def history(self) -> Period:
        """WEEKS weeks, which end with it; or ten more such periods where it is longer than a week."""
        days = max(7, self.days)
        return Period(self.end - timedelta(days=days * WEEKS), self.end, self.zone, self.known_at)

    @property
    def is_over(self) -> bool:
        """Whether all of it had passed when it was looked at."""
        return self.known_at >= self.until

    @property
    def is_week(self) -> bool:
        return self.days == 7 and self.first.isoweekday() == 1

    @property
    def name(self) -> str:
        """`2026-W47`, else `2026-11-01 to 2026-11-30`: with the last day that is in it."""
        if self.is_week:
            year, week, _ = self.first.isocalendar()
            return f"{year}-W{week:02}"
        last = self.end - timedelta(days=1)
        return f"{self.first}" if self.days == 1 else f"{self.first} to {last}"


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When a local day begins, in UTC; where clocks skip midnight, the first instant after."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def period(
    *,
    week: str | None = None,
    since: str | None = None,
    until: str | None = None,
    zone: ZoneInfo,
    now: datetime,
    as_of: datetime,
    began: datetime | None = None,
    known_at: datetime | None = None,
) -> Period:
    """What was asked for: a week ("2026-W47"), or days since .. until (the first day after it; default: tomorrow), or
    else the last whole week before `now`.

    `as_of` is up to when the copy that is read knows anything: `known_at` is no later. By default it is SETTLES after
    the end; of what was over when the ledger `began`, SETTLES after that, for nothing was known before. Raises
    ConfigError: what to write instead.
    """
    today = now.astimezone(zone).date()
    if week is not None and (since is not None or until is not None):
        raise ConfigError("write --week, or --since and --until, not both")
    if week is not None:
        first, end = _week(week)
    elif since is not None:
        first = _day("--since", since)
        end = _day("--until", until) if until is not None else today + timedelta(days=1)
        if first >= end:
            raise ConfigError(f"--since {first} is not before --until {end}, which is the first day after the period")
    elif until is not None:
        raise ConfigError("--until needs --since, such as --since 2026-11-01")
    else:
        first = today - timedelta(days=today.weekday() + 7)
        end = first + timedelta(days=7)
    if first > today:
        raise ConfigError(f"{first} is still to come")
    if first < EARLIEST or end - first > LONGEST:
        raise ConfigError(f"a report is of days from {EARLIEST} on, and of ten years at most: not {first} to {end}")
    found = Period(first, end, zone, as_of)
    settled = known_at if known_at is not None else max(found.until, began or found.until) + SETTLES
    known_at = min(settled, as_of).astimezone(UTC)
    if known_at < found.since:
        instead = (
            "write a later --known-at" if settled < found.since else "what can be read is no newer; run: runlake sync"
        )
        raise ConfigError(f"nothing of {found.name} was known at {known_at:%Y-%m-%d %H:%M} UTC: {instead}")
    return Period(first, end, zone, known_at)


def _week(text: str) -> tuple[date, date]:
    match = _WEEK.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        first = date.fromisocalendar(int(match[1]), int(match[2]), 1)
        return first, first + timedelta(days=7)
    except (ValueError, OverflowError):
        raise ConfigError(f"'{text}' is no week: write it as ISO 8601 does, such as 2026-W47") from None


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: write a day, such as 2026-11-16") from None
