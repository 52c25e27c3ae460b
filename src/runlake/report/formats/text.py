"""A report as plain text of 80 columns, for terminals and the text part of mails."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment
from rich.cells import cell_len, set_cell_size

from runlake.alerts.quoting import link
from runlake.report.formats.templates import Filters, Ready, environment, filled
from runlake.report.formats.wording import NOTHING, NUMERIC, Wording, change, heading, line, named
from runlake.report.model import Column, Figure, Kind, Report, Row

WIDTH = 80

_GAP = 2
_NARROWEST = 14
"""Columns of the screen: a text is cut no shorter."""

_LONGEST = 4000
"""Characters of a paragraph."""


def text(report: Report) -> str:
    """In lines of at most WIDTH columns, but for addresses, which stand on lines of their own and are never cut."""
    return filled(_jinja(), "report.txt.jinja", report)


@cache
def _jinja() -> Environment:
    filters: Filters = {
        "wrapped": lambda said, start="", then=None: Ready(_wrapped(line(said, _LONGEST), start, then)),
        "ruled": lambda said, mark: Ready(_ruled(_cut(line(said), WIDTH), mark)),
        "table": lambda rows, columns, words: Ready(_table(columns, rows, words)),
        "figures": lambda figures, words: Ready(_figures(figures, words)),
        "address": lambda url: Ready(link(url) or ""),
    }
    return environment(lambda said: line(said, _LONGEST), filters, html=False)


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
                head = set_cell_size(word[:room], room).rstrip()
                lines[-1] += head
                lines.append(indent)
                word = word[len(head) :]
            else:
                lines.append(indent)
                fresh = True
    return "\n".join(each.rstrip() for each in lines)


def _table(columns: Sequence[Column], rows: Sequence[Row], words: Wording) -> str:
    """A table where its columns fit, each row's address below it; else a short list for each row."""
    head = [line(column.name) for column in columns]
    kinds = [column.kind for column in columns]
    said = [list(map(words.shown, row.values, kinds)) for row in rows]
    urls = [link(row.url) for row in rows]
    widths = _fitting([head, *said], [kind is Kind.TEXT for kind in kinds])
    if widths is None:
        first = heading(columns)
        return "\n".join(_listed(first, head, each, url) for each, url in zip(said, urls, strict=True))
    right = [kind in NUMERIC for kind in kinds]
    lines = [_cells(head, widths, right), (" " * _GAP).join("-" * width for width in widths)]
    for each, url in zip(said, urls, strict=True):
        lines.append(_cells(each, widths, right))
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


def _figures(figures: Sequence[Figure], words: Wording) -> str:
    """Names, numbers, and what is said of them."""
    rows = [
        [_cut(named(line(each.name)), 30), words.shown(each.value, each.kind), str(change(each))] for each in figures
    ]
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
