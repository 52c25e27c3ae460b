"""Whether a ledger equals the truth: `python -m benchmarks.check RUNS STATE OLDER LEDGER` prints what differs.

Compared row by row with what the account's facts imply, in both directions, not with what the sync says of itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa

from benchmarks.vendor_world import BEFORE, LATER, PROJECT, SPAN, World

_STATUS = {"completed": "succeeded", "failed": "failed", "aborted": "cancelled", "running": "running"}
_TIME = pa.timestamp("us", tz="UTC")

_RUNS = "run_id, pipeline_id, status, vendor_status, created_at, updated_at, finished_at"
_STEPS = "run_id, step_no, step_id, vendor_status, started_at, finished_at"


def _truth(world: World, *, after: bool) -> tuple[pa.Table, pa.Table]:
    runs = [
        (
            facts.run_id,
            f"{PROJECT}/{facts.pipeline}",
            _STATUS[facts.status],
            facts.status,
            facts.created_at,
            facts.updated_at,
            facts.updated_at if facts.final else None,
        )
        for facts in world.truth(after=after)
    ]
    steps = [
        (
            facts.run_id,
            number,
            step.step_id,
            step.status,
            step.created_at if step.status != "pending" else None,
            step.updated_at if step.status in ("completed", "failed", "aborted") else None,
        )
        for facts in world.truth(after=after)
        for number, step in enumerate(facts.steps)
    ]
    text, whole = pa.string(), pa.int32()
    return (
        _table(_RUNS, (text, text, text, text, _TIME, _TIME, _TIME), runs),
        _table(_STEPS, (text, whole, text, text, _TIME, _TIME), steps),
    )


def _table(names: str, types: tuple[pa.DataType, ...], rows: Iterable[tuple[object, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table(
        {name: pa.array(values, kind) for name, kind, values in zip(names.split(", "), types, columns, strict=True)}
    )


def differences(ledger: Path, world: World, *, after: bool, older: int) -> list[str]:
    """What differs, one line each; empty where the ledger is right. `older`: runs put in beforehand."""
    con = duckdb.connect(str(ledger), read_only=True)
    con.execute("SET TimeZone = 'UTC'")
    runs, steps = _truth(world, after=after)
    con.register("true_runs", runs)
    con.register("true_steps", steps)
    # Runs put in beforehand are older than any of the account's.
    con.execute(
        "CREATE TEMP VIEW stored_steps AS SELECT run_id, s.step_no, step_id, s.vendor_status, s.started_at, "
        "s.finished_at, run_created_at FROM rl.steps s JOIN rl.runs r USING (run_key)"
    )
    first = f"'{BEFORE - SPAN}'::TIMESTAMPTZ"
    mine = {"runs": f"created_at >= {first}", "steps": f"run_created_at >= {first}"}
    found = []

    def expect(what: str, query: str, wanted: int) -> None:
        got = con.execute(query).fetchall()[0][0]
        if got != wanted:
            found.append(f"{what}: {got}, should be {wanted}")

    for what, names, stored in (("runs", _RUNS, "rl.runs"), ("steps", _STEPS, "stored_steps")):
        here = f"SELECT {names} FROM {stored} WHERE {mine[what]}"
        there = f"SELECT {names} FROM true_{what}"
        expect(f"{what} missing or wrong", f"SELECT count(*) FROM ({there} EXCEPT ALL {here})", 0)
        expect(f"{what} doubled or wrong", f"SELECT count(*) FROM ({here} EXCEPT ALL {there})", 0)
    seen = len(world.numbers(after=after)) + (len(world.moved()) if after else 0)
    expect("rows of runs", "SELECT count(*) FROM rl.runs", len(runs) + older)
    expect("run_keys", "SELECT count(DISTINCT run_key) FROM rl.runs", len(runs) + older)
    expect("snapshots", f"SELECT count(*) FROM rl.run_snapshots WHERE {mine['runs']}", seen)
    expect(
        "payloads",
        f"SELECT count(*) FROM rl.run_payloads WHERE observed_at >= '{BEFORE}'::TIMESTAMPTZ",
        seen,
    )
    open_now = sum(not facts.final for facts in world.truth(after=after))
    expect("watched runs", "SELECT count(*) FROM rl.watched WHERE why = 'open'", open_now)
    if after:
        swept = f"SELECT count(*) FROM rl.syncs WHERE outcome = 'ok' AND swept AND started_at >= '{BEFORE + LATER}'"
        expect("good sweeps", swept, 1)
    con.close()
    return found


if __name__ == "__main__":
    runs, state, older, ledger = sys.argv[1:]
    print(json.dumps(differences(Path(ledger), World(int(runs)), after=state == "after", older=int(older))))
