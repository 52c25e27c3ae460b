"""What a report says of thirteen weeks that are known by heart, and that it says the same on any later day."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runlake.config import Config
from runlake.errors import ConfigError
from runlake.report.gather import build
from runlake.report.model import Direction, Report, Section
from runlake.report.period import Period
from runlake.report.scope import Scope
from runlake.store.database import connect
from runlake.store.published import publish
from runlake.store.query import Reader

from . import seeded
from .seeded import AS_OF, DAY, HOUR, MONDAY, History, reported

OWNERS = Config.model_validate(
    {"owner": [{"name": "data", "sources": ["etl"], "pipelines": ["load"]}, {"name": "others", "sources": ["*"]}]}
)

Made = Callable[..., Report]


def made_of(ledger: Path, period: Period | None = None, *, pictures: bool = False, **scope: Any) -> Report:
    with Reader(ledger) as reader:
        return build(reader, OWNERS, period or reported(), Scope(**scope), pictures=pictures)


@pytest.fixture(scope="module")
def report(ledger: Path) -> Report:
    return made_of(ledger, pictures=True)


def section(report: Report, key: str) -> Section:
    [found] = [each for each in report.sections if each.key == key]
    return found


def said(report: Report, key: str, *columns: str) -> list[tuple[Any, ...]]:
    found = section(report, key)
    at = [[column.name for column in found.columns].index(name) for name in columns]
    return [tuple(row.values[place] for place in at) for row in found.rows]


def figure(report: Report, name: str) -> tuple[float | None, float | None]:
    [found] = [each for each in report.figures if each.name == name]
    return found.value, found.before


# --- what it says ----------------------------------------------------------------------------------------------------


def test_it_says_first_what_became_worse_and_what_to_look_at(report: Report) -> None:
    assert report.title == "Runs of 2026-W46"
    assert (report.direction, report.verdict) == (
        Direction.SAME,
        "Partly better, partly worse: 1 h 40 min lost to runs that came to nothing, 3 d the week before; "
        "75.7 % of 74 rated runs succeeded, 84.9 % of 73 the week before. "
        "Left out: chat and docs, not seen whole.",
    )
    assert [(item.about, item.text.split(":")[0]) for item in report.look_at] == [
        ("coverage", "chat could not be seen at all"),
        ("new_failures", "Load (etl) is failing with a new error"),
        ("less_reliable", "Shaky (etl) succeeds in 52.4 % of its 21 runs, 95.2 % before"),
    ]
    assert report.look_at[1].url == "https://etl.example.com/load/11150200/1"


@pytest.mark.parametrize(
    ("scope", "about", "texts"),
    [
        (
            {"sources": ["ml"]},
            ["waits"],
            ["A run of Review (ml) waits for somebody since Tue 10 Nov 01:00 (11092300)"],
        ),
        (
            {"sources": ["etl"], "pipelines": ["slow"]},
            ["slower", "coverage"],
            [
                "Slow (etl) takes 15 min (median), 5 min 14 s before",
                "etl lacks 3 runs that its vendor lists",
            ],
        ),
    ],
    ids=["waits", "slower"],
)
def test_what_is_less_urgent_is_told_where_nothing_fails(
    ledger: Path, scope: dict[str, Any], about: list[str], texts: list[str]
) -> None:
    found = made_of(ledger, **scope).look_at
    assert ([item.about for item in found], [item.text for item in found]) == (about, texts)


def test_every_thing_to_look_at_has_a_section(report: Report) -> None:
    assert {item.about for item in report.look_at} <= {each.key for each in report.sections}


def test_figures_stand_beside_those_of_the_week_before(report: Report) -> None:
    hour = HOUR // timedelta(milliseconds=1)
    assert figure(report, "runs") == (77, 78)
    assert figure(report, "failures") == (18, 11)
    assert figure(report, "pipelines failing at the end") == (2, 2)
    assert figure(report, "time lost") == (100 * 60_000, 72 * hour + 55 * 60_000)
    assert figure(report, "longest wait for people") == (6 * 24 * hour + 5 * hour, None)


def test_failures_are_new_recurring_or_fixed(report: Report) -> None:
    new = said(report, "new_failures", "pipeline", "error", "failures")
    assert new[0] == ("Load", "connection # refused", 5)
    assert new[1][0] == seeded.HOSTILE
    assert said(report, "recurring_failures", "pipeline", "error", "failures", "before") == [
        ("Shaky", "timeout after # s", 10, 4),
        ("Clean", "disk full", 1, 4),
        ("Train", "failed", 1, 4),
    ]
    assert said(report, "fixed_failures", "pipeline", "before") == [("Summary", 7)]


def test_what_got_worse_what_is_slow_flaky_and_wasteful(report: Report) -> None:
    assert said(report, "less_reliable", "pipeline", "success rate", "runs") == [
        ("Load", pytest.approx(2 / 7), 7),
        ("Shaky", pytest.approx(11 / 21), 21),
    ]
    assert said(report, "slower", "pipeline", "runs", "runs before") == [("Slow", 28, 112)]
    assert said(report, "slowest", "pipeline")[:2] == [("Review",), ("Slow",)]
    assert said(report, "flakiest", "pipeline", "passed when tried again", "passed the next time") == [("Train", 1, 1)]
    assert said(report, "most_wasteful", "pipeline", "time lost")[:2] == [("Shaky", 3_000_000), ("Load", 1_500_000)]
    assert said(report, "failing_steps", "step", "failed runs", "of failed runs") == [("open the door", 5, 5)]
    assert said(report, "error_signatures", "error", "pipelines")[0] == ("timeout after # s", 1)


def test_waits_cost_late_failures_and_alerts(report: Report) -> None:
    assert [row[0] is None for row in said(report, "waits", "to")] == [True, False]
    assert said(report, "cost", "metric", "total", "runs") == [("rows", 70.0, 7), ("tokens", 7084.0, 7)]
    assert said(report, "late_failures", "pipeline", "error") == [("Late", "gave up")]
    assert said(report, "alerts", "about", "over") == [
        ("etl/evil", MONDAY + 5 * DAY),
        ("etl/load", None),  # it was over when the report was made, but not when it was known
    ]


def test_of_alerts_only_those_that_had_fired_are_told(ledger: Path) -> None:
    thursday = made_of(ledger, reported(known_at=MONDAY + 3 * DAY + HOUR))
    assert said(thursday, "alerts", "about", "over") == [("etl/load", None)]


def test_every_source_is_told_of_also_those_that_could_not_be_seen(report: Report) -> None:
    assert said(report, "sources", "source", "runs", "success rate", "seen") == [
        ("chat", 0, None, "not whole"),
        ("docs", 0, None, "not whole"),
        ("etl", 68, pytest.approx(49 / 66), "whole"),
        ("ml", 9, 7 / 8, "whole"),
    ]
    assert said(report, "coverage", "source", "listed by the vendor", "missing") == [
        *[("chat", None, None), ("docs", None, None)],
        *[("etl", 16, 3), ("ml", None, None)],
    ]
    assert list(report.warnings) == [
        "chat could not be seen at all; runs of that time may be missing here.",
        "docs could never be seen whole; runs of that time may be missing here.",
        "etl: 3 runs of the 16 that its vendor lists had not been stored.",
        "1 run has a status word without a mapping, and counts neither way.",
    ]


def test_metrics_are_defined_in_the_words_of_the_ledger(report: Report) -> None:
    named = list(report.definitions)
    assert named[:3] == ["better or worse", "success_rate", "runs_between"], "what the others rest on comes first"
    assert {"recoveries", "waits"} <= {*named}
    assert "runs_at" not in named
    assert "success / (success + failure)" in report.definitions["success_rate"]


# --- the SQL behind it -----------------------------------------------------------------------------------------------


def test_the_sql_of_a_section_gives_its_rows_to_whoever_pastes_it(report: Report, reader: Reader) -> None:
    for each in report.sections:
        answer = reader.ask(each.sql)
        assert answer.columns == [*(column.name for column in each.columns), "url"], each.key
        assert list(answer.rows()) == [(*row.values, row.url) for row in each.rows], each.key


def test_so_does_that_of_a_figure_and_of_a_chart(report: Report, reader: Reader) -> None:
    for figure in report.figures:
        assert list(reader.ask(figure.sql).rows()) == [(figure.value, figure.before)], figure.name
    assert len(report.charts) == 5
    for chart in report.charts:
        assert list(reader.ask(chart.sql).rows()), chart.key


# --- as known then ---------------------------------------------------------------------------------------------------


def test_it_is_the_same_whatever_has_happened_since(report: Report, ledger: Path, tmp_path: Path) -> None:
    """Runs run again, reopened, mapped anew and gone; found late; sources seen again, and new ones; alerts over."""
    for file in ledger.parent.iterdir():
        shutil.copy(file, tmp_path)
    now = tmp_path / ledger.name
    seeded.later(now)
    assert made_of(now, pictures=True) == report
    later = made_of(now, reported(known_at=AS_OF + 8 * DAY, as_of=AS_OF + 8 * DAY))
    assert figure(later, "runs") != figure(report, "runs")


# --- less than a whole week ------------------------------------------------------------------------------------------


def test_it_can_be_of_some_sources_pipelines_owners_and_labels(ledger: Path) -> None:
    of_source = made_of(ledger, sources=["e*"])
    assert [row[0] for row in said(of_source, "sources", "source")] == ["etl"]
    assert of_source.scope == {"source": "e*"}
    of_owner = made_of(ledger, owners=["data"])
    assert figure(of_owner, "runs") == (7, 7)
    assert said(of_owner, "alerts", "about") == [("etl/load",)]
    of_others = made_of(ledger, owners=["!data"], labels={"team": "e*"}, pipelines=["!shaky"])
    assert figure(of_others, "runs") == (77 - 9 - 7 - 21, 78 - 8 - 5 - 7 - 21)
    with Reader(ledger) as reader:
        assert list(reader.ask(section(of_others, "sources").sql).rows())
        with pytest.raises(ConfigError, match="no source 'elt' in the ledger; there is etl"):
            build(reader, OWNERS, reported(), Scope(["elt"]), pictures=False)


def test_a_source_that_was_missing_all_week_is_neither_well_nor_better(ledger: Path) -> None:
    report = made_of(ledger, sources=["chat"])
    assert report.direction is Direction.UNKNOWN
    assert report.verdict == "No source could be seen whole: nothing can be compared."
    assert figure(report, "success rate") == (None, 1.0)
    assert said(report, "fixed_failures", "pipeline") == []
    assert (
        section(report, "fixed_failures").lead == "Nothing that failed in the four weeks before is known to be fixed."
    )
    assert [item.text.split(":")[0] for item in report.look_at] == ["chat could not be seen at all"]


def test_a_source_of_which_only_parts_were_ever_seen_is_told_of_with_its_runs(empty: Path) -> None:
    with connect(empty) as con:
        con.execute("INSERT INTO rl.sources VALUES ('ml', 'Brain', 'ml', NULL, NULL)")
        seeded.sync(con, "ml", MONDAY, "partial")
        seen = History()
        seen.run("ml/train", MONDAY + DAY, "bad")
        seen.put(con)
        publish(con, empty, AS_OF)
    report = made_of(empty)
    assert said(report, "sources", "source", "failures", "seen") == [("etl", 0, "whole"), ("ml", 1, "not whole")]
    assert report.warnings[0] == "ml could never be seen whole; runs of that time may be missing here."
    assert report.verdict == (
        "No run of the sources seen whole succeeded or failed in 2026-W46. Left out: ml, not seen whole."
    )


def test_a_pipeline_that_was_renamed_has_its_last_name(empty: Path) -> None:
    seen = History()
    for number, name in enumerate(("Old", "New", "Even newer")):
        at = MONDAY + number * DAY
        seen.run("etl/load", at, "bad", run_id=name, pipeline_name=name, error=f"no {name}")
        seen.run("etl/load", at + HOUR, attempt=2, run_id=name, pipeline_name=name)
    seen.run("etl/load", MONDAY + 3 * DAY, "bad", pipeline_name="Newest", error="no room")
    with connect(empty) as con:
        seen.put(con)
        publish(con, empty, AS_OF)
    report = made_of(empty)
    assert said(report, "flakiest", "pipeline", "flaky runs") == [("Even newer", 3)]
    assert report.look_at[0].text.startswith("Newest (etl) is failing with a new error: ")


def test_what_is_failing_is_told_by_its_last_run(empty: Path) -> None:
    """With a new error, with one that it had before, or with none that its vendor tells."""
    seen = History()
    for number, error in ((-7, "disk full"), (1, "no key"), (2, "no key"), (3, "disk full")):
        seen.run("etl/load", MONDAY + number * DAY, "bad", error=error)
    seen.run("etl/clean", MONDAY - 7 * DAY)
    for number, error in ((0, "no net"), (1, "no key"), (2, "no net")):
        seen.run("etl/clean", MONDAY + number * DAY, "bad", error=error)
    for number in range(4):
        seen.run("ml/train", MONDAY + number * DAY, "bad")
    with connect(empty) as con:
        seen.put(con)
        publish(con, empty, AS_OF)
    assert [item.text for item in made_of(empty).look_at] == [
        "Train (ml) is failing, which is new: 4 failures since Mon 9 Nov 00:00",
        "Load (etl) is still failing: 4 runs in a row since Mon 2 Nov 00:06",
        "Clean (etl) is failing with a new error: 2 failures since Mon 9 Nov 00:00, no net",
    ]


def test_what_fails_at_one_source_with_one_error_is_told_as_one(empty: Path) -> None:
    seen = History()
    for number, pipeline in enumerate("abc"):
        seen.run(f"etl/{pipeline}", MONDAY - DAY)
        for day in range(2 + number):
            seen.run(f"etl/{pipeline}", MONDAY + day * DAY, "bad", error="token expired")
    seen.run("etl/d", MONDAY + DAY, "bad", error="disk full", pipeline_name="\u202e ")
    with connect(empty) as con:
        seen.put(con)
        publish(con, empty, AS_OF)
    report = made_of(empty)
    assert [item.text for item in report.look_at] == [
        "C and 2 more pipelines (etl) are failing with a new error: 9 failures since Mon 9 Nov 00:00, token expired",
        "(no name) (etl) is failing with a new error: 1 failure since Tue 10 Nov 00:00, disk full",
    ]
    assert "Of the pipelines with five rated runs" in section(report, "less_reliable").lead


def test_a_run_that_failed_is_not_a_row_and_not_still_failing(empty: Path) -> None:
    seen = History()
    seen.run("etl/load", MONDAY - 8 * DAY)
    seen.run("etl/load", MONDAY - 7 * DAY, "bad", error="disk full")
    seen.run("etl/load", MONDAY)
    seen.run("etl/load", MONDAY + DAY, "bad", error="disk full")
    with connect(empty) as con:
        seen.put(con)
        publish(con, empty, AS_OF)
    assert [item.text for item in made_of(empty).look_at] == ["Load (etl) is failing: 1 run since Tue 10 Nov 00:06"]


def test_what_little_is_known_of_the_week_before_is_nothing_to_compare_with(empty: Path) -> None:
    seen = History()
    for number in range(-2, 4):
        seen.run("etl/load", MONDAY + number * DAY, "bad" if number % 2 else "ok", error="no key")
    with connect(empty) as con:
        seen.put(con)
        publish(con, empty, AS_OF)
    report = made_of(empty)
    assert report.direction is Direction.UNKNOWN
    assert {each.before for each in report.figures} == {None}
    with Reader(empty) as reader:
        assert list(reader.ask(report.figures[0].sql).rows()) == [(4.0, None)]


def test_what_is_no_longer_kept_is_said_to_be_missing(ledger: Path) -> None:
    for days, said_so in ((1, True), (3, False)):
        config = Config.model_validate({"daemon": {"keep_snapshots": f"{days}d"}})
        with Reader(ledger) as reader:
            made = build(reader, config, reported(), Scope(), pictures=False)
        assert any("no longer kept (keep_snapshots)" in warning for warning in made.warnings) is said_so


def test_a_list_says_how_many_it_leaves_out(empty: Path) -> None:
    seen = History()
    for number in range(12):
        seen.run(f"etl/{number}", MONDAY, "bad", error=f"{chr(97 + number)} is broken", metrics=[("rows", 1.0)])
    with connect(empty) as con:
        seen.put(con)
        publish(con, empty, AS_OF)
    report = made_of(empty)
    kept = {each.key: (len(each.rows), each.more) for each in report.sections if each.rows}
    assert kept["new_failures"] == kept["most_wasteful"] == (10, 2)
    assert (kept["cost"], kept["sources"]) == ((3, 0), (1, 0))
    assert section(report, "new_failures").lead.startswith("12 errors")


def test_a_week_that_is_not_over_says_so(ledger: Path) -> None:
    report = made_of(ledger, reported("2026-W47"))
    assert report.warnings[0] == "2026-W47 is not over: these are the figures of Wed 18 Nov 13:00."
    assert report.verdict.startswith("No run of the sources seen whole succeeded or failed in 2026-W47.")


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """A ledger with one source, which is seen, and nothing else."""
    path = tmp_path / "ledger.duckdb"
    with connect(path) as con:
        con.execute("INSERT INTO rl.sources VALUES ('etl', 'Flow', 'etl', ?, ?)", [MONDAY, AS_OF])
        publish(con, path, AS_OF)
    yield path


def test_a_week_without_a_run_reads_well(empty: Path) -> None:
    report = made_of(empty)
    assert (report.direction, report.verdict) == (Direction.UNKNOWN, "No run succeeded or failed in 2026-W46.")
    assert report.look_at == []
    assert figure(report, "success rate") == (None, None)
    assert report.warnings == ["No run is known, neither of this time nor of the weeks before."]


def test_a_first_week_with_one_run_reads_well(empty: Path) -> None:
    with connect(empty) as con:
        seen = History()
        seen.run("etl/load", datetime(2026, 11, 12, tzinfo=UTC), "bad", error="no door")
        seen.put(con)
        publish(con, empty, AS_OF)
    report = made_of(empty)
    assert (report.direction, report.verdict) == (
        Direction.UNKNOWN,
        "0 % of 1 rated run succeeded; too little is known of the week before to compare it with.",
    )
    assert [item.about for item in report.look_at] == ["new_failures"]
    assert said(report, "sources", "source", "runs") == [("etl", 1)]
