"""The published copy: there, fresh, and with each run once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from runlake.cli import show
from runlake.cli.doctor.finding import Finding, fine, length, problem, warning
from runlake.cli.running import Running
from runlake.config import Config, Source
from runlake.formats import some
from runlake.store import published_path
from runlake.store.query import Reader

WRITTEN_LATER = timedelta(minutes=10)
"""A command publishes when it ends; a ledger written this long after its copy was left by one that did not."""

_COUNTS = """
SELECT count(*) AS runs, count(*) - count(DISTINCT run_key) AS doubled,
       (SELECT count(*) FROM open_runs) AS open FROM runs
"""


def none_yet(database: Path, daemon: Running | None) -> list[Finding]:
    if daemon is not None and daemon.publish_error is not None:
        return [problem("published copy", f"none can be made: {daemon.publish_error}")]
    if daemon is not None:
        return [warning("published copy", "there is none yet", "wait for the daemon's first syncs: runlake status")]
    if database.exists():
        return [warning("published copy", "there is none: no command can read the ledger", "runlake sync makes one")]
    return []


def findings(config: Config, reader: Reader, daemon: Running | None, now: datetime) -> list[Finding]:
    as_of = reader.freshness().as_of
    made = f"made at {show.local(as_of, seconds=False)} {show.zone()}, {length(now - as_of)} ago"
    [counts] = reader.read(_COUNTS)
    found: list[Finding] = []
    if daemon is not None and daemon.publish_error is not None:
        found.append(problem("published copy", f"{made}; making a new one fails: {daemon.publish_error}"))
    elif daemon is not None and now - as_of > _oldest(config.source, config.daemon.stamps_every):
        found.append(warning("published copy", f"it is old: {made}", "runlake sql --fresh, then see the daemon's log"))
    elif daemon is None and (later := _written_since(config.database)) > WRITTEN_LATER:
        text = f"{made}; the ledger was written {length(later)} later"
        found.append(warning("published copy", text, "runlake sync makes a new one"))
    if counts["doubled"]:
        found.append(
            problem(
                "ledger",
                f"{some(counts['doubled'], 'row')} of runs are doubled, so counts are wrong",
                "runlake rebuild; please report this, with the vendor's name",
            )
        )
    if not any(each.wrong for each in found):
        found.append(fine("published copy", f"{made}: {some(counts['runs'], 'run')}, {counts['open']:,} open"))
    return found


def _oldest(sources: Sequence[Source], stamps_every: timedelta) -> timedelta:
    """Each sync of a daemon is followed by a publish; those by a schedule may be days apart."""
    often = [source.latest for source in sources if source.cron is None]
    return 3 * (min(often) + stamps_every) if often else timedelta.max


def _written_since(database: Path) -> timedelta:
    """How long after its copy the ledger was last written."""
    files = [file for file in (database, database.with_name(f"{database.name}.wal")) if file.exists()]
    made = published_path(database).stat().st_mtime
    return timedelta(seconds=max((file.stat().st_mtime - made for file in files), default=0.0))
