"""Rows as machines read them, JSON and CSV, the same from a terminal and over the network; text, lengths of time and
how many there are as people do."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import IO, Any

Row = Sequence[Any]


def instant(value: datetime) -> str:
    """UTC, ISO 8601, with a Z."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """What JSON can say: instants in UTC, no NaN, everything else it lacks as text."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return str(value)
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return instant(value) if value.tzinfo is not None else value.isoformat()
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case dict():
            return {str(key): plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case bytes():
            return value.hex()
    number = getattr(value, "as_integer_ratio", None)
    return float(value) if number is not None else str(value)


_UNSAFE = re.compile(r"[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """One value as JSON; characters that a terminal would obey are written as escapes, so nothing is lost."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def json_rows(columns: Sequence[str], rows: Iterable[Row], out: IO[str]) -> None:
    """One array, one row a line."""
    json_objects((dict(zip(columns, row, strict=True)) for row in rows), out)


def json_objects(objects: Iterable[Mapping[str, Any]], out: IO[str]) -> None:
    """The same of what may have different keys."""
    before = "[\n  "
    for each in objects:
        out.write(before + json_text(each))
        before = ",\n  "
    out.write("[]\n" if before == "[\n  " else "\n]\n")


# A spreadsheet takes a cell that begins with one of these for a formula, and would run what a vendor's text says.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_rows(columns: Sequence[str], rows: Iterable[Row], out: IO[str], text: Callable[[str], str] = str) -> None:
    """Header and rows (RFC 4180, but lines end in LF); texts that would be formulas get an apostrophe in front.

    `text` is what becomes of each text before that.
    """
    line = io.StringIO()
    # With CR LF as its end of line, csv quotes cells that have either of them; ours are LF all the same.
    writer = csv.writer(line, lineterminator="\r\n")
    for row in chain([columns], rows):
        writer.writerow([_csv_cell(value, text) for value in row])
        out.write(f"{line.getvalue()[:-2]}\n")
        line.seek(0)
        line.truncate()


def _csv_cell(value: Any, text: Callable[[str], str]) -> Any:
    cell = plain(value)
    if isinstance(cell, dict | list):
        cell = json_text(cell)
    if not isinstance(cell, str):
        return cell
    cell = text(cell)
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


# CSI and OSC sequences whole, then any other escape: what would be left of one reads as garbage.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?"
)
_SPACES = frozenset({"Zl", "Zp"})
_DROPPED = frozenset({"Cc", "Cf", "Cs"})
_JOINER = "\u200d"  # holds composed emoji together and can do no harm


def clean(text: str) -> str:
    """`text` on one line, without anything that a terminal would obey: controls, escapes, bidirectional overrides."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_cleaned(_ESCAPES.sub("", text)))


def _cleaned(text: str) -> Iterator[str]:
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r\v\f\x85" or category in _SPACES:
            yield " "
        elif category not in _DROPPED or character == _JOINER:
            yield character


def lasting(length: timedelta) -> str:
    """A length of time in its two largest units, the rest cut off: "45 s", "8 min", "2 h 5 min", "12 d 3 h"."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    parts = ((days, "d"), (hours % 24, "h")) if days else ((hours, "h"), (minutes % 60, "min"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def some(count: int, what: str) -> str:
    """`1 run`, `1,234 runs`."""
    return f"{count:,} {what}{'s' if count != 1 else ''}"
