"""The daemon that holds a ledger, by what it says of itself."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from runlake.http import DaemonClient


class Planned(BaseModel):
    """One source: what comes next, what is under way, and how many requests wait for their turn, by what for."""

    next_sync_at: datetime
    next_follow_at: datetime | None
    under_way: list[str]
    waiting: dict[str, int]
    down_since: datetime | None
    failures: int
    secrets_expire: dict[str, datetime] = {}


class Running(BaseModel):
    """The fields with defaults are those that a daemon of another version may lack."""

    pid: int
    version: str
    started_at: datetime
    as_of: datetime | None
    ledger_error: str | None
    publish_error: str | None = None
    alerting_error: str | None = None
    ping_error: str | None = None
    polling: bool
    overdue: list[str] = []
    config_file: Path | None = None
    config: dict[str, Any] = {}
    sources: dict[str, Planned]


def running(database: Path) -> Running | None:
    """None where no daemon answers: none runs, it hangs, or it is of a version whose answers are others."""

    async def ask() -> dict[str, Any] | None:
        async with DaemonClient(database) as client:
            return await client.status()

    try:
        told = asyncio.run(ask())
        return Running.model_validate(told) if told is not None else None
    except ValidationError:
        return None
