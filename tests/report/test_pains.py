"""What users of other tools suffer from in numbers and reports, and which test stands for which pain (the numbers are
those of the design's catalogue)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

PAINS = {
    24: [
        "store/test_metrics.py::test_a_success_rate_leaves_out_what_has_no_verdict",
        "store/test_metrics.py::test_the_figures_of_a_pipeline_and_of_its_source",
    ],
    46: [
        "report/test_pains.py::test_46_days_are_the_same_on_machines_of_other_zones",
        "store/test_metrics.py::test_days_and_weeks_are_those_of_the_zone",
        "metrics/test_calendar.py::test_busy_hours_and_days_are_those_of_the_clock_on_the_wall",
    ],
    47: ["sync/test_crash.py::test_a_killed_sync_loses_nothing_committed_and_the_next_make_good_the_rest"],
    48: [
        "test_cron.py::test_the_hour_is_that_of_the_zone_named",
        "cli/test_status.py::test_a_schedule_is_also_told_in_its_own_zone",
        "report/test_delivery.py::test_a_week_is_reported_once_however_often_the_cron_ticks_and_whichever_zone_it_has",
    ],
    49: ["alerts/test_kinds_missing.py::test_pain_49_a_run_that_is_a_little_early_counts"],
    50: ["sync/test_scenarios.py::test_a_duration_is_null_unless_both_ends_are_known_and_ordered"],
    51: [
        "report/test_delivery.py::test_a_subject_says_the_verdict_with_the_rate_of_both_weeks",
        "alerts/test_render.py::test_pain_51_times_are_those_of_the_readers_zone_and_say_which",
    ],
    82: [
        "report/test_delivery.py::test_what_takes_too_long_is_ended",
        "report/test_delivery.py::test_a_report_that_is_not_delivered_is_an_alert_until_one_is",
        "report/test_delivery.py::test_of_missed_ticks_the_last_is_made_up_for",
    ],
    83: ["report/test_charts.py::test_all_five_say_what_they_show"],
    84: [
        "report/test_delivery.py::test_a_week_is_reported_once_however_often_the_cron_ticks_and_whichever_zone_it_has",
        "report/test_gather.py::test_the_sql_of_a_section_gives_its_rows_to_whoever_pastes_it",
    ],
    85: [
        "report/test_gather.py::test_failures_are_new_recurring_or_fixed",
        "report/test_gather.py::test_figures_stand_beside_those_of_the_week_before",
    ],
    86: [
        "alerts/test_render.py::test_the_first_two_lines_say_why_and_what_went_wrong",
        "report/test_formats.py::test_links_of_a_page_lead_to_vendors_runs_without_saying_from_where_or_to_what_is_in_it",
    ],
    87: [
        "report/test_delivery.py::test_each_team_gets_its_own",
        "report/test_delivery.py::test_each_place_gets_what_it_can_show",
    ],
}


def test_every_pain_has_a_test() -> None:
    for number, tests in PAINS.items():
        for test in tests:
            file, _, name = test.partition("::")
            text = (TESTS / file).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{number}: there is no {test}"


def test_46_days_are_the_same_on_machines_of_other_zones(ledger: Path) -> None:
    query = (
        "SELECT created_at::DATE AS day, hour(created_at) AS hour, count(*) AS runs FROM runs GROUP BY ALL ORDER BY ALL"
    )
    program = (
        "import json, sys; from pathlib import Path; from runlake.store.query import Reader\n"
        f"with Reader(Path(sys.argv[1])) as reader: print(json.dumps(reader.read({query!r}), default=str))"
    )
    there = [
        subprocess.run(
            [sys.executable, "-c", program, str(ledger)],
            env={**os.environ, "TZ": zone},
            capture_output=True,
            check=True,
        ).stdout
        for zone in ("Asia/Tokyo", "America/Los_Angeles")
    ]
    assert there[0] == there[1]
    assert len(json.loads(there[0])) > 100
