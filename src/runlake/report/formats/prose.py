"""A report as plain text of 80 columns, and as the Markdown that code hosts show."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.cells import cell_len, set_cell_size

from runlake.alerts.quoting import link
from runlake.report.formats.placing import beside, overview
from runlake.report.formats.wording import (
    DIRECTIONS,
    NOTHING,
    NUMERIC,
    Wording,
    change,
    code,
    heading,
    line,
    named,
)
from runlake.report.model import Chart, Column, Kind, Report, Row, Section

WIDTH = 80

_GAP = 2
_NARROWEST = 14
"""Columns of the screen: a text is cut no shorter."""


def text(report: Report) -> str:
    """In lines of at most WIDTH columns, but for addresses, which stand on lines of their own and are never cut."""
    words = Wording(report.period)
    jinja = Environment(  # noqa: S701 (nothing here is HTML: each text is cleaned where it is said)
        loader=PackageLoader("runlake.report", "formats"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, _Ready) else line(str(value), 4000),
    )
    jinja.filters |= {
        "wrapped": lambda said, start="", then=None: _Ready(_wrapped(line(said, 4000), start, then)),
        "ruled": lambda said, mark: _Ready(_ruled(_cut(line(said), WIDTH), mark)),
        "table": lambda section: _Ready(_table(section, words)),
        "figures": lambda figures: _Ready(
            _aligned([[_cut(named(line(f.name)), 30), words.shown(f.value, f.kind), str(change(f))] for f in figures])
        ),
        "link": lambda url: _Ready(link(url) or ""),
        "named": named,
    }
    return jinja.get_template("report.txt.jinja").render(
        report=report, words=words, directions=DIRECTIONS, beside=beside, overview=overview
    )


class _Ready(str):
    """What has been made fit for its format."""

    __slots__ = ()


def _ruled(said: str, mark: str) -> str:
    return f"{said}\n{mark * cell_len(said)}"


def _wrapped(said: str, start: str = "", then: str | None = None) -> str:
    """In lines of WIDTH columns of the screen; `textwrap` counts characters, of which some take two."""
    indent = " " * len(start) if then is None else then
    lines, fresh = [start], True
    for whole in said.split():
        word = whole
        while word:
            room = WIDTH - cell_len(lines[-1]) - (not fresh)
            if cell_len(word) <= room:
                lines[-1] += word if fresh else f" {word}"
                word, fresh = "", False
            elif fresh:
                head = set_cell_size(word, room).rstrip()
                lines[-1] += head
                lines.append(indent)
                word = word[len(head) :]
            else:
                lines.append(indent)
                fresh = True
    return "\n".join(each.rstrip() for each in lines)


def _table(section: Section | Chart, words: Wording) -> str:
    """A table where its columns fit, each row's address below it; else a short list for each row."""
    head = [line(column.name, WIDTH) for column in section.columns]
    rows = [
        [words.shown(value, column) for value, column in zip(row.values, section.columns, strict=True)]
        for row in section.rows
    ]
    urls = [link(row.url) for row in section.rows]
    right = [column.kind in NUMERIC for column in section.columns]
    widths = _fitting([head, *rows], [column.kind is Kind.TEXT for column in section.columns])
    if widths is None:
        first = heading(section.columns)
        return "\n".join(_listed(first, head, row, url) for row, url in zip(rows, urls, strict=True))
    lines = [_cells(head, widths, right), (" " * _GAP).join("-" * width for width in widths)]
    for row, url in zip(rows, urls, strict=True):
        lines.append(_cells(row, widths, right))
        lines += [f"  {url}"] if url else []
    return "\n".join(lines)


def _fitting(rows: Sequence[Sequence[str]], may_be_cut: Sequence[bool]) -> list[int] | None:
    """The columns' widths: the widest texts are cut first; None where that is not enough."""
    widths = [max(cell_len(row[number]) for row in rows) for number in range(len(may_be_cut))]
    while sum(widths) + _GAP * (len(widths) - 1) > WIDTH:
        widest = max((n for n, cut in enumerate(may_be_cut) if cut), key=lambda n: widths[n], default=None)
        if widest is None or widths[widest] <= max(_NARROWEST, cell_len(rows[0][widest])):
            return None
        widths[widest] -= 1
    return widths


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Names, numbers, and what is said of them."""
    widths = _fitting(rows, [True] * 3)
    assert widths is not None, "names are short, and so is what is said of numbers"
    return "\n".join(_cells(row, widths, [False, True, False]) for row in rows)


def _cells(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return (" " * _GAP).join(map(_cell, row, widths, right)).rstrip()


def _cell(said: str, width: int, right: bool) -> str:
    said = _cut(said, width)
    space = " " * (width - cell_len(said))
    return space + said if right else said + space


def _cut(said: str, width: int) -> str:
    return said if cell_len(said) <= width else set_cell_size(said, width - 1).rstrip() + "…"


def _listed(first: int, head: Sequence[str], row: Sequence[str], url: str | None) -> str:
    """What it is about on its own line, below it what else is known of it."""
    rest = [f"{head[n]} {each}" for n, each in enumerate(row) if n != first and each != NOTHING]
    lines = [_wrapped(row[first], "", "  ")]
    lines += [_wrapped("; ".join(rest), "  ")] if rest else []
    return "\n".join([*lines, f"  {url}"] if url else lines)


# --- Markdown --------------------------------------------------------------------------------------------------------


def markdown(report: Report) -> str:
    """GitHub's kind, which others read as well; every text in it is text and nothing more."""
    words = Wording(report.period)
    jinja = Environment(  # noqa: S701 (nothing here is HTML: whatever is put in is escaped by `finalize`)
        loader=PackageLoader("runlake.report", "formats"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, _Ready) else escaped(str(value)),
    )
    jinja.filters |= {
        "fenced": lambda sql: _Ready(_fenced(sql)),
        "cell": lambda row, number, columns: _Ready(_markdown_cell(row, number, columns, words)),
        "rule": lambda column: _Ready("--:" if column.kind in NUMERIC else "---"),
        "linked": lambda said, url: _Ready(_linked(said, url)),
        "change": change,
        "named": named,
        "ready": _Ready,
    }
    page = jinja.get_template("report.md.jinja").render(
        report=report, words=words, directions=DIRECTIONS, beside=beside, overview=overview
    )
    return _BLANK_LINES.sub("\n\n", page).rstrip() + "\n"


_BLANK_LINES = re.compile(r"\n{3,}")

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
    plain = _MARKS.sub(_escape, line(said, 4000))
    return _LINKING.sub(lambda match: match[0] + _INVISIBLE, plain)


def _escape(match: re.Match[str]) -> str:
    return f"\\{match[0]}" if not match[0].isdigit() else match[0] + "\\"


def _linked(said: str, url: str | None) -> str:
    address = link(url)
    # In angle brackets, which `link` leaves none of; parentheses would end it, `|` a table's cell: both are escaped.
    return f"[{escaped(said)}](<{address}>)" if address else escaped(said)


def _markdown_cell(row: Row, number: int, columns: Sequence[Column], words: Wording) -> str:
    said = words.shown(row.values[number], columns[number])
    return _linked(said, row.url) if number == heading(columns) else escaped(said)


def _fenced(sql: str) -> str:
    """A block of code whose fence is longer than any in it."""
    longest = max((len(ticks) for ticks in re.findall("`+", sql)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sql\n{code(sql)}\n{fence}"
