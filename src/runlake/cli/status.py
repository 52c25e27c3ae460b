"""How each source stands: what we saw of it, up to when, what comes next, and what a person should do about it.

What was seen is as of the published copy; what comes next is what a running daemon says.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from runlake.cli import show
from runlake.cli.advice import advice
from runlake.cli.reading import as_of, published
from runlake.cli.running import Running, running
from runlake.cli.show import Format
from runlake.config import Source
from runlake.config.alerting import Severity
from runlake.errors import StoreError
from runlake.store.alerting import Alert
from runlake.store.query import Reader

COLUMNS = ("source", "last_sync", "outcome", "observed_through", "open", "unknown", "failures")
PLANS = ("source", "next_sync", "next_reading", "under_way", "waiting")
"""What only a daemon knows."""

_HEALTH = """
SELECT h.source, h.last_sync_at, h.last_outcome, h.observed_through, h.error_class, h.error, h.notes,
       h.failures_since_good, coalesce(o.open, 0) AS open, coalesce(u.unknown, 0) AS unknown
FROM source_health h
LEFT JOIN (SELECT source, count(*) AS open FROM open_runs WHERE status <> 'unknown'
           GROUP BY source) o USING (source)
LEFT JOIN (SELECT source, count(*) AS unknown FROM runs WHERE status = 'unknown' AND vanished_at IS NULL
           GROUP BY source) u USING (source)
