"""`status` and `explain`: what an on-call person reads."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from runlake.emulator import UNDOCUMENTED_WORD, Fault, Faults

from .conftest import Command, Vendors, configure


def test_status_shows_every_source_even_before_the_first_sync(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    configure(project, vendors.table("clarifeye", project))
    done = runlake("status")
    assert done.code == 0
    assert done.out.splitlines()[1].split()[:4] == ["clarifeye", "-", "never", "synced"]
    assert done.err == "nothing has been synced yet: runlake sync\n"


def test_status_says_what_is_wrong_and_what_to_do(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project), vendors.table("truestate", project))
    (project / "clarifeye-token").write_text("revoked")
    runlake("sync")
    done = runlake("status")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()[:3]] == ["source", "clarifeye", "truestate"]
    assert re.search(r"^clarifeye\n  GET /clarifeye/\S+: HTTP 401.*\n(  .*\n)*?  → renew token \(file ", done.out, re.M)
    assert "not yet in full: clarifeye" in done.err
    [row] = runlake("status", "clarifeye", "--format", "json").json()
    assert (row["outcome"], row["failures"], row["observed_through"]) == ("failed", 1, None)
    assert row["error"] and row["todo"]


def test_status_gives_the_line_that_maps_a_new_word(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("truestate", project))
    vendors.emulator.truestate.faults = Faults(kinds={Fault.UNKNOWN_WORD}, limit=1)
    assert "with a word that has no mapping; see runlake status" in runlake("sync").err
    [row] = runlake("status", "--format", "json").json()
    assert row["unknown"] == 1
    [line] = row["lines"]
    assert line in runlake("status").out.splitlines()
    assert UNDOCUMENTED_WORD in line
    configure(project, vendors.table("truestate", project, more=line.replace("…", "waiting")))
    assert runlake("remap").code == 0
    [row] = runlake("status", "--format", "json").json()
    assert (row["unknown"], row["lines"]) == (0, [])


def test_explain_tells_what_was_seen_and_asked_and_by_which_rule(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    configure(project, vendors.table("clarifeye", project))
    runlake("sync")
    word = runlake(
        "sql", "SELECT run_id, vendor_status, status FROM runs WHERE status = 'succeeded' LIMIT 1", "--format", "json"
    )
    [run] = word.json()
    done = runlake("explain", "clarifeye", run["run_id"])
    assert done.code == 0
    assert (
        f"succeeded: the vendor's run word '{run['vendor_status']}' means succeeded, says the connector's table"
        in done.out
    )
    assert re.search(r"^ +seen in a list: GET /clarifeye/projects/\S+/pipeline-runs/", done.out, re.M)
    assert re.search(r"created_at: 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d XST$", done.out, re.M)
    configure(project, vendors.table("clarifeye", project, more='statuses = { completed = "skipped" }'))
    runlake("remap")
    told = runlake("explain", "clarifeye", run["run_id"], "--format", "json").json()
    assert [(row["read_by"], row["status_then"]) for row in told["history"]] == [
        ("list", "succeeded"),
        ("remap", "skipped"),
    ]
    assert "the source's own mapping in the config" in told["attempts"][0]["rule"]


def test_explain_names_what_changed_from_one_look_to_the_next(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    clock, before = vendors.emulator.clock, vendors.emulator.clock.now()
    clock.advance(timedelta(hours=-30))
    configure(project, vendors.table("clinia", project))
    runlake("sync")
    clock.set(before)
    runlake("sync")
    query = "SELECT run_id FROM run_history GROUP BY ALL HAVING count(DISTINCT status) > 1 LIMIT 1"
    [run] = runlake("sql", query, "--format", "json").json()
    out = runlake("explain", "clinia", run["run_id"]).out
    assert re.search(r"^ +finished_at: - → 20\d\d-", out, re.M)


def test_explain_takes_the_beginning_of_an_id_if_only_one_run_begins_so(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    configure(project, vendors.table("truestate", project))
    runlake("sync")
    ids = [row["run_id"] for row in runlake("sql", "SELECT run_id FROM runs", "--format", "json").json()]
    cut = ids[0][:18] + "…"  # as a table shows it
    assert f"run {ids[0]} of pipeline" in runlake("explain", "truestate", cut).out
    several = runlake("explain", "truestate", "")
    assert (several.code, several.err.count("\n")) == (2, 1)
    assert f"could be {len(ids)} runs of source truestate" in several.err
    none = runlake("explain", "truestate", "nope")
    assert none.code == 2
    assert none.err.startswith("runlake: no run 'nope' of source truestate is in the ledger")
