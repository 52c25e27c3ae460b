"""A daemon in a process of its own, for the commands that speak to it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

from .conftest import configure, start

ANYWHERE = '[daemon]\nlisten = "127.0.0.1:0"'


@dataclass
class Polling:
    process: Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)

    def until(self, event: str, **facts: Any) -> dict[str, Any]:
        """Reads the log up to an event, which it returns."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            told: dict[str, Any] = json.loads(line)
            self.events.append(told)
            if told["event"] == event and facts.items() <= told.items():
                return told
        raise AssertionError(f"it ended before {event}: {self.events}")

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=20)
        self.events += [json.loads(line) for line in rest.splitlines()]
        assert self.process.returncode == 0, self.events


@contextmanager
def polling(project: Path, *tables: str) -> Iterator[Polling]:
    """Until its first publish has been; without `tables`, with the config that is there."""
    if tables:
        configure(project, ANYWHERE, *tables)
    with start("daemon", "--log-format", "json", cwd=project) as process:
        daemon = Polling(process)
        try:
            daemon.until("ledger.published")
            yield daemon
            if process.poll() is None:
                daemon.end()
        finally:
            process.kill()
