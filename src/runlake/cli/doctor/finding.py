"""One thing that the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from runlake.formats import some


class Severity(StrEnum):
    PROBLEM = "problem"
    """Runs are not seen, or not kept: somebody must do something."""
    WARNING = "warning"
    """It will be one, or some of what is shown may be wrong."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """`about` is `ledger`, `daemon`, `published copy`, `clock`, `channel NAME`, `report NAME`, or a source's name."""

    severity: Severity
    about: str
    text: str
    todo: str | None = None

    @property
    def wrong(self) -> bool:
        return self.severity is not Severity.OK


def problem(about: str, text: str, todo: str | None = None) -> Finding:
    return Finding(Severity.PROBLEM, about, text, todo)


def warning(about: str, text: str, todo: str | None = None) -> Finding:
    return Finding(Severity.WARNING, about, text, todo)


def fine(about: str, text: str, todo: str | None = None) -> Finding:
    return Finding(Severity.OK, about, text, todo)


def length(time: timedelta) -> str:
    """In the largest unit of which there are two: `119 minutes`, `5 days`."""
    seconds = abs(time.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size:
            return some(round(seconds / size), unit)
    return some(round(seconds), "second")
