"""What would go wrong with a source: its secrets, its vendor's reach, what the credentials may see, what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from runlake.cli.advice import advice
from runlake.config import Source
from runlake.connector import AnyConnector, Feed, can
from runlake.errors import ConfigError, RunlakeError
from runlake.http import HttpLimits, VendorHttp, asked
from runlake.model import Pipeline, Run
from runlake.store.query import Reader
from runlake.sync import Network, utc_now

COLUMNS = ("source", "result", "lists", "open_runs", "requests_per_hour", "checked")

IMPATIENT = HttpLimits(timeout_s=15, connect_timeout_s=5, attempts=2, retry_for_s=20, patience_s=5)
"""Someone is waiting at the terminal."""


@dataclass(slots=True)
class Known:
    """What the ledger tells of a source's load. Ages and rates are as of the published copy."""

    open_ages: list[timedelta] = field(default_factory=list)
    new_runs_per_hour: float = 0.0


@dataclass(slots=True)
class Checked:
    """One source. `checked` are the requests that went well; `error` is why the next one did not."""

    source: str
    result: str = "ok"
    checked: list[str] = field(default_factory=list)
    lists: int | None = None
    open_runs: int = 0
    requests_per_hour: int | None = None
    error: str | None = None
    todo: str | None = None

    def row(self) -> tuple[Any, ...]:
        return tuple(", ".join(v) if isinstance(v := getattr(self, name), list) else v for name in COLUMNS)


async def check(sources: Sequence[Source], known: dict[str, Known], network: Network | None = None) -> list[Checked]:
    """Asks all vendors at once, a handful of requests each."""
    network = network or Network(limits=IMPATIENT)
    return list(await asyncio.gather(*(_one(source, known.get(source.name, Known()), network) for source in sources)))


async def _one(source: Source, known: Known, network: Network) -> Checked:
    checked = Checked(source.name, open_runs=len(known.open_ages))
    try:
        connector = source.build()
        async with network.client(source, connector, utc_now) as http:
            try:
                await _ask(source, connector, http, known, checked)
            except RunlakeError as error:
                text = http.redact(str(error))
                # Errors below HTTP name the host only; the endpoint is what tells a wrong path from a dead host.
                checked.error = text if asked.get() in text or "HTTP" in text else f"{text} (asked: {asked.get()})"
                checked.todo = advice(source, type(error).__name__)
                checked.result = "failed"
    except ConfigError as error:
        checked.result, checked.error = "failed", str(error)
    return checked


async def _ask(source: Source, connector: AnyConnector, http: VendorHttp, known: Known, checked: Checked) -> None:
    kind = type(connector)

    async def part(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        asked.set("")
        result = await work()
        checked.checked.append(name)
        return result

    await part("access", lambda: connector.probe(http))
    pipelines: list[Pipeline] = []
    if can(kind, "pipelines"):
        pipelines = await part("pipelines", lambda: connector.pipelines(http))
    feeds = connector.feeds(pipelines) if can(kind, "pages") else []
    checked.lists = len(feeds)
    run: Run | None = None
    for feed in feeds:
        run = await _first(connector, http, feed) or run
    if feeds:
        checked.checked.append("lists")
    if run is not None and can(kind, "run"):
        ref = run.ref
        await part("run", lambda: connector.run(http, ref))
    if run is not None and can(kind, "detail") and source.steps != "none":
        row = run
        await part("details", lambda: connector.detail(http, row))
    checked.requests_per_hour = _estimated(source, connector, feeds, known)
    if source.requests_per_hour is not None and checked.requests_per_hour > source.requests_per_hour:
        checked.todo = (
            f"about {checked.requests_per_hour} requests an hour are wanted, {source.requests_per_hour:g} are allowed: "
            "raise `requests_per_hour` or `every`"
        )


async def _first(connector: AnyConnector, http: VendorHttp, feed: Feed) -> Run | None:
    """The first run of a feed's first page: whether the credentials may list it at all."""
    pages = connector.pages(http, feed, None, None)
    async with aclosing(pages):  # type: ignore[type-var]
        async for page in pages:
            return page.runs[0] if page.runs else None
    return None


def _estimated(source: Source, connector: AnyConnector, feeds: Sequence[Feed], known: Known) -> int:
    """Requests an hour once the first sync is done: a page a list, each new run's details, each open run's reading.

    Sweeps come on top, one every `sweep_every`; a list that is longer than a page costs more.
    """
    every = source.every.total_seconds()
    lists = sum(3600 / every for feed in feeds if not feed.sweep_only)
    details = known.new_runs_per_hour if can(type(connector), "detail") and source.steps != "none" else 0.0
    # As Watched.due has it: after a tenth of its age, at least once an hour, at most at every sync.
    reading = sum(3600 / max(every, min(age.total_seconds() / 10, 3600)) for age in known.open_ages)
    return round(lists + details + (reading if can(type(connector), "run") else 0.0))


def load(reader: Reader) -> dict[str, Known]:
    """What the published copy tells of each source's load, from the seven days before it was made."""
    as_of: datetime = reader.freshness().as_of
    known: dict[str, Known] = {}
    for row in reader.read("SELECT source, created_at FROM open_runs"):
        known.setdefault(row["source"], Known()).open_ages.append(max(as_of - row["created_at"], timedelta()))
    for row in reader.read(
        "SELECT source, count(*) / 168 AS per_hour FROM runs WHERE created_at > $since GROUP BY source",
        since=as_of - timedelta(days=7),
    ):
        known.setdefault(row["source"], Known()).new_runs_per_hour = row["per_hour"]
    return known
