"""One emulator for a module, a project folder for a test, and the command in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runlake.cli import main
from runlake.emulator import Clock, Emulator, serve

SECRETS = ("api_key", "token", "password")


@dataclass(frozen=True)
class Vendors:
    emulator: Emulator
    base_url: str

    def table(self, vendor: str, secrets: Path, *, more: str = "", base_url: str | None = None) -> str:
        """A [[source]] table for a vendor, named after it; its secrets are put into files."""
        lines = ["[[source]]", f'name = "{vendor}"', f'connector = "{vendor}"', more, "[source.settings]"]
        for key, value in self.emulator.settings(vendor, base_url or self.base_url).items():
            if key in SECRETS:
                (secrets / f"{vendor}-{key}").write_text(value)
                lines.append(f'{key} = {{ file = "{secrets}/{vendor}-{key}" }}')
            else:
                lines.append(f"{key} = {json.dumps(value)}")
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def shared_vendors() -> Iterator[Vendors]:
    now = datetime.now(UTC)
    # Enough runs that what tests ask for is among them at any hour of the week.
    emulator = Emulator(5, Clock(now), start=now - timedelta(days=3), rate=4.0)
    with serve(emulator) as base_url:
        yield Vendors(emulator, base_url)


@pytest.fixture
def vendors(shared_vendors: Vendors) -> Vendors:
    shared_vendors.emulator.reset()
    return shared_vendors


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Done]


@pytest.fixture
def runlake(capsys: pytest.CaptureFixture[str]) -> Command:
    """`runlake("sync", "clerk")` as typed, but in this process."""

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err)

    return run


def start(*arguments: str, cwd: Path, **options: Any) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "runlake", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONWARNINGS": "error", **options.pop("env", {})},
        text=True,
        stderr=subprocess.PIPE,
        **{"stdout": subprocess.PIPE, **options},
    )


def run(*arguments: str, cwd: Path, **options: Any) -> Done:
    process = start(*arguments, cwd=cwd, **options)
    out, err = process.communicate(timeout=60)
    return Done(process.returncode, out, err)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, in a zone that is an hour off UTC all year."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "XST-1")
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("RUNLAKE_CONFIG", raising=False)
    time.tzset()
    yield tmp_path
    monkeypatch.undo()
    time.tzset()


def configure(project: Path, *tables: str) -> None:
    (project / "runlake.toml").write_text("\n".join(['database = "ledger.duckdb"', *tables]))
