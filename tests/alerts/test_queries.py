"""What queries answer, taken for what fires: odd rows, too many of them, and none that can be had."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runlake.alerts import turn as turning
from runlake.alerts.queries import LIMITS, ask
from runlake.config.alerting import Sql
from runlake.store import Store

from .desk import T0, desk

NOW = datetime(2026, 7, 13, 9, tzinfo=UTC)


def rule(query: str, **more: Any) -> Sql:
    return Sql(kind="sql", name="broken", query=query, **{"key": ["key"], **more})


@pytest.fixture
async def published(tmp_path: Path) -> Path:
    async with Store(tmp_path / "runlake.duckdb") as store:
        await store.publish(NOW)
    return tmp_path / "runlake.duckdb"


async def keys(published: Path, query: str, **more: Any) -> list[str]:
    found = (await ask(published, [rule(query, **more)]))["broken"]
    assert found.error is None
    return [each.key for each in found.found]


async def test_rows_without_a_key_and_of_the_same_key_are_one_each(published: Path) -> None:
    assert await keys(published, "SELECT unnest([1, NULL, 1, NULL]) AS key") == ["1", "None"]
    assert await keys(published, "SELECT 1 AS key WHERE false") == []


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (f"SELECT range AS key FROM range({LIMITS.rows + 1})", "more than 1,000 rows"),
        ("SELECT 1 AS other", "no column 'key'"),
        ("COPY (SELECT 1 AS key) TO 'taken.csv'", "read-only"),
        ("SELECT content AS key FROM read_text('/etc/passwd')", "disabled by configuration"),
    ],
)
async def test_what_cannot_be_answered_is_an_error_and_nothing_else(published: Path, query: str, error: str) -> None:
    found = (await ask(published, [rule(query)]))["broken"]
    assert (found.found, error in (found.error or "")) == ([], True)


@pytest.mark.parametrize(
    ("run_key", "about"),
    [
        ("'etl/17'", None),
        ("17", None),
        ("NULL", None),
        ("'8C6E9F00-0000-4000-8000-000000000001'", "8c6e9f00-0000-4000-8000-000000000001"),
    ],
)
async def test_a_row_is_about_a_run_only_where_it_has_a_key_of_ours(
    published: Path, tmp_path: Path, run_key: str, about: str | None
) -> None:
    found = (await ask(published, [rule(f"SELECT 1 AS key, {run_key} AS run_key")]))["broken"].found
    assert [each.run_key for each in found] == [about]
    (tmp_path / "desk").mkdir()
    async with desk(tmp_path / "desk") as scene:
        scene.firing["broken"] = found
        await scene.turn()
        assert scene.told() == [("open", ["1"])]


async def test_nobody_waits_for_a_query_who_is_to_be_told_of_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[tuple[Any, ...]] = []
    async with desk(tmp_path, rule={"source_unobservable": {}}) as scene:
        await scene.store.publish(T0)
        await scene.synced("etl", "failed", "AuthenticationError")

        async def slowly(*_: object) -> dict[str, Any]:
            began.extend(scene.told())
            return {"broken": (await ask(scene.store.path, [rule("SELECT 1 AS key")]))["broken"]}

        monkeypatch.setattr(turning, "ask", slowly)
        turned = await turning.turn(scene.store, scene.config, lambda: scene.now)
        assert began == [("open", ["etl"])]
        assert scene.told()[1:] == [("open", ["1"])]
        assert (turned.delivered.messages, len(turned.evaluated.fired)) == (2, 2)
