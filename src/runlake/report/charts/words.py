"""What charts call pipelines, and which of them they show."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

from runlake.formats import clean

Found = dict[str, Any]
"""A row of an answer, by its columns."""

Key = tuple[str, str]
"""A pipeline: source and id."""


def key_of(row: Found) -> Key:
    return row["source"], row["pipeline_id"]


def names_of(found: Iterable[Found]) -> dict[Key, str]:
    """What to call each pipeline: its name, and its source too where another has the same."""
    names = {key_of(row): plain_text(row["pipeline"]) for row in found}
    often = Counter(names.values())
    return {key: f"{name} \u00b7 {plain_text(key[0])}" if often[name] > 1 else name for key, name in names.items()}


def plain_text(text: str) -> str:
    """A vendor's text on one line, without what terminals obey or what XML cannot hold: vl-convert does not raise over
    one such character, it ends the process."""
    shown = "".join(each for each in clean(str(text)) if unicodedata.category(each) != "Cn")
    return " ".join(shown.split()) or "(no name)"


def fit(text: str, cells: int = 20) -> str:
    """`text` cut in its middle to so many cells, of which a wide character takes two: names of jobs differ by their
    ends as often as by their beginnings."""
    text = plain_text(text[: 40 * cells])
    if _cells(text) <= cells:
        return text
    head = tail = ""
    while True:
        first, last = text[len(head)], text[-len(tail) - 1]
        if _cells(head + first + tail) >= cells:
            break
        head += first
        if _cells(head + last + tail) >= cells:
            break
        tail = last + tail
    return f"{head.rstrip()}\u2026{tail.lstrip()}"


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(each) in "WF" or ord(each) > 0xFFFF else 1 for each in text)


def part(shown: int, count: int, those: str) -> str:
    """`20 of 1,234 pipelines: …`; "" where all are shown."""
    return f"{shown} of {count:,} {those}" if count > shown else ""
