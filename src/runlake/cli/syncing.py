"""The commands that write to the ledger: `sync`, `backfill`, `track`, `coverage`, `remap`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from time import monotonic
from typing import Any

from runlake import sync as engine
from runlake.cli import SOURCE_FAILED, show
from runlake.cli.advice import advice
from runlake.cli.once import Done, Go, side_by_side
from runlake.cli.progress import Live
from runlake.cli.show import Format
from runlake.config import Config, Source
from runlake.connector import can
from runlake.errors import ConfigError
from runlake.http import DaemonClient
from runlake.store import Store, Sync, Tracked
from runlake.sync import Clock, utc_now

COLUMNS = ("source", "outcome", "new", "changed", "open", "unknown", "requests", "seconds")
_MORE = ("seen", "vanished", "observed_through", "error_class", "error", "notes")


def sync(config: Config, sources: Sequence[Source], format_: Format, *, now: Clock = utc_now) -> int:
    """Returns the exit code."""
    with Live([source.name for source in sources]) as live:

        async def one(go: Go, source: Source) -> Sync:
            return await go.sync(source, live.on)

        done = asyncio.run(side_by_side(config.database, sources, reported(live, one), now=now))
    return _told(done, format_)


def backfill(config: Config, source: Source, since: str, format_: Format) -> int:
    start = day(since)
    if start > utc_now():
        raise ConfigError(f"--since {since} is in the future")
    connector = source.build()
    if not can(type(connector), "pipelines") and not connector.feeds([]):
        raise ConfigError(f"{connector.title} documents no list to go back in; `runlake track` follows single runs")
    with Live([source.name]) as live:

        async def one(go: Go, source: Source) -> Sync:
            return await go.backfill(source, start, live.on)

        done = asyncio.run(side_by_side(config.database, [source], reported(live, one)))
    return _told(done, format_)


def day(text: str) -> datetime:
    """A date (its beginning in UTC) or an instant with its offset."""
    try:
        if len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        instant = datetime.fromisoformat(text)
        zoned = instant.tzinfo is not None
        instant = instant.astimezone(UTC) if zoned else instant
    except (ValueError, OverflowError):
        raise ConfigError(f"--since {text}: write a date such as 2026-01-31, or 2026-01-31T09:00:00+01:00") from None
    if not zoned:
        raise ConfigError(f"--since {text}: add the offset from UTC, as in {text}Z or {text}+01:00")
    return instant


def track(config: Config, source: Source, refs: Sequence[str], format_: Format) -> int:
    kind = source.connector_type()
    if not can(kind, "resolve"):
        raise ConfigError(f"connector {kind.name} finds its runs in the vendor's list; there is nothing to track")
    asked = list(dict.fromkeys(ref.strip() for ref in refs if ref.strip()))
    if not asked:
        raise ConfigError("name at least one run to track")
    with Live([source.name]) as live:

        async def one(go: Go, source: Source) -> tuple[Sync, Mapping[str, Tracked]]:
            began = monotonic()
            row, tracked = await go.track(source, asked, live.on)
            live.done(row, monotonic() - began)
            return row, tracked

        [done] = asyncio.run(side_by_side(config.database, [source], one))
    row, tracked = done.result
    known = [(ref, tracked.get(ref)) for ref in asked]
    show.rows(
        ("ref", "result", "error"), [(ref, _fate(each), each.error if each else None) for ref, each in known], format_
    )
    tell(source, row)
    return SOURCE_FAILED if row.error or any(each is None or each.error for _, each in known) else 0


def _fate(tracked: Tracked | None) -> str:
    if tracked is None or tracked.read_at is None:
        return "kept, not looked up yet"
    if tracked.error:
        return "not found"
    return "looked up" if tracked.settled_at is not None else "looked up; asked again at the next sync"


def coverage(config: Config, sources: Sequence[Source], format_: Format) -> int:
    with Live([source.name for source in sources]) as live:

        async def one(go: Go, source: Source) -> tuple[Sync, list[dict[str, Any]] | None]:
            began = monotonic()
            row, days, doubled = await go.coverage(source, live.on)
            if doubled:
                row.notes.append(f"{doubled} rows of runs are doubled: please report this, with the vendor's name")
            live.done(row, monotonic() - began)
            return row, days

        done = asyncio.run(side_by_side(config.database, sources, one))
    rows = []
    for each_done in done:
        row, days = each_done.result
        rows += [(row.source, *line) for line in _by_pipeline(days or [])]
    show.rows(("source", "pipeline_id", "since", "expected", "stored", "missing"), rows, format_)
    for each_done in done:
        row, days = each_done.result
        if days is None and not row.error:
            show.note(f"source {row.source}: its vendor documents no list to compare with")
        tell(each_done.source, row)
    return SOURCE_FAILED if any(each_done.result[0].error for each_done in done) else 0


def _by_pipeline(days: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """pipeline_id, the first day compared, and the sums of expected, stored and missing."""
    pipelines: dict[str, list[dict[str, Any]]] = {}
    for row in days:
        pipelines.setdefault(row["pipeline_id"], []).append(row)
    return [
        (pipeline, min(r["day"] for r in its), *(sum(r[key] for r in its) for key in ("expected", "stored", "missing")))
        for pipeline, its in sorted(pipelines.items())
    ]


def remap(config: Config, format_: Format, *, dry_run: bool) -> None:
    columns = ("source", "level", "vendor_status", "before", "after", "rows")

    async def work() -> list[dict[str, Any]]:
        async with DaemonClient(config.database) as client:
            if await client.running():
                return list((await client.post("/remap", {"dry_run": dry_run}))["changes"])
        async with Store(config.database) as store:
            changes = await engine.remap(config.source, store, utc_now(), dry_run=dry_run)
            if not dry_run:
                await store.publish(utc_now())
        return changes

    changes = [tuple(change[name] for name in columns) for change in asyncio.run(work())]
    if changes or format_ is Format.JSON:
        show.rows(columns, changes, format_)
    if not changes:
        show.note("the stored history agrees with the mapping; nothing changes")
    elif dry_run:
        show.note("nothing was changed; without --dry-run it will be")


# --- what came of it -------------------------------------------------------------------------------------------------


def reported(live: Live, work: Callable[[Go, Source], Awaitable[Sync]]) -> Callable[[Go, Source], Awaitable[Sync]]:
    async def reported(go: Go, source: Source) -> Sync:
        began = monotonic()
        result = await work(go, source)
        live.done(result, monotonic() - began)
        return result

    return reported


def _told(done: Sequence[Done[Sync]], format_: Format) -> int:
    """Shows one row for each source, then its errors; returns the exit code."""
    columns = COLUMNS if format_ is Format.TABLE else (*COLUMNS, *_MORE)
    rows = [row(each.result, each.seconds) for each in done]
    show.rows(columns, [[each[name] for name in columns] for each in rows], format_)
    for each in done:
        tell(each.source, each.result)
    return SOURCE_FAILED if any(each.result.error for each in done) else 0


def row(sync: Sync, seconds: float) -> dict[str, Any]:
    named = {name.removesuffix("_runs"): value for name, value in asdict(sync).items()}
    return {**named, "seconds": round(seconds, 1)}


def tell(source: Source, sync: Sync) -> None:
    if sync.error:
        show.problem(f"source {source.name}: {sync.error}")
        if what := advice(source, sync.error_class):
            show.note(f"  {what}")
    for text in sync.notes:
        show.note(f"source {source.name}: {text}")
    if sync.vanished_runs:
        show.note(
            f"source {source.name}: {_runs(sync.vanished_runs)} gone at the vendor; the ledger keeps what it knew"
        )
    if sync.unknown_runs:
        show.note(
            f"source {source.name}: {_runs(sync.unknown_runs)} with a word that has no mapping; see runlake status"
        )


def _runs(count: int) -> str:
    return f"{count} run{'s' if count != 1 else ''}"
