"""One socket for all tests here, whose other end is exchanged, and plain questions to a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from runlake.config import Source
from runlake.emulator import Emulator, serve
from runlake.store import Store

_SECRETS = ("api_key", "token", "password")


class Stage:
    """An ASGI app that plays whatever `scene` is set: starting a server for each test costs 0.3 s."""

    def __init__(self) -> None:
        self.scene: ASGIApp | None = None
        self.base_url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.scene is not None, "set the scene before asking"
        await self.scene(scope, receive, send)

    def release(self) -> None:
        if isinstance(self.scene, Emulator):
            self.scene.release()


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    stage = Stage()
    # All that `serve` asks of an emulator is to be an app and to let go of its answers.
    with serve(cast(Emulator, stage)) as base_url:
        stage.base_url = base_url
        yield stage


def source_of(emulator: Emulator, vendor: str, base_url: str, folder: Path, **options: Any) -> Source:
    """The emulated vendor as a user would configure it: with its secrets in files of `folder`."""
    settings = emulator.settings(vendor, base_url) | options.pop("settings", {})
    for key in _SECRETS:
        if isinstance(settings.get(key), str):
            file = folder / f"{vendor}.{key}"
            file.write_text(settings[key])
            settings[key] = {"file": str(file)}
    return Source(name=vendor, connector=vendor, settings=settings, **options)


async def ask(store: Store, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of the open ledger, which no second connection may open meanwhile."""

    def work() -> list[tuple[Any, ...]]:
        con: duckdb.DuckDBPyConnection = store._connection
        return con.execute(query, list(values)).fetchall()

    return await store._do(work)


async def one(store: Store, query: str, *values: Any) -> Any:
    """The only row of an answer: its value if it has one column, else a tuple."""
    (row,) = await ask(store, query, *values)
    return row[0] if len(row) == 1 else row
