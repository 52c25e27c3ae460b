"""The process that `rendering` starts: makes one report, in all forms in which it is sent."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from types import TracebackType

from runlake.errors import RunlakeError
from runlake.report.brief import brief, subject
from runlake.report.formats import Format, mail, render
from runlake.report.gather import build
from runlake.report.rendering import DEADLINE_S, Asked, Rendered
from runlake.store.query import Reader


def main() -> None:
    asked = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 (see Asked)
    signal.alarm(int(DEADLINE_S) + 1)  # it ends by itself where the daemon was killed before it could end it
    os.nice(10)  # syncs come first
    sys.excepthook = _told_on_one_line
    try:
        rendered = made(asked)
    except RunlakeError as error:
        raise SystemExit(" ".join(str(error).split())) from None
    sys.stdout.buffer.write(pickle.dumps(rendered))


def _told_on_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """After the traceback, for whoever reads the last line: DuckDB says what is wrong on several."""
    sys.__excepthook__(kind, error, trace)
    sys.stderr.write(f"{kind.__name__}: {' '.join(str(error).split())}\n")


def made(asked: Asked) -> Rendered:
    with Reader(asked.database) as reader:
        report = build(reader, asked.config, asked.period, asked.scope)
    return Rendered(
        subject=subject(report),
        brief=brief(report),
        mail=mail(report),
        page=render(report, Format.HTML),
        data=json.loads(render(report, Format.JSON)),
    )


if __name__ == "__main__":
    main()
