"""The unified vocabulary and the identity of a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runlake.model import Outcome, Run, RunRef, RunStatus, StatusTable, run_key

TEXT = st.text(alphabet=st.characters(exclude_characters="\x1f", exclude_categories=()), max_size=20)
REFS = st.builds(RunRef, TEXT, TEXT, st.integers(1, 9))


def test_the_vocabulary_is_the_published_one() -> None:
    """SQL, alerts and reports are written against these words; adding one is a change for every reader."""
    assert {status.value: (status.is_final, status.outcome and status.outcome.value) for status in RunStatus} == {
        "queued": (False, None),
        "running": (False, None),
        "waiting": (False, None),
        "succeeded": (True, "success"),
        "succeeded_with_warnings": (True, "success"),
        "failed": (True, "failure"),
        "timed_out": (True, "failure"),
        "cancelled": (True, "neutral"),
        "rejected": (True, "neutral"),
        "skipped": (True, "neutral"),
        "unknown": (False, None),
    }


def test_each_outcome_is_that_of_some_status() -> None:
    assert {status.outcome for status in RunStatus} == {*Outcome, None}


def test_a_word_that_is_not_listed_is_unknown_and_is_not_remembered() -> None:
    table = StatusTable(done=RunStatus.SUCCEEDED)
    assert table["done"] is RunStatus.SUCCEEDED
    for word in ("DONE", "done ", "", "exploded"):
        assert table[word] is RunStatus.UNKNOWN
        assert word not in table
    assert dict(table) == {"done": RunStatus.SUCCEEDED}


def test_a_run_knows_its_reference() -> None:
    assert Run(pipeline_id="p", run_id="r", vendor_status="x", attempt=3).ref == RunRef("p", "r", 3)
    assert Run(pipeline_id="p", run_id="r", vendor_status="x").ref == RunRef("p", "r")


def test_runs_share_no_labels_metrics_or_steps() -> None:
    one, other = (Run(pipeline_id="p", run_id=id_, vendor_status="x") for id_ in "ab")
    one.labels["a"] = "b"
    one.metrics["a"] = 1.0
    assert (other.labels, other.metrics, other.steps) == ({}, {}, None)


@given(TEXT, REFS)
def test_a_key_is_32_hex_digits_and_stays_the_same(source: str, ref: RunRef) -> None:
    key = run_key(source, ref)
    assert len(key) == 32
    assert set(key) <= set("0123456789abcdef")
    assert run_key(source, RunRef(ref.pipeline_id, ref.run_id, ref.attempt)) == key


@given(TEXT, REFS, TEXT, REFS)
def test_two_runs_have_two_keys(source: str, ref: RunRef, other_source: str, other: RunRef) -> None:
    assert (run_key(source, ref) == run_key(other_source, other)) == ((source, ref) == (other_source, other))


def test_the_key_of_a_stored_run_never_changes() -> None:
    """Ledgers hold these. A new way to compute them would double every run."""
    assert run_key("clinic-prod", RunRef("clinic", "2wil32MxUz", 1)) == "894acf22ffd75fba4ea13c4a6c932fe3"
