"""One emulator on a real socket for all tests, reset before each: starting and stopping a server costs 0.3 s."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from runlake.emulator import Emulator, serve
from runlake.emulator.clock import MONDAY_MORNING
from runlake.emulator.vendor import Vendor

VENDORS = ("clinia", "clerk", "truestate", "clarifeye", "esper", "airflow")


@dataclass
class Desk:
    """An emulator on a socket, and how a well-behaved client talks to each of its vendors."""

    emulator: Emulator
    base_url: str
    client: httpx.Client

    def vendor(self, name: str) -> Vendor:
        return self.emulator.vendor(name)

    def settings(self, name: str) -> dict[str, Any]:
        return self.emulator.settings(name, self.base_url)

    def headers(self, name: str) -> dict[str, str]:
        return {
            "clinia": {"X-Clinia-API-Key": "emulator-clinia-key"},
            "clerk": {"apiKey": "emulator-clerk-key"},
            "truestate": {"Api-key": "emulator-truestate-key"},
            "clarifeye": {"Authorization": "Token emulator-clarifeye-token"},
            "esper": {"Authorization": "Bearer emulator-esper-token"},
            "airflow": {"Authorization": "Bearer emulator-airflow-token"},
        }[name]

    def list_path(self, name: str) -> str:
        """A list of runs; for Clinia the receipts of one task."""
        settings = self.settings(name)
        match name:
            case "clinia":
                return f"/sources/{settings['source_key']}/v1/tasks/{settings['tasks'][0]}?withReceipts=true"
            case "clerk":
                return f"/pipelines/{settings['pipelines'][0]}/executions?limit=10"
            case "truestate":
                return f"/pipelines/{settings['pipelines'][0]}/runs/"
            case "clarifeye":
                return f"/projects/{settings['projects'][0]}/pipeline-runs/?limit=10"
            case "esper":
                return "/pipelines/v0/runs/?limit=10"
        return "/api/v2/dags/~/dagRuns?limit=10"

    def get(self, name: str, path: str, **headers: str) -> httpx.Response:
        url = path if path.startswith("http") else f"{self.base_url}/{name}{path}"
        return self.client.get(url, headers=self.headers(name) | headers)

    def listing(self, name: str) -> httpx.Response:
        return self.get(name, self.list_path(name))

    def rows(self, name: str, response: httpx.Response) -> list[dict[str, Any]]:
        content = response.json()
        rows: list[dict[str, Any]] = {
            "clinia": lambda: content["receipts"],
            "clerk": lambda: content["data"],
            "truestate": lambda: content,
            "clarifeye": lambda: content["results"],
            "esper": lambda: content["content"]["results"],
            "airflow": lambda: content["dag_runs"],
        }[name]()
        return rows


@pytest.fixture(scope="session")
def shared_desk() -> Iterator[Desk]:
    emulator = Emulator(seed=3)
    with serve(emulator) as base_url, httpx.Client() as client:
        yield Desk(emulator, base_url, client)


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    """The shared emulator, as if just started."""
    shared_desk.emulator.reset()
    shared_desk.emulator.clock.set(MONDAY_MORNING)
    return shared_desk
