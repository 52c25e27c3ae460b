"""The README and the cookbook are executed: `console` blocks and recipes give what they show, `sql` blocks give rows,
`toml` blocks load.

The ledger that they are asked of is made here, from simulated vendors at a fixed time. `python tests/test_readme.py`
writes what is answered now into both, to be read and committed.
"""

from __future__ import annotations

import ast
import asyncio
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from runlake.cli import main
from runlake.config import Source, load
from runlake.connector import connectors
from runlake.emulator import Clock, Emulator, serve
from runlake.store import Store, published_path
from runlake.sync import sync

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
NOTEBOOK = ROOT / "docs" / "analysis.ipynb"
COOKBOOK = ROOT / "docs" / "sql-cookbook.md"
DOCS = [README, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n", re.MULTILINE)
RECIPE = re.compile(r"^(### (\d+)\. .*?^```sql\n(.*?)^```\n\n)(?:```text\n(.*?)^```\n\n)?", re.MULTILINE | re.DOTALL)
SECRETS = ("api_key", "token", "password")


def blocks(language: str, documents: list[Path]) -> list[Any]:
    found = []
    for document in documents:
        text = document.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match[2], id=f"{document.name}:{line}"))
    return found


def seed(folder: Path) -> None:
    """A ledger of simulated vendors, as of one Monday and the Tuesday after it."""
    emulator = Emulator(seed=11, clock=Clock())
    with serve(emulator) as base_url:
        asyncio.run(_fill(emulator, base_url, folder / "runlake.duckdb"))
    (folder / "runlake.toml").write_text("".join(_table(name) for name in emulator.vendors))


async def _fill(emulator: Emulator, base_url: str, database: Path) -> None:
    async with Store(database) as store:
        for _ in range(2):
            for name in emulator.vendors:
                row = await sync(_source(emulator, name, base_url), store, now=emulator.clock.now)
                assert row.outcome == "ok", row.error
            emulator.clock.advance(timedelta(hours=24))
        await store.publish(emulator.clock.now())


def _source(emulator: Emulator, name: str, base_url: str) -> Source:
    settings = dict(emulator.settings(name, base_url))
    for key in SECRETS:
        if key in settings:
            os.environ[f"README_{name}".upper()] = settings[key]
            settings[key] = {"env": f"README_{name}".upper()}
    return Source(name=name, connector=name, settings=settings)


def _table(name: str) -> str:
    settings = {
        "clinia": 'base_url = "https://acme.clinia.cloud", source_key = "registry", api_key = { env = "X" }',
        "clerk": 'api_key = { env = "X" }, pipelines = ["88e8ba92-b4ce-4259-8ef4-b45bc32e331f"]',
        "truestate": 'api_key = { env = "X" }',
        "clarifeye": 'token = { env = "X" }, projects = ["550e8400-e29b-41d4-a716-446655440000"]',
        "esper": 'base_url = "https://acme-api.esper.cloud/api", token = { env = "X" }',
        "airflow": 'base_url = "https://airflow.acme.example", token = { env = "X" }',
    }[name]
    return f'[[source]]\nname = "{name}"\nconnector = "{name}"\nsettings = {{ {settings} }}\n'


def answer(command: str, folder: Path) -> str:
    words = shlex.split(command.replace("\\\n", ""))
    assert words[0] == "runlake", command
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "RUNLAKE_CONFIG")}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**environment, "TZ": "UTC", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def conversation(block: str) -> list[tuple[str, str]]:
    before, *parts = COMMAND.split(block)
    assert not before, "a console block begins with `$ `"
    return list(zip(parts[::2], parts[1::2], strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("readme")
    seed(folder)
    yield folder


@pytest.mark.parametrize("block", blocks("console", [README]))
def test_a_command_answers_what_is_shown(block: str, folder: Path) -> None:
    for command, shown in conversation(block):
        assert answer(command, folder) == shown


def told(query: str, folder: Path) -> str:
    """What `runlake sql` prints."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["-c", str(folder / "runlake.toml"), "sql", query])
    assert ended.value.code == 0, err.getvalue()
    return out.getvalue()


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("COLUMNS", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_utc")
@pytest.mark.parametrize(
    ("query", "shown"),
    [
        pytest.param(query, shown, id=f"question {number}")
        for _, number, query, shown in RECIPE.findall(COOKBOOK.read_text(encoding="utf-8"))
    ],
)
def test_a_question_has_the_answer_that_is_shown(query: str, shown: str, folder: Path) -> None:
    assert told(query, folder) == shown
    assert shown.count("\n") > 1, "there is nothing in the answer"


def test_there_are_thirty_questions() -> None:
    numbers = [number for _, number, *_ in RECIPE.findall(COOKBOOK.read_text(encoding="utf-8"))]
    assert numbers == [str(number) for number in range(1, 31)]


def test_the_notebook_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            # What a notebook shows is the value of a cell's last line.
            *lines, last = ast.parse("".join(cell["source"])).body
            exec(compile(ast.Module(lines, []), NOTEBOOK.name, "exec"), names)
            assert isinstance(last, ast.Expr), "a cell shows something"
            shown = eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)
            assert shown is None or "0 rows" not in str(shown)
    chart = names["alt"].Chart(names["days"]).mark_line().to_dict()
    assert len(next(iter(chart["datasets"].values()))) > 7


# Those about alerts are asked where there are some, test_docs_alerting.py; of reports none was sent here.
@pytest.mark.parametrize(
    "block", blocks("sql", [page for page in DOCS if page.name not in ("alerting.md", COOKBOOK.name)])
)
def test_a_query_gives_rows(block: str, folder: Path) -> None:
    con = duckdb.connect(str(published_path(folder / "runlake.duckdb")), read_only=True)
    rows = con.execute(block).fetchall()
    con.close()
    assert rows or "FROM reports" in block


@pytest.mark.parametrize("block", blocks("toml", [README]))
def test_a_config_loads(block: str, tmp_path: Path) -> None:
    (tmp_path / "runlake.toml").write_text(block, encoding="utf-8")
    assert load(tmp_path / "runlake.toml").source


def test_the_vendors_table_says_what_the_program_says() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in README.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| [A-Z].* \| `\w+` \|", line)
    ]
    assert {(name.strip("`"), title, against) for title, name, *_, against in rows} == {
        (kind.name, kind.title, kind.verified) for kind in connectors().values()
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        seed(Path(made))

        def fresh(match: re.Match[str]) -> str:
            if match[1] != "console":
                return match[0]
            shown = "".join(f"$ {said}\n{answer(said, Path(made))}" for said, _ in conversation(match[2]))
            return f"```console\n{shown}```"

        README.write_text(BLOCK.sub(fresh, README.read_text(encoding="utf-8")), encoding="utf-8")
        os.environ |= {"TZ": "UTC"}
        time.tzset()

        def told_now(match: re.Match[str]) -> str:
            return f"{match[1]}```text\n{told(match[3], Path(made))}```\n\n"

        # The end of the page is no line: what follows the last answer is text.
        COOKBOOK.write_text(RECIPE.sub(told_now, COOKBOOK.read_text(encoding="utf-8")), encoding="utf-8")
