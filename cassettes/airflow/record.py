"""Record Airflow's cassettes from a real server.

    .venv/bin/python cassettes/airflow/record.py

wants runlake and its development group installed, and nothing else: ``server.py`` makes Airflow's own environment when
it is not there and starts a server on a free port, ``scenario.py`` brings about every state, and the connector itself
asks. All cassettes beside this file and ``source.toml`` are replaced. Ids and instants are new each time, so
``runs.expected.jsonl`` has to be written anew from reading ``runs.yaml``, and the dates in ``index.toml`` moved.

What is left out of a cassette: the request headers, the password, the tokens handed out, the response headers that
runlake does not read, and where the DAG files lay on this machine. Bodies are laid out for reading. Nothing else is
changed.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vcr
import yaml
from scenario import clear_one, finish_cleared, prepare, sign_in
from server import VIEWER, airflow_server

from runlake.connectors.airflow import Airflow, AirflowSettings
from runlake.errors import AuthenticationError
from runlake.http import VendorHttp
from runlake.model import RunRef

HERE = Path(__file__).resolve().parent
SHOWN_AT = "http://localhost:8080"
"""Where the server seems to be in the cassettes; the port of a recording is chance."""
PAGE_SIZE = 7
TOKEN, PASSWORD, BAD_TOKEN = "RUNLAKE_TEST_SECRET", "RUNLAKE_TEST_PASSWORD", "RUNLAKE_TEST_BAD"
HEADERS_READ = ("content-type", "date", "retry-after")
SOURCE = """\
# What the cassettes beside this file are replayed with. Written by record.py.

[settings]
base_url = "{base_url}"
token = {{ env = "{token}" }}
page_size = {page_size}

# The run that run.yaml reads by id.
[run]
pipeline_id = "{run.pipeline_id}"
run_id = "{run.run_id}"
"""


class Anonymous:
    """Signs nothing."""

    async def headers(self, http: VendorHttp) -> Mapping[str, str]:
        return {}

    def renew(self) -> bool:
        return False

    def secrets(self) -> list[str]:
        return []


class Readable:
    """YAML as vcrpy writes it, but for JSON bodies on lines of their own."""

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        for interaction in cassette["interactions"]:
            body = interaction["response"]["body"]
            body["string"] = _Lines(json.dumps(_public(json.loads(body["string"])), indent=1))
        note = "# Recorded from a real Apache Airflow 3.3.2 by record.py; see cassettes/index.toml.\n"
        return note + yaml.dump(cassette, Dumper=_Dumper, sort_keys=False, width=1000)

    @staticmethod
    def deserialize(text: str) -> Any:
        return yaml.safe_load(text)


class _Lines(str):
    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Lines, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


HIDDEN = {"access_token": "a-token", "fileloc": "/opt/airflow/dags/dags.py", "file_token": "a-file-token"}


def _public(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_public(item) for item in answer]
    if isinstance(answer, dict):
        return {key: HIDDEN[key] if key in HIDDEN else _public(value) for key, value in answer.items()}
    return answer


def _request(base_url: str) -> Any:
    def keep(request: Any) -> Any:
        agent = request.headers.get("user-agent", "")
        if not agent.startswith("runlake/"):
            return None  # the scenario's own
        request.uri = request.uri.replace(base_url, SHOWN_AT)
        request.headers = {"user-agent": agent}  # vcrpy filters some requests twice
        if request.path == "/auth/token":
            request.body = json.dumps(json.loads(request.body) | {"password": "a-password"})
        return request

    return keep


def _response(response: dict[str, Any]) -> dict[str, Any]:
    headers = {name: value for name, value in response["headers"].items() if name.lower() in HEADERS_READ}
    return response | {"headers": headers}


async def record(base_url: str, username: str, password: str) -> None:
    token = sign_in(base_url, username, password)
    os.environ[TOKEN], os.environ[PASSWORD], os.environ[BAD_TOKEN] = token, password, "no-token-at-all"
    recorder = vcr.VCR(
        record_mode="all",
        before_record_request=_request(base_url),
        before_record_response=_response,
        decode_compressed_response=True,
        serializer="readable",
    )
    recorder.register_serializer("readable", Readable)

    def cassette(name: str) -> Any:
        (HERE / name).unlink(missing_ok=True)
        return recorder.use_cassette(str(HERE / name))

    def connector(**secrets: Any) -> Airflow:
        settings = {"base_url": base_url, "page_size": PAGE_SIZE, **secrets}
        return Airflow(AirflowSettings.model_validate(settings))

    async def walk(http: VendorHttp, since: datetime | None = None) -> list[RunRef]:
        (feed,) = airflow.feeds([])
        return [run.ref async for page in airflow.pages(http, feed, since, None) for run in page.runs]

    airflow = connector(token={"env": TOKEN})
    async with VendorHttp(base_url, airflow.sign()) as http:
        with cassette("runs.yaml"):
            refs = await walk(http)
        (retried,) = [ref for ref in refs if ref.pipeline_id == "passes_on_retry"]
        with cassette("run.yaml"):
            await airflow.run(http, retried)
        with cassette("pipelines.yaml"):
            await airflow.pipelines(http)
        (cleared,) = [ref for ref in refs if ref.pipeline_id == "fails_until_cleared"]
        before = datetime.now(UTC)  # the server's clock too: it runs here
        with cassette("reopened.yaml"):
            await airflow.run(http, cleared)
            await asyncio.to_thread(clear_one, base_url, token)
            await airflow.run(http, cleared)
            await asyncio.to_thread(finish_cleared, base_url, token)
            await airflow.run(http, cleared)
        with cassette("updated.yaml"):
            await walk(http, before)

    async with VendorHttp(base_url, connector(username=VIEWER, password={"env": PASSWORD}).sign()) as http:
        with cassette("login.yaml"):
            await airflow.probe(http)
    refused = {"unauthorized.yaml": Anonymous(), "forbidden.yaml": connector(token={"env": BAD_TOKEN}).sign()}
    for name, sign in refused.items():
        async with VendorHttp(base_url, sign) as http:
            with cassette(name), contextlib.suppress(AuthenticationError):
                await walk(http)
    (HERE / "source.toml").write_text(
        SOURCE.format(page_size=PAGE_SIZE, base_url=SHOWN_AT, token=TOKEN, run=retried), encoding="utf-8"
    )


if __name__ == "__main__":
    with airflow_server() as (url, user, word):
        prepare(url, sign_in(url, user, word))
        asyncio.run(record(url, user, word))
