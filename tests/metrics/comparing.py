"""Rows of a metric against what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

Rows = list[dict[str, Any]]


def same(got: Rows, wanted: Rows | pl.DataFrame, keys: Sequence[str]) -> None:
    """The same rows in any order, and the same columns; floats to nine digits."""
    wanted = wanted.to_dicts() if isinstance(wanted, pl.DataFrame) else wanted

    def key(row: dict[str, Any]) -> list[str]:
        return [str(row[name]) for name in keys]

    assert [key(row) for row in sorted(got, key=key)] == [key(row) for row in sorted(wanted, key=key)]
    for have, want in zip(sorted(got, key=key), sorted(wanted, key=key), strict=True):
        assert have.keys() == want.keys()
        wrong = {name: (have[name], value) for name, value in want.items() if not _equal(have[name], value)}
        assert not wrong, (key(have), wrong)


def _equal(have: Any, want: Any) -> bool:
    if isinstance(want, float) and have is not None:
        return bool(have == pytest.approx(want, rel=1e-9))
    return bool(have == want)
