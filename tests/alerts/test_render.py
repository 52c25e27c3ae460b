"""What people read of alerts: golden texts, and vendors' text that wants to be more than text."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runlake.alerts.message import Event, Message
from runlake.alerts.quoting import LONGEST_LINK, link, quoted
from runlake.alerts.reasons import by_reason
from runlake.alerts.render import LONGEST_TEXT, data, html, text
from runlake.alerts.wording import _HAPPENED, LONGEST_TITLE, title, when
from runlake.config.alerting import AnyRule, Severity
from runlake.formats import json_text
from runlake.store.alerting import Alert, Story

from .histories import drawn

ZURICH = ZoneInfo("Europe/Zurich")
NOW = datetime(2026, 11, 16, 8, 20, tzinfo=UTC)
DOWN = "connection to db-1 refused"


def told(number: int = 0, **changed: Any) -> Story:
    """That the pipeline nightly_load, or another one by number, failed eight minutes ago."""
    fields = {name: changed.pop(name) for name in list(changed) if name in Story.__slots__}
    pipeline_id = f"p{number}"
    alert = Alert(
        alert_id=f"3f2a91bc-0000-4000-8000-{number:012}",
        rule="failed",
        kind="failed",
        key=f"etl/{pipeline_id}",
        state="firing",
        severity="critical",
        since=NOW - timedelta(minutes=8),
        pending_at=NOW - timedelta(minutes=7),
        fired_at=NOW - timedelta(minutes=6),
        judged_at=NOW,
        why="1 run has failed since the last success",
        facts={"streak": 1},
        owner="data",
        source="etl",
        pipeline_id=pipeline_id,
        pipeline_name=f"load_{number}" if number else "nightly_load",
    )
    usual: dict[str, Any] = {"error": DOWN, "observed_through": NOW}
    return Story(alert=replace(alert, **changed), **(usual | fields))


def message(event: Event, *stories: Story, **changed: Any) -> Message:
    usual: dict[str, Any] = {"message_id": "m", "thread": "m", "severity": Severity.CRITICAL, "at": NOW, "zone": ZURICH}
    return Message(event=event, stories=stories, **(usual | changed))


# --- golden ----------------------------------------------------------------------------------------------------------


ONE = told(
    failed_step="load",
    run_id="8812",
    run_url="https://vendor.example/runs/8812?tab=log&x=1",
    vendor_status="errored",
    last_success_at=NOW - timedelta(days=1, hours=6),
    ended_lately=20,
    failed_lately=3,
    observed_through=NOW - timedelta(minutes=1),
)


def test_the_first_two_lines_say_why_and_what_went_wrong() -> None:
    opened = message(Event.OPEN, ONE)
    assert title(opened) == "CRITICAL etl/nightly_load failed"
    assert (
        text(opened)
        == """\
Why: 1 run has failed since the last success
Error: connection to db-1 refused

Since: 09:12 CET, 8 min ago
Step: load
Lately: 3 of 20 runs failed in 7 days
Last success: Sun 15 Nov 03:20 CET
Run: 8812, "errored" in the vendor's words
Link: https://vendor.example/runs/8812?tab=log&x=1
Owner: data
Rule: failed
Seen: everything until 09:19 CET, 1 min ago
More: runlake alerts show 3f2a91bc"""
    )


def test_html_says_the_same_with_a_link_that_can_be_clicked() -> None:
    assert (
        html(message(Event.OPEN, ONE))
        == """\
