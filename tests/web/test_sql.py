"""`POST /sql` as a client meets it: a real server, a real socket, a real published copy."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from starlette.applications import Starlette

from runlake.store import Store
from runlake.store.sandbox import Limits
from runlake.web.sql import MOST_BODY, Sql

TOKEN = "kJ8-only-for-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ENDLESS = "SELECT count(*) FROM range(1000000000000)"


@dataclass
class Daemon:
    """What stands in for the daemon: it mounts the endpoint, and its config may change while it runs."""

    database: Path
    url: str = ""
    token: str | None = TOKEN
    stop: Callable[[], None] = field(default=lambda: None)

    def ask(self, query: Any = None, *, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        """A request as curl or httpx would send it; `query` is its body."""
        with httpx.Client(timeout=60) as client:
            return client.post(f"{self.url}/sql", content=query, headers={**BEARER, **(headers or {})}, **options)


@contextmanager
def serving(database: Path, limits: Limits | None = None, **options: Any) -> Iterator[Daemon]:
    daemon = Daemon(database)
    sql = Sql(lambda: daemon.database, lambda: daemon.token, limits, **options)
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=[sql.route()]), log_config=None, lifespan="off", timeout_graceful_shutdown=10)
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        daemon.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        loop = asyncio.new_event_loop()

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(server.serve(sockets=[listening]))

        thread = threading.Thread(target=run, name="daemon", daemon=True)

        def stop() -> None:
            if thread.is_alive():
                asyncio.run_coroutine_threadsafe(sql.close(), loop).result(timeout=10)
                server.should_exit = True
                thread.join(timeout=20)

        daemon.stop = stop
        thread.start()
        try:
            yield daemon
        finally:
            stop()
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.duckdb"

    async def publish() -> None:
        async with Store(path) as store:
            await store.publish(datetime(2026, 7, 14, 9, tzinfo=UTC))

    asyncio.run(publish())
    return path


@pytest.fixture(scope="module")
def shared(database: Path) -> Iterator[Daemon]:
    with serving(database) as daemon:
        yield daemon


@pytest.fixture
def daemon(shared: Daemon, database: Path) -> Daemon:
    shared.token, shared.database = TOKEN, database
    return shared


def children() -> set[str]:
    return {
        child
        for task in Path("/proc/self/task").glob("*/children")
        for child in task.read_text(encoding="ascii").split()
    }


def until(condition: Callable[[], bool]) -> None:
    """Waits for what another process does."""
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends, "it never came about"
        time.sleep(0.01)


# --- answers ---------------------------------------------------------------------------------------------------------

QUERY = "SELECT 1 AS n, 'ü' AS t UNION ALL SELECT 2, NULL ORDER BY n"
ROWS = [{"n": 1, "t": "ü"}, {"n": 2, "t": None}]

READ: dict[str, Callable[[bytes], Any]] = {
    "application/json": json.loads,
    "text/csv; charset=utf-8": lambda body: [
        {"n": int(row["n"]), "t": row["t"] or None} for row in csv.DictReader(io.StringIO(body.decode()))
    ],
    "application/vnd.apache.arrow.stream": lambda body: pa.ipc.open_stream(body).read_all().to_pylist(),
    "application/vnd.apache.parquet": lambda body: pq.read_table(io.BytesIO(body)).to_pylist(),
}


@pytest.mark.parametrize(
    ("choice", "accept", "media_type"),
    [
        ("", None, "application/json"),
        ("", "*/*", "application/json"),
        ("", "text/csv", "text/csv; charset=utf-8"),
        ("", "text/*", "text/csv; charset=utf-8"),
        ("", "text/html, application/json;q=0.5, text/csv;q=0.9", "text/csv; charset=utf-8"),
        ("", "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
        ("", "Application/vnd.apache.Parquet", "application/vnd.apache.parquet"),
        ("?format=json", "text/csv", "application/json"),
        ("?format=csv", None, "text/csv; charset=utf-8"),
        ("?format=arrow", None, "application/vnd.apache.arrow.stream"),
        ("?format=parquet", None, "application/vnd.apache.parquet"),
    ],
)
def test_a_client_chooses_the_format(daemon: Daemon, choice: str, accept: str | None, media_type: str) -> None:
    headers = {**BEARER, **({"Accept": accept} if accept else {})}
    answer = httpx.post(f"{daemon.url}/sql{choice}", content=QUERY, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert READ[media_type](answer.content) == ROWS


def test_an_answer_says_when_its_copy_was_made_and_how_long_it_is(daemon: Daemon) -> None:
    answer = daemon.ask("SELECT 1 AS n")
    assert answer.headers["x-runlake-as-of"] == "2026-07-14T09:00:00Z"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b"SELECT 1 AS n"),
        ("text/plain", b"SELECT 1 AS n"),
        ("text/plain; charset=utf-8", "SELECT 1 AS n -- ü".encode()),
        ("application/json", b'{"query": "SELECT 1 AS n"}'),
    ],
)
def test_a_query_is_text_or_json(daemon: Daemon, content_type: str | None, body: bytes) -> None:
    assert daemon.ask(body, headers={"Content-Type": content_type} if content_type else {}).json() == [{"n": 1}]


def test_a_large_answer_arrives_whole(daemon: Daemon) -> None:
    answer = daemon.ask("SELECT i, repeat('x', 100) AS t FROM range(50000) t(i)", params={"format": "arrow"})
    table = pa.ipc.open_stream(answer.content).read_all()
    assert (table.num_rows, table["i"][-1].as_py()) == (50_000, 49_999)


# --- refusals --------------------------------------------------------------------------------------------------------


def refused(answer: httpx.Response) -> tuple[int, str]:
    """The status, and what is said."""
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()
    assert list(said) == ["error"]
    return answer.status_code, said["error"]


def test_without_a_configured_token_it_says_which_key_to_set(daemon: Daemon) -> None:
    daemon.token = None
    status, said = refused(daemon.ask("SELECT 1"))
    assert status == 403
    assert 'sql_token = { env = "RUNLAKE_SQL_TOKEN" } under [daemon]' in said


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xfc"],
)
def test_a_wrong_token_is_refused_before_anything_is_read(daemon: Daemon, header: str) -> None:
    answer = daemon.ask(b"x" * 2 * MOST_BODY, headers={"Authorization": header.encode("latin-1")})  # type: ignore[dict-item]
    assert refused(answer)[0] == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_name_of_the_scheme_has_no_case(daemon: Daemon, scheme: str) -> None:
    assert daemon.ask("SELECT 1", headers={"Authorization": f"{scheme} {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (400, {}, b"SELECT nope", "Binder Error: "),
        (400, {}, b"SELECT 1; SELECT 2", "one statement at a time"),
        (400, {}, b"DROP VIEW runs", "this copy is read-only"),
        (400, {}, b"", "the query is empty"),
        (400, {}, b"SELECT '\xff'", "not UTF-8"),
        (400, {"Content-Type": "application/json"}, b"SELECT 1", 'write the query as {"query"'),
        (400, {"Content-Type": "application/json"}, b'{"query": 1}', 'write the query as {"query"'),
        (
            400,
            {"Content-Type": "application/json"},
            b'{"query": "SELECT 1", "limit": 1}',
            'write the query as {"query"',
        ),
        (400, {"Content-Type": "application/json"}, b"[" * 60_000, 'write the query as {"query"'),
        (400, {"Content-Type": "application/json"}, b'{"query": "SELECT \'\\ud800\'"}', "half of a character"),
        (406, {"Accept": "text/html"}, b"SELECT 1", "accept one of application/json, "),
        (406, {"Accept": "text/csv;q=0, application/json;q=x"}, b"SELECT 1", "accept one of application/json, "),
        (413, {}, b"SELECT " + b" " * MOST_BODY + b"1", "65,536 bytes"),
        (413, {}, b" " * 5_000_000, "65,536 bytes"),
        (415, {"Content-Type": "application/xml"}, b"SELECT 1", "send the query as text/plain"),
    ],
)
def test_what_is_wrong_has_its_status_and_one_line(
    daemon: Daemon, status: int, headers: dict[str, str], body: bytes, said: str
) -> None:
    found, text = refused(daemon.ask(body, headers=headers))
    assert (found, said in text) == (status, True), text


def test_a_format_that_is_none_is_refused_with_those_that_are(daemon: Daemon) -> None:
    assert refused(daemon.ask("SELECT 1", params={"format": "xml"})) == (
        406,
        "no format 'xml'; there are json, csv, arrow, parquet",
    )


def test_without_a_copy_it_says_that_there_is_none_yet(daemon: Daemon, tmp_path: Path) -> None:
    daemon.database = tmp_path / "ledger.duckdb"
    assert refused(daemon.ask("SELECT 1")) == (503, "no copy is published yet: the first sync makes one")


def test_what_is_too_much_is_refused_whole(database: Path) -> None:
    with serving(database, Limits(rows=10, bytes=1000, memory=2**28)) as daemon:
        assert refused(daemon.ask("SELECT * FROM range(11)"))[0] == 413
        assert refused(daemon.ask("SELECT repeat('x', 1000)"))[0] == 413
        assert refused(daemon.ask("SELECT repeat('x', 4000000000)"))[0] == 413
    with serving(database, Limits(seconds=1)) as daemon:
        assert refused(daemon.ask(ENDLESS))[0] == 408


def test_text_of_a_query_cannot_steer_who_reads_its_error(daemon: Daemon) -> None:
    status, _ = refused(answer := daemon.ask("SELECT error('\x1b[2J\u202e')"))
    assert status == 400
    assert answer.text.isascii()
    assert answer.text.strip().isprintable()


# --- many, gone, stopping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patience_s", "statuses"),
    [
        (0.2, [408, 429, 429, 429]),  # one runs; one waits for its turn in vain; two find the queue full
        (60, [408, 408, 429, 429]),
    ],
)
def test_more_queries_than_may_run_are_told_to_come_back(
    database: Path, patience_s: float, statuses: list[int]
) -> None:
    limits = Limits(seconds=1.5)
    with serving(database, limits, at_once=1, patience_s=patience_s) as daemon, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: daemon.ask(ENDLESS), range(4)))
    assert sorted(answer.status_code for answer in answers) == statuses
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) > 0
            assert "ask again in a few seconds" in refused(answer)[1]


def test_a_query_waits_a_little_for_its_turn(database: Path) -> None:
    with serving(database, at_once=1) as daemon, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda n: daemon.ask(f"SELECT {n} AS n"), range(2)))
    assert [answer.json() for answer in answers] == [[{"n": 0}], [{"n": 1}]]


def test_a_client_that_goes_away_takes_its_query_along(database: Path) -> None:
    before = children()
    with serving(database, at_once=1) as daemon:
        with pytest.raises(httpx.ReadTimeout), httpx.Client(timeout=httpx.Timeout(20, read=1.0)) as client:
            client.post(f"{daemon.url}/sql", content=ENDLESS, headers=BEARER)
        until(lambda: children() <= before)
        assert daemon.ask("SELECT 1 AS n").json() == [{"n": 1}]


def test_a_client_that_stops_reading_halfway_harms_nobody(daemon: Daemon) -> None:
    query = "SELECT repeat('x', 1000) AS t FROM range(50000)"
    with httpx.Client(timeout=60) as client:
        with client.stream("POST", f"{daemon.url}/sql", content=query, headers=BEARER) as answer:
            next(answer.iter_bytes())
        assert client.post(f"{daemon.url}/sql", content="SELECT 1 AS n", headers=BEARER).json() == [{"n": 1}]


def test_a_daemon_that_stops_ends_its_queries_and_says_so(database: Path) -> None:
    before = children()
    with serving(database, at_once=1) as daemon, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(daemon.ask, ENDLESS)
        until(lambda: not children() <= before)
        daemon.stop()
        assert refused(asked.result(timeout=20)) == (503, "the daemon is stopping; ask again once it runs")
    assert children() <= before
