"""What readers open: the ledger whole, or its closed periods as Parquet beside what is still open."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from runlake.errors import StoreError
from runlake.model import Run, RunStatus, StatusTable, Step, run_key
from runlake.store import Batch, Books, Store, Sync, books, mapping, open_published, periods, published, published_path
from runlake.store.alerting import Alert, AlertBooks
from runlake.store.database import FREE_FLOOR, VIEWS, connect, transaction
from runlake.store.episodes import Notification, RuleRow, Silence
from runlake.store.published import Published, published_periods
from runlake.store.writer import write

NOW = datetime(2026, 7, 14, 9, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
CLOSED_MONTH, CLOSED_DAY, OPEN_DAY = datetime(2026, 5, 20, tzinfo=UTC), NOW - 10 * DAY, NOW - DAY

WORDS = StatusTable(done=RunStatus.SUCCEEDED, failed=RunStatus.FAILED, running=RunStatus.RUNNING)


def a_run(run_id: str, created_at: datetime, word: str = "done", /, **more: Any) -> Run:
    ended = None if word == "running" else created_at + MINUTE
    run = Run(
        pipeline_id=f"p{len(run_id) % 3}",
        run_id=run_id,
        vendor_status=word,
        created_at=created_at,
        started_at=created_at,
        finished_at=ended,
        error_message='it\'s "gone", ü\n' if word == "failed" else None,
        labels={"team": "a", "empty": ""},
        metrics={"documents": 3.5},
        steps=[Step(step_id="one", vendor_status="done"), Step(step_id="two", vendor_status=word)],
    )
    return replace(run, **more)


@dataclass
class Ledger:
    path: Path
    con: duckdb.DuckDBPyConnection

    def see(self, *runs: Run, at: datetime = NOW, gone: Sequence[tuple[Run, datetime]] = ()) -> None:
        """Commits these runs as a sync does."""
        batch = Batch("s", "v", WORDS, WORDS)
        for run in runs:
            batch.add(run_key("s", run.ref), run, at, "list", "GET /runs")
        row = Sync(sync_id=str(random_uuid()), source="s", vendor="v", kind="sync", started_at=at, outcome="ok")
        kept = Books(row, vanished=[(run_key("s", run.ref), created, at, "GET /run") for run, created in gone])
        with transaction(self.con):
            write(self.con, batch, row.sync_id)
            books.keep(self.con, kept)

    def map(self, **changed: RunStatus) -> None:
        tables = {level: (WORDS, StatusTable(changed)) for level in ("run", "step")}
        with transaction(self.con):
            mapping.put(self.con, "s", "v", tables)
            mapping.remap(self.con, "s", NOW)

    def publish(self, as_of: datetime = NOW, split_above: int = 0) -> Published:
        return published.publish(self.con, self.path, as_of, split_above=split_above)

    @property
    def folder(self) -> Path:
        return published_periods(self.path)

    def names(self) -> set[str]:
        return {file.name for file in self.folder.iterdir()}

    def periods(self) -> set[str]:
        """Of the files there are."""
        return {"-".join(name.split("-")[1:-1]) for name in self.names()}


_random = random.Random(0)


def random_uuid() -> str:
    return f"{_random.getrandbits(128):032x}"


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seeded") / "ledger.duckdb"
    with connect(path) as con:
        made = Ledger(path, con)
        con.execute("INSERT INTO rl.sources VALUES ('s', 'v', 'V', ?, ?)", [NOW, NOW])
        made.map()
        made.see(
            a_run("ancient", datetime(1970, 1, 1, tzinfo=UTC)),
            a_run("a", CLOSED_MONTH, "failed"),
            a_run("aa", datetime(2026, 5, 31, 23, 59, 59, 999999, tzinfo=UTC)),
            a_run("b", datetime(2026, 6, 1, tzinfo=UTC), "odd", steps=[Step(step_id="one", vendor_status="done")]),
            a_run("c", CLOSED_DAY, labels={}, metrics={}, steps=[Step(step_id="one", vendor_status="strange")]),
            a_run("cc", CLOSED_DAY + MINUTE, "running", steps=None),
            a_run("d", OPEN_DAY),
            a_run("dd", NOW, "running", steps=[]),
            a_run("future", NOW + 400 * DAY),
        )
        keep_alerts(AlertBooks(con), run_key("s", a_run("a", CLOSED_MONTH).ref))
    return path


def keep_alerts(books: AlertBooks, about: str) -> None:
    """One that fires and was told, with its rule, and a silence; and when to look again."""
    alert, message = random_uuid(), random_uuid()
    books.keep_rules([RuleRow(rule="failed", kind="failed", severity="critical", definition="{}", since=NOW)])
    books.save_alerts(
        [
            Alert(
                alert_id=alert,
                rule="failed",
                kind="failed",
                key="s/p1",
                state="firing",
                severity="critical",
                since=CLOSED_MONTH,
                pending_at=NOW,
                judged_at=NOW,
                why='it\'s "gone"',
                facts={"n": 1},
                source="s",
                pipeline_id="p1",
                run_key=about,
                fired_at=NOW,
            )
        ]
    )
    row = Notification(alert_id=alert, channel="mail", event="open", created_at=NOW)
    books.enqueue([row])
    books.claim(message, [row], NOW)
    books.delivered(message, NOW)
    books.keep_silence(
        Silence(silence_id=random_uuid(), reason="move", created_by="me", created_at=NOW, until=NOW + DAY)
    )
    books.judged([("s", "p1")], {("s", "p2"): NOW})


@pytest.fixture(scope="module")
def split(seeded: Path) -> Path:
    """A ledger published in parts, not to be changed."""
    path = seeded.with_name("split.duckdb")
    shutil.copy(seeded, path)
    with connect(path) as con:
        Ledger(path, con).publish()
    return path


@pytest.fixture
def ledger(seeded: Path, tmp_path: Path) -> Iterator[Ledger]:
    path = tmp_path / "ledger.duckdb"
    shutil.copy(seeded, path)
    with connect(path) as con:
        yield Ledger(path, con)


def shown(con: duckdb.DuckDBPyConnection) -> dict[str, tuple[list[str], list[str]]]:
    """Of each public view: its columns with their types, and its rows in one order."""
    return {
        view: (
            [f"{name} {type_}" for name, type_, *_ in con.execute(f"DESCRIBE {view}").fetchall()],
            sorted(map(repr, con.execute(f"FROM {view}").fetchall())),
        )
        for view in VIEWS
    }


def read(ledger: Ledger) -> dict[str, tuple[list[str], list[str]]]:
    """What the published copy shows, checked to be nothing but what the ledger does."""
    with open_published(ledger.path) as reader:
        found = shown(reader)
    expected = shown(ledger.con)
    for view in VIEWS:
        assert found[view] == expected[view], view
    return found


def test_both_shapes_show_the_same_rows_in_every_view(ledger: Ledger) -> None:
    made = ledger.publish(split_above=1 << 30)
    assert made.shape == "whole" and made.bytes == ledger.path.stat().st_size
    whole = read(ledger)
    assert len(whole["runs"][1]) == 9 and len(whole["steps"][1]) == 12 and not ledger.folder.exists()
    made = ledger.publish()
    assert made.shape == "split" and made.path == published_path(ledger.path) and made.seconds > 0
    assert read(ledger) == whole
    assert ledger.periods() == {"1970-01", "2026-05", "2026-06-01", "2026-07-04"}


def test_alerting_sees_in_either_shape_what_it_sees_in_the_ledger(ledger: Ledger) -> None:
    def everything(con: duckdb.DuckDBPyConnection) -> list[Any]:
        books = AlertBooks(con)
        known, alerts = books.sources(), books.open_alerts()
        keys = [("s", f"p{number}") for number in range(3)]
        conditions = ["outcome = 'success'"]
        return [
            (known, books.candidates(known), alerts, books.rules(), books.silences(NOW), books.waiting()),
            books.stories([alert.alert_id for alert in alerts], NOW),
            *(books.pipelines(known, keys, now, conditions=conditions, labels=True) for now in (NOW, CLOSED_MONTH)),
        ]

    expected = everything(ledger.con)
    assert [len(each) for each in expected] == [6, 1, 3, 3]
    for split_above in (1 << 30, 0):
        ledger.publish(split_above=split_above)
        with open_published(ledger.path) as reader:
            assert everything(reader) == expected


def test_any_client_opens_the_copy_and_finds_its_comments(ledger: Ledger) -> None:
    ledger.publish()
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{published_path(ledger.path)}' AS other (READ_ONLY)")
        assert con.execute("SELECT count(*), count(DISTINCT run_key) FROM other.runs").fetchall() == [(9, 9)]
        silent = "SELECT count(*) FROM duckdb_views() WHERE database_name = 'other' AND schema_name = 'main'"
        assert con.execute(f"{silent} AND comment IS NULL").fetchall() == [(0,)]


@pytest.mark.parametrize("folder", ["we[ird] 'x'* ü", "status=lost"])
def test_a_folder_may_be_called_anything(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "l.duckdb"
    with connect(path) as con:
        ledger = Ledger(path, con)
        ledger.see(a_run("a", CLOSED_MONTH))
        assert ledger.publish().shape == "split"
        read(ledger)
        with duckdb.connect(str(published_path(path)), read_only=True) as plain:
            assert plain.execute("SELECT run_id FROM runs").fetchall() == [("a",)]


def test_a_sync_of_recent_runs_leaves_what_is_closed_alone(ledger: Ledger) -> None:
    ledger.publish()
    before = ledger.names()
    ledger.see(a_run("d", OPEN_DAY, "failed"), a_run("new", NOW))
    ledger.publish(NOW + MINUTE)
    assert ledger.names() == before
    assert len(read(ledger)["runs"][1]) == 10


def test_an_empty_ledger_has_a_copy_too(tmp_path: Path) -> None:
    with connect(tmp_path / "l.duckdb") as con:
        ledger = Ledger(tmp_path / "l.duckdb", con)
        assert ledger.publish().shape == "split"
        read(ledger)


LATE: dict[str, tuple[Callable[[Ledger], None], set[str]]] = {
    "a rerun": (lambda ledger: ledger.see(a_run("a", CLOSED_MONTH, "running")), {"2026-05"}),
    "a run found late": (lambda ledger: ledger.see(a_run("late", CLOSED_MONTH + MINUTE)), {"2026-05"}),
    "an open run that ends": (lambda ledger: ledger.see(a_run("cc", CLOSED_DAY + MINUTE)), {"2026-07-04"}),
    "other steps": (
        lambda ledger: ledger.see(a_run("b", datetime(2026, 6, 1, tzinfo=UTC), "odd", steps=[])),
        {"2026-06-01"},
    ),
    "a run that is gone": (lambda ledger: ledger.see(gone=[(a_run("a", NOW), CLOSED_MONTH)]), {"2026-05"}),
    "a word mapped": (lambda ledger: ledger.map(odd=RunStatus.FAILED), {"2026-06-01"}),
    "a word of steps mapped": (lambda ledger: ledger.map(strange=RunStatus.FAILED), {"2026-07-04"}),
    "a word mapped otherwise": (
        lambda ledger: ledger.map(failed=RunStatus.CANCELLED, odd=RunStatus.UNKNOWN),
        {"2026-05"},
    ),
    "several": (
        lambda ledger: ledger.see(a_run("ancient", datetime(1970, 1, 1, tzinfo=UTC), "failed"), a_run("c", CLOSED_DAY)),
        {"1970-01", "2026-07-04"},
    ),
}


@pytest.mark.parametrize("what", LATE)
def test_a_late_change_has_its_period_written_anew_and_no_other(ledger: Ledger, what: str) -> None:
    ledger.publish()
    old, before = ledger.names(), read(ledger)
    change, expected = LATE[what]
    change(ledger)
    ledger.publish(NOW + MINUTE)
    after = read(ledger)
    assert any(after[view] != before[view] for view in ("runs", "run_history", "steps"))
    assert {"-".join(name.split("-")[1:-1]) for name in ledger.names() - old} == expected


def test_a_change_that_is_rolled_back_touches_nothing(ledger: Ledger) -> None:
    ledger.publish()
    with pytest.raises(ZeroDivisionError), transaction(ledger.con):
        periods.touch(ledger.con, "SELECT DATE '2026-05-01'")
        raise ZeroDivisionError
    before = ledger.names()
    ledger.publish(NOW + MINUTE)
    assert ledger.names() == before


def test_days_become_a_month_once_the_month_after_is_over(ledger: Ledger) -> None:
    ledger.publish()
    august = datetime(2026, 8, 1, tzinfo=UTC)
    ledger.publish(august)
    read(ledger)
    ledger.publish(august + DAY)
    assert ledger.periods() == {"1970-01", "2026-05", "2026-06", "2026-07-04", "2026-07-13", "2026-07-14"}
    read(ledger)


def test_replaced_files_stay_for_a_day_and_readers_of_the_old_copy_keep_it(ledger: Ledger) -> None:
    ledger.publish()
    old, before = ledger.names(), read(ledger)
    reader = open_published(ledger.path)
    ledger.see(a_run("a", CLOSED_MONTH, "running"))
    ledger.publish(NOW + MINUTE)
    ledger.publish(NOW + DAY)
    assert ledger.names() > old
    assert shown(reader) == before
    reader.close()
    ledger.publish(NOW + MINUTE + DAY)
    read(ledger)
    assert len(ledger.names()) == len(old) and not ledger.names() >= old


def test_files_that_are_missing_are_written_again_and_foreign_ones_left_alone(ledger: Ledger) -> None:
    ledger.publish()
    (ledger.folder / "notes.txt").write_text("mine")
    next(ledger.folder.glob("steps-2026-05-*")).unlink()
    ledger.publish(NOW + MINUTE)
    read(ledger)
    ledger.publish(NOW + 2 * DAY)
    assert len(list(ledger.folder.glob("*-2026-05-*"))) == 3
    assert (ledger.folder / "notes.txt").exists()


def test_other_columns_have_every_period_written_anew_and_any_other_migration_none(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.publish()
    old = ledger.names()
    ledger.con.execute("UPDATE main.schema_version SET version = version + 1")
    ledger.publish(NOW + MINUTE)
    assert ledger.names() == old
    monkeypatch.setattr(periods, "MADE_FOR", periods.MADE_FOR + 1)
    ledger.publish(NOW + 2 * MINUTE)
    assert len(ledger.names()) == 2 * len(old)


def test_the_parquet_files_are_made_for_the_columns_there_are(ledger: Ledger) -> None:
    columns = ledger.con.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = 'lake' "
        "AND schema_name = 'rl' AND list_contains(?, table_name) ORDER BY table_name, column_index",
        [list(periods.SPLIT)],
    ).fetchall()
    digest = blake2b(repr(columns).encode(), digest_size=8).hexdigest()
    advice = "the columns have changed: set periods.MADE_FOR to the newest schema, and write its digest here"
    assert (periods.MADE_FOR, digest) == (2, "9bb20ee083e939a8"), advice


def test_a_ledger_that_became_small_is_copied_whole_and_its_files_go(ledger: Ledger) -> None:
    ledger.publish()
    assert ledger.publish(NOW + MINUTE, split_above=1 << 30).shape == "whole"
    read(ledger)
    ledger.publish(NOW + MINUTE + DAY, split_above=1 << 30)
    assert ledger.names() == set()


def test_a_ledger_that_became_large_is_copied_whole_until_all_is_written(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(periods, "RUNS_AT_ONCE", 3)
    shapes = []
    for minute in range(4):
        shapes.append(ledger.publish(NOW + minute * MINUTE).shape)
        read(ledger)
    assert shapes == ["whole", "split", "split", "split"]
    assert len(ledger.names()) == 3 * 4


def test_a_full_disk_is_told_before_anything_is_written(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.publish()
    before = published_path(ledger.path).read_bytes(), ledger.names()
    ledger.see(a_run("a", CLOSED_MONTH, "running"))
    for split_above in (0, 1 << 30):
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=FREE_FLOOR))
            with pytest.raises(StoreError, match=r"a copy takes .*; readers keep the old copy"):
                ledger.publish(NOW + MINUTE, split_above)
    assert (published_path(ledger.path).read_bytes(), ledger.names()) == before
    ledger.publish(NOW + MINUTE)
    read(ledger)


FULL = """
import asyncio, resource, sys
from datetime import datetime
from pathlib import Path
from runlake.errors import StoreError
from runlake.store import Store, published

