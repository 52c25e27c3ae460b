"""Which pipelines and runs a rule is about."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest

from alerts.seen import run
from runlake.alerts.scope import Scoped, counted, in_scope, matches, owner_of
from runlake.config.alerting import Failed, Owner, Scope


@pytest.mark.parametrize(
    ("patterns", "words", "fits"),
    [
        ([], [], True),
        ([], ["a"], True),
        (["a"], ["a"], True),
        (["a"], ["A"], False),
        (["a"], ["ab"], False),
        (["a", "b*"], ["bcd"], True),
        (["load"], ["42", "load"], True),
        (["!dev-*"], ["dev-1"], False),
        (["!dev-*"], ["prod"], True),
        (["dev-*", "!dev-2"], ["dev-1"], True),
        (["dev-*", "!dev-2"], ["dev-2"], False),
        (["dev-*", "!dev-2"], ["prod"], False),
        (["42", "!load"], ["42", "load"], False),
        (["[ab]?"], ["b1"], True),
        (["a*"], ["a\nb"], True),
        (["a+(b"], ["a+(b"], True),
        (["a*", "+(b?"], ["+(bc"], True),
        (["a"], [], False),
        (["!a"], [], True),
    ],
)
def test_a_word_matches_one_pattern_and_none_that_is_excluded(
    patterns: list[str], words: list[str], fits: bool
) -> None:
    assert matches(patterns, *words) is fits


def test_a_pattern_of_many_stars_is_answered_at_once() -> None:
    begun = perf_counter()
    assert not matches(["*a" * 30 + "b"], "a" * 2000)
    assert perf_counter() - begun < 1


def test_a_pipeline_is_in_scope_by_its_source_and_by_its_id_or_its_name() -> None:
    scope = Scope(sources=["prod-*"], pipelines=["load", "!42"])
    assert in_scope(scope, "prod-eu", "7", "load")
    assert in_scope(scope, "prod-eu", "load", None)
    assert not in_scope(scope, "prod-eu", "42", "load")
    assert not in_scope(scope, "dev", "7", "load")


def test_a_source_as_such_is_in_scope_where_no_pipelines_are_named() -> None:
    assert in_scope(Scope(sources=["etl"]), "etl")
    assert in_scope(Scope(pipelines=["!load"]), "etl")
    assert not in_scope(Scope(pipelines=["load"]), "etl")


@pytest.mark.parametrize("source", ["prod-eu", "dev"])
@pytest.mark.parametrize(("pipeline_id", "name"), [("42", "load"), ("7", "load-1"), ("7", None)])
def test_many_scopes_together_answer_as_each_alone_in_their_order(
    source: str, pipeline_id: str, name: str | None
) -> None:
    sources: list[list[str]] = [[], ["prod-*"], ["!prod-*"]]
    pipelines: list[list[str]] = [["load*"], [], ["!42"], ["7", "x"], ["load*"]]
    scopes = [Scope(sources=of, pipelines=named) for of in sources for named in pipelines]
    found = Scoped(scopes).of(source, pipeline_id, name)
    assert [id(each) for each in found] == [id(each) for each in scopes if in_scope(each, source, pipeline_id, name)]


@pytest.mark.parametrize(
    ("keys", "run_ids"),
    [
        ({}, ["manual", "unsaid"]),
        ({"triggers": []}, ["manual", "backfill", "unsaid"]),
        ({"triggers": ["manual"]}, ["manual"]),
        ({"labels": {"env": "prod*"}}, ["manual"]),
        ({"labels": {"env": "!prod*"}}, ["unsaid"]),
        ({"where": "error_code = 'E1'"}, ["unsaid"]),
    ],
)
def test_a_rule_looks_at_runs_by_trigger_label_and_condition(keys: dict[str, Any], run_ids: list[str]) -> None:
    runs = [
        run("manual", "failed", 0, 1, trigger="manual", labels={"env": "production"}),
        run("backfill", "failed", 0, 1, trigger="backfill-2026"),
        run("unsaid", "failed", 0, 1, holds=frozenset({"error_code = 'E1'"})),
        run("gone", "failed", 0, 1, vanished=True),
    ]
    assert [each.run_id for each in counted(Failed(kind="failed", **keys), runs)] == run_ids


def test_runs_that_are_gone_count_where_they_are_asked_for() -> None:
    assert counted(Failed(kind="failed"), [run("gone", "failed", 0, 1, vanished=True)], vanished=True)


def test_the_first_owner_that_matches_is_the_owner() -> None:
    owners = [
        Owner(name="billing", labels={"team": "billing"}),
        Owner(name="data", sources=["etl"], pipelines=["load*"]),
        Owner(name="platform"),
    ]
    assert owner_of(owners, "etl", "load-1", None, {"team": "billing"}) == "billing"
    assert owner_of(owners, "etl", "load-1", None, {"team": "other"}) == "data"
    assert owner_of(owners, "ci", "load-1", None, {}) == "platform"
    assert owner_of(owners[:1], "ci", "load-1", None, {}) is None
