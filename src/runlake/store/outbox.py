"""The outbox: what is to be told of which alert on which channel, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import duckdb

from runlake.store.books import rows
from runlake.store.episodes import NAMED, Alert, Notification, alerts_named, values_of
from runlake.store.given import given, insert


class Outbox:
    """What writes needs the ledger and an open transaction; the rest works on its published copy, too."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con

    def enqueue(self, added: Sequence[Notification]) -> None:
        insert(self._con, "notifications", map(values_of, added))

    def waiting(self) -> list[tuple[Notification, Alert | None]]:
        """What is neither delivered nor dropped, the oldest first, each with its alert."""
        waiting = self._notifications("delivered_at IS NULL AND dropped_at IS NULL")
        ids = [row.alert_id for row in waiting if row.alert_id is not None]
        alerts = {alert.alert_id: alert for alert in alerts_named(self._con, ids)}
        return [(row, alerts.get(row.alert_id) if row.alert_id is not None else None) for row in waiting]

    def notifications(self, alert_id: str) -> list[Notification]:
        """What was, or is still to be, told of an alert, the oldest first."""
        return self._notifications("alert_id = ?::UUID", alert_id)

    def _notifications(self, which: str, *values: str) -> list[Notification]:
        found = rows(
            self._con,
            "SELECT * REPLACE (alert_id::VARCHAR AS alert_id, message_id::VARCHAR AS message_id) "
            f"FROM rl.notifications WHERE {which} ORDER BY created_at, channel",
            values,
        )
        return [Notification(**row) for row in found]

    def claim(self, message_id: str, claimed: Sequence[Notification], at: datetime) -> None:
        """Makes them one message, to be sent now, for the first time or again."""
        self._change(
            claimed, "message_id = $id::UUID, claimed_at = $at, attempts = attempts + 1", {"id": message_id, "at": at}
        )
        # From now on, and not from when it was put here, is counted until it is told again.
        ids = [row.alert_id for row in claimed if row.alert_id is not None and row.event in ("open", "repeat")]
        if ids:
            with given(self._con, "named", id=ids):
                self._con.execute(f"UPDATE rl.alerts SET told_at = ? WHERE told_at < ? AND {NAMED}", [at, at])

    def dropped(self, gone: Sequence[Notification], at: datetime) -> None:
        """They are not to be told any more."""
        self._change(gone, "dropped_at = $at", {"at": at})

    def delivered(self, message_id: str, at: datetime, but: str | None = None) -> None:
        """`but`: who has not got it, and why, where others have."""
        self._con.execute(
            "UPDATE rl.notifications SET delivered_at = ?, retry_at = NULL, error = ? WHERE message_id = ?::UUID",
            [at, but, message_id],
        )

    def failed(self, message_id: str, at: datetime, error: str, retry_at: datetime | None) -> None:
        """`retry_at`: None where it is given up."""
        self._con.execute(
            "UPDATE rl.notifications SET error = ?, retry_at = ?, dropped_at = ? WHERE message_id = ?::UUID",
            [error, retry_at, at if retry_at is None else None, message_id],
        )

    def failing(self) -> list[tuple[str, datetime, str]]:
        """The channels that have taken nothing since they did not take a message: which, the oldest that did not
        arrive, and why the last did not."""
        return self._con.execute(
            "SELECT channel, min(created_at), arg_max(error, claimed_at) FROM rl.notifications "
            "LEFT JOIN (SELECT channel, max(delivered_at) AS taken_at FROM rl.notifications GROUP BY channel) "
            "USING (channel) WHERE error IS NOT NULL AND delivered_at IS NULL "
            "AND (taken_at IS NULL OR claimed_at > taken_at) GROUP BY channel ORDER BY channel"
        ).fetchall()

    def messages_since(self, channel: str, at: datetime) -> int:
        """How many messages were first or last sent on a channel since then."""
        [(count,)] = self._con.execute(
            "SELECT count(DISTINCT message_id) FROM rl.notifications WHERE channel = ? AND claimed_at >= ?",
            [channel, at],
        ).fetchall()
        return int(count)

    def last_digest(self, channel: str, until: datetime) -> datetime | None:
        """When the last digest for a channel was put into the outbox, by then: a clock may have been ahead."""
        [(created_at,)] = self._con.execute(
            "SELECT max(created_at) FROM rl.notifications WHERE channel = ? AND event = 'digest' AND created_at <= ?",
            [channel, until],
        ).fetchall()
        return cast("datetime | None", created_at)

    def told(self, alert_ids: Sequence[str]) -> dict[str, list[str]]:
        """By alert, the channels on which it was, or is still to be, told as open."""
        return self._opened(alert_ids, "dropped_at IS NULL", "list(DISTINCT channel ORDER BY channel)")

    def threads(self, channel: str, alert_ids: Sequence[str]) -> dict[str, str]:
        """By alert, the id of the message that told on the channel that it began; those of which none did are left
        out."""
        which = "message_id IS NOT NULL AND dropped_at IS NULL AND channel = ?"
        return self._opened(alert_ids, which, "min(message_id)::VARCHAR", channel)

    def _opened(self, alert_ids: Sequence[str], which: str, what: str, *values: str) -> dict[str, Any]:
        if not alert_ids:
            return {}
        with given(self._con, "named", id=list(alert_ids)):
            found = self._con.execute(
                f"SELECT alert_id::VARCHAR, {what} FROM rl.notifications "
                f"WHERE event = 'open' AND {which} AND {NAMED} GROUP BY alert_id",
                list(values),
            )
            return dict(found.fetchall())

    def is_over(self, channel: str, thread: str) -> bool:
        """Whether all alerts of which that message told on the channel are resolved."""
        return not self._con.execute(
            "SELECT 1 FROM rl.notifications n JOIN rl.alerts a USING (alert_id) "
            "WHERE n.channel = ? AND n.message_id = ?::UUID AND n.event = 'open' AND a.state <> 'resolved' LIMIT 1",
            [channel, thread],
        ).fetchall()

    def _change(self, which: Sequence[Notification], change: str, values: Mapping[str, Any]) -> None:
        """Rows of the outbox are told from each other by alert, channel, event and when they were put there."""
        if which:
            with given(self._con, "which", **{name: [getattr(row, name) for row in which] for name in _IDENTITY}):
                self._con.execute(
                    f"UPDATE rl.notifications n SET {change} FROM which w WHERE n.channel = w.channel "
                    "AND n.event = w.event AND n.created_at = w.created_at "
                    "AND n.alert_id IS NOT DISTINCT FROM w.alert_id::UUID",
                    dict(values),
                )


_IDENTITY = ("alert_id", "channel", "event", "created_at")
