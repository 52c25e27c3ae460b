"""Analyst SQL in a child process: what it answers, what it refuses, and what nothing gets out of it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runlake.errors import ConfigError, RunlakeError, StoreError, TooLarge, TooSlow
from runlake.store import Store, published, published_path, sandbox
from runlake.store.database import connect
from runlake.store.sandbox import AnswerFormat, Limits, ask

from .hostile import EXHAUSTING, HARMLESS, REFUSED

CANARY = "canary-5fd1c0de"
AS_OF = datetime(2026, 7, 14, 9, tzinfo=UTC)

ENDLESS = "SELECT count(*) FROM range(1000000000000)"

USUAL = Limits(seconds=30, rows=10_000, bytes=4 * 2**20, memory=2**28)
SHORT = Limits(seconds=1, rows=10_000, bytes=4 * 2**20, memory=2**28)


async def publish(database: Path) -> None:
    """A ledger of one run, and its published copy."""
    con = connect(database)
    con.execute(
        "INSERT INTO rl.runs (run_key, source, vendor, pipeline_id, run_id, attempt, status, vendor_status, "
        "created_at, created_date, first_seen_at, observed_at, state_hash) "
        "VALUES (uuid(), 's', 'v', 'p', 'r', 1, 'failed', 'KO', now(), today(), now(), now(), 0)"
    )
    con.execute("INSERT INTO rl.run_payloads SELECT run_key, observed_at, '{\"cost\": 7}' FROM rl.runs")
    con.close()
    async with Store(database) as store:
        await store.publish(AS_OF)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.duckdb"
    asyncio.run(publish(path))
    return path


async def told(
    database: Path, query: str, format_: AnswerFormat = AnswerFormat.JSON, limits: Limits | None = None
) -> bytes:
    answered = await ask(database, query, format_, limits)
    with answered.file as file:
        content = file.read()
    assert len(content) == answered.size
    return content


def children() -> set[str]:
    """The processes that this one has started and that are still there, zombies too."""
    return {
        child
        for task in Path("/proc/self/task").glob("*/children")
        for child in task.read_text(encoding="ascii").split()
    }


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


# --- answers ---------------------------------------------------------------------------------------------------------

ROW = "SELECT 1 AS n, '=x' AS t, TIMESTAMPTZ '2026-07-13 09:00:00+00' AS at, NULL AS nothing, 2 AS n"


async def test_the_same_rows_in_each_format(database: Path) -> None:
    assert json.loads(await told(database, ROW)) == [
        {"n": 1, "t": "=x", "at": "2026-07-13T09:00:00Z", "nothing": None, "n_1": 2}
    ]
    rows = list(csv.reader(io.StringIO((await told(database, ROW, AnswerFormat.CSV)).decode())))
    assert rows == [["n", "t", "at", "nothing", "n_1"], ["1", "'=x", "2026-07-13T09:00:00Z", "", "2"]]
    row = {"n": 1, "t": "=x", "at": datetime(2026, 7, 13, 9, tzinfo=UTC), "nothing": None, "n_1": 2}
    streamed = pa.ipc.open_stream(await told(database, ROW, AnswerFormat.ARROW)).read_all()
    assert streamed.to_pylist() == [row]
    assert pq.read_table(io.BytesIO(await told(database, ROW, AnswerFormat.PARQUET))).to_pylist() == [row]


@pytest.mark.parametrize("format_", AnswerFormat)
async def test_an_answer_without_rows_has_its_columns(database: Path, format_: AnswerFormat) -> None:
    content = await told(database, "SELECT source, attempt FROM runs WHERE false", format_)
    match format_:
        case AnswerFormat.JSON:
            assert content == b"[]\n"
        case AnswerFormat.CSV:
            assert content == b"source,attempt\n"
        case AnswerFormat.ARROW:
            assert pa.ipc.open_stream(content).read_all().column_names == ["source", "attempt"]
        case AnswerFormat.PARQUET:
            assert pq.read_table(io.BytesIO(content)).column_names == ["source", "attempt"]


async def test_an_answer_says_when_its_copy_was_made(database: Path) -> None:
    answered = await ask(database, "SELECT 1", AnswerFormat.JSON)
    answered.file.close()
    assert answered.as_of == AS_OF


@pytest.mark.parametrize(
    "query",
    [
        "SELECT payload FROM rl.run_payloads",
        "FROM runs",
        "TABLE runs",
        "VALUES (1)",
        "(SELECT 1)",
        "WITH t AS (SELECT 1 AS a) FROM t SELECT a",
        "SHOW TABLES",
        "DESCRIBE runs",
        "SUMMARIZE runs",
        "PIVOT runs ON status IN ('failed', 'succeeded') USING count(*)",
        "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b",
        "SELECT 1;",
        "-- first\nSELECT 1 /* last */;",
        "SELECT count(*) FROM ledger.main.runs",
        "SELECT INTERVAL 1 DAY, 1.5::DECIMAL(10, 2), uuid(), [1], {'a': 1}, MAP {'a': 1}, 'x'::BLOB, TIME '10:00'",
        "SELECT '5000-01-01 (BC)'::TIMESTAMPTZ, 'infinity'::TIMESTAMP, now()::TIMETZ, '{}'::JSON, 1::UHUGEINT",
        "SELECT (now() AT TIME ZONE 'Asia/Tokyo')::VARCHAR, strftime(now(), '%c')",
    ],
)
async def test_whatever_only_reads_is_answered(database: Path, query: str) -> None:
    assert await told(database, query)


# --- a copy in two parts ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger whose closed days and months are published as Parquet, which a query opens when it needs them."""
    path = tmp_path_factory.mktemp("split") / "ledger.duckdb"
    asyncio.run(publish(path))
    con = connect(path)
    con.execute(
        "INSERT INTO rl.runs BY NAME SELECT r.* REPLACE (uuid() AS run_key, created_at - to_days(40 * i::INTEGER) AS "
        "created_at, created_date - 40 * i::INTEGER AS created_date) FROM rl.runs r, range(1, 10) t(i)"
    )
    published.publish(con, path, AS_OF, split_above=0)
    con.close()
    (path.parent / "secret.txt").write_text(CANARY)
    return path


