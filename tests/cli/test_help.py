"""What the command says of itself, and how it starts and ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from runlake import __version__
from runlake.cli.app import app

from .conftest import Command, run


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(commands(typer.main.get_command(app)))


def test_every_promised_command_is_there() -> None:
    assert {" ".join(path) for path in COMMANDS} >= {
        *("init", "check", "sync", "backfill", "track", "coverage", "sql", "status", "explain", "remap", "connectors"),
        *("config schema", "demo"),
        *(f"alerts {name}" for name in ("list", "show", "ack", "silence", "explain", "evaluate", "test-channel")),
    }


def test_the_commands_of_alerting_are_in_its_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "alerting.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `runlake alerts ([\w-]+)", text, re.MULTILINE))
    assert named == {path[1] for path in COMMANDS if path[0] == "alerts"}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(runlake: Command, path: tuple[str, ...]) -> None:
    done = runlake(*path, "--help")
    assert done.code == 0
    assert f"Example: runlake {' '.join(path)}" in done.out
    assert max(map(len, done.out.splitlines())) <= 100


def test_no_arguments_show_the_help(runlake: Command) -> None:
    assert runlake().out == runlake("--help").out
    assert "Exit codes:" in runlake().out
    assert "schema" in runlake("config").out


def test_version(runlake: Command) -> None:
    assert runlake("--version").out == f"runlake {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom runlake.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'duckdb', 'pyarrow', 'httpx', 'pydantic', 'rich', 'asyncio', 'uvicorn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope"], "runlake: no such command 'nope'"),
        (["sync", "--nope"], "runlake: no such option: --nope"),
        (["sync", "--format", "xml"], "runlake: invalid value for '--format'"),
        (["backfill", "x"], "runlake: missing option '--since'"),
        (["-c", "none.toml", "sync"], "runlake: no config at none.toml; `runlake init` writes one"),
        (["sql", "SELECT '\udce9'"], "runlake: argument SELECT '': it is not UTF-8 text"),
    ],
)
def test_a_slip_is_one_line_and_exit_2(project: Path, runlake: Command, arguments: list[str], told: str) -> None:
    done = runlake(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(told)


def test_the_shell_completes_commands_and_sources(tmp_path: Path) -> None:
    (tmp_path / "runlake.toml").write_text('[[source]]\nname = "etl-prod"\n[[source]]\nname = "chat"\n')
    for words, number, expected in (("runlake sy", "1", "sync"), ("runlake sync e", "2", "etl-prod")):
        env = {"_RUNLAKE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": number}
        assert expected in run(cwd=tmp_path, env=env).out.split()


def test_a_locale_without_the_characters_costs_only_them(tmp_path: Path) -> None:
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run("sync", "--help", cwd=tmp_path, env=env)
    assert done.code == 0
    assert "Traceback" not in done.err
    assert os.linesep in done.out
