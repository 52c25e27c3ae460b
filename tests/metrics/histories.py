"""What vendors showed of their runs at which instant, and the same written into a ledger."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from runlake.model import Run, RunRef, RunStatus, StatusTable, run_key
from runlake.store import Batch, Books, Store, Sync

FIRST = datetime(2026, 9, 28, tzinfo=UTC)
"""A Monday. In Berlin clocks are put back four weeks after it."""
WEEK, DAY, HOUR, MINUTE = timedelta(days=7), timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
LAST = FIRST + 6 * WEEK

# Two words for "queued", and one that means nothing until the config maps it.
WORDS = {status.value.upper(): status for status in RunStatus if status is not RunStatus.UNKNOWN} | {
    "PENDING": RunStatus.QUEUED
}
ODD = "HALF_DONE"
ERRORS: Mapping[str, tuple[str | None, str | None]] = {
    "copy": (None, "could not copy {n} rows of batch {hex}"),
    "disk": ("E_DISK", "no space left on device after {n} bytes"),
    "job": (None, "job {uuid} was not found"),
    "late": ("LATE", "no answer at {at}"),
    "code": ("E_CODE", None),
    "lines": (None, "Traceback:\n  line {n}\nValueError: not a date"),
    "none": (None, None),
}
"""By the name of an error: its code, and its message, in which what differs each time is in braces."""


def message(error: str, rng: random.Random) -> str | None:
    text = ERRORS[error][1]
    return text and text.format(
        n=rng.randrange(10, 10**6),
        hex=f"{rng.getrandbits(160):040x}",
        uuid=UUID(int=rng.getrandbits(128), version=4),
        at=f"{FIRST + rng.random() * (LAST - FIRST):%Y-%m-%dT%H:%M:%SZ}",
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """A run as its vendor showed it. `error`: which of ERRORS it has."""

    run: Run
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One sync of a source: what it was shown, what it found gone, and by which overrides it read words."""

    source: str
    vendor: str
    at: datetime
    seen: tuple[Seen, ...] = ()
    gone: tuple[RunRef, ...] = ()
    statuses: Mapping[str, RunStatus]
    observed_through: datetime | None

    @property
    def seen_at(self) -> datetime:
        """By then words had been remapped, where the overrides had changed."""
        return self.at + timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Listed:
    """The vendor's whole list, that coverage is compared with."""

    source: str
    at: datetime
    runs: tuple[tuple[str, str, datetime], ...]
    """(pipeline_id, run_id, created_at), all of the first attempt."""


Event = Look | Listed
History = list[Event]


async def write(store: Store, history: History) -> None:
    """What a daemon would have written of it."""
    steps = StatusTable(WORDS)
    for number, event in enumerate(history):
        if isinstance(event, Listed):
            listed = [(run_key(event.source, RunRef(p, r)), p, r, created) for p, r, created in event.runs]
            await store.compare(event.source, listed, event.at)
            continue
        overrides = StatusTable(event.statuses)
        tables = {"run": (StatusTable(WORDS), overrides), "step": (steps, StatusTable())}
        await store.begin(event.source, event.vendor, event.vendor, tables, event.at)
        batch = Batch(event.source, event.vendor, StatusTable({**WORDS, **overrides}), steps, store_payloads=False)
        for seen in event.seen:
            batch.add(run_key(event.source, seen.run.ref), seen.run, event.seen_at, "list", "GET /runs")
        row = Sync(
            sync_id=str(UUID(int=number)),
            source=event.source,
            vendor=event.vendor,
            kind="sync",
            started_at=event.at,
            finished_at=event.seen_at,
            outcome="failed" if event.observed_through is None else "ok",
            observed_through=event.observed_through,
        )
        books = Books(row)
        books.vanished += [(run_key(event.source, ref), None, event.seen_at, "GET /runs/1") for ref in event.gone]
        await store.commit(batch, books)


async def ledger(path: Path, history: History) -> None:
    async with Store(path) as store:
        # Of a few rows: threads would only wait for each other.
        await store._do(lambda: store._connection.execute("SET threads = 1"))
        await write(store, history)
