"""What PagerDuty is sent: an incident for a message's thread, over when all of it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from alerts.receivers import Answer, Recorder, recording
from alerts.sending import channel, message, refused, story
from runlake.alerts.channels import problem, send, takes
from runlake.alerts.message import Event
from runlake.config.alerting import Severity

KEY = "CANARY0123456789abcdef0123456789"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as made:
        yield made


@pytest.fixture
def pagerduty(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PD_KEY", KEY)
    return channel("pagerduty", url=recorder.url, routing_key={"env": "PD_KEY"})


async def test_what_opens_is_an_incident(recorder: Recorder, pagerduty: Any) -> None:
    sent = message(Event.OPEN, story(), story("hourly", run_url="ftp://x"))
    await send(pagerduty, sent)
    (got,) = recorder.messages
    event = got.json
    assert got.path == "/v2/enqueue"
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == (KEY, "trigger", sent.message_id)
    payload = event["payload"]
    assert 0 < len(payload["summary"]) <= 1024
    assert (payload["source"], payload["severity"], payload["class"]) == ("etl", "critical", "failed")
    assert payload["timestamp"] == "2026-07-14T09:10:00Z"
    assert [alert["pipeline"] for alert in payload["custom_details"]["alerts"]] == ["Nightly", "Hourly"]
    assert payload["custom_details"]["alerts"][0]["error"] == "disk full"
    assert event["links"] == [{"href": "https://vendor.example/runs/17?tab=log", "text": "Nightly"}]


@pytest.mark.parametrize("severity", Severity)
async def test_its_severities_are_ours(recorder: Recorder, pagerduty: Any, severity: Severity) -> None:
    await send(pagerduty, message(severity=severity))
    assert recorder.messages[0].json["payload"]["severity"] in {"critical", "error", "warning", "info"}


async def test_a_resolve_ends_the_incident_that_the_first_message_opened(recorder: Recorder, pagerduty: Any) -> None:
    opened = message()
    await send(pagerduty, opened)
    await send(pagerduty, message(Event.RESOLVE, *opened.stories, thread=opened.thread))
    assert [(each.json["event_action"], each.json["dedup_key"]) for each in recorder.messages] == [
        ("trigger", opened.message_id),
        ("resolve", opened.message_id),
    ]


async def test_a_repeat_opens_no_other_incident(recorder: Recorder, pagerduty: Any) -> None:
    opened = message()
    recorder.answers = [Answer(lost=True)]
    assert (await refused(pagerduty, opened)).again
    await send(pagerduty, opened)
    await send(pagerduty, message(Event.REPEAT, *opened.stories, thread=opened.thread))
    assert {key: len(came) for key, came in recorder.by_key.items()} == {f"{opened.message_id} trigger": 3}


def test_it_hears_of_no_part_of_an_end_and_gets_no_digest(pagerduty: Any) -> None:
    assert not takes(pagerduty, Event.RESOLVE, whole=False)
    assert [event for event in Event if not takes(pagerduty, event)] == [Event.DIGEST]
    assert problem(pagerduty) is None


async def test_a_test_leaves_nothing_open(recorder: Recorder, pagerduty: Any) -> None:
    await send(pagerduty, message(Event.TEST))
    assert [each.json["event_action"] for each in recorder.messages] == ["trigger", "resolve"]


async def test_a_thousand_alerts_with_long_errors_are_one_event_of_less_than_512_kb(
    recorder: Recorder, pagerduty: Any
) -> None:
    many = [
        story(f"p{number}" * 50, error="\u7caf" * 100_000, run_url="https://x.example/" + "y" * 400)
        for number in range(1000)
    ]
    await send(pagerduty, message(Event.OPEN, *many))
    (got,) = recorder.messages
    assert len(got.body) < 512 * 1024
    assert got.json["payload"]["custom_details"]["more"] == 975


async def test_the_key_is_not_told(recorder: Recorder, pagerduty: Any) -> None:
    body = b'{"status": "invalid event", "message": "Event object is invalid", "errors": ["%s is unknown"]}'
    recorder.usual = Answer(status=400, body=body % KEY.encode())
    error = await refused(pagerduty, message())
    assert not error.again
    assert str(error) == "its host answers HTTP 400 (Event object is invalid)"
    recorder.usual = Answer(status=400, body=KEY.encode())
    assert "CANARY" not in str(await refused(pagerduty, message()))
