"""What alerting reads and writes: what it sees of the ledger, rules and their episodes, silences, and the outbox."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from runlake.errors import ConfigError
from runlake.store import seen, seen_sources
from runlake.store.books import rows
from runlake.store.episodes import (
    NAMED,
    Alert,
    Notification,
    RuleRow,
    Silence,
    alerts,
    alerts_named,
    values_of,
)
from runlake.store.given import given, insert
from runlake.store.outbox import Outbox
from runlake.store.past import Past
from runlake.store.reports import ReportBooks, Sending
from runlake.store.seen import MOST_RUNS, WINDOW, Key, SeenPipeline, SeenRun, of_pipelines
from runlake.store.seen_sources import Gap, SeenSource, UnknownWord
from runlake.store.stories import Story, stories
from runlake.store.unjudged import LATE_AFTER, unjudge

__all__ = [
    "LATE_AFTER",
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


class AlertBooks(Outbox):
    """Alerting's view of a ledger or of its published copy; what writes needs the ledger and an open transaction."""

    # -- what is judged

    def sources(self) -> dict[str, SeenSource]:
        """All that were ever synced, by name."""
        return seen_sources.sources(self._con)

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
        conditions: Collection[str],
        labels: bool,
    ) -> list[SeenPipeline]:
        """One for each of the keys, with its runs of the WINDOW before `now`.

        `conditions`: predicates on the view `runs`; `SeenRun.holds` has those that hold. `labels`: whether they are
        needed.
        """
        return seen.pipelines(self._con, known, keys, now, conditions=conditions, labels=labels)

    def last_reports(self, by: datetime) -> list[Sending]:
        """Of each report that is made by itself, what became of the last that was due by then."""
        return ReportBooks(self._con).last(by)

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
            for table in ("unjudged", "late_runs", "lookouts"):
                self._con.execute(
                    f"DELETE FROM rl.{table} t USING done d WHERE t.source = d.source AND t.pipeline_id = d.pipeline_id"
                )
        ahead = [(*key, look_at) for key, look_at in lookouts.items() if look_at is not None]
        names = ("source", "pipeline_id", "look_at")
        insert(self._con, "lookouts", [dict(zip(names, row, strict=True)) for row in ahead])

    # -- rules and their episodes

    def rules(self) -> dict[str, RuleRow]:
        """All that ever were in force, by name."""
        return {row["rule"]: RuleRow(**row) for row in rows(self._con, "FROM rl.alert_rules")}

    def keep_rules(self, changed: Sequence[RuleRow]) -> None:
        self._con.execute("DELETE FROM rl.alert_rules WHERE list_contains(?, rule)", [[row.rule for row in changed]])
        insert(self._con, "alert_rules", map(values_of, changed))

    def open_alerts(self) -> list[Alert]:
        """Those that are pending or firing, the oldest first."""
        return alerts(self._con, "WHERE state <> 'resolved' ORDER BY pending_at, alert_id")

    def resolved_since(self, at: datetime) -> list[Alert]:
        """Those that are over since then, the last first."""
        return alerts(self._con, "WHERE resolved_at >= ? ORDER BY resolved_at DESC, alert_id", [at])

    def alert(self, text: str) -> Alert:
        """By its id, or its beginning where that is enough. Raises ConfigError where it names none, or several."""
        found = alerts(self._con, "WHERE starts_with(alert_id::VARCHAR, lower(?)) LIMIT 2", [text]) if text else []
        if not found:
            raise ConfigError(f"there is no alert '{text}'; `runlake alerts list --all` shows their ids")
        if len(found) > 1:
            raise ConfigError(f"'{text}' begins the ids of several alerts; write more of it")
        return found[0]

    def fired_between(self, since: datetime, until: datetime) -> dict[tuple[str, str], int]:
        """By rule and key, how many episodes fired in that time."""
        counts = self._con.execute(
            "SELECT rule, key, count(*) FROM rl.alerts WHERE fired_at BETWEEN ? AND ? GROUP BY ALL", [since, until]
        ).fetchall()
        return {(rule, key): count for rule, key, count in counts}

    def save_alerts(self, changed: Sequence[Alert]) -> None:
        if not changed:
            return
        with given(self._con, "named", id=[alert.alert_id for alert in changed]):
            self._con.execute(f"DELETE FROM rl.alerts WHERE {NAMED}")
        insert(self._con, "alerts", map(values_of, changed))

    def ack(self, alert_id: str, at: datetime, by: str, note: str | None) -> None:
        self._con.execute(
            "UPDATE rl.alerts SET acked_at = ?, acked_by = ?, ack_note = ? WHERE alert_id = ?::UUID",
            [at, by, note, alert_id],
        )

    def stories(self, alert_ids: Sequence[str], now: datetime) -> dict[str, Story]:
        """By alert, what a message tells of it."""
        return stories(self._con, alerts_named(self._con, alert_ids), now)

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
        insert(self._con, "silences", [values_of(silence)])

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
