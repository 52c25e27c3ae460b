"""The queue of pipelines that alerting has yet to judge: those whose runs have changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import duckdb

LATE_AFTER = timedelta(days=29)
"""A day less than alerting looks back: an evaluation comes some time after the change."""


def unjudge(con: duckdb.DuckDBPyConnection, pipelines: str, values: Sequence[Any] = ()) -> None:
    """To be called by whatever changes rows of `rl.runs`, in the same transaction.

    `pipelines` is a query of two columns, source and pipeline_id, in which a pipeline may come up more than once. Each
    is in the queue once, however often it changes until it is judged.
    """
    con.execute(
        f"INSERT INTO rl.unjudged SELECT DISTINCT * FROM ({pipelines}) AS changed(source, pipeline_id) "
        "ANTI JOIN rl.unjudged USING (source, pipeline_id)",
        list(values),
    )


def note_late(con: duckdb.DuckDBPyConnection) -> None:
    """Of the runs that a batch has changed (its temporary table `fresh`), those that are older than what is looked back
    over: the pipeline is judged with them once. What is new to us and as old as that is history."""
    con.execute(
        "INSERT INTO rl.late_runs SELECT source, pipeline_id, run_key, created_at FROM fresh "
        f"WHERE changed AND NOT is_new AND created_at < observed_at - INTERVAL {LATE_AFTER.days} DAY "
        "AND run_key NOT IN (SELECT run_key FROM rl.late_runs)"
    )
