"""`runs`: the newest runs, and how many more there are."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any

from runlake.cli import show
from runlake.cli.looking.asked import Asked, require_sources
from runlake.cli.looking.layout import Column, Line, lay_out, width, write
from runlake.cli.reading import as_of
from runlake.cli.show import Format
from runlake.config import Config
from runlake.errors import ConfigError
from runlake.formats import lasting, some
from runlake.model import Outcome, RunStatus
from runlake.store.query import Reader

FAILED = [status for status in RunStatus if status.outcome is Outcome.FAILURE]
OPEN = [status for status in RunStatus if not status.is_final]

COLUMNS = (
    *("created_at", "source", "vendor", "pipeline_id", "pipeline_name", "run_id", "attempt", "status", "outcome"),
    *("vendor_status", "started_at", "finished_at", "queued_ms", "duration_ms", "error_code", "error_message"),
    *("failed_step", "step_error", "run_url", "run_key"),
)

# DuckDB keeps the newest of what it has read and skips what is older, by the smallest and largest of each part of a
# table: of 10 million runs this takes 0.03 s (0.2 s where few fit), and to count them 0.2 s.
_NEWEST = """
FROM runs WHERE {where} ORDER BY created_at DESC, attempt DESC, run_id DESC, run_key LIMIT $limit
"""
# Not of the view `failures`, which looks at the steps of all time.
_STEPS = """
SELECT run_key, arg_min(coalesce(name, step_id), step_no) AS failed_step,
       arg_min_null(error_message, step_no) AS step_error
FROM rl.steps
WHERE status IN ('failed', 'timed_out') AND run_created_at BETWEEN $first AND $last AND list_contains($keys, run_key)
GROUP BY run_key
"""


def statuses(*, failed: bool, is_open: bool, named: list[RunStatus]) -> list[RunStatus]:
    """Those asked for. Raises ConfigError where that is done in more than one way."""
    if failed + is_open + bool(named) > 1:
        raise ConfigError("write --failed, --open or --status, not several of them")
    return FAILED if failed else OPEN if is_open else named


def runs(config: Config, asked: Asked, limit: int, format_: Format) -> None:
    """The newest `limit` of the runs asked for, on stdout; beside them how many more there are, and how fresh."""
    with Reader(config.database) as reader:
        fresh = reader.freshness()
        require_sources(asked.scope.sources, config, fresh)
        where, values = asked.where()
        found = reader.read(_NEWEST.format(where=where), limit=limit, **values)
        _add_steps(reader, found)
        if format_ is Format.JSON:
            show.json_rows(COLUMNS, [[row[name] for name in COLUMNS] for row in found])
        elif found:
            write(lay_out(_heads(), [_line(row, fresh.as_of) for row in found], width()))
        else:
            sys.stdout.write("no such run\n" if values or asked.scope.said else "no run\n")
        if len(found) == limit:
            [counted] = reader.read(f"SELECT count(*) AS runs FROM runs WHERE {where}", **values)  # noqa: S608
            if counted["runs"] > limit:
                show.note(f"the newest {limit:,} of {some(counted['runs'], 'run')}; --limit shows more")
        as_of(fresh)


def _add_steps(reader: Reader, found: list[dict[str, Any]]) -> None:
    """To each, the first step that failed in it, and what that says."""
    failed = [row for row in found if row["outcome"] == Outcome.FAILURE]
    times = [row["created_at"] for row in failed]
    keys = [row["run_key"] for row in failed]
    steps = reader.read(_STEPS, first=min(times), last=max(times), keys=keys) if failed else []
    known = {row["run_key"]: row for row in steps}
    for row in found:
        step = known.get(row["run_key"], {})
        row["failed_step"], row["step_error"] = step.get("failed_step"), step.get("step_error")


# --- for eyes --------------------------------------------------------------------------------------------------------


def _heads() -> list[Column]:
    return [
        Column(f"created ({show.zone()})"),
        Column("source", least=8, goes=2),
        Column("pipeline", least=10),
        Column("status", least=9, styled=True),
        Column("vendor says", least=8, goes=4),
        Column("lasts", right=True, goes=1),
        Column("attempt", right=True, goes=5),
        Column("run", least=12, goes=3),
    ]


def _line(row: dict[str, Any], now: datetime) -> Line:
    return Line(
        [
            show.local(row["created_at"], seconds=False),
            row["source"],
            row["pipeline_name"] or row["pipeline_id"],
            row["status"],
            row["vendor_status"] if row["vendor_status"].lower() != row["status"] else "",
            lasts(row, now),
            str(row["attempt"]) if row["attempt"] > 1 else "",
            row["run_id"],
        ],
        below=why(row),
    )


def lasts(row: dict[str, Any], now: datetime) -> str:
    """How long it took; while it is open, how long it has been so far: at work, or else there."""
    if row["duration_ms"] is not None:
        return lasting(timedelta(milliseconds=row["duration_ms"]))
    if RunStatus(row["status"]).is_final:
        return ""
    return lasting(now - (row["started_at"] or row["created_at"]))


def why(row: dict[str, Any]) -> str | None:
    """What went wrong, as far as the vendor says it: in which step, and in whose words."""
    if row["outcome"] != Outcome.FAILURE:
        return None
    text = row["error_message"] or row["step_error"] or row["error_code"]
    step = row["failed_step"]
    return f"{step}: {text}" if step and text else step or text
