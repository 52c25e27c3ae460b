"""`status` beside a daemon: what comes next, what goes on, who waits for what."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runlake.cli.running import Running
from runlake.cli.show import Format
from runlake.cli.status import status
from runlake.config import load

from .conftest import Command, Vendors, configure
from .daemons import ANYWHERE, polling


def test_status_tells_what_a_daemon_plans_for_each_source(project: Path, vendors: Vendors, runlake: Command) -> None:
    tables = vendors.table("esper", project), vendors.table("clarifeye", project, more='every = "7m"')
    with polling(project, *tables) as daemon:
        done = runlake("status")
        rows = {row["source"]: row for row in runlake("status", "--format", "json").json()}
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 100
    assert re.search(rf"^The daemon, process {daemon.process.pid}, runs since 20\S+ \d\d:\d\d XST$", done.out, re.M)
    assert re.search(r"^source +next_sync \(XST\) +next_reading.* +under_way +waiting$", done.out, re.M)
    assert re.search(r"^clarifeye +20\S+ \d\d:\d\d:\d\d ", done.out, re.M)
    row = rows["clarifeye"]
    assert row["daemon"]["pid"] == daemon.process.pid
    assert (row["daemon"]["ledger_error"], row["daemon"]["polling"]) == (None, True)
    assert datetime.fromisoformat(row["next_sync"]) > datetime.now(UTC)
    assert (row["under_way"], row["waiting"], row["down_since"], row["todo"]) == ([], {}, None, [])
    assert {"sources", "config"} & row["daemon"].keys() == set()


def test_without_a_daemon_status_says_nothing_of_one(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project))
    runlake("sync")
    assert "daemon" not in runlake("status").out
    [row] = runlake("status", "--format", "json").json()
    assert (row["daemon"], row["next_sync"], row["under_way"]) == (None, None, [])


def test_what_a_daemon_leaves_behind_is_no_daemon(project: Path, vendors: Vendors, runlake: Command) -> None:
    tables = ANYWHERE, vendors.table("clarifeye", project)
    configure(project, *tables)
    with polling(project) as daemon:
        daemon.kill()
        assert (project / "ledger.duckdb.sock").exists()
        assert "daemon" not in runlake("status").out
        with polling(project):
            assert "The daemon, process" in runlake("status").out


def test_a_schedule_is_also_told_in_its_own_zone(project: Path, vendors: Vendors, runlake: Command) -> None:
    with polling(project, vendors.table("clarifeye", project, more='cron = "30 6 1 7 * Asia/Kolkata"')):
        out = runlake("status").out
    [there] = re.findall(r"^  next sync by its schedule's clock: (.*)$", out, re.M)
    assert re.fullmatch(r"20\d\d-07-01 06:30 IST", there)
    assert re.search(rf"^clarifeye +{there[:10]} 02:00:00", out, re.M)  # XST is an hour ahead of UTC


def test_status_says_since_when_a_source_is_down(project: Path, vendors: Vendors, runlake: Command) -> None:
    table = vendors.table("clarifeye", project)
    (project / "clarifeye-token").write_text("revoked")
    with polling(project, table):
        out = runlake("status").out
        [row] = runlake("status", "--format", "json").json()
    assert re.search(r"^  down since 20\S+ \d\d:\d\d XST$", out, re.M)
    assert abs((datetime.fromisoformat(row["down_since"]) - datetime.now(UTC)).total_seconds()) < 60


def test_a_source_that_the_daemon_does_not_know_yet_is_said_to_wait_for_a_reload(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    tables = ANYWHERE, vendors.table("clarifeye", project)
    with polling(project, *tables[1:]):
        configure(project, *tables, vendors.table("esper", project))
        out = runlake("status").out
        assert re.search(r"^esper\n  → the daemon does not poll it yet: runlake reload$", out, re.M)
        assert runlake("reload").out == "esper is new\n"
        assert "runlake reload" not in runlake("status").out


def test_status_says_who_waits_for_what_and_what_the_ledger_says(
    project: Path, vendors: Vendors, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(project, vendors.table("clarifeye", project))
    now = datetime.now(UTC)
    told = {
        "pid": os.getpid(),
        "version": "9",
        "started_at": now,
        "as_of": None,
        "ledger_error": "the disk is \x1b[31mfull",
        "polling": False,
        "sources": {
            "clarifeye": {
                "next_sync_at": now,
                "next_follow_at": now,
                "under_way": ["backfill", "sync"],
                "waiting": {"open": 12, "steps": 3},
                "down_since": None,
                "failures": 0,
            }
        },
    }
    monkeypatch.setattr("runlake.cli.status.running", lambda _: Running.model_validate(told))
    config = load(Path("runlake.toml"))
    status(config.database, config.source, Format.TABLE)
    out = capsys.readouterr().out
    assert re.search(r"^clarifeye .* backfill, sync +12 open, 3 steps$", out, re.M)
    assert "\n  the ledger fails: the disk is full\n" in out
    assert max(map(len, out.splitlines())) <= 100
