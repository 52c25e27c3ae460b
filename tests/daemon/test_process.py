"""The daemon from its first start to its end, whichever end that is."""

from __future__ import annotations

import asyncio
import random
import signal
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import duckdb

from cli.conftest import run
from runlake.emulator import Emulator
from runlake.http.control import control_path
from runlake.store import Store, published_path
from sync.conftest import one
from sync.judge import differences
from sync.test_crash import TORN

from .conftest import WITHIN, Account, Gate, Running, configure, free_port, until

Begin = Callable[..., Running]


def test_a_newcomer_is_greeted_sees_each_source_and_can_ask_at_once(account: Account, begin: Begin) -> None:
    folder = account.folder
    assert run("init", cwd=folder).code == 0
    config = folder / "runlake.toml"
    # As it is written but for its address, and one source that is there.
    port = free_port()
    (folder / "port").write_text(str(port))
    config.write_text(
        config.read_text()
        + f'[daemon]\nlisten = "127.0.0.1:{port}"\n'
        + account.table("clerk", "")
        + account.named("typo", "esper", "")
    )
    (folder / "esper-token").write_text("that of somebody else")
    daemon = begin(log="console")
    daemon.wait_until(lambda: "source.synced" in daemon.text and "source.down" in daemon.text, "line for each source")
    for line in (
        "polls 2 sources into runlake.duckdb; Ctrl-C ends it",
        f"http://127.0.0.1:{port}/healthz",
        "runlake status",
    ):
        assert line in daemon.text
    until(published_path(daemon.database).exists, "copy")
    until(lambda: run("sql", "SELECT count(*) FROM runs", "--format", "csv", cwd=folder).out.split()[-1] != "0", "runs")
    assert daemon.get("/readyz").json() == {"status": "ok"}
    assert stat.S_IMODE(control_path(daemon.database).stat().st_mode) == 0o600
    code, seconds = daemon.end()
    assert (code, seconds < 10) == (0, True)
    assert not control_path(daemon.database).exists()
    assert "Traceback" not in daemon.text


def test_ended_in_the_middle_of_a_long_first_sync_it_keeps_the_pages_and_goes_on_from_there(
    account: Account, begin: Begin
) -> None:
    clock = account.emulator.clock
    account = replace(account, emulator=Emulator(5, clock, start=clock.now() - timedelta(days=14), rate=3.0))
    account.stage.scene = gate = Gate(account.emulator, requests=12)
    more = 'every = "1s"\nsteps = "none"\nconcurrency = 1'
    configure(account.folder, account.table("clarifeye", more) + "page_size = 10\n")
    daemon = begin()
    assert gate.reached.wait(WITHIN)
    code, seconds = daemon.end()
    assert (code, seconds < 10) == (0, True)
    assert daemon.said("source.down") == []
    with duckdb.connect(str(daemon.database)) as con:
        [(outcome, kept)] = con.execute("SELECT outcome, new_runs FROM rl.syncs").fetchall()
        [(project, cursor)] = con.execute("SELECT feed, cursor FROM rl.feeds WHERE cursor IS NOT NULL").fetchall()
    assert (outcome, kept, cursor) == ("interrupted", 100, "100")
    assert daemon.published("SELECT count(*) FROM runs") == [(kept,)]

    gate.open()
    account.stage.scene = account.emulator
    account.emulator.clarifeye.requests.reset()
    again = begin()
    row = again.wait_for("source.synced", source="clarifeye", outcome="ok")
    assert again.end()[0] == 0
    asked = [seen.query for seen in account.emulator.clarifeye.requests if f"/{project}/pipeline-runs" in seen.path]
    assert {"limit=10&offset=0", "limit=10&offset=100"} <= set(asked)  # what has come meanwhile, and the rest
    assert "limit=10&offset=50" not in asked
    with duckdb.connect(str(daemon.database)) as con:
        assert con.execute("SELECT count(*), count(DISTINCT run_key) FROM runs").fetchall() == [
            (kept + row["new"],) * 2
        ]


STUCK = """
import pathlib
import threading
from runlake.cli import serving
from runlake.store import Store

def work():
    pathlib.Path("stuck").touch()
    threading.Event().wait()

async def publish(self, as_of):
    await self._do(work)

Store.publish, serving.LONGEST_END = publish, 0.5
"""


def test_a_thread_that_comes_to_no_end_holds_up_no_end(account: Account, begin: Begin) -> None:
    configure(account.folder, account.table("clerk"))
    (account.folder / "sitecustomize.py").write_text(STUCK)
    daemon = begin(env={"PYTHONPATH": str(account.folder)})
    until((account.folder / "stuck").exists, "publish")
    code, seconds = daemon.end()
    assert (code, seconds < 10) == (0, True)
    assert len(daemon.said("daemon.cut_short")) == 1, daemon.text
    with duckdb.connect(str(daemon.database), read_only=True) as con:
        assert con.execute("SELECT count(*) > 0 FROM rl.runs").fetchall() == [(True,)]


def test_a_second_daemon_is_refused_and_told_who_holds_the_ledger(account: Account, begin: Begin) -> None:
    configure(account.folder, account.table("clerk"))
    first = begin()
    first.wait_for("daemon.started")
    second = begin()
    assert second.end(None)[0] == 3
    assert f"in use by process {first.process.pid}" in second.text
    assert control_path(first.database).exists()


def test_killed_at_any_moment_it_starts_again_and_the_ledger_equals_the_vendor(account: Account, begin: Begin) -> None:
    vendors = ("clarifeye", "clerk", "airflow")
    configure(account.folder, *(account.table(vendor) for vendor in vendors))
    rng, clock = random.Random(7), account.emulator.clock
    keys: set[str] = set()
    for _ in range(10):
        account.stage.scene = gate = Gate(account.emulator, requests=rng.randint(0, 60))
        daemon = begin()
        assert gate.reached.wait(WITHIN), daemon.text
        assert daemon.end(signal.SIGKILL)[0] == -signal.SIGKILL
        assert control_path(daemon.database).exists()
        with duckdb.connect(str(daemon.database)) as con:
            kept = {key for (key,) in con.execute("SELECT run_key::VARCHAR FROM rl.runs").fetchall()}
            assert kept >= keys
            keys = kept
            for query in TORN:
                assert con.execute(query).fetchall() == [], query
        gate.open()
        clock.advance(timedelta(minutes=rng.choice([0, 5, 60])))
    account.stage.scene = account.emulator
    daemon = begin()
    for vendor in vendors:
        daemon.wait_for("source.synced", source=vendor, outcome="ok")
    assert daemon.control("GET", "/status").json()["pid"] == daemon.process.pid
    assert daemon.end()[0] == 0
    clock.set(clock.now())

    async def judge() -> None:
        async with Store(daemon.database) as store:
            assert await store.audit() == 0
            assert await one(store, "SELECT count(*) FROM rl.syncs WHERE outcome = 'running'") == 0
            for vendor in vendors:
                assert await differences(store, account.emulator, vendor, timedelta(days=3)) == []

    asyncio.run(judge())
