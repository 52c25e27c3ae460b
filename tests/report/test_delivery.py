"""Reports on their way: when they are made, what each place gets, and what becomes of them whatever happens."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from alerts.receivers import Answer, Mailbox, Recorder, receiving_mail, recording
from report import samples
from runlake.alerts import channels
from runlake.alerts.backtest import rule_named
from runlake.alerts.evaluate import evaluate
from runlake.cli.doctor.channels import of_reports
from runlake.config import Config
from runlake.errors import ConfigError, DeliveryError, StoreError
from runlake.report import rendering
from runlake.report.brief import LONGEST_TEXT, brief, subject
from runlake.report.delivery import STORED, Done, deliver
from runlake.report.formats import Mail
from runlake.report.model import Direction, Report
from runlake.report.rendering import Asked, Rendered
from runlake.store import Store
from runlake.store.query import Reader
from runlake.store.reports import Sending

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

MONDAY = datetime(2026, 11, 23, 6, tzinfo=UTC)
"""07:00 in Berlin, of the Monday after 2026-W47."""

MADE = Rendered(
    subject="Runs of 2026-W47: worse, 92.1 % (96.0 %)",
    brief="Worse. Two pipelines fail.",
    mail=Mail('<p>Worse <img src="cid:days"></p>', "Worse, in 80 columns", [("days", b"\x89PNG")]),
    page="<!doctype html>\n<p>Worse</p>\n",
    data={"title": "Runs of 2026-W47"},
)


@dataclass
class World:
    """A ledger, receivers for each kind of channel, and a clock that the test moves."""

    folder: Path
    store: Store
    mailbox: Mailbox
    hook: Recorder
    chat: Recorder
    now: datetime
    tables: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    published: list[datetime] = field(default_factory=list)
    broken: str | None = None
    """Why no report can be made, where none can."""

    @property
    def config(self) -> Config:
        weekly = {"name": "weekly", "cron": "0 7 * * mon Europe/Berlin", "channels": ["mail", "hook", "chat"]}
        url = {name: {"file": str(self.folder / name)} for name in ("mail", "hook", "chat")}
        people = {"sender": "runlake@acme.example", "to": ["ann@acme.example", "bob@acme.example"]}
        tables = {
            "channel": [
                {"name": "mail", "kind": "mail", "url": url["mail"], **people},
                {"name": "hook", "kind": "webhook", "url": url["hook"]},
                {"name": "chat", "kind": "apprise", "url": url["chat"]},
            ],
            "report": [weekly | {"folder": str(self.folder / "reports")}],
        }
        return Config.model_validate(tables | self.tables)

    async def go(self, at: datetime | None = None) -> Done:
        self.now = at or self.now
        return await deliver(self.store, self.config, lambda: self.now, self.publish, self.render)

    async def publish(self, known_at: datetime) -> None:
        self.published.append(known_at)

    async def render(self, asked: Asked) -> Rendered:
        self.asked.append(asked)
        if self.broken is not None:
            raise DeliveryError(self.broken, again=True)
        return MADE

    async def rows(self) -> list[Sending]:
        return await self.store.reports(lambda books: books.last(self.now))

    async def states(self) -> dict[str, tuple[bool, bool, int]]:
        """By place: delivered, dropped, attempts."""
        rows = await self.rows()
        return {
            row.channel or "folder": (row.delivered_at is not None, row.dropped_at is not None, row.attempts)
            for row in rows
        }


@asynccontextmanager
async def world(folder: Path, **tables: Any) -> AsyncIterator[World]:
    """Known since Wednesday, so that the first report is that of the next Monday."""
    with receiving_mail() as mailbox, recording() as hook, recording() as chat:
        chat.usual = Answer(status=200)
        (folder / "mail").write_text(f"smtp://127.0.0.1:{mailbox.port}")
        (folder / "hook").write_text(hook.url)
        (folder / "chat").write_text(chat.url.replace("http", "json", 1))
        async with Store(folder / "runlake.duckdb") as store:
            made = World(folder, store, mailbox, hook, chat, MONDAY - 5 * DAY, tables)
            first = await made.go()
            assert not first.delivered and not first.failures and not made.asked
            yield made


# --- when ------------------------------------------------------------------------------------------------------------


async def test_a_new_report_waits_for_its_first_tick_and_comes_once(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        assert (await ours.go(MONDAY - MINUTE)).next_at == MONDAY
        assert ours.asked == []
        done = await ours.go(MONDAY)
        assert sorted(done.delivered) == [("weekly", place) for place in ("chat", "hook", "its folder", "mail")]
        assert done.next_at == MONDAY + 7 * DAY
        [asked] = ours.asked
        assert (asked.period.name, asked.period.zone.key) == ("2026-W47", "Europe/Berlin")
        assert asked.period.known_at == datetime(2026, 11, 23, 5, tzinfo=UTC), "six hours after the week's end"
        assert ours.published == [asked.period.known_at + STORED]
        assert not (await ours.go(MONDAY + MINUTE)).delivered
        await ours.go(MONDAY + 7 * DAY)
        assert [each.period.name for each in ours.asked] == ["2026-W47", "2026-W48"]


async def test_one_that_says_what_is_known_now_waits_until_that_is_stored(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        weekly = ours.config.report[0].model_dump(mode="json")
        ours.tables["report"] = [weekly | {"cron": "0 6 * * mon Europe/Berlin"}]
        due = MONDAY - HOUR
        assert (await ours.go(due)).next_at == due + STORED
        assert not (await ours.go(due + STORED - MINUTE)).delivered
        assert len((await ours.go(due + STORED)).delivered) == 4
        assert (ours.asked[0].period.known_at, ours.published) == (due, [due + STORED])


async def test_of_missed_ticks_the_last_is_made_up_for(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        late = MONDAY + 15 * DAY
        assert (await ours.go(late)).next_at == MONDAY + 21 * DAY
        assert [each.period.name for each in ours.asked] == ["2026-W49"]
        assert ours.asked[0].period.known_at < late - DAY, "as known when it was due"


async def test_a_week_is_reported_once_however_often_the_cron_ticks_and_whichever_zone_it_has(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        weekly = ours.config.report[0].model_dump(mode="json")
        for cron, at in (
            ("30 2 * * * Europe/Berlin", MONDAY - 4 * HOUR), ("30 2 * * * Europe/Berlin", MONDAY + DAY),
            ("0 8 * * * America/Lima", MONDAY + 2 * DAY), ("0 8 * * * Asia/Tokyo", MONDAY + 3 * DAY),
        ):  # fmt: skip
            ours.tables["report"] = [weekly | {"cron": cron}]
            await ours.go(at)
        [asked] = ours.asked
        assert asked.period.known_at == datetime(2026, 11, 23, 1, 30, tzinfo=UTC), "no later than when it was due"


async def test_a_clock_that_was_ahead_costs_no_second_report(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        await ours.go(MONDAY + 7 * DAY)
        assert {row.period for row in await ours.rows()} == {"2026-W48"}
        await ours.go(MONDAY + DAY)
        assert {row.period for row in await ours.rows()} == {"2026-W47"}, "which the clock had left out"
        assert not (await ours.go(MONDAY + 7 * DAY - MINUTE)).delivered
        assert not (await ours.go(MONDAY + 8 * DAY)).delivered
        assert [each.period.name for each in ours.asked] == ["2026-W48", "2026-W47"]


async def test_a_clock_that_was_a_year_ahead_silences_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        with patch.object(ours, "render", _dying), pytest.raises(Killed):
            await ours.go(MONDAY + 364 * DAY)
        done = await ours.go(MONDAY)
        assert [asked.period.name for asked in ours.asked] == ["2026-W47"], "and not that of next year"
        assert (len(done.delivered), done.next_at) == (4, MONDAY + 7 * DAY)
        assert len((await ours.go(MONDAY + 7 * DAY)).delivered) == 4


async def test_each_team_gets_its_own(tmp_path: Path) -> None:
    teams = [
        {"name": name, "cron": "0 7 * * mon UTC", "channels": ["hook"], "owners": [name]} for name in ("data", "web")
    ]
    async with world(tmp_path, report=teams, owner=[{"name": "data"}, {"name": "web"}]) as ours:
        await ours.go(MONDAY + HOUR)
        assert [asked.scope.owners for asked in ours.asked] == [["data"], ["web"]]
        assert [message.json["name"] for message in ours.hook.messages] == ["data", "web"]


# --- what each place gets --------------------------------------------------------------------------------------------


async def test_each_place_gets_what_it_can_show(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        await ours.go(MONDAY)
        rows = {row.channel: row for row in await ours.rows()}
    (mail,) = ours.mailbox.mails
    assert mail["Subject"] == MADE.subject
    assert mail["Message-ID"] == f"<{rows['mail'].message_id}@acme.example>"
    assert mail["References"] == "<report-weekly@acme.example>", "all of them are a thread"
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip
    plain = mail.get_body(("plain",))
    assert plain is not None and plain.get_content().split("\r\n") == ["Worse, in 80 columns", ""]
    (hook,), (chat,) = ours.hook.messages, ours.chat.messages
    assert hook.headers["webhook-id"] == rows["hook"].message_id
    told = {"event": "report", "name": "weekly", "title": MADE.subject, "text": MADE.brief, "report": MADE.data}
    assert hook.json.items() >= (told | {"version": 1, "again": False, "thread": "report-weekly"}).items()
    assert (chat.json["title"], chat.json["message"]) == (MADE.subject, MADE.brief)
    assert [file.name for file in (tmp_path / "reports").iterdir()] == ["weekly-2026-W47.html"]
    assert (tmp_path / "reports/weekly-2026-W47.html").read_text() == MADE.page


def test_a_subject_says_the_verdict_with_the_rate_of_both_weeks() -> None:
    report = samples.rich()
    assert ": worse" in subject(replace(report, direction=Direction.WORSE))
    unknown = subject(replace(report, direction=Direction.UNKNOWN, figures=()))
    assert unknown == report.title


def test_a_brief_says_first_how_it_was() -> None:
    report = samples.rich()
    told = brief(report)
    assert told.split("\n")[0].endswith(report.verdict)
    assert all(f"{number}. " in told for number in range(1, len(report.look_at) + 1))
    assert brief(samples.empty())


async def test_no_vendor_writes_a_subject_of_two_lines_or_calls_everybody(tmp_path: Path) -> None:
    hostile = "nightly\r\nBcc: all@acme.example\r\n\r\n<script>x</script> @everyone \x1b[31m\u202e" + "x" * 5000
    report: Report = samples.everywhere(samples.rich(), lambda _: hostile, "javascript:alert(1)")
    one, told = subject(report), brief(report)
    assert "\n" not in one and "\r" not in one and len(one) <= 120
    assert len(told) <= LONGEST_TEXT and "@everyone" not in told and "\x1b" not in told and "javascript" not in told
    async with world(tmp_path) as ours:
        with patch.object(ours, "render", _rendering(replace(MADE, subject=one + "\ud800", brief=told))):
            await ours.go(MONDAY)
    (mail,) = ours.mailbox.mails
    assert mail["Bcc"] is None and mail["Subject"].startswith(one[:20])


def _rendering(made: Rendered) -> Any:
    async def render(asked: Asked) -> Rendered:
        return made

    return render


# --- what can happen to them -----------------------------------------------------------------------------------------


class Killed(BaseException):
    """As by kill -9: nothing after it is done."""


@contextmanager
def dying(fatal: int, passed: list[str]) -> Iterator[None]:
    """At the `fatal`-th of the points at which a process may die: before each commit, before and after each message."""
    committing, conveying, writing = Store._transaction, channels.convey, Path.write_text

    def reached(name: str) -> None:
        passed.append(name)
        if len(passed) == fatal:
            raise Killed

    async def transaction(store: Store, work: Any, *, keep: bool = True) -> Any:
        def whole(con: Any) -> Any:
            done = work(con)
            reached("before a commit")
            return done

        return await committing(store, whole, keep=keep)

    async def convey(*message: Any) -> None:
        reached("before a message")
        await conveying(*message)
        reached("after a message")

    def write_text(path: Path, text: str, *rest: Any, **more: Any) -> int:
        writing(path, text[: len(text) // 2], *rest, **more)
        reached("in the middle of a file")
        return writing(path, text, *rest, **more)

    with ExitStack() as stack:
        stack.enter_context(patch.object(Store, "_transaction", transaction))
        stack.enter_context(patch.object(channels, "convey", convey))
        stack.enter_context(patch.object(Path, "write_text", write_text))
        yield


async def _dying(asked: Asked) -> Rendered:
    raise Killed


async def test_wherever_it_is_killed_each_place_gets_it_once_by_its_id(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        for week in range(1, 30):
            at, passed = MONDAY + week * 7 * DAY, list[str]()
            for received in (ours.mailbox.mails, ours.hook.messages, ours.chat.messages):
                received.clear()
            killed = False
            with dying(week, passed):
                try:
                    await ours.go(at)
                except Killed:
                    killed = True
            if not killed:
                break
            done = await ours.go(at + MINUTE)
            ids = {mail["Message-ID"] for mail in ours.mailbox.mails}
            hooks = {message.headers["webhook-id"] for message in ours.hook.messages}
            assert (len(ids), len(hooks)) == (1, 1), passed
            assert len(ours.mailbox.mails) <= 2 and len(ours.hook.messages) <= 2 and 1 <= len(ours.chat.messages) <= 2
            told = [message.json["again"] for message in ours.hook.messages]
            assert told in ([False], [True], [False, True]), "who gets it twice is told so"
            assert "may have been sent before" in ours.chat.messages[-1].json["message"] or len(ours.chat.messages) == 1
            assert len(ours.mailbox.mails) + len(ours.hook.messages) + len(ours.chat.messages) <= 4, "one at a time"
            [newest] = [
                f for f in (tmp_path / "reports").iterdir() if f.name == f"weekly-{ours.asked[-1].period.name}.html"
            ]
            assert newest.read_text() == MADE.page
            assert all(delivered for delivered, _, _ in (await ours.states()).values()), (done, passed)
        else:
            pytest.fail("there are more points than were tried")
        assert passed.count("after a message") == 3
        assert passed.count("before a commit") >= 1 + 4


async def test_what_is_not_taken_is_tried_again_and_keeps_nobody_else_from_theirs(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        ours.mailbox.refusal = "451 the disk is full"
        done = await ours.go(MONDAY)
        assert done.failures == {("weekly", "mail"): "its server answers 451 (the disk is full)"}
        assert len(done.delivered) == 3
        assert done.next_at == MONDAY + timedelta(seconds=10)
        assert not (await ours.go(MONDAY + timedelta(seconds=9))).failures, "not before that"
        assert (await ours.go(MONDAY + timedelta(seconds=10))).next_at == MONDAY + timedelta(seconds=30)
        ours.mailbox.refusal = None
        done = await ours.go(MONDAY + timedelta(seconds=30))
        assert done.delivered == [("weekly", "mail")]
        assert (len(ours.mailbox.mails), len(ours.hook.messages), len(ours.chat.messages)) == (1, 1, 1)
        assert ours.asked[0] == ours.asked[1], "it is the same report"


async def test_it_is_given_up_after_a_day_and_the_next_one_comes(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        ours.broken = "it was not made within 120 s"
        for at in (MONDAY, MONDAY + MINUTE, MONDAY + DAY - MINUTE):
            done = await ours.go(at)
            assert len(done.failures) == 4 and done.next_at is not None
            assert done.next_at - at <= timedelta(minutes=15)
        assert (await ours.go(MONDAY + DAY)).next_at is not None
        done = await ours.go(MONDAY + DAY + HOUR)
        assert (done.failures, done.next_at) == ({}, MONDAY + 7 * DAY)
        assert {state[:2] for state in (await ours.states()).values()} == {(False, True)}
        ours.broken = None
        assert len((await ours.go(MONDAY + 7 * DAY)).delivered) == 4


async def test_no_copy_is_a_reason_to_try_again(tmp_path: Path) -> None:
    async def refused(known_at: datetime) -> None:
        raise StoreError("the disk is full")

    async with world(tmp_path) as ours:
        with patch.object(ours, "publish", refused):
            done = await ours.go(MONDAY)
        assert set(done.failures.values()) == {"there is no copy of the ledger for it: the disk is full"}
        assert len((await ours.go(MONDAY + MINUTE)).delivered) == 4


async def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        (tmp_path / "reports").write_text("a file")
        done = await ours.go(MONDAY)
        assert list(done.failures) == [("weekly", "its folder")]
        assert f"cannot write {tmp_path}/reports/weekly-2026-W47.html" in done.failures["weekly", "its folder"]


async def test_a_recipient_who_is_refused_keeps_it_from_nobody_else(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        ours.mailbox.refused = {"bob@acme.example": "550 no such user"}
        done = await ours.go(MONDAY)
        assert ("weekly", "mail") in done.delivered
        [row] = [row for row in await ours.rows() if row.channel == "mail"]
        assert row.delivered_at is not None and row.error is not None
        assert "1 of 2 recipients did not get it: bob@acme.example: 550" in row.error
        assert not (await ours.go(MONDAY + DAY)).delivered


async def test_what_the_config_no_longer_has_is_not_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        ours.broken = "no"
        await ours.go(MONDAY)
        weekly = ours.config.report[0].model_dump(mode="json")
        ours.tables["report"] = [weekly | {"channels": ["hook"]}]
        ours.broken = None
        assert sorted((await ours.go(MONDAY + MINUTE)).delivered) == [("weekly", "hook"), ("weekly", "its folder")]
        assert (await ours.states())["mail"][:2] == (False, True)
        ours.tables["report"] = []
        assert (await ours.go(MONDAY + 7 * DAY)).next_at is None


# --- the alert -------------------------------------------------------------------------------------------------------


async def test_a_report_that_is_not_delivered_is_an_alert_until_one_is(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:

        async def firing() -> list[str]:
            await ours.store.alerting(lambda books: evaluate(books, ours.config, ours.now))
            alerts = await ours.store.alerting(lambda books: books.open_alerts())
            return [alert.why for alert in alerts if alert.state == "firing"]

        assert await firing() == []
        ours.mailbox.refusal = "554 no"
        await ours.go(MONDAY)
        assert await firing() == [], "another try may mend it"
        ours.now = MONDAY + 15 * MINUTE
        why = "the report of 2026-W47 has not got to mail: its server answers 554 (no)"
        assert await firing() == [why]
        await ours.go(MONDAY + DAY + MINUTE)
        assert await firing() == [why.replace("has not got to", "was given up for")]
        ours.now = MONDAY + 7 * DAY
        assert len(await firing()) == 1, "until somebody has one"
        ours.mailbox.refusal = None
        await ours.go(MONDAY + 7 * DAY)
        assert await firing() == []
        [over] = await ours.store.alerting(lambda books: books.resolved_since(MONDAY))
        assert over.resolution == "the report of 2026-W48 has been delivered"


@pytest.mark.parametrize("later", [MINUTE, DAY + HOUR])
async def test_a_place_that_it_no_longer_goes_to_is_no_reason_for_an_alert(tmp_path: Path, later: timedelta) -> None:
    """Neither while it is tried again nor once it has been given up."""
    async with world(tmp_path) as ours:
        ours.mailbox.refusal = "554 no"
        await ours.go(MONDAY)
        await ours.go(MONDAY + later)
        ours.now += HOUR
        await ours.store.alerting(lambda books: evaluate(books, ours.config, ours.now))
        [alert] = await ours.store.alerting(lambda books: books.open_alerts())
        assert alert.state == "firing"
        ours.tables["report"] = [ours.config.report[0].model_dump(mode="json") | {"channels": ["hook"]}]
        await ours.store.alerting(lambda books: evaluate(books, ours.config, ours.now))
        [over] = await ours.store.alerting(lambda books: books.resolved_since(MONDAY))
        assert over.resolution == "the report of 2026-W47 has been delivered"


async def test_one_that_is_stuck_is_an_alert_and_one_that_is_let_go_is_none(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        with patch.object(ours, "render", _dying), pytest.raises(Killed):
            await ours.go(MONDAY)
        ours.now = MONDAY + 2 * HOUR
        await ours.store.alerting(lambda books: evaluate(books, ours.config, ours.now))
        [alert] = await ours.store.alerting(lambda books: books.open_alerts())
        assert (alert.state, alert.key) == ("firing", "weekly")
        assert "was due at 2026-11-23 06:00 UTC and has not been made" in alert.why
        ours.tables["report"] = []
        await ours.store.alerting(lambda books: evaluate(books, ours.config, ours.now))
        [over] = await ours.store.alerting(lambda books: books.resolved_since(MONDAY))
        assert over.resolution == "the config has no such report any more"


async def test_the_doctor_says_it_and_nobody_replays_it(tmp_path: Path) -> None:
    async with world(tmp_path) as ours:
        ours.mailbox.refusal = "554 no"
        await ours.go(MONDAY)
        await ours.store.publish(MONDAY)
        with Reader(ours.store.path) as reader:
            [found] = of_reports(ours.config, reader, MONDAY)
            assert found.wrong and found.about == "report weekly" and "its server answers 554 (no)" in found.text
            states = dict(reader.read("SELECT channel, state FROM reports WHERE channel = 'mail'")[0])
            assert states == {"channel": "mail", "state": "waiting"}
        ours.mailbox.refusal = None
        await ours.go(MONDAY + HOUR)
        await ours.store.publish(MONDAY + HOUR)
        with Reader(ours.store.path) as reader:
            assert not list(of_reports(ours.config, reader, MONDAY + HOUR))
        with pytest.raises(ConfigError, match="nothing to be replayed"):
            rule_named(ours.config, "report_failed")


# --- making it -------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    from report.seeded import reported
    from runlake.report.scope import Scope

    return Asked(tmp_path / "none.duckdb", Config(), reported(), Scope())


async def test_what_cannot_be_made_says_why_on_one_line(asked: Asked) -> None:
    with pytest.raises(DeliveryError) as raised:
        await rendering.render(asked)
    assert raised.value.again
    assert str(raised.value).startswith("it could not be made: ") and "\n" not in str(raised.value)
    assert "Traceback" not in str(raised.value) and "sync" in str(raised.value)


async def test_what_takes_too_long_is_ended(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "DEADLINE_S", 0.01)
    with pytest.raises(DeliveryError, match=r"it was not made within 0\.01 s"):
        await rendering.render(asked)


async def test_a_real_report_arrives_by_mail_with_its_pictures(ledger: Path, tmp_path: Path) -> None:
    async with world(tmp_path) as ours:

        async def render(asked: Asked) -> Rendered:
            return await rendering.render(replace(asked, database=ledger))

        with patch.object(ours, "render", render):
            done = await ours.go(MONDAY)
    assert not done.failures
    (mail,) = ours.mailbox.mails
    assert mail["Subject"].startswith("Runs of 2026-W47")
    rich = mail.get_body(("html",))
    assert rich is not None
    shown = {part["Content-ID"].strip("<>") for part in mail.walk() if part.get_content_type() == "image/png"}
    assert shown and all(f"cid:{each}" in rich.get_content() for each in shown)
    assert json.dumps(ours.hook.messages[0].json["report"])
    assert (tmp_path / "reports/weekly-2026-W47.html").read_text().lower().startswith("<!doctype html>")


def test_a_process_that_is_left_alone_ends_by_itself(asked: Asked) -> None:
    program = (
        "import signal\nfrom runlake.report import rendering_child as child\n"
        "child.DEADLINE_S = 0\nchild.made = lambda asked: signal.pause()\nchild.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], input=pickle.dumps(asked), timeout=60, check=False)
    assert done.returncode == -signal.SIGALRM