<div style="border-left:4px solid #b42318;padding-left:12px;font-family:sans-serif;line-height:1.4">
<p><b>Why:</b> 1 run has failed since the last success<br><b>Error:</b> connection to db-1 refused</p>
<p><b>Since:</b> 09:12 CET, 8 min ago<br><b>Step:</b> load<br><b>Lately:</b> 3 of 20 runs failed in 7 days<br>\
<b>Last success:</b> Sun 15 Nov 03:20 CET<br><b>Run:</b> 8812, &quot;errored&quot; in the vendor&#x27;s words<br>\
<b>Link:</b> <a href="https://vendor.example/runs/8812?tab=log&amp;x=1">\
https://vendor.example/runs/8812?tab=log&amp;x=1</a><br><b>Owner:</b> data<br><b>Rule:</b> failed<br>\
<b>Seen:</b> everything until 09:19 CET, 1 min ago<br><b>More:</b> runlake alerts show 3f2a91bc</p>
</div>"""
    )


def test_what_is_unknown_costs_no_line() -> None:
    bare = told(kind="missing", rule="nightly", why="no run since 02:00", owner=None, error=None, observed_through=None)
    opened = message(Event.OPEN, bare, again=True)
    assert title(opened) == "CRITICAL etl/nightly_load did not run when due"
    assert (
        text(opened)
        == """\
Why: no run since 02:00

Since: 09:12 CET, 8 min ago
Rule: nightly
Seen: not everything yet
More: runlake alerts show 3f2a91bc

This may have been sent before."""
    )


def over(number: int = 0, **changed: Any) -> Story:
    ended = {"state": "resolved", "resolved_at": NOW, "since": NOW - timedelta(hours=3, minutes=12)}
    return told(number, **({"resolution": "run 8813 succeeded"} | ended | changed))


def test_a_resolve_says_what_ended_it_and_how_long_it_lasted() -> None:
    resolved = message(Event.RESOLVE, over(run_id="8812", error=None))
    assert title(resolved) == "RESOLVED etl/nightly_load failed"
    assert (
        text(resolved)
        == """\
Over: run 8813 succeeded
It lasted 3 h 12 min, from 06:08 CET to 09:20 CET.

Run: 8812
Owner: data
Rule: failed
Seen: everything until 09:20 CET, 0 s ago
More: runlake alerts show 3f2a91bc"""
    )


def test_what_is_told_late_says_that_it_is_over_by_now() -> None:
    assert text(message(Event.OPEN, over(error=None))).startswith(
        """\
Over: run 8813 succeeded
It lasted 3 h 12 min, from 06:08 CET to 09:20 CET.

Why: 1 run has failed since the last success
"""
    )


def test_a_repetition_says_for_how_long() -> None:
    repeated = message(Event.REPEAT, told(since=NOW - timedelta(days=2, hours=3)))
    assert title(repeated) == "CRITICAL etl/nightly_load failed, still so after 2 d 3 h"
    assert "Since: Sat 14 Nov 06:20 CET, 2 d 3 h ago" in text(repeated)


def test_pain_52_forty_pipelines_that_fail_for_one_reason_are_one_message_that_says_it_once() -> None:
    url = "https://vendor.example/runs/1"
    stories = [
        *(told(n, error=f"load_{n}: disk {n} full", owner="ops", failed_step="write") for n in range(1, 10)),
        *(told(n, run_url=url) for n in range(10, 41)),
    ]
    opened = message(Event.OPEN, *stories)
    assert title(opened) == "CRITICAL 40 pipelines of etl failed"
    assert (
        text(opened)
        == """\
31 of 40: connection to db-1 refused
etl/load_10, etl/load_11, etl/load_12, etl/load_13, etl/load_14, etl/load_15, etl/load_16, etl/load_17, etl/load_18, \
etl/load_19, and 21 more

9 of 40: in step write: …: disk … full
etl/load_1, etl/load_2, etl/load_3, etl/load_4, etl/load_5, etl/load_6, etl/load_7, etl/load_8, etl/load_9

