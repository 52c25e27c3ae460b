"""What users of other alerting suffer from, each from the vendor's answer to the message that arrives: a real ledger,
real syncs, real receivers.

Which test stands for which pain (the numbers are those of the design's catalogue) says `PAINS`; a test checks it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from runlake.model import Pipeline
from sync.conftest import Stage, ask, stage
from sync.tiny import DAY, HOUR, MINUTE, T0

from .receivers import Answer, recording
from .shift import Listing, Shift, shift

__all__ = ["stage"]

PAINS = {
    52: [
        "test_52_forty_that_fail_from_one_cause_are_one_message",
        "test_outbox.py::test_forty_that_fail_at_once_are_one_message_and_one_recovery",
        "test_render.py::test_errors_that_differ_in_numbers_ids_and_their_own_names_are_one_reason",
    ],
    53: [
        "test_53_a_failure_that_the_vendors_retry_mends_is_told_to_nobody",
        "test_53_a_retry_in_place_is_waited_for",
        "test_kinds_failed.py::test_pain_53_a_retry_in_place_holds_a_pending_alert_back",
    ],
    54: [
        "test_54_a_run_that_is_cleared_and_fails_again_is_the_same_episode",
        "test_54_a_run_that_is_cleared_and_succeeds_ends_it",
    ],
    55: [
        "test_55_an_incident_is_updated_not_opened_anew",
        "test_55_a_channel_without_threads_says_what_a_message_belongs_to",
        "test_channel_apprise.py::test_all_mails_of_an_alert_are_one_thread",
    ],
    56: [
        "test_56_each_episode_opens_once_and_is_over_once",
        "test_56_what_flaps_is_told_three_times_a_day_with_its_ends",
        "test_56_nothing_repeats_before_its_time",
        "test_episodes.py::test_each_episode_opens_once_and_is_over_once_after_it_opened",
        "test_episodes.py::test_who_repeats_keeps_its_distance_and_is_quiet_once_somebody_has_it",
    ],
    57: [
        "test_57_restarts_between_all_steps_tell_the_same",
        "test_kill.py::test_wherever_it_is_killed_each_episode_opens_once_and_is_over_once",
        "test_episodes_kept.py::test_a_ledger_that_is_opened_anew_at_any_time_tells_what_the_model_tells",
    ],
    58: [
        "test_58_an_empty_answer_neither_fires_nor_resolves",
        "test_58_a_rate_stays_as_it_was_when_no_run_comes",
        "test_episodes.py::test_while_nobody_can_tell_nothing_is_fired_resolved_or_told",
    ],
    59: [
        "test_59_an_outage_of_the_vendor_is_one_alert_and_no_other",
        "test_59_an_outage_of_ours_is_none",
        "test_59_what_failed_in_an_outage_is_told_when_it_is_over",
        "test_outbox.py::test_what_fires_of_a_source_that_cannot_be_seen_waits_until_it_can",
    ],
    60: ["test_60_five_failures_in_one_poll_are_one_message"],
    61: [
        "test_61_a_message_that_a_proxy_lost_is_sent_again_under_the_same_id",
        "test_kill.py::test_wherever_it_is_killed_each_episode_opens_once_and_is_over_once",
        "../store/test_database.py::test_a_second_process_is_told_who_holds_the_ledger",
    ],
    62: ["test_62_a_pipeline_that_was_paused_for_days_is_not_missing_and_later_is_so_once"],
    63: [
        "test_63_rows_of_one_key_are_one_alert_and_rows_of_two_are_two",
        "../test_config_alerting.py::test_a_mistake_is_told_with_its_place",
        "../cli/test_alerts.py::test_explain_tells_what_each_rule_finds_and_from_what",
    ],
    64: [
        "test_64_three_in_a_row_are_told_and_two_are_not",
        "test_64_a_rate_is_told_of_enough_runs_and_not_of_few",
    ],
    65: ["test_65_what_is_still_open_is_told_once_a_day_in_one_message"],
    66: ["test_66_what_fires_for_weeks_is_only_in_the_digest"],
    67: ["test_67_backfilled_failures_are_told_to_nobody", "test_67_a_first_sync_tells_of_no_history"],
    68: [
        "test_68_one_silent_pipeline_is_found_while_the_others_run",
        "test_68_usual_lateness_is_waited_for",
        "test_kinds_missing.py::test_pain_68_one_silent_pipeline_is_found_by_its_own_cadence",
    ],
    69: ["test_69_to_start_late_and_to_run_long_are_two_things"],
    70: ["test_70_a_success_in_no_time_is_told"],
    71: ["../web/test_hooks.py::test_hints_that_are_shuffled_doubled_and_lost_leave_the_same_tables"],
    72: ["../web/test_hooks.py::test_hints_that_are_shuffled_doubled_and_lost_leave_the_same_tables"],
}

Begin = Callable[..., AbstractAsyncContextManager[Shift]]


@pytest.fixture
def begin(tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Begin:
    return partial(shift, tmp_path, stage, monkeypatch)


@pytest.fixture
async def scene(begin: Begin) -> AsyncIterator[Shift]:
    """With the rules that are built in; `etl` is known and well."""
    async with begin() as scene:
        scene.ran("etl")
        await scene.poll()
        yield scene


def test_every_pain_has_a_test_and_every_test_its_pain() -> None:
    here, folder = Path(__file__), Path(__file__).parent
    assert sorted(PAINS) == list(range(52, 73))
    for number, tests in PAINS.items():
        for test in tests:
            file, _, name = test.rpartition("::")
            text = (folder / file if file else here).read_text()
            assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{number}: there is no {test}"
    own = re.findall(r"^async def (test_(\d\d)_\w+)\(", here.read_text(), re.MULTILINE)
    assert len(own) >= 25
    for test, number in own:
        assert test in PAINS[int(number)], f"{test} is not in the table"


# --- 52 to 57: one message for one piece of news ---------------------------------------------------------------------


async def test_52_forty_that_fail_from_one_cause_are_one_message(scene: Shift) -> None:
    names = [f"p{number:02}" for number in range(40)]
    for number, name in enumerate(names):
        scene.ran(name, "failed", error=f"could not connect to db-1 (attempt {number})")
    await scene.poll()
    assert scene.told() == [("open", "failed", names)]
    assert "All 40: could not connect to db-" in scene.pager.messages[0].json["text"]
    for name in names:
        scene.ran(name)
    await scene.poll()
    assert scene.told()[1:] == [("resolve", "failed", names)]


async def test_53_a_failure_that_the_vendors_retry_mends_is_told_to_nobody(scene: Shift) -> None:
    scene.ran("etl", "failed", run_id="r", attempt=1)
    scene.ran("etl", "running", run_id="r", attempt=2, ago=-2 * MINUTE)
    await scene.poll()
    await scene.poll()
    scene.ran("etl", "done", run_id="r", attempt=2, ago=8 * MINUTE)
    await scene.poll()
    await scene.polls(2 * HOUR)
    assert scene.told() == []
    assert await scene.episodes() == [("failed", "etl", "resolved", False)]  # a flake


async def test_53_a_retry_in_place_is_waited_for(scene: Shift) -> None:
    scene.ran("etl", "failed", run_id="r", took=4.5 * MINUTE)
    await scene.poll()
    scene.ran("etl", "running", run_id="r", ago=5 * MINUTE)
    await scene.poll()
    scene.ran("etl", "done", run_id="r", ago=10 * MINUTE, took=12 * MINUTE)
    await scene.poll()
    assert scene.told() == []


async def test_54_a_run_that_is_cleared_and_fails_again_is_the_same_episode(scene: Shift) -> None:
    for _ in range(3):
        scene.ran("etl", "failed", run_id="r")
        await scene.poll()
        scene.ran("etl", "running", run_id="r")
        await scene.poll()
    scene.ran("etl", "failed", run_id="r")
    await scene.poll()
    assert scene.told() == [("open", "failed", ["etl"])]


async def test_54_a_run_that_is_cleared_and_succeeds_ends_it(scene: Shift) -> None:
    scene.ran("etl", "failed", run_id="r")
    await scene.poll()
    scene.ran("etl", "running", run_id="r")
    await scene.poll()
    scene.ran("etl", "done", run_id="r")
    await scene.poll()
    await scene.polls(2 * HOUR)
    assert scene.told() == [("open", "failed", ["etl"]), ("resolve", "failed", ["etl"])]


async def test_55_an_incident_is_updated_not_opened_anew(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("routing-key")
    with recording() as incidents:
        duty = {
            "kind": "pagerduty",
            "name": "duty",
            "url": incidents.url,
            "routing_key": {"file": str(tmp_path / "key")},
        }
        rule = {"kind": "failed", "repeat_every": "1h"}
        async with begin(channel=[duty], rule=[rule]) as scene:
            await scene.poll()
            scene.ran("etl", "failed")
            await scene.polls(2 * HOUR)
            scene.ran("etl")
            await scene.poll()
        said = [(message.json["event_action"], message.json["dedup_key"]) for message in incidents.messages]
    assert [action for action, _ in said] == ["trigger", "trigger", "resolve"]
    assert len({key for _, key in said}) == 1


async def test_55_a_channel_without_threads_says_what_a_message_belongs_to(scene: Shift) -> None:
    scene.ran("etl", "failed")
    await scene.poll()
    scene.ran("etl")
    await scene.poll()
    opened, over = (message.json for message in scene.pager.messages)
    assert over["thread"] == opened["message_id"] != over["message_id"]


PLOT = [
    *("done", "failed", "failed", "done", "failed", "running", "cancelled", "done", "done", "failed", "failed", "done"),
]
STORY = [("open", "failed", ["etl"]), ("resolve", "failed", ["etl"])] * 3


async def test_56_each_episode_opens_once_and_is_over_once(begin: Begin) -> None:
    async with begin(alerts={"flapping_after": 100}) as scene:
        await scene.poll()
        for status in PLOT:
            scene.ran("etl", status)
            for _ in range(2):
                await scene.poll()
        assert scene.told() == STORY


async def test_56_what_flaps_is_told_three_times_a_day_with_its_ends(scene: Shift) -> None:
    for _ in range(8):
        scene.ran("etl", "failed")
        await scene.poll()
        scene.ran("etl")
        await scene.poll()
    assert scene.told() == STORY
    await scene.polls(DAY, every=2 * HOUR)
    told = len(scene.told())
    scene.ran("etl", "failed")
    await scene.poll()
    assert ("open", "failed", ["etl"]) in scene.told()[told:]


async def test_56_nothing_repeats_before_its_time(begin: Begin) -> None:
    async with begin(rule=[{"kind": "failed", "repeat_every": "4h"}]) as scene:
        await scene.poll()
        for _ in range(24):  # it fails on and on, which is no news
            scene.ran("etl", "failed")
            await scene.poll(30 * MINUTE)
        assert scene.told() == [("open", "failed", ["etl"])] + [("repeat", "failed", ["etl"])] * 2


async def test_57_restarts_between_all_steps_tell_the_same(begin: Begin) -> None:
    async with begin(alerts={"flapping_after": 100}) as scene:
        await scene.poll()
        for status in PLOT:
            scene.ran("etl", status)
            await scene.restart()
            await scene.poll()
            await scene.restart()
            await scene.turn()
        assert scene.told() == STORY


# --- 58, 59: no news is no news --------------------------------------------------------------------------------------


async def test_58_an_empty_answer_neither_fires_nor_resolves(scene: Shift) -> None:
    scene.ran("etl", "failed")
    await scene.poll()
    scene.shop.lists[""].clear()
    scene.shop.unlisted.clear()
    await scene.polls(3 * HOUR)
    assert scene.told() == [("open", "failed", ["etl"])]


async def test_58_a_rate_stays_as_it_was_when_no_run_comes(begin: Begin) -> None:
    async with begin(rule=[{"kind": "failure_rate", "min_runs": 4, "window": "6h"}, OFF]) as scene:
        await scene.poll()
        for number in range(6):
            scene.ran("etl", "failed", ago=-number * MINUTE / 10)
        await scene.poll()
        await scene.poll(2 * MINUTE)
        assert scene.told() == [("open", "failure_rate", ["etl"])]
        await scene.polls(DAY, every=2 * HOUR)
        assert scene.told() == [("open", "failure_rate", ["etl"])]
        for number in range(4):
            scene.ran("etl", ago=-number * MINUTE / 10)
        await scene.poll()
        await scene.poll(2 * MINUTE)
        assert scene.told()[1:] == [("resolve", "failure_rate", ["etl"])]


OFF = {"kind": "failed", "enabled": False}
HOURLY = {"kind": "missing", "cron": "0 * * * * UTC"}


async def test_59_an_outage_of_the_vendor_is_one_alert_and_no_other(begin: Begin) -> None:
    async with begin(rule=[HOURLY]) as scene:
        scene.ran("etl")
        scene.ran("ml")
        await scene.poll()
        scene.ran("ml", "failed")
        await scene.poll()
        before = [("open", "failed", ["ml"])]
        assert scene.told() == before
        scene.shop.refuse = {"/": 503}
        await scene.polls(5 * HOUR)
        assert scene.told() == [*before, ("open", "source_unobservable", ["shop"])]
        # All that happened meanwhile was well.
        for hours in range(6):
            scene.ran("etl", ago=scene.now - T0 - hours * HOUR)
            scene.ran("ml", ago=scene.now - T0 - hours * HOUR)
        scene.shop.refuse = {}
        await scene.poll()
        await scene.poll()
        assert sorted(scene.told()[2:]) == [("resolve", "failed", ["ml"]), ("resolve", "source_unobservable", ["shop"])]


async def test_59_an_outage_of_ours_is_none(begin: Begin) -> None:
    async with begin(rule=[HOURLY]) as scene:
        scene.ran("etl")
        await scene.poll()
        scene.shop.now += 11 * HOUR + 40 * MINUTE
        await scene.turn()  # we are there again, and have not looked yet
        for hours in range(12):
            scene.ran("etl", ago=scene.now - T0 - hours * HOUR)
        await scene.poll()
        assert scene.told() == []


async def test_59_what_failed_in_an_outage_is_told_when_it_is_over(scene: Shift) -> None:
    scene.shop.refuse = {"/": 503}
    await scene.polls(2 * HOUR)
    scene.ran("etl", "failed", ago=HOUR)
    await scene.poll()
    assert scene.told() == [("open", "source_unobservable", ["shop"])]
    scene.shop.refuse = {}
    await scene.poll()
    assert sorted(scene.told()[1:]) == [("open", "failed", ["etl"]), ("resolve", "source_unobservable", ["shop"])]


# --- 60 to 64: how many make one -------------------------------------------------------------------------------------


async def test_60_five_failures_in_one_poll_are_one_message(scene: Shift) -> None:
    for number in range(5):
        scene.ran("etl", "failed", ago=-number * MINUTE / 2)
    await scene.poll()
    assert scene.told() == [("open", "failed", ["etl"])]
    assert len(scene.pager.messages[0].json["alerts"]) == 1


async def test_61_a_message_that_a_proxy_lost_is_sent_again_under_the_same_id(scene: Shift) -> None:
    scene.pager.answers = [Answer(status=504), Answer(lost=True)]
    scene.ran("etl", "failed")
    await scene.poll()
    for _ in range(3):
        await scene.turn(MINUTE)
    assert scene.told() == [("open", "failed", ["etl"])]
    assert len(scene.pager.messages) == 3
    assert len(scene.pager.by_key) == 1


async def test_62_a_pipeline_that_was_paused_for_days_is_not_missing_and_later_is_so_once(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Listing, "shown", [Pipeline(pipeline_id="etl", paused=False)])
    async with begin(connector="listing", rule=[HOURLY]) as scene:
        scene.ran("etl")
        await scene.poll()
        Listing.shown = [Pipeline(pipeline_id="etl", paused=True)]
        await scene.polls(3 * DAY, every=6 * HOUR)
        assert scene.told() == []
        Listing.shown = [Pipeline(pipeline_id="etl", paused=False)]
        await scene.polls(12 * HOUR, every=20 * MINUTE)
        assert scene.told() == [("open", "missing", ["etl"])]


async def test_63_rows_of_one_key_are_one_alert_and_rows_of_two_are_two(begin: Begin) -> None:
    query = "SELECT pipeline_id AS pipe, status, source FROM runs UNION ALL SELECT 'mart', 'stale', 'warehouse'"
    async with begin(rule=[{"kind": "sql", "name": "rows", "query": query, "key": ["pipe"], "every": "1h"}]) as scene:
        for status in ("done", "cancelled"):
            scene.ran("etl", status)
        await scene.poll()
        await scene.store.publish(scene.now)
        await scene.turn(HOUR)
        await scene.turn(HOUR)
        assert scene.told() == [("open", "rows", ["etl", "mart"])]
        assert await scene.episodes() == [("rows", "etl", "firing", True), ("rows", "mart", "firing", True)]


async def test_64_three_in_a_row_are_told_and_two_are_not(begin: Begin) -> None:
    async with begin(rule=[{"kind": "failed", "in_a_row": 3}]) as scene:
        await scene.poll()
        for status in ("failed", "failed", "done", "failed", "cancelled", "failed"):
            scene.ran("etl", status)
            await scene.poll()
        assert scene.told() == []
        scene.ran("etl", "failed")
        await scene.poll()
        assert scene.told() == [("open", "failed", ["etl"])]


async def test_64_a_rate_is_told_of_enough_runs_and_not_of_few(begin: Begin) -> None:
    async with begin(rule=[{"kind": "failure_rate", "min_runs": 5}, OFF]) as scene:
        await scene.poll()
        for status in ("failed", "failed", "failed", "done"):
            scene.ran("etl", status)
            await scene.poll()
        await scene.poll()
        assert scene.told() == []
        scene.ran("etl", "failed")
        await scene.poll()
        await scene.poll()
        assert scene.told() == [("open", "failure_rate", ["etl"])]


# --- 65 to 67: what is not worth a page ------------------------------------------------------------------------------


def digested(scene: Shift, **alerts: str) -> None:
    url = {"file": str(scene.folder / "url")}
    scene.tables |= {"channel": [{"kind": "webhook", "name": "pager", "url": url}], "alerts": alerts}


async def test_65_what_is_still_open_is_told_once_a_day_in_one_message(scene: Shift) -> None:
    digested(scene)
    for name in ("a", "b"):
        scene.ran(name, "failed")
    await scene.poll()
    await scene.polls(3 * DAY, every=3 * HOUR)
    assert scene.told() == [("open", "failed", ["a", "b"])] + [("digest", "failed", ["a", "b"])] * 3


async def test_66_what_fires_for_weeks_is_only_in_the_digest(begin: Begin) -> None:
    async with begin(rule=[{"kind": "failed", "repeat_every": "1d"}]) as scene:
        digested(scene, chronic_after="3d")
        await scene.poll()
        scene.ran("etl", "failed")
        await scene.polls(10 * DAY, every=12 * HOUR)
        events = [event for event, _, _ in scene.told()]
        assert (events.count("open"), events.count("repeat"), events.count("digest")) == (1, 2, 10)
        assert events[-7:] == ["digest"] * 7
        last = scene.pager.messages[-1].json
        assert [alert["held"] for alert in last["alerts"]] == ["chronic"]


async def test_67_backfilled_failures_are_told_to_nobody(scene: Shift) -> None:
    scene.ran("etl", "failed", ago=40 * DAY)
    scene.ran("old", "failed", ago=40 * DAY)
    scene.ran("old", "failed", ago=10 * DAY)
    await scene.backfill(T0 - 60 * DAY)
    await scene.polls(2 * HOUR)
    assert scene.told() == []
    assert await ask(scene.store, "SELECT count(*) FROM runs WHERE outcome = 'failure'") == [(3,)]


async def test_67_a_first_sync_tells_of_no_history(begin: Begin) -> None:
    async with begin() as scene:
        for days in range(20):
            scene.ran("etl", "failed", ago=days * DAY + HOUR)
        await scene.polls(3 * HOUR)
        assert scene.told() == []


# --- 68 to 70: what came late, not at all, or in no time -------------------------------------------------------------


def hourly(scene: Shift, *pipelines: str, hours: int, late: timedelta = timedelta()) -> None:
    """Runs of the last hours, every other one so much late."""
    for name in pipelines:
        for number in range(hours, 0, -1):
            scene.ran(name, ago=number * HOUR - (late if number % 2 else timedelta()))


async def test_68_one_silent_pipeline_is_found_while_the_others_run(begin: Begin) -> None:
    async with begin() as scene:
        hourly(scene, "a", "b", "c", hours=8 * 24)
        await scene.poll()
        for _ in range(5):
            for name in ("a", "c"):
                scene.ran(name)
            await scene.poll(HOUR)
        assert scene.told() == [("open", "missing", ["b"])]
        scene.ran("b")
        await scene.poll()
        assert scene.told()[1:] == [("resolve", "missing", ["b"])]


async def test_68_usual_lateness_is_waited_for(begin: Begin) -> None:
    async with begin() as scene:
        hourly(scene, "etl", hours=8 * 24, late=30 * MINUTE)
        await scene.poll()
        for number in range(6):
            await scene.poll(HOUR - MINUTE if number % 2 else 30 * MINUTE)
            scene.ran("etl")
            await scene.poll(MINUTE)
        assert scene.told() == []


async def test_69_to_start_late_and_to_run_long_are_two_things(begin: Begin) -> None:
    rules = [{"kind": "missing", "every": "1h", "grace": "10m"}, {"kind": "too_long", "limit": "30m"}]
    async with begin(rule=rules) as scene:
        scene.ran("late")
        scene.ran("long")
        await scene.poll()
        scene.ran("long", "running", run_id="r", ago=-15 * MINUTE)
        await scene.poll(20 * MINUTE)
        assert scene.told() == []
        await scene.poll(30 * MINUTE)
        assert scene.told() == [("open", "too_long", ["long"])]
        await scene.poll(25 * MINUTE)
        assert scene.told()[1:] == [("open", "missing", ["late"])]


async def test_70_a_success_in_no_time_is_told(begin: Begin) -> None:
    async with begin(rule=[{"kind": "too_short", "limit": "30s"}]) as scene:
        await scene.poll()
        scene.ran("etl", took=timedelta(seconds=2))
        await scene.poll()
        assert scene.told() == [("open", "too_short", ["etl"])]
        scene.ran("etl", took=2 * MINUTE)
        await scene.poll()
        assert scene.told()[1:] == [("resolve", "too_short", ["etl"])]
