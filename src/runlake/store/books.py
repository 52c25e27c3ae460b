"""What a sync remembers besides runs: how far each feed was walked, what is watched or tracked, and the sync itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb

from runlake.model import Pipeline, RunRef, run_key
from runlake.store.periods import touch
from runlake.store.unjudged import unjudge


@dataclass(slots=True, kw_only=True)
class FeedState:
    """How far one list was walked. `cursor` is set while a walk is unfinished: it began at `walk_started_at`, goes back
    to `walk_since`, and has come as far as the cursor."""

    feed: str
    purpose: str = "live"
    observed_through: datetime | None = None
    walk_started_at: datetime | None = None
    walk_since: datetime | None = None
    cursor: str | None = None
    in_order: bool = True
    held: int = 0
    swept_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Watched:
    """A run to be read again by id. `why`: open, tracked, or missing (coverage found that we lack it)."""

    ref: RunRef
    why: str
    since: datetime
    created_at: datetime | None = None
    read_at: datetime | None = None
    reads: int = 0
    failures: int = 0
    """How often in a row it alone could not be read."""

    @property
    def due_at(self) -> datetime | None:
        """A tenth of its age after it was last read, at most an hour; None where it never was."""
        return self.read_at and self.read_at + min((self.read_at - self.since) / 10, timedelta(hours=1))

    def due(self, now: datetime) -> bool:
        """So young runs are read at every sync, old ones hourly."""
        ahead = self.read_at is not None and self.read_at > now  # by a clock that has been set back since
        return ahead or self.due_at is None or self.due_at <= now


@dataclass(slots=True, kw_only=True)
class Tracked:
    """What a user named: an id of a run, or of something at the vendor that names runs.

    `tries`: how often in a row it was answered that it names nothing, or with runs that could not be read. `named`: how
    many runs it named when it was last asked for.
    """

    handle: str
    added_at: datetime
    settled_at: datetime | None = None
    read_at: datetime | None = None
    tries: int = 0
    named: int | None = None
    error: str | None = None


@dataclass(slots=True, kw_only=True)
class Sync:
    """One try at syncing one source, kept as a row of `syncs`."""

    sync_id: str
    source: str
    vendor: str
    kind: str
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str = "running"
    error_class: str | None = None
    error: str | None = None
    seen_runs: int = 0
    new_runs: int = 0
    changed_runs: int = 0
    open_runs: int = 0
    unknown_runs: int = 0
    vanished_runs: int = 0
    unreadable: int = 0
    out_of_order: int = 0
    swept: bool = False
    requests: int = 0
    bytes: int = 0
    retries: int = 0
    waited_ms: int = 0
    skew_s: int | None = None
    observed_through: datetime | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Books:
    """Bookkeeping to be committed together with a batch."""

    sync: Sync
    feeds: list[FeedState] = field(default_factory=list)
    watch: list[Watched] = field(default_factory=list)
    reach: dict[str, datetime] = field(default_factory=dict)
    """By feed, how far back a backfill has gone: of its live state that alone, which syncs meanwhile move on."""
    forget: list[str] = field(default_factory=list)
    vanished: list[tuple[str, datetime | None, datetime, str]] = field(default_factory=list)
    """(run_key, created_at, when found gone, what was asked)"""
    tracked: list[Tracked] = field(default_factory=list)
    pipelines: list[Pipeline] = field(default_factory=list)


@dataclass(slots=True)
class SourceState:
    """All that a sync needs to know before it starts; small, however long the history."""

    feeds: dict[tuple[str, str], FeedState]
    watched: list[Watched]
    tracked: dict[str, Tracked]
    remapped: int = 0


def load(con: duckdb.DuckDBPyConnection, source: str) -> SourceState:
    feeds = [
        FeedState(**row) for row in rows(con, "SELECT * EXCLUDE (source) FROM rl.feeds WHERE source = ?", [source])
    ]
    watched = [
        Watched(ref=RunRef(row.pop("pipeline_id"), row.pop("run_id"), row.pop("attempt")), **row)
        for row in rows(con, "SELECT * EXCLUDE (source, run_key) FROM rl.watched WHERE source = ?", [source])
    ]
    tracked = [
        Tracked(**row) for row in rows(con, "SELECT * EXCLUDE (source) FROM rl.tracked WHERE source = ?", [source])
    ]
    return SourceState({(f.purpose, f.feed): f for f in feeds}, watched, {t.handle: t for t in tracked})


def keep_watch(con: duckdb.DuckDBPyConnection, books: Books) -> None:
    """Adds to the watched runs. Comes before the batch is written, which takes those off the list that it shows."""
    source = books.sync.source
    for watched in books.watch:
        key = run_key(source, watched.ref)
        con.execute("DELETE FROM rl.watched WHERE run_key = ?::UUID", [key])
        row = asdict(watched)
        _insert(con, "watched", {"source": source, "run_key": key, **row.pop("ref"), **row})


def keep(con: duckdb.DuckDBPyConnection, books: Books) -> None:
    """Writes the rest of the books, after the batch. Both need an open transaction."""
    sync, source = books.sync, books.sync.source
    for state in books.feeds:
        con.execute(
            "DELETE FROM rl.feeds WHERE source = ? AND purpose = ? AND feed = ?",
            [source, state.purpose, state.feed],
        )
        _insert(con, "feeds", {"source": source, **asdict(state)})
    _each(
        con,
        "UPDATE rl.feeds SET walk_since = ? WHERE source = ? AND purpose = 'live' AND feed = ? AND walk_since > ?",
        [[since, source, feed, since] for feed, since in books.reach.items()],
    )
    _each(con, "DELETE FROM rl.watched WHERE run_key = ?::UUID", [[key] for key in books.forget])
    for key, created_at, at, request in books.vanished:
        _vanish(con, sync.sync_id, key, created_at, at, request)
    for tracked in books.tracked:
        con.execute("DELETE FROM rl.tracked WHERE source = ? AND handle = ?", [source, tracked.handle])
        _insert(con, "tracked", {"source": source, **asdict(tracked)})
    _keep_pipelines(con, source, books.pipelines, sync.started_at)
    sync.open_runs = con.execute(
        "SELECT count(*) FROM rl.watched WHERE source = ? AND why = 'open'", [source]
    ).fetchall()[0][0]
    con.execute("DELETE FROM rl.syncs WHERE sync_id = ?::UUID", [sync.sync_id])
    _insert(con, "syncs", asdict(sync))
    if sync.observed_through is not None:
        con.execute(
            "INSERT INTO rl.gaps SELECT source, observed_through, $at FROM rl.sources "
            "WHERE source = $source AND observed_through < $through AND observed_through < $at - gap_above()",
            # A sync that is not at its end vouches for it already while it sweeps.
            {"source": source, "through": sync.observed_through, "at": sync.finished_at or sync.started_at},
        )
        con.execute(
            "UPDATE rl.sources SET observed_through = ?, first_synced_at = coalesce(first_synced_at, ?) "
            "WHERE source = ?",
            [sync.observed_through, sync.started_at, source],
        )


def _vanish(
    con: duckdb.DuckDBPyConnection, sync_id: str, key: str, created_at: datetime | None, at: datetime, request: str
) -> None:
    known = "run_key = ?::UUID AND vanished_at IS NULL" + (" AND created_at = ?" if created_at else "")
    values: list[Any] = [key, created_at] if created_at else [key]
    con.execute(f"UPDATE rl.runs SET vanished_at = ?, observed_at = ? WHERE {known}", [at, at, *values])
    known = known.replace("vanished_at IS NULL", "vanished_at = ?")
    con.execute(
        "INSERT INTO rl.run_snapshots BY NAME SELECT *, ?::UUID AS sync_id, 'id' AS read_by, ? AS request "
        f"FROM rl.runs WHERE {known}",
        [sync_id, request, key, at, *values[1:]],
    )
    touch(con, f"SELECT created_date FROM rl.runs WHERE {known}", [key, at, *values[1:]])
    unjudge(con, f"SELECT source, pipeline_id FROM rl.runs WHERE {known}", [key, at, *values[1:]])
    con.execute("DELETE FROM rl.watched WHERE run_key = ?::UUID", [key])


def _keep_pipelines(con: duckdb.DuckDBPyConnection, source: str, pipelines: Sequence[Pipeline], at: datetime) -> None:
    if not pipelines:
        return
    query = "SELECT pipeline_id, first_seen_at, paused FROM rl.pipelines WHERE source = ?"
    known = {pipeline: (first, paused) for pipeline, first, paused in con.execute(query, [source]).fetchall()}
    con.execute("DELETE FROM rl.pipelines WHERE source = ?", [source])
    kept = {p.pipeline_id: p for p in pipelines}
    new = (at, None)
    _each(
        con,
        "INSERT INTO rl.pipelines VALUES (?, ?, ?, ?, ?, ?, ?)",
        [[source, p.pipeline_id, p.name, p.url, p.paused, known.get(p.pipeline_id, new)[0], at] for p in kept.values()],
    )
    # None of its runs says that it goes on: where it then does not, that is to be found.
    moved = [p.pipeline_id for p in kept.values() if p.paused != known.get(p.pipeline_id, new)[1]]
    if moved:
        unjudge(con, "SELECT ?, unnest(?::VARCHAR[])", [source, moved])


def _insert(con: duckdb.DuckDBPyConnection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    con.execute(f"INSERT INTO rl.{table} ({names}) VALUES ({marks})", list(row.values()))


def _each(con: duckdb.DuckDBPyConnection, statement: str, values: Iterable[list[Any]]) -> None:
    for row in values:
        con.execute(statement, row)


def rows(
    con: duckdb.DuckDBPyConnection, query: str, values: Sequence[Any] | dict[str, Any] = ()
) -> list[dict[str, Any]]:
    """The answer as dictionaries by column name."""
    result = con.execute(query, values if isinstance(values, dict) else list(values))
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def began(con: duckdb.DuckDBPyConnection) -> datetime | None:
    """When the first of the sources was first synced: nothing was known before."""
    return con.execute("SELECT min(first_synced_at) FROM rl.sources").fetchall()[0][0]  # type: ignore[no-any-return]


def close_interrupted(con: duckdb.DuckDBPyConnection, at: datetime) -> None:
    """Syncs that were running when their process died: we hold the file's lock, so none of them can still be."""
    con.execute("UPDATE rl.syncs SET outcome = 'interrupted', finished_at = ? WHERE outcome = 'running'", [at])
