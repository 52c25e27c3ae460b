"""What is no longer kept: old payloads, superseded snapshots, and bookkeeping that nothing asks for.

Deleted in portions, each a transaction of its own, so that a sync waits for one portion at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from runlake.store.periods import touch

BOOKS_KEPT = timedelta(days=30)
"""How long to keep syncs that changed nothing, and comparisons with a vendor's list that found what the one before had
found: at 200 sources every five minutes, 21 million rows a year. Syncs that failed, or to which the history refers, are
kept: they say when we could not see, and what was asked."""

PORTION = 100_000
"""Rows looked at in one transaction."""


@dataclass(slots=True)
class Pruned:
    """Rows deleted."""

    payloads: int = 0
    snapshots: int = 0
    steps: int = 0
    """That had failed and were replaced."""
    syncs: int = 0
    comparisons: int = 0
    flakes: int = 0
    """Alerts that were well again before they fired."""


@dataclass(frozen=True, slots=True)
class Portion:
    """The rows of a table whose instant lies in [low, high), to be pruned as of `before`."""

    kind: str
    low: datetime
    high: datetime
    before: datetime


def portions(con: duckdb.DuckDBPyConnection, kind: str, before: datetime | None) -> list[Portion]:
    """Where to look for rows of `kind` (a field of Pruned) older than `before`: stretches of time with about PORTION
    rows each, or of one minute."""
    if before is None:
        return []
    rule = _RULES[kind]
    found = con.execute(
        f"""
        SELECT make_timestamptz(min(minute) * 60000000), make_timestamptz((max(minute) + 1) * 60000000)
        FROM (SELECT minute, (sum(number) OVER (ORDER BY minute) - number) // {PORTION} AS portion
              FROM (SELECT epoch_us({rule.instant}) // 60000000 AS minute, count(*) AS number
                    FROM rl.{rule.table} WHERE {rule.age} < ? GROUP BY ALL))
        GROUP BY portion ORDER BY ALL
        """,
        [before],
    ).fetchall()
    return [Portion(kind, low, high, before) for low, high in found]


def delete(con: duckdb.DuckDBPyConnection, portion: Portion) -> int:
    """How many rows of the portion went. Needs an open transaction."""
    rule = _RULES[portion.kind]
    values = {"low": portion.low, "high": portion.high, "before": portion.before}
    within = f"{rule.instant} >= $low AND {rule.instant} < $high AND {rule.age} < $before"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE doomed AS SELECT rowid AS row_no, {rule.instant} AS instant "
        f"FROM rl.{rule.table} t WHERE {within} {rule.spared}",
        values,
    )
    [(count,)] = con.execute("SELECT count(*) FROM doomed").fetchall()
    if count:
        if portion.kind == "snapshots":
            touch(con, "SELECT DISTINCT instant FROM doomed")
        con.execute(f"DELETE FROM rl.{rule.table} WHERE rowid IN (SELECT row_no FROM doomed)")
    return int(count)


@dataclass(frozen=True, slots=True)
class _Rule:
    """`instant` puts rows into portions, `age` is what must be before the date given; `spared` keeps some of them."""

    table: str
    instant: str
    age: str
    spared: str = ""


_RULES = {
    "payloads": _Rule("run_payloads", "observed_at", "observed_at"),
    # Of each run stays what was known of it at that date: the present row can be made from it, and "as known at T" is
    # answered for any later T. The snapshots of one run have one created_at, so that they share a portion; they are in
    # the order in which they came, which a clock put back does not change.
    "snapshots": _Rule(
        "run_snapshots",
        "created_at",
        "observed_at",
        "QUALIFY row_number() OVER (PARTITION BY run_key ORDER BY rowid DESC) > 1",
    ),
    "steps": _Rule("past_step_failures", "replaced_at", "replaced_at"),
    "syncs": _Rule(
        "syncs",
        "started_at",
        "started_at",
        "AND outcome = 'ok' AND new_runs = 0 AND changed_runs = 0 AND vanished_runs = 0 AND started_at < "
        "(SELECT max(g.started_at) FROM rl.syncs g WHERE g.source = t.source AND g.kind = t.kind AND g.outcome = 'ok')",
    ),
    # What was known at any time stays: the newest of each day, and each that found something else than the one before.
    "comparisons": _Rule(
        "coverage",
        "checked_at",
        "checked_at",
        "AND EXISTS (SELECT 1 FROM rl.coverage l WHERE l.source = t.source AND l.pipeline_id = t.pipeline_id "
        "AND l.day = t.day AND l.checked_at > t.checked_at) AND (expected, stored, missing) = "
        "(SELECT arg_max((b.expected, b.stored, b.missing), b.checked_at) FROM rl.coverage b WHERE b.source = t.source "
        "AND b.pipeline_id = t.pipeline_id AND b.day = t.day AND b.checked_at < t.checked_at)",
    ),
    "flakes": _Rule("alerts", "resolved_at", "resolved_at", "AND fired_at IS NULL"),
}
