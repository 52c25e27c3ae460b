"""What would go wrong: with a source its secrets, its vendor's reach, what the credentials may see and what it costs;
with a channel what it needs to be reached."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from runlake.cli import DONE, SOURCE_FAILED, show
from runlake.cli.advice import advice
from runlake.cli.show import Format
from runlake.config import Config, Source
from runlake.config.spans import span_text
from runlake.connector import AnyConnector, Feed, can
from runlake.errors import ConfigError, RunlakeError
from runlake.formats import json_objects
from runlake.http import HttpLimits, VendorHttp, asked
from runlake.model import Pipeline, Run
from runlake.store.query import Reader
from runlake.sync import Network, utc_now

COLUMNS = ("source", "result", "lists", "open_runs", "requests_per_hour", "checked")
RULES = ("rule", "kind", "severity", "for", "sources", "pipelines")
CHANNELS = ("channel", "kind", "result", "severity", "rules", "owners")

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


def tell(config: Config, found: Sequence[Checked], format_: Format, *, alerting: bool) -> int:
    """Shows what was found; with `alerting` also the rules in force, and of each channel whether what it needs is
    there: none is sent anything. Returns the exit code."""
    rules = _rules(config) if alerting else []
    channels = _channels(config) if alerting else []
    if format_ is Format.JSON:
        json_objects([*map(asdict, found), *rules, *channels], sys.stdout)
    else:
        show.table(COLUMNS, [each.row() for each in found])
        for columns, rows in ((RULES, rules), (CHANNELS, channels)):
            if rows:
                sys.stdout.write("\n")
                show.table(columns, [[row[name] for name in columns] for row in rows])
    for each in found:
        if each.error:
            show.problem(f"source {each.source}: {each.error}")
        if each.todo:
            show.note(f"  {each.todo}")
    for row in channels:
        if row["error"]:
            show.problem(f"channel {row['channel']}: {row['error']}")
    if alerting and not channels:
        show.note("nobody is told of alerts: there is no [[channel]] in the config")
    return SOURCE_FAILED if any(each.error for each in found) or any(row["error"] for row in channels) else DONE


def _rules(config: Config) -> list[dict[str, Any]]:
    return [
        {
            "rule": rule.name,
            "kind": rule.kind,
            "severity": rule.told_as.value,
            "for": span_text(rule.holds_for),
            "sources": ", ".join(rule.sources) or "all",
            "pipelines": ", ".join(rule.pipelines) or "all",
        }
        for rule in config.rules
    ]


def _channels(config: Config) -> list[dict[str, Any]]:
    from runlake.alerts.channels import problem  # noqa: PLC0415 (their libraries, for those who have one)

    return [
        {
            "channel": channel.name,
            "kind": channel.kind,
            "result": "failed" if (error := problem(channel)) else "ok",
            "severity": channel.severity.value,
            "rules": ", ".join(channel.rules) or "all",
            "owners": ", ".join(channel.owners) or "all",
            "error": error,
        }
        for channel in config.channel
    ]
