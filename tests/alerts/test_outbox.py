"""What is told when, and how often: a real ledger, real receivers, and a clock that the test moves."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from runlake.alerts.message import Message
from runlake.alerts.outbox import deliver
from runlake.config.channels import AnyChannel
from runlake.errors import DeliveryError
from runlake.store.alerting import Silence
from sync.conftest import ask

from .desk import DAY, HOUR, MINUTE, T0, Desk, desk
from .receivers import Answer

FORTY = [f"etl/p{number:02}" for number in range(40)]


async def silence(desk: Desk, until: timedelta, pipeline: str | None = None) -> None:
    kept = Silence(
        silence_id=str(uuid4()),
        reason="moving house",
        created_by="mia",
        created_at=desk.now,
        until=desk.now + until,
        pipeline=pipeline,
    )
    await desk.store.alerting(lambda books: books.keep_silence(kept))


# --- grouping --------------------------------------------------------------------------------------------------------


async def test_forty_that_fail_at_once_are_one_message_and_one_recovery(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        scene.fire(*FORTY)
        await scene.turn()
        scene.mend()
        await scene.turn(MINUTE)
        assert scene.told() == [("open", FORTY), ("resolve", FORTY)]
        opened, over = scene.at["pager"].messages
        assert opened.json["thread"] == over.json["thread"] == opened.json["message_id"] != over.json["message_id"]


async def test_those_that_recover_later_say_that_with_them_all_is_well(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        scene.fire("etl/a", "etl/b", "etl/c")
        await scene.turn()
        scene.mend("etl/a", "etl/b")
        await scene.turn(MINUTE)
        scene.mend()
        await scene.turn(MINUTE)
        assert scene.told() == [
            ("open", ["etl/a", "etl/b", "etl/c"]),
            ("resolve", ["etl/a", "etl/b"]),
            ("resolve", ["etl/c"]),
        ]
        assert [message.json["whole"] for message in scene.at["pager"].messages] == [True, False, True]
        assert len({message.json["thread"] for message in scene.at["pager"].messages}) == 1


async def test_what_repeats_goes_on_with_what_its_own_message_began(tmp_path: Path) -> None:
    async with desk(tmp_path, rule={"broken": {"repeat_every": "1h"}}) as scene:
        scene.fire("etl/a", "etl/b")
        await scene.turn()
        scene.fire("etl/c")
        await scene.turn(MINUTE)
        await scene.turn(2 * HOUR)
        assert sorted(scene.told()[2:]) == [("repeat", ["etl/a", "etl/b"]), ("repeat", ["etl/c"])]
        threads = {len(message.json["alerts"]): message.json["thread"] for message in scene.at["pager"].messages[:2]}
        for message in scene.at["pager"].messages[2:]:
            assert message.json["thread"] == threads[len(message.json["alerts"])]


async def test_sources_and_rules_are_messages_of_their_own(tmp_path: Path) -> None:
    async with desk(tmp_path, rules=("broken", "slow")) as scene:
        scene.fire("etl/a", "etl/b", "ml/c")
        scene.fire("etl/a", rule="slow")
        await scene.turn()
        assert sorted(scene.told()) == [("open", ["etl/a"]), ("open", ["etl/a", "etl/b"]), ("open", ["ml/c"])]


async def test_a_channel_s_limit_makes_many_messages_one(tmp_path: Path) -> None:
    rules = tuple("abcdef")
    async with desk(tmp_path, rules=rules, channel={"pager": {"per_hour": 2}}) as scene:
        scene.fire("etl/first", rule="a")
        await scene.turn()
        for number, rule in enumerate(rules):
            scene.fire(f"etl/p{number}", rule=rule)
        await scene.turn(MINUTE)
        scene.fire("etl/late", rule="b")
        await scene.pass_by(58 * MINUTE, every=10 * MINUTE)
        many = [f"etl/p{number}" for number in range(6)]
        assert scene.told() == [("open", ["etl/first"]), ("open", many)]
        await scene.turn(3 * MINUTE)
        assert scene.told()[2:] == [("open", ["etl/late"])]


# --- sending again ---------------------------------------------------------------------------------------------------


async def test_a_message_that_is_refused_again_and_again_takes_the_room_of_one(tmp_path: Path) -> None:
    async with desk(tmp_path, channel={"pager": {"per_hour": 2}}) as scene:
        scene.at["pager"].answers = [Answer(status=400)] * 2
        scene.fire("etl/a")
        await scene.turn()
        scene.fire("ml/b")
        await scene.turn(20 * MINUTE)
        assert scene.told() == [("open", ["ml/b"])]
        scene.fire("etl/c")
        await scene.turn(20 * MINUTE)
        assert scene.told()[1:] == [("open", ["etl/a"])]
        await scene.turn(20 * MINUTE)
        assert len(scene.told()) == 2
        await scene.turn(HOUR)
        assert scene.told()[2:] == [("open", ["etl/c"])]


async def test_a_message_keeps_its_id_however_often_it_is_sent_and_whoever_fires_meanwhile(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        pager = scene.at["pager"]
        pager.answers = [Answer(status=503), Answer(lost=True), Answer(status=500)]
        scene.fire("etl/a")
        await scene.turn()
        scene.fire("etl/b")
        await scene.pass_by(3 * MINUTE, every=MINUTE / 6)
        assert sorted(scene.told()) == [("open", ["etl/a"]), ("open", ["etl/b"])]
        for key in ("etl/a", "etl/b"):
            tries = [message for message in pager.messages if message.json["alerts"][0]["key"] == key]
            assert len(tries) >= 2
            assert len({message.headers["webhook-id"] for message in tries}) == 1
            assert all(message.json["again"] for message in tries[1:])


async def test_who_says_when_to_come_back_is_asked_then_and_not_before(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        scene.at["pager"].answers = [Answer(status=429, headers={"Retry-After": "1800"})]
        scene.fire("etl/a")
        done = await scene.turn()
        assert done.next_at is not None and done.next_at - T0 == 30 * MINUTE
        await scene.pass_by(20 * MINUTE, every=5 * MINUTE)
        scene.mend()  # which is not told before that it began
        await scene.pass_by(9 * MINUTE, every=3 * MINUTE)
        assert len(scene.at["pager"].messages) == 1
        done = await scene.turn(MINUTE)
        assert scene.told() == [("open", ["etl/a"])]
        assert done.next_at == scene.now
        await scene.turn()
        assert scene.told()[1:] == [("resolve", ["etl/a"])]


async def test_a_dead_channel_does_not_hold_up_another(tmp_path: Path) -> None:
    async with desk(tmp_path, rules=("broken", "slow"), channels=("pager", "chat")) as scene:
        scene.at["pager"].usual = Answer(lost=True)
        scene.fire("etl/a")
        scene.fire("etl/b", rule="slow")
        done = await scene.turn()
        assert (done.messages, done.refused, done.taken, list(done.failures)) == (2, 1, {"chat"}, ["pager"])
        assert len(scene.at["pager"].messages) == 1  # which of its messages finds out that it is dead, is enough
        scene.mend()
        await scene.turn(MINUTE)
        assert scene.told("chat")[2:] == [("resolve", ["etl/a"])]
        assert scene.told("pager") == []
        scene.at["pager"].usual = Answer()
        await scene.pass_by(30 * MINUTE)
        assert sorted(scene.told("pager")) == [("open", ["etl/a"]), ("open", ["etl/b"]), ("resolve", ["etl/a"])]


async def test_what_is_still_being_sent_is_recorded_although_another_channel_breaks(tmp_path: Path) -> None:
    async with desk(tmp_path, channels=("pager", "chat")) as scene:
        scene.fire("etl/a")
        await scene.evaluate()

        async def send(channel: AnyChannel, message: Message) -> None:
            if channel.name == "pager":
                raise ZeroDivisionError
            for _ in range(9):
                await asyncio.sleep(0)

        with pytest.raises(ZeroDivisionError):
            await deliver(scene.store, scene.config, lambda: scene.now, send)
        delivered = await ask(scene.store, "SELECT channel FROM rl.notifications WHERE delivered_at IS NOT NULL")
        assert delivered == [("chat",)]


async def test_it_opens_before_it_is_over_however_long_the_channel_was_dead(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        scene.at["pager"].usual = Answer(status=503)
        scene.fire("etl/a")
        await scene.turn()
        scene.mend()
        await scene.pass_by(2 * HOUR, every=5 * MINUTE)
        scene.at["pager"].usual = Answer()
        await scene.pass_by(HOUR, every=5 * MINUTE)
        assert scene.told() == [("open", ["etl/a"]), ("resolve", ["etl/a"])]


async def test_what_nobody_took_for_a_day_and_is_over_is_given_up_and_is_not_over_either(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        scene.at["pager"].usual = Answer(status=503)
        scene.fire("etl/a", "etl/b")
        await scene.turn()
        await scene.pass_by(23 * HOUR, every=HOUR)
        scene.mend()
        await scene.pass_by(2 * HOUR, every=20 * MINUTE)
        scene.at["pager"].usual = Answer()
        await scene.pass_by(HOUR, every=20 * MINUTE)
        assert scene.told() == []
        rows = await ask(scene.store, "SELECT event, dropped_at IS NOT NULL, error FROM rl.notifications ORDER BY ALL")
        assert [(event, dropped) for event, dropped, _ in rows] == [("open", True)] * 2 + [("resolve", True)] * 2
        assert "503" in rows[0][2]
        scene.fire("etl/a")
        await scene.turn(MINUTE)
        assert scene.told() == [("open", ["etl/a"])]


async def test_what_still_fires_is_told_and_is_over_however_long_the_channel_was_dead(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        scene.fire("etl/told")
        await scene.turn()
        scene.at["pager"].usual = Answer(status=503)
        scene.fire("etl/a")
        await scene.turn(MINUTE)
        scene.mend("etl/told")
        await scene.pass_by(2 * DAY, every=4 * HOUR)
        scene.at["pager"].usual = Answer()
        await scene.pass_by(HOUR, every=20 * MINUTE)
        assert sorted(scene.told()[1:]) == [("open", ["etl/a"]), ("resolve", ["etl/told"])]
        scene.mend()
        await scene.turn(MINUTE)
        assert scene.told()[3:] == [("resolve", ["etl/a"])]


async def test_a_silence_of_days_is_not_the_channel_s_fault(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        await silence(scene, until=3 * DAY)
        scene.fire("etl/a")
        await scene.turn()
        scene.at["pager"].answers = [Answer(status=503)]
        await scene.turn(3 * DAY)
        await scene.turn(MINUTE)
        assert scene.told() == [("open", ["etl/a"])]


async def test_who_asks_to_be_left_alone_for_a_day_is_asked_within_the_hour(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        scene.at["pager"].answers = [Answer(status=429, headers={"Retry-After": "86400"})]
        scene.fire("etl/a")
        await scene.turn()
        await scene.turn(HOUR)
        assert scene.told() == [("open", ["etl/a"])]


async def test_what_a_channel_did_not_take_before_it_was_taken_away_is_told_to_those_that_there_are(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, channels=("old", "new")) as scene:
        both, (old, new) = scene.config, scene.config.channel
        scene.config = both.model_copy(update={"channel": [old]})
        scene.fire("etl/told")
        await scene.turn()
        scene.at["old"].usual = Answer(status=503)
        scene.fire("etl/a", "etl/b")
        await scene.turn(MINUTE)
        scene.config = both.model_copy(update={"channel": [new]})
        scene.mend("etl/b")
        await scene.pass_by(2 * MINUTE)
        assert scene.told("new") == [("open", ["etl/a"])]
        scene.mend()
        await scene.turn(MINUTE)
        assert scene.told("new")[1:] == [("resolve", ["etl/a"])]


# --- held back -------------------------------------------------------------------------------------------------------


async def test_what_still_fires_when_a_silence_ends_is_told_then_and_what_does_not_never(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        await silence(scene, until=HOUR, pipeline="[ab]")
        scene.fire("etl/a", "etl/b", "etl/c")
        await scene.turn()
        scene.mend("etl/b", "etl/c")
        await scene.pass_by(59 * MINUTE, every=10 * MINUTE)
        assert scene.told() == [("open", ["etl/c"]), ("resolve", ["etl/c"])]
        await scene.turn(2 * MINUTE)
        assert scene.told()[2:] == [("open", ["etl/a"])]
        scene.mend()
        await scene.turn(MINUTE)
        assert scene.told()[3:] == [("resolve", ["etl/a"])]
        assert await ask(scene.store, "SELECT count(*) FROM rl.notifications WHERE dropped_at IS NOT NULL") == [(2,)]


async def test_a_recovery_is_told_although_a_silence_began_since(tmp_path: Path) -> None:
    async with desk(tmp_path) as scene:
        scene.fire("etl/a")
        await scene.turn()
        await silence(scene, until=HOUR)
        scene.mend()
        await scene.turn(MINUTE)
        assert scene.told() == [("open", ["etl/a"]), ("resolve", ["etl/a"])]


async def test_maintenance_holds_back_what_it_names_until_it_ends(tmp_path: Path) -> None:
    window = {"name": "patches", "cron": "0 9 * * * UTC", "lasts": "2h", "sources": ["etl"]}
    async with desk(tmp_path, maintenance=[window]) as scene:
        scene.fire("etl/a", "etl/b", "ml/c")
        await scene.turn()
        scene.mend("etl/b")
        await scene.pass_by(90 * MINUTE - MINUTE, every=10 * MINUTE)
        assert scene.told() == [("open", ["ml/c"])]
        await scene.turn(2 * MINUTE)
        assert scene.told()[1:] == [("open", ["etl/a"])]


async def test_what_fires_of_a_source_that_cannot_be_seen_waits_until_it_can(tmp_path: Path) -> None:
    async with desk(tmp_path, rule={"source_unobservable": {}}) as scene:
        for source in ("etl", "ml"):
            await scene.synced(source, "ok")
        scene.now += MINUTE
        await scene.synced("etl", "failed", "AuthenticationError")
        scene.fire("etl/a", "etl/b", "ml/c")
        await scene.turn()
        assert sorted(scene.told()) == [("open", ["etl"]), ("open", ["ml/c"])]
        scene.mend("etl/b")
        await scene.pass_by(30 * MINUTE, every=10 * MINUTE)
        assert len(scene.told()) == 2
        await scene.synced("etl", "ok")
        await scene.turn(MINUTE)
        assert sorted(scene.told()[2:]) == [("open", ["etl/a"]), ("resolve", ["etl"])]


async def test_what_fires_in_the_part_of_a_source_that_is_seen_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path, rule={"source_unobservable": {}}) as scene:
        await scene.synced("etl", "ok")
        for _ in range(3):
            scene.now += HOUR
            await scene.synced("etl", "partial")
            await scene.turn()
        assert scene.told() == [("open", ["etl"])]
        scene.fire("etl/a")
        await scene.turn(MINUTE)
        assert scene.told()[1:] == [("open", ["etl/a"])]
        await scene.synced("etl", "failed", "AuthenticationError")
        scene.mend()
        await scene.turn(MINUTE)
        scene.fire("etl/a")
        await scene.turn(MINUTE)
        assert scene.told()[2:] == [("resolve", ["etl/a"])]


# --- again, and what is still open -----------------------------------------------------------------------------------


async def test_what_was_held_back_opens_once_and_repeats_from_then_on(tmp_path: Path) -> None:
    async with desk(tmp_path, rule={"broken": {"repeat_every": "2h"}}) as scene:
        await silence(scene, until=7 * HOUR)
        scene.fire("etl/a")
        await scene.turn()
        await scene.pass_by(9 * HOUR - MINUTE, every=30 * MINUTE)
        assert scene.told() == [("open", ["etl/a"])]
        await scene.pass_by(5 * HOUR, every=30 * MINUTE)
        assert scene.told()[1:] == [("repeat", ["etl/a"])] * 3


async def test_a_channel_that_was_dead_is_told_once_not_once_for_each_time_it_missed(tmp_path: Path) -> None:
    async with desk(tmp_path, rule={"broken": {"repeat_every": "1h"}}) as scene:
        scene.fire("etl/a")
        await scene.turn()
        scene.at["pager"].usual = Answer(status=503)
        await scene.pass_by(6 * HOUR, every=30 * MINUTE)
        scene.at["pager"].usual = Answer()
        await scene.pass_by(30 * MINUTE, every=15 * MINUTE)
        assert scene.told() == [("open", ["etl/a"]), ("repeat", ["etl/a"])]


async def test_who_has_acknowledged_is_told_no_more_but_that_it_is_over(tmp_path: Path) -> None:
    async with desk(tmp_path, rule={"broken": {"repeat_every": "1h"}}) as scene:
        scene.fire("etl/a")
        await scene.turn()
        await scene.turn(HOUR)
        assert scene.told() == [("open", ["etl/a"]), ("repeat", ["etl/a"])]
        await scene.store.alerting(lambda books: books.ack(books.open_alerts()[0].alert_id, scene.now, "mia", "on it"))
        await scene.pass_by(5 * HOUR, every=HOUR)
        scene.mend()
        await scene.turn(HOUR)
        assert scene.told()[2:] == [("resolve", ["etl/a"])]


@pytest.mark.parametrize("open_", [True, False])
async def test_the_digest_comes_once_a_day_where_anything_is_open(tmp_path: Path, open_: bool) -> None:
    async with desk(tmp_path, channel={"pager": {"digest": True}}) as scene:
        scene.fire("etl/a")
        await scene.turn()
        if not open_:
            scene.mend()
            await scene.turn(MINUTE)
        told = len(scene.told())
        await scene.pass_by(2 * DAY, every=3 * HOUR)
        assert scene.told()[told:] == ([("digest", ["etl/a"])] * 2 if open_ else [])


async def test_a_digest_counts_what_its_channel_is_for(tmp_path: Path) -> None:
    tables = {"channel": {"pager": {"digest": True, "rules": ["broken"]}}}
    async with desk(tmp_path, rules=("broken", "slow"), **tables) as scene:
        scene.fire("etl/a")
        await scene.turn()
        await scene.turn(DAY)
        scene.fire("etl/b", "etl/c")
        scene.fire("etl/d", "etl/e", "etl/f", rule="slow")
        await scene.turn(HOUR)
        scene.mend("etl/a")
        scene.mend("etl/b")
        scene.mend(rule="slow")
        await scene.turn(HOUR)
        await scene.turn(DAY)
        first, second = (m.json for m in scene.at["pager"].messages if m.json["event"] == "digest")
        assert (first["since"], first["opened"], first["resolved"]) == (None, 0, 0)
        assert [alert["key"] for alert in second["alerts"]] == ["etl/c"]
        assert (second["opened"], second["resolved"]) == (2, 2)


async def test_what_some_recipients_did_not_get_is_told_and_is_not_sent_again(tmp_path: Path) -> None:
    async def to_some(channel: AnyChannel, message: Message) -> None:
        raise DeliveryError("1 of 2 recipients did not get it", again=False, taken=True)

    async with desk(tmp_path) as ours:
        ours.fire("etl/a")
        await ours.evaluate()
        done = await deliver(ours.store, ours.config, lambda: ours.now, to_some)
        assert (done.messages, done.refused, done.taken) == (1, 0, set())
        assert done.failures == {"pager": "1 of 2 recipients did not get it"}
        await ours.turn(HOUR)
        assert ours.told() == []
        [alert] = await ours.store.alerting(lambda books: books.open_alerts())
        [row] = await ours.store.alerting(lambda books: books.notifications(alert.alert_id))
        assert row.delivered_at is not None and row.error == "1 of 2 recipients did not get it"
