"""What an evaluation makes of a config that has changed, and when there will be something to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runlake.alerts.turn import turn
from runlake.model import Pipeline
from sync.conftest import Stage, ask, stage
from sync.tiny import DAY, HOUR

from .desk import desk
from .shift import Listing, Shift, shift

__all__ = ["stage"]


@pytest.fixture
async def broken(tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shift]:
    """`etl` has failed, which the rule `watch` has told."""
    async with shift(tmp_path, stage, monkeypatch, rule=[{"kind": "failed", "name": "watch"}]) as scene:
        await scene.poll()
        scene.ran("etl", "failed")
        await scene.poll()
        assert scene.told() == [("open", "watch", ["etl"])]
        yield scene


async def resolutions(scene: Shift) -> list[str]:
    return [text for (text,) in await ask(scene.store, "SELECT resolution FROM rl.alerts WHERE state = 'resolved'")]


@pytest.mark.parametrize(
    ("rule", "resolution"),
    [
        ({"kind": "failed", "name": "other"}, "the rule is not in force any more"),
        ({"kind": "failed", "name": "watch", "pipelines": ["!etl"]}, "the rule is about it no more"),
        ({"kind": "missing", "name": "watch"}, "the rule looks for something else now"),
        ({"kind": "coverage_gap", "name": "watch"}, "the rule looks for something else now"),
    ],
)
async def test_what_a_changed_rule_would_never_find_again_is_over(
    broken: Shift, rule: dict[str, Any], resolution: str
) -> None:
    broken.tables["rule"] = [rule]
    await broken.turn()
    assert broken.told()[1:] == [("resolve", "watch", ["etl"])]
    assert await resolutions(broken) == [resolution]
    assert broken.pager.messages[-1].json["title"] == "NO LONGER WATCHED shop/etl failed"


async def test_a_pipeline_that_its_rule_knows_by_name_is_over_when_it_is_called_otherwise(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Listing, "shown", [Pipeline(pipeline_id="etl", name="nightly load")])
    rule = {"kind": "failed", "name": "watch", "pipelines": ["nightly*"]}
    async with shift(tmp_path, stage, monkeypatch, connector="listing", rule=[rule]) as scene:
        await scene.poll()
        for name, resolved in (
            ("nightly load", []),
            ("nightly copy", []),
            ("old copy", ["the rule is about it no more"]),
        ):
            Listing.shown = [Pipeline(pipeline_id="etl", name=name)]
            scene.ran("etl", "failed")
            await scene.poll(DAY)  # after which pipelines are listed again
            await scene.poll()
            assert scene.told()[0] == ("open", "watch", ["etl"])
            assert await resolutions(scene) == resolved


async def test_what_still_fires_is_told_again_when_its_source_comes_back(broken: Shift) -> None:
    broken.shop.now += HOUR
    other = broken.config.model_copy(update={"source": [broken.source.model_copy(update={"name": "other"})]})
    await turn(broken.store, other, lambda: broken.now)
    await turn(broken.store, other, lambda: broken.now)
    assert broken.told()[1:] == [("resolve", "watch", ["etl"])]
    assert await resolutions(broken) == ["the source is polled no more"]
    await broken.poll()
    assert broken.told()[2:] == [("open", "watch", ["etl"])]


async def test_with_every_rule_put_out_there_is_nothing_to_tell(tmp_path: Path) -> None:
    async with desk(tmp_path, rules=(), channel={"pager": {"digest": True}}) as it:
        for _ in range(3):
            await it.turn(DAY)
        assert it.told() == []


async def test_what_is_repeated_comes_again_when_its_time_has_come_and_not_before(tmp_path: Path) -> None:
    async with desk(tmp_path, rule={"broken": {"repeat_every": "1h"}}) as it:
        it.fire("etl/a")
        for _ in range(3):
            assert (await it.evaluate()).next_at == it.now + HOUR
            it.now += HOUR


async def test_more_pipelines_than_are_judged_in_one_commit_are_judged_in_several(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlake.alerts.evaluate.PORTION", 2)
    names = [f"p{number}" for number in range(5)]
    async with shift(tmp_path, stage, monkeypatch) as scene:
        await scene.poll()
        for name in names:
            scene.ran(name, "failed")
        await scene.poll()
        assert scene.told() == [("open", "failed", names)]


async def test_a_run_that_fails_after_forty_days_is_told_once_and_is_over_with_the_next_success(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is longer than runs are looked back over."""
    async with shift(tmp_path, stage, monkeypatch) as scene:
        run_id = scene.ran("review", "running")
        await scene.poll()
        scene.shop.now += 40 * DAY
        await scene.poll()
        assert scene.told() == []
        scene.ran("review", "failed", run_id=run_id, ago=40 * DAY, took=40 * DAY)
        for _ in range(3):
            await scene.poll(HOUR)
        assert scene.told() == [("open", "failed", ["review"])]
        scene.ran("review")
        await scene.poll()
        assert scene.told()[1:] == [("resolve", "failed", ["review"])]
