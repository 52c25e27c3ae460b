"""The socket beside the ledger: only its owner may use it, and every command that writes goes through it."""

from __future__ import annotations

import asyncio
import re
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cli.conftest import Command, Vendors, configure, project, runlake
from cli.daemons import ANYWHERE, polling
from runlake.cli.once import There
from runlake.cli.running import Running
from runlake.errors import ConfigError, StoreError
from runlake.http import DaemonClient, control_path
from runlake.store import Store, published_path

from .conftest import MONDAY, Serve, Served

__all__ = ["project", "runlake"]


@asynccontextmanager
async def asking(served: Served) -> AsyncIterator[tuple[DaemonClient, There]]:
    async with DaemonClient(served.daemon.config.database) as client:
        yield client, There(client)


async def test_only_its_owner_may_use_the_socket_and_it_goes_with_the_daemon(folder: Path, serve_daemon: Serve) -> None:
    path = control_path(folder / "ledger.duckdb")
    path.write_text("what a daemon that was killed left behind")
    async with serve_daemon() as served:
        mode = path.stat().st_mode
        assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
        async with asking(served) as (client, _):
            assert await client.running()
    assert not path.exists()


async def test_what_a_daemon_says_of_itself_holds_no_secret(
    vendors: Vendors, folder: Path, serve_daemon: Serve
) -> None:
    (folder / "sql").write_text("sql-s3cr3t")
    sql = f'sql_token = {{ file = "{folder}/sql" }}'
    async with serve_daemon(*(vendors.table(n, folder) for n in ("clarifeye", "airflow")), daemon=sql) as served:
        await served.sync()
        async with asking(served) as (client, _):
            told = await client.status()
        assert told is not None
        running = Running.model_validate(told)
        assert set(running.sources) == {"clarifeye", "airflow"}
        assert running.config["daemon"]["sql_token"] == f"Secret(file='{folder}/sql')"
        for secret in ("sql", "clarifeye-token", "airflow-password"):
            assert (folder / secret).read_text() not in str(told)


async def test_each_attempt_that_a_command_makes_is_made_by_the_daemon(
    vendors: Vendors, folder: Path, serve_daemon: Serve
) -> None:
    clinia = re.sub(r"tasks = .*", "", vendors.table("clinia", folder))
    clarifeye = vendors.table("clarifeye", folder, more='history = "1d"')
    async with serve_daemon(clarifeye, clinia) as served, asking(served) as (client, go):
        source, tracking = served.daemon.config.source
        row = await go.sync(source, None)
        assert (row.kind, row.outcome, row.source) == ("sync", "ok", "clarifeye")
        assert row.started_at == MONDAY
        older = await go.backfill(source, MONDAY - timedelta(days=2), None)
        assert (older.kind, older.outcome) == ("backfill", "ok")
        assert older.new_runs > 0
        runs = len([run for run in vendors.emulator.truth("clarifeye") if run.visible])
        assert row.new_runs + older.new_runs == runs
        compared, days, doubled = await go.coverage(source, None)
        assert (compared.kind, doubled) == ("coverage", 0)
        assert days is not None
        assert sum(day["expected"] for day in days) == runs
        assert [day for day in days if day["missing"]] == []
        handle = f"task:{vendors.emulator.tasks()[0]}"
        followed, tracked = await go.track(tracking, [handle], None)
        assert (followed.outcome, tracked[handle].error, tracked[handle].named) == ("ok", None, followed.new_runs)
        await go.publish()
        assert published_path(folder / "ledger.duckdb").exists()
        told = await client.post("/backup", {"target": str(folder / "backup.duckdb")})
        assert told["bytes"] > 0


async def test_what_is_asked_wrongly_is_told_as_it_would_be_without_a_daemon(
    vendors: Vendors, folder: Path, serve_daemon: Serve
) -> None:
    async with serve_daemon(vendors.table("clarifeye", folder)) as served, asking(served) as (client, _):
        with pytest.raises(ConfigError, match="no source 'nope' in the config; there is clarifeye"):
            await client.post("/sync", {"source": "nope"})
        with pytest.raises(ConfigError, match="another version than this command"):
            await client.post("/sync", {"source": "clarifeye", "colour": "red"})
        with pytest.raises(ConfigError, match="another version than this command"):
            await client.post("/backfill", {"source": "clarifeye", "since": "soon"})
        with pytest.raises(ConfigError, match="`since`"):
            await client.post("/backfill", {"source": "clarifeye"})
        with pytest.raises(StoreError, match="HTTP 404: it is of another version"):
            await client.post("/nope")
        assert await client.running()


