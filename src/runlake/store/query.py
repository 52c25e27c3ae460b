"""A reader's own SQL on the published copy: one statement, read-only, its errors in DuckDB's words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from runlake.errors import ConfigError, StoreError, TooLarge
from runlake.store.alerting import AlertBooks
from runlake.store.books import began, rows
from runlake.store.published import open_published

_BATCH = 10_000

OLDER = "an older runlake made the published copy; restart its daemon, or run: runlake sync"

# PIVOT is MULTI to the parser of DuckDB 2; CALL and PRAGMA ask for facts, such as table_info.
_READS = frozenset({"SELECT", "EXPLAIN", "PRAGMA", "CALL", "MULTI", "RELATION"})
_INSTEAD = {"MULTI": "name the values to PIVOT: PIVOT runs ON status IN ('failed', 'succeeded') USING count(*)"}

# DuckDB 2 takes COPY in a WITH clause, which it calls a SELECT, and runs a statement that is given as JSON. COPY may
# write over any file that may be read.
_WRITES = re.compile(r'"name":\s*"[^"]*(COPY_TO_FILE|EXECUTE_SERIALIZED_SQL)')


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far the copy can be trusted: when it was made, and up to when each source is vouched for (None: not yet)."""

    as_of: datetime
    observed_through: dict[str, datetime | None]


class Answer:
    """The columns of an answer, and its rows, once."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self.columns = _each_once([str(column[0]) for column in con.description or []])

    def rows(self) -> Iterator[tuple[Any, ...]]:
        with telling():
            while batch := self._con.fetchmany(_BATCH):
                yield from batch


def _each_once(names: list[str]) -> list[str]:
    """`a, a, b` as `a, a_1, b`: a row is an object to JSON."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        unique.append(f"{name}_{count}" if count else name)
    return unique


class Reader:
    """The published copy, for reading; a context manager. Raises StoreError where there is none.

    `kinds` are the kinds of statement that a reader may ask, in DuckDB's words; `settings` are DuckDB's.
    """

    def __init__(self, database: Path, kinds: Collection[str] = _READS, **settings: str) -> None:
        self._kinds = kinds
        self._con = open_published(database, **settings)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def freshness(self) -> Freshness:
        found = rows(self._con, "SELECT as_of, source, observed_through FROM published ORDER BY source")
        return Freshness(
            found[0]["as_of"], {row["source"]: row["observed_through"] for row in found if row["source"] is not None}
        )

    def began(self) -> datetime | None:
        """When the first of the sources was first synced: nothing was known before."""
        return began(self._con)

    def read(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Our own questions; `$name` in the query stands for a value. Raises StoreError where an older runlake made
        this copy, without what is asked."""
        try:
            return rows(self._con, query, values)
        except duckdb.CatalogException as error:
            raise StoreError(OLDER) from error

    def keep(self, name: str, query: str, **values: Any) -> None:
        """Keeps the answer of one of our own questions as the temporary table `name`, which later ones may read; it is
        gone with this reader. Raises StoreError as `read` does."""
        self.read(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}", **values)

    def alerting(self) -> AlertBooks:
        """What alerting sees of this copy; nothing can be written. Raises StoreError where a runlake without alerts
        made it."""
        if not rows(self._con, "FROM duckdb_tables() WHERE schema_name = 'rl' AND table_name = 'alerts'"):
            raise StoreError(OLDER)
        return AlertBooks(self._con)

    def ask(self, text: str) -> Answer:
        """A reader's question. Raises ConfigError: not one statement, not a reading one, or wrong SQL."""
        with telling():
            return Answer(self._con.execute(one_statement(self._con, text, self._kinds)))

    def batches(self, text: str) -> Iterator[pa.RecordBatch]:
        """The same as Arrow batches, of which there is at least one."""
        one_statement(self._con, text, self._kinds)
        with telling():
            # Not of an executed statement: DuckDB 2 warns that this would copy all rows once more.
            reader = self._con.sql(text).to_arrow_reader(_BATCH)
            names = _each_once(reader.schema.names)
            yield pa.RecordBatch.from_pylist([], reader.schema).rename_columns(names)
            for batch in reader:
                yield batch.rename_columns(names)


def one_statement(con: duckdb.DuckDBPyConnection, text: str, kinds: Collection[str]) -> duckdb.Statement | str:
    """The one statement that `text` is. Raises ConfigError: it is not one, not of these kinds, or wrong SQL."""
    with telling():
        statements = con.extract_statements(text)
    if not statements:
        raise ConfigError("the query is empty; try: SELECT * FROM source_health")
    # DuckDB 1's parser makes two statements of one PIVOT; neither has a text of its own.
    pivot = [(_kind(each), each.query) for each in statements] == [("CREATE", ""), ("SELECT", "")]
    if len(statements) > 1 and not pivot:
        raise ConfigError(f"one statement at a time, please; these are {len(statements)}")
    kind = "MULTI" if pivot else _kind(statements[0])
    if kind not in kinds:
        instead = f"this copy is read-only: SELECT works, {kind.replace('_', ' ')} does not"
        raise ConfigError(_INSTEAD.get(kind, instead))
    if kind == "SELECT":
        _require_no_write(con, statements[0].query or text)
    return text if pivot else statements[0]


def _require_no_write(con: duckdb.DuckDBPyConnection, select: str) -> None:
    """By its plan, in which macros, views and `query('…')` are what they stand for."""
    with telling(line_before=True):
        [(_, plan)] = con.execute(f"EXPLAIN (FORMAT json)\n{select}").fetchall()
    if _WRITES.search(plan):
        raise ConfigError("this copy is read-only: a SELECT may hold no COPY, and no statement as JSON")


def _kind(statement: duckdb.Statement) -> str:
    try:
        return str(statement.type.name)
    except ValueError:
        return "this"  # the parser knows kinds that DuckDB's Python package has no name for, such as UPDATE EXTENSIONS


@contextmanager
def telling(*, line_before: bool = False) -> Iterator[None]:
    """DuckDB's errors are the writer's of the query: its own message, on three lines at most, with its caret.
    `line_before`: where a line that is none of theirs was put before the query."""
    try:
        yield
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except (duckdb.Error, pa.ArrowException, OSError, OverflowError, MemoryError) as error:
        # Arrow passes on what DuckDB says as an OSError without a number; one with a number is the system's.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        text = str(error)
        if line_before:
            text = re.sub(r"^LINE (\d+):", lambda line: f"LINE {int(line[1]) - 1}:", text, flags=re.MULTILINE)
        if isinstance(error, duckdb.OutOfMemoryException | MemoryError) or "Out of Memory Error" in text:
            raise TooLarge("the query needs more memory than it may have; ask for less, or aggregate earlier") from None
        if isinstance(error, pa.ArrowNotImplementedError):
            raise ConfigError(f"a column has a type that this format lacks ({text}); cast it") from None
        lines = [line for line in text.splitlines() if line.strip()] or [type(error).__name__]
        caret = next((at for at, line in enumerate(lines) if line.startswith("LINE ")), len(lines))
        raise ConfigError("\n".join([" ".join(lines[:caret]), *lines[caret : caret + 2]])) from None
