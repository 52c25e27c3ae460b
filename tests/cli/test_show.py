"""What reaches a terminal, a spreadsheet and a machine."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from runlake.cli import show


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XST-1")
    monkeypatch.delenv("COLUMNS", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def shown(columns: list[str], *rows: list[object]) -> list[str]:
    out = io.StringIO()
    show.table(columns, rows, out)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("hostile", "safe"),
    [
        ("plain", "plain"),
        ("Zürich 日本", "Zürich 日本"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("a\x1bcb", "ab"),
        ("over\rwrite\nline\ttab", "over write line tab"),
        ("abc\u202ecod.exe", "abccod.exe"),
        ("\u2066isolated\u2069", "isolated"),
        ("half\ud800", "half"),
        ("bell\x07 nul\x00 del\x7f", "bell nul del"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_nothing_that_a_terminal_would_obey_is_left(hostile: str, safe: str) -> None:
    assert show.clean(hostile) == safe
    assert shown(["name"], [hostile]) == ["name", safe]


def test_markup_of_a_vendor_is_text() -> None:
    assert shown(["name"], ["[red]x[/red] :smile: [link=http://e]y[/link]"])[1].startswith("[red]x[/red] :smile: [link")


def test_a_table_fits_its_width_and_says_where_it_was_cut() -> None:
    lines = shown(["id", "error"], ["a" * 30, "b" * 300])
    assert max(map(len, lines)) == show.WIDTH
    assert lines[1].startswith("a" * 30 + "  b") and lines[1].endswith("…")


def test_columns_says_how_wide_output_to_a_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, shown(["id", "error"], ["a" * 30, "b" * 300]))) == 40


def test_rows_too_wide_for_a_table_become_lists_of_fields() -> None:
    lines = shown([f"column_{n:02}" for n in range(20)], list(range(20)), ["x" * 120, *range(19)])
    assert lines[:2] == ["--- 1", "column_00  0"]
    at = lines.index("--- 2")
    assert lines[at + 1 : at + 3] == [f"column_00  {'x' * 89}", f"           {'x' * 31}"]


def test_instants_are_in_the_readers_zone_which_the_head_names() -> None:
    assert shown(["at"], [datetime(2026, 7, 13, 9, tzinfo=UTC)]) == ["at (XST)", "2026-07-13 10:00:00"]


def test_an_instant_of_the_other_half_of_the_year_names_its_own_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    winter, summer = datetime(2026, 1, 13, 9, tzinfo=UTC), datetime(2026, 7, 13, 9, tzinfo=UTC)
    lines = shown(["at"], [winter], [summer])
    assert {line.rpartition(" ")[2] for line in lines[1:]} & {"CET", "CEST"}


def test_fractions_stand_below_each_other_and_nulls_are_dashes() -> None:
    assert shown(["n", "s"], [1.5, None], [2.0, "a"], [10.25, True]) == [
        "    n  s",
        " 1.50  -",
        " 2.00  a",
        "10.25  yes",
    ]


def test_no_rows_are_said_in_words() -> None:
    assert shown(["a"]) == ["no rows"]


def test_wide_characters_keep_columns_aligned() -> None:
    assert shown(["a", "b"], ["日本", 1], ["x", 2]) == ["a     b", "日本  1", "x     2"]


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(formula: str) -> None:
    out = io.StringIO()
    show.csv_rows([formula], [[formula], [-1], ["a=b"]], out)
    read = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert read == [[f"'{formula}"], [f"'{formula}"], ["-1"], ["a=b"]]


def test_json_loses_nothing_and_shows_nothing_that_a_terminal_obeys() -> None:
    hostile = "\x1b[31m \x9b \u202e \ud800 ü"
    out = io.StringIO()
    show.json_rows(["text"], [[hostile]], out)
    assert json.loads(out.getvalue()) == [{"text": hostile}]
    assert not {"\x1b", "\x9b", "\u202e", "\ud800"} & set(out.getvalue())
    assert "ü" in out.getvalue()


def test_json_says_instants_in_utc_and_has_no_nan() -> None:
    out = io.StringIO()
    row = [datetime(2026, 7, 13, 9, tzinfo=UTC), float("nan"), Decimal("1.5"), UUID(int=1), {"a": [1]}, b"\x01"]
    show.json_rows(["at", "nan", "decimal", "uuid", "map", "blob"], [row], out)
    assert json.loads(out.getvalue()) == [
        {
            "at": "2026-07-13T09:00:00Z",
            "nan": None,
            "decimal": 1.5,
            "uuid": "00000000-0000-0000-0000-000000000001",
            "map": {"a": [1]},
            "blob": "01",
        }
    ]


@pytest.mark.parametrize(
    ("zone", "instant", "text"),
    [
        ("EST5", "0001-01-01T00:00:00Z", "0001-01-01 00:00:00 UTC"),
        ("EST5", "9999-12-31T23:59:59Z", "9999-12-31 18:59:59"),
        ("XST-1", "9999-12-31T23:59:59Z", "9999-12-31 23:59:59 UTC"),
        ("XST-1", "0001-01-01T00:00:00Z", "0001-01-01 01:00:00"),
    ],
)
def test_an_instant_without_a_local_time_is_shown_in_utc(
    zone: str, instant: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        assert show.cell(datetime.fromisoformat(instant)) == text
    time.tzset()


def test_no_rows_are_an_empty_array() -> None:
    out = io.StringIO()
    show.json_rows(["a"], [], out)
    assert json.loads(out.getvalue()) == []


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_and_not_where_it_is_unwanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, plain = _Terminal(), _Terminal()
    show.table(["outcome"], [["failed"]], terminal)
    assert "\x1b[31m" in terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    show.table(["outcome"], [["failed"]], plain)
    assert "\x1b[31m" not in plain.getvalue()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert shown(["outcome"], ["failed"]) == ["outcome", "failed"]


def test_a_problem_keeps_the_line_of_its_caret(capsys: pytest.CaptureFixture[str]) -> None:
    show.problem("Parser Error: no\nLINE 1: selec\n        ^")
    assert capsys.readouterr().err == "runlake: Parser Error: no\nLINE 1: selec\n        ^\n"
