"""The config read again while the daemon runs."""

from __future__ import annotations

import signal
from collections.abc import Callable

from cli.conftest import run

from .conftest import WITHIN, Account, Gate, Running, configure, until

Begin = Callable[..., Running]


def test_sources_come_change_and_go_and_a_bad_file_changes_nothing(account: Account, begin: Begin) -> None:
    folder, clerk, esper = account.folder, account.table("clerk"), account.table("esper")
    path = configure(folder, clerk)
    daemon = begin()
    daemon.wait_for("source.synced", source="clerk")

    configure(folder, clerk, esper)
    done = run("reload", cwd=folder)
    assert (done.code, done.out) == (0, "esper is new\n")
    daemon.wait_for("source.synced", source="esper")

    good = path.read_text()
    for bad, words in (
        (good + "nonsense", "line"),
        (good.replace('every = "1s"', 'every = "soon"'), "every"),
        (good.replace("runlake.duckdb", "other.duckdb"), "`database` has changed, which takes a restart"),
        (good.replace('listen = "127', 'listen = "0'), "`daemon.listen` has changed, which takes a restart"),
    ):
        path.write_text(bad)
        refused = daemon.control("POST", "/reload")
        assert refused.status_code == 409
        assert words in refused.json()["error"]
        daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("config.refused", times=1, kept="what ran before")
    assert daemon.control("GET", "/status").json()["sources"].keys() == {"clerk", "esper"}
    assert not (folder / "other.duckdb").exists()

    configure(folder, esper.replace('"1s"', '"2s"'), '[[rule]]\nname = "slow"\nkind = "too_long"\n')
    daemon.process.send_signal(signal.SIGHUP)
    changes = daemon.wait_for("config.reloaded", times=2)["changes"]
    assert changes == ["clerk is polled no more; its history stays", "esper has changed", "rule slow is new"]
    assert daemon.control("GET", "/status").json()["sources"].keys() == {"esper"}
    done = run("reload", cwd=folder)
    assert (done.code, done.out, done.err) == (0, "", "all is as it was\n")
    assert daemon.control("POST", "/sync", json={"source": "clerk"}).status_code == 409
    assert daemon.end()[0] == 0
    assert {source for (source,) in daemon.published("SELECT DISTINCT source FROM runs")} == {"clerk", "esper"}


def test_a_source_taken_out_and_put_back_while_its_sync_runs_is_polled_on(account: Account, begin: Begin) -> None:
    folder, clerk, esper = account.folder, account.table("clerk"), account.table("esper")
    configure(folder, clerk, esper)
    account.stage.scene = gate = Gate(account.emulator, requests=0, only="/clerk")
    daemon = begin()
    assert gate.reached.wait(WITHIN)
    for tables in ((esper,), (clerk, esper)):
        configure(folder, *tables)
        assert daemon.control("POST", "/reload").status_code == 200
    account.stage.scene = account.emulator
    daemon.wait_for("source.synced", source="clerk", outcome="ok")
    gate.open()
    count = 'runlake_attempts_total{kind="sync",outcome="ok",source="clerk"}'
    until(lambda: daemon.metric(count).get("", 0) >= 3, "further syncs")
    assert daemon.end()[0] == 0
    doubled = "SELECT count(*) - count(DISTINCT run_key), count(*) > 0 FROM runs"
    assert daemon.published(doubled) == [(0, True)]


def test_a_source_changed_while_its_sync_runs_is_asked_again_at_once(account: Account, begin: Begin) -> None:
    folder, clerk = account.folder, account.table("clerk", 'every = "1h"')
    configure(folder, clerk)
    key = next(folder.glob("clerk-*"))
    good = key.read_text()
    key.write_text("revoked")
    account.stage.scene = gate = Gate(account.emulator, requests=0)
    daemon = begin()
    assert gate.reached.wait(WITHIN)
    key.write_text(good)
    configure(folder, clerk.replace('"1h"', '"2h"'))
    assert daemon.control("POST", "/reload").json() == {"changes": ["clerk has changed"]}
    gate.open()
    daemon.wait_for("source.down", source="clerk", error_class="AuthenticationError")
    daemon.wait_for("source.recovered", source="clerk")
    assert daemon.end()[0] == 0