Since: 09:12 CET, 8 min ago
For example: https://vendor.example/runs/1
Owner: data, ops
Rule: failed
Seen: everything until 09:20 CET, 0 s ago
More: runlake alerts list"""
    )
    assert f'<a href="{url}">etl/load_10</a>, <a' in html(opened)


def test_of_many_the_longest_time_and_the_stalest_view_are_told() -> None:
    late = told(1, since=NOW - timedelta(hours=5), observed_through=NOW - timedelta(hours=2))
    repeated = message(Event.REPEAT, told(2), late, told(3))
    assert title(repeated) == "CRITICAL 3 pipelines of etl failed, still so after 5 h"
    assert "Since: 04:20 CET, 5 h ago\n" in text(repeated)
    assert "Seen: everything until 07:20 CET, 2 h ago\n" in text(repeated)
    assert "Seen: not everything yet\n" in text(message(Event.OPEN, late, told(2, observed_through=None)))
    queried = [told(n, kind="sql", source=None, observed_through=None) for n in (1, 2)]
    assert "Seen" not in text(message(Event.OPEN, *queried))


def test_what_ended_many_is_said_once_and_what_goes_on_is_not_hidden() -> None:
    stories = [over(n, resolution=f"run {n} succeeded", failed_step="load") for n in range(1, 4)]
    resolved = message(Event.RESOLVE, *stories, whole=False)
    assert title(resolved) == "RESOLVED 3 pipelines of etl failed"
    assert (
        text(resolved)
        == """\
All 3: run … succeeded
etl/load_1, etl/load_2, etl/load_3

Lasted: up to 3 h 12 min
Still open: others of which the same message told
Owner: data
Rule: failed
Seen: everything until 09:20 CET, 0 s ago
More: runlake alerts list"""
    )


def test_more_reasons_than_can_be_listed_are_counted() -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]
    stories = [told(n, error=word) for n, word in enumerate(words, 1)] + [over(9, error="alpha")]
    said = text(message(Event.OPEN, *stories))
    assert said.startswith("2 of 7: alpha\netl/load_1, etl/load_9\n\n1 of 7: beta\n")
    assert "1 of 7: gamma\netl/load_3\n\nAnd 3 alerts more, for 3 other reasons.\n\n" in said
    assert "Over by now: 1 of 7\n" in said


def test_a_digest_tells_what_is_open_oldest_first_and_apart_what_is_told_nowhere_else() -> None:
    stories = [
        told(1, since=NOW - timedelta(hours=3), severity="warning", kind="too_long", error=None, why="takes 3 h"),
        told(2, since=NOW - timedelta(days=12, hours=3)),
        told(3),
        told(4),
        told(5, since=NOW - timedelta(days=20)),
    ]
    held = {f"3f2a91bc-0000-4000-8000-{n:012}": word for n, word in [(3, "silenced"), (4, "silenced"), (5, "chronic")]}
    digest = message(Event.DIGEST, *stories, held=held, since=NOW - timedelta(days=1), opened=4, resolved=1200)
    assert title(digest) == "Digest: 5 alerts open"
    assert (
        text(digest)
        == """\
5 alerts are open, the oldest for 20 d.
Since Sun 15 Nov 09:20 CET 4 opened and 1,200 were resolved.

12 d 3 h: CRITICAL etl/load_2 failed: connection to db-1 refused
3 h: WARNING etl/load_1 takes too long: takes 3 h

Chronic, 1: etl/load_5
Silenced, 2: etl/load_3, etl/load_4

