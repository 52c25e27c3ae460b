"""How far the sources are, on stderr: live lines on a terminal, else one plain line for each source when it is done."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from runlake.cli import show
from runlake.store import Sync

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Live:
    """A context manager whose `on(row)` is a sync's progress callback, and `done(row, seconds)` its end."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Live:
        if not sys.stderr.isatty():
            return self
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=show.console(sys.stderr),
            transient=True,
        )
        self._progress.start()
        width = max((len(name) for name in self._names), default=0)
        for name in self._names:
            self._tasks[name] = self._progress.add_task(name.ljust(width), total=None, state="waiting for the vendor")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def on(self, row: Sync) -> None:
        if self._progress is not None and row.source in self._tasks:
            self._progress.update(self._tasks[row.source], state=f"{row.seen_runs} runs, {row.requests} requests")

    def done(self, row: Sync, seconds: float) -> None:
        if self._progress is not None:
            task = self._tasks[row.source]
            self._progress.update(task, total=1, completed=1, state=f"{row.outcome}: {_sum(row)}")
        else:
            show.note(f"{row.source}: {row.outcome}, {_sum(row)}, {seconds:.1f} s")


def _sum(row: Sync) -> str:
    return f"{row.seen_runs} runs seen, {row.new_runs} new, {row.changed_runs} changed, {row.requests} requests"