@pytest.mark.parametrize("format_", AnswerFormat)
async def test_a_copy_in_two_parts_is_asked_like_any_other(split: Path, format_: AnswerFormat) -> None:
    content = await told(split, "SELECT count(DISTINCT created_date) AS days FROM runs", format_)
    if format_ is AnswerFormat.JSON:
        assert json.loads(content) == [{"days": 10}]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('$folder/secret.txt')",
        "SELECT * FROM read_text('$folder/ledger.published/../secret.txt')",
        "SELECT * FROM read_blob('$folder/ledger.duckdb')",
        "SELECT * FROM glob('$folder/*')",
        "SELECT * FROM glob('$folder/ledger.published/*')",
        "SELECT * FROM read_parquet('$folder/ledger.published/*.parquet')",
        "SELECT * FROM read_text('/proc/self/environ')",
    ],
)
async def test_beside_a_copy_in_two_parts_nothing_can_be_read(split: Path, query: str) -> None:
    with pytest.raises(ConfigError, match="Permission Error") as refused:
        await told(split, Template(query).substitute(folder=split.parent))
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    "query",
    [
        "WITH t AS (COPY (SELECT 1) TO '$file' (FORMAT parquet, USE_TMP_FILE false)) SELECT * FROM t",
        "WITH t AS MATERIALIZED (COPY runs TO '$file' (FORMAT parquet, USE_TMP_FILE false)) SELECT 1",
        "FROM json_execute_serialized_sql(json_serialize_sql($$$$WITH t AS (COPY (SELECT 1) TO '$file') FROM t$$$$))",
        "FROM query('FROM json_execute_serialized_sql(json_serialize_sql(''SELECT 1''))')",
    ],
)
async def test_of_a_copy_in_two_parts_no_period_can_be_written_over(split: Path, query: str) -> None:
    periods = split.parent / "ledger.published"
    before = contents(periods)
    with pytest.raises(ConfigError):
        await told(split, Template(query).substitute(file=next(periods.glob("runs-*.parquet"))))
    assert contents(periods) == before


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT nope FROM runs", r"Binder Error: .*nope.*\nLINE 1: SELECT nope FROM runs\n {15}\^+"),
        ("SELECT 1; SELECT 2", r"one statement at a time, please; these are 2"),
        ("", r"the query is empty; .*"),
        ("DROP VIEW runs", r"this copy is read-only: SELECT works, DROP does not"),
        ("EXPLAIN SELECT 1", r"this copy is read-only: SELECT works, EXPLAIN does not"),
        ("PIVOT runs ON status USING count(*)", r"name the values to PIVOT: .*"),
        ("SELECT * FROM read_text('/etc/passwd')", r"Permission Error: [^\n]*(\nLINE 1: [^\n]*\n *\^+)?"),
        ("SELECT '3000000 years'::INTERVAL", r".*"),
    ],
)
async def test_what_is_wrong_is_told_in_duckdbs_words_or_ours(database: Path, query: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"\A{message}\Z") as refused:
        await told(database, query)
    assert type(refused.value) is ConfigError


