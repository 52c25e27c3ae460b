"""`export`: a public view as Parquet in folders by source and month, or as one CSV, for those who look elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pyarrow as pa

from runlake.cli import show
from runlake.cli.looking.asked import require_sources
from runlake.cli.looking.folder import Folder
from runlake.cli.reading import as_of, written
from runlake.config import Config
from runlake.config.problems import there_is
from runlake.errors import ConfigError, StoreError
from runlake.formats import instant, some
from runlake.report.scope import like
from runlake.store.database import VIEWS, published_path, quoted
from runlake.store.query import OLDER, Freshness, Reader

_INSTANT = pa.timestamp("us", "UTC")

BY_MONTH = {"runs": "created_at", "run_history": "created_at", "steps": "run_created_at", "syncs": "started_at"}
"""The views that grow with time, and what puts a row into its month: a step is with its run."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows of the view `what`, of sources that fit the patterns and of the time [since, until) where they are given."""

    what: str
    sources: list[str]
    since: datetime | None
    until: datetime | None

    def select(self, since: datetime | None, until: datetime | None, columns: str = "*") -> str:
        conditions = [like("source", self.sources)] if self.sources else []
        for sign, at in ((">=", since), ("<", until)):
            if at is not None:
                conditions.append(f"{BY_MONTH[self.what]} {sign} {quoted(instant(at))}::TIMESTAMPTZ")
        return f"SELECT {columns} FROM {self.what} WHERE {' AND '.join(conditions) or 'true'}"  # noqa: S608


def export(config: Config, wanted: Wanted, output: Path, *, csv: bool) -> None:
    """Writes them to `output`: a file, or a folder that is new or was written by an earlier export of the same view."""
    if wanted.what not in VIEWS:
        raise ConfigError(f"no view '{wanted.what}'; {there_is(wanted.what, VIEWS)}")
    if (wanted.since or wanted.until) and wanted.what not in BY_MONTH:
        raise ConfigError(f"{wanted.what} is as it is now: --since and --until are for {', '.join(BY_MONTH)}")
    with Reader(config.database) as reader, Progress() as progress:
        fresh = reader.freshness()
        require_sources(wanted.sources, config, fresh)
        columns = next(reader.batches(f"SELECT * FROM {wanted.what} LIMIT 0")).schema  # noqa: S608
        if BY_MONTH.get(wanted.what, columns.names[0]) not in columns.names:
            raise StoreError(OLDER)
        if wanted.sources and "source" not in columns.names:
            raise ConfigError(f"{wanted.what} is of no source: leave out --source")
        if csv:
            if output.is_dir():
                raise ConfigError(f"{output} is a folder; --format csv writes one file")
            if output.resolve() in (config.database.resolve(), published_path(config.database).resolve()):
                raise ConfigError(f"{output} is the ledger; name another file")
            with written(output, binary=False) as out:
                show.csv_rows(columns.names, progress.counted(_texts(reader, wanted, columns)), out)
        else:
            _write_folder(reader, wanted, fresh, output, progress)
    show.note(f"wrote {some(progress.rows, 'row')} of {wanted.what} to {output}")
    as_of(fresh)


def _write_folder(reader: Reader, wanted: Wanted, fresh: Freshness, output: Path, progress: Progress) -> None:
    facts = {"as_of": fresh.as_of, "since": wanted.since, "until": wanted.until, "sources": wanted.sources}
    with Folder(output, wanted.what, facts) as folder:
        if wanted.what not in BY_MONTH:
            folder.write(None, progress.batches(reader.batches(wanted.select(None, None))), None)
            return
        for month, since, until in _months(reader, wanted):
            progress.at = month
            batches = progress.batches(reader.batches(wanted.select(since, until)))
            folder.write(month, batches, BY_MONTH[wanted.what])


def _texts(reader: Reader, wanted: Wanted, columns: pa.Schema) -> Iterator[tuple[Any, ...]]:
    """The rows with instants and maps as the texts that CSV has for them: DuckDB makes 50,000 rows a second of them,
    Python 12,000."""
    texts = []
    for name, kind in zip(columns.names, columns.types, strict=True):
        if kind.equals(_INSTANT):
            texts.append(f"replace(make_timestamp(epoch_us({name}))::VARCHAR, ' ', 'T') || 'Z' AS {name}")
        else:
            texts.append(f"to_json({name})::VARCHAR AS {name}" if kind.num_fields else name)
    for batch in reader.batches(wanted.select(wanted.since, wanted.until, ", ".join(texts))):
        yield from zip(*batch.to_pydict().values(), strict=True)


def _months(reader: Reader, wanted: Wanted) -> Iterator[tuple[str, datetime, datetime]]:
    """The months of UTC in which there is something, each with as much of it as is asked for."""
    # DuckDB takes a hundred times as long to make days of an instant with a time zone.
    day = f"DISTINCT epoch_ms({BY_MONTH[wanted.what]}) // 86400000 AS day"
    days = reader.ask(wanted.select(wanted.since, wanted.until, day)).rows()
    firsts = sorted({(date(1970, 1, 1) + timedelta(days=day)).replace(day=1) for (day,) in days})
    for first in firsts:
        begin = datetime(first.year, first.month, 1, tzinfo=UTC)
        end = (begin + timedelta(days=31)).replace(day=1)
        yield (
            f"{begin:%Y-%m}",
            max(begin, wanted.since) if wanted.since else begin,
            min(end, wanted.until) if wanted.until else end,
        )


class Progress:
    """How many rows there are so far, on stderr: on a terminal one line that is written over, after a second; else a
    line now and then."""

    def __init__(self) -> None:
        self.rows = 0
        self.at = ""
        self._terminal = sys.stderr.isatty()
        self._every = 0.2 if self._terminal else 10.0
        self._next = monotonic() + max(1.0, self._every)
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def counted(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        for row in rows:
            self.rows += 1
            if self.rows % 1000 == 0:
                self._tell()
            yield row

    def batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self.rows += batch.num_rows
            self._tell()
            yield batch

    def _tell(self) -> None:
        if monotonic() < self._next:
            return
        self._next = monotonic() + self._every
        text = f"{some(self.rows, 'row')}{f', {self.at}' if self.at else ''}"
        if self._terminal:
            sys.stderr.write(f"\r{text}\x1b[K")
            sys.stderr.flush()
            self._shown = True
        else:
            show.note(text)
