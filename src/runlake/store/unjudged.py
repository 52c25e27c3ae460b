"""The queue of pipelines that alerting has yet to judge: those whose runs have changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb


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
