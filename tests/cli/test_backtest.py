"""`runlake alerts backtest`: what it says to eyes and to machines, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.receivers import recording

from .conftest import Command
from .test_alerts import AT_ONCE, DAY, ETL, HOSTILE, MINUTE, NOW, Ledger, run


@pytest.fixture
def ledger(project: Path) -> Iterator[Ledger]:
    """A pipeline that has just failed, after the first sync saw one that had long ended."""
    (project / "token").write_text("s3cr3t")
    with recording() as recorder:
        ledger = Ledger(project, recorder)
        ledger.configure(ETL, AT_ONCE)
        ledger.synced(run("old", "failed", NOW - DAY))
        ledger.synced(run("new", "failed", NOW + 10 * MINUTE, pipeline_name=HOSTILE))
        yield ledger


def test_it_says_what_a_rule_would_have_sent(ledger: Ledger, runlake: Command) -> None:
    done = runlake("alerts", "backtest", "failed", "--last", "2h", "--all")
    assert done.code == 0
    assert "messages: 1 (1 that something began)" in done.out
    assert "alerts that fired: 1, of which 0 are over and 1 still open" in done.out
    assert "run new ended as failed" in done.out
    assert "\x1b" not in done.out and "\u202e" not in done.out
    assert "note: without what people did" in done.err
    assert "the ledger begins at" in done.err


def test_machines_get_each_alert(ledger: Ledger, runlake: Command) -> None:
    content = runlake("alerts", "backtest", "failed", "--format", "json").json()
    assert (content["messages"], content["messages_by_event"], content["fired"]) == (1, {"open": 1}, 1)
    [alert] = content["alerts"]
    assert (alert["key"], alert["state"], alert["told"]) == ("etl/p/nightly", "firing", True)
    assert "alert_id" not in alert
    assert content["resolved_within"] == {"15m": 0, "1h": 0}


def test_a_rule_on_trial_need_not_be_in_force(ledger: Ledger, runlake: Command) -> None:
    trial = '[[rule]]\nname = "trial"\nkind = "failed"\nin_a_row = 2\nenabled = false\n'
    ledger.configure(ETL, AT_ONCE, trial)
    assert runlake("alerts", "backtest", "trial", "--format", "json").json()["fired"] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["drift"], "runlake: no rule 'drift' is in the config or built in; there are failed,"),
        (["coverage_gap"], "runlake: rule coverage_gap cannot be replayed: which runs were found missing when"),
        (["failed", "--last", "soon"], 'runlake: --last soon: write a length of time such as "90s"'),
        (["failed", "--last", "5000d"], "runlake: --last 5000d: write at most 366d"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_one_line(
    ledger: Ledger, runlake: Command, arguments: list[str], told: str
) -> None:
    done = runlake("alerts", "backtest", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(told) and done.err.count("\n") == 1


def test_before_the_first_sync_it_says_what_to_do(project: Path, runlake: Command) -> None:
    (project / "token").write_text("s3cr3t")
    with recording() as recorder:
        Ledger(project, recorder).configure(ETL)
    assert "nothing has been synced yet: runlake sync" in runlake("alerts", "backtest", "failed").err
