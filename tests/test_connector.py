"""How connectors are found, and what is read off them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runlake.connector import CAPABILITIES, can, connectors
from runlake.errors import ConfigError

MODULE = """
from runlake.connector import Connector, Settings
from runlake.http import bearer
from runlake.model import RunStatus, StatusTable

class Meridian(Connector[Settings]):
    name, title, settings_type = "{name}", "Meridian Flow", Settings
    statuses = step_statuses = StatusTable(done=RunStatus.SUCCEEDED)

    async def run(self, http, ref): ...

not_one = 5
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """A package beside ours that offers a connector, as pip would leave it."""
    name, value = request.param
    (tmp_path / "meridian_runlake.py").write_text(MODULE.format(name=name))
    info = tmp_path / "meridian_runlake-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: meridian-runlake\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[runlake.connectors]\n{name} = meridian_runlake:{value}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    connectors.cache_clear()
    yield
    connectors.cache_clear()
    sys.modules.pop("meridian_runlake", None)


@pytest.mark.parametrize("installed", [("meridian", "Meridian")], indirect=True)
@pytest.mark.usefixtures("installed")
def test_a_connector_of_another_package_is_found() -> None:
    assert connectors()["meridian"].title == "Meridian Flow"
    assert len(connectors()) > 6


@pytest.mark.parametrize("installed", [("esper", "Meridian")], indirect=True)
@pytest.mark.usefixtures("installed")
def test_a_package_cannot_replace_one_of_ours() -> None:
    assert connectors()["esper"].__module__ == "runlake.connectors.esper"


@pytest.mark.parametrize("installed", [("meridian", "not_one")], indirect=True)
@pytest.mark.usefixtures("installed")
def test_an_entry_point_to_something_else_is_told() -> None:
    with pytest.raises(ConfigError, match=r"not_one in group runlake\.connectors is no Connector class"):
        connectors()


def test_what_a_connector_can_do_is_read_off_its_methods() -> None:
    told = {name: {c for c in CAPABILITIES if can(kind, c)} for name, kind in connectors().items()}
    assert told["clarifeye"] == {"pages", "run", "pipelines"}
    assert told["clerk"] == {"pages", "run", "detail"}
