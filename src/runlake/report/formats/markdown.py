"""A report as Markdown: GitHub's kind, which others read as well."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment

from runlake.alerts.quoting import link
from runlake.report.formats.templates import Filters, Ready, environment, filled
from runlake.report.formats.wording import NUMERIC, Wording, code, heading, line
from runlake.report.model import Column, Report, Row

_LONGEST = 4000
"""Characters of a text."""

_BLANK_LINES = re.compile(r"\n{3,}")


def markdown(report: Report) -> str:
    """Every text in it is text and nothing more."""
    return _BLANK_LINES.sub("\n\n", filled(_jinja(), "report.md.jinja", report)).rstrip() + "\n"


@cache
def _jinja() -> Environment:
    filters: Filters = {
        "fenced": lambda sql: Ready(_fenced(sql)),
        "cell": lambda row, number, columns, words: Ready(_cell(row, number, columns, words)),
        "rule": lambda column: Ready("--:" if column.kind in NUMERIC else "---"),
        "linked": lambda said, url: Ready(_linked(said, url)),
        "ready": Ready,
    }
    return environment(escaped, filters, html=False)


_MARKS = re.compile(
    r"""
      [\\`*\[\]<>|~$&#]                              # wherever they stand
    | (?<![A-Za-z0-9])_ | _(?![A-Za-z0-9])           # emphasis, but not within_a_name
    | ^(?:[-=:]|\+(?!\S)|\d{1,9}(?=[.)](?!\S)))     # at the start of a line: lists, rules, tables' edges
    """,
    re.VERBOSE,
)
# What code hosts make links of after the escapes are gone: mentions, issues, bare addresses. An invisible space takes
# the power and leaves the words.
_LINKING = re.compile(r"@|\\#(?=\d)|(?<=://)|(?i:\b(?:www|xn--|mailto|GH)[.:-]|:(?=//))")
_INVISIBLE = "\u200b"


def escaped(said: str) -> str:
    """`said` on one line, as Markdown that shows just that."""
    plain = _MARKS.sub(_escape, line(said, _LONGEST))
    return _LINKING.sub(lambda match: match[0] + _INVISIBLE, plain)


def _escape(match: re.Match[str]) -> str:
    return f"\\{match[0]}" if not match[0].isdigit() else match[0] + "\\"


def _linked(said: str, url: str | None) -> str:
    address = link(url)
    # In angle brackets, which `link` leaves none of; parentheses would end it, `|` a table's cell: both are escaped.
    return f"[{escaped(said)}](<{address}>)" if address else escaped(said)


def _cell(row: Row, number: int, columns: Sequence[Column], words: Wording) -> str:
    said = words.shown(row.values[number], columns[number].kind)
    return _linked(said, row.url) if number == heading(columns) else escaped(said)


def _fenced(sql: str) -> str:
    """A block of code whose fence is longer than any in it."""
    longest = max((len(ticks) for ticks in re.findall("`+", sql)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sql\n{code(sql)}\n{fence}"
