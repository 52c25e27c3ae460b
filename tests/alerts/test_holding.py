"""What holds an alert back from being told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runlake.alerts.holding import Cause, Hold, held_back, is_silenced
from runlake.config.alerting import Maintenance
from runlake.store.alerting import Alert, Silence

NOW = datetime(2026, 7, 13, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def alert(**facts: Any) -> Alert:
    usual: dict[str, Any] = {
        "alert_id": "a",
        "rule": "failed",
        "kind": "failed",
        "key": "etl/p1",
        "state": "firing",
        "severity": "critical",
        "source": "etl",
        "pipeline_id": "p1",
        "pipeline_name": "nightly",
        "since": NOW - HOUR,
        "pending_at": NOW - HOUR,
        "judged_at": NOW,
        "why": "It failed.",
        "facts": {},
    }
    return Alert(**{**usual, **facts})


def silence(**facts: Any) -> Silence:
    usual: dict[str, Any] = {
        "silence_id": "s",
        "reason": "move",
        "created_by": "ann",
        "created_at": NOW - HOUR,
        "until": NOW + HOUR,
    }
    return Silence(**{**usual, **facts})


def holds(alert: Alert, *silences: Silence, at: datetime = NOW, maintenance: str = "", **more: Any) -> list[Hold]:
    windows = [Maintenance.model_validate({"name": "m", "cron": maintenance, **more})] if maintenance else []
    return held_back(alert, silences=silences, maintenance=windows, unseen={"chat"}, now=at)


@pytest.mark.parametrize(
    ("patterns", "silenced"),
    [
        ({}, True),
        ({"rule": "failed"}, True),
        ({"rule": "fail*", "source": "e?l", "pipeline": "night*"}, True),
        ({"pipeline": "p1"}, True),
        ({"rule": "failed", "source": "chat"}, False),
        ({"pipeline": "hourly"}, False),
        ({"rule": "!failed"}, False),
    ],
)
def test_a_silence_is_about_what_matches_all_its_patterns(patterns: dict[str, str], silenced: bool) -> None:
    assert is_silenced(alert(), silence(**patterns)) is silenced


def test_what_is_about_no_pipeline_is_silenced_by_no_pattern_of_pipelines() -> None:
    of_a_query = alert(source=None, pipeline_id=None, pipeline_name=None)
    assert not is_silenced(of_a_query, silence(pipeline="*"))
    assert not is_silenced(of_a_query, silence(source="*"))
    assert is_silenced(of_a_query, silence(rule="*"))


def test_a_silence_holds_from_its_beginning_to_just_before_its_end() -> None:
    own = silence()
    for at, held in ((NOW - 2 * HOUR, []), (own.created_at, [own]), (own.until - HOUR / 60, [own]), (own.until, [])):
        told = [Hold(cause=Cause.SILENCED, by="ann", why="move", until=each.until) for each in held]
        assert holds(alert(), own, at=at) == told


def test_a_maintenance_is_by_the_clocks_of_its_zone() -> None:
    """Pain 48: at 02:00 in Berlin, which is midnight in UTC in summer and 01:00 in winter."""
    for at, until in (
        (datetime(2026, 7, 14, 0, 30, tzinfo=UTC), datetime(2026, 7, 14, 1, tzinfo=UTC)),
        (datetime(2026, 12, 14, 1, 30, tzinfo=UTC), datetime(2026, 12, 14, 2, tzinfo=UTC)),
    ):
        told = holds(alert(), at=at, maintenance="0 2 * * * Europe/Berlin", lasts="1h")
        assert told == [Hold(cause=Cause.MAINTENANCE, why="m", until=until)]
        assert holds(alert(), at=until, maintenance="0 2 * * * Europe/Berlin", lasts="1h") == []


def test_a_maintenance_is_about_its_scope() -> None:
    scopes: list[tuple[dict[str, Any], bool]] = [
        ({"sources": ["etl"]}, True),
        ({"sources": ["chat"]}, False),
        ({"pipelines": ["n*"]}, True),
    ]
    for scope, held in scopes:
        assert bool(holds(alert(), maintenance="0 9 * * * UTC", lasts="1h", **scope)) is held


def test_what_a_source_that_cannot_be_seen_has_is_told_by_one_alert() -> None:
    assert holds(alert(source="chat")) == [Hold(cause=Cause.UNSEEN)]
    assert holds(alert(source="chat", kind="source_unobservable")) == []


def test_what_a_person_did_is_named_first() -> None:
    told = holds(alert(source="chat", flapping=True, acked_at=NOW, acked_by="bob", ack_note="mine"), silence())
    assert [each.cause for each in told] == [Cause.ACKED, Cause.SILENCED, Cause.UNSEEN, Cause.FLAPPING]
    assert (told[0].by, told[0].why) == ("bob", "mine")
