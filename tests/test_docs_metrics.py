"""docs/metrics.md is made from the metrics, which all say what they answer and what their columns mean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from runlake.store.database import METRICS, connect
from runlake.store.dictionary import metrics, metrics_page

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path_factory.mktemp("metrics") / "empty.duckdb") as con:
        yield con


def test_the_page_of_metrics_is_the_one_that_the_code_makes() -> None:
    assert (ROOT / "docs/metrics.md").read_text(encoding="utf-8") == metrics_page(), "run `make docs`"


def test_each_file_is_a_metric() -> None:
    there = {file.stem for file in (ROOT / "src/runlake/store/metrics").glob("*.sql")}
    assert there == set(METRICS)


def test_each_metric_says_what_it_answers_and_what_its_columns_mean(con: duckdb.DuckDBPyConnection) -> None:
    for metric in metrics(con):
        assert metric.calls, metric.name
        question, _, definition = metric.comment.partition("? ")
        assert question and definition, f"{metric.name}: begin the comment with the question"
        there = [name for name, _, _ in metric.columns]
        assert [name for name, _, meaning in metric.columns if not meaning] == [], metric.name
        assert [name for name in metric.explained if name not in there] == [], metric.name


def test_each_table_with_a_source_says_how_fresh_and_how_complete_it_is(con: duckdb.DuckDBPyConnection) -> None:
    of_attempts_or_coverage = {"runs_between", "runs_at", "failed_steps_at", "source_coverage"}
    for metric in metrics(con):
        if metric.columns and metric.name not in of_attempts_or_coverage:
            assert [name for name, _, _ in metric.columns][-2:] == ["observed_through", "missing_runs"], metric.name


def test_each_example_can_be_asked(con: duckdb.DuckDBPyConnection) -> None:
    for metric in metrics(con):
        con.execute(metric.example).fetchall()
        assert metric.name in metric.example
