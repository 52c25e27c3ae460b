"""What every connector promises, checked against its recordings and against a vendor that fails in every known way.

Connectors are discovered, so none can be forgotten. Recordings (`cassettes/`) show what a vendor says; what nobody can
record (429, 503, timeouts, foreign links) is played with respx.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import pytest
import respx
import vcr  # type: ignore[import-untyped,unused-ignore]
import yaml
from vcr.errors import CannotOverwriteExistingCassetteException  # type: ignore[import-untyped,unused-ignore]

from runlake.connector import AnyConnector, Connector, Feed, Order, Page, Settings, can, connectors
from runlake.errors import AuthenticationError, NotFound, RateLimited, SourceError, Unavailable, UnexpectedResponse
from runlake.http import HttpLimits, VendorHttp, bearer
from runlake.model import Run, RunRef, RunStatus, StatusTable, Step
from runlake.secret import Secret

WAIVED = {
    ("clinia", "a_list_has_at_least_two_pages"): "no list is documented: executions are read by id",
    ("clinia", "a_walk_is_taken_up_again_after_any_page"): "no list is documented",
    ("truestate", "a_list_has_at_least_two_pages"): "the vendor answers with one bare array, however long",
    ("truestate", "a_walk_is_taken_up_again_after_any_page"): "an array cannot be taken up again in its middle",
}
"""Promises that a vendor cannot keep, and why."""

STREAMED = {"truestate"}
"""Vendors whose list is a bare array, read while it arrives: an answer that is no array may as well be an outage, so
Unavailable counts as right where others owe UnexpectedResponse."""

ROOT = Path(__file__).parents[1]
CASSETTES = ROOT / "cassettes"
INDEX: dict[str, Any] = tomllib.loads((CASSETTES / "index.toml").read_text(encoding="utf-8"))
SECRET = "canary-secret-d41d8cd98f00"
FOREIGN = "elsewhere.example"


@dataclass(frozen=True)
class Vendor:
    name: str

    @property
    def type(self) -> type[AnyConnector]:
        return connectors()[self.name]

    @property
    def folder(self) -> Path:
        return CASSETTES / self.name

    @property
    def source(self) -> dict[str, Any]:
        """`[settings]` as the config would give them, and `[run]`, the run that run.yaml reads by id."""
        file = self.folder / "source.toml"
        assert file.exists(), f"write {file.relative_to(ROOT)}: the settings that the recordings are replayed with"
        return tomllib.loads(file.read_text(encoding="utf-8"))

    def connector(self, **changed: Any) -> AnyConnector:
        settings = {key: value for key, value in {**self.source["settings"], **changed}.items() if value is not None}
        return self.type(self.type.settings_type.model_validate(settings))

    def unlisted(self) -> AnyConnector:
        """Without the lists that a user may configure or leave out: left out, the vendor is asked for them."""
        known = self.type.settings_type.model_fields
        lists = [key for key, value in self.source["settings"].items() if isinstance(value, list)]
        return self.connector(**{key: None for key in lists if not known[key].is_required()})

    def curious(self) -> AnyConnector:
        """With everything switched on that is off by default."""
        known = self.type.settings_type.model_fields
        return self.connector(**{key: True for key, field in known.items() if field.annotation is bool})

    @property
    def ref(self) -> RunRef:
        return RunRef(**self.source["run"])

    @property
    def expected(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "runs.expected.jsonl").read_text("utf-8").splitlines()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vendor" in metafunc.fixturenames:
        promise = metafunc.function.__name__.removeprefix("test_")
        names = [name for name in connectors() if (name, promise) not in WAIVED]
        metafunc.parametrize("vendor", [Vendor(name) for name in names], ids=names)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLAKE_TEST_SECRET", SECRET)


async def no_sleep(_: float) -> None:
    return None


def client(connector: AnyConnector, **given: Any) -> VendorHttp:
    once = HttpLimits(attempts=1)
    return VendorHttp(
        str(connector.settings.base_url), **{"sign": connector.sign(), "sleep": no_sleep, "limits": once, **given}
    )


@asynccontextmanager
async def replaying(
    vendor: Vendor, scenario: str, connector: AnyConnector, *, again: bool = False
) -> AsyncIterator[VendorHttp]:
    """A client that is answered from a cassette, in which every recorded answer must be asked for."""
    tapes = vcr.VCR(record_mode="none", match_on=["method", "path", "query"])
    with tapes.use_cassette(str(vendor.folder / f"{scenario}.yaml"), allow_playback_repeats=again) as played:
        async with client(connector) as http:
            yield http
        assert again or played.all_played, f"{vendor.name}/{scenario}.yaml: not every recorded answer was asked for"


# --- reading everything ----------------------------------------------------------------------------------------------


async def walk(connector: AnyConnector, http: VendorHttp, feed: Feed, cursor: str | None = None) -> list[Page]:
    if not can(type(connector), "pages"):
        return []
    return [page async for page in connector.pages(http, feed, None, cursor)]


async def everything(connector: AnyConnector, http: VendorHttp) -> list[Run]:
    """All feeds, then all that is tracked, as a first sync reads them: each run where it is met first."""
    met: dict[RunRef, Run] = {}
    for feed in await listed_feeds(connector, http):
        for page in await walk(connector, http, feed):
            for run in page.runs:
                met.setdefault(run.ref, run)
    for handle in connector.tracked():
        for ref in (await connector.resolve(http, handle)).refs:
            run = await connector.run(http, ref)
            met.setdefault(run.ref, run)
    return list(met.values())


async def listed_feeds(connector: AnyConnector, http: VendorHttp) -> list[Feed]:
    if not can(type(connector), "pages"):
        return []
    without = connector.feeds([])
    if without or not can(type(connector), "pipelines"):
        return without
    return connector.feeds(await connector.pipelines(http))


def plain(run: Run, statuses: StatusTable, step_statuses: StatusTable) -> dict[str, Any]:
    """A run as a reviewer signs it in runs.expected.jsonl."""

    def row(part: Run | Step, table: StatusTable) -> dict[str, Any]:
        said = {f.name: getattr(part, f.name) for f in fields(part) if f.name not in {"payload", "steps", "parent"}}
        said["status"] = table[part.vendor_status].value
        return {name: moment(value) for name, value in said.items() if value is not None}

    whole = row(run, statuses)
    if run.parent is not None:
        whole["parent"] = {f.name: getattr(run.parent, f.name) for f in fields(run.parent)}
    if run.steps is not None:
        whole["steps"] = [row(step, step_statuses) for step in run.steps]
    return whole


def moment(value: Any) -> Any:
    """Instants in one spelling, so that `.210Z` and `.210000Z` are the same."""
    if isinstance(value, dict):
        return {key: moment(item) for key, item in value.items()}
    if isinstance(value, list):
        return [moment(item) for item in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        assert value.tzinfo is not None, "instants are aware"
        return value.astimezone(UTC).isoformat()
    return value


def signed(vendor: Vendor, runs: list[Run]) -> list[dict[str, Any]]:
    return [plain(run, vendor.type.statuses, vendor.type.step_statuses) for run in runs]


async def recorded_runs(vendor: Vendor) -> list[Run]:
    """What the recordings show of runs: the lists, and the one read by id."""
    connector = vendor.connector()
    async with replaying(vendor, "runs", connector) as http:
        runs = await everything(connector, http)
    if can(vendor.type, "run"):
        async with replaying(vendor, "run", connector) as http:
            runs.append(await connector.run(http, vendor.ref))
    return runs


# --- what is written about a vendor ----------------------------------------------------------------------------------


def test_every_module_is_a_connector_and_every_waiver_is_of_one() -> None:
    modules = {file.stem for file in (ROOT / "src/runlake/connectors").glob("[!_]*.py")}
    assert modules <= set(connectors())
    promises = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {name for name, _ in WAIVED} <= set(connectors())
    assert {promise for _, promise in WAIVED} <= promises
    assert all(WAIVED.values())


def test_the_manual_has_its_six_headings(vendor: Vendor) -> None:
    manual = inspect.getdoc(sys.modules[vendor.type.__module__]) or ""
    headings = re.findall(r"^(Docs|Auth|Paging|Order|Limits|Quirks) +\S", manual, re.MULTILINE)
    assert headings == ["Docs", "Auth", "Paging", "Order", "Limits", "Quirks"]


def test_a_connector_is_named_as_its_module_and_says_what_it_can(vendor: Vendor) -> None:
    connector = vendor.type
    assert connector.__module__ == f"runlake.connectors.{vendor.name}"
    assert re.fullmatch(r"[a-z][a-z0-9_]*", connector.name)
    assert connector.title.strip()
    assert issubclass(connector.settings_type, Settings)
    assert can(connector, "pages") or can(connector, "resolve"), "there must be a way to hear of runs"
    assert can(connector, "run") or not can(connector, "resolve")


def test_the_vocabulary_is_the_documented_one(vendor: Vendor) -> None:
    documented = INDEX["vocabulary"][vendor.name]
    assert documented["source"].startswith("http")
    for level, table in (("run", vendor.type.statuses), ("step", vendor.type.step_statuses)):
        assert sorted(table) == sorted(documented[level]), level
        assert RunStatus.UNKNOWN not in table.values(), level


def test_every_documented_word_is_in_what_is_written_from_documents(vendor: Vendor) -> None:
    """A word may stand in other letters there: some references shout what the wire whispers. Recordings of a real
    server are not asked for this: some words cannot be brought about."""
    if any(entry["origin"] == "recorded" for name, entry in INDEX.items() if name.startswith(f"{vendor.name}/")):
        return
    texts = [file.read_text("utf-8") for file in vendor.folder.glob("*.yaml")]
    said = {json.loads(word).lower() for text in texts for word in re.findall(r'"(?:[^"\\\n]|\\.)*"', text)}
    documented = INDEX["vocabulary"][vendor.name]
    assert {word.lower() for word in (*documented["run"], *documented["step"])} <= said


def test_each_recording_says_where_it_came_from(vendor: Vendor) -> None:
    recordings = {f"{vendor.name}/{file.name}" for file in vendor.folder.glob("*.yaml")}
    assert {f"{vendor.name}/{name}.yaml" for name in ("runs", "run", "unauthorized")} <= recordings
    assert recordings == {name for name in INDEX if name.startswith(f"{vendor.name}/")}
    for recording in recordings:
        entry = INDEX[recording]
        assert isinstance(entry["date"], date)
        if entry["origin"] == "documented":
            assert entry["source"].startswith("http")
        else:
            assert entry["origin"] == "recorded"
            assert entry["version"]
    origins = {INDEX[recording]["origin"] for recording in recordings}
    assert ("recorded" in origins) == (vendor.type.verified != "documentation only"), "`verified` and the index differ"


def test_further_recordings_are_played_by_the_vendors_own_tests(vendor: Vendor) -> None:
    further = {file.stem for file in vendor.folder.glob("*.yaml")} - {"runs", "run", "unauthorized", "pipelines"}
    own = ROOT / "tests" / "connectors" / f"test_{vendor.name}.py"
    text = own.read_text("utf-8") if own.exists() else ""
    assert [name for name in sorted(further) if not re.search(rf'"{name}(\.yaml)?"', text)] == []


def test_the_readme_lists_the_vendor(vendor: Vendor) -> None:
    rows = [line for line in (ROOT / "README.md").read_text("utf-8").splitlines() if line.startswith("|")]
    assert [row for row in rows if vendor.type.title in row], f"put {vendor.type.title} into README.md's vendors table"


# --- what the recordings show ----------------------------------------------------------------------------------------


async def test_the_runs_are_those_that_a_reviewer_signed(vendor: Vendor) -> None:
    connector = vendor.connector()
    async with replaying(vendor, "runs", connector) as http:
        runs = await everything(connector, http)
    assert signed(vendor, runs) == moment(vendor.expected)
    assert http.traffic.unreadable == 0


async def test_a_list_has_at_least_two_pages(vendor: Vendor) -> None:
    connector = vendor.connector()
    async with replaying(vendor, "runs", connector, again=True) as http:
        walks = [await walk(connector, http, feed) for feed in await listed_feeds(connector, http)]
    assert max(len(pages) for pages in walks) >= 2
    for pages in walks:
        assert all(page.cursor is not None for page in pages[:-1])
        assert not pages or pages[-1].cursor is None, "after the last page nothing follows"


async def test_each_run_is_given_once(vendor: Vendor) -> None:
    connector = vendor.connector()
    async with replaying(vendor, "runs", connector, again=True) as http:
        for feed in await listed_feeds(connector, http):
            refs = [run.ref for page in await walk(connector, http, feed) for run in page.runs]
            assert len(refs) == len(set(refs)), feed.key


async def test_a_walk_is_taken_up_again_after_any_page(vendor: Vendor) -> None:
    connector = vendor.connector()
    async with replaying(vendor, "runs", connector, again=True) as http:
        for feed in await listed_feeds(connector, http):
            pages = await walk(connector, http, feed)
            for number, page in enumerate(pages[:-1], 1):
                rest = await walk(vendor.connector(), http, feed, page.cursor)
                assert [signed(vendor, p.runs) for p in rest] == [signed(vendor, p.runs) for p in pages[number:]]


async def test_feeds_are_told_apart_and_hold_their_own_runs(vendor: Vendor) -> None:
    connector = vendor.connector()
    async with replaying(vendor, "runs", connector, again=True) as http:
        found = await listed_feeds(connector, http)
        assert len({feed.key for feed in found}) == len(found)
        for feed in found:
            for page in await walk(connector, http, feed):
                for run in page.runs:
                    assert not feed.id or f"{run.pipeline_id}/".startswith(f"{feed.id}/")


async def test_newest_first_means_newest_first(vendor: Vendor) -> None:
    connector = vendor.connector()
    async with replaying(vendor, "runs", connector, again=True) as http:
        for feed in await listed_feeds(connector, http):
            if feed.order is Order.NEWEST_FIRST:
                runs = [run for page in await walk(connector, http, feed) for run in page.runs]
                keys = [key for key in map(connector.sort_key, runs) if key is not None]
                assert keys
                assert keys == sorted(keys, reverse=True), feed.key


async def test_what_is_open_has_no_end(vendor: Vendor) -> None:
    ends = 0
    for run in await recorded_runs(vendor):
        final = vendor.type.statuses[run.vendor_status].is_final
        assert final or run.finished_at is None, run.ref
        ends += run.finished_at is not None
        for step in run.steps or ():
            final = vendor.type.step_statuses[step.vendor_status].is_final
            assert final or step.finished_at is None, (run.ref, step.step_id)
    assert ends


async def test_a_run_read_by_id_says_what_the_list_said_and_has_its_steps(vendor: Vendor) -> None:
    connector = vendor.connector()
    async with replaying(vendor, "run", connector) as http:
        run = await connector.run(http, vendor.ref)
    [whole] = signed(vendor, [run])
    [row] = [row for row in moment(vendor.expected) if row["run_id"] == run.run_id]
    steps, listed = whole.pop("steps", None), row.pop("steps", None)
    assert {name: whole.get(name) for name in row if name != "labels"} == {n: row[n] for n in row if n != "labels"}
    assert whole["labels"].items() >= row["labels"].items()
    assert steps, "a run is read with its steps"
    signed_run = vendor.folder / "run.expected.json"
    if signed_run.exists():
        assert signed(vendor, [run]) == [moment(json.loads(signed_run.read_text("utf-8")))]
    else:
        assert listed == steps, f"lists show no steps: sign the run read by id, in {signed_run.relative_to(ROOT)}"
    assert len({step["step_id"] for step in steps}) == len(steps)


async def test_a_run_read_with_everything_switched_on_is_as_signed(vendor: Vendor) -> None:
    """Further recordings of the same run that are signed, as `<scenario>.expected.json`."""
    for file in sorted(vendor.folder.glob("*.expected.json")):
        scenario = file.name.removesuffix(".expected.json")
        if scenario != "run":
            connector = vendor.curious()
            async with replaying(vendor, scenario, connector) as http:
                assert signed(vendor, [await connector.run(http, vendor.ref)]) == [moment(json.loads(file.read_text()))]


async def test_a_list_row_is_completed_to_what_a_read_by_id_gives(vendor: Vendor) -> None:
    if not can(vendor.type, "detail"):
        return
    connector = vendor.connector()
    async with replaying(vendor, "runs", connector) as http:
        [row] = [run for run in await everything(connector, http) if run.run_id == vendor.ref.run_id]
    async with replaying(vendor, "run", connector, again=True) as http:
        assert signed(vendor, [await connector.detail(http, row)]) == signed(
            vendor, [await connector.run(http, vendor.ref)]
        )


async def test_the_pipelines_are_those_of_the_runs(vendor: Vendor) -> None:
    """As far as they are recorded. Not all of a vendor's pipelines have run, nor are all that have run still there."""
    if not can(vendor.type, "pipelines"):
        return
    connector = vendor.unlisted()
    async with replaying(vendor, "pipelines", connector) as http:
        ids = [pipeline.pipeline_id for pipeline in await connector.pipelines(http)]
    assert len(ids) == len(set(ids))
    assert set(ids) & {row["pipeline_id"] for row in vendor.expected}


