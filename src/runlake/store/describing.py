"""What a query would answer, found out on an empty ledger: SQL in the config is checked before anything runs."""

from __future__ import annotations

from pathlib import Path

import duckdb

from runlake.errors import ConfigError
from runlake.store.database import migrate
from runlake.store.published import CONFINED
from runlake.store.query import one_statement, telling
from runlake.store.seen import condition


class EmptyLedger:
    """A ledger without a run, in memory: it can read no file, no address and no extension. A context manager. Making
    one takes 0.1 s."""

    def __init__(self) -> None:
        self._con = duckdb.connect(config={**CONFINED})
        self._con.execute("ATTACH ':memory:' AS lake")
        self._con.execute("USE lake")
        migrate(self._con, Path(":memory:"))
        self._con.execute("SET TimeZone = 'UTC'")
        self._con.execute("SET enable_external_access = false")
        self._con.execute("SET lock_configuration = true")

    def __enter__(self) -> EmptyLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def describe(self, query: str) -> list[tuple[str, str]]:
        """The columns of its answer with their types, in DuckDB's words. Raises ConfigError, in DuckDB's words too, for
        what is not one SELECT that reads."""
        one_statement(self._con, query, {"SELECT"})
        with telling(line_before=True):
            found = self._con.execute(f"DESCRIBE\n{query}").fetchall()
        return [(name, type_) for name, type_, *_ in found]

    def require_condition(self, text: str) -> None:
        """Raises ConfigError unless `text` is one condition on the columns of `runs`, which `seen.condition` takes.

        What can stand both behind a WHERE and, on the same line, between brackets is one expression: nothing in it ends
        either, such as `1=1) OR (1=1` or a comment. Columns come without the view's name, which they do not have there.
        """
        try:
            self.describe(f"SELECT run_key FROM runs AS picked WHERE {text}")
            columns = self.describe(f"SELECT ({text}) FROM runs AS picked")
        except ConfigError as error:
            raise ConfigError(f"write one condition on the columns of `runs`: {error}") from None
        if [type_ for _, type_ in columns] != ["BOOLEAN"]:
            raise ConfigError("write a condition, which is true or false, such as: duration_ms > 60000")
        try:
            self.describe(f"SELECT {condition(text)} FROM runs")
        except ConfigError:  # what TRY does not take
            raise ConfigError("write a condition without a subquery, and without chance such as random()") from None
