"""Why a run is shown as it is: each change seen of it, the mapping applied, and what was asked of the vendor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runlake.errors import ConfigError
from runlake.store.query import Reader

_MOST_SHOWN = 3

_FIND = """
SELECT DISTINCT pipeline_id, run_id FROM runs
WHERE source = $source AND (run_id = $run OR run_key::VARCHAR = $run OR replace(run_key::VARCHAR, '-', '') = $run
  OR concat(pipeline_id, '/', run_id) = $run OR ($begins AND starts_with(run_id, $run)))
ORDER BY ALL
"""

_RUN = """
SELECT r.*, m.origin AS mapped_by, o.last_read_at, o.reads FROM runs r
LEFT JOIN status_map m
  ON m.source = r.source AND m.level = 'run' AND m.vendor_status = r.vendor_status
LEFT JOIN (SELECT run_key, last_read_at, reads FROM open_runs) o ON o.run_key = r.run_key
WHERE r.source = $source AND r.pipeline_id = $pipeline AND r.run_id = $run ORDER BY r.attempt
"""

# The snapshots themselves, not the view `run_history`: whatever changed must be named.
_HISTORY = """
SELECT h.observed_at, h.attempt, h.read_by, h.vendor_status, h.status AS status_then,
       coalesce(m.status, 'unknown') AS status, h.created_at, h.started_at, h.finished_at, h.error_code,
       h.error_message, h.pipeline_name, h.pipeline_version, h.trigger, h.triggered_by, h.run_url, h.labels, h.metrics,
       h.vanished_at, h.request, h.sync_id
FROM rl.run_snapshots h
LEFT JOIN status_map m ON m.source = h.source AND m.level = 'run' AND m.vendor_status = h.vendor_status
WHERE h.source = $source AND h.pipeline_id = $pipeline AND h.run_id = $run
ORDER BY h.attempt, h.observed_at
"""

_STEPS = """
SELECT s.step_no, s.step_id, s.name, s.kind, s.status, s.vendor_status, s.started_at, s.finished_at, s.error_message,
       m.origin AS mapped_by, s.run_key
FROM steps s LEFT JOIN status_map m
  ON m.source = s.source AND m.level = 'step' AND m.vendor_status = s.vendor_status
WHERE s.source = $source AND s.run_key IN (SELECT run_key FROM runs
  WHERE source = $source AND pipeline_id = $pipeline AND run_id = $run)
ORDER BY s.run_key, s.step_no
"""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One run with all its attempts, oldest first; `history` and `steps` cover all of them. Each row of the history
    says in `changes` which fields differ from the row before: [name, before, after]."""

    attempts: list[dict[str, Any]]
    history: list[dict[str, Any]]
    steps: list[dict[str, Any]]


def explain(reader: Reader, source: str, run: str) -> Explanation:
    """`run`: the vendor's id, its beginning where that is enough, `pipeline/id`, or a run_key.

    Raises ConfigError where it names no run, or several.
    """
    run = run.strip().rstrip("…")  # as copied from a table that had no room for all of it
    found = reader.read(_FIND, source=source, run=run, begins=False) or reader.read(
        _FIND, source=source, run=run, begins=True
    )
    if not found:
        raise ConfigError(f"no run '{run}' of source {source} is in the ledger; its vendor's id is what counts")
    if len(found) > 1:
        named = ", ".join(f"{row['pipeline_id']}/{row['run_id']}" for row in found[:_MOST_SHOWN])
        more = f" and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
        raise ConfigError(f"'{run}' could be {len(found)} runs of source {source}: {named}{more}")
    which = {"source": source, "pipeline": found[0]["pipeline_id"], "run": found[0]["run_id"]}
    history = reader.read(_HISTORY, **which)
    for before, row in zip([None, *history], history, strict=False):
        row["changes"] = _changes(before, row)
    return Explanation(reader.read(_RUN, **which), history, reader.read(_STEPS, **which))


_OURS = frozenset({"observed_at", "read_by", "request", "sync_id", "status", "changes"})


def _changes(before: dict[str, Any] | None, row: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    if before is None or before["attempt"] != row["attempt"]:
        return []
    return [(name, before[name], row[name]) for name in row if name not in _OURS and before[name] != row[name]]


def rule(row: dict[str, Any], level: str = "run") -> str:
    """The mapping rule that gave a run or step its status, in words."""
    word, status = row["vendor_status"], row["status"]
    if row["mapped_by"] is None:
        return f"the vendor's {level} word '{word}' has no mapping: {status}"
    whose = "the source's own mapping in the config" if row["mapped_by"] == "config" else "the connector's table"
    return f"the vendor's {level} word '{word}' means {status}, says {whose}"
