"""`export`: Parquet in folders, and CSV."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path

import duckdb
import polars
import pyarrow.dataset as arrow
import pytest

from runlake.cli.looking.folder import escaped

from .conftest import Command, Done
from .ledgers import NOW, a_run, a_step, publish_ledger

HOSTILE = "../../it's = \x1b[31m[a]\n"
LONG_AGO = a_run("long-ago", timedelta(days=70), source="chat")
EVIL = a_run("evil", timedelta(days=1), "failed", source=HOSTILE, error_message="=cmd|' /C calc'!A0")
RUNS = [
    a_run("now", timedelta(hours=1), labels={"team": "a, b"}, metrics={"tokens": 1.5}, pipeline_name='"quoted", name'),
    LONG_AGO,
    EVIL,
]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_ledger(tmp_path_factory.mktemp("exported"), RUNS, [a_step(LONG_AGO, "load")])


@pytest.fixture
def export(ledger: Path, project: Path, runlake: Command) -> Command:
    def asked(*arguments: str) -> Done:
        return runlake("-c", str(ledger), "export", *arguments)

    return asked


def files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def test_parquet_is_in_folders_by_source_and_month(export: Command, project: Path) -> None:
    done = export("--output", "out")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("wrote 3 rows of runs to out\nas of ")
    months = {run["run_id"]: f"month={run['created_at']:%Y-%m}" for run in RUNS}
    assert files(project / "out") == sorted(
        [
            Path("_runlake_export.json"),
            Path("source=etl", months["now"], "runlake-runs.parquet"),
            Path("source=chat", months["long-ago"], "runlake-runs.parquet"),
            Path(f"source={escaped(HOSTILE)}", months["evil"], "runlake-runs.parquet"),
        ]
    )
    assert sorted(path.name for path in project.iterdir()) == ["out"]


def test_other_tools_read_them_with_their_sources(export: Command, project: Path) -> None:
    export("--output", "out")
    expected = sorted((run["source"], run["run_id"], run["created_at"]) for run in RUNS)
    with duckdb.connect() as con:
        found = con.execute(
            "SELECT source, run_id, created_at FROM read_parquet('out/**/*.parquet', hive_partitioning = true)"
        ).fetchall()
    assert sorted(found) == expected
    frame = polars.read_parquet("out/**/*.parquet", hive_partitioning=True)
    assert sorted(frame.select("source", "run_id", "created_at").rows()) == expected
    table = arrow.dataset("out", partitioning="hive").to_table(columns=["source", "run_id", "created_at"])
    assert sorted(tuple(row.values()) for row in table.to_pylist()) == expected


def test_exported_again_a_folder_holds_what_was_asked_last_and_keeps_what_is_anothers(
    export: Command, project: Path
) -> None:
    export("--output", "out")
    mine = project / "out" / "source=chat" / "mine.parquet"
    mine.write_text("not yours")
    done = export("--output", "out", "--since", "30d", "--source", "etl", "--source", "chat")
    assert done.err.startswith("wrote 1 row of runs")
    month = f"month={RUNS[0]['created_at']:%Y-%m}"
    assert files(project / "out") == [
        Path("_runlake_export.json"),
        Path("source=chat/mine.parquet"),
        Path("source=etl", month, "runlake-runs.parquet"),
    ]
    assert json.loads((project / "out" / "_runlake_export.json").read_text())["sources"] == ["etl", "chat"]
    assert export("--output", "out", "--since", "2h").err.startswith("wrote 1 row of runs"), (
        "of its month only what is asked"
    )
    assert mine.read_text() == "not yours"


def test_a_link_in_the_folder_leads_to_no_other_file(export: Command, project: Path) -> None:
    export("--output", "out")
    outside = project / "outside"
    outside.mkdir()
    (outside / "runlake-runs.parquet").write_text("kept")
    (project / "out" / "source=linked").symlink_to(outside)
    export("--output", "out")
    assert (outside / "runlake-runs.parquet").read_text() == "kept"


def test_steps_are_with_their_runs(export: Command, project: Path) -> None:
    export("--what", "steps", "--output", "out")
    [file] = (project / "out").rglob("*.parquet")
    assert file.parent.name == f"month={LONG_AGO['created_at']:%Y-%m}"


@pytest.mark.parametrize("view", ["pipelines", "source_health", "published", "status_map", "syncs", "run_history"])
def test_any_view_can_be_exported(export: Command, project: Path, view: str) -> None:
    for arguments in (["--output", "out"], ["--output", "out.csv", "--format", "csv"]):
        done = export("--what", view, *arguments)
        assert done.code == 0, done.err
    assert (project / "out" / "_runlake_export.json").exists()


def test_cells_of_csv_are_no_formulas_and_times_are_utc(export: Command, project: Path) -> None:
    export("--output", "out.csv", "--format", "csv")
    with (project / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["run_id"]: row for row in csv.DictReader(file)}
    assert rows["evil"]["error_message"] == "'=cmd|' /C calc'!A0"
    assert rows["now"]["created_at"] == (NOW - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert json.loads(rows["now"]["labels"]) == {"team": "a, b"}
    assert rows["now"]["pipeline_name"] == '"quoted", name'
    assert (rows["now"]["duration_ms"], rows["now"]["vanished_at"]) == ("60000", "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--output", "full"], "full has other things in it; name a new folder, or one that an export made"),
        (["--output", "steps"], "steps is an export of steps; name another folder for runs"),
        (["--output", "file"], "file is a file; Parquet is written into a folder"),
        (["--output", "file/within"], "cannot write file/within: Not a directory"),
        (["--output", "full", "--format", "csv"], "full is a folder; --format csv writes one file"),
        (["--output", "none/out.csv", "--format", "csv"], "cannot write none/out.csv: No such file or directory"),
        (["--output", "new", "--what", "rnus"], "no view 'rnus'; there is runs"),
        (["--output", "new", "--what", "latest_runs", "--since", "1d"], "latest_runs is as it is now: --since and"),
        (["--output", "new", "--what", "alert_rules", "--source", "etl"], "alert_rules is of no source"),
        (["--output", "new", "--source", "elt"], "no source 'elt'; there is etl"),
        ([], "missing option '--output'"),
    ],
)
def test_a_slip_changes_nothing(export: Command, project: Path, arguments: list[str], told: str) -> None:
    export("--what", "steps", "--output", "steps")
    (project / "full").mkdir()
    (project / "full" / "thesis.parquet").write_text("mine")
    (project / "file").write_text("mine")
    before = files(project)
    done = export(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"runlake: {told}")
    assert files(project) == before


def test_what_cannot_be_written_leaves_the_file_of_before(
    export: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export("--output", "out")
    before = {file: (project / "out" / file).read_bytes() for file in files(project / "out") if file.suffix != ".json"}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    done = export("--output", "out")
    assert (done.code, done.err) == (2, "runlake: cannot write out: No space left on device\n")
    after = {file: (project / "out" / file).read_bytes() for file in files(project / "out") if file.suffix != ".json"}
    assert after == before


def test_the_ledger_is_no_place_for_an_export(ledger: Path, export: Command) -> None:
    for name in ("ledger.duckdb", "ledger.published.duckdb"):
        before = ledger.with_name(name).stat()
        done = export("--output", str(ledger.with_name(name)), "--format", "csv")
        assert (done.code, done.out) == (2, "")
        assert done.err.endswith(f"{name} is the ledger; name another file\n")
        assert ledger.with_name(name).stat().st_ino == before.st_ino


def test_names_stay_in_their_folder() -> None:
    assert escaped("etl-eu.1_x") == "etl-eu.1_x"
    assert escaped("a/../b=%\\") == "a%2F..%2Fb%3D%25%5C"
    assert escaped("é\x00") == "%C3%A9%00"
