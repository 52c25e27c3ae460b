"""`runlake alerts …`: what is open and why, what people do about it, and who is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import duckdb
import pytest

from alerts.receivers import Answer, Recorder, recording
from runlake.config import load
from runlake.model import Pipeline, Run, Step, run_key
from runlake.store import Books, Store, Sync
from runlake.store.alerting import Alert, AlertBooks, Notification
from runlake.sync import utc_now
from runlake.sync.intake import batch_for

from .conftest import Command, configure
from .conftest import run as run_command
from .daemons import ANYWHERE, polling

T = TypeVar("T")

NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HOSTILE = "\x1b[31mred\u202e\nline <b>"
SOURCE = """
[[source]]
name = "{name}"
connector = "clarifeye"
every = "1w"
[source.settings]
base_url = "https://127.0.0.1:1"
token = {{ file = "token" }}
projects = ["p"]
"""
ETL = SOURCE.format(name="etl")
AT_ONCE = '[[rule]]\nkind = "failed"\nfor = "0s"\n'


def alert(**facts: Any) -> Alert:
    usual: dict[str, Any] = {
        "alert_id": str(uuid4()),
        "rule": "failed",
        "kind": "failed",
        "key": "etl/p/nightly",
        "state": "firing",
        "severity": "critical",
        "source": "etl",
        "pipeline_id": "p/nightly",
        "pipeline_name": "nightly",
        "since": NOW - 2 * HOUR,
        "pending_at": NOW - 2 * HOUR,
        "fired_at": NOW - 2 * HOUR + MINUTE,
        "judged_at": NOW - MINUTE,
        "why": "The last run failed.",
        "facts": {"run_id": "r1", "ended_at": "2026-07-13T09:00:00Z", "in_a_row": 1},
    }
    return Alert(**{**usual, **facts})


@dataclass
class Ledger:
    """A project without vendors: its ledger says what a test wants to be seen."""

    folder: Path
    recorder: Recorder

    def configure(self, *tables: str) -> None:
        configure(self.folder, *tables)

    def channel(self, name: str = "ops", path: str = "") -> str:
        (self.folder / f"{name}-url").write_text(f"{self.recorder.url}{path}")
        return f'[[channel]]\nname = "{name}"\nkind = "webhook"\nurl = {{ file = "{name}-url" }}\n'

    def synced(self, *runs: Run, source: str = "etl", listed: Sequence[Pipeline] = (), outcome: str = "ok") -> None:
        """Commits a good sync that has seen these, and publishes."""
        began = utc_now()

        async def work() -> None:
            config = load(self.folder / "runlake.toml")
            [polled] = config.select([source])
            kind, batch = polled.connector_type(), batch_for(polled)
            async with Store(config.database) as store:
                await store.begin(source, kind.name, kind.title, polled.tables(), began)
                for run in runs:
                    batch.add(run_key(source, run.ref), run, began, "list", "GET /runs")
                row = Sync(sync_id=str(uuid4()), source=source, vendor=kind.name, kind="sync", started_at=began)
                row.outcome, row.finished_at, row.observed_through = outcome, began, began if outcome == "ok" else None
                await store.commit(batch, Books(row, pipelines=list(listed)))
                await store.publish(began)

        asyncio.run(work())

    def does(self, work: Callable[[AlertBooks], T]) -> T:
        """In the ledger itself; published after it."""

        async def whole() -> T:
            async with Store(self.folder / "ledger.duckdb") as store:
                done = await store.alerting(work)
                await store.publish(utc_now())
                return done

        return asyncio.run(whole())

    def holds(self, *alerts: Alert) -> None:
        self.does(lambda books: books.save_alerts(alerts))

    def alert(self, alert_id: str) -> Alert:
        return self.does(lambda books: books.alert(alert_id))


@pytest.fixture
def ledger(project: Path) -> Iterator[Ledger]:
    (project / "token").write_text("s3cr3t")
    with recording() as recorder:
        ledger = Ledger(project, recorder)
        ledger.configure(ETL)
        yield ledger


def run(run_id: str, status: str, ended_at: datetime, **facts: Any) -> Run:
    usual: dict[str, Any] = {"pipeline_id": "p/nightly", "pipeline_name": "nightly", "created_at": ended_at - MINUTE}
    return Run(
        run_id=run_id, vendor_status=status, started_at=ended_at - MINUTE, finished_at=ended_at, **{**usual, **facts}
    )


# --- list ------------------------------------------------------------------------------------------------------------


def test_where_nothing_is_open_it_says_so_and_how_fresh_that_is(ledger: Ledger, runlake: Command) -> None:
    ledger.synced()
    done = runlake("alerts", "list")
    assert (done.code, done.out) == (0, "no alert is open\n")
    assert re.fullmatch(r"as of 20\S+ \d\d:\d\d XST \(1 source seen through 20\S+ \d\d:\d\d\)\n", done.err)
    assert runlake("alerts", "list", "--format", "json").json() == []


def test_before_the_first_sync_it_says_what_to_do(ledger: Ledger, runlake: Command) -> None:
    for command in (["list"], ["show", "3f"], ["silences"], ["explain", "nightly"]):
        done = runlake("alerts", *command)
        assert (done.code, done.out, done.err) == (0, "", "nothing has been synced yet: runlake sync\n")


def test_the_most_severe_come_first_each_with_why_whose_and_what_holds_it_back(
    ledger: Ledger, runlake: Command
) -> None:
    ledger.synced()
    mild = alert(severity="warning", rule="too_long", why="It takes 2 h.", since=NOW - DAY)
    acked = alert(owner="data", acked_at=NOW - HOUR, acked_by="ann", ack_note="the vendor is at it")
    pending = alert(state="pending", fired_at=None, severity="info", rule="waiting")
    ledger.holds(mild, acked, pending)
    out = runlake("alerts", "list").out
    assert [line[:8] for line in out.splitlines() if line[0] != " "] == [
        each.alert_id[:8] for each in (acked, mild, pending)
    ]
    first = out.splitlines()[:4]
    assert re.fullmatch(
        rf"{acked.alert_id[:8]}  critical  etl/nightly: failed  since 20\S+ \d\d:\d\d XST, 2 h\b.*", first[0]
    )
    assert first[1:] == [
        "          The last run failed.",
        "          owner: data",
        "          held back: acked by ann: the vendor is at it",
    ]
    assert "  info, pending  etl/nightly: waiting  " in out


def test_a_reason_without_end_is_cut_in_the_list_and_whole_where_it_is_shown(ledger: Ledger, runlake: Command) -> None:
    ledger.synced()
    ledger.holds(endless := alert(why="x" * 50_000))
    assert len(runlake("alerts", "list").out.splitlines()) < 10
    assert "x" * 50_000 in runlake("alerts", "show", endless.alert_id).out


def test_what_a_query_found_is_called_by_its_key(ledger: Ledger, runlake: Command) -> None:
    ledger.synced()
    ledger.holds(alert(rule="late", kind="sql", key="nightly/eu"))
    assert "  nightly/eu: late  " in runlake("alerts", "list").out


def test_what_is_listed_can_be_chosen(ledger: Ledger, runlake: Command) -> None:
    ledger.synced()
    other = alert(rule="new_status_word", source="etl", key="etl", pipeline_id=None, pipeline_name=None)
    over = alert(state="resolved", resolved_at=NOW - HOUR, resolution="It succeeded.")
    old = alert(state="resolved", resolved_at=NOW - 40 * DAY, since=NOW - 50 * DAY)
    firing = alert()
    ledger.holds(other, over, old, firing)

    def listed(*options: str) -> set[str]:
        return {row["alert_id"] for row in runlake("alerts", "list", *options, "--format", "json").json()}

    assert listed() == {other.alert_id, firing.alert_id}
    assert listed("--all") == {other.alert_id, firing.alert_id, over.alert_id}
    assert listed("--state", "resolved") == {over.alert_id}
    assert listed("--rule", "new_status_word") == {other.alert_id}
    assert listed("--source", "etl") == listed()
    assert runlake("alerts", "list", "--state", "pending").out == "no such alert\n"
    assert "          over: It succeeded.\n" in runlake("alerts", "list", "--all").out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "--source", "elt"], "no source 'elt' in the config; there is etl"),
        (["list", "--rule", "fail"], "no rule 'fail' is in force; there are failed, "),
        (["show", "ffff"], "there is no alert 'ffff'; `runlake alerts list --all` shows their ids"),
        (["ack", "ffff"], "there is no alert 'ffff'"),
        (["unsilence", "ffff"], "there is no silence 'ffff' in force"),
        (["silence", "--for", "2h", "--reason", "x"], "say what is silenced: --rule, --source or --pipeline"),
        (["silence", "--for", "soon", "--reason", "x", "--rule", "*"], "--for soon: write a length of time such as"),
        (["silence", "--for", "9999d", "--reason", "x", "--rule", "*"], "--for 9999d: write at most a year"),
        (["silence", "--for", "2h", "--reason", " ", "--rule", "*"], "--reason: write something"),
        (["silence", "--for", "2h", "--reason", "x" * 501, "--rule", "*"], "--reason: write at most 500 characters"),
        (["silence", "--for", "2h", "--reason", "x", "--rule", "fail"], "no rule matches 'fail'; there are failed, "),
        (["silence", "--for", "2h", "--reason", "x", "--source", "elt*"], "no source matches 'elt*'; there are etl"),
        (["test-channel", "ops"], "no channel 'ops' in the config; it has none"),
        (["explain", "nope"], "no pipeline 'nope' is in the ledger; give its id or its name"),
        (["explain", "nope", "--source", "elt"], "no source 'elt' in the config"),
    ],
)
def test_a_slip_is_one_line_that_says_what_to_write(
    ledger: Ledger, runlake: Command, arguments: list[str], told: str
) -> None:
    ledger.synced()
    done = runlake("alerts", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"runlake: {told}")


def test_where_there_is_no_ledger_none_is_made(ledger: Ledger, runlake: Command) -> None:
    for command in (["ack", "ffff"], ["evaluate"], ["unsilence", "ffff"]):
        done = runlake("alerts", *command)
        assert done.code == 2
        assert "there is no ledger at" in done.err
    assert not list(ledger.folder.glob("*.duckdb"))


# --- show ------------------------------------------------------------------------------------------------------------


def test_one_alert_is_shown_with_its_run_and_who_was_told(ledger: Ledger, runlake: Command) -> None:
    failed = run(
        *("r1", "failed", NOW - 2 * HOUR),
        error_message="connection refused",
        run_url="https://vendor.example/r1",
        steps=[Step(step_id="s1", name="load", vendor_status="failed", error_message="no table t")],
    )
    ledger.synced(run("r0", "completed", NOW - DAY), failed)
    firing = alert(run_key=run_key("etl", failed.ref))
    ledger.holds(firing)
    planned: dict[str, Any] = {"alert_id": firing.alert_id, "event": "open", "created_at": NOW}
    rows = [
        Notification(**planned, channel="ops", delivered_at=NOW, attempts=1),
        Notification(**planned, channel="mail", retry_at=NOW + HOUR, attempts=3, error="HTTP 503"),
    ]
    ledger.does(lambda books: books.enqueue(rows))
    done = runlake("alerts", "show", firing.alert_id[:6])
    assert done.code == 0
    assert done.out.startswith("critical: etl/nightly: failed, firing\n\n  The last run failed.\n")
    for line in (
        r"alert: " + firing.alert_id,
        r"since: 20\S+ \d\d:\d\d XST, 2 h\b.*",
        r"run: r1 \(failed\); runlake explain etl r1",
        r"see: https://vendor.example/r1",
        r"failing step: load",
        r"last success: 20\S+ \d\d:\d\d XST",
        r"last 7 days: 1 of 2 runs failed",
        r"in_a_row: 1",
        r"ended_at: 2026-07-13 10:00 XST",
    ):
        assert re.search(rf"^  {line}$", done.out, re.M), line
    assert re.search(r"^ops +open +20\S+ \S+ +sent +20", done.out, re.M)
    assert re.search(r"^mail +open +20\S+ \S+ +again at +20.* 3  HTTP 503$", done.out, re.M)
    assert max(map(len, done.out.splitlines())) <= 100
    content = runlake("alerts", "show", firing.alert_id, "--format", "json").json()
    assert content["alert"]["facts"]["run_id"] == "r1"
    assert (content["failed_step"], [each["channel"] for each in content["notifications"]]) == ("load", ["mail", "ops"])


def test_text_of_vendors_and_of_people_has_no_power_over_the_terminal(ledger: Ledger, runlake: Command) -> None:
    failed = run("r\x1b[2J1", "failed", NOW - HOUR, pipeline_name=HOSTILE, error_message=HOSTILE)
    ledger.synced(failed)
    firing = alert(
        *(),
        why=HOSTILE,
        pipeline_name=HOSTILE,
        owner=HOSTILE,
        run_key=run_key("etl", failed.ref),
        facts={HOSTILE: HOSTILE, "list": [HOSTILE]},
    )
    ledger.holds(firing)
    ledger.does(
        lambda books: books.enqueue(
            [Notification(alert_id=firing.alert_id, channel="ops", event="open", created_at=NOW, error=HOSTILE)]
        )
    )
    assert runlake("alerts", "ack", firing.alert_id, "--note", HOSTILE, "--by", HOSTILE).code == 0
    runlake("alerts", "silence", "--rule", "*", "--pipeline", f"*{HOSTILE}*", "--for", "2h", "--reason", HOSTILE)
    for command in (["list"], ["show", firing.alert_id], ["silences"], ["explain", "p/nightly"]):
        for shape in ("table", "json"):
            done = runlake("alerts", *command, "--format", shape)
            assert done.code == 0, done.err
            assert not {"\x1b", "\u202e"} & {*done.out, *done.err}, command


# --- what people do --------------------------------------------------------------------------------------------------


def test_an_ack_is_by_whoever_says_it_and_for_all_or_none(
    ledger: Ledger, runlake: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    ledger.synced()
    one, two, over = alert(), alert(rule="too_long"), alert(state="resolved", resolved_at=NOW)
    ledger.holds(one, two, over)
    refused = runlake("alerts", "ack", one.alert_id, over.alert_id)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"alert {over.alert_id[:8]} is resolved already" in refused.err
    assert ledger.alert(one.alert_id).acked_at is None
    done = runlake("alerts", "ack", one.alert_id[:8], two.alert_id[:8], "--note", "on\nit")
    assert (done.code, done.out, done.err.count("\n")) == (0, "", 2)
    assert f"{one.alert_id[:8]} (failed, etl/p/nightly) is acked by ann" in done.err
    assert "held back: acked by ann: on it" in runlake("alerts", "list").out


def test_a_silence_says_what_it_holds_back_and_ends_by_hand(ledger: Ledger, runlake: Command) -> None:
    ledger.synced()
    ledger.holds(alert(), alert(rule="too_long", pipeline_id="p/hourly", pipeline_name="hourly", key="etl/p/hourly"))
    done = runlake("alerts", "silence", "--source", "e*", "--pipeline", "nightly", "--for", "2h", "--reason", "move")
    assert done.code == 0
    assert re.fullmatch(
        r"silence [0-9a-f]{8} holds until 20\S+ \d\d:\d\d XST; of such alerts 1 is open now\n", done.err
    )
    [row] = runlake("alerts", "silences", "--format", "json").json()
    assert (row["source"], row["pipeline"], row["rule"], row["reason"], row["holds"]) == (
        *("e*", "nightly", None, "move"),
        1,
    )
    assert re.search(r"^[0-9a-f]{8}  +-  +e\*  +nightly  +20\S+ \S+  +move", runlake("alerts", "silences").out, re.M)
    out = runlake("alerts", "list").out
    assert re.search(r"^ +held back: silenced by \S+ until 20\S+ \d\d:\d\d XST: move$", out, re.M)
    assert out.count("held back") == 1
    ended = runlake("alerts", "unsilence", row["silence_id"][:8])
    assert (ended.code, "has ended" in ended.err) == (0, True)
    assert runlake("alerts", "silences").out == "no silence holds\n"
    assert "held back" not in runlake("alerts", "list").out


def test_what_else_holds_back_is_said_too(ledger: Ledger, runlake: Command) -> None:
    ledger.configure(ETL, '[[maintenance]]\nname = "move of the week"\ncron = "* * * * * UTC"\nlasts = "2h"\n')
    ledger.synced()
    blind = alert(rule="source_unobservable", kind="source_unobservable", key="etl", pipeline_id=None)
    ledger.holds(blind, alert(flapping=True))
    rows = {row["rule"]: row for row in runlake("alerts", "list", "--format", "json").json()}
    assert [each["cause"] for each in rows["failed"]["held_back"]] == ["maintenance", "source unseen", "flapping"]
    assert rows["failed"]["held_back"][0]["why"] == "move of the week"
    assert [each["cause"] for each in rows["source_unobservable"]["held_back"]] == ["maintenance"]


# --- telling people --------------------------------------------------------------------------------------------------


def test_one_failure_is_told_once_and_its_end_once(ledger: Ledger, runlake: Command) -> None:
    ledger.configure(ETL, AT_ONCE, ledger.channel())
    ledger.synced(run("r0", "completed", NOW - HOUR))
    first = runlake("alerts", "evaluate", "--format", "json")
    assert (first.code, first.json()[0]["fired"], ledger.recorder.messages) == (0, 0, [])
    ledger.synced(run("r1", "failed", utc_now()))
    for fired, sent in ((1, 1), (0, 0)):
        [row] = runlake("alerts", "evaluate", "--format", "json").json()
        assert (row["fired"], row["firing"], row["sent"], row["failures"]) == (fired, 1, sent, {})
    assert "etl/nightly: failed" in runlake("alerts", "list").out
    ledger.synced(run("r2", "completed", utc_now() + 2 * MINUTE))
    assert runlake("alerts", "evaluate").code == 0
    events = [message.json["event"] for message in ledger.recorder.messages]
    assert events == ["open", "resolve"]
    assert runlake("alerts", "list").out == "no alert is open\n"


def test_a_channel_that_does_not_answer_is_said_and_tried_again(ledger: Ledger, runlake: Command) -> None:
    ledger.configure(ETL, AT_ONCE, ledger.channel())
    ledger.synced()
    runlake("alerts", "evaluate")
    ledger.synced(run("r1", "failed", utc_now()))
    ledger.recorder.answers.append(Answer(status=500))
    done = runlake("alerts", "evaluate")
    assert done.code == 1
    assert re.search(r"^runlake: channel ops: .*500", done.err, re.M)
    warned = runlake("doctor").out
    assert re.search(r"^problem +channel ops: .* → runlake alerts test-channel ops$", warned, re.M)
    assert "\n1 alert fires (1 critical): runlake alerts list\n" in runlake("status").out
    assert [row["alerts"] for row in runlake("status", "--format", "json").json()] == [1]
    [open_alert] = runlake("alerts", "list", "--format", "json").json()
    assert "again at" in runlake("alerts", "show", open_alert["alert_id"]).out


def test_a_channel_that_has_taken_another_message_since_is_well(ledger: Ledger, runlake: Command) -> None:
    ledger.configure(ETL, ledger.channel(), ledger.channel("gone"))
    (ledger.folder / "token").chmod(0o600)
    ledger.synced()
    sent: list[dict[str, Any]] = [
        {"channel": "ops", "claimed_at": NOW - HOUR, "dropped_at": NOW - HOUR, "error": "HTTP 400"},
        {"channel": "ops", "claimed_at": NOW - MINUTE, "delivered_at": NOW - MINUTE},
        {"channel": "gone", "claimed_at": NOW - 2 * MINUTE, "retry_at": NOW + HOUR, "error": HOSTILE},
        {"channel": "no more", "claimed_at": NOW - HOUR, "retry_at": NOW + HOUR, "error": "HTTP 500"},
    ]
    rows = [Notification(alert_id=str(uuid4()), event="open", created_at=NOW - HOUR, **facts) for facts in sent]
    ledger.does(lambda books: books.enqueue(rows))
    problems = [line for line in runlake("doctor").out.splitlines() if line.startswith("problem")]
    assert len(problems) == 1
    assert re.fullmatch(
        r"problem +channel gone: no message has arrived since 20\S+ \d\d:\d\d XST: red line <b> → runlake alerts .*",
        problems[0],
    )


def test_a_test_message_says_that_it_is_one_and_what_was_answered(ledger: Ledger, runlake: Command) -> None:
    ledger.configure(ETL, ledger.channel())
    done = runlake("alerts", "test-channel", "ops")
    assert (done.code, done.out) == (0, "")
    assert done.err == "channel ops has taken a test message; look whether it has arrived\n"
    [message] = ledger.recorder.messages
    assert message.json["event"] == "test"
    assert "This is a test of the channel ops" in message.json["text"]
    ledger.recorder.answers.append(Answer(status=403, body=b"no such hook"))
    refused = runlake("alerts", "test-channel", "ops")
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert refused.err.startswith("runlake: channel ops: ")
    assert "403" in refused.err
    (ledger.folder / "ops-url").unlink()
    unset = runlake("alerts", "test-channel", "ops")
    assert (unset.code, unset.err.count("\n")) == (1, 1)


def test_a_daemon_does_what_is_asked_on_the_ledger_that_it_holds(ledger: Ledger, runlake: Command) -> None:
    ledger.configure(ANYWHERE, ETL, AT_ONCE, ledger.channel())
    ledger.synced(run("r0", "completed", NOW - HOUR))
    ledger.holds(held := alert(rule="too_long", kind="too_long"))
    with polling(ledger.folder):
        acked = runlake("alerts", "ack", held.alert_id[:8], "--by", "ann")
        assert (acked.code, acked.err.count("\n")) == (0, 1), acked.err
        assert "held back: acked by ann" in runlake("alerts", "list").out
        silenced = runlake("alerts", "silence", "--rule", "too_*", "--for", "2h", "--reason", "x")
        assert "of such alerts 1 is open now" in silenced.err, silenced.err
        [row] = runlake("alerts", "silences", "--format", "json").json()
        assert runlake("alerts", "unsilence", row["silence_id"]).code == 0
        assert runlake("alerts", "evaluate").code == 0
        assert runlake("alerts", "test-channel", "ops").code == 0
        assert [message.json["event"] for message in ledger.recorder.messages][-1] == "test"
        ledger.recorder.usual = Answer(status=404)
        assert runlake("alerts", "test-channel", "ops").code == 1
        unknown = runlake("alerts", "ack", "ffff")
        assert (unknown.code, unknown.err.count("\n")) == (2, 1)
        assert "there is no alert 'ffff'" in unknown.err


# --- for who tunes them ----------------------------------------------------------------------------------------------


def test_rules_are_listed_with_where_they_come_from(ledger: Ledger, runlake: Command) -> None:
    ledger.configure(
        ETL, '[[rule]]\nname = "nightly"\nkind = "failed"\npipelines = ["n*"]\nsources = ["etl"]\nfor = "5m"\n'
    )
    ledger.synced()
    before = {row["rule"]: row for row in runlake("alerts", "rules", "--format", "json").json()}
    assert before["nightly"]["since"] is None
    runlake("alerts", "evaluate")
    rows = {row["rule"]: row for row in runlake("alerts", "rules", "--format", "json").json()}
    assert "failed" not in rows
    assert (rows["nightly"]["from"], rows["missing"]["from"]) == ("config", "built in")
    assert (rows["nightly"]["severity"], rows["nightly"]["for"], rows["nightly"]["open"]) == ("critical", 300.0, 0)
    assert rows["nightly"]["since"] is not None
    assert rows["nightly"]["definition"]["pipelines"] == ["n*"]
    out = runlake("alerts", "rules").out
    assert re.search(r"^nightly +critical +5m +sources etl; pipelines n\* +config +20", out, re.M)
    assert re.search(r"^missing +critical +- +all +built in +20", out, re.M)
    ledger.does(lambda books: books.keep_rules([_with_error(books, "nightly")]))
    assert "\nnightly cannot be evaluated: no such table\n" in runlake("alerts", "rules").out


def _with_error(books: AlertBooks, name: str) -> Any:
    row = books.rules()[name]
    row.error = "no such table"
    return row


def test_explain_tells_what_each_rule_finds_and_from_what(ledger: Ledger, runlake: Command) -> None:
    other = '[[rule]]\nname = "elsewhere"\nkind = "waiting"\npipelines = ["other"]\n'
    rows = '[[rule]]\nname = "empty"\nkind = "sql"\nquery = "SELECT 1 AS a"\nkey = ["a"]\n'
    ledger.configure(ETL, AT_ONCE, other, rows)
    ledger.synced(run("r0", "completed", NOW - HOUR))
    fresh = runlake("alerts", "explain", "nightly")
    assert "the rule was not evaluated yet" in fresh.out
    runlake("alerts", "evaluate")
    ledger.synced(run("r1", "failed", utc_now()))
    runlake("alerts", "evaluate")
    done = runlake("alerts", "explain", "nigh")
    assert done.code == 0
    assert done.out.startswith("etl/p/nightly (nightly)\n  2 runs of the last 30 days; source etl seen through 20")
    assert re.search(r"^failed: firing \(critical\)\n  .*\n  alert [0-9a-f]{8}, firing since 20", done.out, re.M)
    assert re.search(r"^  the rule stands since 20\S+ \d\d:\d\d XST; 2 of the runs count$", done.out, re.M)
    assert "\nnot about this pipeline: elsewhere\n" in done.out
    assert "\nqueries, which are asked of the whole ledger: empty\n" in done.out
    content = runlake("alerts", "explain", "etl/nightly", "--source", "etl", "--format", "json").json()
    found = {row["rule"]: row for row in content["rules"]}
    assert {"failed", "too_long", "missing", "source_unobservable", "coverage_gap"} <= found.keys()
    assert (found["failed"]["verdict"], found["failed"]["state"]) == ("firing", "firing")
    assert found["failed"]["key"] == "etl/p/nightly"
    assert found["source_unobservable"]["verdict"] == "ok"
    assert found["failed"]["facts"]
    assert (content["out_of_scope"], content["of_queries"]) == (["elsewhere"], ["empty"])
    ledger.configure(ETL, AT_ONCE + "in_a_row = 2\n")  # which begins anew with the next evaluation
    changed = runlake("alerts", "explain", "nightly", "--format", "json").json()["rules"]
    assert {row["rule"]: row["rule_since"] is None for row in changed if row["rule"] in ("failed", "missing")} == {
        "failed": True,
        "missing": False,
    }


def test_explain_says_when_what_is_pending_would_be_told(ledger: Ledger, runlake: Command) -> None:
    ledger.configure(ETL, AT_ONCE.replace("0s", "1h"))
    ledger.synced(run("r0", "completed", NOW - HOUR))
    runlake("alerts", "evaluate")
    ledger.synced(run("r1", "failed", ended_at := utc_now()))
    runlake("alerts", "evaluate")
    out = runlake("alerts", "explain", "nightly").out
    assert re.search(r"^  alert [0-9a-f]{8}, pending since 20.*\n  told once seen through 20", out, re.M)
    [failed] = [
        row
        for row in runlake("alerts", "explain", "nightly", "--format", "json").json()["rules"]
        if row["rule"] == "failed"
    ]
    assert datetime.fromisoformat(failed["fires_at"]) == ended_at + HOUR
    assert "critical, pending" in runlake("alerts", "list").out
    [row] = runlake("alerts", "list", "--format", "json").json()
    assert "nobody: it has not fired" in runlake("alerts", "show", row["alert_id"]).out


def test_the_shell_completes_rules_and_channels(ledger: Ledger) -> None:
    ledger.configure(ETL, '[[rule]]\nname = "nightly"\nkind = "failed"\n', ledger.channel())
    for words, number, expected in (
        ("runlake alerts silence --rule n", "4", {"nightly", "new_status_word"}),
        ("runlake alerts test-channel ", "3", {"ops"}),
        ("runlake alerts list --source ", "4", {"etl"}),
    ):
        env = {"_RUNLAKE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": number}
        assert set(run_command(cwd=ledger.folder, env=env).out.split()) == expected


def test_a_pipeline_that_has_not_run_lately_is_explained_too(ledger: Ledger, runlake: Command) -> None:
    old = run("r0", "completed", NOW - 40 * DAY, pipeline_id="p/yearly", pipeline_name="yearly")
    ledger.synced(old, listed=[Pipeline(pipeline_id="p/never", name="never run", paused=True)])
    assert "\n  0 runs of the last 30 days; " in runlake("alerts", "explain", "yearly").out
    assert runlake("alerts", "explain", "never run").out.startswith("etl/p/never (never run), paused at its vendor\n")


def test_before_a_source_is_seen_in_full_its_runs_are_not_judged(ledger: Ledger, runlake: Command) -> None:
    ledger.synced(run("r0", "failed", NOW - HOUR), outcome="partial")
    out = runlake("alerts", "explain", "nightly").out
    assert "source etl not yet seen in full" in out
    assert re.search(r"^failed: not judged yet \(critical\)\n  etl was not yet seen in full$", out, re.M)


def test_what_no_config_polls_is_judged_by_no_rule(ledger: Ledger, runlake: Command) -> None:
    ledger.synced(run("r0", "failed", NOW - HOUR))
    ledger.configure(SOURCE.format(name="chat"))
    done = runlake("alerts", "explain", "nightly")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "source etl is in the ledger and in no config" in done.err


def test_a_copy_that_an_older_runlake_made_is_said_to_be_one(ledger: Ledger, runlake: Command) -> None:
    ledger.synced()
    copy = duckdb.connect(str(ledger.folder / "ledger.published.duckdb"))
    copy.execute("DROP TABLE rl.alerts CASCADE")
    copy.close()
    told = "an older runlake made the published copy; restart its daemon, or run: runlake sync"
    done = runlake("alerts", "list")
    assert (done.code, done.out, done.err) == (3, "", f"runlake: {told}\n")
    status = runlake("status")
    assert (status.code, told in status.err) == (0, True)
    assert re.search(rf"^problem +published copy: {re.escape(told)}$", runlake("doctor").out, re.M)


def test_a_name_that_several_pipelines_have_is_to_be_made_plain(ledger: Ledger, runlake: Command) -> None:
    ledger.configure(ETL, SOURCE.format(name="chat"))
    for source in ("etl", "chat"):
        ledger.synced(run("r0", "completed", NOW - HOUR), source=source)
    done = runlake("alerts", "explain", "nightly")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "'nightly' could be 2 pipelines: chat/p/nightly, etl/p/nightly; write one of these" in done.err
    assert runlake("alerts", "explain", "nightly", "--source", "chat").out.startswith("chat/p/nightly (nightly)\n")
    assert runlake("alerts", "explain", "etl/p/nightly").out.startswith("etl/p/nightly (nightly)\n")
