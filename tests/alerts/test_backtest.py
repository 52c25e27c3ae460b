"""The past lived through again: what a backtest says fired is what live evaluation did fire, alert by alert."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from runlake.alerts.backtest import Backtest, Message, backtest, rule_named
from runlake.alerts.evaluate import evaluate
from runlake.config import Config
from runlake.config.alerting import BUILT_IN
from runlake.errors import ConfigError
from runlake.model import Run, RunStatus, StatusTable, run_key
from runlake.store import Batch, Books, Store, Sync
from runlake.store.alerting import Alert, AlertBooks
from runlake.store.query import Reader

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
T0 = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday."""

WORDS = StatusTable(
    queued=RunStatus.QUEUED,
    running=RunStatus.RUNNING,
    review=RunStatus.WAITING,
    done=RunStatus.SUCCEEDED,
    failed=RunStatus.FAILED,
    stopped=RunStatus.CANCELLED,
)


def setting(*rules: dict[str, Any], **tables: Any) -> Config:
    """These rules, and none that is built in."""
    kinds = {rule["kind"] for rule in rules}
    off = [{"kind": rule.kind, "enabled": False} for rule in BUILT_IN if rule.kind not in kinds]
    sources = [{"name": name, "connector": "esper"} for name in ("etl", "ml")]
    return Config.model_validate({"source": sources, "rule": [*rules, *off], **tables})


@dataclass
class Ledger:
    """What a vendor's account has, and the ledger that syncs have made of it."""

    folder: Path
    store: Store
    runs: dict[str, Run] = field(default_factory=dict)
    """By run_key, as the vendor shows them now."""
    unseen: dict[str, set[str]] = field(default_factory=dict)
    """By source, the keys that have changed since the last good sync."""

    def put(self, source: str, pipeline: str, run_id: str, word: str, begin: datetime, **rest: Any) -> None:
        run = Run(pipeline_id=pipeline, run_id=run_id, vendor_status=word, created_at=begin, started_at=begin, **rest)
        key = run_key(source, run.ref)
        self.runs[key] = run
        self.unseen.setdefault(source, set()).add(key)

    async def sync(
        self, source: str, at: datetime, *, outcome: str = "ok", error_class: str | None = None, read_by: str = "list"
    ) -> None:
        """One that begins at `at` and takes 20 seconds. It reads what is new, and the open runs that are due."""
        tables = {"run": (WORDS, WORDS), "step": (WORDS, WORDS)}
        state = await self.store.begin(source, "esper", "Esper", tables, at)
        batch, gone = Batch(source, "esper", WORDS, WORDS), []
        if outcome != "failed":
            due = {run_key(source, each.ref): each for each in state.watched if each.due(at)}
            for key in sorted(self.unseen.pop(source, set()) | due.keys()):
                if key in self.runs:
                    batch.add(key, self.runs[key], at, read_by if key not in due else "id", "GET /runs")
                else:
                    gone.append((key, due[key].created_at if key in due else None, at, "GET /runs/1"))
        row = Sync(
            sync_id=str(uuid4()), source=source, vendor="esper", kind="sync", started_at=at,
            finished_at=at + timedelta(seconds=20), outcome=outcome, error_class=error_class, error=error_class,
            observed_through=at if outcome == "ok" else None,
        )  # fmt: skip
        await self.store.commit(batch, Books(row, vanished=gone))

    async def evaluate(self, config: Config, at: datetime) -> None:
        await self.store.alerting(lambda books: evaluate(books, config, at))

    async def fired(self) -> list[Alert]:
        def found(books: AlertBooks) -> list[Alert]:
            return [*books.open_alerts(), *books.resolved_since(T0)]

        return await self.store.alerting(found)

    async def backtests(self, config: Config, since: datetime, until: datetime) -> list[Backtest]:
        """Of each rule."""
        await self.store.publish(until)
        with Reader(self.folder / "runlake.duckdb") as reader:
            books = reader.alerting()
            return [backtest(books, config, rule_named(config, rule.name), since, until) for rule in config.rules]


# --- as live ---------------------------------------------------------------------------------------------------------

