"""`/healthz` and `/readyz`: what a restart would help, and what it would not; and who is answered at all."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from cli.conftest import Vendors
from runlake.errors import StoreError
from runlake.web import server

from .conftest import Serve


async def test_it_lives_at_once_and_is_of_use_once_it_has_published(
    vendors: Vendors, folder: Path, serve_daemon: Serve
) -> None:
    async with serve_daemon(vendors.table("clarifeye", folder)) as served:
        assert (await served.get("/healthz")).json() == {"status": "ok"}
        before = await served.get("/readyz")
        assert (before.status_code, before.json()) == (503, {"status": "nothing is published yet"})
        await served.sync()
        await served.daemon.chores.publish()
        assert (await served.get("/readyz")).status_code == 200
        assert "/metrics" in (await served.get("/")).json()["runlake"]


async def test_sources_that_are_due_and_not_asked_are_a_case_for_a_restart(
    vendors: Vendors, folder: Path, serve_daemon: Serve
) -> None:
    async with serve_daemon(vendors.table("clarifeye", folder)) as served:
        served.clock.advance(timedelta(hours=1))
        stuck = await served.get("/healthz")
        assert (stuck.status_code, stuck.json()) == (503, {"status": "stuck", "overdue": ["clarifeye"]})
        await served.sync()
        assert (await served.get("/healthz")).status_code == 200


async def test_a_ledger_that_is_gone_is_no_case_for_a_restart_and_comes_back(
    vendors: Vendors, folder: Path, serve_daemon: Serve
) -> None:
    async with serve_daemon(vendors.table("clarifeye", folder)) as served:
        await served.sync()
        await served.daemon.chores.publish()
        ledger, aside = folder / "ledger.duckdb", folder / "aside.duckdb"
        ledger.rename(aside)
        with pytest.raises(StoreError):
            await served.sync()
        down = await served.get("/readyz")
        assert (down.status_code, down.json()["status"]) == (503, "the ledger refuses")
        assert "was removed while it was in use" in down.json()["error"]
        assert (await served.get("/healthz")).status_code == 200
        aside.rename(ledger)
        served.may_reopen.set()
        assert served.daemon._reopening is not None
        await asyncio.wait_for(asyncio.shield(served.daemon._reopening), 20)
        assert (await served.get("/readyz")).status_code == 200
        await served.sync()


async def test_a_bug_in_alerting_is_told_to_whoever_asks(
    vendors: Vendors, folder: Path, serve_daemon: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would be told of anything."""

    async def broken(*_: object, **__: object) -> None:
        raise TypeError("a bug")

    async with serve_daemon(vendors.table("clarifeye", folder)) as served:
        await served.sync()
        await served.daemon.chores.publish()
        alerting = served.daemon.alerting
        with monkeypatch.context() as patched:
            patched.setattr("runlake.daemon.alerting.turn", broken)
            with pytest.raises(TypeError):
                await alerting.turn()
        down = await served.get("/readyz")
        assert (down.status_code, down.json()["error"]) == (503, "TypeError: a bug")
        assert "runlake_alerting_up 0.0" in (await served.get("/metrics")).text
        assert served.daemon.status()["alerting_error"] == "TypeError: a bug"
        await alerting.turn()
        assert (await served.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8321", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8321", 200),
        ("evil.example", 400),
        ("evil.example:8321", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("", 400),
    ],
)
async def test_on_loopback_only_our_own_names_are_answered(serve_daemon: Serve, host: str, status: int) -> None:
    async with serve_daemon() as served:
        for path in ("/healthz", "/metrics", "/"):
            assert (await served.get(path, Host=host)).status_code == status


async def test_elsewhere_any_name_may_lead_here(serve_daemon: Serve) -> None:
    async with serve_daemon(host="0.0.0.0") as served:
        url = served.url.replace("0.0.0.0", "127.0.0.1")
        answer = await served.client.get(f"{url}/healthz", headers={"Host": "runlake.example"})
        assert answer.status_code == 200


async def test_it_listens_at_an_address_of_six_bytes_too(serve_daemon: Serve) -> None:
    if not _six():
        pytest.skip("this machine has no IPv6")
    async with serve_daemon(host="[::1]") as served:
        assert served.url.startswith("http://[::1]:")
        assert (await served.get("/healthz")).status_code == 200


def _six() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_an_answer_does_not_say_what_serves_it(serve_daemon: Serve) -> None:
    async with serve_daemon() as served:
        assert "server" not in (await served.get("/healthz")).headers


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /sql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\nContent-Length: 9\r\n\r\nSEL",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /",
    ],
    ids=["silent", "half a head", "half a body", "half a second request"],
)
async def test_who_never_ends_a_request_is_not_waited_for(
    serve_daemon: Serve, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(server, "SLOWEST", 0.05)
    monkeypatch.setenv("SQL", "t")
    async with serve_daemon(daemon='sql_token = { env = "SQL" }') as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        writer.write(begun)
        await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert (await served.get("/healthz")).status_code == 200
