"""The commands that look after the ledger: `backup` and `rebuild`, by the daemon where one holds it, and `restore`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

from runlake.cli import show
from runlake.cli.show import Format
from runlake.errors import ConfigError
from runlake.http import DaemonClient
from runlake.store import Store
from runlake.store import restore as put_in_place
from runlake.sync import utc_now


def backup(database: Path, target: Path) -> None:
    _require_one(database)
    whole = target.absolute()  # the daemon may have started in another folder

    async def work() -> int:
        async with DaemonClient(database) as client:
            if await client.running():
                return int((await client.post("/backup", {"target": str(whole)}))["bytes"])
        async with Store(database) as store:
            return await store.backup(whole)

    size = asyncio.run(work())
    show.note(f"{target}: the whole ledger, {size / 2**20:.1f} MiB; `runlake restore {target}` puts it in place again")


def restore(database: Path, file: Path, format_: Format) -> None:
    columns = ("source", "runs", "newest_run", "observed_through")
    restored = put_in_place(file, database, utc_now())
    show.rows(columns, [[row[name] for name in columns] for row in restored.sources], format_)
    show.note(f"{database} is now what {file} held")
    if restored.kept is not None:
        show.note(f"the ledger before it is kept as {restored.kept}; remove that once you do not need it")
    asyncio.run(_publish(database, utc_now()))
    show.note("readers see it from now on; the next sync reads what came after")


def rebuild(database: Path, format_: Format, *, dry_run: bool) -> None:
    columns = ("table", "added", "changed", "removed")
    _require_one(database)

    async def work() -> list[dict[str, Any]]:
        async with DaemonClient(database) as client:
            if await client.running():
                return list((await client.post("/rebuild", {"dry_run": dry_run}))["tables"])
        async with Store(database) as store:
            tables = await store.rebuild(dry_run=dry_run)
            if not dry_run and _differs(tables):
                await store.publish(utc_now())
            return tables

    tables = asyncio.run(work())
    show.rows(columns, [[row[name] for name in columns] for row in tables], format_)
    if not _differs(tables):
        show.note("the current tables are what the history says; nothing changes")
    elif dry_run:
        show.note("nothing was changed; without --dry-run it will be")


def _differs(tables: list[dict[str, Any]]) -> bool:
    return any(row[name] for row in tables for name in ("added", "changed", "removed"))


async def _publish(database: Path, at: datetime) -> None:
    async with Store(database) as store:
        await store.publish(at)


def _require_one(database: Path) -> None:
    """Opening a ledger that is not there would make one."""
    if not database.exists():
        raise ConfigError(
            f"there is no ledger at {database}; `runlake sync` makes one, `runlake restore` puts one there"
        )
