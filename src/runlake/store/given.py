"""Rows that are at hand, as tables for SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import duckdb
import pyarrow as pa


@contextmanager
def given(con: duckdb.DuckDBPyConnection, name: str, **columns: Sequence[Any] | pa.Array[Any]) -> Iterator[None]:
    """For queries within, a table made of these columns, which are not empty. (A list as a value takes DuckDB 1.5 80
    microseconds an item.)"""
    con.register(name, pa.table(dict(columns)))
    try:
        yield
    except BaseException:
        with suppress(duckdb.Error):  # in a transaction that an error has ended, which is the one to tell
            con.unregister(name)
        raise
    con.unregister(name)


def insert(con: duckdb.DuckDBPyConnection, table: str, added: Iterable[Mapping[str, Any]]) -> None:
    """Into a table of ours, rows that all have the same columns."""
    rows = list(added)
    if rows:
        with given(con, "added", **{name: [row[name] for row in rows] for name in rows[0]}):
            con.execute(f"INSERT INTO rl.{table} BY NAME FROM added")
