"""How each source stands, as of the published copy: what we saw, up to when, and what a person should do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runlake.cli.advice import advice
from runlake.config import Source
from runlake.store.query import Reader

COLUMNS = ("source", "last_sync", "outcome", "observed_through", "open", "unknown", "failures")

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
    """One source. `todo` are sentences for a person; `lines` are to be pasted into its table in the config."""

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

    def row(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in COLUMNS)


def standings(sources: Sequence[Source], reader: Reader | None) -> list[Standing]:
    """One for each configured source. `reader=None`: nothing has been published yet."""
    health = {row["source"]: row for row in reader.read(_HEALTH)} if reader is not None else {}
    unmapped = reader.read(_UNMAPPED) if reader is not None else []
    found = []
    for source in sources:
        standing = Standing(source.name)
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
        found.append(standing)
    return found