RULES: Sequence[Mapping[str, Any]] = (
    {"kind": "failed", "for": "0s"},
    {"kind": "failed"},
    {"kind": "failed", "in_a_row": 2, "for": "10m"},
    {"kind": "failed", "where": "duration_ms > 600000"},
    {"kind": "failed", "triggers": ["schedule"]},
    {"kind": "failed", "labels": {"stage": "live"}},
    {"kind": "failure_rate", "window": "3h", "min_runs": 3, "above_percent": 30},
    {"kind": "too_long", "limit": "30m"},
    {"kind": "too_long", "min_runs": 3, "at_least": "5m", "factor": 1, "for": "10m"},
    {"kind": "too_short", "limit": "5m"},
    {"kind": "missing", "cron": "*/40 * * * * UTC", "grace": "5m"},
    {"kind": "missing", "every": "1h", "grace": "0s"},
    {"kind": "missing", "min_runs": 3},
    {"kind": "waiting", "longer_than": "1h"},
    {"kind": "source_unobservable", "after": "10m"},
    {"kind": "new_status_word"},
)


FINAL = {"done", "failed", "stopped"}
SEEDS = int(os.environ.get("RUNLAKE_EXAMPLES", "3"))


async def live(folder: Path, config: Config, seed: int) -> tuple[list[Alert], list[Backtest]]:
    """A day and a half of a vendor that does this and that, its evaluations after each sync from the middle on."""
    chance = random.Random(seed)
    async with Store(folder / "runlake.duckdb") as store:
        ledger, now, began = Ledger(folder, store), T0, datetime.max.replace(tzinfo=UTC)
        number, after, broken, hour = 0, chance.randint(5, 20), 0, T0 - DAY
        for turn in range(60):
            now += chance.choice([5 * MINUTE, 5 * MINUTE, 5 * MINUTE, 20 * MINUTE, 2 * HOUR])
            for _ in range(chance.choice([0, 0, 1, 1, 3])):
                number += 1
                source, pipeline = chance.choice(["etl", "etl", "ml"]), chance.choice(["a", "a", "b"])
                begin = now - chance.randint(0, 90) * MINUTE
                word = chance.choice(["running", "running", "done", "done", "failed", "review", "stopped", "odd"])
                ended = {"finished_at": begin + chance.randint(0, 40) * MINUTE} if word in FINAL else {}
                labels = {"stage": chance.choice(["live", "test"])}
                trigger = chance.choice(["schedule", "api", "backfill-1"])
                ledger.put(source, pipeline, str(number), word, begin, trigger=trigger, labels=labels, **ended)
            while hour <= now:  # one that comes hourly, but for some nights
                if not 20 <= hour.hour <= 23 and hour.hour != 9:
                    ledger.put("etl", "hourly", f"{hour}", "done", hour, finished_at=hour)
                hour += HOUR
            for key, run in list(ledger.runs.items()):
                if run.vendor_status not in FINAL and chance.random() < 0.15:
                    word = chance.choice(["done", "failed", "review", "running", "stopped"])
                    end = now - chance.randint(0, 4) * MINUTE if word in FINAL else None
                    ledger.runs[key] = replace(run, vendor_status=word, finished_at=end)
                elif run.vendor_status in FINAL and chance.random() < 0.02:
                    source = "etl" if run_key("etl", run.ref) == key else "ml"
                    word, attempt = chance.choice(["running", "done"]), run.attempt + 1
                    again = replace(run, vendor_status=word, attempt=attempt, created_at=now - MINUTE, started_at=now)
                    again = replace(again, finished_at=now if word == "done" else None)
                    ledger.runs[run_key(source, again.ref)] = again
                    ledger.unseen.setdefault(source, set()).add(run_key(source, again.ref))
                elif run.vendor_status not in FINAL and chance.random() < 0.01:
                    del ledger.runs[key]
            broken = broken - 1 if broken else chance.choice([0] * 12 + [2, 6])
            source = chance.choice(["etl", "etl", "etl", "ml"])
            error = chance.choice(["Unavailable", "AuthenticationError"]) if broken else None
            partial = not broken and chance.random() < 0.1
            await ledger.sync(
                source,
                now,
                outcome="failed" if broken else "partial" if partial else "ok",
                error_class=error,
                read_by="backfill" if chance.random() < 0.1 else "list",
            )
            if turn >= after:
                began = min(began, now + timedelta(seconds=20))
                await ledger.evaluate(config, now + timedelta(seconds=20))
        until = now + timedelta(seconds=20)
        return await ledger.fired(), await ledger.backtests(config, began, until)


