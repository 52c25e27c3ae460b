"""`runs` and `pipelines`: what people look up by hand."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from runlake.cli.looking.layout import Column, Line, lay_out
from runlake.cli.looking.pipelines import tell_missing

from .conftest import Command, Done
from .ledgers import NOW, a_run, a_step, publish_ledger

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

FAILED = a_run(
    "run-failed", 3 * HOUR, "failed", vendor_status="ERROR", error_message="table orders: \x1b[31mno such column\nat 7"
)
STEPPED = a_run("run-stepped", 30 * HOUR, "timed_out", pipeline_id="p2", pipeline_name="nightly_orders", source="chat")
RUNS = [
    a_run("run-now", 5 * MINUTE, "running"),
    a_run("run-new-word", 2 * HOUR, "unknown", vendor_status="NAPPING"),
    FAILED,
    a_run("run-again", 4 * HOUR, attempt=2, vendor_status="SUCCEEDED"),
    STEPPED,
    a_run("run-gone", 5 * HOUR, "failed", vanished_at=NOW),
    a_run("run-fine", 20 * DAY, pipeline_id="a", source="chat"),
    *(a_run(f"run-{number}", number * DAY, pipeline_name="Sync [orders]") for number in range(2, 40)),
]
STEPS = [
    a_step(STEPPED, "extract", "succeeded"),
    a_step(STEPPED, "load", number=1, error_message="no room"),
    a_step(STEPPED, "tell", number=2, error_message="never mind"),
]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_ledger(tmp_path_factory.mktemp("looked-at"), RUNS, STEPS)


@pytest.fixture
def ask(ledger: Path, project: Path, runlake: Command) -> Command:
    def asked(*arguments: str) -> Done:
        return runlake("-c", str(ledger), *arguments)

    return asked


def ids(done: Done) -> list[str]:
    assert done.code == 0, done.err
    return [row["run_id"] for row in done.json()]


# --- runs ------------------------------------------------------------------------------------------------------------


def test_runs_are_the_newest_first_and_it_is_said_how_many_more_there_are(ask: Command) -> None:
    done = ask("runs", "--limit", "3")
    assert done.code == 0
    head, *lines = done.out.splitlines()
    assert head.split() == ["created", "(XST)", "source", "pipeline", "status", "vendor", "says", "lasts", "run"]
    assert [line.split()[-1] for line in lines if not line.startswith(" ")] == ["run-now", "run-new-word", "run-failed"]
    assert re.match(r"the newest 3 of 44 runs; --limit shows more\nas of .* XST \(2 sources seen through ", done.err)
    assert "more" not in ask("runs").err


def test_times_are_the_readers(ask: Command) -> None:
    there = (NOW - 5 * MINUTE).astimezone().replace(tzinfo=None)
    assert ask("runs", "--limit", "1").out.splitlines()[1].startswith(there.isoformat(" ", "minutes"))


def test_what_went_wrong_stands_below_a_run_that_failed(ask: Command) -> None:
    out = ask("runs", "--failed").out
    assert "ERROR" in out
    assert "\n    table orders: no such column at 7\n" in out
    assert "\n    load: no room\n" in out


def test_the_vendors_word_is_shown_where_it_is_another(ask: Command) -> None:
    out = ask("runs", "--limit", "5").out
    assert re.search(r" unknown +NAPPING +2 h +run-new-word$", out, re.M)
    assert re.search(r" failed +ERROR +1 min +run-failed$", out, re.M)
    assert re.search(r" succeeded +1 min +2 +run-again$", out, re.M)
    assert re.search(r" running +5 min +run-now$", out, re.M)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--failed"], ["run-failed", "run-stepped"]),
        (["--failed", "--since", "24h"], ["run-failed"]),
        (["--failed", "--source", "chat"], ["run-stepped"]),
        (["--open"], ["run-now", "run-new-word"]),
        (["--status", "unknown", "--status", "timed_out"], ["run-new-word", "run-stepped"]),
        (["--pipeline", "nightly_*"], ["run-stepped"]),
        (["--pipeline", "p2"], ["run-stepped"]),
        (["--pipeline", "Sync [[]*", "--limit", "1"], ["run-2"]),
        (["--since", "10h", "--until", "3h"], ["run-failed", "run-again"]),
        (["--source", "etl", "--source", "chat", "--failed"], ["run-failed", "run-stepped"]),
        (["--pipeline", "nightly_*", "--pipeline", "!*orders"], []),
        (["--pipeline", "' OR true --"], []),
        (["--source", "ch*", "--failed"], ["run-stepped"]),
    ],
)
def test_runs_can_be_chosen(ask: Command, arguments: list[str], found: list[str]) -> None:
    done = ask("runs", *arguments, "--format", "json")
    assert ids(done)[:2] == found


def test_a_day_begins_at_the_readers_midnight(ask: Command) -> None:
    day = (NOW - 3 * DAY).astimezone().date()
    rows = ask("runs", "--since", str(day), "--format", "json").json()
    since = datetime.combine(day, datetime.min.time()).astimezone()
    assert {row["run_id"] for row in rows} == {
        run["run_id"] for run in RUNS if run["created_at"] >= since and run["run_id"] != "run-gone"
    }
    here = FAILED["created_at"].astimezone().replace(tzinfo=None)
    assert "run-failed" in ids(ask("runs", "--since", here.isoformat(), "--format", "json"))


def test_machines_get_raw_values(ask: Command) -> None:
    [row] = ask("runs", "--failed", "--source", "chat", "--format", "json").json()
    assert row["created_at"] == (NOW - 30 * HOUR).isoformat().replace("+00:00", "Z")
    assert (row["duration_ms"], row["status"], row["outcome"]) == (60_000, "timed_out", "failure")
    assert (row["failed_step"], row["step_error"], row["error_message"]) == ("load", "no room", None)


@pytest.mark.parametrize("command", ["runs", "pipelines"])
@pytest.mark.parametrize("columns", [40, 80, 100, 160])
def test_no_line_is_wider_than_the_screen(
    ask: Command, monkeypatch: pytest.MonkeyPatch, columns: int, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = ask(command).out.splitlines()
    assert max(map(len, lines)) <= columns
    assert all("…" not in line for line in lines) or columns < 160


def test_nothing_found_is_said(ask: Command) -> None:
    assert ask("runs", "--pipeline", "nope").out == "no such run\n"
    assert ask("runs", "--pipeline", "nope", "--format", "json").out == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--failed", "--open"], "write --failed, --open or --status, not several of them"),
        (["--status", "broken"], "invalid value for '--status'"),
        (["--source", "elt"], "no source 'elt'; there is etl"),
        (["--since", "yesterday"], "--since yesterday: write how long ago, such as 24h"),
        (["--since", "2026-13-40"], "--since 2026-13-40: write how long ago"),
        (["--since", "1h", "--until", "2h"], "--since 1h is not before --until 2h"),
        (["--since", "9999-12-31"], "--since 9999-12-31 is in the future"),
        (["--limit", "0"], "invalid value for '--limit'"),
    ],
)
def test_a_slip_is_one_line(ask: Command, arguments: list[str], told: str) -> None:
    done = ask("runs", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"runlake: {told}")


def test_without_a_published_copy_it_is_said_what_makes_one(ledger: Path, project: Path, runlake: Command) -> None:
    (project / "runlake.toml").write_text(ledger.read_text())
    for command in (["runs"], ["pipelines"], ["top"], ["export", "--output", "out"]):
        done = runlake(*command)
        assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
        assert "`runlake sync` makes one" in done.err


def test_an_empty_ledger_has_no_run(project: Path, runlake: Command) -> None:
    publish_ledger(project, [])
    assert runlake("runs").out == "no run\n"


def test_text_of_any_width_stays_in_its_column() -> None:
    columns = [Column("pipeline", least=6), Column("run", least=4, goes=1), Column("empty", goes=2)]
    lines = [Line(["日次の売上集計", "run-1", ""], below="表が見つかりません " * 9), Line(["\x1b[2Jp", "run-\n2", ""])]
    for width in (8, 12, 20, 60):
        shown = lay_out(columns, lines, width)
        assert max(line.cell_len for line in shown) <= width
        assert [line.plain.split()[0] for line in shown if line.plain[0] != " "][2] == "p"
    assert lay_out(columns, lines, 60)[0].plain == "pipeline        run"


def test_what_is_said_below_breaks_at_a_space_unless_that_leaves_half_a_line_empty() -> None:
    def below(text: str) -> list[str]:
        return [line.plain for line in lay_out([Column("run")], [Line(["r"], below=text)], 24)[2:]]

    assert below("no such column in table orders") == ["    no such column in", "    table orders"]
    assert below(f"at {'x' * 40}") == [f"    at {'x' * 17}", f"    {'x' * 19}…"]


# --- pipelines -------------------------------------------------------------------------------------------------------


def test_pipelines_that_fail_come_first_with_how_many_runs_did(ask: Command) -> None:
    done = ask("pipelines")
    assert done.code == 0
    head, first, *others = done.out.splitlines()
    assert head.split()[:3] == ["source", "pipeline", "runs"]
    assert re.match(r"chat +nightly_orders +1 +0 % of 1 +20\S+ \d\d:\d\d +timed_out +1 run$", first)
    # What failed, again and the 28 of 29 days before: not what is open, unknown or gone.
    assert re.match(r"etl +p1 +\d+ +96\.\d % of \d\d +1 min +20\S+ \d\d:\d\d +running +1 run$", others[0])
    assert "as of " in done.err


def test_pipelines_can_be_chosen(ask: Command) -> None:
    assert [row["pipeline"] for row in ask("pipelines", "--source", "chat", "--format", "json").json()] == [
        "nightly_orders",
        "a",
    ], "what fails first, then by name"
    assert ask("pipelines", "--failing", "--source", "chat", "--since", "1h").out == "no pipeline fails\n"
    none = ask("pipelines", "--pipeline", "nope", "--since", "2026-01-31T12:00Z").out
    assert none.startswith("no pipeline has run since 2026-01-31 ")
    assert ask("pipelines", "--pipeline", "nope", "--format", "json").out == "[]\n"


def test_machines_get_all_figures_of_a_pipeline(ask: Command) -> None:
    [row, _] = ask("pipelines", "--source", "chat", "--format", "json").json()
    assert (row["runs"], row["failure"], row["success_rate"], row["p50_ms"], row["streak"]) == (1, 1, 0.0, None, 1)
    assert datetime.fromisoformat(row["failing_since"]) == NOW - 30 * HOUR + MINUTE


def test_what_its_vendor_lists_and_the_ledger_lacks_is_told_once_of_each_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell_missing([{"source": source, "missing_runs": count} for source, count in (("b", 2), ("b", 1), ("a", None))])
    assert capsys.readouterr().err == "b: without 3 runs that its vendor lists; see: runlake coverage b\n"


def test_a_copy_of_an_older_runlake_is_said_to_be_one(
    ask: Command, ledger: Path, project: Path, runlake: Command
) -> None:
    publish_ledger(project, [])
    with duckdb.connect(str(project / "ledger.published.duckdb")) as con:
        con.execute("DROP MACRO TABLE recoveries")
    done = runlake("pipelines")
    assert (done.code, done.err.count("\n")) == (3, 1)
    assert "an older runlake made the published copy" in done.err
