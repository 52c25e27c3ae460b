"""`backup`, `restore` and `rebuild`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runlake.store.database import connect

from .conftest import Command, Vendors, configure
from .daemons import polling


@pytest.fixture
def synced(project: Path, vendors: Vendors, runlake: Command) -> Path:
    """A ledger of one source, synced and published."""
    configure(project, vendors.table("truestate", project))
    assert runlake("sync").code == 0
    return project / "ledger.duckdb"


def runs(runlake: Command) -> int:
    [row] = runlake("sql", "SELECT count(*) AS runs FROM runs", "--format", "json").json()
    return int(row["runs"])


def test_a_backup_is_restored_and_readers_see_it(synced: Path, runlake: Command) -> None:
    stored = runs(runlake)
    done = runlake("backup", "kept.duckdb")
    assert (done.code, done.out) == (0, "")
    assert "kept.duckdb: the whole ledger, " in done.err
    con = connect(synced)
    con.execute("DELETE FROM rl.runs")
    con.close()
    runlake("remap")
    assert runs(runlake) == 0
    done = runlake("restore", "kept.duckdb", "--format", "json")
    assert done.code == 0
    [row] = done.json()
    assert (row["source"], row["runs"]) == ("truestate", stored)
    assert row["observed_through"] and row["newest_run"]
    [kept] = synced.parent.glob("ledger.duckdb.before-restore-*")
    assert f"the ledger before it is kept as {kept}" in done.err
    assert runs(runlake) == stored
    assert runlake("sync").code == 0


def test_a_lost_ledger_is_not_begun_anew_over_its_published_copy(synced: Path, runlake: Command) -> None:
    stored = runs(runlake)
    synced.unlink()
    for command in (["sync"], ["remap"]):
        done = runlake(*command)
        assert (done.code, done.err.count("\n")) == (3, 1)
        assert "`runlake restore ledger.published.duckdb` takes the published copy" in done.err
    assert runlake("restore", "ledger.published.duckdb").code == 0
    assert runs(runlake) == stored


def test_rebuild_says_what_differs_before_it_changes_it(synced: Path, runlake: Command) -> None:
    stored = runs(runlake)
    done = runlake("rebuild")
    assert done.code == 0
    assert "nothing changes" in done.err
    con = connect(synced)
    con.execute("DELETE FROM rl.runs WHERE run_key = (SELECT min(run_key) FROM rl.runs)")
    con.close()
    told = [{"table": "runs", "added": 1, "changed": 0, "removed": 0}]
    done = runlake("rebuild", "--dry-run", "--format", "json")
    assert (done.code, json.loads(done.out)[:1]) == (0, told)
    assert "without --dry-run it will be" in done.err
    assert json.loads(runlake("rebuild", "--format", "json").out)[:1] == told
    assert runs(runlake) == stored
    assert "nothing changes" in runlake("rebuild").err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["backup", "runlake.toml"], 2, "is no copy of a ledger, so it is not overwritten"),
        (["backup", "ledger.duckdb"], 2, "is the ledger itself"),
        (["backup", "nowhere/kept.duckdb"], 2, "nowhere for the backup"),
        (["restore", "none.duckdb"], 2, "there is no file none.duckdb"),
        (["restore", "runlake.toml"], 3, "runlake.toml is damaged or not a DuckDB file"),
    ],
)
def test_a_slip_is_one_line_and_changes_nothing(
    synced: Path, runlake: Command, arguments: list[str], code: int, told: str
) -> None:
    before = {file.name: file.read_bytes() for file in synced.parent.iterdir()}
    done = runlake(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert told in done.err
    assert {file.name: file.read_bytes() for file in synced.parent.iterdir()} == before


def test_where_there_is_no_ledger_none_is_made(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("truestate", project))
    for command in (["backup", "kept.duckdb"], ["rebuild"]):
        done = runlake(*command)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "there is no ledger at" in done.err
    assert not list(project.glob("*.duckdb"))


def test_a_daemon_backs_up_and_rebuilds_the_ledger_that_it_holds(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    with polling(project, vendors.table("clarifeye", project)):
        kept = runlake("backup", "kept.duckdb")
        rebuilt = runlake("rebuild", "--format", "json")
        refused = runlake("backup", "runlake.toml")
    assert (kept.code, rebuilt.code, refused.code) == (0, 0, 2)
    assert all((row["added"], row["changed"], row["removed"]) == (0, 0, 0) for row in rebuilt.json())
    stored = runs(runlake)
    assert runlake("restore", "kept.duckdb").code == 0
    assert runs(runlake) == stored > 0
