"""The ledger's file: opening, migrating, and the one place where DuckDB's errors become ours."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path

import duckdb

from runlake import __version__
from runlake.errors import StoreError
from runlake.model import RunStatus
from runlake.store.files import copy

GAP_ABOVE = timedelta(hours=3)
"""A source that was not seen for longer was not seen for a while; less is how polling is."""

FREE_FLOOR = 64 * 1024 * 1024
"""Bytes that must stay free on the database's disk: DuckDB invalidates the whole instance when the disk is full."""


def published_path(database: Path) -> Path:
    return database.with_name(f"{database.stem}.published{database.suffix or '.duckdb'}")


def connect(path: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection to the ledger at `path`, its sessions in UTC. Makes or migrates it first unless read-only.

    Raises StoreError where it cannot be opened: no such folder, in use, damaged, gone, or written by a newer runlake.
    """
    if not read_only and published_path(path).exists():
        require_there(path)
    con = duckdb.connect()
    try:
        with translated(path):
            con.execute("SET TimeZone = 'UTC'")
            con.execute("SET preserve_insertion_order = true")
            # Four times the usual: a first sync spends a tenth less on checkpoints.
            con.execute("SET wal_autocheckpoint = '64MB'")
            # Else what does not fit into memory would go to wherever the process was started.
            con.execute(f"SET temp_directory = {quoted(f'{path}.tmp')}")
            # Either major version reads this storage format; the format of an existing file cannot be lowered.
            options = "(READ_ONLY)" if read_only else "" if path.exists() else "(STORAGE_VERSION 'v1.5.0')"
            con.execute(f"ATTACH {quoted(path)} AS lake {options}")
            con.execute("USE lake")
            if not read_only:
                migrate(con, path)
    except BaseException:
        con.close()
        raise
    return con


def quoted(value: object) -> str:
    """A text or a path as SQL says it."""
    return "'" + str(value).replace("'", "''") + "'"


def require_there(path: Path) -> None:
    """Raises StoreError where no ledger lies at `path`: an empty one must not quietly take the place of one with data,
    nor its published copy that of the last copy there is."""
    if not path.exists() or not path.stat().st_size:
        anew = "; to start anew move that away" if published_path(path).exists() else ""
        raise StoreError(f"{path} is not there any more; {recovery(path)}{anew}")


def recovery(path: Path) -> str:
    """What puts a ledger in the place of one that is gone or damaged."""
    published = published_path(path)
    without = f"; without one, `runlake restore {published}` takes the published copy" if published.exists() else ""
    return f"put a backup in its place with `runlake restore FILE`{without}"


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection, *, keep: bool = True) -> Iterator[None]:
    """Commits what is done within, or undoes it: where that fails, or is not to be kept."""
    con.execute("BEGIN")
    try:
        yield
        con.execute("COMMIT" if keep else "ROLLBACK")
    except BaseException:
        with suppress(duckdb.Error):  # where a full disk has ended it already, the first error is the one to tell
            con.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path, damaged: str | None = None) -> Iterator[None]:
    """DuckDB's errors as one line each that says how to recover; `damaged` says it of a file that is not the ledger
    itself and cannot be read."""
    try:
        yield
    except duckdb.Error as error:
        advice = damaged or f"{recovery(path)}; to start anew move the damaged file away"
        raise StoreError(_advice(path, str(error), advice)) from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def _advice(path: Path, text: str, damaged: str) -> str:
    held = re.search(r"Conflicting lock is held in (.*?) ?\(PID (\d+)\)", text)
    if held or "Could not set lock" in text:
        by = f"process {held[2]} ({Path(held[1]).name})" if held else "another process"
        return f"{path} is in use by {by}; wait for it or stop it; `runlake sql` and `status` read the published copy"
    if "No space left" in text or "File too large" in text or ("disk" in text.lower() and "full" in text.lower()):
        return f"{path}: the disk is full; nothing acknowledged is lost: free some space, then try again"
    if "Is a directory" in text:
        return f"{path} is a folder; `database` in the config names a file"
    if re.search(r"not a valid DuckDB|Corrupt|(?i:checksum)|Could not read enough bytes|while replaying WAL", text):
        return f"{path} is damaged or not a DuckDB file; {damaged}"
    if "newer version" in text or "version number" in text:
        return f"{path} was written by a newer DuckDB; upgrade runlake's duckdb package"
    if "Cannot open file" in text or "No such file" in text:
        return f"cannot open {path}: {text.rsplit(': ', 1)[-1].lower()}; check the folder of `database` in the config"
    return f"{path}: {text.splitlines()[0]}"


def require_space(path: Path) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < FREE_FLOOR:
        raise StoreError(
            f"{path}: only {free // 2**20} MiB are free on its disk; runlake stops writing below "
            f"{FREE_FLOOR // 2**20} MiB: free some space, then try again"
        )


def migrate(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Brings tables, views and metrics up to this version, after keeping a copy of a ledger whose tables are older."""
    steps = {int(file.name[:4]): file.read_text(encoding="utf-8") for file in (files(__package__) / "schema").iterdir()}
    views, newest = _views(), max(steps)
    digest = blake2b("".join(views).encode(), digest_size=8).hexdigest()
    tables = {
        name
        for (name,) in con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake'").fetchall()
    }
    have, have_views = 0, None
    if "schema_version" in tables:
        have, have_views = con.execute(
            "SELECT max(version), arg_max(views, applied_at) FROM main.schema_version"
        ).fetchall()[0]
    elif tables:
        raise StoreError(f"{path} is a DuckDB file of something else; name another file as `database` in the config")
    if have > newest:
        raise StoreError(f"{path} has schema {have}, this runlake knows {newest}: upgrade runlake; nothing was changed")
    if (have, have_views) == (newest, digest):
        return
    if 0 < have < newest:
        con.execute("CHECKPOINT lake")
        copy(path, path.with_name(f"{path.name}.schema-{have}.bak"))
    with transaction(con):
        con.execute(
            "CREATE TABLE IF NOT EXISTS main.schema_version "
            "(version INTEGER, applied_at TIMESTAMPTZ, runlake VARCHAR, views VARCHAR)"
        )
        for version in sorted(set(steps) - set(range(have + 1))):
            con.execute(steps[version])
        for view in views:
            con.execute(view)
        _comment_inherited_columns(con)
        con.execute(
            "INSERT INTO main.schema_version VALUES (?, ?, ?, ?)", [newest, datetime.now(UTC), __version__, digest]
        )


def _views() -> list[str]:
    """The statements that define the public views, what they need, and the metrics on them."""
    cases = " ".join(f"WHEN '{s.value}' THEN '{s.outcome}'" for s in RunStatus if s.outcome)
    macros = [
        f"CREATE OR REPLACE MACRO gap_above() AS INTERVAL {GAP_ABOVE // timedelta(hours=1)} HOUR",
        f"CREATE OR REPLACE MACRO status_outcome(status) AS CASE status {cases} END",
        "CREATE OR REPLACE MACRO status_has_end(status) AS status_outcome(status) IS NOT NULL OR status = 'unknown'",
        """CREATE OR REPLACE MACRO config_line(level, word) AS format('{}."{}" = "…"',
          CASE level WHEN 'run' THEN 'statuses' ELSE 'step_statuses' END,
          replace(replace(word, '\\', '\\\\'), '"', '\\"'))""",
    ]
    folder = files(__package__)
    public = [folder / "views" / f"{name}.sql" for name in VIEWS]
    public += [folder / "metrics" / f"{name}.sql" for name in METRICS]
    return [*macros, *(file.read_text(encoding="utf-8") for file in public)]


def _comment_inherited_columns(con: duckdb.DuckDBPyConnection) -> None:
    """Columns that a view takes over from `runs`, or else from `syncs`, are described there, once."""
    inherited = con.execute(
        """
        SELECT c.table_name, c.column_name, r.comment
        FROM duckdb_columns() c JOIN duckdb_columns() r USING (database_name, schema_name, column_name)
        WHERE c.database_name = 'lake' AND c.schema_name = 'main' AND c.comment IS NULL
          AND r.table_name IN ('runs', 'syncs') AND r.comment IS NOT NULL
        ORDER BY r.table_name DESC -- what `runs` says is said last, and stays
        """
    ).fetchall()
    for view, column, comment in inherited:
        con.execute(f"COMMENT ON COLUMN {view}.{column} IS {quoted(comment)}")


# In the order of who reads whom; also the order of the data dictionary.
VIEWS = (
    "runs",
    "steps",
    "pipelines",
    "run_history",
    "latest_runs",
    "open_runs",
    "failures",
    "unmapped_statuses",
    "source_health",
    "gaps",
    "syncs",
    "coverage",
    "status_map",
    "alerts",
    "notifications",
    "alert_rules",
    "silences",
    "reports",
    "published",
)

# Macros, in the order of who calls whom, which DuckDB demands; also the order of docs/metrics.md.
METRICS = (
    "success_rate",
    "p50",
    "p95",
    "local_day",
    "local_week",
    "error_signature",
    "observed_through",
    "missing_runs",
    "runs_between",
    "runs_at",
    "failed_steps_at",
    "outcomes_by_day",
    "source_stats",
    "pipeline_stats",
    "run_metrics",
    "recoveries",
    "flaky_runs",
    "busy_hours",
    "regressions",
    "failure_changes",
    "error_signatures",
    "failing_steps",
    "waits",
    "source_coverage",
)
