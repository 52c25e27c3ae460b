"""Rows side by side in a given width: columns are cut, and where that is not enough, those that matter least left out.

`show.table` lays out what it does not know; these are the tables of which we know what may go.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from runlake.cli import show

GAP = 2
INDENT = "    "

STYLES = {
    "failed": "red",
    "timed_out": "red",
    "waiting": "magenta",
    "running": "cyan",
    "succeeded": "green",
    "succeeded_with_warnings": "yellow",
    "unknown": "yellow",
}


@dataclass(frozen=True, slots=True)
class Column:
    """`least`: it may be cut to so many columns of the screen; 0: never. `goes`: the highest is left out first where
    even that is too wide; 0: never. `styled`: coloured by a unified status."""

    head: str
    least: int = 0
    goes: int = 0
    right: bool = False
    styled: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A row's cells, and what is said of it below, which may take several lines of the screen."""

    cells: Sequence[str]
    below: str | None = None


def lay_out(columns: Sequence[Column], lines: Sequence[Line], width: int, below: int = 2) -> list[Text]:
    """The heads, then the rows, each on one line of at most `width`; `below` is the most lines that are said below."""
    rows = [[show.clean(text) for text in line.cells] for line in lines]
    heads = [column.head for column in columns]
    wanted = [max(map(cell_len, cells)) for cells in zip(heads, *rows, strict=True)]
    # Of nothing there is nothing to show.
    empty = {at for at in range(len(columns)) if columns[at].goes and rows and not any(row[at] for row in rows)}
    widths = _widths(columns, wanted, [at for at in range(len(columns)) if at not in empty], width)
    shown = [_row(columns, heads, widths, "bold")]
    for row, line in zip(rows, lines, strict=True):
        shown.append(_row(columns, row, widths))
        if line.below:
            shown += _below(show.clean(line.below), width, below)
    return shown


def _widths(columns: Sequence[Column], wanted: Sequence[int], kept: list[int], width: int) -> dict[int, int]:
    def least(at: int) -> int:
        return min(wanted[at], max(columns[at].least, cell_len(columns[at].head))) if columns[at].least else wanted[at]

    def over(widths: Iterable[int]) -> int:
        return sum(widths) + GAP * (len(kept) - 1) - width

    while over(map(least, kept)) > 0 and any(columns[at].goes for at in kept):
        kept.remove(max(kept, key=lambda at: columns[at].goes))
    widths = {at: wanted[at] for at in kept}
    while over(widths.values()) > 0 and (cuttable := [at for at in kept if widths[at] > least(at)]):
        widths[max(cuttable, key=lambda at: widths[at])] -= 1
    return widths


def _row(columns: Sequence[Column], cells: Sequence[str], widths: dict[int, int], style: str = "") -> Text:
    row = Text(style=style)
    for place, (at, width) in enumerate(widths.items()):
        row.append(" " * GAP if place else "")
        cell = Text(cells[at], style=STYLES.get(cells[at], "") if columns[at].styled else "")
        cell.truncate(width, overflow="ellipsis")
        room = " " * (width - cell.cell_len)
        row.append_text(Text(room).append_text(cell) if columns[at].right else cell.append(room))
    row.rstrip()
    return row


def _below(text: str, width: int, most: int) -> list[Text]:
    room = max(1, width - len(INDENT))
    lines = list[Text]()
    rest = text
    while rest and len(lines) < most:
        here, later = _cut(rest, room) if len(lines) + 1 < most else (rest, "")
        line = Text(here)
        line.truncate(room, overflow="ellipsis")
        lines.append(Text(INDENT, style="dim").append_text(line))
        rest = later
    return lines


def _cut(text: str, room: int) -> tuple[str, str]:
    """What fits, at a space where there is one in its second half, and the rest."""
    if cell_len(text) <= room:
        return text, ""
    head = text[:room]
    while cell_len(head) > room:
        head = head[:-1]
    at = head.rfind(" ")
    return (head[:at], text[at + 1 :]) if at > room // 2 else (head, text[len(head) :])


def write(lines: Iterable[Text]) -> None:
    """To stdout: in colour on a terminal, and else as text."""
    screen = show.console(sys.stdout)
    for line in lines:
        if screen.is_terminal:
            screen.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        else:
            sys.stdout.write(f"{line.plain.rstrip()}\n")


def width() -> int:
    return show.console(sys.stdout).width
