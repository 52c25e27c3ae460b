"""The daemon's two doors: the address of the config for machines and people, and a socket beside the ledger for the
commands of whoever may read that folder."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address

import h11
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from runlake.daemon import Daemon
from runlake.errors import ConfigError
from runlake.http import control_path
from runlake.web import alerting, control, health, hooks
from runlake.web.metrics import metrics
from runlake.web.sql import Sql

log = structlog.get_logger()

SLOWEST = 30.0
"""Seconds that a request may take to arrive."""


@asynccontextmanager
async def serving(daemon: Daemon) -> AsyncIterator[str]:
    """Serves both; yields the address. Raises ConfigError where it cannot be listened at."""
    token = daemon.config.daemon.sql_token
    if token is not None:
        token.reveal()  # an unset variable is told now, not to the first who asks
    sql = Sql(lambda: daemon.config.database, lambda: _token(daemon))
    host, _, port = daemon.config.daemon.listen.rpartition(":")
    host = host.strip("[]")
    public = Starlette(
        routes=[*health.routes(daemon), metrics(daemon), hooks.route(daemon), sql.route()],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_hosts(host))],
        exception_handlers={Exception: _crashed},
    )
    private = Starlette(
        routes=[*control.routes(daemon), *alerting.routes(daemon)], exception_handlers={Exception: _crashed}
    )
    with _listening(host, int(port)) as listening, _beside(daemon) as beside:
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        servers = [_server(public), _server(private)]
        tasks = [asyncio.create_task(servers[0].serve(sockets=[listening]))]
        if beside is not None:
            tasks.append(asyncio.create_task(servers[1].serve(sockets=[beside])))
        try:
            yield address
        finally:
            await sql.close()
            for server in servers:
                server.should_exit = True
            await asyncio.wait(tasks, timeout=3)


def _crashed(request: Request, error: Exception) -> Response:
    """A bug of ours: told in full where the daemon's other bugs are, not to who asks."""
    if not isinstance(error, ClientDisconnect):  # whoever asked has gone away halfway
        log.error("request.crashed", path=request.url.path, exc_info=error)
    return JSONResponse({"error": "a bug; the daemon's log has it"}, 500)


def _token(daemon: Daemon) -> str | None:
    secret = daemon.config.daemon.sql_token
    return secret.reveal() if secret is not None else None


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are the daemon's


class _Connection(H11Protocol):
    """Ends where no request arrives: uvicorn keeps a silent client for ever, and 256 of them shut out all others."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look(None)

    def _look(self, before: object) -> None:
        now = (self.cycle, self.conn.their_state)
        if now == before and self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.transport.close()
        elif not self.transport.is_closing():
            self.loop.call_later(SLOWEST, self._look, now)


def _server(app: Starlette) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=_Connection,
            log_config=None,
            log_level=60,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
            timeout_keep_alive=30,
            limit_concurrency=256,
            h11_max_incomplete_event_size=16 * 1024,
            ws="none",
        )
    )


def _hosts(host: str) -> list[str]:
    """On loopback only our own names are answered: a page in a browser may have a name of its own point here."""
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return ["localhost", "127.0.0.1", "[::1]", host] if local else ["*"]


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(128)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}:{port}: {(error.strerror or str(error)).lower()}; "
            "write another `listen` under [daemon]"
        ) from None
    with listening:
        yield listening


@contextmanager
def _beside(daemon: Daemon) -> Iterator[socket.socket | None]:
    """The socket beside the ledger. Whoever holds the ledger's lock may take its place; only its owner may use it."""
    path = control_path(daemon.config.database)
    beside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        beside.bind(str(path))
        beside.listen(16)
    except OSError as error:  # a path of more than 107 bytes, or a file system without sockets
        log.warning("control.off", error=str(error), todo="reload with SIGHUP; other commands cannot reach the daemon")
        beside.close()
        yield None
        return
    finally:
        os.umask(mask)
    try:
        with beside:
            yield beside
    finally:
        path.unlink(missing_ok=True)
