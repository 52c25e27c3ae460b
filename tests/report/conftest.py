from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runlake.store.query import Reader

from . import seeded


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen weeks, published; nothing is written to it."""
    path = tmp_path_factory.mktemp("report") / "ledger.duckdb"
    seeded.seed(path)
    return path


@pytest.fixture
def reader(ledger: Path) -> Iterator[Reader]:
    with Reader(ledger) as reader:
        yield reader
