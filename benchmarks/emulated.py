"""The emulated vendors in a process of their own: `python -m benchmarks.emulated '{"seed": 1, …}'`.

Prints its address and, by vendor, the settings of a source, as one line of JSON. Unless `live`, its clock stands until
an instant comes in, one a line; each is answered with an empty line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runlake.emulator import Clock, Emulator, serve

SECRETS = ("api_key", "token", "password")


def emulator(*, seed: int, now: str, days: float, rate: float, live: bool) -> Emulator:
    """An account in use for `days` before `now`. The same arguments give the same runs in any process."""
    clock = Clock(datetime.fromisoformat(now), speed=1.0 if live else 0.0)
    return Emulator(seed, clock, start=clock.now() - timedelta(days=days), rate=rate)


class Vendors:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        told = json.loads(self._line())
        self.base_url: str = told["base_url"]
        self._settings: dict[str, dict[str, Any]] = told["settings"]

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def at(self, instant: datetime) -> None:
        """What the vendors hold to be now, from the next request on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{instant.astimezone(UTC).isoformat()}\n")
        self._process.stdin.flush()
        self._line()

    @property
    def names(self) -> list[str]:
        return list(self._settings)

    def table(self, vendor: str, folder: Path, *lines: str, name: str = "") -> str:
        """A [[source]] table, its secrets in files of `folder`."""
        text = ["[[source]]", f'name = "{name or vendor}"', f'connector = "{vendor}"', *lines, "[source.settings]"]
        for key, value in self._settings[vendor].items():
            if key in SECRETS:
                file = folder / f"{vendor}.{key}"
                file.write_text(value)
                text.append(f'{key} = {{ file = "{file}" }}')
            else:
                text.append(f"{key} = {json.dumps(value)}")
        return "\n".join(text) + "\n"


@contextmanager
def vendors(**arguments: Any) -> Iterator[Vendors]:
    """As `emulator`, elsewhere: what it takes in time and memory is not ours."""
    command = [sys.executable, "-m", "benchmarks.emulated", json.dumps(arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Vendors(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def main(arguments: dict[str, Any]) -> None:
    emulated = emulator(**arguments)
    with serve(emulated) as base_url:
        settings = {name: emulated.settings(name, base_url) for name in emulated.vendors}
        print(json.dumps({"base_url": base_url, "settings": settings}), flush=True)
        for line in sys.stdin:
            emulated.clock.set(datetime.fromisoformat(line.strip()))
            for vendor in emulated.vendors.values():
                vendor.requests.reset()  # nobody reads it
            print(flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
