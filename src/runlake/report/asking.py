"""How a report asks: every metric is asked about the same attempts, which the reader's connection keeps, and every
answer comes with the one SELECT that gives it again to whoever pastes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from runlake.report.model import Column, Kind, Row
from runlake.report.period import Period
from runlake.store.database import quoted
from runlake.store.query import Reader


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of an answer, and the expression that it is."""

    column: Column
    expression: str


def shown(name: str, expression: str | None = None, kind: Kind = Kind.TEXT) -> Shown:
    return Shown(Column(name, kind), name if expression is None else expression)


@dataclass(frozen=True, slots=True)
class Question:
    """A list: what is shown of each row, from where, and in which order, which must leave nothing open. `most` rows are
    shown. `url` is the expression of the vendor's page."""

    select: Sequence[Shown]
    rows: str
    order: str
    url: str = "NULL"
    most: int = 10

    def sql(self) -> str:
        named = [f'{each.expression} AS "{each.column.name}"' for each in self.select]
        columns = ",\n       ".join([*named, f"{self.url} AS url"])
        return f"SELECT {columns}\n{self.rows}\nORDER BY {self.order}\nLIMIT {self.most}"


@dataclass(frozen=True, slots=True)
class Listed:
    columns: Sequence[Column]
    rows: Sequence[Row]
    count: int
    """Of all rows, shown or not."""


class Known:
    """The attempts of the period's history as they were known then, and the failed steps of all runs of the period.

    The relations `known` and `known_steps`: temporary tables on the reader, and in `sql` what they are made of.
    """

    def __init__(self, reader: Reader, period: Period, condition: str = "") -> None:
        """`condition`: on the columns of `runs`; "" where there is none."""
        self._reader = reader
        then, among = at(period.known_at), f" AND {condition}" if condition else ""
        self._kept = {
            "known": f"SELECT * FROM runs_at({then})\n  WHERE {within('created_at', period.history)}{among}",
            "known_steps": f"SELECT * FROM failed_steps_at({then})\n  WHERE {within('run_created_at', period)}",
        }
        for name, made_of in self._kept.items():
            reader.keep(name, made_of)

    def sql(self, select: str) -> str:
        """The same SELECT as one that needs nothing but the published copy."""
        kept = self._kept.items()
        needed = [f"{name} AS MATERIALIZED (\n  {of})" for name, of in kept if re.search(rf"\b{name}\b", select)]
        return f"WITH {', '.join(needed)}\n{select}" if needed else select

    def read(self, select: str) -> list[dict[str, Any]]:
        return self._reader.read(select)

    def value(self, select: str) -> Any:
        """The one value of a SELECT that gives one row."""
        [row] = self._reader.read(select)
        [value] = row.values()
        return value

    def listed(self, question: Question) -> Listed:
        found = self._reader.read(question.sql())
        columns = [each.column for each in question.select]
        rows = [Row([row[column.name] for column in columns], row["url"]) for row in found]
        count = len(rows)
        if count == question.most:
            # Not count(*) OVER (): over two rows of a UNION ALL it fails now and then, in DuckDB 1 (its issue 22352).
            count = self.value(f"SELECT count(*) FROM (SELECT 1 {question.rows})")
        return Listed(columns, rows, count)


def at(instant: datetime) -> str:
    """As SQL says it: a text that the metrics take for an instant, and TIMESTAMPTZ too."""
    return quoted(instant.astimezone(UTC).isoformat(" "))


def within(instant: str, period: Period) -> str:
    """The condition that a column's instant lies in the period."""
    return f"{instant} >= TIMESTAMPTZ {at(period.since)} AND {instant} < TIMESTAMPTZ {at(period.until)}"


def span(period: Period) -> str:
    """The first two parameters of every metric."""
    return f"{at(period.since)}, {at(period.until)}"