@pytest.mark.parametrize("format_", [AnswerFormat.ARROW, AnswerFormat.PARQUET])
async def test_a_type_that_a_format_lacks_is_told(database: Path, format_: AnswerFormat) -> None:
    with pytest.raises(ConfigError, match=r"type that this format lacks .*; cast it"):
        await told(database, "SELECT union_value(a := 1)", format_)


@pytest.mark.parametrize("format_", AnswerFormat)
async def test_an_error_late_in_an_answer_leaves_no_answer(
    database: Path, temporary: Path, format_: AnswerFormat
) -> None:
    query = "SELECT CASE WHEN i = 90000 THEN error('late') END AS e FROM range(100000) t(i)"
    with pytest.raises(ConfigError, match="late"):
        await told(database, query, format_)
    assert contents(temporary) == {}


@pytest.mark.parametrize("format_", AnswerFormat)
async def test_one_row_more_than_allowed_is_refused(database: Path, format_: AnswerFormat) -> None:
    limits = Limits(rows=20_000)
    assert await told(database, "SELECT i FROM range(20000) t(i)", format_, limits)
    with pytest.raises(TooLarge, match="more than 20,000 rows"):
        await told(database, "SELECT i FROM range(20001) t(i)", format_, limits)


@pytest.mark.parametrize("format_", AnswerFormat)
async def test_one_byte_more_than_allowed_is_refused(database: Path, format_: AnswerFormat) -> None:
    query = "SELECT md5(i::VARCHAR) AS t FROM range(50000) t(i)"
    size = len(await told(database, query, format_))
    assert len(await told(database, query, format_, Limits(bytes=size))) == size
    with pytest.raises(TooLarge, match=f"more than {size - 1:,} bytes"):
        await told(database, query, format_, Limits(bytes=size - 1))


@pytest.mark.parametrize("query", [ENDLESS, "SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))"])
async def test_a_deadline_ends_the_child(database: Path, query: str) -> None:
    before = children()
    with pytest.raises(TooSlow, match="stopped after 1 s"):
        await told(database, query, limits=Limits(seconds=1))
    assert children() <= before


async def test_more_memory_than_allowed_is_refused(database: Path) -> None:
    with pytest.raises(TooLarge, match="more memory"):
        await told(database, "SELECT count(DISTINCT md5(i::VARCHAR)) FROM range(100000000) t(i)", limits=USUAL)


async def test_rows_that_can_be_read_but_not_written_in_the_memory_allowed_are_refused(database: Path) -> None:
    query = "SELECT t AS a, t AS b FROM (SELECT repeat('x', 60000000) AS t)"
    with pytest.raises(TooLarge, match="more memory"):
        await told(database, query, AnswerFormat.CSV, Limits(bytes=2**31, memory=2**28))


async def test_cancelling_ends_the_child(database: Path, temporary: Path) -> None:
    before = children()
    asking = asyncio.create_task(told(database, ENDLESS))
    while children() <= before:  # noqa: ASYNC110 (what is waited for is another process)
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert children() <= before
    assert contents(temporary) == {}


def test_a_child_whose_parent_is_gone_ends_by_itself(database: Path) -> None:
    arguments = sandbox._arguments(database, AnswerFormat.JSON, Limits(seconds=0.5))
    done = subprocess.run(
        [sys.executable, "-I", "-m", sandbox._CHILD, arguments], input=ENDLESS.encode(), timeout=30, check=False, env={}
    )
    assert done.returncode == -signal.SIGALRM


async def test_without_a_copy_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no copy is published yet: the first sync makes one"):
        await told(tmp_path / "ledger.duckdb", "SELECT 1")


async def test_a_damaged_copy_is_told_in_one_line(tmp_path: Path) -> None:
    published_path(tmp_path / "ledger.duckdb").write_bytes(b"garbage" * 3000)
    with pytest.raises(StoreError, match=r"\A[^\n]*is damaged[^\n]*\Z"):
        await told(tmp_path / "ledger.duckdb", "SELECT 1")


async def test_where_the_system_has_no_limits_nothing_is_served(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match="needs the resource limits of Linux or macOS"):
        await told(database, "SELECT 1")


