"""The ledger compared with what really happened at an emulated vendor, in words that a failing test can print."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from runlake.emulator import Emulator, TrueRun
from runlake.emulator.timeline import Run
from runlake.model import RunStatus
from runlake.store import Store

from .conftest import ask

_RUNS = """
SELECT pipeline_id, run_id, status, vendor_status, created_at, finished_at, error_message, vanished_at IS NOT NULL
FROM runs WHERE source = ?
"""
_COLUMNS = ("status", "vendor_status", "created_at", "finished_at", "error_message")


async def differences(
    store: Store, emulator: Emulator, vendor: str, window: timedelta, forgiven: frozenset[str] = frozenset()
) -> list[str]:
    """What is wrong in the ledger about a vendor, whose source has the vendor's name; empty where nothing is.

    Strict for all that a sync promises to see: every run, every open run, and what changed about final runs that are
    younger than the sweep's `window`. A final run older than that may have been started again, edited or deleted
    without our knowing. The columns `forgiven` are compared within the window only.
    """
    stored = {(row[0], row[1]): row[2:] for row in await ask(store, _RUNS, vendor)}
    counted = Counter((row[0], row[1]) for row in await ask(store, _RUNS, vendor))
    world, now = emulator.vendor(vendor).world, emulator.clock.now()
    truth = list(zip(emulator.truth(vendor), world.every(vendor, now), strict=True))
    wrong = [f"{key} is stored {n} times" for key, n in counted.items() if n > 1]
    wrong += [f"{key} was invented" for key in stored.keys() - {(t.pipeline_id, t.run_id) for t, _ in truth}]
    for true, run in truth:
        row = stored.get((true.pipeline_id, true.run_id))
        recent = run.created_at >= now - window
        if row is None:
            if true.visible:
                wrong.append(f"{_name(true, now)} is missing")
        elif true.visible:
            wrong += _wrong(emulator, vendor, true, run, row, recent, forgiven)
        elif (recent or not RunStatus(row[0]).is_final) and not row[-1]:
            wrong.append(f"{_name(true, now)} was deleted at {run.deleted_at} and is still there as {row[0]}")
    return wrong


async def missing_before(
    store: Store, emulator: Emulator, vendor: str, observed_through: datetime, excused: frozenset[str] = frozenset()
) -> list[str]:
    """Runs that existed when we claim to have seen all, and are not stored. `excused`: words of their vendor."""
    stored = {(row[0], row[1]) for row in await ask(store, _RUNS, vendor)}
    world, now = emulator.vendor(vendor).world, emulator.clock.now()
    return [
        _name(true, now)
        for true, run in zip(emulator.truth(vendor), world.every(vendor, now), strict=True)
        if true.visible
        and run.created_at <= observed_through
        and (true.pipeline_id, true.run_id) not in stored
        and true.vendor_status not in excused
    ]


def _wrong(
    emulator: Emulator,
    vendor: str,
    true: TrueRun,
    run: Run,
    row: tuple[Any, ...],
    recent: bool,
    forgiven: frozenset[str],
) -> list[str]:
    now = emulator.clock.now()
    name, was_final = _name(true, now), RunStatus(row[0]).is_final
    if row[-1]:
        return [f"{name} is held to be gone"]
    if not recent and was_final and _changed_once_final(run, now):
        return []
    unsaid = emulator.vendor(vendor).unsaid | (frozenset() if recent else forgiven)
    pairs = zip(_COLUMNS, row, (getattr(true, column) for column in _COLUMNS), strict=False)
    return [f"{name}: {c} is {have}, not {want}" for c, have, want in pairs if c not in unsaid and have != want]


def _changed_once_final(run: Run, now: datetime) -> bool:
    moments = [moment for moment in run.moments if moment.at <= now]
    return any(moment.state.final for moment in moments[:-1])


def _name(true: TrueRun, now: datetime) -> str:
    return f"{true.pipeline_id}/{true.run_id} ({true.vendor_status}, {now - true.created_at} old)"
