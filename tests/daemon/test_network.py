"""Vendors that cannot be reached, or answer what no vendor should: told once each, and harming nobody else."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from starlette.types import Receive, Scope, Send

from .conftest import Account, Running, configure, free_port, on_stage, until

Begin = Callable[..., Running]
MiB = 2**20


class Hostile:
    """An ASGI app that answers under each name as bad as that says, until it is told to be good."""

    def __init__(self, good: Any) -> None:
        self.good, self.is_good = good, False
        self.sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, _, rest = scope["path"].removeprefix("/").partition("/")
        if self.is_good:
            await self.good({**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, send)
        elif name == "huge":
            await self._begin(send)
            for _ in range(100):
                await send({"type": "http.response.body", "body": b" " * MiB, "more_body": True})
                self.sent += 1
            await send({"type": "http.response.body", "body": b"[]"})
        elif name == "elsewhere":
            await self._begin(send, 302, (b"location", b"http://169.254.169.254/latest/meta-data"))
            await send({"type": "http.response.body", "body": b""})
        elif name == "drip":
            await self._begin(send)
            while True:
                await send({"type": "http.response.body", "body": b" ", "more_body": True})
                await asyncio.sleep(0.02)

    async def _begin(self, send: Send, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        kind = (b"content-type", b"application/json")
        await send({"type": "http.response.start", "status": status, "headers": [kind, *headers]})


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[str]:
    """A TLS server whose certificate nobody has vouched for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return  # closed
                with connection:
                    try:
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        continue  # as it should

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


DOWN = {
    "dns": ("Unreachable", "cannot reach http://nowhere.invalid"),
    "tls": ("Unreachable", "its TLS certificate does not verify"),
    "refused": ("Unreachable", "cannot reach http://127.0.0.1:"),
    "huge": ("UnexpectedResponse", "larger than 64 MiB and was cut off"),
    "elsewhere": ("UnexpectedResponse", "points to another host, http://169.254.169.254"),
}


def test_each_way_to_be_down_is_told_once_and_so_is_its_end(account: Account, begin: Begin, self_signed: str) -> None:
    hostile, port = Hostile(account.emulator), free_port()
    with on_stage(hostile) as base_url:
        urls = {
            "dns": "http://nowhere.invalid",
            "tls": self_signed,
            "refused": f"http://127.0.0.1:{port}",
            **{name: f"{base_url}/{name}" for name in ("huge", "elsewhere", "drip")},
        }
        configure(
            account.folder,
            account.table("clerk"),
            *(account.named(name, "clerk", base_url=url) for name, url in urls.items()),
        )
        daemon = begin()
        for name, (kind, words) in DOWN.items():
            told = daemon.wait_for("source.down", source=name, error_class=kind)
            assert words in told["error"]
        failed = 'runlake_attempts_total{kind="sync",outcome="failed",source="%s"}'
        until(lambda: all(daemon.metric(failed % name).get("", 0) >= 2 for name in DOWN), "second failures")
        assert daemon.metric('runlake_attempts_total{kind="sync",outcome="ok",source="clerk"}')[""] >= 3
        # Nothing piles up: 190 MiB, or up to 300 more if looked at in the midst of an answer that is too large.
        assert daemon.metric("process_resident_memory_bytes")[""] < 640 * MiB
        assert daemon.control("GET", "/status").json()["sources"]["drip"]["under_way"] == ["sync"]

        hostile.is_good = True
        with on_stage(account.emulator, port):
            for name in ("refused", "huge", "elsewhere"):
                assert daemon.control("POST", "/sync", json={"source": name}).json()["row"]["outcome"] == "ok"
                daemon.wait_for("source.recovered", source=name)
        for name in DOWN:
            assert len(daemon.said("source.down", source=name)) == 1
            assert len(daemon.said("source.recovered", source=name)) == (name not in ("dns", "tls"))
        assert daemon.said("source.down", source="clerk") == daemon.said("source.recovered", source="clerk") == []
        code, seconds = daemon.end()
    assert (code, seconds < 10) == (0, True)
    counts = dict(daemon.published("SELECT source, count(*) FROM runs GROUP BY ALL"))
    assert counts.keys() == {"clerk", "refused", "huge", "elsewhere"}
    assert len(set(counts.values())) == 1