async def test_a_process_that_cannot_start_is_told_in_one_line(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_CHILD", "runlake.no_such_module")
    with pytest.raises(StoreError, match=r"\Athe query's process failed: .*No module named runlake.no_such_module\Z"):
        await told(database, "SELECT 1")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(StoreError, match=r"\Ano process could be had for the query: No such file or directory\Z"):
        await told(database, "SELECT 1")


# --- hostile statements ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    text: str
    """The answer, or what was said instead of one."""
    error: RunlakeError | None


@dataclass(frozen=True)
class Place:
    """Where the hostile statements were let loose, and what became of each."""

    database: Path
    folder: Path
    outcomes: dict[str, Outcome]
    before: dict[Path, bytes]
    callers: int

    def after(self) -> dict[Path, bytes]:
        return contents(self.folder.parent)


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() if file.is_file() else b"" for file in sorted(folder.rglob("*"))}


def plant(folder: Path) -> None:
    folder.mkdir()
    for suffix, text in (("txt", CANARY), ("csv", f"a,b\n{CANARY},1\n"), ("json", json.dumps([{"a": CANARY}]))):
        (folder / f"secret.{suffix}").write_text(text)
    pq.write_table(pa.table({"a": [CANARY]}), folder / "secret.parquet")
    with duckdb.connect(str(folder / "secret.duckdb")) as con:
        con.execute(f"CREATE TABLE secret AS SELECT '{CANARY}' AS a")


@contextmanager
def counting() -> Iterator[tuple[int, list[object]]]:
    """A port of this machine, and who called there."""
    callers: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    taken, address = listening.accept()
                    taken.close()
                    callers.append(address)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1], callers
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("place")
    database, folder = root / "ledger.duckdb", root / "canary"
    asyncio.run(publish(database))
    plant(folder)
    (root / "temporary").mkdir()
    before = contents(root)
    groups = [(REFUSED, USUAL), (HARMLESS, USUAL), (EXHAUSTING, SHORT)]
    with pytest.MonkeyPatch.context() as patch, counting() as (port, callers):
        patch.setattr(tempfile, "tempdir", str(root / "temporary"))
        patch.setenv("RUNLAKE_CANARY", CANARY)

        async def one(number: int, statement: str, limits: Limits) -> Outcome:
            words = {"folder": folder, "name": folder.name, "copy": published_path(database), "port": port}
            query = Template(statement).safe_substitute(words, out=folder / f"out-{number}")
            try:
                content = await told(database, query, limits=limits)
            except RunlakeError as error:
                return Outcome(str(error), error)
            return Outcome(content.decode(), None)

        async def all_() -> dict[str, Outcome]:
            turn = asyncio.Semaphore(3)

            async def in_turn(number: int, statement: str, limits: Limits) -> tuple[str, Outcome]:
                async with turn:
                    return statement, await one(number, statement, limits)

            statements = [
                (statement, limits)
                for kinds, limits in groups
                for statements in kinds.values()
                for statement in statements
            ]
            assert len({statement for statement, _ in statements}) == len(statements)
            return dict(await asyncio.gather(*(in_turn(n, *each) for n, each in enumerate(statements))))

        outcomes = asyncio.run(all_())
        yield Place(database, folder, outcomes, before, len(callers))


def each(groups: dict[str, list[str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "statement",
        [
            pytest.param(statement, id=f"{group}-{number}")
            for group, statements in groups.items()
            for number, statement in enumerate(statements, 1)
        ],
    )


@each(REFUSED)
def test_it_is_refused(place: Place, statement: str) -> None:
    outcome = place.outcomes[statement]
    assert isinstance(outcome.error, ConfigError), outcome.text
    assert not isinstance(outcome.error, TooSlow | TooLarge), outcome.text
    assert CANARY not in outcome.text


@each(HARMLESS)
def test_it_is_harmless(place: Place, statement: str) -> None:
    outcome = place.outcomes[statement]
    assert outcome.error is None or type(outcome.error) is ConfigError, outcome.text
    assert CANARY not in outcome.text
    # Of this machine's paths DuckDB tells that of the copy, and it repeats in errors what was asked.
    asked = outcome.text.partition("LINE 1: ")[0].replace(str(place.folder), "")
    seen = asked.replace(str(published_path(place.database)), "")
    for path in (place.folder.parent, Path.home(), Path.cwd(), sys.prefix, tempfile.gettempdir()):
        assert str(path) not in seen


@each(EXHAUSTING)
def test_it_ends_within_its_limits(place: Place, statement: str) -> None:
    outcome = place.outcomes[statement]
    assert outcome.error is None or isinstance(outcome.error, ConfigError), outcome.text
    assert len(outcome.text) <= SHORT.bytes


def test_nothing_of_all_that_changed_a_file_or_called_anybody(place: Place) -> None:
    assert place.after() == place.before
    assert place.callers == 0
    assert json.loads(asyncio.run(told(place.database, "SELECT count(*) AS n FROM runs"))) == [{"n": 1}]
