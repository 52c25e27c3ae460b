"""`/healthz`: is the daemon alive? `/readyz`: is it of use? Both 200 or 503, with words."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runlake.daemon import Daemon
from runlake.store import published_path


def routes(daemon: Daemon) -> list[Route]:
    async def index(_: Request) -> Response:
        return JSONResponse({"runlake": ["/healthz", "/readyz", "/metrics", "POST /sql", "POST /hooks/{source}"]})

    async def healthz(_: Request) -> Response:
        """A restart would help where this says no: sources that are due and not asked."""
        late = daemon.overdue()
        if late and daemon.ledger_error is None:
            return JSONResponse({"status": "stuck", "overdue": late}, 503)
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        """No restart would help where this says no: a disk, a bug, or a first sync that is not through."""
        if daemon.ledger_error is not None:
            return JSONResponse({"status": "the ledger refuses", "error": daemon.ledger_error}, 503)
        if daemon.alerting.error is not None:
            return JSONResponse({"status": "alerting meets a bug", "error": daemon.alerting.error}, 503)
        if not published_path(daemon.config.database).exists():
            return JSONResponse({"status": "nothing is published yet"}, 503)
        return JSONResponse({"status": "ok"})

    return [Route("/", index), Route("/healthz", healthz), Route("/readyz", readyz)]
