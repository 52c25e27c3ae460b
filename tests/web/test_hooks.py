"""Hints: whoever may give them is heard soon; forged, replayed, shuffled or lost ones change nothing in the end."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from cli.conftest import Vendors
from runlake import sync as engine
from runlake.emulator import TrueRun
from runlake.web.hooks import MOST_BODY, MOST_RUNS, MOST_WAITING

from .conftest import MONDAY, Serve, Served

SECRET = "h00k-s3cr3t"
OPEN = {"queued", "running", "waiting"}


@pytest.fixture
def hooked(vendors: Vendors, folder: Path) -> Callable[..., str]:
    """The table of a source that takes hints."""
    (folder / "hook").write_text(SECRET)

    def table(vendor: str = "clarifeye", scheme: str = "token", header: str = "X-Runlake-Token") -> str:
        hook = f'{{ secret = {{ file = "{folder}/hook" }}, scheme = "{scheme}", header = "{header}" }}'
        return vendors.table(vendor, folder, more=f"hook = {hook}")

    return table


async def hint(served: Served, body: Any, source: str = "clarifeye", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    given = headers or {"X-Runlake-Token": SECRET}
    return await served.client.post(f"{served.url}/hooks/{source}", content=content, headers=given)


def named(run: TrueRun) -> dict[str, str]:
    return {"pipeline_id": run.pipeline_id, "run_id": run.run_id}


async def test_a_hint_has_a_run_read_at_once(vendors: Vendors, hooked: Callable[..., str], serve_daemon: Serve) -> None:
    before = {run.run_id for run in vendors.emulator.truth("clarifeye")}
    async with serve_daemon(hooked()) as served:
        await served.sync()
        served.clock.advance(timedelta(hours=12))
        new = [run for run in vendors.emulator.truth("clarifeye") if run.run_id not in before and run.visible]
        vendors.emulator.clarifeye.requests.reset()
        answer = await hint(served, named(new[0]))
        assert (answer.status_code, answer.json()) == (202, {"reading": 1})
        await served.hints_read()
        assert len(vendors.emulator.clarifeye.requests) <= 2
        [row] = await served.ask(f"SELECT status FROM runs WHERE run_id = '{new[0].run_id}'")
        assert row["status"] == new[0].status
        assert (await hint(served, {"runs": [named(run) for run in new]})).json() == {"reading": len(new)}
        await served.hints_read()
        assert served.daemon.sources["clarifeye"].tally.attempts["hint", "ok"] == 2


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        ({"X-Runlake-Token": "wrong"}, "clarifeye"),
        ({"X-Runlake-Token": ""}, "clarifeye"),
        ({"Authorization": SECRET}, "clarifeye"),
        ({"X-Runlake-Token": SECRET + " x"}, "clarifeye"),
        ({"X-Runlake-Token": SECRET}, "esper"),
        ({"X-Runlake-Token": SECRET}, "nobody"),
        ({"X-Runlake-Token": SECRET}, "%2e%2e"),
    ],
)
async def test_one_answer_for_a_wrong_secret_and_for_what_is_not_there(
    vendors: Vendors,
    folder: Path,
    hooked: Callable[..., str],
    serve_daemon: Serve,
    headers: dict[str, str],
    source: str,
) -> None:
    async with serve_daemon(hooked(), vendors.table("esper", folder)) as served:
        answer = await hint(served, {"pipeline_id": "p", "run_id": "r"}, source, **headers)
        assert (answer.status_code, answer.json()) == (401, {"error": "no hook here for this secret"})
        await served.hints_read()
    assert vendors.emulator.clarifeye.requests == vendors.emulator.esper.requests == []


async def test_a_bug_that_a_hint_meets_is_told(
    hooked: Callable[..., str], serve_daemon: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(engine, "hinted", crash)
    async with serve_daemon(hooked()) as served:
        with capture_logs() as log:
            assert (await hint(served, {"pipeline_id": "p", "run_id": "r"})).status_code == 202
            await served.hints_read()
            await asyncio.sleep(0)
        [told] = [each for each in log if each["event"] == "request.crashed"]
        assert (told["path"], str(told["exc_info"])) == ("/hooks/clarifeye", "nobody thought of this")


async def test_a_signature_is_of_the_very_bytes_sent(hooked: Callable[..., str], serve_daemon: Serve) -> None:
    body = b'{"ping": true}'
    good = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    async with serve_daemon(hooked(scheme="hmac-sha256", header="X-Hub-Signature-256")) as served:
        for given, sent, status in (
            (f"sha256={good}", body, 202),
            (good.upper(), body, 202),
            (f"sha256={good}", body + b" ", 401),
            (f"sha256={good[:-1]}", body, 401),
            (f"sha1={good}", body, 401),
            (SECRET, body, 401),
            ("", body, 401),
        ):
            answer = await hint(served, sent, **{"X-Hub-Signature-256": given})
            assert answer.status_code == status, given
        answer = await served.client.post(
            f"{served.url}/hooks/clarifeye", content=body, headers={b"X-Hub-Signature-256": b"sha256=\xff\xfe"}
        )
        assert answer.status_code == 401


async def test_an_unset_hook_secret_lets_nobody_in(
    folder: Path, hooked: Callable[..., str], serve_daemon: Serve
) -> None:
    async with serve_daemon(hooked()) as served:
        (folder / "hook").unlink()
        assert (await hint(served, {}, **{"X-Runlake-Token": ""})).status_code == 401
        assert (await hint(served, {})).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"not json",
        b"null",
        b"[]",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"pipeline_id": 1, "run_id": 2}',
        b'{"pipeline_id": "p", "run_id": ""}',
        b'{"pipeline_id": "p", "run_id": "' + b"x" * 2000 + b'"}',
        b'{"pipeline_id": "p", "run_id": "r", "attempt": 99999}',
        b'{"runs": "p"}',
        b'{"number": ' + b"9" * 5000 + b"}",
        json.dumps({"runs": [{"pipeline_id": "p", "run_id": str(n)} for n in range(MOST_RUNS + 1)]}).encode(),
    ],
    ids=lambda body: repr(body[:12]),
)
async def test_a_body_of_another_shape_brings_the_next_sync_forward(
    vendors: Vendors, hooked: Callable[..., str], serve_daemon: Serve, body: bytes
) -> None:
    async with serve_daemon(hooked()) as served:
        await served.sync()
        served.clock.advance(timedelta(minutes=1))
        assert served.daemon.sources["clarifeye"].next_sync_at > served.clock.now()
        answer = await hint(served, body)
        assert (answer.status_code, answer.json()) == (202, {"reading": "sync"})
        assert served.daemon.sources["clarifeye"].next_sync_at == served.clock.now()
        assert (await served.get("/healthz")).status_code == 200


async def test_a_body_that_is_too_large_is_refused_before_it_is_held(
    hooked: Callable[..., str], serve_daemon: Serve
) -> None:
    async def endless() -> Any:
        for _ in range(64):
            yield b" " * 65_536

    async with serve_daemon(hooked()) as served:
        headers = {"X-Runlake-Token": SECRET}
        refused = await hint(served, b" " * (MOST_BODY + 1))
        assert (refused.status_code, refused.json()) == (413, {"error": "more than 1024 KiB"})
        try:
            answer = await served.client.post(f"{served.url}/hooks/clarifeye", content=endless(), headers=headers)
            assert answer.status_code == 413
        except httpx.WriteError:  # it has hung up on us meanwhile
            pass
        assert (await hint(served, b" " * MOST_BODY)).status_code == 202
        assert (await served.client.get(f"{served.url}/hooks/clarifeye")).status_code == 405


async def test_a_hint_that_is_replayed_costs_a_bounded_number_of_requests(
    vendors: Vendors, hooked: Callable[..., str], serve_daemon: Serve
) -> None:
    async with serve_daemon(hooked()) as served:
        await served.sync()
        run = next(run for run in vendors.emulator.truth("clarifeye") if run.visible)
        history = await served.ask("SELECT * FROM run_history ORDER BY run_key, observed_at")
        vendors.emulator.clarifeye.requests.reset()
        answers = await asyncio.gather(*(hint(served, named(run)) for _ in range(100)))
        assert {answer.status_code for answer in answers} == {202}
        await served.hints_read()
        reading = [answer for answer in answers if answer.json() == {"reading": 1}]
        assert len(vendors.emulator.clarifeye.requests) <= 2 * len(reading)
        assert await served.ask("SELECT * FROM run_history ORDER BY run_key, observed_at") == history


async def test_of_many_hints_at_once_few_wait_and_the_rest_become_one_sync(
    vendors: Vendors, hooked: Callable[..., str], serve_daemon: Serve
) -> None:
    async with serve_daemon(hooked()) as served:
        await served.sync()
        vendors.emulator.clarifeye.requests.reset()
        runs = [run for run in vendors.emulator.truth("clarifeye") if run.visible]
        async with served.daemon.sources["clarifeye"]._one:  # an attempt goes on meanwhile
            answers = [await hint(served, named(runs[n % len(runs)])) for n in range(100)]
        assert [answer.json() for answer in answers[:MOST_WAITING]] == [{"reading": 1}] * MOST_WAITING
        assert {answer.json()["reading"] for answer in answers[MOST_WAITING:]} == {"sync"}
        assert served.daemon.sources["clarifeye"].next_sync_at == served.clock.now()
        await served.hints_read()
        assert len(vendors.emulator.clarifeye.requests) <= 2 * MOST_WAITING


# --- in the end ------------------------------------------------------------------------------------------------------

_RUNS = """
SELECT source, pipeline_id, run_id, attempt, status, vendor_status, pipeline_name, created_at, started_at, finished_at,
       updated_at, trigger, error_code, error_message, vanished_at IS NOT NULL AS vanished