async def test_nothing_personal_and_no_secret_is_kept(vendor: Vendor) -> None:
    runs = await recorded_runs(vendor)
    for run in runs:
        assert run.payload is not None, "what the vendor said, cut down to the declared fields, is kept"
        kept = run.payload.model_dump_json() + repr(replace(run, payload=None))
        assert "CANARY" not in kept
        assert SECRET not in kept
        assert json.loads(run.payload.model_dump_json(exclude_none=True))
    if INDEX[f"{vendor.name}/runs.yaml"]["origin"] == "documented":
        texts = [(vendor.folder / f"{scenario}.yaml").read_text("utf-8") for scenario in ("runs", "run")]
        assert all("CANARY-PERSONAL" in text for text in texts), "show the personal content that real answers carry"


async def test_a_refused_secret_is_reported_without_the_secret(vendor: Vendor) -> None:
    """Every answer of unauthorized.yaml, by whichever way it is asked for."""
    connector = vendor.connector()
    refused = 0
    async with replaying(vendor, "unauthorized", connector) as http:
        for feed in await listed_feeds(connector, http):
            refused += await _refused(walk(connector, http, feed))
        for handle in connector.tracked():
            refused += await _refused(_followed(connector, http, handle))
        if can(vendor.type, "run"):
            refused += await _refused(connector.run(http, vendor.ref))
    assert refused