More: runlake alerts list"""
    )
    assert "And 5 more.\n" in text(message(Event.DIGEST, *map(told, range(15))))
    assert title(message(Event.DIGEST, told())) == "Digest: 1 alert open"


def test_a_test_says_that_it_is_one() -> None:
    test = message(Event.TEST, told(kind="test", why="This is a test of the channel mail."))
    assert (title(test), text(test)) == ("TEST message of runlake", "This is a test of the channel mail.")


# --- titles ----------------------------------------------------------------------------------------------------------


def test_every_kind_of_rule_has_its_words() -> None:
    kinds = {get_args(rule.model_fields["kind"].annotation)[0] for rule in get_args(get_args(AnyRule)[0])}
    assert set(_HAPPENED) == kinds - {"sql"}


@pytest.mark.parametrize(
    ("stories", "said"),
    [
        ([told(kind="sql", rule="late", key="eu/7", source="etl", pipeline_id=None)], "late: eu/7"),
        ([told(n, kind="sql", rule="late", key=f"eu/{n}") for n in (1, 2)], "2 alerts of rule late"),
        ([told(kind="source_unobservable", key="etl", pipeline_id=None)], "etl cannot be seen"),
        (
            [told(kind="source_unobservable", key=s, source=s, pipeline_id=None) for s in ("a", "b")],
            "2 sources cannot be seen",
        ),
        ([told(1), told(2, source="crm", key="crm/p2")], "2 pipelines of 2 sources failed"),
        ([told(1), told(1, rule="slow", kind="too_long")], "2 alerts of etl"),
        ([told(pipeline_name=None)], "etl/p0 failed"),
        ([told(1, kind="missing"), told(2, kind="missing")], "2 pipelines of etl did not run when due"),
    ],
)
def test_a_title_says_what_happened_to_what(stories: Sequence[Story], said: str) -> None:
    assert title(message(Event.OPEN, *stories)) == f"CRITICAL {said}"


def test_a_title_too_long_loses_the_end_of_the_name_not_what_happened() -> None:
    repeated = message(Event.REPEAT, told(pipeline_name="x" * 500, kind="missing"))
    assert len(title(repeated)) == LONGEST_TITLE
    assert title(repeated).endswith("xxx… did not run when due, still so after 8 min")


# --- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instant", "zone", "said"),
    [
        (datetime(2026, 11, 16, 8, 12, tzinfo=UTC), "Europe/Zurich", "09:12 CET"),
        (datetime(2026, 11, 15, 23, 30, tzinfo=UTC), "Europe/Zurich", "00:30 CET"),
        (datetime(2026, 11, 15, 22, 30, tzinfo=UTC), "Europe/Zurich", "Sun 15 Nov 23:30 CET"),
        (datetime(2026, 7, 1, 22, 30, tzinfo=UTC), "Europe/Zurich", "Thu 02 Jul 00:30 CEST"),
        (datetime(2025, 7, 1, 12, 0, tzinfo=UTC), "Europe/Zurich", "01 Jul 2025 14:00 CEST"),
        (datetime(2026, 11, 16, 8, 12, tzinfo=UTC), "America/Sao_Paulo", "05:12 UTC-03"),
        (datetime(2026, 11, 16, 8, 12, tzinfo=UTC), "UTC", "08:12 UTC"),
        (datetime(1, 1, 1, tzinfo=UTC), "America/New_York", "01 Jan 1 00:00 UTC"),
    ],
)
def test_pain_51_times_are_those_of_the_readers_zone_and_say_which(instant: datetime, zone: str, said: str) -> None:
    assert when(instant, NOW, ZoneInfo(zone)).replace(" 0001 ", " 1 ") == said


# --- hostile ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hostile", "safe"),
    [
        ("@channel", "@·channel"),
        ("<!everyone> <@U1>", "<·!everyone> <·@·U1>"),
        ("a\u200b@\u200deveryone", "a@·\u200deveryone"),
        ("[pay here](https://evil.example)", "[pay here]·(https://evil.example)"),
        ("```\nswallow", "`·`·` swallow"),
        ("||hidden||", "|·|hidden|·|"),
        ("two\r\nSubject: lines", "two Subject: lines"),
        ("\x1b[31mred\x1b[0m abc\u202egpj.exe", "red abcgpj.exe"),
        ("x < y and `z`", "x < y and `z`"),
        ("long " * 100, "long " * 39 + "long…"),
    ],
)
def test_words_keep_their_looks_and_lose_their_power(hostile: str, safe: str) -> None:
    assert quoted(hostile, 200).replace("\u200b", "·") == safe


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://vendor.example/dags/a b", None),
        ("https://vendor.example/r?id=manual__2026-01-01T00:00:00+00:00&x=%2F#log", "same"),
        ("http://[::1]:8080/x", "same"),
        ("https://vendor.example/@everyone/<b>/(x)", "https://vendor.example/%40everyone/%3Cb%3E/%28x%29"),
        ("https://vendor.example/straße", "https://vendor.example/stra%C3%9Fe"),
        ("https://vendor.example/100%/%zz/%41", "https://vendor.example/100%25/%25zz/%41"),
        ("javascript:alert(1)", None),
        ("JAVASCRIPT:alert(1)//https://vendor.example", None),
        ("data:text/html,<script>", None),
        ("https://vendor.example@evil.example/", None),
        ("https://vendor.example\\@evil.example/", None),
        ("https://vendor.example\n.evil.example/", None),
        ("ht\ntps://vendor.example/", None),
        ("https:///path", None),
        ("//vendor.example/x", None),
        ("http://[::1", None),
        ("https://vendor.example/" + "x" * LONGEST_LINK, None),
        ("https://vendor.example/" + "ß" * 200, None),
        ("", None),
        (None, None),
    ],
)
def test_only_an_honest_web_address_is_a_link(url: str | None, safe: str | None) -> None:
    assert link(url) == (url if safe == "same" else safe)


class Tags(HTMLParser):
    """The tags with their attributes, less where links lead; and where those lead."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", ()))


