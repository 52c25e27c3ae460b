"""What users of other pollers suffer from, one small case each, told of a vendor whose every answer is decided here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.requests import Request

from runlake.config import Source
from runlake.connector import Connector, connectors
from runlake.errors import ConfigError
from runlake.http import HttpLimits
from runlake.store import Batch, Books, Store, Sync, Written
from runlake.sync import Network, backfill, coverage, intake, sync

from .conftest import Stage, ask, one
from .tiny import DAY, HOUR, MINUTE, T0, Detailed, Row, Shop, Tiny, Tracking, row


async def _at_once(seconds: float) -> None:
    pass


@dataclass
class Bench:
    """A ledger, the tiny vendor, and one source."""

    shop: Shop
    store: Store
    base_url: str
    secret: Path
    connector: str = "tiny"
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    network: Network = field(default_factory=lambda: Network(HttpLimits(attempts=2), _at_once))

    @property
    def source(self) -> Source:
        settings = {"base_url": self.base_url, "token": {"file": str(self.secret)}, **self.settings}
        options = {"concurrency": 1, **self.options}
        return Source(name="shop", connector=self.connector, settings=settings, **options)

    def now(self) -> datetime:
        return self.shop.now

    async def sync(self, after: timedelta = timedelta(), *, every_open_run: bool = False) -> Sync:
        self.shop.now += after
        self.shop.forget()
        return await sync(self.source, self.store, network=self.network, now=self.now, every_open_run=every_open_run)

    async def backfill(self, since: datetime) -> Sync:
        self.shop.forget()
        return await backfill(self.source, self.store, since, network=self.network, now=self.now)

    async def coverage(self) -> tuple[Sync, list[dict[str, Any]] | None]:
        self.shop.forget()
        return await coverage(self.source, self.store, network=self.network, now=self.now)

    async def run(self, run_id: str, columns: str = "status") -> Any:
        """Columns of the one run of that id."""
        return await one(self.store, f"SELECT {columns} FROM runs WHERE run_id = ?", run_id)

    async def runs(self) -> list[str]:
        return [run_id for (run_id,) in await ask(self.store, "SELECT run_id FROM runs ORDER BY run_id")]

    async def history(self, run_id: str) -> list[str]:
        query = "SELECT status_then FROM run_history WHERE run_id = ? ORDER BY observed_at"
        return [status for (status,) in await ask(self.store, query, run_id)]

    async def observed_through(self) -> datetime | None:
        through: datetime | None = await one(self.store, "SELECT observed_through FROM source_health")
        return through


@pytest.fixture
async def bench(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    for connector in (Tiny, Detailed, Tracking):
        monkeypatch.setitem(cast(dict[str, Any], connectors()), connector.name, connector)
    stage.scene = shop = Shop()
    secret = tmp_path / "token"
    secret.write_text("tiny-secret")
    async with Store(tmp_path / "runlake.duckdb") as store:
        yield Bench(shop, store, stage.base_url, secret)
        assert await store.audit() == 0


def several(first: int, number: int, at: datetime, apart: timedelta = MINUTE, **more: Any) -> list[Row]:
    """Rows, oldest first, the last one created at `at`."""
    return [row(f"r{first + i:05}", at - (number - 1 - i) * apart, **more) for i in range(number)]


# --- runs that change ------------------------------------------------------------------------------------------------


async def test_a_run_seen_while_running_is_stored_as_done_once_it_is(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - MINUTE, "running"))
    await bench.sync()
    assert await bench.run("a", "status, finished_at") == ("running", None)
    bench.shop.put(row("a", T0 - MINUTE, "done", ended=T0 + MINUTE))
    row_of_sync = await bench.sync(2 * MINUTE)
    assert await bench.run("a", "status, finished_at, duration_ms") == ("succeeded", T0 + MINUTE, 120_000)
    assert (row_of_sync.new_runs, row_of_sync.changed_runs, row_of_sync.open_runs) == (0, 1, 0)
    assert await bench.history("a") == ["running", "succeeded"]


@pytest.mark.parametrize("word", ["pending", "running", "blocked", "hibernating"])
async def test_a_run_that_is_not_final_is_read_by_id_however_old_it_grows(bench: Bench, word: str) -> None:
    bench.shop.put(row("a", T0 - MINUTE, word))
    await bench.sync()
    bench.shop.put(*several(0, 100, T0 + 40 * DAY, HOUR))
    await bench.sync(40 * DAY)
    bench.shop.put(row("a", T0 - MINUTE, "done"))
    await bench.sync(2 * HOUR)
    assert await bench.run("a", "status") == "succeeded"
    assert bench.shop.asked[-1] == "/runs/a"
    assert len(bench.shop.asked) < 4


async def test_runs_that_overlap_are_closed_each_by_itself(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - 2 * MINUTE, "running"), row("b", T0 - MINUTE, "running"))
    await bench.sync()
    bench.shop.put(row("a", T0 - 2 * MINUTE, "failed", ended=T0 + HOUR))
    await bench.sync(2 * HOUR)
    assert (await bench.run("a"), await bench.run("b")) == ("failed", "running")
    assert await ask(bench.store, "SELECT run_id FROM open_runs") == [("b",)]


async def test_open_runs_are_read_seldom_once_they_are_old_unless_all_are_asked_for(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - MINUTE, "blocked"))
    await bench.sync()
    bench.shop.put(*several(0, 20, T0 + DAY, HOUR))
    await bench.sync(DAY)
    await bench.sync(HOUR)
    assert bench.shop.count("/runs/a") == 1
    await bench.sync(20 * MINUTE)
    assert bench.shop.count("/runs/a") == 0
    await bench.sync(MINUTE, every_open_run=True)
    assert bench.shop.count("/runs/a") == 1
    await bench.sync(HOUR)
    assert bench.shop.count("/runs/a") == 1


async def test_a_final_run_that_is_started_again_opens_again_and_both_facts_stay(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - DAY, "failed", error="disk full"))
    await bench.sync()
    bench.shop.put(row("a", T0 - DAY, "running"))
    row_of_sync = await bench.sync(7 * HOUR)  # a sweep is due
    assert row_of_sync.swept
    assert await bench.run("a", "status, finished_at, error_message") == ("running", None, None)
    bench.shop.put(row("a", T0 - DAY, "done", ended=T0 + 8 * HOUR))
    await bench.sync(2 * HOUR)
    assert await bench.history("a") == ["failed", "running", "succeeded"]


async def test_a_reopened_run_has_no_end_even_if_its_vendor_goes_on_showing_the_old_one(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - MINUTE, "running", ended=T0 - HOUR))
    await bench.sync()
    assert await bench.run("a", "finished_at, duration_ms") == (None, None)


async def test_attempts_that_a_vendor_tells_apart_are_rows_of_their_own(bench: Bench) -> None:
    bench.shop.put(*(row("a", T0 - (4 - n) * MINUTE, "failed" if n < 3 else "done", attempt=n) for n in (1, 2, 3)))
    await bench.sync()
    found = await ask(bench.store, "SELECT attempt, status FROM runs ORDER BY attempt")
    assert found == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert await ask(bench.store, "SELECT attempt FROM latest_runs") == [(3,)]


# --- lists that are not what they should be --------------------------------------------------------------------------


async def test_five_thousand_runs_of_one_instant_are_stored_and_not_read_again(bench: Bench) -> None:
    bench.settings = {"page_size": 500}
    bench.shop.lists[""] = [row(f"r{i:05}", T0 - HOUR) for i in range(5000)]
    assert (await bench.sync()).new_runs == 5000
    row_of_sync = await bench.sync(HOUR)
    assert (row_of_sync.requests, row_of_sync.changed_runs) == (1, 0)
    assert len(await bench.runs()) == 5000


async def test_a_run_committed_late_with_an_older_time_is_found_within_the_overlap(bench: Bench) -> None:
    bench.shop.put(*several(0, 30, T0 - MINUTE))
    await bench.sync()
    late = row("late", T0 - 13 * MINUTE)
    bench.shop.lists[""].insert(13, late)  # in its place in the order, on the second page
    await bench.sync(4 * MINUTE)
    assert "late" in await bench.runs()


async def test_the_epoch_is_an_instant_like_any_other(bench: Bench) -> None:
    bench.options = {"history": "5200w"}
    bench.shop.put(row("0", datetime.fromisoformat("1970-01-01T00:00:00Z")), row("1", T0 - MINUTE))
    await bench.sync()
    assert (await bench.run("0", "created_at")).year == 1970
    assert (await bench.sync(HOUR)).new_runs == 0


async def test_a_list_out_of_order_is_read_to_its_end_and_told(bench: Bench) -> None:
    # Oldest first: what is new stands on the last page.
    bench.shop.lists[""] = several(0, 30, T0 - MINUTE, HOUR)
    await bench.sync()
    bench.shop.lists[""].append(row("new", T0 + MINUTE))
    row_of_sync = await bench.sync(5 * MINUTE)
    assert "new" in await bench.runs()
    assert row_of_sync.out_of_order == 1 and "not newest first" in row_of_sync.notes[0]


async def test_a_list_that_was_once_out_of_order_is_not_trusted_at_its_first_page(bench: Bench) -> None:
    # Two blocks, each newest first, the older one on the first page.
    bench.shop.lists[""] = [*several(0, 10, T0 - 20 * HOUR, HOUR)[::-1], *several(10, 10, T0 - HOUR, HOUR)[::-1]]
    await bench.sync()
    bench.shop.lists[""].insert(10, row("new", T0 + MINUTE))
    await bench.sync(5 * MINUTE)
    assert "new" in await bench.runs()


async def test_a_run_committed_later_than_the_overlap_is_found_by_the_sweep(bench: Bench) -> None:
    bench.shop.put(*several(0, 30, T0 - MINUTE, HOUR))
    await bench.sync()
    bench.shop.lists[""].insert(25, row("late", T0 - 24 * HOUR - 30 * MINUTE))
    await bench.sync(HOUR)
    assert "late" not in await bench.runs()
    await bench.sync(6 * HOUR)
    assert "late" in await bench.runs()


async def test_a_shuffled_page_loses_nothing(bench: Bench) -> None:
    rows = several(0, 20, T0 - MINUTE)[::-1]
    bench.shop.lists[""] = rows
    await bench.sync()
    fresh = [row(f"new{i}", T0 + i * MINUTE) for i in range(8)]
    bench.shop.lists[""] = [*fresh[4:], *rows[:2], *fresh[:4], *rows[2:]]
    await bench.sync(10 * MINUTE)
    assert len(await bench.runs()) == 28


async def test_runs_that_come_in_between_two_pages_are_neither_lost_nor_doubled(bench: Bench) -> None:
    bench.shop.put(*several(0, 30, T0 - MINUTE))

    def more(answers: int, _: Request) -> None:
        if answers == 1:
            bench.shop.put(*(row(f"new{i}", T0 + i * timedelta(seconds=1)) for i in range(3)))

    bench.shop.after = more
    first = await bench.sync()
    assert (first.outcome, first.new_runs) == ("ok", 30)
    bench.shop.after = None
    assert (await bench.sync(5 * MINUTE)).new_runs == 3
    assert len(await bench.runs()) == 33


async def test_rows_deleted_between_two_pages_make_the_walk_too_short_and_it_is_walked_again(bench: Bench) -> None:
    bench.shop.put(*several(0, 30, T0 - MINUTE))

    def fewer(answers: int, _: Request) -> None:
        if answers == 1:
            for i in (29, 28, 27):  # on the first page: the rows of the second move up past the reader
                bench.shop.delete(f"r{i:05}")

    bench.shop.after = fewer
    row_of_sync = await bench.sync()
    assert (row_of_sync.outcome, row_of_sync.observed_through) == ("partial", None)
    bench.shop.after = None
    await bench.sync(5 * MINUTE)
    assert len(await bench.runs()) == 30


async def test_a_total_above_the_rows_received_holds_back_observed_through_for_two_syncs(bench: Bench) -> None:
    bench.shop.put(*several(0, 15, T0 - MINUTE))
    bench.shop.more = 1
    for _ in range(2):
        row_of_sync = await bench.sync(5 * MINUTE)
        assert (row_of_sync.outcome, row_of_sync.observed_through) == ("partial", None)
        assert "fewer than it said" in row_of_sync.notes[0]
        assert await bench.observed_through() is None
    third = await bench.sync(5 * MINUTE)
    assert (third.outcome, third.observed_through) == ("ok", third.started_at)
    assert third.notes == ["the list had unreadable rows, or fewer than it said: gone on without them after 3 tries"]


async def test_a_list_whose_rows_can_all_not_be_read_is_an_error_and_stays_one(bench: Bench) -> None:
    bench.shop.put(*several(0, 15, T0 - MINUTE))
    await bench.sync()
    through = await bench.observed_through()
    for each in bench.shop.lists[""]:
        del each["status"]
    for _ in range(4):
        row_of_sync = await bench.sync(5 * MINUTE)
        assert (row_of_sync.error_class, row_of_sync.unreadable) == ("UnexpectedResponse", 15)
        assert "shape has changed" in (row_of_sync.error or "")
        assert await bench.observed_through() == through


async def test_one_row_that_cannot_be_read_costs_no_other_and_is_passed_over_in_the_end(bench: Bench) -> None:
    bench.shop.put(*several(0, 15, T0 - MINUTE))
    bench.shop.lists[""][4]["status"] = None
    outcomes = [(await bench.sync(5 * MINUTE)) for _ in range(3)]
    assert [(each.outcome, each.unreadable) for each in outcomes] == [("partial", 1), ("partial", 1), ("ok", 1)]
    assert len(await bench.runs()) == 14
    bench.shop.lists[""][4]["status"] = "done"
    await bench.sync(7 * HOUR)
    assert len(await bench.runs()) == 15


async def test_a_row_that_can_be_read_again_is_read_at_the_next_sync(bench: Bench) -> None:
    bench.shop.put(*several(0, 15, T0 - MINUTE))
    await bench.sync()
    bench.shop.put(row("new", T0 + MINUTE, "", status=None))
    await bench.sync(20 * MINUTE)
    bench.shop.put(row("new", T0 + MINUTE))
    bench.shop.put(*several(100, 30, T0 + 5 * HOUR))
    await bench.sync(5 * HOUR)
    assert await bench.run("new") == "succeeded"


async def test_what_a_filter_leaves_out_is_found_by_the_sweep(bench: Bench) -> None:
    bench.settings = {"order": "updated_since"}
    bench.shop.put(*several(0, 5, T0 - MINUTE))
    await bench.sync()
    bench.shop.put(row("hidden", T0 + HOUR, updated=T0 - DAY), row("plain", T0 + HOUR))
    await bench.sync(2 * HOUR)
    assert "hidden" not in await bench.runs()
    swept = await bench.sync(5 * HOUR)
    assert (swept.swept, "hidden" in await bench.runs()) == (True, True)


async def test_what_a_vendor_can_only_have_got_wrong_stops_nothing(bench: Bench) -> None:
    bench.shop.put(
        row("long", T0 - MINUTE, "failed", error="x" * 1_000_000),
        row("y" * 2000, T0 - MINUTE),
        row("early", T0 - MINUTE, started=datetime.fromisoformat("0001-01-01T00:00:00+01:00")),
        row("nul", T0 - MINUTE, "failed", error="a\x00b"),
        row("plain", T0 - MINUTE),
    )
    row_of_sync = await bench.sync()
    assert (row_of_sync.outcome, row_of_sync.unreadable) == ("ok", 1)
    assert await bench.runs() == ["early", "long", "nul", "plain"]
    assert await bench.run("long", "length(error_message)") == 4000
    assert await bench.run("early", "started_at") is None


# --- deletions, refusals, feeds --------------------------------------------------------------------------------------


async def test_a_run_has_vanished_only_when_reading_it_says_so_while_something_else_is_seen(bench: Bench) -> None:
    bench.shop.put(row("old", T0 - 2 * HOUR), row("gone", T0 - HOUR), row("unlisted", T0 - HOUR))
    await bench.sync()
    bench.shop.unlisted.append(row("unlisted", T0 - HOUR))
    bench.shop.lists[""] = [each for each in bench.shop.lists[""] if each["id"] == "old"]
    row_of_sync = await bench.sync(7 * HOUR)
    assert row_of_sync.vanished_runs == 1
    assert await bench.run("gone", "vanished_at") == bench.shop.now
    assert await bench.run("unlisted", "vanished_at") is None
    assert await one(bench.store, "SELECT count(*) FROM run_history WHERE vanished_at IS NOT NULL") == 1
    assert await bench.runs() == ["gone", "old", "unlisted"], "what is gone at the vendor stays known"


async def test_an_open_run_that_is_gone_is_no_longer_waited_for(bench: Bench) -> None:
    bench.shop.put(row("old", T0 - 2 * HOUR), row("gone", T0 - HOUR, "running"))
    await bench.sync()
    bench.shop.delete("gone")
    await bench.sync(HOUR)
    assert await bench.run("gone", "vanished_at") == bench.shop.now
    assert await ask(bench.store, "SELECT * FROM open_runs") == []
    await bench.sync(HOUR)
    assert bench.shop.count("/runs/") == 0


async def test_when_nothing_is_found_at_all_nothing_has_vanished(bench: Bench) -> None:
    bench.connector = "tracking"
    bench.settings = {"tracked": ["t"]}
    bench.shop.tasks["t"] = ("DONE", [{"id": "a"}])
    bench.shop.put(row("a", T0 - MINUTE, "running"))
    await bench.sync()
    await bench.sync()  # the task is asked for a last time
    bench.shop.delete("a")  # as when the credentials are another account's from now on
    row_of_sync = await bench.sync(HOUR)
    assert (row_of_sync.outcome, row_of_sync.error_class, row_of_sync.vanished_runs) == ("failed", "NotFound", 0)
    assert await bench.run("a", "status, vanished_at") == ("running", None)


async def test_a_run_that_comes_back_is_there_again(bench: Bench) -> None:
    bench.shop.put(row("old", T0 - 2 * HOUR), row("a", T0 - HOUR))
    await bench.sync()
    bench.shop.delete("a")
    await bench.sync(7 * HOUR)
    bench.shop.lists[""].insert(0, row("a", T0 - HOUR))
    await bench.sync(7 * HOUR)
    assert await bench.run("a", "vanished_at") is None
    assert await bench.history("a") == ["succeeded"] * 3


async def test_an_empty_list_deletes_nothing(bench: Bench) -> None:
    bench.shop.put(*several(0, 5, T0 - 10 * DAY))
    await bench.sync()
    bench.shop.lists[""].clear()
    for _ in range(3):
        await bench.sync(7 * HOUR)
    assert await one(bench.store, "SELECT count(*) FROM runs WHERE vanished_at IS NULL") == 5


@pytest.mark.parametrize(("status", "error"), [(401, "AuthenticationError"), (503, "Unavailable"), (404, "NotFound")])
async def test_a_refused_source_leaves_a_row_and_keeps_what_was_known(bench: Bench, status: int, error: str) -> None:
    bench.shop.put(row("a", T0 - MINUTE))
    through = (await bench.sync()).observed_through
    bench.shop.refuse[""] = status
    row_of_sync = await bench.sync(HOUR)
    assert (row_of_sync.outcome, row_of_sync.error_class, row_of_sync.observed_through) == ("failed", error, None)
    assert await bench.observed_through() == through == T0
    assert await one(bench.store, "SELECT failures_since_good, last_outcome FROM source_health") == (1, "failed")
    assert await bench.run("a", "vanished_at") is None


async def test_an_unset_secret_leaves_a_row_too(bench: Bench) -> None:
    bench.secret.unlink()
    row_of_sync = await bench.sync()
    assert (row_of_sync.outcome, row_of_sync.error_class, row_of_sync.requests) == ("failed", ConfigError.__name__, 0)
    assert await one(bench.store, "SELECT last_outcome FROM source_health") == "failed"


async def test_a_feed_that_fails_holds_back_itself_and_no_other(bench: Bench) -> None:
    bench.settings = {"feeds": ["a", "b", "c"]}
    for feed in "abc":
        bench.shop.put(row(f"{feed}1", T0 - MINUTE, pipeline=feed), feed=feed)
    await bench.sync()
    for feed in "abc":
        bench.shop.put(row(f"{feed}2", T0 + MINUTE, pipeline=feed), feed=feed)
    bench.shop.refuse["/feeds/b"] = 500
    row_of_sync = await bench.sync(HOUR)
    assert (row_of_sync.outcome, row_of_sync.error_class, row_of_sync.new_runs) == ("partial", "Unavailable", 2)
    assert await bench.observed_through() == T0
    through = await ask(bench.store, "SELECT feed, observed_through FROM rl.feeds ORDER BY feed")
    assert through == [("a", bench.shop.now), ("b", T0), ("c", bench.shop.now)]
    bench.shop.refuse.clear()
    await bench.sync(HOUR)
    assert await bench.runs() == ["a1", "a2", "b1", "b2", "c1", "c2"]
    assert await bench.observed_through() == bench.shop.now


async def test_runs_of_a_feed_that_failed_are_not_taken_for_gone(bench: Bench) -> None:
    bench.settings = {"feeds": ["a", "b"]}
    for feed in "ab":
        bench.shop.put(row(f"{feed}1", T0 - HOUR, pipeline=feed), feed=feed)
    await bench.sync()
    bench.shop.refuse["/feeds/b"] = 500
    row_of_sync = await bench.sync(7 * HOUR)
    assert (row_of_sync.swept, bench.shop.count("/runs/")) == (True, 0)


async def test_what_was_read_before_a_refusal_is_kept(bench: Bench) -> None:
    bench.shop.put(*several(0, 30, T0 - HOUR, HOUR))
    bench.shop.refuse["/feeds/?offset=20"] = 429, {"Retry-After": "3600"}
    row_of_sync = await bench.sync()
    assert (row_of_sync.outcome, row_of_sync.error_class) == ("partial", "RateLimited")
    assert len(await bench.runs()) == 20
    bench.shop.refuse.clear()
    await bench.sync(2 * HOUR)
    assert len(await bench.runs()) == 30
    assert bench.shop.count("/feeds/?offset=10&") == 0, "the walk is taken up where it was"


async def test_a_sync_that_is_called_off_keeps_what_it_has_read(bench: Bench) -> None:
    bench.shop.put(*several(0, 30, T0 - HOUR, HOUR))
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(bench.sync())

    def call_off(answers: int, _: Request) -> None:
        if answers == 2:
            loop.call_soon_threadsafe(task.cancel)

    bench.shop.after = call_off
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.shop.after = None
    assert len(await bench.runs()) >= 10
    assert await one(bench.store, "SELECT last_outcome, observed_through FROM source_health") == ("interrupted", None)
    await bench.sync(HOUR)
    assert len(await bench.runs()) == 30
    assert bench.shop.count("/feeds/?offset=0&") == 1


async def test_a_sync_called_off_before_open_runs_were_read_vouches_for_nothing(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - 9 * HOUR, "running"), *several(0, 30, T0 - HOUR))
    await bench.sync()
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(bench.sync(HOUR))

    def call_off(_: int, request: Request) -> None:
        if request.url.path == "/runs/a":
            loop.call_soon_threadsafe(task.cancel)

    bench.shop.after = call_off
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.shop.after = None
    assert await one(bench.store, "SELECT last_outcome, observed_through FROM source_health") == ("interrupted", T0)


async def test_a_sync_called_off_while_it_waits_for_a_commit_still_leaves_its_row(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "COMMIT_RUNS", 10)
    commit, begun = bench.store.commit, asyncio.Event()

    async def slow(batch: Batch, books: Books) -> Written:
        begun.set()
        await asyncio.sleep(0.2)
        return await commit(batch, books)

    monkeypatch.setattr(bench.store, "commit", slow)
    bench.shop.put(*several(0, 40, T0 - HOUR, HOUR))
    task = asyncio.ensure_future(bench.sync())
    await begun.wait()
    await asyncio.sleep(0.1)  # by now it waits to hand on the second page
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    last = await one(bench.store, "SELECT last_outcome, new_runs FROM source_health")
    assert last == ("interrupted", len(await bench.runs()))


async def test_a_list_that_is_there_no_more_does_not_make_each_sync_a_sweep(bench: Bench) -> None:
    bench.settings = {"feeds": ["a", "b"]}
    bench.shop.put(row("a1", T0 - HOUR, pipeline="a"), feed="a")
    bench.shop.put(row("b1", T0 - HOUR, pipeline="b"), feed="b")
    await bench.sync()
    bench.settings = {"feeds": ["a"]}
    assert [(await bench.sync(after)).swept for after in (7 * HOUR, MINUTE, MINUTE)] == [True, False, False]


async def test_an_unsorted_list_taken_up_again_is_vouched_for_up_to_when_it_was_begun(bench: Bench) -> None:
    bench.settings = {"order": "unsorted"}
    bench.shop.put(*several(0, 30, T0 - HOUR, HOUR))
    bench.shop.refuse["/feeds/?offset=20"] = 503
    await bench.sync()
    bench.shop.refuse.clear()
    bench.shop.put(row("new", T0 + HOUR))  # before the place where the walk goes on
    await bench.sync(2 * HOUR)
    assert await bench.observed_through() == T0
    await bench.sync(HOUR)
    assert len(await bench.runs()) == 31
    assert await bench.observed_through() == bench.shop.now


async def test_open_runs_that_cannot_be_read_do_not_keep_the_others_from_being_read(bench: Bench) -> None:
    bench.shop.put(*(row(f"{name}", T0 - DAY, "running") for name in "abcdefgh"), *several(0, 30, T0 - MINUTE))
    await bench.sync()
    for name in "fgh":  # as the list shows them, the first
        bench.shop.refuse[f"/runs/{name}"] = 500
    for name in "abcdefgh":
        bench.shop.put(row(name, T0 - DAY))
    syncs = [await bench.sync(HOUR) for _ in range(5)]
    assert {each.outcome for each in syncs} == {"partial"}
    # A while held back, then passed over: three runs must not blind us to the source for ever.
    assert syncs[0].observed_through is None
    assert syncs[-1].observed_through == syncs[-1].started_at
    query = "SELECT run_id FROM runs WHERE status = 'running' ORDER BY run_id"
    assert await ask(bench.store, query) == [("f",), ("g",), ("h",)]


# --- words and mappings ----------------------------------------------------------------------------------------------


async def test_fifty_invented_words_cost_no_row_and_are_shown_as_unknown(bench: Bench) -> None:
    words = [f"word {i} \u2603'\"" for i in range(50)]
    bench.settings = {"page_size": 100}
    bench.shop.put(*(row(f"r{i:02}", T0 - MINUTE, word) for i, word in enumerate(words)))
    row_of_sync = await bench.sync()
    assert (row_of_sync.outcome, row_of_sync.new_runs, row_of_sync.unknown_runs) == ("ok", 50, 50)
    assert await one(bench.store, "SELECT count(*), count(DISTINCT config_line) FROM unmapped_statuses") == (50, 50)
    assert await one(bench.store, "SELECT count(*) FROM runs WHERE outcome IS NULL AND status = 'unknown'") == 50


async def test_an_override_maps_an_unknown_word_in_stored_history_without_one_request(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - MINUTE, "hibernating", ended=T0), row("b", T0 - MINUTE))
    await bench.sync()
    bench.options = {"statuses": {"hibernating": "skipped", "done": "succeeded_with_warnings"}}
    bench.shop.refuse[""] = 500
    source = bench.source
    kind = source.connector_type()
    planned = await bench.store.remap("shop", kind.name, source.tables(), bench.shop.now, dry_run=True)
    assert [(c["vendor_status"], c["before"], c["after"], c["rows"]) for c in planned] == [
        ("done", "succeeded", "succeeded_with_warnings", 1),
        ("hibernating", "unknown", "skipped", 1),
    ]
    assert (await bench.run("a"), await bench.history("a")) == ("unknown", ["unknown"])
    bench.shop.forget()
    assert await bench.store.remap("shop", kind.name, source.tables(), T0 + HOUR, dry_run=False) == planned
    assert bench.shop.asked == []
    assert await bench.run("a", "status, outcome, finished_at") == ("skipped", "neutral", T0)
    assert await bench.history("a") == ["unknown", "skipped"]
    assert await ask(bench.store, "SELECT * FROM open_runs") == []


async def test_a_changed_mapping_is_applied_by_the_next_sync_by_itself(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - 20 * DAY, "failed"))
    await bench.sync()
    bench.options = {"statuses": {"failed": "cancelled"}}
    row_of_sync = await bench.sync(HOUR)
    assert await bench.run("a") == "cancelled"
    assert "1 runs and steps remapped" in row_of_sync.notes[0]


async def test_a_mapping_tried_and_taken_back_leaves_no_trace_but_history(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - HOUR, "done"))
    await bench.sync()
    known = await bench.run("a", "status, finished_at, duration_ms")
    bench.options = {"statuses": {"done": "running"}}
    await bench.sync(MINUTE)
    assert await bench.run("a", "status, finished_at, duration_ms") == ("running", None, None)
    bench.options = {}
    await bench.sync(MINUTE)
    assert await bench.run("a", "status, finished_at, duration_ms") == known == ("succeeded", T0 - 59 * MINUTE, 60_000)
    assert await bench.history("a") == ["succeeded", "running", "succeeded"]


async def test_a_word_mapped_to_an_open_status_makes_its_runs_watched_again(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - 20 * DAY, "cancelled"), row("b", T0 - MINUTE))
    await bench.sync()
    bench.options = {"statuses": {"cancelled": "waiting"}}
    await bench.sync(HOUR)
    assert await bench.run("a", "status, finished_at") == ("waiting", None)
    bench.shop.put(row("a", T0 - 20 * DAY, "done"))
    await bench.sync(2 * HOUR)
    assert await bench.run("a") == "succeeded"


# --- backfill and coverage -------------------------------------------------------------------------------------------


async def test_a_backfill_leaves_the_live_state_alone(bench: Bench) -> None:
    bench.options = {"history": "1d"}
    bench.shop.put(*several(0, 60, T0 - MINUTE, HOUR))
    await bench.sync()
    assert len(await bench.runs()) == 24
    through = await bench.observed_through()
    bench.shop.now += HOUR
    row_of_sync = await bench.backfill(T0 - 2 * DAY)
    assert (row_of_sync.kind, row_of_sync.outcome) == ("backfill", "ok")
    assert len(await bench.runs()) == 48
    assert await bench.observed_through() == through
    live = "SELECT observed_through, cursor FROM rl.feeds WHERE purpose = 'live'"
    assert await one(bench.store, live) == (through, None)


async def test_an_interrupted_backfill_goes_on_where_it_was(bench: Bench) -> None:
    bench.options = {"history": "1d"}
    bench.shop.put(*several(0, 60, T0 - MINUTE, HOUR))
    await bench.sync()
    bench.shop.refuse["/feeds/?offset=40"] = 503
    assert (await bench.backfill(T0 - 60 * DAY)).outcome == "partial"
    assert len(await bench.runs()) == 40
    bench.shop.refuse.clear()
    assert (await bench.backfill(T0 - 60 * DAY)).outcome == "ok"
    assert [url.partition("&")[0] for url in bench.shop.asked] == ["/feeds/?offset=40", "/feeds/?offset=50"]
    assert len(await bench.runs()) == 60


async def test_coverage_finds_what_is_missing_and_fetches_just_that(bench: Bench) -> None:
    bench.shop.put(*several(0, 30, T0 - MINUTE, HOUR))
    await bench.sync()
    missing = [row(f"m{i}", T0 - (3 + i) * HOUR - 30 * MINUTE) for i in range(3)]
    bench.shop.lists[""] = sorted([*bench.shop.lists[""], *missing], key=lambda r: r["created"], reverse=True)
    bench.shop.put(row("new", T0 + MINUTE))  # younger than our last look: not missing
    bench.shop.now += HOUR
    row_of_sync, rows = await bench.coverage()
    assert rows is not None
    assert sorted(run_id for each in rows for run_id in each["missing_run_ids"]) == ["m0", "m1", "m2"]
    assert sum(each["expected"] for each in rows) == 33
    assert sorted(url for url in bench.shop.asked if url.startswith("/runs/")) == ["/runs/m0", "/runs/m1", "/runs/m2"]
    assert (row_of_sync.outcome, row_of_sync.new_runs) == ("ok", 3)
    bench.shop.now += MINUTE
    _, again = await bench.coverage()
    assert again is not None and sum(each["missing"] for each in again) == 0
    assert await one(bench.store, "SELECT sum(missing) FROM coverage") == 0


async def test_a_backfill_that_could_not_read_every_row_says_so(bench: Bench) -> None:
    bench.options = {"history": "1d"}
    bench.shop.put(*several(0, 60, T0 - MINUTE, HOUR))
    await bench.sync()
    bench.shop.lists[""][40]["id"] = None
    row_of_sync = await bench.backfill(T0 - 60 * DAY)
    assert (row_of_sync.outcome, row_of_sync.unreadable, len(row_of_sync.notes)) == ("partial", 1, 1)
    assert len(await bench.runs()) == 59


async def test_coverage_compares_where_single_runs_cannot_be_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tiny, "run", Connector.run)
    bench.shop.put(*several(0, 30, T0 - MINUTE, HOUR))
    await bench.sync()
    bench.shop.lists[""].insert(5, row("m", T0 - 5 * HOUR))
    row_of_sync, rows = await bench.coverage()
    assert (row_of_sync.outcome, [each["missing_run_ids"] for each in rows or [] if each["missing"]]) == ("ok", [["m"]])
    assert await ask(bench.store, "FROM rl.watched") == []


async def test_coverage_says_nothing_of_a_list_that_it_could_not_read_to_the_end(bench: Bench) -> None:
    bench.shop.put(*several(0, 30, T0 - MINUTE))
    await bench.sync()
    bench.shop.refuse["/feeds/?offset=20"] = 500
    row_of_sync, rows = await bench.coverage()
    assert (row_of_sync.outcome, rows) == ("partial", None)
    assert await one(bench.store, "SELECT count(*) FROM coverage") == 0


# --- tracked runs ----------------------------------------------------------------------------------------------------


async def test_a_task_that_is_not_done_is_asked_again_until_it_names_all_its_runs(bench: Bench) -> None:
    bench.connector = "tracking"
    bench.settings = {"tracked": ["t"]}
    bench.shop.put(row("a", T0 - MINUTE), row("b", T0 - MINUTE))
    bench.shop.tasks["t"] = ("PENDING", [{"id": "a"}])
    first = await bench.sync()
    assert (await bench.runs(), first.outcome, first.observed_through) == (["a"], "ok", T0)
    bench.shop.tasks["t"] = ("DONE", [{"id": "a"}, {"id": "b"}])
    await bench.sync(HOUR)
    assert await bench.runs() == ["a", "b"]
    assert bench.shop.count("/runs/a") == 0
    for asked in (1, 0):  # once more, in case a run was left out
        await bench.sync(HOUR)
        assert bench.shop.count("/tasks/") == asked


async def test_a_handle_that_names_nothing_is_asked_three_times_and_told_each_time(bench: Bench) -> None:
    bench.connector = "tracking"
    bench.settings = {"tracked": ["typo", "t"]}
    bench.shop.put(row("a", T0 - MINUTE))
    bench.shop.tasks["t"] = ("DONE", [{"id": "a"}])
    for outcome in ("partial", "partial", "failed"):  # failed: nothing else was asked for, so nothing was seen
        row_of_sync = await bench.sync(HOUR)
        assert (row_of_sync.outcome, row_of_sync.error_class) == (outcome, "NotFound")
    assert await bench.runs() == ["a"]
    last = await bench.sync(HOUR)
    assert (last.outcome, bench.shop.count("/tasks/")) == ("ok", 0)
    assert "no such task" in (await bench.store.tracked("shop"))["typo"].error  # type: ignore[operator]


async def test_a_task_one_of_whose_runs_cannot_be_read_is_not_settled(bench: Bench) -> None:
    bench.connector = "tracking"
    bench.settings = {"tracked": ["t"]}
    bench.shop.put(row("a", T0 - MINUTE), row("b", T0 - MINUTE))
    bench.shop.tasks["t"] = ("DONE", [{"id": "a"}, {"id": None}])
    row_of_sync = await bench.sync()
    assert (row_of_sync.outcome, row_of_sync.observed_through) == ("partial", None)
    bench.shop.tasks["t"] = ("DONE", [{"id": "a"}, {"id": "b"}])
    await bench.sync(HOUR)
    assert await bench.runs() == ["a", "b"]


async def test_a_refusal_between_two_tasks_loses_no_run_that_the_first_named(bench: Bench) -> None:
    bench.connector = "tracking"
    bench.settings = {"tracked": ["t1", "t2"]}
    bench.shop.put(row("a", T0 - MINUTE), row("b", T0 - MINUTE))
    bench.shop.tasks |= {"t1": ("DONE", [{"id": "a"}]), "t2": ("DONE", [{"id": "b"}])}
    bench.shop.refuse["/tasks/t2"] = 429, {"Retry-After": "3600"}
    assert (await bench.sync()).error_class == "RateLimited"
    bench.shop.refuse.clear()
    await bench.sync(2 * HOUR)
    assert await bench.runs() == ["a", "b"]


async def test_an_outage_does_not_count_as_a_handle_that_names_nothing(bench: Bench) -> None:
    bench.connector = "tracking"
    bench.settings = {"tracked": ["t"]}
    bench.shop.put(row("a", T0 - MINUTE))
    for status in (503, 503, 503, 404):
        bench.shop.refuse["/tasks/"] = status
        await bench.sync(HOUR)
    bench.shop.refuse.clear()
    bench.shop.tasks["t"] = ("DONE", [{"id": "a"}])
    await bench.sync(HOUR)
    assert await bench.runs() == ["a"]


async def test_runs_that_a_task_named_are_read_once_the_vendor_answers_again(bench: Bench) -> None:
    bench.connector = "tracking"
    bench.settings = {"tracked": ["t"]}
    bench.shop.put(row("a", T0 - MINUTE))
    bench.shop.tasks["t"] = ("DONE", [{"id": "a"}])
    bench.shop.refuse["/runs/"] = 503
    row_of_sync = await bench.sync()
    assert (row_of_sync.outcome, row_of_sync.observed_through) == ("partial", None)
    bench.shop.refuse.clear()
    await bench.sync(HOUR)
    assert (await bench.runs(), bench.shop.count("/runs/")) == (["a"], 1)


async def test_a_run_that_a_finished_task_leaves_out_for_once_is_found(bench: Bench) -> None:
    bench.connector = "tracking"
    bench.settings = {"tracked": ["t"]}
    bench.shop.put(row("a", T0 - MINUTE), row("b", T0 - MINUTE))
    bench.shop.tasks["t"] = ("DONE", [{"id": "a"}])
    await bench.sync()
    bench.shop.tasks["t"] = ("DONE", [{"id": "a"}, {"id": "b"}])
    await bench.sync(HOUR)
    assert await bench.runs() == ["a", "b"]


# --- rows ------------------------------------------------------------------------------------------------------------


async def test_created_at_is_fixed_when_a_run_is_first_seen(bench: Bench) -> None:
    bench.shop.put(row("a", T0, "pending", created=None, started=None))
    await bench.sync()
    assert await bench.run("a", "created_at") == T0
    bench.shop.put(row("a", T0 - 2 * HOUR, "running", started=T0 + HOUR))
    await bench.sync(HOUR)
    assert await ask(bench.store, "SELECT run_id, created_at FROM open_runs") == [("a", T0)]
    bench.shop.put(row("a", T0, "done", created=None, started=T0 + HOUR, ended=T0 + 2 * HOUR))
    await bench.sync(2 * HOUR)
    assert await bench.run("a", "status, created_at, queued_ms") == ("succeeded", T0, 3_600_000)
    bench.shop.put(row("a", T0 - HOUR, "done", started=T0 + HOUR, ended=T0 + 2 * HOUR))
    await bench.sync(7 * HOUR)
    assert await bench.run("a", "created_at") == T0


async def test_a_run_whose_vendor_says_only_its_start_is_one_run_however_late_it_starts_again(bench: Bench) -> None:
    bench.shop.put(row("a", T0 - 2 * HOUR, "failed", created=None))
    await bench.sync()
    for days in (1, 3, 9):
        bench.shop.put(row("a", T0 + days * DAY, "failed", created=None))
        await bench.sync(T0 + days * DAY + HOUR - bench.shop.now)
        assert await bench.run("a", "created_at, started_at") == (T0 - 2 * HOUR, T0 + days * DAY)
    bench.shop.put(row("a", T0, "pending", created=None, started=None))
    await bench.sync(7 * HOUR)
    assert await bench.run("a", "status, created_at, started_at") == ("queued", T0 - 2 * HOUR, None)


async def test_such_a_run_is_one_run_also_where_another_of_its_day_is_shown_beside_it(bench: Bench) -> None:
    bench.shop.put(row("old", T0 - 2 * DAY, created=None), row("again", T0 - 2 * DAY, created=None))
    await bench.sync()
    bench.shop.put(
        row("again", T0 + 6 * HOUR, "failed", created=None), row("old", T0 - 2 * DAY, "failed", created=None)
    )
    await bench.sync(7 * HOUR)
    found = await ask(bench.store, "SELECT run_id, status FROM runs ORDER BY ALL")
    assert found == [("again", "failed"), ("old", "failed")]


async def test_a_very_old_open_run_in_a_batch_of_new_ones_is_neither_lost_nor_doubled(bench: Bench) -> None:
    bench.options = {"history": "100w"}
    old = [row(f"old{i}", T0 - (20 + 30 * i) * DAY, "blocked") for i in range(12)]
    bench.shop.put(*old[::-1], *several(0, 5, T0 - MINUTE))
    await bench.sync()
    bench.shop.put(*(each | {"status": "done", "ended": T0 + HOUR} for each in old))
    bench.shop.put(*several(100, 5, T0 + HOUR))
    row_of_sync = await bench.sync(2 * HOUR)
    assert (row_of_sync.new_runs, row_of_sync.changed_runs, row_of_sync.open_runs) == (5, 12, 0)
    assert len(await bench.runs()) == 22


async def test_labels_and_metrics_are_added_to_not_replaced(bench: Bench) -> None:
    bench.connector = "detailed"
    bench.options = {"steps": "none"}
    bench.shop.put(row("a", T0 - MINUTE, "running", labels={"a": "1", "b": "1"}, metrics={"m": 1.0}))
    await bench.sync()
    bench.shop.put(row("a", T0 - MINUTE, "done", labels={"b": "2"}, metrics={"n": 2.0}))
    await bench.sync(MINUTE)
    assert await bench.run("a", "labels, metrics") == ({"a": "1", "b": "2"}, {"m": 1.0, "n": 2.0})


def _steps(*words: str) -> list[Row]:
    return [{"id": f"s{i}", "status": word, "started": T0, "ended": None} for i, word in enumerate(words)]


async def test_steps_are_replaced_when_they_are_shown_and_kept_when_they_are_not(bench: Bench) -> None:
    words = "SELECT status FROM steps ORDER BY step_no"
    bench.shop.put(row("a", T0 - MINUTE, "running", steps=_steps("done", "running", "pending")))
    await bench.sync()
    assert await ask(bench.store, words) == [("succeeded",), ("running",), ("queued",)]
    bench.shop.put(row("a", T0 - MINUTE, "running"))
    await bench.sync(MINUTE)
    assert len(await ask(bench.store, words)) == 3
    bench.shop.put(row("a", T0 - MINUTE, "done", steps=_steps("done", "failed")))
    await bench.sync(MINUTE)
    assert await ask(bench.store, words) == [("succeeded",), ("failed",)]
    bench.shop.put(row("a", T0 - MINUTE, "done", steps=[]))
    await bench.sync(MINUTE)
    assert await ask(bench.store, words) == []


async def test_steps_that_a_list_leaves_out_are_read_while_a_run_is_open_and_once_when_it_ends(bench: Bench) -> None:
    bench.connector = "detailed"
    hidden = {"detail_only": ["steps"]}
    bench.shop.put(row("a", T0 - MINUTE, "running", steps=_steps("running"), **hidden))
    await bench.sync()
    assert bench.shop.count("/runs/a") == 1
    bench.shop.put(row("a", T0 - MINUTE, "running", steps=_steps("done"), **hidden))
    await bench.sync(MINUTE)
    assert bench.shop.count("/runs/a") == 1
    assert await ask(bench.store, "SELECT status FROM steps") == [("succeeded",)]
    bench.shop.put(row("a", T0 - MINUTE, "done", steps=_steps("done"), **hidden))
    await bench.sync(MINUTE)
    assert bench.shop.count("/runs/a") == 1
    assert await ask(bench.store, "SELECT status FROM steps") == [("succeeded",)]
    await bench.sync(MINUTE)
    assert bench.shop.count("/runs/a") == 0


async def test_a_walk_ends_where_no_steps_can_be_had_and_is_taken_up_there(bench: Bench) -> None:
    bench.connector = "detailed"
    runs = several(0, 30, T0 - HOUR, HOUR)
    bench.shop.put(*({**each, "steps": _steps("done"), "detail_only": ["steps"]} for each in runs))
    bench.shop.after = lambda answers, _: bench.shop.refuse.update({"/runs/": 500}) if answers > 11 else None
    row_of_sync = await bench.sync()
    assert (row_of_sync.outcome, row_of_sync.error_class, bench.shop.count("/feeds/")) == ("partial", "Unavailable", 2)
    assert bench.shop.count("/runs/") < 20
    bench.shop.after = None
    bench.shop.refuse.clear()
    row_of_sync = await bench.sync(2 * HOUR)
    assert (row_of_sync.outcome, bench.shop.count("/feeds/?offset=10&")) == ("ok", 1)
    assert await one(bench.store, "SELECT count(DISTINCT run_key) FROM steps") == 30


async def test_steps_that_could_not_be_read_are_asked_for_again(bench: Bench) -> None:
    bench.connector = "detailed"
    bench.shop.put(row("a", T0 - MINUTE, steps=_steps("done"), detail_only=["steps"]))
    bench.shop.refuse["/runs/a"] = 500
    assert (await bench.sync()).outcome == "partial"
    assert await bench.run("a") == "succeeded"
    bench.shop.refuse.clear()
    await bench.sync(MINUTE)
    assert await ask(bench.store, "SELECT status FROM steps") == [("succeeded",)]


@pytest.mark.parametrize(
    ("created", "started", "ended"),
    [(T0, T0 - MINUTE, T0 - HOUR), (T0, None, T0 + HOUR), (T0, datetime.fromisoformat("0001-01-01T00:00:00Z"), T0)],
)
async def test_a_duration_is_null_unless_both_ends_are_known_and_ordered(
    bench: Bench, created: datetime, started: datetime | None, ended: datetime
) -> None:
    bench.shop.put(row("a", created, "cancelled", started=started, ended=ended))
    await bench.sync(2 * HOUR)
    assert await bench.run("a", "duration_ms, queued_ms") == (None, None)


@pytest.mark.parametrize("sentinel", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_a_sentinel_for_a_time_costs_neither_its_run_nor_its_page(bench: Bench, sentinel: str) -> None:
    never = datetime.fromisoformat(sentinel)
    steps = [{"id": "s", "status": "done", "started": sentinel}]
    odd = row("odd", T0, created=never, started=never, ended=T0, steps=steps)
    bench.shop.put(odd, *several(0, 12, T0 - MINUTE))
    bench.shop.lists[""].insert(3, bench.shop.lists[""].pop())  # among others of its page
    row_of_sync = await bench.sync(MINUTE)
    assert (row_of_sync.outcome, row_of_sync.new_runs) == ("ok", 13)
    assert await bench.run("odd", "status, started_at, finished_at") == ("succeeded", None, T0)
    assert await ask(bench.store, "SELECT status, started_at FROM steps") == [("succeeded", None)]
    compared = await coverage(bench.source, bench.store, network=bench.network, now=bench.now)
    assert compared[0].outcome == "ok"


async def test_unfinished_and_cancelled_runs_are_neither_success_nor_failure(bench: Bench) -> None:
    words = ("pending", "running", "blocked", "cancelled", "done", "failed", "hibernating")
    bench.shop.put(*(row(word, T0 - MINUTE, word) for word in words))
    await bench.sync()
    assert dict(await ask(bench.store, "SELECT run_id, outcome FROM runs")) == {
        "pending": None,
        "running": None,
        "blocked": None,
        "hibernating": None,
        "cancelled": "neutral",
        "done": "success",
        "failed": "failure",
    }
