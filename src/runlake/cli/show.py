"""What people and machines read: tables, JSON, CSV and Parquet."""

from __future__ import annotations

import json
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any

from runlake import formats
from runlake.formats import Row, plain

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100
"""Columns of output that goes to no terminal and is told no COLUMNS: the same bytes wherever it runs."""

NARROWEST = 12
"""A cell may be cut to this; where even that is too wide, each row is shown as a list of its fields."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


class SqlFormat(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


# --- text ------------------------------------------------------------------------------------------------------------

clean = formats.clean


def zone() -> str:
    """What the reader's zone is called now."""
    return datetime.now(UTC).astimezone().tzname() or "local"


def local(instant: datetime, *, seconds: bool = True) -> str:
    """An instant in the reader's zone; named only where it is not called as it is now (winter, summer)."""
    try:
        there = instant.astimezone()
    except (OverflowError, ValueError):  # a sentinel such as year 1, which has no time west of Greenwich
        there = instant.astimezone(UTC)
    text = there.replace(tzinfo=None).isoformat(" ", "seconds" if seconds else "minutes")
    name = there.tzname() or ""
    return text if name == zone() else f"{text} {name}"


def cell(value: Any) -> str:
    """A value as a table shows it: one safe line, instants in the reader's zone."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return _number(value)
        case datetime() if value.tzinfo is not None:
            return local(value)
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case str():
            return clean(value)
        case dict() | list() | tuple():
            return clean(json.dumps(plain(value), ensure_ascii=False))
    return clean(str(value))


def _number(value: float) -> str:
    if value and (not math.isfinite(value) or not 1e-4 <= abs(value) < 1e15):
        return str(value)
    return f"{value:.4f}".rstrip("0").rstrip(".")


# --- tables ----------------------------------------------------------------------------------------------------------

_COLOURS = {
    **dict.fromkeys(("ok", "succeeded", "success"), "green"),
    **dict.fromkeys(("failed", "timed_out", "failure"), "red"),
    **dict.fromkeys(("partial", "unknown", "interrupted", "succeeded_with_warnings"), "yellow"),
}
_COLOURED = frozenset({"status", "outcome", "result"})


def console(out: IO[str]) -> Console:
    """Colour on a terminal only, and not where NO_COLOR is set; a fixed width elsewhere."""
    from rich.console import Console  # noqa: PLC0415 (0.1 s that most commands can do without)

    terminal = out.isatty()
    columns = os.environ.get("COLUMNS", "")
    width = None if terminal else int(columns) if columns.isdecimal() and int(columns) else WIDTH
    return Console(file=out, width=width, force_terminal=terminal, markup=False, highlight=False, emoji=False)


def table(columns: Sequence[str], rows: Iterable[Row], out: IO[str] | None = None) -> None:
    """Rows as a table, or, where they are too wide for one, each row as a list of its fields."""
    out = out or sys.stdout
    rows = list(rows)
    screen = console(out)
    heads = [
        f"{clean(name)} ({zone()})" if any(isinstance(v, datetime) and v.tzinfo for v in values) else clean(name)
        for name, values in zip(columns, _turned(rows, len(columns)), strict=True)
    ]
    cells = [list(row) for row in zip(*(_column(values) for values in _turned(rows, len(columns))), strict=True)]
    if not cells:
        screen.print("no rows")
        return
    widths = _widths(heads, cells, screen.width)
    if widths is None:
        _print_fields(heads, cells, out, screen.width)
        return
    _print_table(screen, columns, heads, rows, cells, widths)


def _column(values: Sequence[Any]) -> list[str]:
    """The values as text; fractions get the same number of decimals, so that points stand below each other."""
    cells = [cell(value) for value in values]
    fractions = [at for at, value in enumerate(values) if isinstance(value, float) and "e" not in cells[at]]
    places = max((len(cells[at].partition(".")[2]) for at in fractions), default=0)
    for at in fractions:
        if math.isfinite(values[at]):
            cells[at] = f"{values[at]:.{places}f}"
    return cells


def _turned(rows: Sequence[Row], count: int) -> list[list[Any]]:
    return [[row[at] for row in rows] for at in range(count)]


def _widths(heads: list[str], cells: list[list[str]], width: int) -> list[int] | None:
    """How wide each column may be, the widest cut first; None where they cannot stand side by side."""
    from rich.cells import cell_len  # noqa: PLC0415

    wanted = [max(cell_len(text) for text in column) for column in zip(heads, *cells, strict=True)]
    room = width - 2 * (len(wanted) - 1)
    if sum(min(each, max(NARROWEST, cell_len(head))) for each, head in zip(wanted, heads, strict=True)) > room:
        return None
    while (over := sum(wanted) - room) > 0:
        widest = max(wanted)
        following = max((each for each in wanted if each < widest), default=0)
        at = wanted.index(widest)
        wanted[at] = max(following, widest - over) if wanted.count(widest) == 1 else widest - 1
    return wanted


def _print_table(
    screen: Console,
    columns: Sequence[str],
    heads: list[str],
    rows: Sequence[Row],
    cells: list[list[str]],
    widths: list[int],
) -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head, values, width in zip(heads, _turned(rows, len(columns)), widths, strict=True):
        numbers = any(v is not None for v in values) and all(
            v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in values
        )
        grid.add_column(
            Text(head), justify="right" if numbers else "left", width=width, no_wrap=True, overflow="ellipsis"
        )
    for row in cells:
        # Text, not str: square brackets in it are the vendor's, not markup.
        grid.add_row(
            *(
                Text(text, style=_COLOURS.get(text, "") if name in _COLOURED else "")
                for name, text in zip(columns, row, strict=True)
            )
        )
    if screen.is_terminal:
        screen.print(grid)
        return
    with screen.capture() as captured:
        screen.print(grid)
    screen.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _print_fields(heads: list[str], cells: list[list[str]], out: IO[str], width: int) -> None:
    indent = max(len(head) for head in heads) + 2
    for number, row in enumerate(cells, 1):
        out.write(f"--- {number}\n")
        for head, text in zip(heads, row, strict=True):
            for line in textwrap.wrap(text, max(NARROWEST, width - indent)) or [""]:
                out.write(f"{head:{indent}}{line}".rstrip() + "\n")
                head = ""  # noqa: PLW2901 (only the first line names the field)


# --- for machines ----------------------------------------------------------------------------------------------------

json_text = formats.json_text


def json_rows(columns: Sequence[str], rows: Iterable[Row], out: IO[str] | None = None) -> None:
    formats.json_rows(columns, rows, out or sys.stdout)


def csv_rows(columns: Sequence[str], rows: Iterable[Row], out: IO[str]) -> None:
    formats.csv_rows(columns, rows, out, clean if out.isatty() else str)


def rows(columns: Sequence[str], values: Iterable[Row], format_: Format) -> None:
    """The answer of a command on stdout."""
    if format_ is Format.JSON:
        json_rows(columns, values)
    else:
        table(columns, values)


# --- beside the answer -----------------------------------------------------------------------------------------------


def note(text: str) -> None:
    """One line on stderr, beside the answer."""
    sys.stdout.flush()
    sys.stderr.write(f"{clean(text)}\n")
    sys.stderr.flush()


def problem(text: str) -> None:
    """`runlake: …` on stderr. Lines of a message stay lines: a caret must stand below what it points at."""
    lines = [clean(line) if line.strip() else "" for line in text.splitlines()] or [""]
    sys.stdout.flush()
    sys.stderr.write("\n".join([f"runlake: {lines[0]}", *lines[1:]]) + "\n")
    sys.stderr.flush()
