"""What alerting reads and writes, and that whatever changes is put into its queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from runlake.errors import ConfigError
from runlake.model import Pipeline, Run, RunStatus, StatusTable, Step, run_key
from runlake.store import Batch, Books, Store, Sync
from runlake.store.alerting import (
    MOST_RUNS,
    WINDOW,
    Alert,
    AlertBooks,
    Gap,
    Notification,
    RuleRow,
    SeenPipeline,
    SeenRun,
    Silence,
    UnknownWord,
)
from runlake.store.books import Watched
from runlake.store.query import Reader

T0 = datetime(2026, 7, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WORDS = StatusTable(
    queued=RunStatus.QUEUED, running=RunStatus.RUNNING, done=RunStatus.SUCCEEDED, failed=RunStatus.FAILED
)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.duckdb"


@pytest.fixture
async def store(ledger: Path) -> AsyncIterator[Store]:
    async with Store(ledger) as store:
        await store.begin("s", "v", "V", {"run": (WORDS, StatusTable()), "step": (WORDS, StatusTable())}, T0)
        yield store


def a_run(number: int, word: str = "done", *, pipeline: str = "p", at: datetime = T0, **more: Any) -> Run:
    ended = None if word in ("running", "queued") else at + MINUTE
    return Run(
        **{
            "pipeline_id": pipeline,
            "run_id": f"r{number}",
            "vendor_status": word,
            "created_at": at,
            "started_at": at,
            "finished_at": ended,
            **more,
        }
    )


async def put(
    store: Store,
    at: datetime,
    *runs: Run,
    read_by: str = "list",
    source: str = "s",
    outcome: str = "ok",
    **books: Any,
) -> Sync:
    sync = Sync(
        sync_id=str(uuid4()), source=source, vendor="v", kind="sync", started_at=at, finished_at=at, outcome=outcome
    )
    if outcome == "ok":
        sync.observed_through = at
    batch = Batch(source, "v", WORDS, WORDS)
    for run in runs:
        batch.add(run_key(source, run.ref), run, at, read_by, "GET /runs")
    await store.commit(batch, Books(sync, **books))
    return sync


async def ask(store: Store, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return await store._do(lambda: store._connection.execute(query, list(values)).fetchall())


async def queue(store: Store) -> list[tuple[str, str]]:
    return await ask(store, "FROM rl.unjudged ORDER BY ALL")


async def seen(store: Store, *keys: str, now: datetime = T0, conditions: Sequence[str] = ()) -> list[SeenPipeline]:
    def work(books: AlertBooks) -> list[SeenPipeline]:
        return books.pipelines(
            books.sources(), [("s", key) for key in keys or ("p",)], now, conditions=conditions, labels=True
        )

    return await store.alerting(work)


# --- the queue -------------------------------------------------------------------------------------------------------


async def test_a_changed_pipeline_is_queued_once_until_it_is_judged(store: Store) -> None:
    await put(store, T0, a_run(1), a_run(2, "running"), a_run(3, pipeline="q"))
    await put(store, T0 + HOUR, a_run(2))
    assert await queue(store) == [("s", "p"), ("s", "q")]
    await store.alerting(lambda books: books.judged([("s", "p")], {}))
    assert await queue(store) == [("s", "q")]
    await put(store, T0 + 2 * HOUR, a_run(1), a_run(2))
    assert await queue(store) == [("s", "q")]


async def test_a_pipeline_is_queued_when_a_run_vanishes_is_mapped_anew_or_made_again(store: Store) -> None:
    await put(store, T0, a_run(1, "new word"), a_run(2, pipeline="q"), a_run(3, pipeline="other"))
    await store.alerting(lambda books: books.judged(books.candidates(books.sources()), {}))
    gone = (run_key("s", a_run(2, pipeline="q").ref), T0, T0 + HOUR, "GET /runs/r2")
    await put(store, T0 + HOUR, vanished=[gone])
    assert await queue(store) == [("s", "q")]
    words = StatusTable({"new word": RunStatus.FAILED})
    await store.begin("s", "v", "V", {"run": (WORDS, words), "step": (WORDS, StatusTable())}, T0 + HOUR)
    assert await queue(store) == [("s", "p"), ("s", "q")]
    await ask(store, "DELETE FROM rl.runs WHERE pipeline_id = 'other'")
    await store.rebuild()
    assert await queue(store) == [("s", "other"), ("s", "p"), ("s", "q")]


async def test_a_pipeline_is_queued_when_it_is_paused_or_goes_on(store: Store) -> None:
    listed = [Pipeline(pipeline_id=name, name=name, paused=name == "b") for name in "abc"]
    await put(store, T0, pipelines=listed)
    await store.alerting(lambda books: books.judged([("s", name) for name in "abc"], {}))
    changed = [replace(listed[0], paused=True), replace(listed[1], paused=False), replace(listed[2], name="C")]
    await put(store, T0 + HOUR, pipelines=changed)
    await put(store, T0 + 2 * HOUR, pipelines=changed)
    assert await queue(store) == [("s", "a"), ("s", "b")]


async def test_a_run_that_ends_long_after_it_was_created_is_seen_once_more(store: Store) -> None:
    """Else one that waited for a month and then failed would fail unseen."""
    born, now = T0 - WINDOW - 10 * DAY, T0 + HOUR
    await put(store, T0, a_run(1, "running", at=born), a_run(2, "failed", at=born))
    await store.alerting(lambda books: books.judged([("s", "p")], {}))
    await put(store, now, a_run(1, "failed", at=born, finished_at=now))
    [pipeline] = await seen(store, now=now)
    assert [(run.run_id, run.status) for run in pipeline.runs] == [("r1", RunStatus.FAILED)]
    await store.alerting(lambda books: books.judged([("s", "p")], {}))
    [pipeline] = await seen(store, now=now)
    assert pipeline.runs == []


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_changes_is_queued_once_and_nothing_else(store: Store, seed: int) -> None:
    chance, now = Random(seed), T0
    last: dict[str, Run] = {}

    async def states() -> dict[tuple[str, str], list[Any]]:
        query = (
            "SELECT source, pipeline_id, list((run_key, state_hash, status, vanished_at) ORDER BY run_key) "
            "FROM rl.runs GROUP BY ALL"
        )
        return {(source, pipeline): runs for source, pipeline, runs in await ask(store, query)}

    async def step() -> None:
        match chance.randrange(8):
            case 0:
                gone = [(run_key("s", run.ref), T0, now, "GET /run") for run in last.values() if chance.random() < 0.2]
                await put(store, now, vanished=gone)
            case 1:
                mapped = StatusTable(odd=chance.choice([RunStatus.FAILED, RunStatus.SKIPPED]))
                await store.begin("s", "v", "V", {"run": (WORDS, mapped), "step": (WORDS, StatusTable())}, now)
            case 2:
                await ask(store, "DELETE FROM rl.runs WHERE hash(run_id) % 5 = ?", chance.randrange(5))
                harmed = await states()
                before.update({key: harmed.get(key, []) for key in before})
                await store.rebuild()
            case _:
                numbers = chance.sample(range(30), 6)
                words = ("done", "failed", "running", "odd")
                runs = [a_run(n, chance.choice(words), pipeline=f"p{n % 5}") for n in numbers]
                last.update({run.run_id: run for run in runs})
                await put(store, now, *runs)

    for _ in range(20):
        now += HOUR
        queued, before = await queue(store), await states()
        await step()
        after = await states()
        changed = {key for key in after if after[key] != before.get(key)}
        assert await queue(store) == sorted({*queued, *changed})
        if chance.random() < 0.4:
            judged = [key for key in await queue(store) if chance.random() < 0.7]
            await store.alerting(partial(AlertBooks.judged, keys=judged, lookouts={}))


async def test_what_is_undone_queues_nothing(store: Store) -> None:
    await put(store, T0, a_run(1, "new word"))
    await store.alerting(lambda books: books.judged([("s", "p")], {}))
    words = StatusTable({"new word": RunStatus.FAILED})
    tables = {"run": (WORDS, words), "step": (WORDS, StatusTable())}
    assert await store.remap("s", "v", tables, T0, dry_run=True)
    assert await queue(store) == []


async def test_a_pipeline_is_looked_at_when_its_instant_has_come_by_its_sources_clock(store: Store) -> None:
    await put(store, T0, a_run(1), a_run(2, pipeline="q"))
    look_at = {("s", "p"): T0 + HOUR, ("s", "q"): None, ("gone", "r"): T0}
    await store.alerting(lambda books: books.judged([("s", "p"), ("s", "q")], look_at))
    assert await store.alerting(lambda books: books.candidates(books.sources())) == []
    await put(store, T0 + 59 * MINUTE)
    await put(store, T0 + 2 * HOUR, outcome="failed")
    assert await store.alerting(lambda books: books.candidates(books.sources())) == []
    await put(store, T0 + 3 * HOUR, outcome="partial")
    assert await store.alerting(lambda books: books.candidates(books.sources())) == [("s", "p")]
    await store.alerting(lambda books: books.judged([("s", "p")], {("s", "p"): None}))
    assert await store.alerting(lambda books: books.candidates(books.sources())) == []


async def test_all_that_may_be_judged_can_be_queued(store: Store) -> None:
    await put(store, T0, a_run(1), a_run(2, "running", pipeline="old", at=T0 - 2 * WINDOW))
    listed = [Pipeline(pipeline_id=name, name=name) for name in ("never", "p")]
    await put(store, T0, a_run(3, pipeline="older", at=T0 - 2 * WINDOW), pipelines=listed)
    await store.alerting(lambda books: books.judged(books.candidates(books.sources()), {}))
    assert await queue(store) == []
    await store.alerting(lambda books: books.judge_all(T0))
    await store.alerting(lambda books: books.judge_all(T0))
    assert await queue(store) == [("s", "never"), ("s", "old"), ("s", "p")]


# --- what is seen ----------------------------------------------------------------------------------------------------


async def test_a_run_is_seen_as_the_public_views_show_it(store: Store) -> None:
    run = a_run(1, "failed", trigger="cron", labels={"team": "data"}, finished_at=T0 + HOUR)
    await put(store, T0 + 2 * HOUR, run, a_run(2, "running", at=T0 + HOUR, finished_at=T0))
    [pipeline] = await seen(store, now=T0 + 3 * HOUR)
    running, failed = pipeline.runs
    assert failed == SeenRun(
        run_key=failed.run_key,
        run_id="r1",
        attempt=1,
        status=RunStatus.FAILED,
        vendor_status="failed",
        created_at=T0,
        observed_at=T0 + 2 * HOUR,
        started_at=T0,
        finished_at=T0 + HOUR,
        duration_ms=3_600_000,
        trigger="cron",
        read_by="list",
        labels={"team": "data"},
    )
    assert (running.finished_at, running.duration_ms, running.read_at) == (None, None, T0 + 2 * HOUR)
    assert pipeline.key == "s/p"


async def test_instants_are_seen_to_the_microsecond_whenever_they_are(store: Store) -> None:
    chance, ends = Random(0), datetime(2200, 1, 1, tzinfo=UTC)
    at = [T0 + chance.random() * (ends - T0) for _ in range(150)]
    await put(store, T0, *(a_run(number, at=each) for number, each in enumerate(at)))
    [pipeline] = await seen(store)
    assert [run.created_at for run in pipeline.runs] == sorted(at, reverse=True)


async def test_the_newest_runs_of_the_window_are_seen_and_all_open_ones(store: Store) -> None:
    old = a_run(0, "running", at=T0 - 10 * WINDOW)
    many = [a_run(number, "running" if number == 1 else "done", at=T0 + number * MINUTE) for number in range(1, 300)]
    await put(store, T0 + DAY, old, a_run(-1, at=T0 - 2 * WINDOW), *many)
    [pipeline] = await seen(store, now=T0 + DAY)
    assert [run.run_id for run in pipeline.runs] == [f"r{n}" for n in range(299, 299 - MOST_RUNS, -1)] + ["r1", "r0"]


async def test_pipelines_come_in_the_order_asked_also_without_runs_and_only_of_known_sources(store: Store) -> None:
    listed = [Pipeline(pipeline_id="idle", name="Idle", paused=True), Pipeline(pipeline_id="p", name="Now")]
    await put(store, T0, a_run(1, pipeline_name="Then"), a_run(2, pipeline="q", pipeline_name="Q"), pipelines=listed)

    def work(books: AlertBooks) -> list[SeenPipeline]:
        keys = [("s", "q"), ("t", "p"), ("s", "idle"), ("s", "p")]
        return books.pipelines(books.sources(), keys, T0, conditions=(), labels=False)

    found = await store.alerting(work)
    assert [(each.pipeline_id, each.pipeline_name, each.paused, len(each.runs)) for each in found] == [
        ("q", "Q", False, 1),
        ("idle", "Idle", True, 0),
        ("p", "Now", False, 1),
    ]


async def test_conditions_are_told_run_by_run_and_what_fails_does_not_hold(store: Store) -> None:
    await put(store, T0, a_run(1, labels={"n": "7"}), a_run(2, "failed", labels={"n": "seven"}))
    bad, seven, none = "outcome = 'failure' -- and no more", "labels['n']::INTEGER = 7", "run_number > 3"
    [pipeline] = await seen(store, conditions=[bad, seven, none])
    assert {run.run_id: run.holds for run in pipeline.runs} == {"r1": {seven}, "r2": {bad}}


async def test_a_failure_is_known_by_what_first_said_its_word(store: Store) -> None:
    await put(store, T0, a_run(1, "failed"), a_run(2, "failed"), read_by="backfill")
    await put(store, T0 + HOUR, a_run(1, "failed", error_message="edited"), a_run(3, "failed"), a_run(2, "running"))
    await put(store, T0 + 2 * HOUR, a_run(3, "failed", error_message="edited"), read_by="backfill")
    await put(store, T0 + 3 * HOUR, a_run(2, "failed"), read_by="id")
    [pipeline] = await seen(store)
    assert {run.run_id: run.read_by for run in pipeline.runs} == {"r1": "backfill", "r2": "id", "r3": "list"}


async def test_a_vanished_run_is_seen_as_such(store: Store) -> None:
    await put(store, T0, a_run(1, "failed"))
    await put(store, T0 + HOUR, vanished=[(run_key("s", a_run(1).ref), T0, T0 + HOUR, "GET /runs/r1")])
    [pipeline] = await seen(store)
    assert [run.vanished for run in pipeline.runs] == [True]


async def test_a_source_is_seen_up_to_its_last_answer(store: Store) -> None:
    await put(store, T0)
    await put(store, T0 + HOUR, outcome="partial")
    for minute, outcome in enumerate(("failed", "failed", "running", "interrupted")):
        await put(store, T0 + 2 * HOUR + minute * MINUTE, outcome=outcome)
    await ask(store, "UPDATE rl.syncs SET error_class = 'Unavailable', error = 'no' WHERE outcome = 'failed'")
    found = (await store.alerting(AlertBooks.sources))["s"]
    assert (found.observed_through, found.looked_at, found.first_synced_at) == (T0, T0 + HOUR, T0)
    assert (found.failing_since, found.failures) == (T0 + 2 * HOUR, 2)
    assert (found.last_at, found.last_outcome) == (T0 + 2 * HOUR + MINUTE, "failed")
    assert (found.error_class, found.error) == ("Unavailable", "no")
    await put(store, T0 + 3 * HOUR)
    found = (await store.alerting(AlertBooks.sources))["s"]
    assert (found.looked_at, found.failing_since, found.failures) == (T0 + 3 * HOUR, None, 0)


async def test_a_source_that_was_never_answered_fails_since_its_first_sync(store: Store) -> None:
    assert (await store.alerting(AlertBooks.sources))["s"].last_at is None
    await put(store, T0, outcome="failed")
    found = (await store.alerting(AlertBooks.sources))["s"]
    assert (found.looked_at, found.failing_since, found.failures) == (None, T0, 1)


async def test_words_without_a_mapping_are_told_with_the_line_that_maps_them(store: Store) -> None:
    steps = [Step(step_id="1", vendor_status='o"dd'), Step(step_id="2", vendor_status="done")]
    await put(store, T0, a_run(1, "new"), a_run(2, steps=steps))
    found = (await store.alerting(AlertBooks.sources))["s"]
    assert found.words == [
        UnknownWord(level="run", word="new", config_line='statuses."new" = "…"'),
        UnknownWord(level="step", word='o"dd', config_line='step_statuses."o\\"dd" = "…"'),
    ]
    gone = (run_key("s", a_run(1).ref), T0, T0 + HOUR, "GET /runs/r1")
    await put(store, T0 + 2 * WINDOW, vanished=[gone])
    assert (await store.alerting(AlertBooks.sources))["s"].words == ()


async def test_a_gap_is_what_is_lacking_still_after_it_was_asked_for(store: Store) -> None:
    def listed(*numbers: int) -> list[tuple[str, str, str, datetime]]:
        return [(run_key("s", a_run(n).ref), "p", f"r{n}", T0) for n in numbers]

    await put(store, T0 + DAY, a_run(1))
    await store.compare("s", listed(1, 2, 3, 4), T0 + DAY)
    asked = [Watched(ref=a_run(n).ref, why="missing", since=T0 + DAY, read_at=None) for n in (3, 4)]
    await put(store, T0 + DAY, a_run(2), watch=asked)
    assert (await store.alerting(AlertBooks.sources))["s"].gaps == ()
    await put(store, T0 + DAY, watch=[replace(asked[0], failures=1)], forget=[run_key("s", asked[1].ref)])
    gap = Gap(pipeline_id="p", day="2026-07-01", run_ids=["r3", "r4"])
    assert (await store.alerting(AlertBooks.sources))["s"].gaps == [gap]
    await store.compare("s", listed(1, 2), T0 + DAY + HOUR)
    assert (await store.alerting(AlertBooks.sources))["s"].gaps == ()


# --- rules, episodes, silences ---------------------------------------------------------------------------------------


def an_alert(**more: Any) -> Alert:
    values: dict[str, Any] = {
        "alert_id": str(uuid4()),
        "rule": "failed",
        "kind": "failed",
        "key": "s/p",
        "state": "firing",
        "severity": "critical",
        "since": T0,
        "pending_at": T0,
        "judged_at": T0,
        "why": "it failed",
        "facts": {"run_id": "ü", "n": 1.5, "none": None},
        "source": "s",
        "pipeline_id": "p",
        "fired_at": T0,
    }
    return Alert(**{**values, **more})


async def test_episodes_are_kept_as_they_are_and_saved_again(store: Store) -> None:
    first = an_alert(owner="a", run_key=str(uuid4()), pipeline_name="P", told_at=T0, acked_at=T0, acked_by="me")
    second = an_alert(state="pending", fired_at=None, source=None, pipeline_id=None, pending_at=T0 + HOUR)
    await store.alerting(lambda books: books.save_alerts([first, second]))
    assert await store.alerting(AlertBooks.open_alerts) == [first, second]
    first.state, first.resolved_at, first.resolution = "resolved", T0 + DAY, "it succeeded"
    await store.alerting(lambda books: books.save_alerts([first]))
    assert await store.alerting(AlertBooks.open_alerts) == [second]
    assert await store.alerting(lambda books: books.alert(first.alert_id[:13].upper())) == first
    await store.alerting(lambda books: books.save_alerts([]))


async def test_an_alert_is_named_by_as_much_of_its_id_as_is_enough(store: Store) -> None:
    ids = [f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2)]
    await store.alerting(lambda books: books.save_alerts([an_alert(alert_id=each) for each in ids]))
    for text, says in (("0000", "begins the ids of several"), ("x", "there is no alert 'x'"), ("", "there is no")):
        with pytest.raises(ConfigError, match=says):
            await store.alerting(partial(AlertBooks.alert, text=text))


async def test_what_fired_since_is_counted_by_rule_and_key(store: Store) -> None:
    alerts = [an_alert(fired_at=at) for at in (T0, T0 + HOUR, T0 + DAY, T0 + 2 * DAY, None)] + [an_alert(key="s/q")]
    await store.alerting(lambda books: books.save_alerts(alerts))
    counts = await store.alerting(lambda books: books.fired_between(T0 + HOUR, T0 + DAY))
    assert counts == {("failed", "s/p"): 2}


async def test_rules_and_acknowledgements_are_kept(store: Store) -> None:
    rules = [RuleRow(rule=name, kind="failed", severity="info", definition="{}", since=T0, error=None) for name in "ab"]
    await store.alerting(lambda books: books.keep_rules(rules))
    changed = replace(rules[0], error="no such column", retired_at=T0 + DAY)
    await store.alerting(lambda books: books.keep_rules([changed]))
    assert await store.alerting(AlertBooks.rules) == {"a": changed, "b": rules[1]}
    alert = an_alert()
    await store.alerting(lambda books: books.save_alerts([alert]))
    await store.alerting(lambda books: books.ack(alert.alert_id, T0 + HOUR, "me", "looking"))
    [acked] = await store.alerting(AlertBooks.open_alerts)
    assert (acked.acked_at, acked.acked_by, acked.ack_note) == (T0 + HOUR, "me", "looking")


async def test_a_silence_holds_until_its_end_or_until_it_is_ended(store: Store) -> None:
    silence = Silence(
        silence_id=str(uuid4()), reason="move", created_by="me", created_at=T0, until=T0 + DAY, source="s*"
    )
    await store.alerting(lambda books: books.keep_silence(silence))
    assert await store.alerting(lambda books: books.silences(T0)) == [silence]
    assert await store.alerting(lambda books: books.silences(T0 + DAY)) == []
    assert await store.alerting(lambda books: books.end_silence(silence.silence_id[:6], T0 + HOUR)) == silence
    assert await store.alerting(lambda books: books.silences(T0 + HOUR)) == []
    with pytest.raises(ConfigError, match="there is no silence"):
        await store.alerting(lambda books: books.end_silence(silence.silence_id[:6], T0 + HOUR))


# --- the outbox ------------------------------------------------------------------------------------------------------


def told(alert: Alert | None, event: str = "open", channel: str = "mail", at: datetime = T0) -> Notification:
    return Notification(alert_id=alert.alert_id if alert else None, channel=channel, event=event, created_at=at)


async def test_what_is_neither_delivered_nor_dropped_waits(store: Store) -> None:
    alerts = [an_alert(), an_alert(key="s/q")]
    opened, digest = [told(each) for each in alerts], told(None, "digest", at=T0 + HOUR)
    await store.alerting(lambda books: books.save_alerts(alerts))
    await store.alerting(lambda books: books.enqueue([*opened, digest]))
    waiting = await store.alerting(AlertBooks.waiting)
    assert sorted(waiting[:2], key=lambda each: alerts.index(each[1])) == list(zip(opened, alerts, strict=True))  # type: ignore[arg-type]
    assert waiting[2] == (digest, None)
    message = str(uuid4())
    await store.alerting(lambda books: books.claim(message, opened, T0 + HOUR))
    await store.alerting(lambda books: books.dropped([digest], T0 + HOUR))
    claimed = [row for row, _ in await store.alerting(AlertBooks.waiting)]
    assert {(row.message_id, row.claimed_at, row.attempts) for row in claimed} == {(message, T0 + HOUR, 1)}
    await store.alerting(lambda books: books.delivered(message, T0 + HOUR))
    assert await store.alerting(AlertBooks.waiting) == []


async def test_a_failed_message_is_tried_again_or_given_up(store: Store) -> None:
    alert = an_alert()
    rows = [told(alert), told(None, "digest")]
    await store.alerting(lambda books: books.save_alerts([alert]))
    await store.alerting(lambda books: books.enqueue(rows))
    for number, row in enumerate(rows):
        message, retry_at = str(uuid4()), T0 + HOUR if number == 0 else None
        await store.alerting(partial(AlertBooks.claim, message_id=message, claimed=[row], at=T0))
        await store.alerting(partial(AlertBooks.failed, message_id=message, at=T0, error="refused", retry_at=retry_at))
    [(waiting, _)] = await store.alerting(AlertBooks.waiting)
    assert (waiting.event, waiting.error, waiting.retry_at) == ("open", "refused", T0 + HOUR)
    assert await store.alerting(lambda books: books.told([alert.alert_id])) == {alert.alert_id: ["mail"]}


async def test_the_outbox_knows_who_was_told_by_which_message(store: Store) -> None:
    first, second, third = alerts = [an_alert(key=key) for key in "abc"]
    await store.alerting(lambda books: books.save_alerts(alerts))
    rows = [told(first), told(second), told(third), told(first, channel="chat")]
    await store.alerting(lambda books: books.enqueue(rows))
    message = str(uuid4())
    await store.alerting(lambda books: books.claim(message, rows[:2], T0 + HOUR))
    await store.alerting(lambda books: books.dropped(rows[2:3], T0))
    ids = [alert.alert_id for alert in alerts]
    assert await store.alerting(lambda books: books.told(ids)) == {ids[0]: ["chat", "mail"], ids[1]: ["mail"]}
    assert await store.alerting(lambda books: books.threads("mail", ids)) == {ids[0]: message, ids[1]: message}
    assert await store.alerting(lambda books: books.threads("chat", ids)) == {}
    assert await store.alerting(lambda books: books.messages_since("mail", T0 + HOUR)) == 1
    assert await store.alerting(lambda books: books.messages_since("mail", T0 + DAY)) == 0
    first.state = "resolved"
    await store.alerting(lambda books: books.save_alerts([first]))
    assert not await store.alerting(lambda books: books.is_over("mail", message))
    second.state = "resolved"
    await store.alerting(lambda books: books.save_alerts([second]))
    assert await store.alerting(lambda books: books.is_over("mail", message))


async def test_the_last_digest_is_known_by_channel(store: Store) -> None:
    assert await store.alerting(lambda books: books.last_digest("mail", T0 + 2 * DAY)) is None
    rows = [told(None, "digest", at=T0 + n * DAY) for n in (0, 1)] + [told(None, "digest", "chat", T0 + 2 * DAY)]
    await store.alerting(lambda books: books.enqueue(rows))
    assert await store.alerting(lambda books: books.last_digest("mail", T0 + 2 * DAY)) == T0 + DAY


async def test_a_story_tells_of_the_run_its_failed_step_and_how_the_pipeline_has_been(store: Store) -> None:
    steps = [Step(step_id=word, name=word, vendor_status=word, error_message=word[::-1]) for word in ("done", "failed")]
    failed = a_run(1, "failed", at=T0 - HOUR, run_url="https://v/1", error_message="it broke", steps=steps)
    older = [a_run(2, at=T0 - DAY), a_run(3, "failed", at=T0 - 8 * DAY), a_run(4, "running", at=T0 - 2 * HOUR)]
    await put(store, T0, failed, *older)
    of_run = an_alert(run_key=run_key("s", failed.ref))
    of_source = an_alert(kind="source_unobservable", key="s", pipeline_id=None)
    await store.alerting(lambda books: books.save_alerts([of_run, of_source]))
    ids = [of_run.alert_id, of_source.alert_id]
    stories = await store.alerting(lambda books: books.stories(ids, T0))
    story = stories[of_run.alert_id]
    assert (story.run_id, story.run_url, story.vendor_status) == ("r1", "https://v/1", "failed")
    assert (story.failed_step, story.error) == ("failed", "deliaf")
    assert story.last_success_at == T0 - DAY + MINUTE
    assert (story.ended_lately, story.failed_lately, story.observed_through) == (2, 1, T0)
    story = stories[of_source.alert_id]
    assert (story.run_id, story.ended_lately, story.observed_through) == (None, 0, T0)
    assert await store.alerting(lambda books: books.stories([], T0)) == {}


# --- the public views ------------------------------------------------------------------------------------------------


async def test_the_views_tell_who_was_told_of_what_and_when(store: Store) -> None:
    alert = an_alert(resolved_at=T0 + HOUR, state="resolved", resolution="it succeeded", told_at=T0)
    quiet = an_alert(key="s/q", told_at=T0)
    rule = RuleRow(rule="failed", kind="failed", severity="critical", definition="{}", since=T0)
    rows = [told(alert), told(alert, channel="chat"), told(alert, channel="gone"), told(quiet)]
    message = str(uuid4())
    await store.alerting(lambda books: books.save_alerts([alert, quiet]))
    await store.alerting(lambda books: books.keep_rules([rule]))
    await store.alerting(lambda books: books.enqueue(rows))
    await store.alerting(lambda books: books.claim(message, rows[:2], T0 + MINUTE))
    await store.alerting(lambda books: books.delivered(message, T0 + 2 * MINUTE))
    await store.alerting(lambda books: books.dropped(rows[2:3], T0))
    assert await ask(store, "SELECT key, told_at, told_on, fired_ms, facts->>'n' FROM alerts ORDER BY ALL") == [
        ("s/p", T0 + 2 * MINUTE, ["chat", "mail"], 3_600_000, "1.5"),
        ("s/q", None, [], None, "1.5"),
    ]
    assert await ask(store, "SELECT channel, state FROM notifications ORDER BY ALL") == [
        ("chat", "delivered"),
        ("gone", "dropped"),
        ("mail", "delivered"),
        ("mail", "waiting"),
    ]
    assert await ask(store, "SELECT rule, firing, fired, last_fired_at FROM alert_rules") == [("failed", 1, 2, T0)]


# --- the published copy ----------------------------------------------------------------------------------------------


async def test_alerting_reads_the_published_copy_as_it_reads_the_ledger(store: Store, ledger: Path) -> None:
    await put(store, T0, a_run(1, "failed"), a_run(2, "new", at=T0 - DAY))
    alert = an_alert(run_key=run_key("s", a_run(1).ref))
    await store.alerting(lambda books: books.save_alerts([alert]))
    await store.alerting(lambda books: books.enqueue([told(alert)]))
    await store.publish(T0)

    def everything(books: AlertBooks) -> list[Any]:
        known = books.sources()
        keys = books.candidates(known)
        return [
            known,
            books.pipelines(known, keys, T0, conditions=["true"], labels=True),
            books.waiting(),
            books.stories([alert.alert_id], T0),
            books.silences(T0),
        ]

    with Reader(ledger) as reader:
        assert everything(reader.alerting()) == await store.alerting(everything)
