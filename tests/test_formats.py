"""Text and lengths of time as people read them; what terminals and machines read is tested where it is shown."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runlake.formats import lasting, some


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(), "0 s"),
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(minutes=8, seconds=30), "8 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=2, minutes=5, seconds=59), "2 h 5 min"),
        (timedelta(days=1), "1 d"),
        (timedelta(days=12, hours=3, minutes=59), "12 d 3 h"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_units(length: timedelta, text: str) -> None:
    assert lasting(length) == text


def test_how_many_there_are_is_said_with_the_word_for_one_or_for_several() -> None:
    assert [some(count, "run") for count in (0, 1, 1234)] == ["0 runs", "1 run", "1,234 runs"]
