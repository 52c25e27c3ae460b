"""What can happen to the ledger's files under a running daemon, and before its start."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
from collections.abc import Callable
from datetime import timedelta

import duckdb

from cli.conftest import run
from runlake.store import published_path

from .conftest import WITHIN, Account, Gate, Running, configure, until

Begin = Callable[..., Running]


def begun(account: Account, begin: Begin) -> Running:
    """A daemon that has published its first sync."""
    configure(account.folder, account.table("clerk"))
    daemon = begin()
    daemon.wait_for("source.synced", outcome="ok")
    daemon.wait_for("ledger.published")
    return daemon


def down(daemon: Running) -> str:
    """What it says when the ledger refuses; readers have their copy all the same."""
    error = str(daemon.wait_for("ledger.down")["error"])
    assert daemon.get("/readyz").status_code == 503
    assert daemon.get("/healthz").status_code == 200
    assert daemon.metric("runlake_ledger_up") == {"": 0}
    assert daemon.control("GET", "/status").json()["ledger_error"]
    assert daemon.published("SELECT count(*) > 0 FROM runs") == [(True,)]
    return error


def recovered(daemon: Running) -> None:
    daemon.wait_for("ledger.recovered")
    row = daemon.control("POST", "/sync", json={"source": "clerk"}).json()["row"]
    assert row["outcome"] == "ok"
    assert daemon.get("/readyz").status_code == 200
    assert len(daemon.said("ledger.down")) == len(daemon.said("ledger.recovered")) == 1
    assert daemon.said("source.down") == []
    assert daemon.end()[0] == 0


def runs(daemon: Running) -> set[str]:
    with duckdb.connect(str(daemon.database), read_only=True) as con:
        assert con.execute("SELECT count(*) - count(DISTINCT run_key) FROM rl.runs").fetchall() == [(0,)]
        return {key for (key,) in con.execute("SELECT run_key::VARCHAR FROM rl.runs").fetchall()}


def test_a_full_disk_is_told_once_and_gone_on_from_by_itself(account: Account, begin: Begin) -> None:
    daemon = begun(account, begin)
    known = set(daemon.published("SELECT run_key::VARCHAR FROM runs"))
    limits = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
    # As a full disk does, this lets no file grow any more.
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (1024, limits[1]))
    error = down(daemon)
    assert "the disk is full; nothing acknowledged is lost" in error
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, limits)
    recovered(daemon)
    assert {(key,) for key in runs(daemon)} >= known


def test_a_ledger_that_is_taken_away_and_brought_back(account: Account, begin: Begin) -> None:
    daemon = begun(account, begin)
    aside = account.folder / "aside"
    aside.mkdir()
    for file in account.folder.glob("runlake.duckdb*"):
        if file.is_file():
            file.rename(aside / file.name)
    assert f"runlake restore {published_path(daemon.database)}" in down(daemon)
    for file in aside.iterdir():
        file.rename(account.folder / file.name)
    recovered(daemon)


def test_a_ledger_that_is_replaced_is_gone_on_with(account: Account, begin: Begin) -> None:
    configure(account.folder, account.table("clerk"))
    first = begun(account, begin)
    assert first.end()[0] == 0
    backup = account.folder / "backup"
    shutil.copyfile(first.database, backup)
    daemon = begin()
    daemon.wait_for("daemon.started")
    backup.replace(daemon.database)
    assert "was replaced by another file" in down(daemon)
    recovered(daemon)
    assert runs(daemon)


def test_a_ledger_replaced_by_an_older_one_lacks_nothing_of_what_came_since(account: Account, begin: Begin) -> None:
    folder = account.folder
    configure(folder, account.table("clerk"), account.table("esper"))
    daemon = begin()
    for vendor in ("clerk", "esper"):
        daemon.wait_for("source.synced", source=vendor)
    backup = folder / "backup"
    assert run("backup", str(backup), cwd=folder).code == 0
    account.emulator.clock.advance(timedelta(hours=8))
    for vendor in ("clerk", "esper"):
        assert daemon.control("POST", "/sync", json={"source": vendor}).json()["row"]["outcome"] == "ok"
    known = daemon.metric('runlake_new_runs_total{source="clerk"}')[""]
    account.stage.scene = gate = Gate(account.emulator, requests=0, only="/clerk")
    assert gate.reached.wait(WITHIN)
    # As `runlake restore` does: the log of what is no more in the file goes with it.
    daemon.database.with_name("runlake.duckdb.wal").unlink(missing_ok=True)
    backup.replace(daemon.database)
    daemon.wait_for("ledger.recovered")
    gate.open()
    account.stage.scene = account.emulator
    assert daemon.control("POST", "/sync", json={"source": "clerk"}).json()["row"]["outcome"] == "ok"
    assert daemon.end()[0] == 0
    assert daemon.published("SELECT count(*) FROM runs WHERE source = 'clerk'") >= [(known,)]


def test_a_damaged_ledger_is_not_started_on_and_what_helps_is_said(account: Account, begin: Begin) -> None:
    first = begun(account, begin)
    assert first.end()[0] == 0
    before = first.database.read_bytes()
    first.database.write_bytes(os.urandom(5000) + before[5000:])
    damaged = first.database.read_bytes()
    second = begin()
    assert second.end(None)[0] == 3
    assert f"runlake restore {published_path(first.database)}" in second.text
    assert "Traceback" not in second.text
    assert first.database.read_bytes() == damaged
    first.database.unlink()
    third = begin()
    assert third.end(None)[0] == 3
    assert "runlake restore" in third.text
    assert not first.database.exists()


def test_a_published_copy_that_was_deleted_comes_again(account: Account, begin: Begin) -> None:
    daemon = begun(account, begin)
    published_path(daemon.database).unlink()
    until(published_path(daemon.database).exists, "new copy")
    assert daemon.end()[0] == 0
    assert daemon.published("SELECT count(*) > 0 FROM runs") == [(True,)]


def _bound_by_modes() -> None:
    """Takes from root the right to write anywhere (capability 1 out of the bounding set)."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def test_a_folder_that_cannot_be_written_to_is_told_in_one_line(account: Account, begin: Begin) -> None:
    configure(account.folder, account.table("clerk"))
    account.folder.chmod(0o555)
    daemon = begin(preexec_fn=_bound_by_modes)
    assert daemon.end(None)[0] == 3
    [line] = daemon.lines
    assert "permission denied" in line.lower()
    account.folder.chmod(0o755)