def told(alerts: Sequence[Alert]) -> list[tuple[Any, ...]]:
    return sorted(
        (each.fired_at, each.key, each.since, each.resolved_at or datetime.max.replace(tzinfo=UTC),
         each.resolution or "", each.pending_at, each.flapping)
        for each in alerts if each.fired_at is not None
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_backtest_fires_what_live_evaluation_fired(tmp_path: Path, seed: int) -> None:
    """The same keys, at the same evaluations, over at the same evaluations for the same reasons."""
    config = setting(*({"name": f"rule-{place}", **rule} for place, rule in enumerate(RULES)))
    alerts, results = asyncio.run(live(tmp_path, config, seed))
    for result in results:
        mine = [each for each in alerts if each.rule == result.rule.name]
        assert told(result.alerts) == told(mine), result.rule
        unfired = Counter(each.state for each in mine if each.fired_at is None)
        assert (result.flakes, result.pending) == (unfired["resolved"], unfired["pending"])
    assert sum(len(result.alerts) for result in results) > 10, "hardly anything fired, which proves little"


# --- what is told of it ----------------------------------------------------------------------------------------------


def plotted(
    folder: Path, config: Config, plot: Mapping[int, Mapping[str, str]], *, hours: int, since: int = 0
) -> Backtest:
    """A sync each ten minutes; `plot` has, by the minute, with what word a run of a pipeline has just ended."""

    async def work() -> Backtest:
        async with Store(folder / "runlake.duckdb") as store:
            ledger = Ledger(folder, store)
            for minute in range(0, 60 * hours + 1, 10):
                at = T0 + minute * MINUTE
                for pipeline, word in plot.get(minute, {}).items():
                    begin, end = at - 9 * MINUTE, at - 5 * MINUTE
                    ledger.put("etl", pipeline, f"{minute}", word, begin, finished_at=end)
                await ledger.sync("etl", at)
            [result] = await ledger.backtests(config, T0 + since * MINUTE, at + MINUTE)
            return result

    return asyncio.run(work())


AT_ONCE = {"kind": "failed", "for": "0s"}


def at(minute: int) -> datetime:
    """The end of a sync."""
    return T0 + minute * MINUTE + timedelta(seconds=20)


def test_what_breaks_together_and_is_over_together_is_two_messages(tmp_path: Path) -> None:
    plot = {0: {"a": "done"}, 60: {"a": "failed", "b": "failed"}, 100: {"a": "done", "b": "done"}, 180: {"b": "failed"}}
    result = plotted(tmp_path, setting(AT_ONCE), plot, hours=4)
    assert result.messages == [
        Message(at(60), "open", 2),
        Message(at(100), "resolve", 2),
        Message(at(180), "open", 1),
    ]
    assert (len(result.alerts), len(result.resolved), result.judged) == (3, 2, 2)
    assert (result.resolved_within(15 * MINUTE), result.resolved_within(HOUR)) == (0, 2)
    assert result.noisiest == [("etl/b", 2), ("etl/a", 1)]
    assert result.longest_quiet == (at(100), at(180))
    assert result.per_day == {"2026-03-02": 3}


def test_what_ended_before_the_time_begins_fires_nothing(tmp_path: Path) -> None:
    result = plotted(tmp_path, setting(AT_ONCE), {10: {"a": "failed"}, 60: {"b": "failed"}}, hours=2, since=30)
    assert [(alert.key, alert.fired_at) for alert in result.alerts] == [("etl/b", at(60))]


def test_what_a_maintenance_outlasts_is_told_to_nobody_and_the_rest_after_it(tmp_path: Path) -> None:
    maintenance = [{"name": "tuesday", "cron": "0 1 * * * UTC", "lasts": "2h"}]
    plot = {60: {"a": "failed", "b": "failed"}, 120: {"a": "done"}, 200: {"b": "done"}}
    result = plotted(tmp_path, setting(AT_ONCE, maintenance=maintenance), plot, hours=4)
    assert result.messages == [Message(T0 + 3 * HOUR, "open", 1), Message(at(200), "resolve", 1)]
    assert (len(result.alerts), result.held) == (2, 1)


def test_one_that_never_ends_repeats_what_it_holds_back_not_for_ever(tmp_path: Path) -> None:
    maintenance = [{"name": "always", "cron": "0 0 * * * UTC", "lasts": "2d"}]
    result = plotted(tmp_path, setting(AT_ONCE, maintenance=maintenance), {60: {"a": "failed"}}, hours=2)
    assert (result.messages, result.held, len(result.alerts)) == ([], 1, 1)


def test_what_comes_and_goes_is_left_to_the_digest(tmp_path: Path) -> None:
    plot = {minute: {"a": "failed" if minute % 40 else "done"} for minute in range(20, 401, 20)}
    result = plotted(tmp_path, setting(AT_ONCE, alerts={"flapping_after": 3}), plot, hours=7)
    assert (len(result.alerts), result.flapping, len(result.messages)) == (10, 7, 6)


def test_a_rule_that_repeats_is_told_again_until_it_is_over(tmp_path: Path) -> None:
    plot = {60: {"a": "failed"}, 200: {"a": "done"}}
    result = plotted(tmp_path, setting({**AT_ONCE, "repeat_every": "1h"}), plot, hours=5)
    assert [(message.at, message.event) for message in result.messages] == [
        (at(60), "open"), (at(120), "repeat"), (at(180), "repeat"), (at(200), "resolve"),
    ]  # fmt: skip


def test_what_was_over_before_it_had_lasted_is_a_flake(tmp_path: Path) -> None:
    plot = {60: {"a": "failed"}, 80: {"a": "done"}, 110: {"a": "failed"}}
    result = plotted(tmp_path, setting({**AT_ONCE, "for": "30m"}), plot, hours=2)
    assert (result.alerts, result.flakes, result.pending, result.messages) == ([], 1, 1, [])


def test_a_run_that_is_open_for_longer_than_is_looked_back_counts_until_it_ends(tmp_path: Path) -> None:
    async def work() -> tuple[list[Alert], Backtest]:
        config = setting({"kind": "waiting", "longer_than": "1h"})
        async with Store(tmp_path / "runlake.duckdb") as store:
            ledger = Ledger(tmp_path, store)
            ledger.put("etl", "a", "1", "review", T0)
            await ledger.sync("etl", T0)
            for day in (40, 41, 42):
                if day == 41:
                    ledger.put("etl", "a", "1", "done", T0, finished_at=T0 + day * DAY)
                await ledger.sync("etl", T0 + day * DAY)
                await ledger.evaluate(config, T0 + day * DAY + timedelta(seconds=20))
            start = T0 + 40 * DAY + timedelta(seconds=20)
            [result] = await ledger.backtests(config, start, start + 3 * DAY)
            return await ledger.fired(), result

    alerts, result = asyncio.run(work())
    assert told(result.alerts) == told(alerts)
    [alert] = result.alerts
    assert (alert.fired_at, alert.resolved_at) == (at(40 * 24 * 60), at(41 * 24 * 60))


def test_only_pipelines_in_its_scope_are_judged(tmp_path: Path) -> None:
    plot = {60: {"a": "failed", "b": "failed"}}
    result = plotted(tmp_path, setting({**AT_ONCE, "pipelines": ["b*"]}), plot, hours=2)
    assert (result.judged, [alert.key for alert in result.alerts]) == (1, ["etl/b"])


def test_a_rule_that_is_not_enabled_can_be_tried_and_one_without_a_past_cannot() -> None:
    query = {"kind": "sql", "name": "mine", "query": "SELECT 1 AS n", "key": ["n"]}
    config = setting({**AT_ONCE, "name": "draft", "enabled": False}, query, {"kind": "coverage_gap"})
    assert rule_named(config, "draft").name == "draft"
    for name, why in (("mine", "is a query"), ("coverage_gap", "is not kept"), ("drift", "no rule 'drift'")):
        with pytest.raises(ConfigError, match=why):
            rule_named(config, name)
