"""The ledger's upkeep: nothing that is kept may change by it, killed or not."""

# ruff: noqa: ASYNC220, ASYNC240 - files are what this is about, and nothing else waits for the loop

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from runlake.errors import ConfigError, StoreError
from runlake.model import Run, RunStatus, StatusTable, Step, run_key
from runlake.store import Batch, Books, Store, Sync, compaction, files, place, published_path, restore
from runlake.store.database import connect

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WORDS = StatusTable(queued=RunStatus.QUEUED, running=RunStatus.RUNNING, done=RunStatus.SUCCEEDED)


def run(number: int, word: str = "done", created_at: datetime = T0) -> Run:
    return Run(pipeline_id="p", run_id=f"r{number}", vendor_status=word, created_at=created_at)


def a_sync(number: int, at: datetime, **facts: Any) -> Sync:
    return Sync(
        sync_id=f"00000000-0000-0000-0000-{number:012}",
        source="s",
        vendor="v",
        kind="sync",
        started_at=at,
        **{"finished_at": at, "outcome": "ok", **facts},
    )


async def put(store: Store, at: datetime, *runs: Run, number: int = 0, **facts: Any) -> None:
    """One sync that saw these runs."""
    batch = Batch("s", "v", WORDS, WORDS)
    for each in runs:
        batch.add(run_key("s", each.ref), each, at, "list", "GET /runs")
    await store.commit(batch, Books(a_sync(number or int(at.timestamp()), at, **facts)))


