"""`top`: a picture that is drawn again while time passes and whenever a new copy is published.

Nothing is held open between two pictures: the copy is read again when it is another file.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from types import FrameType

from rich.console import Console, Group
from rich.live import Live

from runlake.cli import show
from runlake.cli.looking.frame import Seen, frame, see
from runlake.cli.looking.layout import write
from runlake.cli.running import Running, running
from runlake.store import published_path
from runlake.store.query import Reader

_ASK_EVERY = 10.0
"""Seconds between two questions to the daemon."""

_LOOK_EVERY = 0.25
"""Seconds within which a key, a new width or a stop is answered."""


class Watch:
    """What is shown, kept until there is something newer. Raises StoreError where nothing is published."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = published_path(database)
        self._file: tuple[int, int] | None = None
        self._seen: Seen | None = None
        self._daemon: Running | None = None
        self._ask_at = 0.0

    def seen(self) -> Seen:
        file = self._which()
        if self._seen is None or file != self._file:
            with Reader(self._database) as reader:
                self._seen = see(reader)
            self._file = file
        return self._seen

    def daemon(self) -> Running | None:
        if monotonic() >= self._ask_at:
            self._daemon = running(self._database)
            self._ask_at = monotonic() + _ASK_EVERY
        return self._daemon

    def _which(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return self._file if self._seen is not None else None  # gone for now: what is known stays
        return found.st_mtime_ns, found.st_ino


def top(database: Path, every: timedelta, *, once: bool) -> None:
    """Until `q` or Ctrl-C; once where that is asked for, or where nothing can be drawn over."""
    watch = Watch(database)
    screen = show.console(sys.stdout)
    if once or not screen.is_terminal or screen.is_dumb_terminal:
        write(frame(watch.seen(), watch.daemon(), datetime.now(UTC), screen.width, None))
        return
    watch.seen()  # what is wrong is said before the screen is taken
    while _drawn(watch, screen, every.total_seconds()):
        os.kill(os.getpid(), signal.SIGSTOP)  # Ctrl-Z, once the terminal is as it was; then again


def _drawn(watch: Watch, screen: Console, every: float) -> bool:
    """Draws until it is to end; True where it is only to stop for a while."""
    with _signals() as stops, _keys() as keys, Live(console=screen, screen=True, auto_refresh=False) as live:
        try:
            next_at, size = 0.0, screen.size
            while not stops:
                if monotonic() >= next_at or screen.size != size:
                    next_at, size = monotonic() + every, screen.size
                    now = datetime.now(UTC)
                    live.update(Group(*frame(watch.seen(), watch.daemon(), now, *size)), refresh=True)
                if _key(keys, _LOOK_EVERY) in (b"q", b"Q"):
                    return False
        except KeyboardInterrupt:
            return False
    return True


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Ctrl-Z is put into the list; what would end the process ends it by an exception, which restores the terminal."""
    stops: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {
        signal.SIGTSTP: signal.signal(signal.SIGTSTP, lambda number, _: stops.append(number)),
        signal.SIGTERM: signal.signal(signal.SIGTERM, end),
        signal.SIGHUP: signal.signal(signal.SIGHUP, end),
    }
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _keys() -> Iterator[int | None]:
    """The descriptor of the keyboard, which gives each key at once and shows none; None where there is none."""
    if not sys.stdin.isatty():
        yield None
        return
    import termios  # noqa: PLC0415 (not on every system)
    import tty  # noqa: PLC0415

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _key(keyboard: int | None, seconds: float) -> bytes:
    """The key pressed within that time, or none; `q` where nobody can press one any more."""
    ready, _, _ = select.select([keyboard] if keyboard is not None else [], [], [], seconds)
    return os.read(keyboard, 1) or b"q" if keyboard is not None and ready else b""
