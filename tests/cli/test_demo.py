"""`runlake demo`, on a shorter history than people see."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runlake import demo
from runlake.cli import demonstrate

from .conftest import Command


def test_the_demo_tells_its_story_and_leaves_its_ledger(
    project: Path, runlake: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "HISTORY", timedelta(days=2))
    done = runlake("demo")
    assert done.code == 0, done.err
    assert done.out.startswith("Everything here is simulated: ")
    for vendor in ("clinia", "clerk", "truestate", "clarifeye", "esper", "airflow"):
        assert done.out.count(f"\n{vendor} ") >= 2, vendor
    assert {"finished", "reran", "vanished"} <= set(done.out.split())
    letters = r"clarifeye/discharge-letters failed\n"
    [failed, again, recovered] = re.findall(r"it (?:fails again|fails|recovers):.*\n(?:   \|.*\n)*", done.out)
    assert re.search(rf"\| CRITICAL {letters}", failed)
    assert "|" not in again
    assert re.search(rf"\| RESOLVED {letters}", recovered)
    assert re.search(r"The report on the last three days, as a page to open: demo/report.html\n\n   \| ", done.out)
    assert (project / "demo" / "report.html").read_text().count("<svg") >= 3
    assert runlake("-c", "demo/runlake.toml", "status").code == 0
    [told] = runlake(
        "-c", "demo/runlake.toml", "sql", "--format", "json",
        "SELECT count(*) FILTER (vanished_at IS NOT NULL) AS gone, count(DISTINCT source) AS sources FROM runs",
    ).json()  # fmt: skip
    assert told["sources"] == 6
    assert told["gone"] >= 1


def test_what_the_demo_says_to_type_next_is_where_it_was_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.argv", [".venv/bin/runlake", "demo"])
    assert demonstrate._command() == ".venv/bin/runlake"
    monkeypatch.setattr("sys.argv", ["/somewhere/runlake/__main__.py", "demo"])
    assert demonstrate._command() == "runlake"


def test_the_demo_leaves_other_peoples_folders_alone(project: Path, runlake: Command) -> None:
    (project / "demo").mkdir()
    (project / "demo" / "thesis.txt").write_text("mine")
    done = runlake("demo")
    assert (done.code, done.out.count("\n")) == (2, 2)
    assert done.err == "runlake: demo holds something that is not a demo; name another with --folder\n"
    assert [file.name for file in (project / "demo").iterdir()] == ["thesis.txt"]


def test_a_demos_folder_may_be_used_again(tmp_path: Path) -> None:
    demo.claim(tmp_path / "d")
    (tmp_path / "d" / "runlake.duckdb").write_bytes(b"old")
    (tmp_path / "d" / "notes.txt").write_text("kept")
    demo.claim(tmp_path / "d")
    assert {file.name for file in (tmp_path / "d").iterdir()} == {demo.MARK, "secrets", "notes.txt"}


@pytest.mark.parametrize("hour", [0, 7, 15])
def test_the_day_of_the_demo_has_what_it_promises(hour: int) -> None:
    start = datetime(2026, 7, 13, hour, tzinfo=UTC)
    seed, trouble = demo._eventful(start)
    assert 0 <= seed < demo.SEEDS
    assert start < trouble[0] < trouble[1] < trouble[2] < start + demo.PASSES