"""

_UNMAPPED = "SELECT source, level, vendor_status, seen, config_line FROM unmapped_statuses ORDER BY ALL"


@dataclass(slots=True)
class Standing:
    """One source. `todo` are sentences for a person; `lines` are to be pasted into its table in the config.

    From `polled` on: what a daemon says. `next_reading` is when open runs are read by id before the next sync;
    `next_in_zone` is the next sync in the zone of its schedule; `waiting` counts requests by what they are for.
    """

    source: str
    last_sync: datetime | None = None
    outcome: str = "never synced"
    observed_through: datetime | None = None
    open: int = 0
    unknown: int = 0
    failures: int = 0
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    alerts: int = 0
    """How many fire."""
    polled: bool = False
    next_sync: datetime | None = None
    next_in_zone: str | None = None
    next_reading: datetime | None = None
    under_way: list[str] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)
    down_since: datetime | None = None

    def row(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in COLUMNS)

    def plan(self) -> tuple[Any, ...]:
        waiting = ", ".join(f"{count} {what}" for what, count in self.waiting.items())
        return self.source, self.next_sync, self.next_reading, ", ".join(self.under_way) or None, waiting or None


def standings(
    sources: Sequence[Source], reader: Reader | None, daemon: Running | None, firing: Sequence[Alert]
) -> list[Standing]:
    """One for each configured source. `reader=None`: nothing has been published yet."""
    health = {row["source"]: row for row in reader.read(_HEALTH)} if reader is not None else {}
    unmapped = reader.read(_UNMAPPED) if reader is not None else []
    fire = Counter(alert.source for alert in firing)
    found = []
    for source in sources:
        standing = Standing(source.name, alerts=fire[source.name])
        if (row := health.get(source.name)) is not None and row["last_sync_at"] is not None:
            standing.last_sync, standing.outcome = row["last_sync_at"], row["last_outcome"]
            standing.observed_through = row["observed_through"]
            standing.open, standing.unknown = row["open"], row["unknown"]
            standing.failures, standing.error = row["failures_since_good"], row["error"]
            if standing.error and (what := advice(source, row["error_class"])):
                standing.todo.append(what)
            standing.notes = row["notes"] or []
        for word in (word for word in unmapped if word["source"] == source.name):
            things = f"{word['seen']} {word['level']}{'s' if word['seen'] > 1 else ''}"
            standing.todo.append(f"no mapping for the word {word['vendor_status']!r} of {things}")
            standing.lines.append(word["config_line"])
        if daemon is not None:
            _plan(standing, source, daemon)
        found.append(standing)
    return found


def _firing(reader: Reader | None) -> list[Alert]:
    try:
        return [alert for alert in reader.alerting().open_alerts() if alert.state == "firing"] if reader else []
    except StoreError as error:  # of a copy without alerts, which tells of the sources all the same
        show.note(str(error))
        return []


def _plan(standing: Standing, source: Source, daemon: Running) -> None:
    planned = daemon.sources.get(source.name)
    if planned is None:
        standing.todo.append("the daemon does not poll it yet: runlake reload")
        return
    standing.polled = True
    standing.next_sync, standing.next_reading = planned.next_sync_at, planned.next_follow_at
    standing.under_way, standing.waiting = planned.under_way, planned.waiting
    standing.down_since = planned.down_since
    if source.cron is not None:
        zone = ZoneInfo(source.cron.split()[-1])
        standing.next_in_zone = planned.next_sync_at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


# --- for eyes and machines --------------------------------------------------------------------------------------------


_DETAILS = ("error", "notes", "todo", "lines", "alerts", *PLANS[1:], "next_in_zone", "down_since")


def status(database: Path, sources: Sequence[Source], format_: Format) -> None:
    daemon = running(database)
    with published(database) as reader:
        firing = _firing(reader)
        found = standings(sources, reader, daemon, firing)
        if format_ is Format.JSON:
            columns = [*COLUMNS, *_DETAILS]
            told = daemon.model_dump(exclude={"sources", "config"}) if daemon is not None else None
            rows = [[*(getattr(each, name) for name in columns), told] for each in found]
            show.json_rows([*columns, "daemon"], rows)
        else:
            show.table(COLUMNS, [each.row() for each in found])
            if daemon is not None:
                _tell_plans(daemon, found)
            for each in found:
                _tell(each)
            _tell_alerts(firing)
        if reader is None:
            show.note("nothing has been synced yet" + (": runlake sync" if daemon is None else ""))
        else:
            as_of(reader.freshness())


def _tell_alerts(firing: Sequence[Alert]) -> None:
    """Of all sources, and of none."""
    if firing:
        counts = Counter(alert.severity for alert in firing)
        parts = [f"{counts[severity]} {severity}" for severity in reversed(Severity) if counts[severity]]
        what = "1 alert fires" if len(firing) == 1 else f"{len(firing)} alerts fire"
        sys.stdout.write(f"\n{what} ({', '.join(parts)}): runlake alerts list\n")


def _tell_plans(daemon: Running, found: Sequence[Standing]) -> None:
    since = f"{show.local(daemon.started_at, seconds=False)} {show.zone()}"
    sys.stdout.write(f"\nThe daemon, process {daemon.pid}, runs since {since}\n")
    for what, error in (
        ("the ledger", daemon.ledger_error),
        ("publishing", daemon.publish_error),
        ("alerting", daemon.alerting_error),
    ):
        if error is not None:
            sys.stdout.write(f"  {what} fails: {show.clean(error)}\n")
    if plans := [each.plan() for each in found if each.polled]:
        show.table(PLANS, plans)


def _tell(standing: Standing) -> None:
    lines = [standing.error] if standing.error else []
    if standing.down_since is not None:
        lines.append(f"down since {show.local(standing.down_since, seconds=False)} {show.zone()}")
    if standing.next_in_zone is not None:
        lines.append(f"next sync by its schedule's clock: {standing.next_in_zone}")
    lines += [*standing.notes, *(f"→ {each}" for each in standing.todo)]
    if lines:
        sys.stdout.write(f"\n{standing.source}\n")
    sys.stdout.writelines(f"  {show.clean(line)}\n" for line in lines)
    if standing.lines:
        sys.stdout.write("  → paste above its [source.settings], with a unified status for the dots:\n")
        sys.stdout.writelines(f"{show.clean(line)}\n" for line in standing.lines)
