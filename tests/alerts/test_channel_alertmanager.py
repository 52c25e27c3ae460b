"""What Alertmanager is sent: each alert by labels that stay as they are, and when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from alerts.receivers import Answer, Recorder, recording
from alerts.sending import AT, channel, message, refused, story
from runlake.alerts.channels import problem, send, takes
from runlake.alerts.message import Event


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as made:
        yield made


@pytest.fixture
def alertmanager(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AM_TOKEN", "CANARY-token")
    return channel("alertmanager", url=f"{recorder.url}/am/", token={"env": "AM_TOKEN"})


async def test_each_alert_is_one_of_its_own(recorder: Recorder, alertmanager: Any) -> None:
    first, second = story(), story("hourly", owner=None, run_url=None)
    await send(alertmanager, message(Event.OPEN, first, second))
    (got,) = recorder.messages
    assert got.path == "/am/api/v2/alerts"
    assert got.headers["authorization"] == "Bearer CANARY-token"
    one, other = got.json
    assert one["labels"] == {
        "alertname": "failed",
        "alert_id": first.alert.alert_id,
        "kind": "failed",
        "severity": "critical",
        "owner": "data",
        "source": "etl",
        "pipeline": "nightly",
    }
    assert one["annotations"]["summary"] == "the last run failed"
    assert one["annotations"]["error"] == "disk full"
    assert one["annotations"]["pipeline_name"] == "Nightly"
    assert one["generatorURL"] == "https://vendor.example/runs/17?tab=log"
    assert one["startsAt"] == "2026-07-14T09:10:00Z"
    assert "owner" not in other["labels"]
    assert "generatorURL" not in other


async def test_what_is_open_has_its_end_far_off_and_what_is_over_a_past_one(
    recorder: Recorder, alertmanager: Any
) -> None:
    """Without an end Alertmanager would hold it to be over after five minutes."""
    about = story()
    await send(alertmanager, message(Event.OPEN, about))
    await send(alertmanager, message(Event.RESOLVE, about))
    (opened,), (over,) = (each.json for each in recorder.messages)
    assert datetime.fromisoformat(opened["endsAt"]) > AT + timedelta(days=300)
    assert datetime.fromisoformat(over["endsAt"]) == AT
    assert opened["labels"] == over["labels"], "other labels would be another alert"


async def test_no_end_is_before_the_beginning(recorder: Recorder, alertmanager: Any) -> None:
    """It would be refused; a vendor's clock may be ahead of ours."""
    await send(alertmanager, message(Event.RESOLVE, story(since=AT + timedelta(hours=1))))
    (over,) = recorder.messages[0].json
    assert over["startsAt"] == over["endsAt"]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://vendor.example/%zz", "https://a b", "not one"])
async def test_a_link_that_is_none_costs_no_alert(recorder: Recorder, alertmanager: Any, url: str) -> None:
    """Alertmanager refuses a whole request for an address that Go cannot parse."""
    await send(alertmanager, message(Event.OPEN, story(run_url=url)))
    page = recorder.messages[0].json[0].get("generatorURL")
    assert page in (None, "https://vendor.example/%25zz")


async def test_it_may_arrive_twice(recorder: Recorder, alertmanager: Any) -> None:
    recorder.answers = [Answer(status=503)]
    sent = message()
    assert (await refused(alertmanager, sent)).again
    await send(alertmanager, sent)
    assert recorder.messages[0].body == recorder.messages[1].body
    assert [len(came) for came in recorder.by_key.values()] == [2]


async def test_a_test_is_soon_over(recorder: Recorder, alertmanager: Any) -> None:
    await send(alertmanager, message(Event.TEST))
    assert recorder.messages[0].json[0]["endsAt"] == "2026-07-14T09:35:00Z"


async def test_the_token_is_not_told(recorder: Recorder, alertmanager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.usual = Answer(status=401, body=b"CANARY-token is not allowed")
    error = await refused(alertmanager, message())
    assert str(error) == "its host answers HTTP 401 ([secret] is not allowed)"
    monkeypatch.delenv("AM_TOKEN")
    fresh = channel("alertmanager", url=recorder.url, token={"env": "AM_TOKEN"})
    assert "AM_TOKEN is not set" in (problem(fresh) or "")


def test_it_needs_no_digest(alertmanager: Any) -> None:
    assert problem(alertmanager) is None
    assert [event for event in Event if not takes(alertmanager, event)] == [Event.DIGEST]
