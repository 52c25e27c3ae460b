"""What metrics say of what was known at an instant, whatever has happened since."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from runlake.model import Run, RunStatus, StatusTable, Step, run_key
from runlake.store import Batch, Books, Store, Sync, database, open_published
from runlake.store.database import connect
from runlake.store.published import publish

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WORDS = StatusTable(running=RunStatus.RUNNING, failed=RunStatus.FAILED, done=RunStatus.SUCCEEDED)


def run(word: str, *steps: str, ended_after: timedelta | None = None) -> Run:
    parts = [Step(step_id=f"{number}", name=f"{number}", vendor_status=word) for number, word in enumerate(steps)]
    end = None if ended_after is None else T0 + ended_after
    return Run(
        pipeline_id="p", run_id="r", vendor_status=word, created_at=T0, started_at=T0, finished_at=end, steps=parts
    )


def a_sync(number: int, at: datetime, **facts: Any) -> Sync:
    return Sync(
        sync_id=f"00000000-0000-0000-0000-{number:012}",
        source="s",
        vendor="v",
        kind="sync",
        started_at=at,
        **{"finished_at": at, "outcome": "ok", **facts},
    )


async def put(store: Store, at: datetime, *runs: Run, **facts: Any) -> None:
    """One sync that saw these runs."""
    batch = Batch("s", "v", WORDS, WORDS)
    for each in runs:
        batch.add(run_key("s", each.ref), each, at, "list", "GET /runs")
    await store.commit(batch, Books(a_sync(int(at.timestamp()), at, **facts)))


async def _fill(path: Path) -> None:
    async with Store(path) as store:
        await store.begin("s", "v", "A vendor", {"run": (WORDS, StatusTable()), "step": (WORDS, StatusTable())}, T0)
        await put(store, T0, observed_through=T0)
        await put(store, T0 + HOUR, run("running", "failed", "running"), observed_through=T0 + HOUR)
        # Seen again after six hours, but for the last two of them; those are seen an hour later.
        await put(
            store,
            T0 + 7 * HOUR,
            run("failed", "failed", "failed", ended_after=2 * HOUR),
            observed_through=T0 + 5 * HOUR,
        )
        await put(store, T0 + 8 * HOUR, run("running", "done", "failed"), observed_through=T0 + 8 * HOUR)
        await put(
            store, T0 + 9 * HOUR, run("done", "done", "done", ended_after=8 * HOUR), observed_through=T0 + 9 * HOUR
        )
        tables = {
            "run": (WORDS, StatusTable(done=RunStatus.FAILED)),
            "step": (WORDS, StatusTable(done=RunStatus.FAILED)),
        }
        await store.remap("s", "v", tables, T0 + 10 * HOUR, dry_run=False)
        await put(store, T0 + 11 * HOUR, outcome="failed")


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    path = tmp_path_factory.mktemp("past") / "ledger.duckdb"
    asyncio.run(_fill(path))
    with connect(path) as con:
        yield con


def at(con: duckdb.DuckDBPyConnection, query: str, hours: float) -> list[tuple[Any, ...]]:
    return con.execute(query, {"at": T0 + hours * HOUR}).fetchall()


def test_runs_are_as_they_were_known_then(con: duckdb.DuckDBPyConnection) -> None:
    known = "SELECT status, finished_at, duration_ms // 3600000 FROM runs_at($at) WHERE created_at >= '2026-03-02'"
    assert at(con, known, 0.5) == []
    assert at(con, known, 1) == [("running", None, None)]
    assert at(con, known, 7.5) == [("failed", T0 + 2 * HOUR, 2)]
    assert at(con, known, 8) == [("running", None, None)]
    assert at(con, known, 9) == [("succeeded", T0 + 8 * HOUR, 8)]
    assert at(con, known, 10) == [("failed", T0 + 8 * HOUR, 8)]
    assert con.execute("FROM runs EXCEPT FROM runs_at(now())").fetchall() == []


def test_runs_as_known_then_have_the_columns_of_runs(con: duckdb.DuckDBPyConnection) -> None:
    now, then = (con.execute(f"DESCRIBE FROM {runs}").fetchall() for runs in ("runs", "runs_at(now())"))
    assert [row[:2] for row in then] == [row[:2] for row in now]


def test_failed_steps_are_those_of_then_each_once(con: duckdb.DuckDBPyConnection) -> None:
    failed = "SELECT name FROM failed_steps_at($at) ORDER BY ALL"
    assert at(con, failed, 0.5) == []
    assert at(con, failed, 1) == [("0",)]
    assert at(con, failed, 7) == [("0",), ("1",)]
    assert at(con, failed, 8.5) == [("1",)]
    assert at(con, failed, 9) == []
    assert at(con, failed, 10) == [("0",), ("1",)], "by the mapping of then"


def test_a_gap_says_when_a_source_could_not_be_seen(con: duckdb.DuckDBPyConnection) -> None:
    assert con.execute("FROM gaps").fetchall() == [("s", T0 + HOUR, T0 + 7 * HOUR)]


SEEN = (
    "SELECT observed_through, unseen_ms / 3600000, seen_whole FROM source_coverage($since, $until, known_at := $known)"
)


@pytest.mark.parametrize(
    "until, known, seen, unseen, whole",
    [
        (1, 1.5, -1.5, 0, True),  # as far as anybody can tell: three hours before
        (1, 4, 1, 0, True),
        (3, 5, 1, 2, False),
        (3, 6, 1, 2, False),
        (3, 7, 3, 0, True),
        (6, 7.5, 4.5, 0, True),
        (6, 9, 6, 0, True),
        (24, 12, 9, 0, True),
        (24, 13, 9, 4, False),
        (24, 99, 9, 15, False),
    ],
)  # fmt: skip
def test_a_period_was_seen_whole_unless_it_was_not_known_then(
    con: duckdb.DuckDBPyConnection, until: float, known: float, seen: float, unseen: float, whole: bool
) -> None:
    found = con.execute(SEEN, {"since": T0, "until": T0 + until * HOUR, "known": T0 + known * HOUR}).fetchall()
    assert found == [(T0 + seen * HOUR, unseen, whole)]


def test_a_source_that_was_never_seen_by_then_says_so(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("BEGIN")
    con.execute(
        "INSERT INTO rl.sources VALUES ('late', 'v', 'V', $at, $at), ('mute', 'v', 'V', NULL, NULL)", {"at": T0 + DAY}
    )
    con.execute("INSERT INTO rl.syncs SELECT * REPLACE ('mute' AS source) FROM rl.syncs WHERE outcome = 'failed'")
    named = SEEN.replace("SELECT", "SELECT source,") + " ORDER BY ALL"
    values = {"since": T0, "until": T0 + 4 * HOUR, "known": T0 + 11 * HOUR}
    assert con.execute(named, values).fetchall() == [("mute", None, 4, False), ("s", T0 + 4 * HOUR, 0, True)]
    con.execute("ROLLBACK")


def test_the_gaps_of_an_older_ledger_are_found_in_its_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    shutil.copytree(Path(database.__file__).parent, package, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for file in (package / "schema").iterdir():
        if file.name >= "0004":
            file.unlink()
    path = tmp_path / "ledger.duckdb"
    with monkeypatch.context() as older:
        older.setattr(database, "files", lambda _: package)
        older.setattr(database, "VIEWS", ())
        older.setattr(database, "METRICS", ())
        con = connect(path)
    for number, (began, seen) in enumerate([(0, 0), (1, 1), (2, None), (7, 5), (8, 5), (9, 9), (9.5, 9.5)]):
        con.execute(
            "INSERT INTO rl.syncs BY NAME SELECT * FROM (SELECT uuid() AS sync_id, 's' AS source, 'v' AS vendor, "
            "'sync' AS kind, $at::TIMESTAMPTZ AS started_at, $at::TIMESTAMPTZ AS finished_at, 'ok' AS outcome, "
            "$seen::TIMESTAMPTZ AS observed_through, false AS swept, []::VARCHAR[] AS notes, 0 AS seen_runs, "
            "0 AS new_runs, 0 AS changed_runs, 0 AS open_runs, 0 AS unknown_runs, 0 AS vanished_runs, 0 AS unreadable, "
            "0 AS out_of_order, $number AS requests, 0 AS bytes, 0 AS retries, 0 AS waited_ms)",
            {"at": T0 + began * HOUR, "seen": None if seen is None else T0 + seen * HOUR, "number": number},
        )
    con.close()
    with connect(path) as con:
        gaps = con.execute("FROM gaps ORDER BY ALL").fetchall()
    assert gaps == [("s", T0 + HOUR, T0 + 7 * HOUR), ("s", T0 + 5 * HOUR, T0 + 9 * HOUR)]


@pytest.mark.parametrize("shape, split_above", [("whole", 1 << 30), ("split", 0)])
def test_the_published_copy_answers_as_the_ledger_does(
    con: duckdb.DuckDBPyConnection, shape: str, split_above: int
) -> None:
    [(file,)] = con.execute("SELECT path FROM duckdb_databases() WHERE database_name = 'lake'").fetchall()
    assert publish(con, Path(file), T0 + 99 * DAY, split_above=split_above).shape == shape
    with open_published(Path(file)) as copy:
        for query in (
            "FROM runs_at($at) WHERE created_at >= '2026-03-02'",
            "WITH known AS (FROM runs_at($at)) FROM pipeline_stats('2026-03-02', '2026-03-03', among := 'known')",
            "FROM failed_steps_at($at) ORDER BY ALL",
            "FROM source_coverage('2026-03-02', '2026-03-03', known_at := $at)",
        ):
            found = at(copy, query, 8.5)
            assert found and found == at(con, query, 8.5)


async def test_of_replaced_steps_goes_what_was_replaced_before_a_date(tmp_path: Path) -> None:
    await _fill(tmp_path / "ledger.duckdb")
    async with Store(tmp_path / "ledger.duckdb") as store:
        assert (await store.prune(snapshots_before=T0 + 8 * HOUR)).steps == 1
    with connect(tmp_path / "ledger.duckdb") as con:
        assert at(con, "SELECT name FROM failed_steps_at($at) ORDER BY ALL", 8.5) == [("1",)]
