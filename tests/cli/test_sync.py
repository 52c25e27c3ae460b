"""The commands that write: what they show, what they leave behind, and how they end when something is wrong."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from runlake.cli import once
from runlake.emulator import Fault, Faults
from runlake.sync import Network

from .conftest import Command, Vendors, configure, run, start
from .daemons import ANYWHERE, polling


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""

    async def at_once(seconds: float) -> None:
        return None

    monkeypatch.setattr(once, "Network", partial(Network, sleep=at_once))


def test_a_sync_shows_a_row_for_each_source_and_publishes(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project), vendors.table("truestate", project))
    done = runlake("sync")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["source", "outcome", "new", "changed", "open", "unknown", "requests", "seconds"]
    assert [line.split()[:2] for line in lines[1:]] == [["clarifeye", "ok"], ["truestate", "ok"]]
    assert int(lines[1].split()[2]) == len([r for r in vendors.emulator.truth("clarifeye") if r.visible])
    assert re.search(r"^clarifeye: ok, \d+ runs seen, \d+ new, 0 changed, \d+ requests, \d+\.\d s$", done.err, re.M)
    assert (project / "ledger.published.duckdb").exists()


def test_the_same_rows_for_machines_with_more_columns(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project))
    [row] = runlake("sync", "--format", "json").json()
    assert row["source"], row["outcome"] == ("clarifeye", "ok")
    assert row["observed_through"].endswith("Z")
    assert row["error"] is None
    [again] = runlake("sync", "clarifeye", "--format", "json").json()
    assert (again["new"], again["changed"]) == (0, 0)


def test_a_source_that_fails_stops_no_other_and_is_told_in_one_line(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    configure(project, vendors.table("clarifeye", project), vendors.table("truestate", project))
    (project / "clarifeye-token").write_text("revoked")
    done = runlake("sync")
    assert done.code == 1
    assert [line.split()[:2] for line in done.out.splitlines()[1:]] == [["clarifeye", "failed"], ["truestate", "ok"]]
    assert re.search(r"^runlake: source clarifeye: GET /clarifeye/projects/\S+: HTTP 401", done.err, re.M)
    assert f"renew token (file {project}/clarifeye-token) of source clarifeye" in done.err
    assert "revoked" not in done.err


def test_an_unset_secret_fails_its_source_alone(
    project: Path, vendors: Vendors, runlake: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    table = re.sub(r"token = .*", 'token = { env = "NO_SUCH_TOKEN" }', vendors.table("clarifeye", project))
    configure(project, table, vendors.table("truestate", project))
    done = runlake("sync")
    assert done.code == 1
    assert "runlake: source clarifeye: environment variable NO_SUCH_TOKEN is not set" in done.err
    assert [line.split()[1] for line in done.out.splitlines()[1:]] == ["failed", "ok"]


def test_a_host_that_is_not_there_is_named(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project, base_url="http://127.0.0.1:9"))
    done = runlake("sync")
    assert done.code == 1
    assert re.search(r"^runlake: source clarifeye: cannot reach http://127\.0\.0\.1:9: ", done.err, re.M)


def test_a_bug_of_ours_in_one_source_lets_the_others_finish(
    project: Path, vendors: Vendors, monkeypatch: pytest.MonkeyPatch, runlake: Command
) -> None:
    from runlake.connectors.clarifeye import Clarifeye

    configure(project, vendors.table("clarifeye", project), vendors.table("truestate", project))
    monkeypatch.setattr(Clarifeye, "feeds", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runlake("sync")
    found = runlake("sql", "SELECT DISTINCT source FROM runs", "--format", "csv")
    assert found.out == "source\ntruestate\n"


def test_unknown_sources_and_an_empty_config_are_the_users_mistake(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    configure(project)
    done = runlake("sync")
    assert (done.code, done.out) == (2, "")
    assert done.err == "runlake: runlake.toml names no source; add a [[source]] table; `runlake init` shows how\n"
    configure(project, vendors.table("clarifeye", project))
    done = runlake("sync", "clarifey")
    assert (done.code, done.err) == (2, "runlake: no source 'clarifey' in the config; there is clarifeye\n")


def test_bad_toml_is_told_with_line_and_column(project: Path) -> None:
    (project / "runlake.toml").write_text('database = "ledger.duckdb"\n[[source]]\nname = airflow\n')
    done = run("sync", cwd=project)
    assert done.code == 2
    assert re.fullmatch(r"runlake: runlake\.toml: .*\(at line 3, column \d+\)\n", done.err)


def test_a_ledger_held_by_another_process_is_told_in_one_line(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    configure(project, vendors.table("clarifeye", project))
    assert runlake("sync").code == 0
    with holding(project / "ledger.duckdb"):
        done = run("sync", cwd=project)
        assert done.code == 3
        assert re.fullmatch(r"runlake: \S*ledger\.duckdb is in use by process \d+ .*\n", done.err)
        assert runlake("sql", "SELECT count(*) AS n FROM runs").code == 0  # readers do not mind
        assert runlake("status").code == 0


class holding:
    """A ledger opened for writing by another process."""

    def __init__(self, path: Path) -> None:
        code = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('held', flush=True); sys.stdin.read()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def test_a_damaged_ledger_is_told_in_one_line_and_left_alone(project: Path, vendors: Vendors) -> None:
    configure(project, vendors.table("clarifeye", project))
    (project / "ledger.duckdb").write_bytes(b"not a database" * 1000)
    done = run("sync", cwd=project)
    assert done.code == 3
    assert re.fullmatch(r"runlake: \S*ledger\.duckdb is damaged or not a DuckDB file; .*\n", done.err)
    assert (project / "ledger.duckdb").read_bytes() == b"not a database" * 1000


def test_a_missing_folder_of_the_database_is_told(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project))
    config = project / "runlake.toml"
    config.write_text(config.read_text().replace("ledger.duckdb", "nowhere/ledger.duckdb"))
    done = runlake("sync")
    assert done.code == 3
    assert done.err.startswith("runlake: cannot open ")
    assert "check the folder of `database`" in done.err


def test_a_full_disk_ends_in_one_line_and_loses_nothing(project: Path, vendors: Vendors) -> None:
    configure(project, vendors.table("clarifeye", project))
    assert run("sync", cwd=project).code == 0
    before = (project / "ledger.published.duckdb").read_bytes()
    configure(project, vendors.table("clarifeye", project), vendors.table("truestate", project))
    # Stands for a full disk: no file of the process may grow beyond this.
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    done = run("sync", cwd=project, preexec_fn=limit)
    assert done.code == 3
    assert re.fullmatch(r"runlake: .*: the disk is full; .*", done.err.splitlines()[-1])
    assert "Traceback" not in done.err
    assert (project / "ledger.published.duckdb").read_bytes() == before
    assert run("sync", cwd=project).code == 0
    query = "SELECT source, count(*) AS n, count(DISTINCT run_key) AS keys FROM runs GROUP BY source ORDER BY source"
    stored = run("sql", query, "--format", "json", cwd=project).json()
    expected = {
        name: len([r for r in vendors.emulator.truth(name) if r.visible]) for name in ("clarifeye", "truestate")
    }
    assert {row["source"]: row["n"] for row in stored} == {row["source"]: row["keys"] for row in stored} == expected


def test_ctrl_c_keeps_what_was_read(project: Path, vendors: Vendors) -> None:
    configure(project, vendors.table("clarifeye", project), vendors.table("esper", project))
    vendors.emulator.esper.faults = Faults(kinds={Fault.TIMEOUT}, timeout_s=60)
    process = start("sync", cwd=project)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("clarifeye: ok")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "runlake: interrupted; what was read is kept\n"
    outcomes = run("sql", "SELECT source, last_outcome FROM source_health ORDER BY 1", "--format", "csv", cwd=project)
    assert outcomes.out.splitlines()[1:] == ["clarifeye,ok", "esper,interrupted"]


def test_a_backfill_reads_what_the_first_sync_left_out(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project, more='history = "1d"'))
    runlake("sync")
    done = runlake("backfill", "clarifeye", "--since", f"{vendors.emulator.world.start:%Y-%m-%d}", "--format", "json")
    [row] = done.json()
    assert (done.code, row["outcome"]) == (0, "ok")
    assert row["new"] > 0
    [count] = runlake("sql", "SELECT count(*) AS n FROM runs", "--format", "json").json()
    assert count["n"] == len([run for run in vendors.emulator.truth("clarifeye") if run.visible])


@pytest.mark.parametrize(
    ("since", "told"),
    [
        ("2026-11-31", "write a date such as 2026-01-31"),
        ("tomorrow", "write a date such as 2026-01-31"),
        ("2026-01-31T09:00:00", "add the offset from UTC"),
        ("0001-01-01T00:00:00+14:00", "write a date such as 2026-01-31"),
        ("2999-01-01", "is in the future"),
    ],
)
def test_a_bad_date_is_told_in_one_line(
    project: Path, vendors: Vendors, runlake: Command, since: str, told: str
) -> None:
    configure(project, vendors.table("clarifeye", project))
    done = runlake("backfill", "clarifeye", "--since", since)
    assert done.code == 2
    assert re.fullmatch(rf"runlake: --since {re.escape(since)}.*{re.escape(told)}.*\n", done.err)
    assert not (project / "ledger.duckdb").exists()


def test_where_there_is_no_list_a_backfill_says_what_works(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clinia", project))
    done = runlake("backfill", "clinia", "--since", "2026-01-01")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "`runlake track`" in done.err


def test_tracked_runs_are_read_at_once(project: Path, vendors: Vendors, runlake: Command) -> None:
    table = re.sub(r"tasks = .*", "", vendors.table("clinia", project))
    configure(project, table)
    task = vendors.emulator.tasks()[0]
    done = runlake("track", "clinia", f"task:{task}", "--format", "json")
    assert done.code == 0
    assert done.json() == [{"ref": f"task:{task}", "result": "looked up; asked again at the next sync", "error": None}]
    [count] = runlake("sql", "SELECT count(*) AS n FROM runs", "--format", "json").json()
    assert count["n"] > 0


def test_tracking_what_is_not_there_fails(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, re.sub(r"tasks = .*", "", vendors.table("clinia", project)))
    done = runlake("track", "clinia", "task:bk_nothing")
    assert done.code == 1
    assert done.out.splitlines()[1].split()[:3] == ["task:bk_nothing", "not", "found"]


def test_tracking_is_refused_where_runs_are_listed(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("esper", project))
    done = runlake("track", "esper", "x")
    assert (done.code, done.err) == (
        2,
        "runlake: connector esper finds its runs in the vendor's list; there is nothing to track\n",
    )


def test_coverage_compares_pipeline_by_pipeline(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project), vendors.table("clinia", project))
    runlake("sync", "clarifeye")
    done = runlake("coverage", "--format", "json")
    assert done.code == 0
    assert {row["source"] for row in done.json()} == {"clarifeye"}
    assert all(row["expected"] == row["stored"] and row["missing"] == 0 for row in done.json())
    assert "source clinia: its vendor documents no list to compare with" in done.err


@pytest.mark.parametrize("daemon", [False, True])
def test_a_remap_can_be_tried_before_it_is_done(
    project: Path, vendors: Vendors, runlake: Command, daemon: bool
) -> None:
    configure(project, ANYWHERE, vendors.table("clarifeye", project))
    with polling(project) if daemon else nullcontext():
        assert runlake("sync").code == 0
        configure(project, ANYWHERE, vendors.table("clarifeye", project, more='statuses = { completed = "skipped" }'))
        skipped = "SELECT count(*) AS n FROM runs WHERE status = 'skipped'"
        tried = runlake("remap", "--dry-run", "--format", "json")
        [change] = tried.json()
        assert (change["before"], change["after"]) == ("succeeded", "skipped")
        assert "nothing was changed" in tried.err
        assert runlake("sql", skipped, "--format", "json").json() == [{"n": 0}]
        assert runlake("remap").code == 0
        assert runlake("sql", skipped, "--format", "json").json() == [{"n": change["rows"]}]
        assert "nothing changes" in runlake("remap").err


def test_secrets_are_in_no_file_that_a_sync_leaves(project: Path, vendors: Vendors, runlake: Command) -> None:
    secrets = project / "elsewhere"
    secrets.mkdir()
    configure(project, *(vendors.table(name, secrets) for name in ("clarifeye", "airflow")))
    done = runlake("sync")
    values = [file.read_bytes() for file in secrets.iterdir()]
    written = [file.read_bytes() for file in project.iterdir() if file.is_file()] + [(done.out + done.err).encode()]
    assert values
    assert not [value for value in values for content in written if value in content]
