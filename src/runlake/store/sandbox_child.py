"""The child process of one query: limits first, then the query from stdin, its answer to stdout, one report to stderr.

The report is a line of JSON: `{"as_of": …}` beside a whole answer, `{"kind": …, "error": …}` beside one that counts for
nothing. `kind` is one of `sandbox.ERRORS`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import chain
from math import ceil
from pathlib import Path
from typing import IO, Any, TypeVar

import pyarrow as pa

from runlake import formats
from runlake.errors import RunlakeError, StoreError, TooLarge
from runlake.store.query import Reader, telling
from runlake.store.sandbox import AnswerFormat, Limits

_THREADS = 2
_LONGEST = 2000
"""Characters of an error: DuckDB repeats the text at fault, which may be all of a query."""

T = TypeVar("T")


def main() -> None:
    arguments = json.loads(sys.argv[1])
    database, format_ = Path(arguments.pop("database")), AnswerFormat(arguments.pop("format"))
    limits = Limits(**arguments)
    _confine(limits)
    try:
        told = {"as_of": _answer(database, sys.stdin.buffer.read().decode(), format_, limits).isoformat()}
    except RunlakeError as error:
        told = {"kind": type(error).__name__, "error": str(error)[:_LONGEST]}
    sys.stderr.write(json.dumps(told) + "\n")
    sys.stderr.flush()
    # Nothing is left to be written, and taking a database down costs time that somebody waits for.
    os._exit(0)


def _confine(limits: Limits) -> None:
    """What holds whatever DuckDB does. The alarm ends a child whose parent was killed before it could end the child."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(ceil(limits.seconds) + 1)
    os.umask(0o077)
    os.nice(10)  # syncs come first
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, (ceil(limits.seconds) + 1) * _THREADS),
        (resource.RLIMIT_FSIZE, limits.bytes),
        # Address space, not memory: DuckDB takes twice what it uses, libraries and stacks three quarters of a GB.
        (resource.RLIMIT_AS, 2 * limits.memory + 2**30),
        (resource.RLIMIT_NOFILE, 1024),
    ):
        _limit(kind, most)


def _limit(kind: int, most: int) -> None:
    """A limit is never raised, only lowered."""
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _answer(database: Path, query: str, format_: AnswerFormat, limits: Limits) -> datetime:
    """Writes the answer; returns when the copy was made."""
    reader = Reader(
        database,
        kinds={"SELECT"},
        memory_limit=f"{limits.memory // 2**10}KiB",
        threads=str(_THREADS),
        # Nothing is put on a disk: a query that does not fit is refused, and none leaves a file behind.
        temp_directory="",
    )
    as_of = reader.freshness().as_of
    write = _writer(format_)
    if not reader.read("SELECT 1 FROM duckdb_views() WHERE schema_name = 'rl'"):  # a split copy opens its months later
        _open_no_more()
    try:
        with telling(), open(1, "wb", closefd=False) as out:
            write(reader, query, limits.rows, out)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise TooLarge(f"the answer has more than {limits.bytes:,} bytes; add LIMIT, or aggregate") from None
        raise StoreError(f"the answer cannot be kept: {error.strerror or error}") from None
    return as_of


def _open_no_more() -> None:
    """From here on the system refuses to open any file or socket, whatever DuckDB would allow."""
    lowest = os.dup(0)
    os.close(lowest)
    _limit(resource.RLIMIT_NOFILE, lowest)


# --- formats ---------------------------------------------------------------------------------------------------------

Write = Callable[[Reader, str, int, IO[bytes]], None]


def _writer(format_: AnswerFormat) -> Write:
    """What writes a format. All that it imports is imported by then: later no file can be opened."""
    match format_:
        case AnswerFormat.JSON:
            return partial(_write_text, formats.json_rows)
        case AnswerFormat.CSV:
            return partial(_write_text, formats.csv_rows)
        case AnswerFormat.ARROW:
            return partial(_write_batches, pa.ipc.new_stream)
        case AnswerFormat.PARQUET:
            from pyarrow import parquet  # noqa: PLC0415 (for this format alone)

            return partial(_write_batches, parquet.ParquetWriter)


def _write_text(write: Callable[..., None], reader: Reader, query: str, most: int, out: IO[bytes]) -> None:
    answer = reader.ask(query)
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    write(answer.columns, _counted(answer.rows(), lambda row: 1, most), text)
    text.flush()
    text.detach()


def _write_batches(open_: Callable[..., Any], reader: Reader, query: str, most: int, out: IO[bytes]) -> None:
    batches = _counted(reader.batches(query), lambda batch: batch.num_rows, most)
    first = next(batches)
    with open_(out, first.schema) as writer:
        for batch in chain([first], batches):
            writer.write_batch(batch)


def _counted(parts: Iterable[T], rows: Callable[[T], int], most: int) -> Iterator[T]:
    count = 0
    for part in parts:
        count += rows(part)
        if count > most:
            raise TooLarge(f"the answer has more than {most:,} rows; add LIMIT, or aggregate")
        yield part


if __name__ == "__main__":
    main()
