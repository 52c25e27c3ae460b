"""Analyst SQL that comes over the network: one query, one child process, on the published copy.

DuckDB's own settings keep a query from other files, the network and extensions; the child's limits hold where those do
not: on 1.5 a function gets past the lock, and neither `interrupt()` nor `memory_limit` stops `repeat` or `levenshtein`.
So each query gets a process of its own, which is killed at the deadline, and an answer is handed out only when it is
whole: it is written to a file without a name, whose size the system limits.

What a query may see of the machine is the path of the published copy, which DuckDB tells in `duckdb_databases()`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from runlake.errors import ConfigError, RunlakeError, StoreError, TooLarge, TooSlow
from runlake.store.database import published_path


class AnswerFormat(StrEnum):
    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may take. `bytes` is the size of its answer, `memory` what DuckDB may hold, in bytes."""

    seconds: float = 30
    rows: int = 1_000_000
    bytes: int = 256 * 2**20
    memory: int = 2**30


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer of `size` bytes; the caller reads `file` from where it stands and closes it."""

    as_of: datetime
    file: IO[bytes]
    size: int


ERRORS: dict[str, type[RunlakeError]] = {each.__name__: each for each in (ConfigError, TooLarge, TooSlow, StoreError)}
"""What a child can report, by the names under which it does."""

_CHILD = "runlake.store.sandbox_child"
_REPORT = 64 * 1024
"""Bytes of a child's report that are read; its error is at most a twentieth of that."""


async def ask(database: Path, query: str, format_: AnswerFormat, limits: Limits | None = None) -> Answered:
    """The answer to one SELECT. The child is gone when this returns, raises or is cancelled.

    Raises ConfigError: wrong SQL or not exactly one SELECT; TooLarge, TooSlow: more than `limits` allow; StoreError:
    there is no published copy, or no process could be had for the query.
    """
    if find_spec("resource") is None:
        raise StoreError("analyst SQL over the network needs the resource limits of Linux or macOS; use `runlake sql`")
    if not published_path(database).exists():
        raise StoreError("no copy is published yet: the first sync makes one")
    limits = limits or Limits()
    try:
        text = query.encode()
    except UnicodeEncodeError:
        raise ConfigError("the query has half of a character (a lone surrogate); write it whole") from None
    try:
        with ExitStack() as opened, TemporaryFile() as given, TemporaryFile() as report:
            answer = opened.enter_context(TemporaryFile())
            given.write(text)
            given.seek(0)
            code = await _run(_arguments(database, format_, limits), given, answer, report, limits.seconds)
            report.seek(0)
            as_of = _as_of(code, report.read(_REPORT), limits)
            size = answer.seek(0, 2)
            answer.seek(0)
            opened.pop_all()  # the answer outlives this block
            return Answered(as_of, answer, size)
    except OSError as error:
        raise StoreError(f"no process could be had for the query: {error.strerror or error}") from error


def _arguments(database: Path, format_: AnswerFormat, limits: Limits) -> str:
    return json.dumps({"database": str(database.absolute()), "format": format_, **asdict(limits)})


async def _run(arguments: str, given: IO[bytes], answer: IO[bytes], report: IO[bytes], seconds: float) -> int:
    """The exit code; negative where a signal ended it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", _CHILD, arguments),
        stdin=given,
        stdout=answer,
        stderr=report,
        env={},
        cwd="/",
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError:
        raise _too_slow(seconds) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _too_slow(seconds: float) -> TooSlow:
    return TooSlow(f"the query was stopped after {seconds:g} s; ask for less, or for a shorter time")


def _as_of(code: int, report: bytes, limits: Limits) -> datetime:
    """When the copy that was asked was made; raises what the child reports."""
    if -code in (signal.SIGALRM, signal.SIGXCPU):
        raise _too_slow(limits.seconds)
    if code < 0:
        raise TooLarge(
            f"the query ended its process ({signal.Signals(-code).name}): it takes more memory than it may have, or is "
            "nested too deeply; make it simpler"
        )
    last = report.decode("utf-8", "replace").rstrip().rpartition("\n")[2]
    try:
        told = json.loads(last)
    except ValueError:
        raise StoreError(f"the query's process failed: {last[:200] or f'exit code {code}'}") from None
    if "error" in told:
        raise ERRORS[told["kind"]](told["error"])
    return datetime.fromisoformat(told["as_of"])
