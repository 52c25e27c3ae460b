"""What a report says, before it is HTML, Markdown, text or JSON: every format shows the same in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from runlake.report.period import Period


class Kind(StrEnum):
    """What the values of a column are, and so how people read them."""

    TEXT = "text"
    COUNT = "count"
    SHARE = "share"
    """0 to 1: shown in percent."""
    DURATION_MS = "duration_ms"
    RATIO = "ratio"
    """How many times as much: shown as `1.8 x`."""
    NUMBER = "number"
    INSTANT = "instant"
    """A datetime, shown in the report's zone."""
    DAY = "day"


class Direction(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNKNOWN = "unknown"
    """Nobody can tell: nothing to compare with, or too little was seen."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Row:
    """`values` are in the order of the columns. `url` leads to a vendor's run, where there is one: it is the vendor's
    text, as hostile as any."""

    values: Sequence[Any]
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One list. `lead` is a sentence that says what it comes to, also where there is no row. `sql` is one SELECT that
    gives these figures when it is asked of the published copy. `more`: how many rows are left out."""

    key: str
    title: str
    lead: str
    columns: Sequence[Column] = ()
    rows: Sequence[Row] = ()
    more: int = 0
    sql: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One of the few numbers at the top, and what it was in the period before. `good`: whether more of it is better
    (None: neither)."""

    name: str
    kind: Kind
    value: float | None
    before: float | None
    good: bool | None
    sql: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to look at. `about` is the key of the section that says more."""

    text: str
    about: str
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture, and the same in words and as a table for those who cannot see it.

    `svg` is a whole `<svg>` element whose colours are CSS variables, to stand in a page in the light and the dark;
    `png` shows it on a light ground, for mails. Widths are in CSS pixels.
    """

    key: str
    title: str
    alt: str
    svg: str
    png: bytes
    width: int
    height: int
    columns: Sequence[Column] = ()
    rows: Sequence[Row] = ()
    sql: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`scope` says, by option, what the report is limited to. `warnings` are what makes its figures less than whole:
    a source that could not be seen, runs that are missing, a week that is not over."""

    title: str
    period: Period
    scope: Mapping[str, str] = field(default_factory=dict)
    direction: Direction
    verdict: str
    """Better or worse than the period before, and by what: one sentence."""
    look_at: Sequence[Item] = ()
    """At most three, the most urgent first."""
    figures: Sequence[Figure] = ()
    warnings: Sequence[str] = ()
    sections: Sequence[Section] = ()
    charts: Sequence[Chart] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)
    """Of each metric that the report has, by its name: what it means, in the words of docs/metrics.md."""
