"""docs/alerting.md is executed: its config loads, each recipe's rule fires on a history made for it and says what is
shown, its commands answer what they show, its queries give rows, and its receiver takes what a webhook sends.

`python tests/test_docs_alerting.py` writes what is answered now into the page, to be read and committed.
"""

from __future__ import annotations

import asyncio
import io
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import duckdb
import pytest

from alerts.receivers import recording
from alerts.recipes import CHANNEL, HISTORIES, SOURCES, Desk, desk, failed, july, project, recovered
from alerts.sending import channel, message
from runlake.alerts import channels
from runlake.alerts.message import Event, Message
from runlake.alerts.render import text, title
from runlake.cli import main
from runlake.config import load
from runlake.config.alerting import BUILT_IN
from runlake.store import published_path

PAGE = Path(__file__).parents[1] / "docs" / "alerting.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPE = re.compile(r"^### `(\w+)`\n.*?^```toml\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOW = july(14, "09:30")

recipes = {kind: (tables, told) for kind, tables, told in RECIPE.findall(PAGE.read_text(encoding="utf-8"))}


def blocks(language: str) -> list[Any]:
    page = PAGE.read_text(encoding="utf-8")
    return [
        pytest.param(match[2], id=f"{PAGE.name}:{page.count(chr(10), 0, match.start()) + 1}")
        for match in BLOCK.finditer(page)
        if match[1] == language
    ]


@contextmanager
def ids() -> Iterator[None]:
    """Alerts get the same ids each time."""
    made = (UUID(int=0x5F0C2A9E0000400080000000_00000000 + (number << 98)) for number in range(1000))
    with patch("runlake.alerts.episodes.uuid4", lambda: next(made)):
        yield


def shown(message: Message) -> str:
    return f"{title(message)}\n\n{text(message)}\n"


async def _of_recipe(folder: Path, kind: str, tables: str) -> tuple[Desk, str]:
    with ids():
        async with desk(folder, tables + CHANNEL) as made:
            await HISTORIES[kind](made)
    rule = made.config.rule[0].name
    *before, last = made.told(rule, Event.OPEN)
    assert not any(before), "it fires before its time"
    [told] = last
    return made, shown(told)


async def _first(folder: Path) -> tuple[str, str]:
    with ids():
        async with desk(folder, CHANNEL) as made:
            await failed(made)
            await recovered(made)
    [told], [over] = (
        [each for sent in made.told("failed", event) for each in sent] for event in (Event.OPEN, Event.RESOLVE)
    )
    return shown(told), shown(over)


def answers(folder: Path, commands: list[str]) -> list[str]:
    """What they say on stdout, asked at NOW."""
    with ids():
        asyncio.run(_project(folder))
    found = []
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "runlake", command
        with (
            redirect_stdout(io.StringIO()) as out,
            patch("runlake.cli.alerts.seeing.utc_now", lambda: NOW),
            pytest.raises(SystemExit) as ended,
        ):
            main(["--config", str(folder / "runlake.toml"), *words[1:]])
        assert ended.value.code == 0, command
        found.append(out.getvalue())
    return found


async def _project(folder: Path) -> None:
    async with desk(folder, CHANNEL) as made:
        await project(made)


def conversation(block: str) -> list[tuple[str, str]]:
    before, *parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
    assert not before, "a console block begins with `$ `"
    return list(zip(parts[::2], parts[1::2], strict=True))


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"TZ": "UTC", "NO_COLOR": "1", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# --- tests -----------------------------------------------------------------------------------------------------------


def test_every_kind_of_rule_has_a_recipe() -> None:
    assert recipes.keys() == HISTORIES.keys()
    assert {rule.kind for rule in BUILT_IN} <= recipes.keys()


@pytest.mark.parametrize("kind", HISTORIES)
async def test_a_recipe_fires_once_and_says_what_is_shown(kind: str, tmp_path: Path) -> None:
    tables, told = recipes[kind]
    _, found = await _of_recipe(tmp_path, kind, tables)
    assert found == told


async def test_the_first_alert_is_told_and_its_end(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert tuple(FIRST.findall(page)[:2]) == await _first(tmp_path)


@pytest.mark.parametrize("block", blocks("toml"))
def test_a_config_loads(block: str, tmp_path: Path) -> None:
    (tmp_path / "runlake.toml").write_text(SOURCES + block, encoding="utf-8")
    assert load(tmp_path / "runlake.toml").source


@pytest.mark.parametrize("block", blocks("console"))
def test_a_command_answers_what_is_shown(block: str, tmp_path: Path, utc: None) -> None:
    said = conversation(block)
    assert answers(tmp_path, [command for command, _ in said]) == [answer for _, answer in said]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    asyncio.run(_project(folder))
    return published_path(folder / "runlake.duckdb")


@pytest.mark.parametrize("block", blocks("sql"))
def test_a_query_gives_rows(block: str, copy: Path) -> None:
    with duckdb.connect(str(copy), read_only=True) as con:
        assert con.execute(block).fetchall()


@pytest.mark.parametrize("secret", ["a plain one", "whsec_" + "A" * 32])
async def test_the_receiver_that_is_shown_tells_ours_from_others(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = [each.values[0] for each in blocks("python")]
    receiver: dict[str, Any] = {}
    exec(block, receiver)
    with recording() as recorder:
        monkeypatch.setenv("HOOK_URL", recorder.url)
        monkeypatch.setenv("HOOK_SIGNING_KEY", secret)
        keys: Mapping[str, Any] = {"url": {"env": "HOOK_URL"}, "secret": {"env": "HOOK_SIGNING_KEY"}}
        await channels.send(channel("webhook", **keys), message())
    [taken] = recorder.messages
    assert receiver["is_ours"](taken.headers, taken.body, secret)
    assert not receiver["is_ours"](taken.headers, taken.body + b" ", secret)
    assert not receiver["is_ours"]({**taken.headers, "webhook-timestamp": "1"}, taken.body, secret)


if __name__ == "__main__":
    import os
    import tempfile

    def _block(language: str, content: str) -> str:
        return f"```{language}\n{content}```"

    os.environ |= {"TZ": "UTC", "NO_COLOR": "1", "COLUMNS": "120"}
    time.tzset()
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as made:
        first = iter(asyncio.run(_first(Path(made))))
    head, rest = page.split("## How it works", 1)
    head = FIRST.sub(lambda _: _block("text", next(first)), head)

    def _recipe(match: re.Match[str]) -> str:
        with tempfile.TemporaryDirectory() as made:
            _, told = asyncio.run(_of_recipe(Path(made), match[1], match[2]))
        return match[0].removesuffix(_block("text", match[3])) + _block("text", told)

    def _console(match: re.Match[str]) -> str:
        if match[1] != "console":
            return match[0]
        with tempfile.TemporaryDirectory() as made:
            commands = [said for said, _ in conversation(match[2])]
            pairs = zip(commands, answers(Path(made), commands), strict=True)
            return _block("console", "".join(f"$ {said}\n{answer}" for said, answer in pairs))

    page = RECIPE.sub(_recipe, head + "## How it works" + rest)
    PAGE.write_text(BLOCK.sub(_console, page), encoding="utf-8")
