"""`runlake report`, as typed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from cli.conftest import Command, runlake
from runlake.store.query import Reader

from . import seeded

__all__ = ["runlake"]

CONFIG = 'database = "ledger.duckdb"\n[[owner]]\nname = "data"\npipelines = ["[!c]*"]\n'
WEEK = ("report", "--week", seeded.WEEK, "--tz", "Europe/Berlin")


@pytest.fixture
def project(ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the ledger of thirteen weeks is the config's."""
    for file in ledger.parent.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "runlake.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUNLAKE_CONFIG", raising=False)
    return tmp_path


def test_it_is_text_on_a_terminal_with_its_freshness_beside_it(project: Path, runlake: Command) -> None:
    done = runlake(*WEEK)
    assert done.code == 0
    assert done.out.startswith("Runs of 2026-W46\n")
    assert "About the same" in done.out
    assert done.err.startswith("as of 2026-11-18")
    assert max(map(len, done.out.splitlines())) <= 100


def test_its_format_is_that_of_the_file_it_goes_to(project: Path, runlake: Command) -> None:
    done = runlake(*WEEK, "--output", "week.json", "--source", "etl", "--owner", "data", "--label", "team=e*")
    assert (done.code, done.out) == (0, "")
    assert json.loads(Path("week.json").read_text())["scope"] == {"source": "etl", "owner": "data", "label": "team=e*"}
    assert {file.name for file in project.iterdir()} == {
        *("ledger.duckdb", "ledger.published.duckdb", "runlake.toml", "week.json")
    }


def test_it_is_as_known_six_hours_after_the_week_unless_told_otherwise(project: Path, runlake: Command) -> None:
    usual = runlake(*WEEK).out
    assert runlake(*WEEK, "--known-at", "2026-11-16T06:00+01:00").out == usual
    assert "As known at Wed 18 Nov 13:00" in runlake(*WEEK, "--known-at", "now").out


def test_a_page_is_not_for_a_terminal(project: Path, runlake: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout.__class__, "isatty", lambda self: True, raising=False)
    done = runlake(*WEEK, "--format", "html")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "runlake: a page is for a browser: add --output report.html, or --format text to read it here\n"
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--week", "47"], "'47' is no week"),
        (["--tz", "Berlin"], "--tz: there is no time zone 'Berlin'"),
        (["--tz", "../etc"], "--tz: there is no time zone '../etc'"),
        (["--tz", "localtime"], "--tz: there is no time zone 'localtime'"),
        (["--known-at", "monday"], "--known-at monday: write an instant"),
        (["--label", "team"], "--label team: write LABEL=PATTERN"),
        (["--label", "a=1", "--label", "a=2"], "--label a=2: a is given twice"),
        (["--output", "report"], "--output report: add --format"),
        (["--output", "no/report.txt"], "cannot write no/report.txt"),
        (["--source", "elt"], "no source 'elt' in the ledger; there is etl"),
        (["--owner", "date"], "no owner 'date'; there is data"),
    ],
)
def test_a_slip_is_one_line(project: Path, runlake: Command, given: list[str], told: str) -> None:
    done = runlake("report", *given)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"runlake: {told}")
    assert done.err.count("\n") == 1


def test_a_copy_that_knows_no_metrics_is_said_to_be_old(project: Path, runlake: Command) -> None:
    import duckdb

    with duckdb.connect(str(project / "ledger.published.duckdb")) as con:
        con.execute("DROP MACRO TABLE runs_at")
    done = runlake(*WEEK)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("runlake: an older runlake made the published copy; restart its daemon")
    with Reader(project / "ledger.duckdb") as reader:
        assert reader.freshness().as_of == seeded.AS_OF