BITS = [
    *(
        "<script>alert(1)</script>",
        "<a href='javascript:x'>",
        "</p></div>",
        '"><img src=x onerror=x>',
        "<!--",
        "]]>",
        "&lt;",
    ),
    *(
        "@channel",
        "<!everyone>",
        "<@U1>",
        "@everyone",
        "[a](http://e)",
        "```",
        "||",
        "**",
        "\x1b[2J",
        "\x1b]8;;http://e\x07",
    ),
    *(
        "\u202e",
        "\u2066",
        "\u2028",
        "\x00",
        "\x85",
        "\r\nBcc: x",
        "\ud800",
        "\U000e0041",
        "javascript:",
        "https://v/",
        "x" * 5000,
    ),
]
hostile = st.lists(st.sampled_from(BITS) | st.text(max_size=20), min_size=1, max_size=6).map("".join)


@given(
    words=st.lists(hostile, min_size=9, max_size=9),
    more=st.lists(hostile, min_size=1, max_size=6),
    event=st.sampled_from([Event.OPEN, Event.REPEAT, Event.RESOLVE, Event.DIGEST]),
    count=st.sampled_from([1, 2, 5, 30]),
    kind=st.sampled_from([*_HAPPENED, "sql"]),
)
@drawn(300)
def test_whatever_vendors_say_is_text_bounded_and_on_its_line(
    words: list[str], more: list[str], event: Event, count: int, kind: str
) -> None:
    name, why, step, run_id, status, owner, url, resolution, source = words

    def stories(plain: bool) -> list[Story]:
        """The same in plain words: as many reasons, as many names."""
        return [
            told(
                n,
                kind=kind,
                source="etl" if plain else source,
                key=f"etl/p{n}" if plain else f"{source}/p{n}",
                pipeline_name="name" if plain else name,
                why="why" if plain else why,
                resolution="over" if plain else resolution,
                owner="me" if plain else owner,
                state="resolved" if event is Event.RESOLVE else "firing",
                error=None if plain else more[n % len(more)],
                failed_step=None if plain else step,
                run_id=None if plain else run_id,
                vendor_status=None if plain else status,
                run_url=None if plain else url,
                ended_lately=0 if plain else 10**6,
                last_success_at=None if plain else NOW - timedelta(days=400),
            )
            for n in range(count)
        ]

    made = message(event, *stories(plain=False), again=True, whole=False, since=NOW)
    shown, formatted, line = text(made), html(made), title(made)
    assert len(line) <= LONGEST_TITLE
    assert len(shown) <= LONGEST_TEXT
    for said in (line, shown.replace("\n", " "), formatted.replace("\n", " ")):
        assert not [
            c for c in said if c not in "\u200b\u200d" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        ]
        for ping in ("@channel", "@everyone", "<!everyone", "<@", "](", "```", "||"):
            assert ping not in said
    lines = formatted.count("<br>") + 2 * formatted.count("<p>") - 1  # an empty one between paragraphs
    assert len(shown.splitlines()) == shown.count("\n") + 1 == lines
    parsed = Tags(formatted)
    assert {tag for tag, _ in parsed.tags} <= {"div", "/div", "p", "/p", "br", "b", "/b", "a", "/a"}
    assert {names for _, names in parsed.tags} <= {(), ("style",), ("href",)}
    assert all(link(each) == each for each in parsed.links)
    assert json.loads(json_text(data(made)).encode())["alerts"][0]["why"] == why


