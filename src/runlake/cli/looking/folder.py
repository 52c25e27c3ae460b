"""A folder of Parquet files as Hive lays them out: `source=etl/month=2026-11/runlake-runs.parquet`.

DuckDB, polars, pyarrow and Spark read the columns `source` and `month` off the names of the folders; the files are
without them. Each file appears whole or not at all, in the place of the one that an earlier export wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
from pyarrow import compute, parquet

from runlake.errors import ConfigError
from runlake.formats import json_text
from runlake.store.files import put
from runlake.store.query import telling

MARK = "_runlake_export.json"
"""Says that a folder is an export, and of what. Readers leave out what begins with an underscore."""

ROWS_AT_ONCE = 200_000
"""Are held, put in order of their sources, and written as a group for each: some 200 MB of runs."""

_UNSAFE = re.compile(r"""[\x00-\x20"#%'*/:<=>?\[\\\]^`{|}~\x7f]|[^\x00-\x7f]""")


class Folder:
    """An export of a view; a context manager. What an earlier one wrote is replaced, or removed at the end where there
    are no such rows any more. Raises ConfigError: it is another's, or cannot be written."""

    def __init__(self, path: Path, what: str, facts: Mapping[str, Any]) -> None:
        self._path, self._what, self._facts = path, what, facts
        self._name = f"runlake-{what}.parquet"
        self._written: set[Path] = set()

    def __enter__(self) -> Folder:
        with self._telling():
            self._require_ours()
            self._path.mkdir(parents=True, exist_ok=True)
            self._mark(complete=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            with self._telling():
                self._remove_older()
                self._mark(complete=True)

    def write(self, month: str | None, batches: Iterable[pa.RecordBatch], in_order_of: str | None) -> None:
        """The rows of a month, or of a view without months, by source where they have one."""
        writers: dict[Path, parquet.ParquetWriter] = {}
        with self._telling():
            try:
                for table in _tables(batches):
                    for path, part in self._parts(table, month, in_order_of):
                        if path not in writers:
                            path.parent.mkdir(parents=True, exist_ok=True)
                            writers[path] = parquet.ParquetWriter(_beside(path), part.schema, compression="zstd")
                        writers[path].write_table(part)
                for path, writer in writers.items():
                    writer.close()
                    put(_beside(path), path)
                    self._written.add(path)
            finally:
                for path, writer in writers.items():
                    with suppress(OSError):  # of a full disk, which the first error tells
                        writer.close()
                    _beside(path).unlink(missing_ok=True)

    def _parts(self, table: pa.Table, month: str | None, in_order_of: str | None) -> Iterator[tuple[Path, pa.Table]]:
        within = [f"month={month}"] if month is not None else []
        if "source" not in table.column_names:
            yield self._path.joinpath(*within, self._name), table
            return
        keys = [key for key in ("source", in_order_of) if key is not None]
        table = table.take(compute.sort_indices(table, [(key, "ascending") for key in keys]))
        start = 0
        sources = table["source"].value_counts()
        for source, count in zip(sources.field("values").to_pylist(), sources.field("counts").to_pylist(), strict=True):
            part = table.slice(start, count).drop_columns(["source"])
            start += part.num_rows
            yield self._path.joinpath(f"source={escaped(str(source))}", *within, self._name), part

    def _require_ours(self) -> None:
        if not self._path.exists():
            return
        if not self._path.is_dir():
            raise ConfigError(f"{self._path} is a file; Parquet is written into a folder")
        if not any(self._path.iterdir()):
            return
        try:
            what = json.loads((self._path / MARK).read_text(encoding="utf-8"))["what"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{self._path} has other things in it; name a new folder, or one that an export made"
            ) from None
        if what != self._what:
            raise ConfigError(f"{self._path} is an export of {what}; name another folder for {self._what}")

    def _mark(self, *, complete: bool) -> None:
        text = json_text({"what": self._what, **self._facts, "complete": complete}, indent=2)
        fresh = _beside(self._path / MARK)
        fresh.write_text(f"{text}\n", encoding="utf-8")
        put(fresh, self._path / MARK)

    def _remove_older(self) -> None:
        """Files of our name that this export did not write; whoever put a link there may keep what it leads to."""
        root = self._path.resolve()
        for pattern in (self._name, f"source=*/{self._name}", f"source=*/month=*/{self._name}"):
            for path in list(self._path.glob(pattern)):
                if path not in self._written and path.resolve() == root / path.relative_to(self._path):
                    path.unlink()
                    for folder in path.parents[: len(path.relative_to(self._path).parts) - 1]:
                        with suppress(OSError):  # something else is in it
                            folder.rmdir()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            with telling():
                yield
        except OSError as error:
            raise ConfigError(f"cannot write {self._path}: {error.strerror or error}") from None


def _tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows in tables of ROWS_AT_ONCE, of which none is empty."""
    held, rows = list[pa.RecordBatch](), 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= ROWS_AT_ONCE:
            yield pa.Table.from_batches(held)
            held, rows = [], 0
    if rows:
        yield pa.Table.from_batches(held)


def escaped(value: str) -> str:
    """As Hive and its readers do: `%2F` for a slash, so that no name leads out of its folder."""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), value)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp")
