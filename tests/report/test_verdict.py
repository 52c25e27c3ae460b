"""Better or worse: by the rule that the report states."""

from __future__ import annotations

import pytest

from runlake.report.model import Direction
from runlake.report.verdict import RULE, Totals, judged, standard_errors

from .seeded import reported

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("now", "before", "direction", "said"),
    [
        # By the success rate, where that is no chance.
        (Totals(900, 100), Totals(960, 40), Direction.WORSE, "90.0 % of 1,000 rated runs succeeded, 96.0 % of 1,000"),
        (Totals(960, 40), Totals(900, 100), Direction.BETTER, "96.0 % of 1,000 rated runs succeeded, 90.0 %"),
        (Totals(0, 5), Totals(5, 0), Direction.WORSE, "0 % of 5 rated runs succeeded, 100 % of 5"),
        # Else by what fails at the end, and by the time lost.
        (
            Totals(95, 5, failing=4),
            Totals(95, 5, failing=1),
            Direction.WORSE,
            "4 pipelines fail at the end of it, 1 at",
        ),
        (
            Totals(95, 5, failing=1),
            Totals(95, 5, failing=4),
            Direction.BETTER,
            "1 pipeline fails at the end of it, 4 at",
        ),
        (Totals(95, 5, failing=20), Totals(95, 5, failing=18), Direction.SAME, "95.0 % of 100 rated runs succeeded"),
        (
            Totals(95, 5, 3 * HOUR),
            Totals(95, 5, HOUR),
            Direction.WORSE,
            "3 h lost to runs that came to nothing, 1 h the",
        ),
        (Totals(95, 5, HOUR), Totals(95, 5, 3 * HOUR), Direction.BETTER, "1 h lost"),
        (Totals(95, 5, 9 * HOUR), Totals(95, 5, 8 * HOUR), Direction.SAME, "95.0 %"),
        # Neither says the opposite of the rate.
        (Totals(90, 10, HOUR), Totals(95, 5, 9 * HOUR), Direction.SAME, "Partly better, partly worse: 1 h lost"),
        (Totals(90, 10, failing=0), Totals(95, 5, failing=9), Direction.SAME, "Partly better, partly worse: 0 pipe"),
        (Totals(90, 10), Totals(95, 5), Direction.SAME, "; so much may be chance."),
        # Nor one of the two of the other.
        (
            Totals(95, 5, HOUR, failing=2),
            Totals(95, 5, 9 * HOUR),
            Direction.SAME,
            "Partly better, partly worse: 2 pipelines fail at the end of it, 0 at the end of the week before; 1 h lost "
            "to runs that came to nothing, 9 h the week before; 95.0 %",
        ),
        (Totals(95, 5, HOUR), Totals(95, 5, 9 * HOUR, failing=2), Direction.BETTER, "0 pipelines fail at the end of"),
        # Nobody can tell.
        (Totals(1, 0), Totals(0, 1), Direction.UNKNOWN, "too few to tell"),
        (Totals(2, 2), Totals(2, 3), Direction.UNKNOWN, "too few to tell"),
        (Totals(2, 3), Totals(3, 2), Direction.SAME, "40.0 % of 5 rated runs succeeded, 60.0 % of 5"),
        (Totals(), Totals(95, 5), Direction.UNKNOWN, "No run succeeded or failed in 2026-W46."),
        (Totals(95, 5), Totals(), Direction.UNKNOWN, "too little is known of the week before"),
        # Both alike: no division by zero.
        (Totals(9, 0), Totals(8, 0), Direction.SAME, "100 % of 9 rated runs succeeded, 100 % of 8"),
        (Totals(0, 9), Totals(0, 8), Direction.SAME, "0 % of 9 rated runs succeeded, 0 % of 8"),
    ],
)
def test_the_direction_and_the_numbers_behind_it(now: Totals, before: Totals, direction: Direction, said: str) -> None:
    found = judged(reported(), now, before, compared={"etl"}, left_out=[], is_new=False)
    assert found[0] is direction
    assert said in found[1]


def test_what_could_not_be_seen_is_neither_better_nor_worse() -> None:
    fine, none = Totals(100, 0), Totals()
    direction, said = judged(reported(), fine, fine, compared={"etl"}, left_out=["ml", "\x1b[31mred"], is_new=False)
    assert direction is Direction.SAME
    assert said.endswith("Left out: ml and red, not seen whole.")
    direction, said = judged(reported(), none, none, compared=set(), left_out=["ml"], is_new=False)
    assert direction is Direction.UNKNOWN
    assert said == "No source could be seen whole: nothing can be compared."


def test_a_first_week_has_no_direction() -> None:
    direction, said = judged(reported(), Totals(90, 10), Totals(9, 0), compared={"etl"}, left_out=[], is_new=True)
    assert direction is Direction.UNKNOWN
    assert said == "90.0 % of 100 rated runs succeeded; too little is known of the week before to compare it with."


def test_the_standard_errors_are_those_of_two_proportions() -> None:
    # By hand: p = 0.93, error = sqrt(0.93 * 0.07 * 2 / 1000) = 0.01141.
    assert standard_errors(Totals(900, 100), Totals(960, 40)) == pytest.approx(-5.258, abs=0.001)


def test_the_rule_is_told_with_its_numbers() -> None:
    assert "by 2 standard errors" in RULE
    assert "25 %" in RULE