async def _followed(connector: AnyConnector, http: VendorHttp, handle: str) -> None:
    for ref in (await connector.resolve(http, handle)).refs:
        await connector.run(http, ref)


async def _refused(asking: Awaitable[object]) -> bool:
    try:
        await asking
    except AuthenticationError as error:
        assert SECRET not in "".join((str(error), repr(error), *traceback.format_exception(error)))
        return True
    except CannotOverwriteExistingCassetteException:
        return False  # not recorded
    raise AssertionError("a refusal was not reported")


# --- a vendor that fails ---------------------------------------------------------------------------------------------

Recorded = list[dict[str, Any]]


def tape(vendor: Vendor, scenario: str) -> Recorded:
    text = (vendor.folder / f"{scenario}.yaml").read_text("utf-8")
    return cast(Recorded, yaml.safe_load(text)["interactions"])


def body(interaction: dict[str, Any]) -> bytes:
    said = interaction["response"]["body"]["string"]
    return said if isinstance(said, bytes) else said.encode()


class Answers:
    """Answers requests from a recording, its JSON changed on the way, except the one after the first `good`: that is
    answered with `then`."""

    def __init__(
        self,
        recorded: Recorded,
        change: Callable[[Any], Any] = lambda data: data,
        *,
        good: int = 10_000,
        then: int = 503,
        any_page: bool = False,
    ) -> None:
        self._recorded, self._change, self._good, self._then, self._any_page = recorded, change, good, then, any_page
        self.asked: list[httpx.URL] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url)
        assert len(self.asked) < 200, "a walk without an end"
        if len(self.asked) == self._good + 1:
            return httpx.Response(self._then)
        for interaction in self._recorded:
            said = urlsplit(interaction["request"]["uri"])
            if (request.method, request.url.raw_path.decode().partition("?")[0]) != (
                interaction["request"]["method"],
                said.path,
            ):
                continue
            same_query = sorted(parse_qsl(said.query, True)) == sorted(request.url.params.multi_items())
            if self._any_page or (
                same_query
                and (not request.content or json.loads(request.content) == json.loads(interaction["request"]["body"]))
            ):
                status = interaction["response"]["status"]["code"]
                return httpx.Response(status, json=self._change(json.loads(body(interaction))))
        return httpx.Response(404)


