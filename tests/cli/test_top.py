"""`top`: what runs, waits and fails now, on a terminal that is given back as it was."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from runlake.cli.looking.frame import frame, see, share
from runlake.cli.looking.top import Watch
from runlake.cli.running import Running
from runlake.store.query import Freshness, Reader

from .conftest import Command
from .ledgers import NOW, a_run, publish_ledger

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

RUNS = [
    *(a_run(f"waits-{n}", n * HOUR, "waiting", vendor_status="IN_REVIEW", source="chat") for n in range(1, 4)),
    *(a_run(f"runs-{n}", n * MINUTE, "running", pipeline_id=f"pipeline number {n}") for n in range(1, 30)),
    a_run("naps", HOUR, "unknown", vendor_status="\x1b]0;owned\x07NAPPING"),
    *(a_run(f"failed-{n}", n * HOUR, "failed", error_message="no\n\x1b[31mroom" * 30) for n in range(1, 9)),
    a_run("failed-at-last", 5 * 24 * HOUR, "failed", finished_at=NOW - HOUR),
    a_run("failed-long-ago", 5 * 24 * HOUR, "failed", source="chat"),
    a_run("succeeded", HOUR),
]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_ledger(tmp_path_factory.mktemp("watched"), RUNS)


def drawn(ledger: Path, width: int = 100, height: int | None = None, daemon: Running | None = None) -> list[str]:
    with Reader(ledger.with_name("ledger.duckdb")) as reader:
        return [line.plain for line in frame(see(reader), daemon, datetime.now(UTC), width, height)]


def test_without_a_terminal_it_is_shown_once(ledger: Path, project: Path, runlake: Command) -> None:
    done = runlake("-c", str(ledger), "top")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert re.match(r"as of (20\S+ )?\d\d:\d\d XST, .+ ago$", lines[0])
    assert re.match(r"every source seen through (20\S+ )?\d\d:\d\d$", lines[1])
    assert lines[2] == "no daemon runs; see: runlake sync"
    assert re.search(r"^chat +3 +(20\S+ )?\d\d:\d\d$", done.out, re.M)
    assert re.search(r"^etl +29 +1 +9 +1 +(20\S+ )?\d\d:\d\d$", done.out, re.M)
    assert "\nWaiting: 3\n" in done.out
    assert re.search(r"^ +3 h +chat +p1 +IN_REVIEW +waits-3$", done.out, re.M)
    assert re.search(r"^ +1 h +etl +p1 +unknown +NAPPING +naps$", done.out, re.M)
    assert "\nFailed in 24 h: 9\n" in done.out
    assert lines[1:] == runlake("-c", str(ledger), "top", "--once").out.splitlines()[1:]
    assert "\x1b" not in done.out


@pytest.mark.parametrize("width", [40, 80, 100, 160])
@pytest.mark.parametrize("height", [5, 12, 24, 60])
def test_it_fits_the_screen(ledger: Path, width: int, height: int) -> None:
    lines = drawn(ledger, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    if height >= 24:
        assert {"Waiting: 3", "Going on: 30", "Failed in 24 h: 9"} <= set(lines)


def test_lists_share_the_room_that_there_is() -> None:
    assert share([2, 50, 1, 50], 20) == [2, 9, 1, 8]
    assert share([2, 3], 100) == [2, 3]
    assert share([2, 3], -4) == [0, 0]
    assert share([50], None) == [20]


def test_what_a_daemon_says_stands_beside_it(ledger: Path) -> None:
    facts: dict[str, Any] = {"pid": 1, "version": "9", "started_at": NOW, "as_of": NOW, "polling": True}
    down: dict[str, Any] = {"next_sync_at": NOW, "next_follow_at": None, "under_way": [], "waiting": {}, "failures": 3}
    etl = {**down, "down_since": NOW - timedelta(days=2)}
    well = Running.model_validate({**facts, "ledger_error": None, "sources": {"etl": etl}})
    lines = drawn(ledger, daemon=well)
    assert lines[2] == "the daemon polls"
    assert any(re.search(r"^etl .* down since 20\S+ \d\d:\d\d$", line) for line in lines)
    ill = Running.model_validate({**facts, "ledger_error": "the disk is \x1b[5mfull", "sources": {}})
    assert drawn(ledger, daemon=ill)[2] == "the ledger fails: the disk is full"


def test_how_old_it_is_and_what_it_is_without_are_said_first(ledger: Path) -> None:
    with Reader(ledger.with_name("ledger.duckdb")) as reader:
        seen = see(reader)
    for age, styles in ((9 * MINUTE, []), (11 * MINUTE, ["yellow"])):
        head, sources, *_ = frame(seen, None, NOW + age, 80, 24)
        assert [span.style for span in head.spans] == styles
        assert head.plain.endswith(f", {age // MINUTE} min ago")
        assert sources.plain.startswith("every source seen through ")
    unseen = replace(seen, fresh=Freshness(NOW, {"etl": NOW, "ch\x1bat": None}))
    assert frame(unseen, None, NOW, 80, 24)[1].plain.startswith("not yet seen in full: ch")


def test_a_new_copy_is_read_and_the_old_one_kept_while_there_is_none(tmp_path: Path) -> None:
    ledger = publish_ledger(tmp_path, [])
    watch = Watch(tmp_path / "ledger.duckdb")
    first = watch.seen()
    assert watch.seen() is first
    assert [line.plain for line in frame(first, None, NOW, 80, 24)][-1].startswith("nothing runs or waits")
    publish_ledger(tmp_path, [a_run("new", MINUTE, "running")], as_of=NOW + MINUTE)
    second = watch.seen()
    assert (second.count("running"), second.fresh.as_of) == (1, NOW + MINUTE)
    (tmp_path / "ledger.published.duckdb").unlink()
    assert watch.seen() is second
    assert ledger.exists()


def test_a_wrong_span_is_said(ledger: Path, project: Path, runlake: Command) -> None:
    done = runlake("-c", str(ledger), "top", "--every", "2 parsecs")
    assert (done.code, done.err) == (
        2,
        'runlake: --every 2 parsecs: write a length of time such as "90s", "5m", "12h" or "30d"\n',
    )


# --- on a terminal ---------------------------------------------------------------------------------------------------

ON, OFF, SHOWN = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


@dataclass
class Terminal:
    process: Popen[bytes]
    near: int
    far: int
    out: bytes = b""

    def until(self, text: bytes, seconds: float = 30) -> None:
        """Reads on until `text` comes after what was read before."""
        start, end = len(self.out), time.monotonic() + seconds
        while text not in self.out[start:]:
            assert time.monotonic() < end, self.out
            if select.select([self.near], [], [], 0.2)[0]:
                self.out += os.read(self.near, 65536)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.far, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextmanager
def terminal(ledger: Path, **environment: str) -> Iterator[Terminal]:
    near, far = pty.openpty()
    own = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from runlake.cli import main; main()"
    environment = {**{k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}, **environment}
    command = [sys.executable, "-c", own, "-c", str(ledger), "top"]
    try:
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        with Popen(command, stdin=far, stdout=far, stderr=far, env=environment, start_new_session=True) as process:
            try:
                yield Terminal(process, near, far)
            finally:
                process.kill()
    finally:
        os.close(near)
        os.close(far)


@pytest.mark.parametrize(("end", "code"), [(b"\x03", 0), (signal.SIGTERM, 143)], ids=["Ctrl-C", "TERM"])
def test_however_it_ends_the_terminal_is_as_it_was(ledger: Path, end: bytes | signal.Signals, code: int) -> None:
    with terminal(ledger, TERM="xterm") as screen:
        before = termios.tcgetattr(screen.far)
        screen.until(b"Going on: 30")
        assert termios.tcgetattr(screen.far) != before
        if isinstance(end, bytes):
            os.write(screen.near, end)
        else:
            screen.process.send_signal(end)
        screen.until(OFF)
        assert screen.process.wait(20) == code
        assert termios.tcgetattr(screen.far) == before
    assert (screen.out.count(ON), screen.out.count(OFF)) == (1, 1)
    assert screen.out.rfind(SHOWN) > screen.out.rfind(b"\x1b[?25l")
    assert b"owned" not in screen.out


def test_it_follows_a_new_size_and_comes_back_after_a_stop(ledger: Path) -> None:
    with terminal(ledger, TERM="xterm", NO_COLOR="1") as screen:
        before = termios.tcgetattr(screen.far)
        screen.until(b"succeeded")
        screen.resize(24, 40)
        screen.until(b"Going on: 30")
        again = screen.out.rsplit(b"as of", 1)[1]
        assert b"seen through 2" not in again.split(b"Waiting")[0].split(b"\n", 2)[2]
        os.write(screen.near, b"\x1a")
        screen.until(OFF)
        assert os.waitid(os.P_PID, screen.process.pid, os.WSTOPPED | os.WNOWAIT) is not None
        assert termios.tcgetattr(screen.far) == before
        screen.process.send_signal(signal.SIGCONT)
        screen.until(ON)
        os.write(screen.near, b"q")
        assert screen.process.wait(20) == 0
        assert termios.tcgetattr(screen.far) == before
    assert not re.search(rb"\x1b\[3\dm", screen.out)


def test_a_terminal_that_cannot_be_drawn_on_gets_one_picture(ledger: Path) -> None:
    with terminal(ledger, TERM="dumb") as screen:
        screen.until(b"Failed in 24 h: 9")
        assert screen.process.wait(20) == 0
    assert b"\x1b" not in screen.out
