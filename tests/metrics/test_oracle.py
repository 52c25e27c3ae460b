"""Every metric against polars, under a random history: of now and as known then, of all runs and of some.

RUNLAKE_EXAMPLES raises the number of histories, and then draws them anew each time.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest

from runlake.store.database import connect

from . import drawing, histories, oracle, oracle_failures
from .comparing import Rows, same
from .histories import DAY, ERRORS, FIRST, HOUR, LAST, WEEK, History, Look
from .truth import RUNS, STEPS, Known, known

EXAMPLES = os.environ.get("RUNLAKE_EXAMPLES")
# A history that shows all that is hard: each definition that is altered by a word fails one of its questions.
SEEDS = [16] if EXAMPLES is None else random.sample(range(10**6), int(EXAMPLES))
BERLIN = "Europe/Berlin"
NOW = LAST + 9 * WEEK
"""For what goes on until now."""


@dataclass(frozen=True)
class Ask:
    """One question: of which period, as known when (None: now), of which runs."""

    since: datetime
    until: datetime
    known_at: datetime | None = None
    team: str | None = None
    tz: str = "UTC"


@dataclass
class Case:
    """A history, the ledger that it was written into, and what is to be known of it."""

    history: History
    con: duckdb.DuckDBPyConnection
    signatures: oracle_failures.Signatures
    _known: dict[datetime | None, Known] = field(default_factory=dict)

    def known(self, at: datetime | None = None) -> Known:
        if at not in self._known:
            self._known[at] = known(self.history, at)
        return self._known[at]

    def runs(self, ask: Ask) -> pl.DataFrame:
        runs = self.known(ask.known_at).runs
        return runs if ask.team is None else runs.filter(_of_team(runs, ask.team))

    def sql(self, ask: Ask, query: str, *values: Any) -> Rows:
        """`query` with `mine` in it: the attempts asked for."""
        of = "runs" if ask.known_at is None else f"runs_at('{ask.known_at}')"
        where = "true" if ask.team is None else f"labels['team'] = '{ask.team}'"
        steps = "steps" if ask.known_at is None else f"failed_steps_at('{ask.known_at}')"
        # Named only where it is asked of: binding alone takes 10 ms.
        known_steps = f", known_steps AS (FROM {steps})" if "known_steps" in query else ""
        return self.ask(f"WITH mine AS (FROM {of} WHERE {where}){known_steps} {query}", *values)

    def ask(self, query: str, *values: Any) -> Rows:
        result = self.con.execute(query, list(values))
        names = [column[0] for column in result.description]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in result.fetchall()]


def _of_team(runs: pl.DataFrame, team: str) -> pl.Series:
    return pl.Series([labels.get("team") == team for labels in runs["labels"]], dtype=pl.Boolean)


def _plain(value: Any) -> Any:
    return value.hex if hasattr(value, "hex") and hasattr(value, "urn") else value


@pytest.fixture(scope="module", params=SEEDS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with _written(drawing.history(request.param), tmp_path_factory.mktemp("metrics")) as case:
        case.con.execute("CREATE TEMP TABLE mine_alone AS FROM runs WHERE labels['team'] = 'x'")
        yield case


@contextmanager
def _written(history: History, folder: Path) -> Iterator[Case]:
    path = folder / "runlake.duckdb"
    asyncio.run(histories.ledger(path, history))
    con = connect(path)
    con.execute("SET threads = 1")
    yield Case(history, con, _signatures(con))
    con.close()


def _signatures(con: duckdb.DuckDBPyConnection) -> oracle_failures.Signatures:
    """What becomes of one example of each error."""
    rng = random.Random(0)
    found: oracle_failures.Signatures = {}
    for error, (code, _) in ERRORS.items():
        ((found[error],),) = con.execute(
            "SELECT error_signature(?, ?)", [code, histories.message(error, rng)]
        ).fetchall()
    return found


# The last whole weeks, one before anything was seen, the first ever, one of a few hours, all, and one to come.
PERIODS = [
    (FIRST + 4 * WEEK, FIRST + 5 * WEEK),
    (FIRST + 5 * WEEK, LAST),
    (FIRST - WEEK, FIRST),
    (FIRST, FIRST + WEEK),
    (FIRST + 3 * WEEK, FIRST + 3 * WEEK + 5 * HOUR),
    (FIRST - DAY, LAST + 2 * DAY),
    (LAST + WEEK, LAST + 2 * WEEK),
]
ASKS = [
    *(Ask(since, until) for since, until in PERIODS),
    Ask(FIRST + 4 * WEEK, FIRST + 5 * WEEK, team="x", tz=BERLIN),
    Ask(FIRST + 4 * WEEK, FIRST + 5 * WEEK, known_at=FIRST + 5 * WEEK + 6 * HOUR, tz="Asia/Kathmandu"),
    Ask(FIRST + 3 * WEEK, FIRST + 4 * WEEK, known_at=FIRST + 4 * WEEK - 30 * HOUR, team="y", tz="America/New_York"),
    Ask(FIRST + 2 * WEEK, LAST, known_at=FIRST + 6 * WEEK - DAY),
    Ask(FIRST, FIRST + WEEK, known_at=FIRST - DAY),
]


# --- what is known ----------------------------------------------------------------------------------------------------

_RUNS = ", ".join(name for name in RUNS if name != "error")


def test_the_ledger_knows_what_was_shown(case: Case) -> None:
    assert case.known().runs.height > 500
    same(case.ask(f"SELECT {_RUNS} FROM runs"), case.known().runs.drop("error"), ["run_key"])


def _instants(case: Case) -> list[datetime]:
    """Of some looks, when they began, when they saw, and just before that; before the first and after the last."""
    looks = [event for event in case.history if isinstance(event, Look)]
    exact = [at for look in looks[5::10] for at in (look.at, look.seen_at, look.seen_at - timedelta(microseconds=1))]
    return [FIRST - WEEK, *exact, LAST + WEEK]


def test_runs_at(case: Case) -> None:
    for at in _instants(case):
        wanted = case.known(at).runs.drop("error")
        same(case.ask(f"SELECT {_RUNS} FROM runs_at(?)", at), wanted, ["run_key"])
    since, until = FIRST + 2 * WEEK, FIRST + 4 * WEEK
    got = case.ask(f"SELECT {_RUNS} FROM runs_at('{LAST}') WHERE created_at >= '{since}' AND created_at < '{until}'")
    wanted = case.known(LAST).runs.drop("error")
    same(got, wanted.filter(pl.col("created_at") >= since, pl.col("created_at") < until), ["run_key"])


def test_failed_steps_at(case: Case) -> None:
    columns = ", ".join(STEPS)
    for at in _instants(case):
        wanted = case.known(at).steps.filter(pl.col("status").is_in(["failed", "timed_out"]))
        same(case.ask(f"SELECT {columns} FROM failed_steps_at(?)", at), wanted, ["run_key", "step_no"])


def test_one_signature_for_all_of_an_error_and_none_for_two(case: Case) -> None:
    rng = random.Random(1)
    for error, (code, _) in ERRORS.items():
        messages = [histories.message(error, rng) for _ in range(20)]
        rows = case.ask(
            "SELECT DISTINCT error_signature(?, m) AS signature FROM unnest(?::VARCHAR[]) AS t(m)", code, messages
        )
        assert [row["signature"] for row in rows] == [case.signatures[error]]
    assert len(set(case.signatures.values())) == len(ERRORS)
    assert case.signatures["none"] is None
    assert not any("\n" in (signature or "") for signature in case.signatures.values())


# --- the metrics ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ASKS)
def test_runs_between(case: Case, ask: Ask) -> None:
    wanted = oracle.runs_between(case.runs(ask), ask.since, ask.until)
    failed = wanted["outcome"] == "failure"
    signed = wanted.with_columns(
        error_signature=pl.Series(
            [case.signatures[e] if e and f else None for e, f in zip(wanted["error"], failed, strict=True)],
            dtype=pl.String,
        )
    ).drop("error")
    got = case.sql(
        ask,
        f"SELECT {_RUNS}, pipeline, attempts, wasted_ms, error_signature FROM runs_between(?, ?, among := 'mine')",
        ask.since,
        ask.until,
    )
    same(got, signed.select(got[0].keys()) if got else signed, ["run_key"])


_PIPELINE = ("source", "pipeline_id")

_METRICS: dict[str, tuple[Callable[[Case, Ask], pl.DataFrame], tuple[str, ...]]] = {
    "outcomes_by_day": (
        lambda case, ask: oracle.outcomes_by_day(case.runs(ask), ask.since, ask.until, ZoneInfo(ask.tz)),
        (*_PIPELINE, "day"),
    ),
    "pipeline_stats": (lambda case, ask: oracle.pipeline_stats(case.runs(ask), ask.since, ask.until), _PIPELINE),
    "source_stats": (lambda case, ask: oracle.source_stats(case.runs(ask), ask.since, ask.until), ("source",)),
    "run_metrics": (
        lambda case, ask: oracle.run_metrics(case.runs(ask), ask.since, ask.until),
        (*_PIPELINE, "metric"),
    ),
    "recoveries": (
        lambda case, ask: oracle_failures.recoveries(case.runs(ask), ask.since, ask.until),
        (*_PIPELINE, "first_run_key"),
    ),
    "flaky_runs": (
        lambda case, ask: oracle_failures.flaky_runs(case.runs(ask), ask.since, ask.until),
        ("how", "failed_run_key", "passed_run_key"),
    ),
    "busy_hours": (
        lambda case, ask: oracle.busy_hours(case.runs(ask), ask.since, ask.until, ZoneInfo(ask.tz)),
        ("source", "weekday", "hour"),
    ),
    "regressions": (
        lambda case, ask: oracle_failures.regressions(case.runs(ask), ask.since, ask.until),
        (*_PIPELINE, "what"),
    ),
    "failure_changes": (
        lambda case, ask: oracle_failures.failure_changes(case.runs(ask), ask.since, ask.until, case.signatures),
        (*_PIPELINE, "signature"),
    ),
    "error_signatures": (
        lambda case, ask: oracle_failures.error_signatures(case.runs(ask), ask.since, ask.until, case.signatures),
        ("source", "signature"),
    ),
    "failing_steps": (
        lambda case, ask: oracle_failures.failing_steps(
            case.runs(ask), case.known(ask.known_at).steps, ask.since, ask.until
        ),
        (*_PIPELINE, "step"),
    ),
    "waits": (
        lambda case, ask: oracle_failures.waits(
            case.runs(ask), case.known(ask.known_at).changes, ask.since, ask.until, ask.known_at or NOW
        ),
        ("run_key", "waiting_from"),
    ),
}
"""Of each metric what it is by its definition, and what tells its rows apart."""

_MORE: dict[str, Callable[[Ask], str]] = {
    "outcomes_by_day": lambda ask: f", tz := '{ask.tz}'",
    "busy_hours": lambda ask: f", tz := '{ask.tz}'",
    "failing_steps": lambda ask: ", steps := 'known_steps'",
    "waits": lambda ask: f", known_at := '{ask.known_at or NOW}'",
}


@pytest.mark.parametrize("metric", _METRICS)
@pytest.mark.parametrize("ask", ASKS)
def test_metric(case: Case, metric: str, ask: Ask) -> None:
    compute, keys = _METRICS[metric]
    wanted = compute(case, ask)
    more = _MORE[metric](ask) if metric in _MORE else ""
    got = case.sql(ask, f"FROM {metric}('{ask.since}', '{ask.until}', among := 'mine'{more})")
    same(got, oracle.beside(wanted, case.known(), ask.since, ask.until), keys)


# --- how far that can be trusted --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def polled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    history = drawing.polls(SEEDS[0])
    with _written(history, tmp_path_factory.mktemp("polls")) as case:
        yield case


def test_source_coverage(polled: Case) -> None:
    _covered(polled, random.Random(SEEDS[0]), 30)


def test_source_coverage_of_runs(case: Case) -> None:
    _covered(case, random.Random(SEEDS[0]), 10)


def _covered(case: Case, rng: random.Random, times: int) -> None:
    begin, end = case.history[0].at, case.history[-1].at
    for _ in range(times):
        since = begin + rng.uniform(-0.2, 1) * (end - begin)
        until = since + rng.choice([HOUR, DAY, WEEK])
        # Mostly some hours after it, as a report is made; now and then before, or on a later day.
        known_at = max(since, until + rng.choice([6 * HOUR, HOUR, 3 * DAY, -5 * HOUR]))
        got = case.ask(f"FROM source_coverage('{since}', '{until}', known_at := '{known_at}')")
        same(got, oracle.source_coverage(case.history, since, until, known_at), ["source"])


@pytest.mark.parametrize("metric", _METRICS)
def test_a_caller_may_call_its_runs_whatever_it_likes(case: Case, metric: str) -> None:
    since, until = PERIODS[0]
    wanted = case.ask(f"FROM {metric}('{since}', '{until}', among := 'mine_alone') ORDER BY ALL")
    for name in ("known", "failed", "again"):
        got = case.ask(
            f"WITH {name} AS (FROM mine_alone) FROM {metric}('{since}', '{until}', among := '{name}') ORDER BY ALL"
        )
        assert got == wanted