def entry_points(
    vendor: Vendor, connector: AnyConnector | None = None
) -> dict[str, Callable[[VendorHttp], Awaitable[object]]]:
    """Every way into a connector that asks its vendor something."""
    asking_for_pipelines = connector or vendor.unlisted()
    connector = connector or vendor.connector()
    listed = next((run for run in vendor.expected if run["run_id"] == vendor.ref.run_id), vendor.expected[0])
    row = Run(pipeline_id=listed["pipeline_id"], run_id=listed["run_id"], vendor_status=listed["vendor_status"])
    ways: dict[str, Callable[[VendorHttp], Awaitable[object]]] = {}
    if can(vendor.type, "pages"):
        ways["pages"] = lambda http: _first_feed(connector, http)
    if can(vendor.type, "run"):
        ways["run"] = lambda http: connector.run(http, vendor.ref)
    if can(vendor.type, "detail"):
        ways["detail"] = lambda http: connector.detail(http, row)
    if can(vendor.type, "pipelines"):
        ways["pipelines"] = asking_for_pipelines.pipelines
    if can(vendor.type, "resolve"):
        ways["resolve"] = lambda http: _resolve_all(connector, http)
    ways["probe"] = connector.probe
    return ways


async def _first_feed(connector: AnyConnector, http: VendorHttp) -> list[Page]:
    found = connector.feeds([]) or [Feed(id="some-pipeline")]
    return await walk(connector, http, found[0])


