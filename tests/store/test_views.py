"""What the public views say of rows whose meaning is known."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from runlake.store.database import connect


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path / "ledger.duckdb") as con:
        yield con


def add_run(con: duckdb.DuckDBPyConnection, status: str, vendor_status: str) -> str:
    """Its run_key."""
    return str(
        con.execute(
            "INSERT INTO rl.runs (run_key, source, vendor, pipeline_id, run_id, attempt, status, vendor_status, "
            "created_at, created_date, first_seen_at, observed_at, state_hash) "
            "VALUES (uuid(), 's', 'v', 'p', 'r', 1, ?, ?, now(), today(), now(), now(), 0) RETURNING run_key",
            [status, vendor_status],
        ).fetchall()[0][0]
    )


def test_the_error_of_the_first_failed_step_is_not_that_of_another(con: duckdb.DuckDBPyConnection) -> None:
    key = add_run(con, "failed", "failed")
    for number, status, error in ((0, "succeeded", "noise"), (1, "failed", None), (2, "failed", "later")):
        con.execute(
            "INSERT INTO rl.steps (run_key, run_created_at, source, step_no, step_id, status, vendor_status, "
            "error_message, observed_at) VALUES (?, now(), 's', ?, ?, ?, ?, ?, now())",
            [key, number, f"step {number}", status, status, error],
        )
    assert con.execute("SELECT failed_step, step_error FROM failures").fetchall() == [("step 1", None)]


def test_the_lines_for_several_unknown_words_can_be_pasted_together(con: duckdb.DuckDBPyConnection) -> None:
    words = ["one", 'tw"o', "thr\\ee", "f.our"]
    for word in words:
        add_run(con, "unknown", word)
    lines = [line for (line,) in con.execute("SELECT config_line FROM unmapped_statuses").fetchall()]
    assert tomllib.loads("\n".join(lines)) == {"statuses": dict.fromkeys(words, "…")}
