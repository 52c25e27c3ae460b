"""What is found out about a query without a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runlake.errors import ConfigError
from runlake.store.describing import EmptyLedger


@pytest.fixture(scope="module")
def ledger() -> Iterator[EmptyLedger]:
    with EmptyLedger() as empty:
        yield empty


def test_the_columns_of_an_answer_are_known_before_there_is_a_ledger(ledger: EmptyLedger) -> None:
    query = (
        "SELECT source, count(*) AS failed FROM runs WHERE created_at > now() - INTERVAL 1 DAY GROUP BY ALL -- today"
    )
    assert ledger.describe(query) == [("source", "VARCHAR"), ("failed", "BIGINT")]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "the query is empty"),
        ("SELECT 1; DROP TABLE rl.runs", "one statement at a time"),
        ("DELETE FROM rl.runs", "DELETE does not"),
        ("SELECT statuz FROM runs", '"statuz" not found'),
        ("SELECT * FROM read_text('{file}')", "disabled by configuration"),
        ("SELECT * FROM '{file}'", "disabled by configuration|does not exist"),
        ("SELECT $when", "Values were not provided"),
    ],
)
def test_what_is_not_one_reading_select_is_refused(ledger: EmptyLedger, tmp_path: Path, query: str, told: str) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(ConfigError, match=told):
        ledger.describe(query.format(file=tmp_path / "x.csv"))


@pytest.mark.parametrize(
    "text",
    ["status = 'failed'", "labels['team'] = 'data' OR\nduration_ms > 60000", "run_id::INTEGER > 7"],
)
def test_a_condition_is_one_expression(ledger: EmptyLedger, text: str) -> None:
    ledger.require_condition(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1=1) OR (1=1", "write one condition on the columns of `runs`: Parser Error"),
        ("attempt = 1 -- the first", "write one condition"),
        ("attempt = 1 /*", "write one condition"),
        ("attempt = 1; DROP TABLE rl.runs", "write one condition .*: one statement at a time"),
        ("attempt = 1;", "write one condition"),
        ("true GROUP BY ALL", "write one condition"),
        ("true UNION SELECT true", "write one condition"),
        ("count(*) > 1", "cannot contain aggregates"),
        ("row_number() OVER () = 1", "cannot contain window functions"),
        ("unnest([true])", "write one condition"),
        ("attempt = ?", "write one condition"),
        ("attempts = 1", '"attempts" not found .* Candidate bindings: "attempt"'),
        ("attempt", "write a condition, which is true or false"),
        ("COLUMNS(*) IS NULL", "write a condition, which is true or false"),
        ("run_id IN (SELECT run_id FROM failures)", "write a condition without a subquery"),
        ("random() < 0.5", "write a condition without a subquery, and without chance"),
        ("runs.attempt = 1", "write one condition"),
        ("NULL", "write a condition, which is true or false"),
        ("", "write one condition"),
    ],
)
def test_what_is_not_one_condition_is_refused(ledger: EmptyLedger, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ledger.require_condition(text)