@pytest.mark.parametrize("event", [Event.OPEN, Event.REPEAT, Event.RESOLVE, Event.DIGEST])
@pytest.mark.parametrize("count", [1, 999])
def test_the_longest_text_is_short_enough(event: Event, count: int) -> None:
    words = "@<x](" * 999
    causes = ["alpha", "beta", "gamma", "delta"]
    stories = [
        told(
            n,
            pipeline_name=words,
            why=words,
            error=causes[n % 4] + words,
            failed_step=words,
            run_id=words,
            run_url="https://vendor.example/".ljust(LONGEST_LINK, "x"),
            vendor_status=words,
            owner=f"{n}{words}",
            rule=f"{n % 9}{words}",
            since=NOW - timedelta(days=900, hours=3),
            last_success_at=NOW - timedelta(days=900),
            observed_through=NOW - timedelta(days=900, hours=2),
            ended_lately=10**6,
            failed_lately=10**6,
            resolution=causes[n % 4] + words,
            resolved_at=NOW - timedelta(days=400),
        )
        for n in range(count)
    ]
    held = {story.alert.alert_id: f"held by {n % 6}" for n, story in enumerate(stories[20:])}
    made = message(event, *stories, held=held, again=True, whole=False, since=NOW - timedelta(days=900))
    assert len(text(made)) <= LONGEST_TEXT


# --- reasons ---------------------------------------------------------------------------------------------------------


def test_errors_that_differ_in_numbers_ids_and_their_own_names_are_one_reason() -> None:
    errors = [
        "p{n} (run {n}) of load_{n}: task 4{n}1 died, request 0f8fad5b-d9cb-469f-a165-7086772895{n}{n}",
        "no table orders",
        "no table items",
    ]
    stories = [told(n, error=errors[0].format(n=n)) for n in (1, 2, 3)]
    stories += [told(4, error=errors[1]), told(5, error=errors[2]), told(6, error="  no\ttable  items ")]
    assert [(each.text, len(each.stories)) for each in by_reason(stories)] == [
        ("… (run …) of …: task … died, request …", 3),
        ("no table items", 2),
        ("no table orders", 1),
    ]


def test_an_instant_or_an_address_in_which_reasons_differ_is_one_blank() -> None:
    error = "10.0.0.{n}:54{n}2 refused at 2026-07-14 0{n}:31 UTC, and at 2026-07-15T0{n}:31:00+00:00"
    stories = [told(n, error=error.format(n=n)) for n in (1, 2)]
    assert [each.text for each in by_reason(stories)] == ["… refused at … UTC, and at …T…"]


def test_what_was_over_before_its_message_was_taken_is_not_told_as_if_it_were_open() -> None:
    over, open_ = told(1, state="resolved", resolved_at=NOW, resolution="run 9 succeeded"), told(2)
    assert title(message(Event.OPEN, over)).endswith("failed, over by now")
    assert not title(message(Event.OPEN, over, open_)).endswith("over by now")


@pytest.mark.parametrize("event", [Event.OPEN, Event.RESOLVE])
def test_the_last_message_of_what_flaps_says_that_no_more_will_come(event: Event) -> None:
    calm, flapping = told(1), told(2, flapping=True)
    assert "Flapping" not in text(message(event, calm)) + text(message(event, calm, calm))
    more = "until that is over, only the digest tells more"
    assert f"\nFlapping: it comes and goes; {more}\n" in text(message(event, flapping))
    assert f"\nFlapping: 1 of 2 come and go; {more}\n" in text(message(event, calm, flapping))


def test_a_thousand_long_errors_take_no_time() -> None:
    stories = [told(n, error="a1" + "b" * 4000 + str(n), pipeline_name="x" * 200) for n in range(1000)]
    assert len(text(message(Event.OPEN, *stories))) < LONGEST_TEXT
