"""kill -9 at every step between a run's change and the record that it was told: nothing is lost, and who looks at ids
is told everything once."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from . import victim
from .desk import T0
from .receivers import Recorder, recording

# The first moment is history, in the second one fails: so far nobody is killed. Then that one is well while two others
# fail together, and at last these are.
FOUND: list[dict[str, str]] = [
    {"a": "done", "b": "failed", "c": "done", "d": "done"},
    {"d": "failed"},
    {"a": "failed", "c": "failed", "d": "done"},
    {"a": "done", "c": "done"},
]
BEFORE = 2
PLOT = [{"at": (T0 + number * timedelta(minutes=10)).isoformat(), "found": found} for number, found in enumerate(FOUND)]
TOLD = [("open", ["a", "c"]), ("resolve", ["a", "c"]), ("resolve", ["d"])]


@dataclass(frozen=True)
class World:
    """Those who are to be killed, the receiver, and a ledger before that."""

    parent: subprocess.Popen[str]
    receiver: Recorder
    before: Path

    def lives(self, folder: Path, fatal: int = 0, plot: list[dict[str, Any]] = PLOT) -> bool:
        """Whether it came to the end."""
        assert self.parent.stdin is not None and self.parent.stdout is not None
        url = folder / "url"
        url.write_text(self.receiver.url)
        job = {
            "folder": str(folder),
            "fatal": fatal,
            "plot": plot,
            "config": {
                "source": [{"name": "etl", "connector": "esper"}],
                "channel": [{"kind": "webhook", "name": "pager", "url": {"file": str(url)}, "digest": False}],
            },
        }
        self.parent.stdin.write(json.dumps(job) + "\n")
        self.parent.stdin.flush()
        ended = int(self.parent.stdout.readline())
        assert ended in {0, -signal.SIGKILL}
        return ended == 0

    def begin(self, folder: Path) -> None:
        shutil.copytree(self.before, folder)
        self.receiver.messages.clear()

    def told(self) -> list[tuple[str, list[str]]]:
        """What has reached those who look at ids."""
        once = {message.headers["webhook-id"]: message.json for message in self.receiver.messages}
        return sorted((each["event"], sorted(a["pipeline_id"] for a in each["alerts"])) for each in once.values())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    before = tmp_path_factory.mktemp("before")
    command = [sys.executable, "-m", "alerts.victim"]
    with (
        recording() as receiver,
        subprocess.Popen(
            command, cwd=Path(victim.__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as parent,
    ):
        world = World(parent, receiver, before)
        assert world.lives(before, plot=PLOT[:1])
        assert receiver.messages == []
        assert world.lives(before, plot=PLOT[:BEFORE])
        assert world.told() == [("open", ["d"])]
        (before / "points").unlink()
        yield world
        assert parent.stdin is not None
        parent.stdin.close()


@pytest.fixture(scope="module")
def points(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Those that a life passes in which nobody is killed."""
    folder = tmp_path_factory.mktemp("whole") / "ledger"
    world.begin(folder)
    assert world.lives(folder)
    assert world.told() == TOLD
    assert len(world.receiver.messages) == len(TOLD)
    return (folder / "points").read_text().splitlines()


def test_wherever_it_is_killed_each_episode_opens_once_and_is_over_once(
    world: World, points: list[str], tmp_path: Path
) -> None:
    assert points.count("after a message") == len(TOLD)
    # For each moment a sync, a judgement and a claim; and a record for each message.
    assert points.count("before a commit") >= 2 * 3 + len(TOLD)
    wrong = []
    for number, name in enumerate(points, start=1):
        world.begin(tmp_path / f"{number}")
        assert not world.lives(tmp_path / f"{number}", fatal=number), (number, name)
        assert world.lives(tmp_path / f"{number}")
        sent = len(world.receiver.messages)
        if world.told() != TOLD or sent > len(TOLD) + 1:
            wrong.append((number, name, sent, world.told()))
        shutil.rmtree(tmp_path / f"{number}")
    assert wrong == []


def test_it_gets_to_the_end_through_any_number_of_kills(world: World, tmp_path: Path) -> None:
    """Each life is a step longer than the one before, for none that is shorter than a moment gets on."""
    world.begin(tmp_path / "ledger")
    kills = 0
    while not world.lives(tmp_path / "ledger", fatal=kills + 1):
        kills += 1
        assert kills < 100
    assert kills > 5
    assert world.told() == TOLD
    assert len(world.receiver.messages) <= len(TOLD) + kills
