"""What became of reports: a row of `rl.reports` for each week's report and each place it goes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import duckdb

from runlake.store.books import began, rows
from runlake.store.given import given, insert


@dataclass(slots=True, kw_only=True)
class Sending:
    """A report on its way to one place. `message_id` is its own, the same however often it is sent. `channel` is None
    where it goes to a folder, or was not made at all."""

    report: str
    period: str
    since: datetime
    until: datetime
    zone: str
    known_at: datetime
    channel: str | None
    message_id: str
    created_at: datetime
    claimed_at: datetime | None = None
    attempts: int = 0
    retry_at: datetime | None = None
    delivered_at: datetime | None = None
    dropped_at: datetime | None = None
    error: str | None = None

    @property
    def place(self) -> str:
        return self.channel or "its folder"


class ReportBooks:
    """What writes needs the ledger and an open transaction; the rest works on its published copy, too."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con

    def planned(self, by: datetime) -> dict[str, tuple[datetime | None, list[str]]]:
        """By report, when the last period begins for which it was planned by then, if any was: a clock may have been
        ahead. And the names of all for which it ever was."""
        found = self._con.execute(
            "SELECT report, max(since) FILTER (created_at <= ?), list(DISTINCT period) FROM rl.reports GROUP BY report",
            [by],
        )
        return {report: (since, periods) for report, since, periods in found.fetchall()}

    def began(self) -> datetime | None:
        return began(self._con)

    def plan(self, added: Sequence[Sending]) -> None:
        insert(self._con, "reports", map(asdict, added))

    def waiting(self) -> list[Sending]:
        """What is neither delivered nor dropped, the oldest first."""
        return _sendings(self._con, "WHERE delivered_at IS NULL AND dropped_at IS NULL")

    def last(self, by: datetime) -> list[Sending]:
        """Of each report, all of the last period for which it was planned by then: a clock may have been ahead."""
        which = "WHERE created_at <= ? QUALIFY since = max(since) OVER (PARTITION BY report)"
        return _sendings(self._con, which, by)

    def claim(self, claimed: Sequence[Sending], at: datetime) -> None:
        """They are sent now, for the first time or again."""
        self._change(claimed, "claimed_at = ?, attempts = attempts + 1", at)

    def dropped(self, gone: Sequence[Sending], at: datetime) -> None:
        """They are not to be sent any more."""
        self._change(gone, "dropped_at = ?", at)

    def delivered(self, each: Sending, at: datetime, but: str | None) -> None:
        """`but`: who has not got it, and why, where others have."""
        self._change([each], "delivered_at = ?, retry_at = NULL, error = ?", at, but)

    def failed(self, each: Sending, at: datetime, error: str, retry_at: datetime | None) -> None:
        """`retry_at`: None where it is given up."""
        dropped_at = at if retry_at is None else None
        self._change([each], "error = ?, retry_at = ?, dropped_at = ?", error, retry_at, dropped_at)

    def _change(self, which: Sequence[Sending], change: str, *values: object) -> None:
        if which:
            with given(self._con, "which", id=[each.message_id for each in which]):
                self._con.execute(
                    f"UPDATE rl.reports SET {change} WHERE message_id IN (SELECT id::UUID FROM which)", list(values)
                )


def _sendings(con: duckdb.DuckDBPyConnection, which: str, *values: datetime) -> list[Sending]:
    query = (
        f"SELECT * REPLACE (message_id::VARCHAR AS message_id) FROM rl.reports {which} ORDER BY since, report, channel"
    )
    return [Sending(**row) for row in rows(con, query, values)]
