"""Six emulated vendors that share one world and one clock."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from runlake.emulator.airflow import Airflow
from runlake.emulator.catalog import PIPELINES, Pipeline
from runlake.emulator.clarifeye import Clarifeye
from runlake.emulator.clerk import Clerk
from runlake.emulator.clinia import Clinia
from runlake.emulator.clock import Clock
from runlake.emulator.esper import Esper
from runlake.emulator.truestate import TrueState
from runlake.emulator.vendor import TrueRun, Vendor
from runlake.emulator.wire import Wire
from runlake.emulator.world import World


class Emulator:
    """What a test or a demo holds: ``emulator.clerk.faults``, ``emulator.truth("clerk")``, ``emulator.clock``.

    It is an ASGI app with each vendor under its own name; ``serve()`` puts it on a socket.
    ``start`` is the instant before which no run exists, 30 days before the clock unless told otherwise.
    """

    def __init__(
        self,
        seed: int = 0,
        clock: Clock | None = None,
        *,
        start: datetime | None = None,
        pipelines: Sequence[Pipeline] = PIPELINES,
        rate: float = 1.0,
        equal_timestamps: bool = False,
    ) -> None:
        self.clock = clock or Clock()
        start = start or self.clock.now() - timedelta(days=30)
        self.world = World(seed, start, pipelines, rate=rate, equal_timestamps=equal_timestamps)
        self.clinia = Clinia(self.world, self.clock)
        self.clerk = Clerk(self.world, self.clock)
        self.truestate = TrueState(self.world, self.clock)
        self.clarifeye = Clarifeye(self.world, self.clock)
        self.esper = Esper(self.world, self.clock)
        self.airflow = Airflow(self.world, self.clock)
        vendors: list[Vendor] = [
            *(self.clinia, self.clerk, self.truestate),
            *(self.clarifeye, self.esper, self.airflow),
        ]
        self.vendors = {vendor.name: vendor for vendor in vendors}
        self._wires = [Wire(vendor) for vendor in vendors]
        self._app = Starlette(
            routes=[Route("/", self._index), *(Mount(f"/{wire.vendor.name}", app=wire) for wire in self._wires)]
        )

    def vendor(self, name: str) -> Vendor:
        return self.vendors[name]

    def truth(self, name: str) -> list[TrueRun]:
        """Every run of a vendor created so far, as it is now, oldest first; deleted ones are not ``visible``."""
        return self.vendors[name].truth()

    def tasks(self) -> list[str]:
        """The Clinia task ids known so far: what a user would track."""
        return self.clinia.tasks()

    def settings(self, name: str, base_url: str) -> dict[str, Any]:
        """What a user would configure for a vendor, given the address that ``serve()`` answered."""
        return self.vendors[name].settings(f"{base_url}/{name}")

    def reset(self) -> None:
        """Every vendor as when it was made. World and clock stay as they are."""
        for vendor in self.vendors.values():
            vendor.reset()

    def release(self) -> None:
        """Let go of every answer that a fault holds back. Call it in the server's own loop."""
        for wire in self._wires:
            wire.release()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _index(self, request: Request) -> Response:
        return JSONResponse({"simulated": True, "vendors": list(self.vendors)}, headers={"X-Emulator": "simulated"})
