"""A report that could not be made, or that somebody did not get."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from runlake.alerts.kinds.finding import told
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import ReportFailed
from runlake.config.channels import AnyChannel
from runlake.config.reports import Report
from runlake.formats import instant
from runlake.store.reports import Sending

OVERDUE = timedelta(hours=1)
"""After which one that waits without an error counts as stuck."""


def judge(
    rule: ReportFailed, report: Report, channels: Sequence[AnyChannel], last: Sequence[Sending], now: datetime
) -> Judgement:
    """`last`: of all reports, where they were to go the last time. It is well once all places that it still goes to
    have it; while it is being made, nobody can tell."""
    name, places = report.name, report.places(channels)
    asked = [
        each
        for each in last
        if each.report == name and each.channel in places and (each.error is not None or each.dropped_at is None)
    ]
    lacking = [each for each in asked if each.delivered_at is None]
    failed = [each for each in lacking if each.error is not None]
    late = [each for each in lacking if each.error is None and now - each.created_at > OVERDUE]
    if not lacking:
        why = f"the report of {asked[0].period} has been delivered" if asked else "no report was due yet"
        return _finding(rule, name, Verdict.OK, why, now)
    about = f"the report of {lacking[0].period}"
    since = min(each.created_at for each in lacking)
    if failed:
        given_up = all(each.dropped_at is not None for each in failed)
        are = "was given up for" if given_up else "has not got to"
        why = f"{about} {are} {_places(failed)}: {failed[-1].error}"
    elif late:
        why = f"{about} was due at {told(since)} and has not been made: see the daemon's log"
    else:
        return _finding(rule, name, Verdict.CANNOT_TELL, f"{about} is being made", now)
    facts = {
        "period": lacking[0].period,
        "due_at": instant(since),
        "channels": [each.channel for each in lacking],
        "attempts": max(each.attempts for each in lacking),
    }
    return _finding(rule, name, Verdict.FIRING, why, now, since=since, facts=facts)


def _places(sendings: Sequence[Sending]) -> str:
    return ", ".join(each.place for each in sendings)


def _finding(
    rule: ReportFailed,
    report: str,
    verdict: Verdict,
    why: str,
    now: datetime,
    *,
    since: datetime | None = None,
    facts: dict[str, object] | None = None,
) -> Judgement:
    """By our own clock: it is about no source."""
    return Judgement(
        rule=rule.name, key=report, verdict=verdict, why=why, since=since, seen_through=now, facts=facts or {}
    )
