"""`doctor`: each thing that can be wrong is said in words, with what to do; a healthy setup is a few lines."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from runlake import __version__
from runlake.cli.doctor import examine
from runlake.cli.doctor.finding import Finding, Severity, length
from runlake.cli.running import Running
from runlake.config import load
from runlake.model import Run, run_key
from runlake.store import Books, Store, Sync, Watched, published_path
from runlake.sync.intake import batch_for

from .conftest import Command, Vendors, configure, run
from .daemons import polling

NOW = datetime(2026, 7, 14, 9, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def table(name: str, *, host: str = "a.example", more: str = "") -> str:
    return (
        f'[[source]]\nname = "{name}"\nconnector = "clarifeye"\n{more}\n[source.settings]\n'
        f'base_url = "https://{host}"\ntoken = {{ file = "{name}-token" }}\nprojects = ["p"]\n'
    )


def webhook(name: str) -> str:
    return f'[[channel]]\nname = "{name}"\nkind = "webhook"\nurl = {{ file = "{name}-url" }}\n'


@dataclass
class Practice:
    """A project without vendors: its ledger says what a test wants to be found, its daemon is what a test makes up."""

    folder: Path
    daemon: Running | None = None
    path: Path = Path("runlake.toml")

    def configure(self, *tables: str) -> None:
        configure(self.folder, *tables)
        for name in re.findall(r'file = "(\S+)"', "".join(tables)):
            self.secret(name, "s3cr3t")

    def secret(self, name: str, text: str, mode: int = 0o600) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(mode)

    def synced(self, *sources: str, **facts: Any) -> None:
        """Publishes a ledger in which these were synced a minute ago, with those facts."""
        through = NOW - MINUTE
        row: dict[str, Any] = {"outcome": "ok", "started_at": through, "observed_through": through, **facts}
        config = load(self.path)

        async def sync() -> None:
            async with Store(config.database) as store:
                for source in config.select(list(sources)):
                    kind = source.connector_type()
                    await store.begin(source.name, kind.name, kind.title, source.tables(), NOW)
                    done = Sync(sync_id=str(uuid4()), source=source.name, vendor=kind.name, kind="sync", **row)
                    done.finished_at = done.started_at
                    await store.commit(batch_for(source), Books(done))
                await store.publish(NOW - MINUTE)

        asyncio.run(sync())

    def runs(self, source: str, *runs: Run, watched: list[Watched] | None = None) -> None:
        config = load(self.path)

        async def commit() -> None:
            [polled] = config.select([source])
            async with Store(config.database) as store:
                batch = batch_for(polled)
                for each in runs:
                    batch.add(run_key(source, each.ref), each, NOW - 2 * DAY, "list", "GET /runs")
                row = Sync(sync_id=str(uuid4()), source=source, vendor="clarifeye", kind="follow", started_at=NOW)
                await store.commit(batch, Books(row, watch=watched or []))
                await store.publish(NOW - MINUTE)

        asyncio.run(commit())

    def runs_daemon(self, **facts: Any) -> None:
        config = load(self.path)
        plans: dict[str, Any] = {
            source.name: {
                "next_sync_at": NOW + MINUTE,
                "next_follow_at": None,
                "under_way": [],
                "waiting": {},
                "down_since": None,
                "failures": 0,
            }
            for source in config.source
        }
        told: dict[str, Any] = {
            "pid": 7,
            "version": __version__,
            "started_at": NOW - DAY,
            "as_of": NOW - MINUTE,
            "ledger_error": None,
            "polling": True,
            "config_file": self.folder / "runlake.toml",
            "config": load(self.folder / "runlake.toml").model_dump(mode="json"),
            "sources": plans,
        }
        self.daemon = Running.model_validate({**told, **facts})

    def found(self, now: datetime = NOW) -> list[Finding]:
        return examine(self.path, load(self.path), now)

    def wrong(self, now: datetime = NOW) -> list[tuple[str, str, str, str | None]]:
        return [(each.severity.value, each.about, each.text, each.todo) for each in self.found(now) if each.wrong]


@pytest.fixture
def practice(project: Path, monkeypatch: pytest.MonkeyPatch) -> Practice:
    practice = Practice(project)
    monkeypatch.setattr("runlake.cli.doctor.running", lambda _: practice.daemon)
    return practice


@pytest.fixture
def healthy(practice: Practice) -> Practice:
    practice.configure(table("docs"))
    practice.synced()
    return practice


# --- the command -----------------------------------------------------------------------------------------------------


def test_a_healthy_setup_is_a_few_lines_with_counts(project: Path, vendors: Vendors, runlake: Command) -> None:
    with polling(project, vendors.table("clarifeye", project)):
        (project / "clarifeye-token").chmod(0o600)
        done = runlake("doctor")
    lines = done.out.splitlines()
    assert done.code == 0, done.out
    assert {line.split()[0] for line in lines} == {"ok"}
    assert len(lines) == 5
    assert re.search(r"^ok +published copy: made at .* ago: [\d,]+ runs, \d+ open$", done.out, re.M)
    assert re.search(r"^ok +daemon: process \d+ polls 1 source since ", done.out, re.M)
    assert done.err == "no vendor was asked: `runlake check` does that\n"


def test_a_refused_secret_is_a_problem_that_names_request_answer_and_secret(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    configure(project, vendors.table("clarifeye", project))
    (project / "clarifeye-token").write_text("revoked-s3cr3t")
    runlake("sync")
    asked = len(vendors.emulator.clarifeye.requests)
    done = runlake("doctor")
    assert done.code == 1
    assert re.search(
        r"^problem +clarifeye: GET /clarifeye/\S+: HTTP 401.* → renew token \(file \S+\) of source clarifeye, or its "
        r"rights at the vendor; then: runlake check clarifeye$",
        done.out,
        re.M,
    )
    assert len(vendors.emulator.clarifeye.requests) == asked, "it asked the vendor"
    assert "s3cr3t" not in done.out + done.err
    rows = runlake("doctor", "--format", "json").json()
    assert rows[0]["severity"] == "problem"
    assert {"severity", "about", "text", "todo"} == rows[0].keys()


def test_a_config_that_cannot_be_used_is_one_line(project: Path, runlake: Command) -> None:
    configure(project, "[[source]]\nnme = 1")
    done = runlake("doctor")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def test_before_the_first_sync_it_says_how_to_begin(project: Path, runlake: Command) -> None:
    configure(project)
    done = runlake("doctor")
    assert done.code == 0
    assert "warning  ledger: nothing has been synced yet → runlake sync, or runlake daemon" in done.out
    assert "names no source → add a [[source]] table" in done.out
    assert not (project / "ledger.duckdb").exists()


def test_what_a_vendor_said_cannot_steer_a_terminal(healthy: Practice, runlake: Command) -> None:
    healthy.synced(outcome="failed", error="HTTP 500: \x1b[2J\u202e", error_class="Unavailable", started_at=NOW)
    out = runlake("doctor").out
    assert "HTTP 500" in out
    assert not {"\x1b", "\u202e"} & set(out)


def test_a_ledger_that_a_command_writes_to_is_no_problem(project: Path, healthy: Practice) -> None:
    [(severity, text)] = [
        (row["severity"], row["text"])
        for row in asyncio.run(_beside(project / "ledger.duckdb", lambda: _rows(project)))
        if row["about"] == "ledger"
    ]
    assert severity == "warning"
    assert f"is in use by process {os.getpid()}" in text


async def _beside(database: Path, work: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    async with Store(database):
        return work()


def _rows(project: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run("doctor", "--format", "json", cwd=project).json()
    return rows


# --- the ledger and its copy -----------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_a_healthy_one(healthy: Practice) -> None:
    assert healthy.wrong() == []
    healthy.runs_daemon()
    assert healthy.wrong() == []


def test_a_ledger_that_is_gone_says_how_it_comes_back(healthy: Practice) -> None:
    (healthy.folder / "ledger.duckdb").unlink()
    [(severity, about, text, _)] = healthy.wrong()
    assert (severity, about) == ("problem", "ledger")
    assert "is not there any more" in text
    assert "runlake restore" in text


def test_a_damaged_ledger_or_copy_is_a_problem(healthy: Practice) -> None:
    (healthy.folder / "ledger.duckdb").write_bytes(b"no database" * 1000)
    published_path(healthy.folder / "ledger.duckdb").write_bytes(b"no database" * 1000)
    found = {about: (severity, text) for severity, about, text, _ in healthy.wrong()}
    assert found["ledger"][0] == found["published copy"][0] == "problem"
    assert "is damaged or not a DuckDB file" in found["ledger"][1]
    assert "`runlake sync` makes a new one" in found["published copy"][1]


def test_a_folder_that_is_not_there_is_said(practice: Practice) -> None:
    (practice.folder / "runlake.toml").write_text('database = "nowhere/ledger.duckdb"\n' + table("docs"))
    practice.secret("docs-token", "s3cr3t")
    assert ("problem", "ledger") in [(severity, about) for severity, about, *_ in practice.wrong()]


def test_a_network_file_system_is_warned_of(healthy: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runlake.cli.doctor.ledger.network_filesystem", lambda _: "nfs4")
    [(severity, about, text, todo)] = healthy.wrong()
    assert (severity, about) == ("warning", "ledger")
    assert "(nfs4)" in text
    assert todo is not None and "local disk" in todo


@pytest.mark.parametrize(("mib", "severity"), [(10, "problem"), (100, "warning"), (10_000, None)])
def test_a_disk_at_its_floor_is_a_problem_and_near_it_a_warning(
    healthy: Practice, monkeypatch: pytest.MonkeyPatch, mib: int, severity: str | None
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": mib * 2**20}))
    assert [row[0] for row in healthy.wrong()] == ([severity] if severity else [])


def test_what_the_daemon_says_of_its_ledger_and_its_publishing_is_a_problem(healthy: Practice) -> None:
    healthy.runs_daemon(ledger_error="the disk is full", publish_error="no room")
    found = {about: (severity, text) for severity, about, text, _ in healthy.wrong()}
    assert found["ledger"] == ("problem", "the disk is full")
    assert found["published copy"][0] == "problem"
    assert found["published copy"][1].endswith("making a new one fails: no room")


def test_a_copy_that_is_missing_or_old_is_warned_of(healthy: Practice) -> None:
    healthy.runs_daemon()
    [(severity, about, text, _), *_] = healthy.wrong(NOW + 3 * HOUR)
    assert (severity, about) == ("warning", "published copy")
    assert "3 hours ago" in text
    published_path(healthy.folder / "ledger.duckdb").unlink()
    assert ("warning", "published copy", "there is none yet") in [row[:3] for row in healthy.wrong()]
    healthy.daemon = None
    assert ("warning", "published copy") in [row[:2] for row in healthy.wrong()]


def test_a_ledger_written_long_after_its_copy_is_warned_of(healthy: Practice) -> None:
    written = (healthy.folder / "ledger.duckdb").stat().st_mtime
    os.utime(published_path(healthy.folder / "ledger.duckdb"), (written, written - 3600))
    [(severity, about, text, todo)] = healthy.wrong()
    assert (severity, about, todo) == ("warning", "published copy", "runlake sync makes a new one")
    assert text.endswith("the ledger was written 60 minutes later")


def test_doubled_rows_are_a_problem(healthy: Practice) -> None:
    healthy.runs("docs", Run(pipeline_id="p", run_id="a", vendor_status="completed", created_at=NOW - HOUR))

    async def double() -> None:
        async with Store(healthy.folder / "ledger.duckdb") as store:
            await store._do(lambda: store._connection.execute("INSERT INTO rl.runs FROM rl.runs"))
            await store.publish(NOW - MINUTE)

    asyncio.run(double())
    assert ("problem", "ledger", "1 row of runs are doubled, so counts are wrong") in [x[:3] for x in healthy.wrong()]


# --- the daemon ------------------------------------------------------------------------------------------------------


def test_no_daemon_is_well_as_long_as_something_syncs(healthy: Practice) -> None:
    assert healthy.wrong(NOW + 40 * MINUTE) == []
    found = {about: (text, todo) for _, about, text, todo in healthy.wrong(NOW + 2 * HOUR)}
    assert found["daemon"] == (
        "none runs, and docs is behind",
        "runlake daemon starts one; or run `runlake sync` from cron",
    )
    assert found["docs"][0].endswith("which is 2 hours ago")


@pytest.mark.parametrize(
    ("facts", "severity", "told", "todo"),
    [
        ({"version": "0.0.9"}, "warning", f"version 0.0.9 runs, this is {__version__}", "restart it"),
        ({"config_file": "/etc/x.toml"}, "warning", "with another config, /etc/x.toml", "--config /etc/x.toml doctor"),
        ({"overdue": ["docs"]}, "problem", "should have asked docs by now", "restart it"),
        ({"ping_error": "HTTP 500"}, "warning", "the ping fails: HTTP 500", "`ping_url`"),
    ],
)
def test_what_is_wrong_with_a_daemon_is_said(
    healthy: Practice, facts: dict[str, Any], severity: str, told: str, todo: str
) -> None:
    healthy.runs_daemon(**facts)
    [(found, about, text, what)] = healthy.wrong()
    assert (found, about, told in text) == (severity, "daemon", True), text
    assert what is not None and todo in what


def test_a_config_that_the_daemon_has_not_read_yet_is_warned_of(healthy: Practice) -> None:
    healthy.configure(table("docs"), table("old"))
    healthy.synced()
    healthy.runs_daemon()
    healthy.configure('[daemon]\npublish_every = "2m"', table("docs", more='every = "10m"'), table("new"))
    found = {row[1]: row[2:] for row in healthy.wrong()}
    assert found["daemon"] == (
        "its config file was changed since: [daemon] has changed, docs has changed, new is new, old is gone",
        "runlake reload",
    )
    healthy.configure('[daemon]\nlisten = "127.0.0.1:9999"', table("docs"), table("old"))
    assert healthy.wrong() == [
        ("warning", "daemon", "its config file was changed since: `listen` or `database` has changed", "restart it")
    ]


def test_rules_and_channels_that_the_daemon_has_not_read_yet_are_named(healthy: Practice) -> None:
    rule, channel = '[[rule]]\nname = "slow"\nkind = "too_long"\nlimit = "2h"', webhook("old")
    healthy.configure(table("docs"), rule, channel)
    healthy.runs_daemon()
    alerts = '[alerts]\nflapping_after = 5\n[[owner]]\nname = "data"'
    healthy.configure(table("docs"), rule.replace("2h", "3h"), webhook("new"), alerts)
    healthy.secret("new-url", "https://hooks.example")
    [(_, _, text, _)] = healthy.wrong()
    changed = "[[owner]] has changed, [alerts] has changed, channel new is new, channel old is gone"
    assert text == f"its config file was changed since: {changed}, rule slow has changed"


def test_a_token_that_is_named_and_not_set_keeps_a_daemon_from_starting(
    healthy: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ("daemon", "POST /sql is off") in [(each.about, each.text) for each in healthy.found()]
    monkeypatch.delenv("RUNLAKE_SQL_TOKEN", raising=False)
    healthy.configure('[daemon]\nsql_token = { env = "RUNLAKE_SQL_TOKEN" }', table("docs"))
    [(severity, about, text, _)] = healthy.wrong()
    assert (severity, about) == ("problem", "daemon")
    assert text.startswith("sql_token: environment variable RUNLAKE_SQL_TOKEN is not set")
    healthy.runs_daemon()
    assert healthy.wrong() == []


def test_a_channel_that_lacks_what_it_needs_is_a_problem(healthy: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy.configure(table("docs"), webhook("ops"))
    healthy.secret("ops-url", "https://hooks.example/x", mode=0o604)
    place = healthy.folder / "ops-url"
    exposed = ("warning", "channel ops", f"url: any user of this machine may read {place}", f"chmod 600 {place}")
    assert healthy.wrong() == [exposed]
    place.unlink()
    [(severity, about, text, todo)] = healthy.wrong()
    assert (severity, about, todo) == ("problem", "channel ops", "then: runlake alerts test-channel ops")
    assert f"cannot read the secret file {place}" in text
    monkeypatch.delenv("OPS_URL", raising=False)
    healthy.configure(table("docs"), webhook("ops").replace('file = "ops-url"', 'env = "OPS_URL"'))
    assert [row[:2] for row in healthy.wrong()] == [("problem", "channel ops")]
    healthy.runs_daemon()  # which may have what this shell lacks
    assert healthy.wrong() == []


# --- sources ---------------------------------------------------------------------------------------------------------


def token(ends: datetime) -> str:
    parts = (b'{"alg":"none"}', json.dumps({"exp": ends.timestamp()}).encode(), b"s3cr3t")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def test_secrets_that_are_unset_open_to_all_or_at_their_end_are_said(
    healthy: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(healthy.folder / "docs-token")
    healthy.secret("docs-token", token(NOW + 5 * DAY))
    renew = f"renew token (file {place})"
    assert healthy.wrong() == [("warning", "docs", "token expires in 5 days", renew)]
    healthy.secret("docs-token", token(NOW - 3 * HOUR))
    assert healthy.wrong() == [("problem", "docs", "token expired 3 hours ago", renew)]
    healthy.secret("docs-token", token(NOW + 60 * DAY), mode=0o644)
    assert healthy.wrong() == [
        ("warning", "docs", f"token: any user of this machine may read {place}", f"chmod 600 {place}")
    ]
    (healthy.folder / "docs-token").unlink()
    assert healthy.wrong() == [
        ("problem", "docs", f"token: cannot read the secret file {place}: No such file or directory", None)
    ]
    monkeypatch.delenv("DOCS_TOKEN", raising=False)
    healthy.configure(table("docs").replace('file = "docs-token"', 'env = "DOCS_TOKEN"'))
    [(severity, _, text, _)] = healthy.wrong()
    assert (severity, "environment variable DOCS_TOKEN is not set" in text) == ("problem", True)


def test_of_the_environment_a_daemons_counts_and_not_that_of_this_shell(
    healthy: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCS_TOKEN", raising=False)
    healthy.configure(table("docs").replace('file = "docs-token"', 'env = "DOCS_TOKEN"'))
    healthy.runs_daemon()
    assert healthy.wrong() == []
    assert healthy.daemon is not None
    healthy.daemon.sources["docs"].secrets_expire["token"] = NOW + 2 * DAY
    assert healthy.wrong() == [
        ("warning", "docs", "token expires in 2 days", "renew token (env DOCS_TOKEN) and restart the daemon")
    ]
    healthy.synced(started_at=NOW, outcome="failed", error_class="ConfigError", error="DOCS_TOKEN is not set")
    assert "problem" in [row[0] for row in healthy.wrong()]


@pytest.mark.parametrize(
    ("facts", "severity", "told", "todo"),
    [
        (
            {"error_class": "AuthenticationError", "error": "GET /x: HTTP 403 (forbidden)"},
            "problem",
            "HTTP 403",
            "renew",
        ),
        ({"error_class": "UnexpectedResponse", "error": "GET /x: no field id"}, "problem", "no field", "connector"),
        ({"error_class": "NotFound", "error": "GET /x: HTTP 404"}, "problem", "HTTP 404", "check the ids"),
        ({"error_class": "RateLimited", "error": "GET /x: HTTP 429"}, "warning", "HTTP 429", "requests_per_hour"),
        ({"error_class": "Unavailable", "error": "GET /x: HTTP 503"}, "warning", "HTTP 503", "tries again"),
        ({"error_class": "Unreachable", "error": "cannot reach x"}, "warning", "cannot reach", "tries again"),
        ({"outcome": "partial", "error_class": "NotFound", "error": "HTTP 404"}, "warning", "HTTP 404", "check the"),
        ({"outcome": "ok", "unreadable": 3}, "warning", "3 list items of the last sync could not", "documented"),
        ({"outcome": "ok", "waited_ms": 150_000}, "warning", "waited 2 minutes for the vendor's", "requests_per_hour"),
    ],
)
def test_what_the_last_sync_met_is_said(
    healthy: Practice, facts: dict[str, Any], severity: str, told: str, todo: str
) -> None:
    healthy.synced(**{"outcome": "failed", "started_at": NOW - MINUTE / 2, **facts})
    [(found, about, text, what)] = healthy.wrong()
    assert (found, about, told in text) == (severity, "docs", True), text
    assert what is not None and todo in what


def test_a_vendor_that_stays_away_becomes_a_problem(healthy: Practice) -> None:
    for seconds in range(3):
        at = NOW - MINUTE / 2 + timedelta(seconds=seconds)
        healthy.synced(started_at=at, outcome="failed", error_class="Unavailable", error="HTTP 503")
    [(severity, _, text, _)] = healthy.wrong()
    assert (severity, text) == ("problem", "HTTP 503 (3 syncs in a row)")


def test_if_all_vendors_clocks_are_off_by_the_same_it_is_ours(practice: Practice) -> None:
    practice.configure(table("one"), table("two", host="b.example"), table("three", host="c.example"))
    practice.synced("one", "two", skew_s=180)
    practice.synced("three", skew_s=170)
    assert practice.wrong() == [
        ("problem", "clock", "ours is 3 minutes behind, say 3 vendors", "set it: timedatectl set-ntp true")
    ]
    practice.synced("three", skew_s=0, started_at=NOW)
    assert [row[:3] for row in practice.wrong()] == [
        (
            "warning",
            name,
            "the vendor's clock is 3 minutes ahead of ours: other vendors agree with our clock",
        )
        for name in ("one", "two")
    ]


def test_of_two_clocks_nobody_knows_which_is_wrong(healthy: Practice) -> None:
    healthy.synced(skew_s=-7200, started_at=NOW)
    assert healthy.wrong() == [
        (
            "warning",
            "docs",
            "the vendor's clock is 2 hours behind ours: one of the two is wrong",
            "compare `date -u` with a third",
        )
    ]


def test_a_source_is_behind_when_it_missed_three_turns_of_its_schedule(practice: Practice) -> None:
    practice.configure(table("docs", more='cron = "0 6 * * * Europe/Berlin"'))
    practice.synced()
    assert practice.wrong(NOW + 2 * DAY) == []
    assert "docs" in [about for _, about, *_ in practice.wrong(NOW + 3 * DAY)]


def test_sources_that_were_never_synced_or_are_in_no_config_are_said(practice: Practice) -> None:
    practice.configure(table("docs"), table("gone"))
    practice.synced()
    practice.configure(table("docs"), table("new"))
    found = {about: (severity, text, todo) for severity, about, text, todo in practice.wrong()}
    assert found["new"] == ("warning", "it was never synced", "runlake sync new")
    assert found["gone"][1].startswith("it is in the ledger and in no config")
    assert found["daemon"][1] == "none runs, and new is behind"


def test_words_without_a_mapping_are_said_with_the_line_that_maps_them(healthy: Practice) -> None:
    healthy.runs("docs", Run(pipeline_id="p", run_id="a", vendor_status="odd", created_at=NOW - HOUR))
    assert healthy.wrong() == [
        (
            "warning",
            "docs",
            "no mapping for the word 'odd' of 1 run",
            'add to its table, with a unified status: statuses."odd" = "…"',
        )
    ]


def test_runs_open_for_weeks_that_nobody_can_read_are_said(healthy: Practice) -> None:
    old = Run(pipeline_id="p", run_id="a", vendor_status="running", created_at=NOW - 20 * DAY)
    healthy.runs("docs", old)
    [(severity, about, text, todo)] = healthy.wrong()
    assert (severity, about, todo) == ("warning", "docs", "runlake explain docs a")
    assert re.match(r"1 run open since 2026-06-24 10:00 or later could not be read for a day, such as a", text)


def test_runs_that_the_vendor_lists_and_the_ledger_lacks_are_said(healthy: Practice) -> None:
    async def compare() -> None:
        async with Store(healthy.folder / "ledger.duckdb") as store:
            listed = [(uuid4().hex, "p", each, NOW - DAY) for each in ("a", "b")]
            await store.compare("docs", listed, NOW - HOUR)
            await store.publish(NOW - MINUTE)

    asyncio.run(compare())
    [(severity, about, text, todo)] = healthy.wrong()
    assert (severity, about) == ("warning", "docs")
    assert text == "the vendor lists 2 runs that the ledger lacks"
    assert todo is not None and todo.startswith("runlake coverage docs")
    healthy.runs("docs", Run(pipeline_id="p", run_id="a", vendor_status="completed", created_at=NOW - DAY))
    assert healthy.wrong()[0][2] == "the vendor lists 1 run that the ledger lacks"


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=119), "119 seconds"),
        (timedelta(minutes=-3), "3 minutes"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(days=5, hours=11), "5 days"),
    ],
)
def test_lengths_are_in_a_unit_that_people_would_choose(time: timedelta, text: str) -> None:
    assert length(time) == text


def test_problems_come_first(healthy: Practice, runlake: Command) -> None:
    healthy.synced(started_at=NOW, outcome="failed", error_class="NotFound", error="HTTP 404")
    words = [line.split()[0] for line in runlake("doctor").out.splitlines()]
    assert words == sorted(words, key=[each.value for each in Severity].index)
    assert words[0] == "problem"