async def ask(store: Store, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return await store._do(lambda: store._connection.execute(query, list(values)).fetchall())


def content(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but the stamp of a publish."""
    with duckdb.connect(str(database), read_only=True) as con:
        tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'rl' ORDER BY ALL").fetchall()
        return {
            table: con.execute(f"FROM rl.{table} ORDER BY ALL").fetchall()
            for (table,) in tables
            if table != "publication"
        }


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.duckdb"


@pytest.fixture
async def store(ledger: Path) -> AsyncIterator[Store]:
    async with Store(ledger) as store:
        await store.begin("s", "v", "A vendor", {"run": (WORDS, StatusTable()), "step": (WORDS, StatusTable())}, T0)
        yield store


def killed_in(tmp_path: Path, database: Path, program: str, at: str) -> None:
    """Runs a program on a ledger in a process that kills itself as it comes to `at`, a function of `os`."""
    script = (
        "import asyncio, os, signal, sys\nfrom datetime import UTC, datetime\nfrom pathlib import Path\n"
        "from runlake.store import Store, restore\n"
        f"def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\nos.{at} = die\n{program}"
    )
    done = subprocess.run([sys.executable, "-c", script, str(database), str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, f"it never came to os.{at}"


# --- backup ----------------------------------------------------------------------------------------------------------


async def test_a_backup_made_while_the_ledger_is_in_use_holds_all_that_is_committed(
    store: Store, tmp_path: Path
) -> None:
    await put(store, T0, run(1), run(2, "running"))
    target = tmp_path / "backup.duckdb"
    size = await store.backup(target)
    assert size == target.stat().st_size
    before = content(target)
    assert len(before["runs"]) == 2
    await put(store, T0 + DAY, run(3))
    assert content(target) == before
    await store.backup(target)
    assert len(content(target)["runs"]) == 3


async def test_a_backup_overwrites_nothing_but_a_backup(store: Store, tmp_path: Path) -> None:
    notes, theirs = tmp_path / "notes.txt", tmp_path / "theirs.duckdb"
    notes.write_text("not to be lost")
    with duckdb.connect(str(theirs)) as con:
        con.execute("CREATE TABLE runs (a INTEGER)")
    for target in (notes, theirs):
        before = target.read_bytes()
        with pytest.raises(ConfigError, match="no copy of a ledger, so it is not overwritten"):
            await store.backup(target)
        assert target.read_bytes() == before
    link = tmp_path / "link.duckdb"
    link.symlink_to(store.path)
    with pytest.raises(ConfigError, match="is the ledger itself"):
        await store.backup(link)
    with pytest.raises(ConfigError, match="there is no folder"):
        await store.backup(tmp_path / "nowhere" / "backup.duckdb")


async def test_a_backup_without_room_leaves_nothing_behind(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "backup.duckdb"
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
        with pytest.raises(StoreError, match=r"backup\.duckdb: a copy takes \d+ MiB, and 0 MiB are free"):
            await store.backup(target)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refuse)
        with pytest.raises(StoreError, match="No space left"):
            await store.backup(target)
    await store.backup(target)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match="No space left"):
            await store.backup(target)
    assert content(target)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["backup.duckdb", "ledger.duckdb"]


def refuse(*_: Any) -> None:
    raise OSError(28, "No space left on device")


async def test_copies_have_the_mode_of_the_ledger(ledger: Path, tmp_path: Path) -> None:
    async with Store(ledger) as store:
        ledger.chmod(0o600)
        await store.backup(tmp_path / "backup.duckdb")
    (tmp_path / "backup.duckdb").chmod(0o644)
    restore(tmp_path / "backup.duckdb", ledger, T0)
    assert ledger.stat().st_mode & 0o777 == 0o600


# --- restore ---------------------------------------------------------------------------------------------------------


async def backed_up(ledger: Path, tmp_path: Path) -> Path:
    """A ledger of three runs, of whose first two there is a backup, which is returned."""
    backup = tmp_path / "backup.duckdb"
    async with Store(ledger) as store:
        await put(store, T0, run(1), run(2, "running"))
        await store.backup(backup)
        await put(store, T0 + DAY, run(2), run(3))
    return backup


async def test_a_backup_is_put_in_place_and_the_ledger_before_it_is_kept(ledger: Path, tmp_path: Path) -> None:
    backup = await backed_up(ledger, tmp_path)
    before = content(ledger)
    restored = restore(backup, ledger, T0 + 2 * DAY)
    assert content(ledger) == content(backup)
    assert restored.kept == tmp_path / "ledger.duckdb.before-restore-20260303T000000Z"
    assert content(restored.kept) == before
    with pytest.raises(StoreError, match=r"before-restore-20260303T000000Z is there already"):
        restore(backup, ledger, T0 + 2 * DAY)
    assert content(restored.kept) == before
    async with Store(ledger) as store:
        await put(store, T0 + 3 * DAY, run(4))
        assert await store.audit() == 0
    assert len(list(tmp_path.iterdir())) == 3


def left_with_log(ledger: Path) -> None:
    """Adds a run to the ledger in a process that dies: it is in the log alone."""
    pid = os.fork()
    if pid == 0:
        con = connect(ledger)
        con.execute("BEGIN")
        con.execute("INSERT INTO rl.sources VALUES ('in the log', 'v', 'V', NULL, NULL)")
        con.execute("COMMIT")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert files.wal(ledger).stat().st_size


def names(database: Path) -> list[str]:
    with duckdb.connect(str(database), read_only=True) as con:
        return [name for (name,) in con.execute("SELECT source FROM rl.sources ORDER BY ALL").fetchall()]


async def test_the_log_of_the_old_ledger_is_kept_with_it_and_never_meets_the_new_one(
    ledger: Path, tmp_path: Path
) -> None:
    backup = await backed_up(ledger, tmp_path)
    left_with_log(ledger)
    restored = restore(backup, ledger, T0)
    assert names(ledger) == []
    assert restored.kept is not None
    assert names(restored.kept) == ["in the log"]
    assert not files.wal(ledger).exists()


async def test_a_backup_of_a_killed_ledger_is_restored_with_its_log(ledger: Path, tmp_path: Path) -> None:
    await backed_up(ledger, tmp_path)
    left_with_log(ledger)
    copied = tmp_path / "elsewhere.duckdb"
    shutil.copy(ledger, copied)
    shutil.copy(files.wal(ledger), files.wal(copied))
    ledger.unlink()
    files.wal(ledger).unlink()
    assert restore(copied, ledger, T0).kept is None
    assert names(ledger) == ["in the log"]
    assert files.wal(copied).exists()


@pytest.mark.parametrize("harm", ["damaged", "missing", "damaged log", "log alone"])
async def test_a_ledger_that_cannot_be_read_is_replaced_and_kept(ledger: Path, tmp_path: Path, harm: str) -> None:
    backup = await backed_up(ledger, tmp_path)
    left_with_log(ledger)
    log = files.wal(ledger)
    if harm == "damaged":
        ledger.write_bytes(ledger.read_bytes()[:50_000])
    elif harm == "damaged log":
        log.write_bytes(log.read_bytes()[:-7] + b"garbage")
    elif harm == "log alone":
        ledger.unlink()
    else:
        ledger.unlink()
        log.unlink()
    before = {file.read_bytes() for file in (ledger, log) if file.exists()}
    restore(backup, ledger, T0)
    assert content(ledger) == content(backup)
    kept = {file.read_bytes() for file in tmp_path.glob("*.before-restore-*")}
    if harm != "damaged log":  # of which DuckDB takes what it can read
        assert kept == before
    assert not log.exists()


async def test_a_restore_is_refused_while_a_process_holds_the_ledger(ledger: Path, tmp_path: Path) -> None:
    backup = await backed_up(ledger, tmp_path)
    program = "import sys; from pathlib import Path; from runlake.store.database import connect\n"
    program += "con = connect(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(ledger)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        before = ledger.read_bytes()
        with pytest.raises(StoreError, match=f"is in use by process {holder.pid}"):
            restore(backup, ledger, T0)
        assert ledger.read_bytes() == before
        holder.communicate("")
    assert len(list(tmp_path.iterdir())) == 2
    assert len(content(ledger)["runs"]) == 3


async def test_what_is_no_whole_ledger_is_not_restored(ledger: Path, tmp_path: Path) -> None:
    backup = await backed_up(ledger, tmp_path)
    before = ledger.read_bytes()
    theirs, cut, parts = (tmp_path / f"{name}.duckdb" for name in ("theirs", "cut", "parts"))
    with duckdb.connect(str(theirs)) as con:
        con.execute("CREATE TABLE runs (a INTEGER)")
    cut.write_bytes(backup.read_bytes()[:50_000])
    shutil.copy(backup, parts)
    with duckdb.connect(str(parts)) as con:
        con.execute("ALTER TABLE rl.runs RENAME TO recent_runs")
        con.execute("CREATE VIEW rl.runs AS FROM rl.recent_runs")
    for file, error, says in (
        (tmp_path / "none.duckdb", ConfigError, "there is no file"),
        (theirs, ConfigError, "something else, not a ledger"),
        (cut, StoreError, r"cut\.duckdb is damaged or not a DuckDB file; name another copy"),
        (parts, ConfigError, r"published copy in parts.*restore what `runlake backup` wrote"),
        (ledger, ConfigError, "is the ledger itself"),
    ):
        with pytest.raises(error, match=says):
            restore(file, ledger, T0)
    assert ledger.read_bytes() == before
    with duckdb.connect(str(backup)) as con:
        con.execute("INSERT INTO schema_version VALUES (999, now(), '9.9', '')")
    with pytest.raises(StoreError, match=r"backup\.duckdb has schema 999, this runlake knows"):
        restore(backup, ledger, T0)
    assert ledger.read_bytes() == before
    assert not [file.name for file in tmp_path.iterdir() if "restore" in file.name]


RESTORE = "restore(Path(sys.argv[2]) / 'backup.duckdb', Path(sys.argv[1]), datetime.now(UTC))"


@pytest.mark.parametrize("at", ["link", "replace", "fsync"])
async def test_a_killed_restore_leaves_the_old_ledger_or_the_new(ledger: Path, tmp_path: Path, at: str) -> None:
    backup = await backed_up(ledger, tmp_path)
    left_with_log(ledger)
    killed_in(tmp_path, ledger, RESTORE, at)
    assert names(ledger) == ["in the log"]
    assert len(content(ledger)["runs"]) == 3
    restore(backup, ledger, T0)
    assert content(ledger) == content(backup)
    assert not list(tmp_path.glob("ledger.duckdb.restore*"))


async def test_a_killed_restore_parts_no_unreadable_ledger_from_its_log(ledger: Path, tmp_path: Path) -> None:
    await backed_up(ledger, tmp_path)
    left_with_log(ledger)
    ledger.write_bytes(ledger.read_bytes()[:50_000])
    before = ledger.read_bytes(), files.wal(ledger).read_bytes()
    killed_in(tmp_path, ledger, RESTORE, "link")
    assert (ledger.read_bytes(), files.wal(ledger).read_bytes()) == before


async def test_a_published_copy_is_a_backup_too_and_what_an_absent_ledger_asks_for(
    ledger: Path, tmp_path: Path
) -> None:
    await backed_up(ledger, tmp_path)
    async with Store(ledger) as store:
        await store.publish(T0)
    before = content(ledger)
    ledger.unlink()
    with pytest.raises(StoreError, match=r"is not there any more; .*`runlake restore .*ledger\.published\.duckdb`"):
        connect(ledger)
    assert not ledger.exists()
    restore(published_path(ledger), ledger, T0)
    assert content(ledger) == before


# --- rebuild ---------------------------------------------------------------------------------------------------------

NOTHING = [
    {"table": "runs", "added": 0, "changed": 0, "removed": 0},
    {"table": "watched", "added": 0, "changed": 0, "removed": 0},
]


async def test_an_intact_ledger_is_rebuilt_to_itself(store: Store, ledger: Path) -> None:
    await put(store, T0, run(1, "running"), run(2, "queued"))
    await put(store, T0 + DAY, run(1), run(3))
    assert await store.rebuild() == NOTHING


async def test_what_the_history_does_not_hold_of_a_run_is_left_as_it_is(store: Store) -> None:
    for hour, word in enumerate(("queued", "running")):
        step = Step(step_id="a", vendor_status=word)
        seen = replace(run(1, "running"), steps=[step], updated_at=T0 + hour * DAY, pipeline_name=f"name {hour}")
        await put(store, T0 + hour * DAY, seen)
    assert await ask(store, "SELECT count(*) FROM run_history") == [(1,)]
    query = "SELECT pipeline_name, updated_at, observed_at, steps_hash FROM rl.runs"
    before = await ask(store, query)
    assert await store.rebuild() == NOTHING
    assert await ask(store, query) == before
    await ask(store, "UPDATE rl.runs SET status = 'failed'")
    assert (await store.rebuild())[0]["changed"] == 1
    assert await ask(store, "SELECT status FROM runs") == [("running",)]
    assert (await ask(store, query))[0][-1] == before[0][-1]


async def test_an_open_run_that_vanished_is_not_watched_again(store: Store) -> None:
    await put(store, T0, run(1, "running"))
    books = Books(a_sync(1, T0 + DAY), vanished=[(run_key("s", run(1).ref), T0, T0 + DAY, "GET /runs/r1")])
    await store.commit(Batch("s", "v", WORDS, WORDS), books)
    assert await ask(store, "SELECT count(*) FROM rl.watched") == [(0,)]
    assert await store.rebuild() == NOTHING


async def test_what_was_lost_doubled_or_altered_is_made_again_from_the_history(store: Store, tmp_path: Path) -> None:
    await put(store, T0, run(1, "running"), run(2, "queued"), run(3), run(4), run(5, "running"), run(6))
    await put(store, T0 + DAY, run(2), run(5, "queued"))
    await store.backup(tmp_path / "before.duckdb")
    for harm in (
        "DELETE FROM rl.runs WHERE run_id = 'r1'",
        "UPDATE rl.runs SET status = 'failed', vendor_status = 'invented' WHERE run_id = 'r2'",
        "INSERT INTO rl.runs FROM rl.runs WHERE run_id = 'r3'",
        "UPDATE rl.runs SET error_message = 'was never said' WHERE run_id = 'r4'",
        "INSERT INTO rl.runs SELECT * REPLACE (uuid() AS run_key) FROM rl.runs WHERE run_id = 'r6'",
        "DELETE FROM rl.watched WHERE run_id = 'r5'",
    ):
        await ask(store, harm)
    dry = await store.rebuild(dry_run=True)
    assert dry == [
        {"table": "runs", "added": 1, "changed": 2, "removed": 2},
        {"table": "watched", "added": 1, "changed": 0, "removed": 0},
    ]
    assert (await ask(store, "SELECT count(*) FROM rl.runs"))[0][0] == 7
    assert await store.rebuild() == dry
    assert await store.audit() == 0
    await store.backup(tmp_path / "after.duckdb")
    before, after = content(tmp_path / "before.duckdb"), content(tmp_path / "after.duckdb")
    assert after["runs"] == before["runs"]
    assert {row[1:7] for row in after["watched"]} == {row[1:7] for row in before["watched"]}
    assert await store.rebuild() == NOTHING


async def test_the_last_to_arrive_counts_also_where_the_clock_was_put_back(store: Store) -> None:
    await put(store, T0 + DAY, run(1, "running"))
    await put(store, T0, run(1))
    assert await store.rebuild() == NOTHING
    await ask(store, "DELETE FROM rl.runs")
    assert (await store.rebuild())[0]["added"] == 1
    assert await ask(store, "SELECT status FROM runs") == [("succeeded",)]


# --- retention -------------------------------------------------------------------------------------------------------


async def test_what_was_known_at_the_limit_or_later_stays_known(store: Store) -> None:
    for day, word in enumerate(("queued", "running", "done")):
        await put(store, T0 + day * DAY, run(1, word), run(2, "queued"))
    as_known = (
        "SELECT run_id, status_then FROM run_history WHERE observed_at <= ? "
        "QUALIFY row_number() OVER (PARTITION BY run_key ORDER BY observed_at DESC) = 1 ORDER BY ALL"
    )
    limit = T0 + 1.5 * DAY
    before = [await ask(store, as_known, at) for at in (limit, T0 + 2 * DAY)]
    pruned = await store.prune(snapshots_before=limit)
    assert pruned.snapshots == 1
    assert [await ask(store, as_known, at) for at in (limit, T0 + 2 * DAY)] == before
    assert (await store.prune(snapshots_before=T0 + 9 * DAY)).snapshots == 1
    assert await ask(store, "SELECT run_id, status_then FROM run_history ORDER BY ALL") == [
        ("r1", "succeeded"),
        ("r2", "queued"),
    ]
    assert await store.rebuild() == NOTHING
    assert (await store.prune(snapshots_before=T0 + 9 * DAY)).snapshots == 0


async def test_stored_runs_are_mapped_anew_after_their_payloads_and_snapshots_went(store: Store) -> None:
    await put(store, T0, run(1, "running"), run(2))
    await put(store, T0 + DAY, run(1))
    await ask(store, "INSERT INTO rl.run_payloads SELECT run_key, observed_at, '{}' FROM rl.runs")
    pruned = await store.prune(payloads_before=T0 + DAY, snapshots_before=T0 + 9 * DAY)
    assert (pruned.payloads, pruned.snapshots) == (1, 1)
    assert await ask(store, "SELECT observed_at FROM rl.run_payloads") == [(T0 + DAY,)]
    tables = {"run": (WORDS, StatusTable(done=RunStatus.SKIPPED)), "step": (WORDS, StatusTable())}
    [change] = await store.remap("s", "v", tables, T0 + 2 * DAY, dry_run=False)
    assert (change["before"], change["after"], change["rows"]) == ("succeeded", "skipped", 2)
    assert await store.rebuild() == NOTHING


async def test_syncs_that_changed_nothing_go_and_what_tells_of_trouble_or_of_runs_stays(store: Store) -> None:
    await put(store, T0, run(1, "running"), number=1)
    await put(store, T0 + DAY, number=2)
    await put(store, T0 + 2 * DAY, number=3, outcome="failed")
    await put(store, T0 + 3 * DAY, run(1, "running"), number=4)
    await put(store, T0 + 3.5 * DAY, run(1), number=6)
    await put(store, T0 + 4 * DAY, number=5)
    health = await ask(store, "FROM source_health")
    assert (await store.prune(books_before=T0 + 99 * DAY)).syncs == 2
    assert await ask(store, "SELECT right(sync_id::VARCHAR, 1), outcome FROM rl.syncs ORDER BY ALL") == [
        ("1", "ok"),
        ("3", "failed"),
        ("5", "ok"),
        ("6", "ok"),
    ]
    assert await ask(store, "FROM source_health") == health
    assert await ask(store, "SELECT count(*) FROM run_history ANTI JOIN rl.syncs USING (sync_id)") == [(0,)]


async def test_the_last_good_sync_stays_however_long_ago_it_was(store: Store) -> None:
    await put(store, T0, number=1)
    await put(store, T0 + DAY, number=2, outcome="failed")
    assert (await store.prune(books_before=T0 + 99 * DAY)).syncs == 0
    assert await ask(store, "SELECT last_good_at, last_outcome, failures_since_good FROM source_health") == [
        (T0, "failed", 1)
    ]


async def test_of_comparisons_with_the_vendors_list_those_of_each_day_stay_that_tell_something_new(
    store: Store,
) -> None:
    await put(store, T0, run(1))
    await store.compare("s", [(run_key("s", run(2).ref), "p", "r2", T0 - DAY)], T0)
    listed = [(run_key("s", run(1).ref), "p", "r1", T0)]
    for day in range(3):
        await store.compare("s", listed, T0 + day * DAY)
    assert (await store.prune(books_before=T0 + 1.5 * DAY)).comparisons == 1
    assert await ask(store, "SELECT checked_at FROM coverage ORDER BY day") == [(T0,), (T0 + 2 * DAY,)]
    found = "SELECT source, expected, checked_days FROM source_coverage(?, ?, known_at := ?)"
    assert await ask(store, found, T0, T0 + DAY, T0 + 0.5 * DAY) == [("s", 1, 1)]


async def test_alerts_that_never_fired_go_and_those_that_did_stay(store: Store) -> None:
    row = (
        "INSERT INTO rl.alerts BY NAME SELECT uuid() AS alert_id, 'r' AS rule, 'failed' AS kind, ? AS key, "
        "if(?::TIMESTAMPTZ IS NULL, 'pending', 'resolved') AS state, 'info' AS severity, ?::TIMESTAMPTZ AS since, "
        "since AS pending_at, since AS judged_at, '' AS why, '{}' AS facts, false AS flapping, "
        "?::TIMESTAMPTZ AS fired_at, ?::TIMESTAMPTZ AS resolved_at"
    )
    for key, fired_at, resolved_at in (
        ("flake", None, T0),
        ("late flake", None, T0 + 2 * DAY),
        ("fired", T0, T0),
        ("pending", None, None),
    ):
        await ask(store, row, key, resolved_at, T0, fired_at, resolved_at)
    assert (await store.prune(books_before=T0 + DAY)).flakes == 1
    assert await ask(store, "SELECT key FROM alerts ORDER BY ALL") == [("fired",), ("late flake",), ("pending",)]


async def test_a_sync_waits_for_a_portion_and_not_for_the_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from runlake.store import retention

    monkeypatch.setattr(retention, "PORTION", 10)
    await ask(
        store,
        "INSERT INTO rl.run_payloads SELECT uuid(), ?::TIMESTAMPTZ + to_minutes(i), 'x' FROM range(100) t(i)",
        T0,
    )
    left: list[int] = []

    async def watch() -> None:
        while not left or left[-1]:
            left.append((await ask(store, "SELECT count(*) FROM rl.run_payloads"))[0][0])

    _, pruned = await asyncio.gather(watch(), store.prune(payloads_before=T0 + DAY))
    assert pruned.payloads == 100
    assert left == sorted(left, reverse=True)
    assert len(set(left)) > 5


# --- compaction ------------------------------------------------------------------------------------------------------

FILLER = (
    "INSERT INTO rl.run_payloads SELECT uuid(), ?, md5(i::VARCHAR) || md5((i + 1)::VARCHAR) FROM range(500000) t(i)"
)
COMPACT = """
from runlake.store import compaction
compaction.DEAD_ABOVE = 1 << 20

async def compact():
    async with Store(Path(sys.argv[1])) as store:
        await store.compact()

asyncio.run(compact())
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "ledger.duckdb"

    async def fill() -> None:
        async with Store(path) as store:
            await put(store, T0, run(1), run(2, "running"))
            await ask(store, "CREATE VIEW my_own AS SELECT count(*) AS runs FROM runs")
            await ask(store, FILLER, T0)
            await ask(store, "INSERT INTO rl.run_payloads SELECT run_key, ?, 'kept' FROM rl.runs", T0 + DAY)

    asyncio.run(fill())
    return path


@pytest.fixture
def spacious(filled: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ledger with 20 MB of payloads that can go; fewer than in life are worth a copy."""
    monkeypatch.setattr(compaction, "DEAD_ABOVE", 1 << 20)
    shutil.copy(filled, ledger)
    return ledger


async def test_dead_space_is_given_back_and_nothing_else_changes(spacious: Path, tmp_path: Path) -> None:
    async with Store(spacious) as store:
        assert await store.compact() is None
        full = spacious.stat().st_size
        assert (await store.prune(payloads_before=T0 + DAY)).payloads == 500_000
        await store.backup(tmp_path / "before.duckdb")
        compacted = await store.compact()
        assert compacted is not None
        assert compacted.before > 0.8 * full
        assert compacted.after == spacious.stat().st_size < compacted.before / 10
        await put(store, T0 + 2 * DAY, run(3))
        assert await store.compact() is None
        assert await ask(store, "SELECT runs FROM my_own") == [(3,)]
    (tmp_path / "before.duckdb").replace(tmp_path / "ledger2.duckdb")
    async with Store(tmp_path / "ledger2.duckdb") as store:
        await put(store, T0 + 2 * DAY, run(3))
    assert content(spacious) == content(tmp_path / "ledger2.duckdb")
    described = (
        "SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
        "WHERE database_name = current_database() AND NOT internal ORDER BY ALL"
    )
    told = []
    for file in (spacious, tmp_path / "ledger2.duckdb"):
        with duckdb.connect(str(file), read_only=True) as con:
            told.append(con.execute(described).fetchall())
            tags = con.execute("SELECT tags FROM duckdb_databases() WHERE NOT internal").fetchall()[0][0]
            assert tags["storage_version"].startswith("v1.5.0")
    assert told[0] == told[1]


@pytest.mark.parametrize("at", ["replace", "fsync"])
async def test_a_killed_compaction_loses_nothing(spacious: Path, tmp_path: Path, at: str) -> None:
    async with Store(spacious) as store:
        await store.prune(payloads_before=T0 + DAY)
    before = content(spacious)
    killed_in(tmp_path, spacious, COMPACT, at)
    assert content(spacious) == before
    async with Store(spacious) as store:
        assert await store.compact() is not None
    assert content(spacious) == before
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.duckdb"]


async def test_a_ledger_is_not_compacted_without_room(
    spacious: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store(spacious) as store:
        await store.prune(payloads_before=T0 + DAY)
        free = 64 * 2**20 + 1000
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, free))
        with pytest.raises(StoreError, match="free some space"):
            await store.compact()
        assert await ask(store, "SELECT count(*) FROM runs") == [(2,)]
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.duckdb"]


# --- the lock --------------------------------------------------------------------------------------------------------

OPENING = """
import sys
from pathlib import Path
from runlake.errors import StoreError
from runlake.store.database import connect
try:
    connect(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


def refused_elsewhere(ledger: Path) -> bool:
    done = subprocess.run([sys.executable, "-c", OPENING, str(ledger)], capture_output=True, text=True, check=True)
    return f"is in use by process {os.getpid()}" in done.stdout


async def test_no_copy_of_the_ledger_gives_up_its_lock(spacious: Path, tmp_path: Path) -> None:
    async with Store(spacious) as store:
        assert refused_elsewhere(spacious)
        await store.backup(tmp_path / "backup.duckdb")
        assert refused_elsewhere(spacious)
        await store.publish(T0)
        assert refused_elsewhere(spacious)
        await store.prune(payloads_before=T0 + DAY)
        assert await store.compact() is not None
        assert refused_elsewhere(spacious)
        await store.reopen()
        assert refused_elsewhere(spacious)


# --- our own faults --------------------------------------------------------------------------------------------------

FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from runlake.errors import StoreError
from runlake.store import Store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def put(con, number):
    con.execute("INSERT INTO rl.run_payloads SELECT uuid(), now(), md5(i::VARCHAR) FROM range(20000) t(i)")
    con.execute("INSERT INTO rl.sources VALUES (?, 'v', 'V', NULL, NULL)", [str(number)])

async def main():
    async with Store(Path(sys.argv[1])) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, resource.RLIM_INFINITY))
        acknowledged = 0
        try:
            while acknowledged < 1000:
                await store._transaction(lambda con: put(con, acknowledged))
                acknowledged += 1
        except StoreError as error:
            assert "disk is full" in str(error), error
        for _ in range(2):
            try:
                await store._transaction(lambda con: put(con, -1))
            except StoreError:
                pass
            else:
                raise AssertionError("it went on")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await store.reopen()
        count = "SELECT count(*), count(DISTINCT source), (SELECT count(*) FROM rl.run_payloads) FROM rl.sources"
        found = await store._do(lambda: store._connection.execute(count).fetchall()[0])
        assert found == (acknowledged, acknowledged, 20000 * acknowledged), (found, acknowledged)
        await store._transaction(lambda con: put(con, acknowledged))
        print(acknowledged)

asyncio.run(main())
"""


def test_after_a_full_disk_reopening_gives_exactly_what_was_acknowledged(ledger: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL_DISK, str(ledger)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 0 < int(done.stdout) < 1000


async def test_nothing_is_written_to_a_ledger_that_was_removed(store: Store, ledger: Path, tmp_path: Path) -> None:
    await put(store, T0, run(1))
    await store.publish(T0)
    copy = published_path(ledger).read_bytes()
    ledger.unlink()
    for attempt in (put(store, T0 + DAY, run(2)), store.publish(T0 + DAY), store.audit(), store.compact()):
        with pytest.raises(StoreError, match=r"was removed .* `runlake restore .*published\.duckdb`"):
            await attempt
    with pytest.raises(StoreError, match="is not there any more"):
        await store.reopen()
    assert not ledger.exists()
    assert published_path(ledger).read_bytes() == copy
    restore(published_path(ledger), ledger, T0)
    with pytest.raises(StoreError, match="was replaced by another file"):
        await put(store, T0 + DAY, run(2))
    await store.reopen()
    await put(store, T0 + DAY, run(2))
    assert await ask(store, "SELECT run_id FROM runs ORDER BY ALL") == [("r1",), ("r2",)]


async def test_a_removed_folder_is_told_like_a_removed_file(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    async with Store(folder / "ledger.duckdb") as store:
        shutil.rmtree(folder)
        with pytest.raises(StoreError, match="was removed while it was in use"):
            await put(store, T0, run(1))
    assert not folder.exists()


async def test_closing_a_replaced_ledger_leaves_the_log_of_the_one_there_now(ledger: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "ledger.duckdb"
    other.parent.mkdir()
    connect(other).close()
    left_with_log(other)
    async with Store(ledger) as store:
        await put(store, T0, run(1))
        files.wal(ledger).rename(tmp_path / "its.wal")
        for file in (other, files.wal(other)):
            file.replace(ledger.parent / file.name)
    assert names(ledger) == ["in the log"]


async def test_a_store_that_could_not_be_reopened_says_so_until_it_can(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runlake import store as module

    def fail(_: Path) -> duckdb.DuckDBPyConnection:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(module, "connect", fail)
        with pytest.raises(StoreError, match="the disk is full"):
            await store.reopen()
    with pytest.raises(StoreError, match="is closed since an error"):
        await put(store, T0, run(1))
    await store.reopen()
    await put(store, T0, run(1))


def test_a_damaged_ledger_is_told_what_may_take_its_place(ledger: Path) -> None:
    connect(ledger).close()
    shutil.copy(ledger, published_path(ledger))
    ledger.write_bytes(ledger.read_bytes()[:50_000])
    with pytest.raises(StoreError, match=r"is damaged.*`runlake restore FILE`.*`runlake restore .*published\.duckdb`"):
        connect(ledger)


def test_a_network_file_system_is_told_by_its_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    folder = tmp_path / "my share"
    folder.mkdir()
    mounts.write_text(
        "/dev/vda / ext4 rw 0 0\n"
        f"filer:/export {str(folder).replace(' ', chr(92) + '040')} nfs4 rw 0 0\n"
        f"/dev/vdb {tmp_path}/my ext4 rw 0 0\n"
        f"/dev/vdc {tmp_path} ext4 rw 0 0\n"
    )
    monkeypatch.setattr(place, "_MOUNTS", mounts)
    assert place.network_filesystem(folder / "ledger.duckdb") == "nfs4"
    assert place.network_filesystem(tmp_path / "ledger.duckdb") is None
    monkeypatch.setattr(place, "_MOUNTS", tmp_path / "none")
    assert place.network_filesystem(folder / "ledger.duckdb") is None
