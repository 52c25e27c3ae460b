"""The contract that a vendor fulfils, and how connectors are found.

A connector turns one vendor's words into ours. It holds no retry, no client, no clock and no log. What it *can* do is
read off the methods it defines: `pages` (list), `run` (get one), `detail` (what list rows leave out), `pipelines`
(discovery), `resolve` (runs named by other objects). A vendor without `pages` has its runs tracked by id.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, HttpUrl

from runlake.errors import ConfigError
from runlake.http import Sign, VendorHttp
from runlake.model import Pipeline, Run, RunRef, StatusTable

ENTRY_POINTS = "runlake.connectors"


def _is_web(url: HttpUrl) -> HttpUrl:
    if url.username or url.password or url.query or url.fragment:
        raise ValueError("write only scheme, host, port and path; secrets go into their own keys")
    return url


BaseUrl = Annotated[HttpUrl, AfterValidator(_is_web)]


class Settings(BaseModel):
    """What a user configures for one source of a vendor, besides what every source has. Secrets are `Secret`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: BaseUrl


class Wire(BaseModel):
    """Base of the models of vendors' answers. They declare the fields that we read and nothing else, so a dump of one
    is the allow-list of what may be stored: what is not declared (personal content, bodies, logs) is dropped here."""

    model_config = ConfigDict(extra="ignore", frozen=False, coerce_numbers_to_str=True)


class Order(StrEnum):
    """What `since` can mean at a vendor, feed by feed."""

    NEWEST_FIRST = "newest_first"
    """Sorted by `sort_key`, newest first: a walk stops at the first page that lies wholly before `since`. Watched: a
    feed that is seen out of order is read to its end until it is seen in order again."""
    UPDATED_SINCE = "updated_since"
    """The vendor filters by time of update: all that `since` gives is read."""
    UNSORTED = "unsorted"
    """Neither: the whole list is read each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One list of runs at a vendor, walked on its own: a project's, a pipeline's, or all there is (`id=""`).

    `id` must be the pipeline_id of its runs or a prefix of it that ends before a "/", or empty.
    """

    id: str = ""
    order: Order = Order.NEWEST_FIRST
    query: str = ""
    """Tells apart several lists of the same runs (a status filter, say)."""
    sweep_only: bool = False

    @property
    def key(self) -> str:
        return f"{self.id}?{self.query}" if self.query else self.id


@dataclass(slots=True)
class Page:
    """Some runs of a feed, and where a walk can be taken up again after them: None where it cannot, or where nothing
    follows. The end of a walk is the end of the generator."""

    runs: list[Run]
    cursor: str | None = None
    total: int | None = None
    """How many runs the vendor says the whole list holds."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The runs that a tracked handle names so far. `settled`: it will name no more."""

    refs: list[RunRef]
    settled: bool = True


S = TypeVar("S", bound=Settings)


class Connector(Generic[S]):
    """Base of all connectors; see docs/adding-a-connector.md. Subclasses set the class variables, define `sign`, and
    override those of the other methods that their vendor supports."""

    name: ClassVar[str]
    """As in the config: lower case, no blanks."""
    title: ClassVar[str]
    """The vendor's name as people write it."""
    settings_type: ClassVar[type[Settings]]
    statuses: ClassVar[StatusTable]
    step_statuses: ClassVar[StatusTable]
    overlap: ClassVar[timedelta] = timedelta(minutes=15)
    """How far before `observed_through` a walk reaches back: covers clock skew and late rows."""
    verified: ClassVar[str] = "documentation only"
    """Against what: a real server and its version, or documentation only."""

    def __init__(self, settings: S) -> None:
        self.settings = settings

    def _lacks(self, what: str) -> ConfigError:
        return ConfigError(f"connector {self.name} has no way to {what}")

    def sign(self) -> Sign:
        raise self._lacks("sign requests")

    def feeds(self, pipelines: Sequence[Pipeline]) -> list[Feed]:
        """The lists to walk. `pipelines` is what `pipelines()` gave, and empty where it is not defined."""
        return [Feed()]

    def pages(self, http: VendorHttp, feed: Feed, since: datetime | None, cursor: str | None) -> AsyncIterator[Page]:
        """The feed's runs, from `cursor` on (None: from the start).

        `since` is for vendors that can filter by it (inclusive: a run of exactly that instant is given); others leave
        stopping to the caller. With `since=None` the list is unfiltered and, unless UNSORTED, newest first.
        """
        raise self._lacks("list runs")

    async def run(self, http: VendorHttp, ref: RunRef) -> Run:
        """One run, whole: with steps, where the vendor has them at all. Raises NotFound where it is gone."""
        raise self._lacks("read a run by id")

    async def detail(self, http: VendorHttp, run: Run) -> Run:
        """The list row `run` completed by what lists leave out (steps, names)."""
        raise self._lacks("complete a run")

    async def pipelines(self, http: VendorHttp) -> list[Pipeline]:
        """The pipelines there are, run or not."""
        raise self._lacks("list pipelines")

    def tracked(self) -> list[str]:
        """Handles that the config tracks, besides those of `runlake track`."""
        return []

    async def resolve(self, http: VendorHttp, handle: str) -> Resolution:
        """The runs that a handle given by a user names. A handle that names nothing raises NotFound."""
        raise self._lacks("track runs by id")

    def sort_key(self, run: Run) -> datetime | None:
        """The instant by which NEWEST_FIRST feeds are sorted; None where this run does not tell."""
        return run.created_at

    async def probe(self, http: VendorHttp) -> str:
        """The cheapest request that shows that the credentials work; returns what was asked, for people.

        Default: the first page of the first feed, or the pipelines.
        """
        pipelines = await self.pipelines(http) if can(type(self), "pipelines") else []
        if can(type(self), "pages"):
            for feed in self.feeds(pipelines)[:1]:
                pages = self.pages(http, feed, None, None)
                async for _ in pages:
                    break
        return "list runs"


CAPABILITIES = ("pages", "run", "detail", "pipelines", "resolve")
AnyConnector = Connector[Any]


def can(connector: type[AnyConnector], capability: str) -> bool:
    """Whether a connector defines one of CAPABILITIES itself."""
    return getattr(connector, capability) is not getattr(Connector, capability)


@cache
def connectors() -> Mapping[str, type[AnyConnector]]:
    """Every connector by name: the modules of `runlake.connectors`, then those that installed packages offer under the
    entry point group `runlake.connectors`. One of ours cannot be replaced by a package's."""
    package = importlib.import_module("runlake.connectors")
    found: dict[str, type[AnyConnector]] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        for value in vars(importlib.import_module(f"runlake.connectors.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Connector) and "name" in vars(value):
                found[value.name] = value
    for point in entry_points(group=ENTRY_POINTS):
        if point.name not in found:
            found[point.name] = _loaded(point.load(), point.value)
    return found


def _loaded(value: object, where: str) -> type[AnyConnector]:
    if isinstance(value, type) and issubclass(value, Connector):
        return value
    raise ConfigError(f"entry point {where} in group {ENTRY_POINTS} is no Connector class")