async def test_a_ledger_that_refuses_is_told_to_who_asked(vendors: Vendors, folder: Path, serve_daemon: Serve) -> None:
    async with serve_daemon(vendors.table("clarifeye", folder)) as served, asking(served) as (client, go):
        (folder / "ledger.duckdb").rename(folder / "aside.duckdb")
        with pytest.raises(StoreError, match="was removed while it was in use"):
            await go.sync(served.daemon.config.source[0], None)
        told = await client.status()
        assert told is not None
        assert "was removed" in told["ledger_error"]
        assert told["polling"] is False
        (folder / "aside.duckdb").rename(folder / "ledger.duckdb")


async def test_a_client_that_goes_away_and_one_that_says_nothing_harm_nobody(
    vendors: Vendors, folder: Path, serve_daemon: Serve
) -> None:
    async with serve_daemon(vendors.table("clarifeye", folder)) as served, asking(served) as (_, go):
        path = str(control_path(folder / "ledger.duckdb"))
        with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as gone:
            silent.connect(path)
            gone.connect(path)
            gone.sendall(
                b"POST /sync HTTP/1.1\r\nHost: daemon\r\nContent-Length: 22\r\n\r\n" + b'{"source":"clarifeye"}'
            )
            gone.close()
            with capture_logs() as log, socket.socket(socket.AF_UNIX) as halfway:
                halfway.connect(path)
                halfway.sendall(b"POST /sync HTTP/1.1\r\nHost: daemon\r\nContent-Length: 22\r\n\r\n{")
                halfway.close()
                assert (await go.sync(served.daemon.config.source[0], None)).outcome == "ok"
            assert [each for each in log if each["event"] == "request.crashed"] == []


async def test_a_bad_file_changes_nothing_and_says_why(vendors: Vendors, folder: Path, serve_daemon: Serve) -> None:
    async with serve_daemon(vendors.table("clarifeye", folder)) as served, asking(served) as (client, _):
        path = folder / "runlake.toml"
        good = path.read_text()
        before = served.daemon.config
        for text, why in (
            (good + "nope = ", "runlake.toml: "),
            (good.replace('"clarifeye"', '"clarifye"'), "no connector 'clarifye'; there is clarifeye"),
            (good.replace(':0"', ':0"\nsql_token = { file = "none" }', 1), "cannot read the secret file"),
            (good.replace("ledger.duckdb", "other.duckdb"), "`database` has changed, which takes a restart"),
            (good.replace("127.0.0.1:0", "127.0.0.1:1"), "`daemon.listen` has changed, which takes a restart"),
        ):
            path.write_text(text)
            with pytest.raises(ConfigError) as told:
                await client.post("/reload")
            assert why in str(told.value)
            assert "\n" not in str(told.value)
            assert served.daemon.config is before
            assert list(served.daemon.sources) == ["clarifeye"]
        path.unlink()
        with pytest.raises(ConfigError, match="no config at"):
            await client.post("/reload")
        path.write_text(good + vendors.table("esper", folder))
        assert await client.post("/reload") == {"changes": ["esper is new"]}
        path.write_text(good.replace("[source.settings]", 'every = "9m"\n[source.settings]'))
        changes = (await client.post("/reload"))["changes"]
        assert sorted(changes) == ["clarifeye has changed", "esper is polled no more; its history stays"]
        assert (await client.post("/reload"))["changes"] == []


# --- as typed --------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(folder: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project folder whose path is short."""
    monkeypatch.chdir(folder)
    yield folder


