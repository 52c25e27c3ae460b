"""The daemon's log: events named `noun.verb`, values as fields; for eyes on a terminal, or one JSON object a line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from runlake.http import brief

LONGEST = 1000


def configure(*, json: bool, out: TextIO | None = None) -> None:
    """To stderr, unless told otherwise. Libraries say nothing themselves."""
    stream = out or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        _cleaned,
    ]
    if json:
        last: list[structlog.typing.Processor] = [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        colors = stream.isatty() and not os.environ.get("NO_COLOR")
        last = [
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S %Z", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=colors, pad_event_to=0, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    for library in ("apscheduler", "uvicorn", "httpx", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # what they would say, the daemon says as events


def _cleaned(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Vendors' text is hostile in a terminal too."""
    return {key: brief(value, LONGEST) if isinstance(value, str) else value for key, value in event.items()}
