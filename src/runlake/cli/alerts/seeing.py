"""What the reading commands see of alerting: the published copy, and what holds each alert back now."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runlake.alerts.holding import Cause, Hold, Holds
from runlake.cli import show
from runlake.cli.reading import as_of, published
from runlake.config import Config
from runlake.store.alerting import Alert, AlertBooks
from runlake.store.query import Reader
from runlake.sync import utc_now


@dataclass(frozen=True, slots=True)
class Seen:
    config: Config
    reader: Reader
    books: AlertBooks
    now: datetime
    open: Sequence[Alert]
    _holds: Holds

    def holds(self, alert: Alert) -> list[Hold]:
        """Nothing holds back what is over."""
        return [] if alert.state == "resolved" else self._holds.of(alert)


@contextmanager
def seen(config: Config) -> Iterator[Seen | None]:
    """Says on stderr how fresh it is; None, and says so, where nothing has been synced yet."""
    with published(config.database) as reader:
        if reader is None:
            show.note("nothing has been synced yet: runlake sync")
            yield None
            return
        books, now = reader.alerting(), utc_now()
        yield Seen(config, reader, books, now, books.open_alerts(), Holds(books, config.maintenance, now))
        as_of(reader.freshness())


def short(identifier: str) -> str:
    """As much of an id as tells it from all others that anybody will ever look at."""
    return identifier[:8]


def say(text: str = "") -> None:
    """A line; before one that begins with a line break, an empty one."""
    sys.stdout.write(("\n" if text.startswith("\n") else "") + show.clean(text.removeprefix("\n")) + "\n")


def instant(at: datetime) -> str:
    """In the reader's zone, which is named."""
    return f"{show.local(at, seconds=False)} {show.zone()}"


def hold_text(hold: Hold) -> str:
    """As a sentence's part: `silenced by ann until 2026-07-13 14:00 CEST: migration`."""
    by = f" by {hold.by}" if hold.by else ""
    until = f" until {instant(hold.until)}" if hold.until is not None else ""
    match hold.cause:
        case Cause.UNSEEN:
            return "its source cannot be seen, which one alert tells for all"
        case Cause.FLAPPING:
            return "it comes and goes: only the digest tells it"
    return f"{hold.cause}{by}{until}{f': {hold.why}' if hold.why else ''}"


def hold_row(hold: Hold) -> dict[str, Any]:
    return {"cause": hold.cause.value, "by": hold.by, "why": hold.why, "until": hold.until}