FROM runs ORDER BY ALL
"""
_STEPS = """
SELECT s.source, r.run_id, s.step_no, s.step_id, s.status, s.vendor_status, s.started_at, s.finished_at, s.error_message
FROM steps s JOIN runs r USING (run_key) ORDER BY ALL
"""
_OPEN = "SELECT source, run_id, status FROM open_runs ORDER BY ALL"


async def tables(served: Served) -> list[list[dict[str, object]]]:
    return [await served.ask(query) for query in (_RUNS, _STEPS, _OPEN)]


Hinting = Callable[[Served, list[TrueRun]], Awaitable[None]]


async def side_by_side(
    serve_daemon: Serve, vendors: Vendors, vendor: str, table: str, hinting: Hinting
) -> tuple[Served, Served]:
    """A day of two ledgers that are polled at the same instants, of which one gets hints every half hour."""
    clock, seen = vendors.emulator.clock, dict[str, TrueRun]()
    async with AsyncExitStack() as stack:
        polled = await stack.enter_async_context(serve_daemon(table, home="a"))
        hinted = await stack.enter_async_context(serve_daemon(table, home="b"))
        for tick in range(41):
            truth = vendors.emulator.truth(vendor)
            changed = [run for run in truth if seen.get(run.run_id) != run]
            seen = {run.run_id: run for run in truth}
            if tick and changed:
                await hinting(hinted, changed)
            if tick % 8 == 0:
                await polled.sync()
                await hinted.sync()
            clock.advance(timedelta(minutes=30))
        clock.set(MONDAY + timedelta(hours=21))
        await polled.sync()
        await hinted.sync()
        assert await tables(hinted) == await tables(polled) != [[], [], []]
        assert await hinted.daemon.store.audit() == 0
    return polled, hinted


@pytest.mark.parametrize("vendor", ["clarifeye", "esper", "airflow"])
async def test_hints_that_are_shuffled_doubled_and_lost_leave_the_same_tables(
    vendors: Vendors, hooked: Callable[..., str], serve_daemon: Serve, vendor: str
) -> None:
    chance = random.Random(7)
    late: list[TrueRun] = []

    async def hinting(served: Served, changed: list[TrueRun]) -> None:
        late.extend(run for run in changed if chance.random() > 0.3)
        chance.shuffle(late)
        sent = [late.pop() for _ in range(len(late) * 3 // 4)]
        for run in (*sent, *sent[:3]):
            assert (await hint(served, named(run), vendor)).status_code == 202
            await served.hints_read()

    _, hinted = await side_by_side(serve_daemon, vendors, vendor, hooked(vendor), hinting)
    kinds = hinted.daemon.sources[vendor].tally.attempts
    assert kinds["hint", "ok"] > 5, kinds


async def test_runs_that_are_there_and_not_polled_are_not_asked_for(
    vendors: Vendors, hooked: Callable[..., str], serve_daemon: Serve
) -> None:
    projects = vendors.emulator.settings("clarifeye", vendors.base_url)["projects"]
    only = re.sub(r"projects = .*", f'projects = ["{projects[0]}"]', hooked())
    elsewhere = [run for run in vendors.emulator.truth("clarifeye") if not run.pipeline_id.startswith(projects[0])]
    assert elsewhere
    async with serve_daemon(only) as served:
        await served.sync()
        before = await tables(served)
        vendors.emulator.clarifeye.requests.reset()
        assert (await hint(served, {"runs": [named(run) for run in elsewhere[:3]]})).status_code == 202
        await served.hints_read()
        assert vendors.emulator.clarifeye.requests == []
        assert await tables(served) == before
        [row] = await served.ask("FROM rl.syncs WHERE kind = 'hint'")
        assert row["notes"] == ["3 of 3 hints name runs that this source does not poll"]


@pytest.mark.parametrize("vendor", ["clarifeye", "esper", "airflow"])
async def test_forged_hints_change_nothing(
    vendors: Vendors, hooked: Callable[..., str], serve_daemon: Serve, vendor: str
) -> None:
    chance = random.Random(7)

    async def hinting(served: Served, changed: list[TrueRun]) -> None:
        run = chance.choice(changed)
        forged = [
            {"pipeline_id": run.pipeline_id, "run_id": f"forged-{chance.random()}"},
            {"pipeline_id": "forged", "run_id": run.run_id},
            {"pipeline_id": f"{run.pipeline_id}/../..", "run_id": run.run_id},
            {"pipeline_id": run.pipeline_id, "run_id": f"../{run.run_id}?x=#"},
            {"pipeline_id": run.pipeline_id, "run_id": run.run_id, "attempt": 9},
            {"pipeline_id": "\ud800\x00", "run_id": "\x1b[2J"},
        ]
        await hint(served, {"runs": chance.sample(forged, 3)}, vendor)
        await served.hints_read()

    _, hinted = await side_by_side(serve_daemon, vendors, vendor, hooked(vendor), hinting)
    assert sum(count for (kind, _), count in hinted.daemon.sources[vendor].tally.attempts.items() if kind == "hint") > 5