async def _resolve_all(connector: AnyConnector, http: VendorHttp) -> None:
    for handle in connector.tracked():
        await connector.resolve(http, handle)


Says = Callable[[httpx.Request], httpx.Response]


def _timing_out(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("", request=request)


def _truncated(vendor: Vendor, way: str) -> Says:
    scenario = {"pages": "runs", "probe": "runs"}.get(way, "run")
    whole = body(tape(vendor, scenario)[0])
    return lambda _: httpx.Response(200, content=whole[: len(whole) // 2])


FAILURES: dict[str, tuple[type[SourceError], Callable[[Vendor, str], Says]]] = {
    "429": (RateLimited, lambda *_: lambda _: httpx.Response(429, headers={"Retry-After": "7"}, json={})),
    "503": (Unavailable, lambda *_: lambda _: httpx.Response(503, text="busy")),
    "timeout": (Unavailable, lambda *_: _timing_out),
    "maintenance page": (Unavailable, lambda *_: lambda _: httpx.Response(200, html="<!doctype html><h1>Back soon")),
    "truncated": (Unavailable, _truncated),
    "changed shape": (UnexpectedResponse, lambda *_: lambda _: httpx.Response(200, json={"unexpected": True})),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("way", ["pages", "run", "detail", "pipelines", "resolve", "probe"])
async def test_each_failure_of_the_vendor_is_said_as_what_it_is(vendor: Vendor, way: str, failure: str) -> None:
    ask = entry_points(vendor).get(way)
    if ask is None:
        return  # it cannot do that
    kind, says = FAILURES[failure]
    kinds: tuple[type[SourceError], ...] = (kind,)
    if failure == "changed shape" and vendor.name in STREAMED:
        kinds = (UnexpectedResponse, Unavailable)
    with respx.mock(assert_all_called=False) as router:
        everywhere = router.route().mock(side_effect=says(vendor, way))
        async with client(vendor.connector(), sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
            with pytest.raises(kinds) as caught:
                await ask(http)
        assert everywhere.called
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after == 7
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("status", [429, 500])
async def test_an_error_in_the_middle_is_no_quiet_end(vendor: Vendor, status: int) -> None:
    """Whichever request of a walk fails: what was read before it stays read, and the failure is said."""
    connector = vendor.connector()
    recorded = tape(vendor, "runs")
    whole, failed = await _until_it_fails(connector, Answers(recorded))
    assert not failed
    for good in range(len(recorded)):
        answers = Answers(recorded, good=good, then=status)
        runs, failed = await _until_it_fails(connector, answers)
        assert runs == whole[: len(runs)]
        assert failed == (len(answers.asked) > good)


async def _until_it_fails(connector: AnyConnector, answers: Answers) -> tuple[list[RunRef], bool]:
    """The runs read, as far as a walk of every feed and handle came, and whether it came to an error."""
    refs: list[RunRef] = []
    with respx.mock(assert_all_called=False) as router:
        router.route().mock(side_effect=answers)
        async with client(connector, sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
            try:
                for feed in await listed_feeds(connector, http):
                    async with aclosing(cast(Any, connector.pages(http, feed, None, None))) as walking:
                        async for page in walking:
                            refs += [run.ref for run in page.runs]
                for handle in connector.tracked():
                    for ref in (await connector.resolve(http, handle)).refs:
                        refs.append((await connector.run(http, ref)).ref)
            except SourceError:
                return refs, True
    return refs, False


def _changed(data: Any, change: Callable[[str, Any], Any]) -> Any:
    """Every value of every object changed, from the outside in."""
    if isinstance(data, list):
        return [_changed(item, change) for item in data]
    if isinstance(data, dict):
        return {key: _changed(change(key, value), change) for key, value in data.items()}
    return data


def _abroad(key: str, value: Any) -> Any:
    """Each link to what follows leads to another host."""
    if key.lower().startswith("next") and isinstance(value, str):
        return re.sub(r"^(https?://[^/]+)?/", f"https://{FOREIGN}/", value)
    return value


async def test_a_link_to_another_host_is_refused_and_reaches_nobody(vendor: Vendor) -> None:
    connector = vendor.connector()
    if not can(vendor.type, "pages") or not connector.feeds([]):
        return
    answers = Answers(tape(vendor, "runs"), lambda data: _changed(data, _abroad))
    refused = False
    with respx.mock() as router:
        router.route().mock(side_effect=answers)
        async with client(connector, sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
            try:
                pages = await walk(connector, http, connector.feeds([])[0])
            except UnexpectedResponse as error:
                refused = "another host" in str(error)
    assert FOREIGN not in {url.host for url in answers.asked}
    if not refused:
        # Right only for those who count pages themselves: all of them were read, and no cursor is a link.
        assert not [page.cursor for page in pages if FOREIGN in (page.cursor or "") or "/" in (page.cursor or "")]
        assert sum(len(page.runs) for page in pages)


def _gossiping(data: Any) -> Any:
    if isinstance(data, list):
        return [_gossiping(item) for item in data]
    if isinstance(data, dict):
        return {key: _gossiping(value) for key, value in data.items()} | {"undeclared": "CANARY-PERSONAL"}
    return data


async def test_what_a_vendor_adds_to_its_answers_is_not_kept(vendor: Vendor) -> None:
    connector = vendor.connector()
    with respx.mock() as router:
        router.route().mock(side_effect=Answers(tape(vendor, "runs"), _gossiping))
        async with client(connector, sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
            runs = await everything(connector, http)
    assert signed(vendor, runs) == moment(vendor.expected)
    for run in runs:
        assert run.payload is not None
        assert "CANARY" not in run.payload.model_dump_json() + repr(replace(run, payload=None))


def _emptied(key: str, value: Any) -> Any:
    return [] if isinstance(value, list) else value


def _emptied_and_uncounted(key: str, value: Any) -> Any:
    return None if key in {"count", "total", "total_entries"} else _emptied(key, value)


@pytest.mark.parametrize("change", [_emptied, _emptied_and_uncounted])
async def test_empty_pages_end_a_walk(vendor: Vendor, change: Callable[[str, Any], Any]) -> None:
    """Whatever they say of further ones, `Answers` bounds the number of requests."""
    connector = vendor.connector()
    with respx.mock(assert_all_called=False) as router:
        router.route().mock(
            side_effect=Answers(tape(vendor, "runs"), lambda data: _changed(data, change), any_page=True)
        )
        async with client(connector, sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
            with suppress(UnexpectedResponse, NotFound):
                await everything(connector, http)


async def test_a_page_that_follows_itself_is_not_asked_for_over_and_over(vendor: Vendor) -> None:
    """Those who count pages themselves go on, to pages that differ at least in their address; the core bounds that."""
    connector = vendor.connector()
    first, *_ = tape(vendor, "runs")
    whole, here = json.loads(body(first)), first["request"]["uri"]
    asked: list[httpx.URL] = []

    def same(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json=_changed(whole, lambda key, value: here if key == "next" and value else value))

    for feed in connector.feeds([])[:1] if can(vendor.type, "pages") else []:
        with respx.mock(assert_all_called=False) as router:
            router.route(method="GET").mock(side_effect=same)
            router.route().mock(side_effect=Answers(tape(vendor, "runs")))
            async with client(connector, sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
                with suppress(UnexpectedResponse, NotFound):
                    async with aclosing(cast(Any, connector.pages(http, feed, None, None))) as walking:
                        async for _ in walking:
                            assert len(asked) <= 2 * len(set(asked)), asked[-1]
                            if len(asked) > 20:
                                break


async def test_a_status_word_that_nobody_knows_costs_no_run(vendor: Vendor) -> None:
    connector = vendor.connector()
    words = {*vendor.type.statuses, *vendor.type.step_statuses}

    def renamed(key: str, value: Any) -> Any:
        return "brand-new word" if key in {"status", "state"} and isinstance(value, str) and value in words else value

    with respx.mock() as router:
        router.route().mock(side_effect=Answers(tape(vendor, "runs"), lambda data: _changed(data, renamed)))
        async with client(connector, sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
            runs = await everything(connector, http)
    assert [run.run_id for run in runs] == [row["run_id"] for row in vendor.expected]
    assert {run.vendor_status for run in runs} == {"brand-new word"}
    assert http.traffic.unreadable == 0


async def test_an_id_cannot_leave_its_segment_of_the_path(vendor: Vendor) -> None:
    connector = vendor.connector()
    nasty = "../../r?x=1#y"
    row = Run(pipeline_id="p?x=1#y/..", run_id=nasty, vendor_status="")
    asking: list[Callable[[VendorHttp], Awaitable[object]]] = []
    if can(vendor.type, "run"):
        asking.append(lambda http: connector.run(http, row.ref))
    if can(vendor.type, "detail"):
        asking.append(lambda http: connector.detail(http, row))
    for feed in connector.feeds([])[:1] if can(vendor.type, "pages") else []:
        if feed.id:
            asking.append(lambda http, feed=feed: walk(connector, http, replace(feed, id=nasty)))  # type: ignore[misc]
    for kind in {handle.rpartition(":")[0] for handle in connector.tracked()}:
        asking.append(lambda http, kind=kind: connector.resolve(http, f"{kind}:{nasty}"))  # type: ignore[misc]
    for ask in asking:
        answers = Answers([], good=0)
        with respx.mock(assert_all_called=False) as router:
            router.route().mock(side_effect=answers)
            async with client(connector, sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
                with suppress(Unavailable):
                    await ask(http)
        for url in answers.asked:
            sent, _, query = url.raw_path.decode().partition("?")
            assert sent.startswith((connector.settings.base_url.path or "").rstrip("/") + "/")
            assert quote(nasty, safe="") in sent, "the id is quoted whole"
            assert ".." not in sent.split("/")
            assert "x=1" not in query


async def test_an_id_that_the_vendor_gives_cannot_leave_its_segment_of_the_path(vendor: Vendor) -> None:
    """As when the steps of a run are asked for by the run's id, and their parts by theirs."""
    connector = vendor.curious()
    recorded = [
        interaction
        for file in sorted(vendor.folder.glob("*.yaml"), reverse=True)
        for interaction in tape(vendor, file.stem)
        if interaction["response"]["status"]["code"] == 200
    ]

    def nasty(key: str, value: Any) -> Any:
        return "../../r?x=1#y" if isinstance(value, str) and re.search(r"(^|_)(id|name)$|Id$", key) else value

    for name, ask in entry_points(vendor, connector).items():
        answers = Answers(recorded, lambda data: _changed(data, nasty))
        with respx.mock(assert_all_called=False) as router:
            router.route().mock(side_effect=answers)
            async with client(connector, sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
                with suppress(SourceError):
                    await ask(http)
        for url in answers.asked:
            sent, _, query = url.raw_path.decode().partition("?")
            assert ".." not in sent.split("/"), name
            assert "x=1" not in query, name


async def test_a_configured_id_cannot_leave_its_segment_of_the_path(vendor: Vendor) -> None:
    lists = {key: ["..?x=1#y"] for key, value in vendor.source["settings"].items() if isinstance(value, list)}
    connector = vendor.connector(**lists)
    for name, ask in entry_points(vendor, connector).items():
        answers = Answers([], good=0)
        with respx.mock(assert_all_called=False) as router:
            router.route().mock(side_effect=answers)
            async with client(connector, sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
                with suppress(SourceError):
                    await ask(http)
        assert not [url for url in answers.asked if "x=1" in url.query.decode()], name


def _instants(url: httpx.URL) -> Iterator[tuple[str, str]]:
    yield from ((name, value) for name, value in url.params.multi_items() if re.match(r"\d{4}-\d\d-\d\dT", value))


async def test_since_is_asked_for_inclusively_and_with_a_zone_by_those_who_say_that_they_filter(vendor: Vendor) -> None:
    """The instant itself is asked for, to the microsecond, and not what comes after it."""
    connector = vendor.connector()
    since = datetime(2026, 6, 1, 9, 30, 0, 123456, tzinfo=UTC)
    for feed in connector.feeds([]) if can(vendor.type, "pages") else []:
        asked: list[httpx.URL] = []
        for instant in (None, since):
            answers = Answers([], good=0)
            with respx.mock() as router:
                router.route().mock(side_effect=answers)
                async with client(connector, sign=bearer(Secret(env="RUNLAKE_TEST_SECRET"))) as http:
                    with pytest.raises(Unavailable):
                        [page async for page in connector.pages(http, feed, instant, None)]
            asked += answers.asked
        assert (asked[0] != asked[1]) == (feed.order is Order.UPDATED_SINCE), feed.key
        if feed.order is not Order.UPDATED_SINCE:
            continue
        [(name, value)] = _instants(asked[1])
        assert datetime.fromisoformat(value) == since
        assert re.search(r"gte$|since$|from$|min$|after_or_equal", name), f"{name} may leave out the instant itself"


def test_the_contract_has_a_connector_to_hold() -> None:
    assert connectors()
    assert all(issubclass(connector, Connector) for connector in connectors().values())
