"""`runlake sql`: one reading statement on the published copy, in four formats."""

from __future__ import annotations

import csv
import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from .conftest import Command, Vendors, configure, run, start


@pytest.fixture(scope="module")
def synced(shared_vendors: Vendors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ledger of two sources, for tests that only read it."""
    folder = tmp_path_factory.mktemp("synced")
    configure(folder, shared_vendors.table("clarifeye", folder), shared_vendors.table("truestate", folder))
    assert run("sync", cwd=folder).code == 0
    return folder


@pytest.fixture
def ledger(synced: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The shared folder to read, from an empty one to write to."""
    monkeypatch.setenv("RUNLAKE_CONFIG", str(synced / "runlake.toml"))
    yield project


def test_an_answer_says_as_of_when_it_is_beside_the_rows(ledger: Path, runlake: Command) -> None:
    done = runlake("sql", "SELECT source, count(*) > 0 AS any FROM runs GROUP BY source ORDER BY source")
    assert done.out == "source     any\nclarifeye  yes\ntruestate  yes\n"
    assert re.fullmatch(r"as of 20\d\d-\d\d-\d\d \d\d:\d\d XST \(2 sources seen through .*\)\n", done.err)


def test_the_same_rows_as_json_csv_and_parquet(ledger: Path, runlake: Command) -> None:
    query = "SELECT 1 AS n, '=x' AS t, TIMESTAMPTZ '2026-07-13 09:00:00+00' AS at, NULL AS nothing, 2 AS n"
    assert runlake("sql", query, "--format", "json").json() == [
        {"n": 1, "t": "=x", "at": "2026-07-13T09:00:00Z", "nothing": None, "n_1": 2}
    ]
    rows = list(csv.reader(io.StringIO(runlake("sql", query, "--format", "csv").out)))
    assert rows == [["n", "t", "at", "nothing", "n_1"], ["1", "'=x", "2026-07-13T09:00:00Z", "", "2"]]
    done = runlake("sql", query, "--format", "parquet", "-o", "answer.parquet")
    assert (done.code, done.out) == (0, "")
    table = pq.read_table(ledger / "answer.parquet")
    assert table.column_names == ["n", "t", "at", "nothing", "n_1"]
    assert str(table.schema.field("at").type) == "timestamp[us, tz=UTC]"


def test_parquet_goes_to_a_pipe_but_not_to_a_terminal(ledger: Path) -> None:
    with (ledger / "piped").open("wb") as piped:
        process = start("sql", "SELECT 1 AS n", "--format", "parquet", cwd=ledger, stdout=piped)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert pq.read_table(ledger / "piped").to_pylist() == [{"n": 1}]
    ours, theirs = pty.openpty()
    process = start("sql", "SELECT 1 AS n", "--format", "parquet", cwd=ledger, stdout=theirs)
    os.close(theirs)
    _, err = process.communicate(timeout=30)
    os.close(ours)
    assert (process.returncode, err) == (2, "runlake: parquet is for files: add -o FILE, or redirect the output\n")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("selec 1", r"runlake: Parser Error: .*\nLINE 1: selec 1\n {8}\^+\n"),
        ("SELECT nope FROM runs", r"runlake: Binder Error: .*\nLINE 1: SELECT nope FROM runs\n {15}\^+\n"),
        ("SELECT 'x'::INTEGER", r"runlake: Conversion Error: .*\n(LINE 1: .*\n *\^+\n)?"),
        ("SELECT 1; SELECT 2", r"runlake: one statement at a time, please; these are 2\n"),
        (" -- nothing", r"runlake: the query is empty; .*\n"),
        ("DROP VIEW runs", r"runlake: this copy is read-only: SELECT works, DROP does not\n"),
        ("DELETE FROM runs", r"runlake: this copy is read-only: .*\n"),
        ("COPY runs TO 'x.csv'", r"runlake: this copy is read-only: .*\n"),
        ("ATTACH 'x.duckdb'", r"runlake: this copy is read-only: .*\n"),
        ("SET enable_external_access = true", r"runlake: this copy is read-only: .*\n"),
        ("SELECT * FROM read_csv('/etc/passwd')", r"runlake: Permission Error: .*\n(LINE 1: .*\n *\^+\n)?"),
        ("SELECT * FROM '/etc/passwd'", r"runlake: .*\n(LINE 1: .*\n *\^+\n)?"),
    ],
)
def test_what_is_wrong_with_a_query_is_told_in_its_own_words(
    ledger: Path, runlake: Command, query: str, told: str
) -> None:
    done = runlake("sql", query)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(told, done.err), done.err
    assert "passwd:" not in done.err


