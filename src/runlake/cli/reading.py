"""The commands that read the published copy alone: `sql`, `explain`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runlake.cli import show
from runlake.cli.show import Format, SqlFormat
from runlake.config import Source
from runlake.errors import ConfigError
from runlake.explain import Explanation, rule
from runlake.explain import explain as explained
from runlake.store import published_path
from runlake.store.query import Answer, Freshness, Reader, telling

if TYPE_CHECKING:
    import pyarrow as pa

_LAGS = timedelta(minutes=10)

MOST_ROWS = 1000
"""Of a table: nobody reads more, and a table must be held whole to be laid out."""


@contextmanager
def published(database: Path) -> Iterator[Reader | None]:
    """The published copy, or None where no sync has made one yet."""
    if not published_path(database).exists():
        yield None
        return
    with Reader(database) as reader:
        yield reader


def as_of(fresh: Freshness) -> None:
    """Says on stderr how fresh the copy is, and which sources it cannot vouch for."""
    seen = {name: at for name, at in fresh.observed_through.items() if at is not None}
    unseen = sorted(set(fresh.observed_through) - set(seen))
    parts = []
    if seen:
        oldest = min(seen, key=lambda name: seen[name])
        count = "1 source" if len(seen) == 1 else f"{len(seen)} sources"
        parts.append(f"{count} seen through {show.local(seen[oldest], seconds=False)}")
        if max(seen.values()) - seen[oldest] > _LAGS:
            parts[0] += f" or later, {oldest} the least"
    if unseen:
        parts.append(f"not yet in full: {', '.join(unseen)}")
    about = f" ({'; '.join(parts)})" if parts else ""
    show.note(f"as of {show.local(fresh.as_of, seconds=False)} {show.zone()}{about}")


def query(text: str | None, file: Path | None) -> str:
    """The SQL given one way or the other."""
    if (text is None) == (file is None):
        raise ConfigError('give one query: runlake sql "FROM latest_runs", or runlake sql -f FILE')
    if file is None:
        assert text is not None
        return text
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from None


def sql(database: Path, text: str, format_: SqlFormat, output: Path | None) -> None:
    if format_ is SqlFormat.PARQUET and output is None and sys.stdout.isatty():
        raise ConfigError("parquet is for files: add -o FILE, or redirect the output")
    with Reader(database) as reader:
        fresh = reader.freshness()
        if format_ is SqlFormat.PARQUET:
            batches = reader.batches(text)
            first = next(batches)  # what is wrong with the query shows here, before a file is touched
            with written(output, binary=True) as out:
                _parquet(chain([first], batches), first.schema, out)
        else:
            answer = reader.ask(text)
            with written(output, binary=False) as out:
                _write(answer, format_, out)
    as_of(fresh)


def _write(answer: Answer, format_: SqlFormat, out: IO[str]) -> None:
    rows = answer.rows()
    match format_:
        case SqlFormat.JSON:
            show.json_rows(answer.columns, rows, out)
        case SqlFormat.CSV:
            show.csv_rows(answer.columns, rows, out)
        case _:
            show.table(answer.columns, islice(rows, MOST_ROWS), out)
            if next(rows, None) is not None:
                show.note(f"only the first {MOST_ROWS} rows are shown; --format csv writes all")


def _parquet(batches: Iterable[pa.RecordBatch], schema: pa.Schema, out: IO[bytes]) -> None:
    from pyarrow import parquet  # noqa: PLC0415 (0.2 s for this format alone)

    with telling(), parquet.ParquetWriter(out, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


@contextmanager
def written(output: Path | None, *, binary: bool) -> Iterator[IO[Any]]:
    """stdout, or a file that appears whole or not at all."""
    if output is None:
        yield sys.stdout.buffer if binary else sys.stdout
        return
    fresh = output.with_name(f"{output.name}.tmp")
    try:
        try:
            with fresh.open("wb") if binary else fresh.open("w", encoding="utf-8", newline="") as file:
                yield file
            os.replace(fresh, output)  # noqa: PTH105 (the call that is atomic by contract)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror or error}") from None


# --- explain ---------------------------------------------------------------------------------------------------------


def explain(database: Path, source: Source, run: str, format_: Format) -> None:
    with Reader(database) as reader:
        found = explained(reader, source.name, run)
        if format_ is Format.JSON:
            content = {
                "attempts": [{**row, "rule": rule(row)} for row in found.attempts],
                "history": found.history,
                "steps": [{**row, "rule": rule(row, "step")} for row in found.steps],
            }
            sys.stdout.write(show.json_text(content, indent=2) + "\n")
        else:
            _tell_story(found)
        as_of(reader.freshness())


_FACTS = ("created_at", "started_at", "finished_at", "trigger", "error_code", "error_message", "run_url", "vanished_at")


def _tell_story(found: Explanation) -> None:
    say = sys.stdout.write
    for row in found.attempts:
        attempt = f", attempt {row['attempt']}" if row["attempt"] > 1 or len(found.attempts) > 1 else ""
        name = f" ({row['pipeline_name']})" if row["pipeline_name"] else ""
        say(show.clean(f"{row['source']} run {row['run_id']}{attempt} of pipeline {row['pipeline_id']}{name}") + "\n\n")
        say(show.clean(f"  {row['status']}: {rule(row)}") + "\n")
        for fact in _FACTS:
            if row[fact] is not None:
                shown = f"{show.local(row[fact])} {show.zone()}" if fact.endswith("_at") else str(row[fact])
                say(show.clean(f"  {fact}: {shown}") + "\n")
        if row["reads"] is not None:
            looked = f"{show.local(row['last_read_at'])} {show.zone()}" if row["last_read_at"] else "never"
            say(f"  still open: looked at {row['reads']} times, last {looked}; read again by id until it is final\n")
        say("\n")
    say(f"What we saw, and what we had asked ({show.zone()})\n")
    for row in found.history:
        for line in _seen(row):
            say(show.clean(line) + "\n")
    if found.steps:
        say("\nSteps\n")
        names = Counter(row["name"] for row in found.steps)
        show.table(
            ("step", "status", "vendor_status", "started_at", "finished_at", "error"),
            [
                (
                    row["step_id"] if names[row["name"]] > 1 else row["name"] or row["kind"] or row["step_id"],
                    *(row[key] for key in ("status", "vendor_status", "started_at", "finished_at", "error_message")),
                )
                for row in found.steps
            ],
        )


def _seen(row: dict[str, Any]) -> Iterator[str]:
    """One snapshot: when, the vendor's word and ours, how we came to look, and what is different from before."""
    when = show.local(row["observed_at"])
    indent = " " * len(when)
    status = f"{row['vendor_status']} → {row['status_then']}"
    if row["vanished_at"] is not None:
        status = "gone: the vendor has no such run any more"
    attempt = f"  attempt {row['attempt']}" if row["attempt"] > 1 else ""
    yield f"{when}  {status}{attempt}"
    how = _HOW.get(row["read_by"], row["read_by"])
    yield f"{indent}  {how}: {row['request']}" if row["request"] else f"{indent}  {how}"
    for name, before, after in row["changes"]:
        if name not in ("vendor_status", "status_then", "vanished_at"):
            yield f"{indent}  {name}: {show.cell(before)} → {show.cell(after)}"


_HOW = {
    "list": "seen in a list",
    "id": "read by id",
    "sweep": "seen when recent runs were read again",
    "backfill": "seen by a backfill",
    "coverage": "fetched after a comparison with the vendor's list",
    "remap": "the status mapping was changed; nothing was asked",
}