async def publish(path, as_of, most):
    published.publish.__kwdefaults__["split_above"] = 0
    async with Store(path) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        try:
            await store.publish(as_of)
        except StoreError as error:
            print(error)

asyncio.run(publish(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.mark.parametrize("most", [2_000, 300_000])
def test_a_disk_that_is_full_after_all_costs_the_copy_and_nothing_else(ledger: Ledger, most: int) -> None:
    """The Parquet does not fit, or the copy."""
    ledger.publish()
    before = read(ledger)
    ledger.see(a_run("a", CLOSED_MONTH, "running"))
    ledger.con.close()
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(ledger.path), (NOW + MINUTE).isoformat(), str(most)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the disk is full; nothing acknowledged is lost" in done.stdout
    with open_published(ledger.path) as reader:
        assert shown(reader) == before
    ledger.con = connect(ledger.path)
    assert_clears_up(ledger)


STEPS = [(published, "_lay_out"), (published, "_fill"), (os, "replace"), (published, "settle")]


@pytest.mark.parametrize(("module", "name"), STEPS, ids=[name for _, name in STEPS])
def test_a_publish_that_fails_leaves_a_good_copy_and_the_next_one_clears_up(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    ledger.publish()
    before = read(ledger)
    ledger.see(a_run("a", CLOSED_MONTH, "running"), a_run("new", NOW))

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(module, name, broken)
        with pytest.raises(ZeroDivisionError):
            ledger.publish(NOW + MINUTE)
    with open_published(ledger.path) as reader:
        assert len(shown(reader)["runs"][1]) == len(before["runs"][1]) + (name == "settle")
    assert_clears_up(ledger)


def publish_killed(ledger: Path, as_of: datetime, step: int) -> int:
    """What becomes of a process that publishes, and kills itself before it touches a file of the copy for that time."""
    pid = os.fork()
    if pid == 0:
        steps = iter(range(1, step))

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            name = str(arguments[0]) if event in ("open", "os.rename", "os.remove", "os.mkdir") and arguments else ""
            if "published" in name and next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            with connect(ledger) as con:
                sys.addaudithook(watch)
                published.publish(con, ledger, as_of, split_above=0)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_publish_killed_anywhere_leaves_a_good_copy_and_the_next_one_clears_up(ledger: Ledger) -> None:
    ledger.publish()
    ledger.see(a_run("a", CLOSED_MONTH, "running"), a_run("c", CLOSED_DAY, "failed"), a_run("new", NOW))
    killed = 0
    for step in range(1, 40):
        ledger.con.close()
        as_of = NOW + step * MINUTE
        code = publish_killed(ledger.path, as_of, step)
        with open_published(ledger.path) as reader:
            assert len(shown(reader)["runs"][1]) in (9, 10)
        ledger.con = connect(ledger.path)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
    assert killed >= 10
    assert_clears_up(ledger)


def assert_clears_up(ledger: Ledger) -> None:
    ledger.publish(NOW + DAY)
    read(ledger)
    ledger.publish(NOW + 2 * DAY)
    read(ledger)
    there = {file.name for file in ledger.path.parent.iterdir() if not file.name.endswith(".wal")}
    assert there == {ledger.path.name, published_path(ledger.path).name, ledger.folder.name}
    # The run of July 13 is of a closed day by then or not; what counts is that no version is there twice.
    assert len(ledger.names()) == 3 * len(ledger.periods())


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_the_copy_shows_what_the_ledger_does(ledger: Ledger, seed: int) -> None:
    chance = random.Random(seed)
    now, known = NOW, dict[str, Run]()
    for _ in range(10):
        now += timedelta(hours=chance.choice([1, 7, 60, 500]))
        runs = [
            a_run(
                f"r{chance.randrange(60)}",
                now - timedelta(hours=chance.randrange(24 * 100)),
                chance.choice(["done", "failed", "running", "odd"]),
            )
            for _ in range(chance.randrange(6))
        ]
        runs = [replace(run, created_at=known.get(run.run_id, run).created_at) for run in runs]
        known |= {run.run_id: run for run in runs}
        gone = [(run, run.created_at) for run in known.values() if run.created_at and chance.random() < 0.05]
        ledger.see(*runs, at=now, gone=gone)
        if chance.random() < 0.2:
            ledger.map(odd=chance.choice([RunStatus.FAILED, RunStatus.SKIPPED]))
        if chance.random() < 0.7:
            ledger.publish(now, split_above=chance.choice([0, 0, 0, 1 << 30]))
            read(ledger)


@pytest.mark.parametrize(
    "query",
    [
        "COPY runs TO '{folder}/stolen.parquet'",
        "COPY runs TO '{folder}/stolen.csv'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_parquet('{folder}/*.parquet')",
        "SELECT * FROM read_text('{folder}/../split.duckdb')",
        "SELECT * FROM read_text('/etc/passwd')",
        "EXPORT DATABASE '{folder}'",
        "ATTACH '{folder}/other.duckdb'",
        "SET allowed_paths = ['/etc/passwd']",
        "SET allowed_directories = ['/etc/']",
        "SET enable_external_access = true",
    ],
)
def test_a_reader_of_a_split_copy_reaches_nothing_else(split: Path, query: str) -> None:
    folder = published_periods(split)
    before = sorted(folder.iterdir())
    with open_published(split) as reader:
        with pytest.raises(duckdb.Error):
            reader.execute(query.format(folder=folder))
        assert reader.execute("SELECT count(*) FROM runs").fetchall() == [(9,)]
    assert sorted(folder.iterdir()) == before


async def test_the_store_tells_what_a_publish_did(tmp_path: Path) -> None:
    async with Store(tmp_path / "l.duckdb") as store:
        made = await store.publish(NOW)
    assert (made.as_of, made.shape, made.bytes) == (NOW, "whole", made.path.stat().st_size)