@pytest.mark.parametrize(
    "query",
    ["SHOW TABLES", "DESCRIBE runs", "FROM runs LIMIT 1", "EXPLAIN SELECT 1", "PIVOT runs ON status USING count(*)"],
)
def test_other_ways_to_read_work_too(ledger: Path, runlake: Command, query: str) -> None:
    assert runlake("sql", query).code == 0


def test_a_query_may_come_from_a_file(ledger: Path, runlake: Command) -> None:
    (ledger / "q.sql").write_text("SELECT 1 AS n\n-- done;\n")
    assert runlake("sql", "-f", "q.sql").out == "n\n1\n"
    assert runlake("sql", "-f", "none.sql").err == "runlake: cannot read none.sql: No such file or directory\n"
    for arguments in ((), ("SELECT 1", "-f", "q.sql")):
        done = runlake("sql", *arguments)
        assert done.code == 2
        assert done.err.startswith("runlake: give one query: ")


def test_an_output_file_appears_whole_or_not_at_all(ledger: Path, runlake: Command) -> None:
    (ledger / "answer.csv").write_text("the old answer")
    done = runlake(
        "sql",
        "SELECT i, CASE WHEN i = 50000 THEN error('late') END AS e FROM range(60000) t(i)",
        "--format",
        "csv",
        "-o",
        "answer.csv",
    )
    assert done.code == 2
    assert (ledger / "answer.csv").read_text() == "the old answer"
    assert [file.name for file in ledger.iterdir()] == ["answer.csv"]
    assert runlake("sql", "SELECT 1 AS n", "--format", "csv", "-o", "answer.csv").code == 0
    assert (ledger / "answer.csv").read_text() == "n\n1\n"
    assert runlake("sql", "SELECT 1 AS n", "-o", "no/where").err.startswith("runlake: cannot write no/where: ")


def test_a_long_table_is_cut_and_says_so(ledger: Path, runlake: Command) -> None:
    done = runlake("sql", "SELECT i FROM range(2000) t(i)")
    assert len(done.out.splitlines()) == 1001
    assert done.err.startswith("only the first 1000 rows are shown; --format csv writes all\n")
    assert len(runlake("sql", "SELECT i FROM range(2000) t(i)", "--format", "csv").out.splitlines()) == 2001


def test_a_reader_that_has_seen_enough_is_no_error(ledger: Path) -> None:
    process = start("sql", "SELECT i, repeat('x', 100) FROM range(100000) t(i)", "--format", "csv", cwd=ledger)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("format_", ["table", "json", "csv", "parquet"])
def test_output_that_cannot_be_written_is_told_in_one_line(ledger: Path, format_: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = run("sql", "SELECT i FROM range(3) t(i)", "--format", format_, cwd=ledger, stdout=full)
    assert (done.code, done.err.splitlines()[-1]) == (
        2,
        "runlake: the output cannot be written: No space left on device",
    )
    assert "Traceback" not in done.err


def test_a_closed_output_is_no_error(ledger: Path) -> None:
    command = [sys.executable, "-m", "runlake", "sql", "SELECT 1 AS n"]
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command], cwd=ledger, check=False, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr


def test_without_a_published_copy_it_says_how_to_get_one(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project))
    done = runlake("sql", "FROM runs")
    assert done.code == 3
    assert re.fullmatch(r"runlake: there is no published copy at .*; `runlake sync` makes one\n", done.err)


def test_a_damaged_copy_is_told_in_one_line(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project))
    (project / "ledger.published.duckdb").write_bytes(b"garbage" * 3000)
    done = runlake("sql", "FROM runs")
    assert done.code == 3
    assert re.fullmatch(r"runlake: .*ledger\.published\.duckdb is damaged .*\n", done.err)


def test_vendor_text_cannot_steer_the_terminal(ledger: Path, runlake: Command) -> None:
    hostile = "SELECT chr(27) || '[2J' || chr(8238) || '[bold]x' AS t, '=cmd()' AS f"
    done = runlake("sql", hostile)
    assert done.out == "t        f\n[bold]x  =cmd()\n"
