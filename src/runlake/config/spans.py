"""Lengths of time as the config writes them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = timedelta(days=36_500)


def span(text: object) -> timedelta:
    """`"90s"`, `"5m"`, `"12h"`, `"30d"`, `"2w"` as a length of time. Raises ValueError for anything else."""
    if isinstance(text, timedelta):
        return text
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text) if isinstance(text, str) else None
    if not match or not int(match[1]):
        raise ValueError('write a length of time such as "90s", "5m", "12h" or "30d"')
    length = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if length > _LONGEST:
        raise ValueError(f"write at most {span_text(_LONGEST)}, which is a hundred years")
    return length


def span_text(length: timedelta) -> str:
    """The shortest that `span` reads as this length, of whole seconds; of none it is `0s`."""
    seconds = int(length.total_seconds())
    if not seconds:
        return "0s"
    unit = next(unit for unit in "wdhms" if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


SPAN_PATTERN = r"^[0-9]{1,6}[smhdw]$"

Span = Annotated[
    timedelta,
    BeforeValidator(span),
    PlainSerializer(span_text),
    WithJsonSchema({"type": "string", "pattern": SPAN_PATTERN, "examples": ["5m", "12h", "30d"]}),
]