def test_commands_beside_a_daemon_do_what_they_do_without_one(here: Path, vendors: Vendors, runlake: Command) -> None:
    vendors.emulator.clock.set(datetime.now(UTC))
    clinia = re.sub(r"tasks = .*", "", vendors.table("clinia", here))
    tables = vendors.table("clarifeye", here, more='history = "1d"'), clinia
    with polling(here, *tables) as daemon:
        done = runlake("sync", "--format", "json")
        assert done.code == 0, done.err
        assert {row["source"] for row in done.json()} == {"clarifeye", "clinia"}
        assert runlake("backfill", "clarifeye", "--since", f"{vendors.emulator.world.start:%Y-%m-%d}").code == 0
        assert runlake("track", "clinia", f"task:{vendors.emulator.tasks()[0]}").code == 0
        done = runlake("coverage", "--format", "json")
        assert done.code == 0
        assert all(row["missing"] == 0 for row in done.json())
        [count] = runlake("sql", "--fresh", "SELECT count(*) AS n FROM runs", "--format", "json").json()
        assert count["n"] > len([run for run in vendors.emulator.truth("clarifeye") if run.visible])
        assert runlake("remap").code == 0
        assert runlake("backup", "kept.duckdb").code == 0
        refused = runlake("restore", "kept.duckdb")
        assert (refused.code, refused.err.count("\n")) == (3, 1)
        assert f"in use by process {daemon.process.pid}" in refused.err
    asyncio.run(_opened(here))


async def _opened(folder: Path) -> None:
    async with Store(folder / "ledger.duckdb") as store:
        assert await store.audit() == 0


def test_fresh_sees_what_was_not_published_yet_and_needs_a_daemon(
    here: Path, vendors: Vendors, runlake: Command
) -> None:
    configure(here, '[daemon]\nlisten = "127.0.0.1:0"\npublish_every = "1d"', vendors.table("clarifeye", here))
    query = "SELECT as_of FROM published LIMIT 1"
    with polling(here):
        [first] = runlake("sql", query, "--format", "json").json()
        assert runlake("sql", query, "--format", "json").json() == [first]
        assert runlake("sql", "--fresh", query, "--format", "json").json()[0]["as_of"] > first["as_of"]
    refused = runlake("sql", "--fresh", query)
    assert (refused.code, refused.err) == (
        2,
        "runlake: no daemon runs on ledger.duckdb; `runlake daemon` starts one\n",
    )


def test_a_reload_of_a_bad_file_is_one_line_and_the_daemon_goes_on(
    here: Path, vendors: Vendors, runlake: Command
) -> None:
    table = vendors.table("clarifeye", here)
    with polling(here, table):
        configure(here, ANYWHERE, table + 'every = "soon"')
        refused = runlake("reload")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        configure(here, ANYWHERE, table)
        same = runlake("reload")
        assert (same.code, same.out, same.err) == (0, "", "all is as it was\n")
    gone = runlake("reload")
    assert (gone.code, "no daemon runs on ledger.duckdb" in gone.err) == (2, True)


async def test_a_reload_of_the_same_file_asks_no_vendor_and_takes_a_new_secret(
    vendors: Vendors, folder: Path, serve_daemon: Serve
) -> None:
    (folder / "hook").write_text("first")
    hook = f'hook = {{ secret = {{ file = "{folder}/hook" }} }}'
    async with serve_daemon(vendors.table("clarifeye", folder, more=hook)) as served:
        await served.sync()
        polled = served.daemon.sources["clarifeye"]
        planned = polled.next_sync_at
        assert polled.source.hook is not None
        assert polled.source.hook.secret.reveal() == "first"
        (folder / "hook").write_text("second")
        assert served.daemon.reload() == []
        assert (polled.source.hook.secret.reveal(), polled.next_sync_at) == ("second", planned)


def test_a_daemon_whose_socket_is_gone_is_not_said_to_be_none(here: Path, vendors: Vendors, runlake: Command) -> None:
    with polling(here, vendors.table("clarifeye", here)) as daemon:
        control_path(here / "ledger.duckdb").unlink()
        refused = runlake("reload")
        assert (refused.code, refused.err.count("\n")) == (3, 1)
        assert f"in use by process {daemon.process.pid}" in refused.err
        assert "the socket is gone" in refused.err
