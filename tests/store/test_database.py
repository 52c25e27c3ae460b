"""The ledger's file: made, migrated, refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from runlake.errors import StoreError
from runlake.model import RunStatus
from runlake.store import Store, database, open_published, published_path
from runlake.store.database import VIEWS, connect, transaction
from runlake.store.dictionary import dictionary
from runlake.store.given import given

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.duckdb"
    connect(path).close()
    return path


def test_every_public_view_and_column_says_what_it_means(ledger: Path) -> None:
    con = connect(ledger)
    silent = con.execute(
        "SELECT table_name, column_name FROM duckdb_columns() "
        "WHERE database_name = 'lake' AND schema_name = 'main' AND table_name <> 'schema_version' AND comment IS NULL "
        "UNION ALL SELECT view_name, '' FROM duckdb_views() WHERE NOT internal AND comment IS NULL"
    ).fetchall()
    views = con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    con.close()
    assert silent == []
    assert {name for (name,) in views} == set(VIEWS)


def test_the_data_dictionary_is_the_one_that_the_code_makes() -> None:
    assert (ROOT / "docs/data-dictionary.md").read_text(encoding="utf-8") == dictionary(), "run `make docs`"


def test_the_outcome_macro_says_what_the_model_says(ledger: Path) -> None:
    con = connect(ledger)
    told = {s: con.execute("SELECT status_outcome(?)", [s.value]).fetchall()[0][0] for s in RunStatus}
    con.close()
    assert told == {s: s.outcome and s.outcome.value for s in RunStatus}


def test_the_file_can_be_read_by_either_major_version(ledger: Path) -> None:
    con = connect(ledger)
    tags = con.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'lake'").fetchall()[0][0]
    con.close()
    assert tags["storage_version"].startswith("v1.5.0")


def test_a_newer_schema_is_refused_and_left_alone(ledger: Path) -> None:
    con = duckdb.connect(str(ledger))
    con.execute("INSERT INTO schema_version VALUES (999, now(), '9.9', '')")
    con.close()
    before = ledger.read_bytes()
    with pytest.raises(StoreError, match=r"has schema 999, this runlake knows .* upgrade runlake"):
        connect(ledger)
    assert ledger.read_bytes() == before


def test_an_older_schema_is_migrated_after_a_copy_is_kept(
    tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    shutil.copytree(Path(database.__file__).parent, package, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    newest = max(int(file.name[:4]) for file in (package / "schema").iterdir())
    (package / "schema" / f"{newest + 1:04}_test.sql").write_text("ALTER TABLE rl.syncs ADD COLUMN extra INTEGER;")
    monkeypatch.setattr(database, "files", lambda _: package)
    con = connect(ledger)
    columns = [row[0] for row in con.execute("DESCRIBE rl.syncs").fetchall()]
    con.close()
    assert "extra" in columns
    kept = duckdb.connect(str(ledger.with_name(f"{ledger.name}.schema-{newest}.bak")), read_only=True)
    assert "extra" not in [row[0] for row in kept.execute("DESCRIBE rl.syncs").fetchall()]
    kept.close()


def test_a_failing_migration_changes_nothing(tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    shutil.copytree(Path(database.__file__).parent, package, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (package / "schema" / "9000_test.sql").write_text("DROP TABLE rl.syncs; SELECT no_such_thing;")
    with monkeypatch.context() as patched:
        patched.setattr(database, "files", lambda _: package)
        with pytest.raises(StoreError):
            connect(ledger)
    con = connect(ledger)
    assert con.execute("SELECT count(*) FROM rl.syncs").fetchall() == [(0,)]
    con.close()


def test_changed_views_reach_an_existing_ledger(tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    shutil.copytree(Path(database.__file__).parent, package, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    view = package / "views" / "published.sql"
    view.write_text(view.read_text().replace("SELECT p.as_of,", "SELECT p.as_of, 1 AS added,"))
    monkeypatch.setattr(database, "files", lambda _: package)
    con = connect(ledger)
    assert "added" in [row[0] for row in con.execute("DESCRIBE published").fetchall()]
    con.close()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"this is no database, and long enough not to be taken for a new one" * 100, "damaged or not a DuckDB file"),
        (None, "a DuckDB file of something else"),
    ],
)
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "other.duckdb"
    if content is None:
        con = duckdb.connect(str(path))
        con.execute("CREATE TABLE theirs (a INTEGER)")
        con.close()
    else:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=says):
        connect(path)


def test_a_ledger_cut_short_is_damaged_and_a_folder_is_no_ledger(ledger: Path) -> None:
    ledger.write_bytes(ledger.read_bytes()[:100_000])
    with pytest.raises(StoreError, match=r"is damaged .*; put a backup in its place"):
        connect(ledger)
    ledger.rename(published_path(ledger))
    with pytest.raises(StoreError, match=r"is damaged .*; move it away: `runlake sync` makes a new one"):
        open_published(ledger)
    ledger.mkdir()
    with pytest.raises(StoreError, match="is a folder"):
        connect(ledger)


def test_a_damaged_ledger_is_told_in_one_line(ledger: Path) -> None:
    content = bytearray(ledger.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    ledger.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        connect(ledger)
    assert "damaged" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot open .*check the folder"):
        connect(tmp_path / "nowhere" / "ledger.duckdb")


def test_a_second_process_is_told_who_holds_the_ledger(ledger: Path) -> None:
    con = connect(ledger)
    program = (
        "import sys; from pathlib import Path; from runlake.store.database import connect\n"
        "from runlake.errors import StoreError\n"
        "try: connect(Path(sys.argv[1]))\n"
        "except StoreError as error: print(error)"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(ledger)], capture_output=True, text=True, check=True
    ).stdout
    con.close()
    assert "is in use by process" in out
    assert "published copy" in out


def test_without_a_published_copy_readers_are_told_what_makes_one(ledger: Path) -> None:
    with pytest.raises(StoreError, match=r"no published copy .* `runlake sync` makes one"):
        open_published(ledger)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY runs TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/other.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '1TB'",
        "DELETE FROM rl.runs",
        "CREATE TABLE t (a INTEGER)",
        "SELECT * FROM glob('/*')",
        "EXPORT DATABASE '/tmp/stolen'",
        "PRAGMA enable_logging",
    ],
)
async def test_a_reader_reaches_nothing_but_the_published_copy(ledger: Path, query: str) -> None:
    async with Store(ledger) as store:
        await store.publish(datetime(2026, 1, 1, tzinfo=UTC))
    con = open_published(ledger)
    with pytest.raises(duckdb.Error):
        con.execute(query)
    assert con.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]
    con.close()
    assert published_path(ledger).exists()


def test_an_error_that_ends_a_transaction_is_told_and_not_that_it_has_ended_one() -> None:
    con = duckdb.connect()
    refused = pytest.raises(duckdb.ConversionException, match="no uuid")
    with refused, transaction(con), given(con, "named", id=["no uuid"]):
        con.execute("SELECT id::UUID FROM named").fetchall()
    with given(con, "named", id=["x"]):
        assert con.execute("FROM named").fetchall() == [("x",)]
