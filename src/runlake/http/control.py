"""Asking the daemon that holds a ledger, over the socket beside it: who may read the folder may ask."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from runlake import errors
from runlake.errors import RunlakeError, StoreError


def control_path(database: Path) -> Path:
    return database.with_name(f"{database.name}.sock")


class DaemonClient:
    """The daemon of a ledger; `async with`."""

    def __init__(self, database: Path) -> None:
        self.path = control_path(database)
        # A backfill may take hours; whether the daemon is there at all shows at once.
        timeout = httpx.Timeout(None, connect=5)
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self.path)), base_url="http://daemon", timeout=timeout
        )

    async def __aenter__(self) -> DaemonClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def running(self) -> bool:
        return await self.status() is not None

    async def status(self) -> dict[str, Any] | None:
        """None where no daemon runs."""
        if not self.path.exists():
            return None
        try:
            answer = await self._client.get("/status", timeout=5)
        except (httpx.HTTPError, OSError):
            return None
        return dict(answer.json()) if answer.is_success else None

    async def post(self, path: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Raises what the daemon raised; StoreError where it ends meanwhile."""
        try:
            answer = await self._client.post(path, json=content or {})
        except (httpx.HTTPError, OSError):
            raise StoreError("the daemon has ended meanwhile; ask again") from None
        if answer.status_code == httpx.codes.CONFLICT:
            told = answer.json()
            kind = getattr(errors, str(told["class"]), RunlakeError)
            raise kind(told["error"])
        if not answer.is_success:
            raise StoreError(
                f"the daemon answers HTTP {answer.status_code}: it is of another version, or its log says why"
            )
        return dict(answer.json())
