"""Patterns in SQL mean what they mean in the config."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runlake.alerts.scope import in_scope, matches, owner_of
from runlake.config.alerting import Owner
from runlake.errors import ConfigError
from runlake.report.scope import Scope, like

# What is special to a pattern, to a regular expression, to SQL, and more than one byte long.
_TEXTS = st.text("ab*?[]!-^\\.'(ü\n&", max_size=6)
_PATTERNS = st.lists(_TEXTS.filter(bool), min_size=1, max_size=3)


OWNERS = [
    Owner(name="nobody", sources=["etl"], pipelines=["tmp*"]),
    Owner(name="data", sources=["etl*"], labels={"tier": "!test"}),
    Owner(name="ml", pipelines=["train*"]),
]
RUNS = [
    (source, pipeline, name, {"tier": tier} if tier else {})
    for source in ("etl", "etl-2", "ml")
    for pipeline, name in (("tmp-1", None), ("p", "training"), ("load", "Load"))
    for tier in ("test", "live", None)
]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE r (source VARCHAR, pipeline_id VARCHAR, pipeline_name VARCHAR, labels MAP(VARCHAR, VARCHAR))"
        )
        con.executemany("INSERT INTO r VALUES (?, ?, ?, ?)", [list(run) for run in RUNS])
        yield con


@settings(max_examples=150, deadline=None)
@given(_PATTERNS, st.lists(st.tuples(_TEXTS, st.none() | _TEXTS), min_size=1, max_size=8))
@example(["[b-a]", "!a[", "*a*b*"], [("xaxb", "a["), ("b", None), ("aab", "b")])
@example(["!a"], [("a", None), ("b", None), ("b", "a")])
@example(["a?c"], [("aüc", None), ("a\nc", None)])
def test_a_pattern_fits_the_same_words_in_sql(
    con: duckdb.DuckDBPyConnection, patterns: Sequence[str], words: list[tuple[str, str | None]]
) -> None:
    condition = like("one", patterns, "two")
    found = [
        con.execute(f"SELECT {condition} FROM (SELECT ?::VARCHAR AS one, ?::VARCHAR AS two)", list(pair)).fetchall()
        for pair in words
    ]
    assert found == [[(matches(patterns, *pair),)] for pair in words]


@pytest.mark.parametrize(
    "owners",
    [["data"], ["ml"], ["!data"], ["d*", "nobody"], ["*"]],
    ids=", ".join,
)
def test_an_owner_is_who_the_first_table_says(con: duckdb.DuckDBPyConnection, owners: list[str]) -> None:
    condition = Scope(owners=owners).condition(OWNERS)
    found = con.execute(f"SELECT {condition} FROM r").fetchall()
    assert found == [(matches(owners, owner_of(OWNERS, *run)),) for run in RUNS]


def test_sources_pipelines_and_labels_must_all_fit(con: duckdb.DuckDBPyConnection) -> None:
    scope = Scope(["etl*"], ["load", "train*"], labels={"tier": "l*", "o'clock": "!5"})
    found = con.execute(f"SELECT count(*) FILTER ({scope.condition([])}) FROM r").fetchall()
    wanted = [
        run
        for run in RUNS
        if in_scope(Owner(name="x", sources=["etl*"], pipelines=["load", "train*"]), *run[:3])
        and run[3].get("tier") == "live"
    ]
    assert found == [(len(wanted),)] == [(4,)]
    assert scope.said == {"source": "etl*", "pipeline": "load, train*", "label": "o'clock=!5, tier=l*"}


def test_an_owner_whom_no_table_names_is_a_slip() -> None:
    with pytest.raises(ConfigError, match=r"no owner 'dota'; there is data"):
        Scope(owners=["dota"]).condition(OWNERS)
    with pytest.raises(ConfigError, match=r"no owner 'data'; the config has no \[\[owner\]\]"):
        Scope(owners=["data"]).condition([])
