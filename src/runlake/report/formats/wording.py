"""How a report's values are said, whatever the format: numbers, changes, instants, links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from runlake.alerts.quoting import cut
from runlake.formats import clean, lasting, plain
from runlake.report.model import Column, Direction, Figure, Kind
from runlake.report.period import Period

NOTHING = "\N{EN DASH}"
"""Where there is no value."""

MINUS = "\N{MINUS SIGN}"

NUMERIC = frozenset({Kind.COUNT, Kind.SHARE, Kind.DURATION_MS, Kind.RATIO, Kind.NUMBER})
"""Kinds that stand to the right."""

DIRECTIONS = {
    Direction.BETTER: ("▲", "Better"),
    Direction.WORSE: ("▼", "Worse"),
    Direction.SAME: ("=", "About the same"),
    Direction.UNKNOWN: ("?", "Cannot tell"),
}
"""A shape and a word: a colour alone says nothing to some, and nothing on paper."""

LONGEST = 300
"""Characters of a value; the ledger has the whole."""

# strftime's names are in the language of the process.
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def line(text: str, most: int = LONGEST) -> str:
    """`text` on one line of at most `most` characters, and nothing in it that a terminal or a page would obey."""
    return cut(" ".join(clean(text[: most * 8]).split()), most)


def listing(names: Sequence[str], most: int = 5) -> str:
    """`a, b and c`; of more than `most`: `a, b, c, d, e and 7 more`."""
    said = [line(name, 80) for name in names[:most]]
    if len(names) > most:
        said.append(f"{len(names) - most} more")
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def heading(columns: Sequence[Column]) -> int:
    """Which column names what a row is about: it is read first, and leads to the vendor's run."""
    names = [column.name for column in columns]
    return next((names.index(name) for name in ("pipeline", "error", "rule") if name in names), 0)


def named(name: str) -> str:
    """With a capital, as names stand at the head of a line."""
    return name[:1].upper() + name[1:]


def code(sql: str) -> str:
    """`sql` line by line, without anything that a terminal would obey."""
    return "\n".join(clean(each).rstrip() for each in sql.strip().split("\n"))


def date_of(day: date) -> str:
    """`16 Nov`"""
    return f"{day.day} {_MONTHS[day.month - 1]}"


class Wording:
    """Says days and instants in a report's zone, and the year only where it is not the report's."""

    def __init__(self, period: Period) -> None:
        self._zone: ZoneInfo = period.zone
        self._years = {period.first.year, (period.end - timedelta(days=1)).year}

    def shown(self, value: Any, kind: Kind) -> str:
        """A value of that kind on one line; NOTHING for None and for what is no finite number."""
        if not isinstance(value, date):
            value = plain(value)
        match value:
            case None:
                return NOTHING
            case int() | float() if kind in NUMERIC:
                return _number(value, kind)
            case datetime():
                return self.instant(value)
            case date():
                return self.day(value)
        return line(str(value)) or NOTHING

    def day(self, value: date) -> str:
        """`Mon 16 Nov`"""
        year = f" {value.year}" if value.year not in self._years else ""
        return f"{WEEKDAYS[value.weekday()]} {date_of(value)}{year}"

    def instant(self, value: datetime) -> str:
        """`Mon 16 Nov 09:30`; where clocks are put back and that time comes twice, also which of the two."""
        local = value.astimezone(self._zone)
        twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
        return f"{self.day(local)} {local:%H:%M}" + (f" {local.tzname()}" if twice else "")

    def days(self, period: Period) -> str:
        """`Mon 16 Nov to Sun 22 Nov 2026`"""
        last = period.end - timedelta(days=1)
        first = f"{self.day(period.first)} to " if period.days > 1 else ""
        if first and period.first.year != last.year and last.year in self._years:
            first = f"{self.day(period.first)} {period.first.year} to "
        return first + (self.day(last) if last.year not in self._years else f"{self.day(last)} {last.year}")


@dataclass(frozen=True, slots=True)
class Change:
    """How a figure has moved: `amount` ("+3", "unchanged"), `word` ("better", "worse", or "" where it is neither)."""

    amount: str
    word: str = ""
    before: str = ""

    def __str__(self) -> str:
        """`+3, worse; was 9`"""
        moved = ", ".join(filter(None, (self.amount, self.word)))
        return "; ".join(filter(None, (moved, self.before and f"was {self.before}")))


def change(figure: Figure) -> Change:
    """Against the period before; `unchanged` where both look the same."""
    now, before = plain(figure.value), plain(figure.before)
    if before is None:
        return Change("nothing to compare with")
    was = _number(before, figure.kind)
    if now is None:
        return Change("", before=was)
    if _number(now, figure.kind) == was:
        return Change("unchanged")
    moved = now - before
    sign = "+" if moved > 0 else MINUS
    word = "" if figure.good is None else "better" if (moved > 0) == figure.good else "worse"
    if figure.kind is Kind.SHARE:
        if abs(moved) < 0.0005:
            return Change("hardly changed", before=was)
        amount = f"{sign}{abs(moved) * 100:.1f} points"
    else:
        amount = sign + _number(abs(moved), figure.kind)
    return Change(amount, word, was)


def _number(value: float, kind: Kind) -> str:
    sign, size = (MINUS if value < 0 else ""), abs(value)
    match kind:
        case Kind.SHARE:
            return sign + percent(size)
        case Kind.DURATION_MS:
            ms = round(min(size, 1e15))
            return sign + _lasting(ms)
        case Kind.RATIO:
            return f"{sign}{size:,.1f} x"
        case Kind.COUNT:
            return f"{sign}{size:,.0f}"
    return f"{sign}{size:,.2f}".rstrip("0").rstrip(".") if size % 1 else f"{sign}{size:,.0f}"


def _lasting(ms: int) -> str:
    """As `lasting` says it, and under ten minutes with the seconds: from 1 min 10 s to 1 min 50 s is a difference."""
    if ms < 1000:
        return f"{ms} ms"
    minutes, seconds = divmod(ms // 1000, 60)
    if 0 < minutes < 10 and seconds:
        return f"{minutes} min {seconds} s"
    return lasting(timedelta(milliseconds=ms))


def percent(share: float) -> str:
    """One digit after the point; neither "0.0 %" nor "100.0 %" for what is only near it."""
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{share * 100:,.1f} %"
