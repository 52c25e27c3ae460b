"""What alerting reads and writes: what it sees of the ledger, episodes, and the outbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar, cast

import duckdb
import pyarrow as pa

from runlake.errors import ConfigError
from runlake.store import seen
from runlake.store.books import rows
from runlake.store.episodes import Alert, Notification, RuleRow, Silence
from runlake.store.past import Past
from runlake.store.seen import (
    MOST_RUNS,
    WINDOW,
    Gap,
    Key,
    SeenPipeline,
    SeenRun,
    SeenSource,
    UnknownWord,
    given,
    of_pipelines,
)
from runlake.store.stories import Story, stories
from runlake.store.unjudged import unjudge

__all__ = [
    "MOST_RUNS",
    "WINDOW",
    "Alert",
    "AlertBooks",
    "Gap",
    "Key",
    "Notification",
    "RuleRow",
    "SeenPipeline",
    "SeenRun",
    "SeenSource",
    "Silence",
    "Story",
    "UnknownWord",
]


class AlertBooks:
    """Alerting's view of a ledger or of its published copy; what writes needs the ledger and an open transaction."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con

    # -- what is judged

    def sources(self) -> dict[str, SeenSource]:
        """All that were ever synced, by name."""
        return seen.sources(self._con)

    def candidates(self, known: Mapping[str, SeenSource]) -> list[Key]:
        """The pipelines to be judged now: those of known sources that have changed, or for which an instant to look at
        them again has come by their source's clock (`looked_at`)."""
        if not known:
            return []
        clocks = [source.looked_at for source in known.values()]
        with given(self._con, "known", source=list(known), looked_at=pa.array(clocks, pa.timestamp("us", tz="UTC"))):
            return self._con.execute(
                "SELECT source, pipeline_id FROM rl.unjudged SEMI JOIN known USING (source) UNION "
                "SELECT source, pipeline_id FROM rl.lookouts JOIN known USING (source) WHERE look_at <= looked_at "
                "ORDER BY ALL"
            ).fetchall()

    def pipelines(
        self,
        known: Mapping[str, SeenSource],
        keys: Sequence[Key],
        now: datetime,
        *,
        conditions: Mapping[str, str],
        labels: bool,
    ) -> list[SeenPipeline]:
        """One for each of the keys, with its runs of the WINDOW before `now`.

        `conditions`: by the name that `SeenRun.holds` shall have, a predicate on the view `runs`. `labels`: whether
        they are needed.
        """
        return seen.pipelines(self._con, known, keys, now, conditions=conditions, labels=labels)

    def past(self, start: datetime) -> Past:
        """What there was to be seen from then on."""
        return Past(self._con, start)

    def judge_all(self, now: datetime) -> None:
        """Puts into the queue every pipeline that its vendor lists, that has a run in the WINDOW before `now`, or one
        that is still open."""
        unjudge(
            self._con,
            "SELECT source, pipeline_id FROM rl.runs WHERE created_at >= ? UNION ALL "
            "SELECT source, pipeline_id FROM rl.watched WHERE created_at IS NOT NULL UNION ALL "
            "SELECT source, pipeline_id FROM rl.pipelines",  # of which none may have run for long
            [now - WINDOW],
        )

    def judged(self, keys: Sequence[Key], lookouts: Mapping[Key, datetime | None]) -> None:
        """Takes pipelines out of the queue, and says when to look at each again; None: when it changes."""
        if not keys:
            return
        with given(self._con, "done", **of_pipelines(keys)):
            for table in ("unjudged", "lookouts"):
                self._con.execute(
                    f"DELETE FROM rl.{table} t USING done d WHERE t.source = d.source AND t.pipeline_id = d.pipeline_id"
                )
        ahead = [(*key, look_at) for key, look_at in lookouts.items() if look_at is not None]
        names = ("source", "pipeline_id", "look_at")
        self._insert("lookouts", [dict(zip(names, row, strict=True)) for row in ahead])

    # -- rules and their episodes

    def rules(self) -> dict[str, RuleRow]:
        """All that ever were in force, by name."""
        return {row["rule"]: RuleRow(**row) for row in rows(self._con, "FROM rl.alert_rules")}

    def keep_rules(self, changed: Sequence[RuleRow]) -> None:
        self._con.execute("DELETE FROM rl.alert_rules WHERE list_contains(?, rule)", [[row.rule for row in changed]])
        self._insert("alert_rules", [_values(row) for row in changed])

    def open_alerts(self) -> list[Alert]:
        """Those that are pending or firing, the oldest first."""
        return self._alerts("WHERE state <> 'resolved' ORDER BY pending_at, alert_id")

    def resolved_since(self, at: datetime) -> list[Alert]:
        """Those that are over since then, the last first."""
        return self._alerts("WHERE resolved_at >= ? ORDER BY resolved_at DESC, alert_id", [at])

    def alert(self, text: str) -> Alert:
        """By its id, or its beginning where that is enough. Raises ConfigError where it names none, or several."""
        found = self._alerts("WHERE starts_with(alert_id::VARCHAR, lower(?)) LIMIT 2", [text]) if text else []
        if not found:
            raise ConfigError(f"there is no alert '{text}'; `runlake alerts list --all` shows their ids")
        if len(found) > 1:
            raise ConfigError(f"'{text}' begins the ids of several alerts; write more of it")
        return found[0]

    def fired_since(self, at: datetime) -> dict[Key, int]:
        """By rule and key, how many episodes have fired since then."""
        counts = self._con.execute(
            "SELECT rule, key, count(*) FROM rl.alerts WHERE fired_at >= ? GROUP BY ALL", [at]
        ).fetchall()
        return {(rule, key): count for rule, key, count in counts}

    def save_alerts(self, changed: Sequence[Alert]) -> None:
        if not changed:
            return
        with given(self._con, "named", id=[alert.alert_id for alert in changed]):
            self._con.execute(f"DELETE FROM rl.alerts WHERE {_NAMED}")
        facts = [json.dumps(alert.facts, ensure_ascii=False) for alert in changed]
        self._insert("alerts", [{**_values(alert), "facts": its} for alert, its in zip(changed, facts, strict=True)])

    def ack(self, alert_id: str, at: datetime, by: str, note: str | None) -> None:
        self._con.execute(
            "UPDATE rl.alerts SET acked_at = ?, acked_by = ?, ack_note = ? WHERE alert_id = ?::UUID",
            [at, by, note, alert_id],
        )

    def _alerts(self, which: str, values: Sequence[Any] = ()) -> list[Alert]:
        found = rows(self._con, f"SELECT {_ALERT} FROM rl.alerts {which}", values)
        return [Alert(**{**row, "facts": json.loads(row["facts"])}) for row in found]

    # -- silences

    def silences(self, at: datetime) -> list[Silence]:
        """Those that are not over by then, the first to end first."""
        found = rows(
            self._con,
            "SELECT * REPLACE (silence_id::VARCHAR AS silence_id) FROM rl.silences WHERE until > ? ORDER BY until",
            [at],
        )
        return [Silence(**row) for row in found]

    def keep_silence(self, silence: Silence) -> None:
        self._insert("silences", [_values(silence)])

    def end_silence(self, text: str, at: datetime) -> Silence:
        """By its id, or its beginning; returns it as it was. Raises ConfigError where it names none, or several, of
        those that are not over."""
        found = [each for each in self.silences(at) if text and each.silence_id.startswith(text.lower())]
        if not found:
            raise ConfigError(f"there is no silence '{text}' in force; `runlake alerts silences` shows their ids")
        if len(found) > 1:
            raise ConfigError(f"'{text}' begins the ids of several silences; write more of it")
        self._con.execute("UPDATE rl.silences SET until = ? WHERE silence_id = ?::UUID", [at, found[0].silence_id])
        return found[0]

    # -- the outbox

    def enqueue(self, added: Sequence[Notification]) -> None:
        self._insert("notifications", [_values(row) for row in added])

    def waiting(self) -> list[tuple[Notification, Alert | None]]:
        """What is neither delivered nor dropped, the oldest first, each with its alert."""
        found = rows(
            self._con,
            "SELECT * REPLACE (alert_id::VARCHAR AS alert_id, message_id::VARCHAR AS message_id) "
            "FROM rl.notifications WHERE delivered_at IS NULL AND dropped_at IS NULL ORDER BY created_at, channel",
        )
        waiting = [Notification(**row) for row in found]
        ids = [row.alert_id for row in waiting if row.alert_id is not None]
        alerts = {alert.alert_id: alert for alert in self._named(ids)}
        return [(row, alerts.get(row.alert_id) if row.alert_id is not None else None) for row in waiting]

    def notifications(self, alert_id: str) -> list[Notification]:
        """What was, or is still to be, told of an alert, the oldest first."""
        found = rows(
            self._con,
            "SELECT * REPLACE (alert_id::VARCHAR AS alert_id, message_id::VARCHAR AS message_id) "
            "FROM rl.notifications WHERE alert_id = ?::UUID ORDER BY created_at, channel",
            [alert_id],
        )
        return [Notification(**row) for row in found]

    def _named(self, alert_ids: Sequence[str]) -> list[Alert]:
        if not alert_ids:
            return []
        with given(self._con, "named", id=list(alert_ids)):
            return self._alerts(f"WHERE {_NAMED}")

    def claim(self, message_id: str, claimed: Sequence[Notification], at: datetime) -> None:
        """Makes them one message, to be sent now, for the first time or again."""
        self._change(
            claimed, "message_id = $id::UUID, claimed_at = $at, attempts = attempts + 1", {"id": message_id, "at": at}
        )
        # From now on, and not from when it was put here, is counted until it is told again.
        ids = [row.alert_id for row in claimed if row.alert_id is not None and row.event in ("open", "repeat")]
        if ids:
            with given(self._con, "named", id=ids):
                self._con.execute(f"UPDATE rl.alerts SET told_at = ? WHERE told_at < ? AND {_NAMED}", [at, at])

    def dropped(self, gone: Sequence[Notification], at: datetime) -> None:
        """They are not to be told any more."""
        self._change(gone, "dropped_at = $at", {"at": at})

    def delivered(self, message_id: str, at: datetime) -> None:
        self._con.execute(
            "UPDATE rl.notifications SET delivered_at = ?, retry_at = NULL, error = NULL WHERE message_id = ?::UUID",
            [at, message_id],
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

    def last_digest(self, channel: str, before: datetime | None = None) -> datetime | None:
        """When the last digest for a channel was put into the outbox."""
        [(created_at,)] = self._con.execute(
            "SELECT max(created_at) FROM rl.notifications "
            "WHERE channel = $channel AND event = 'digest' AND ($before IS NULL OR created_at < $before)",
            {"channel": channel, "before": before},
        ).fetchall()
        return cast("datetime | None", created_at)

    def told(self, alert_ids: Sequence[str]) -> dict[str, list[str]]:
        """By alert, the channels on which it was, or is still to be, told as open."""
        if not alert_ids:
            return {}
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
                f"WHERE event = 'open' AND {which} AND {_NAMED} GROUP BY alert_id",
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

    def stories(self, alert_ids: Sequence[str], now: datetime) -> dict[str, Story]:
        """By alert, what a message tells of it."""
        return stories(self._con, self._named(alert_ids), now)

    # -- how it is written

    def _insert(self, table: str, added: Sequence[dict[str, Any]]) -> None:
        if added:
            with given(self._con, "added", **_columns(added)):
                self._con.execute(f"INSERT INTO rl.{table} BY NAME FROM added")

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


Row = TypeVar("Row", Alert, Notification, RuleRow, Silence)


def _values(row: Row) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)}


def _columns(rows_: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows_] for name in rows_[0]}


_IDENTITY = ("alert_id", "channel", "event", "created_at")
_NAMED = "alert_id IN (SELECT id::UUID FROM named)"
_ALERT = "* REPLACE (alert_id::VARCHAR AS alert_id, run_key::VARCHAR AS run_key)"
