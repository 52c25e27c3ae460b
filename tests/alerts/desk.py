"""A ledger in which tests say what fires, real receivers on loopback, and a clock that tests move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from runlake.alerts.evaluate import Asked, Evaluated, evaluate
from runlake.alerts.outbox import Delivered, deliver
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config import Config
from runlake.config.alerting import BUILT_IN
from runlake.model import StatusTable
from runlake.store import Batch, Books, Store, Sync

from .receivers import Recorder, recording

T0 = datetime(2026, 7, 13, 9, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SOURCES = ("etl", "ml")


def setup(folder: Path, urls: Mapping[str, str], rules: Iterable[str], **tables: Any) -> Config:
    """Rules of queries by these names, none that is built in, and a channel for each address. `tables` are further
    ones; of `channel`, by name, what it has besides."""
    more, of_rules = tables.pop("channel", {}), tables.pop("rule", {})
    files = {name: folder / f"{name}.url" for name in urls}
    for name, url in urls.items():
        files[name].write_text(url)
    query = {"kind": "sql", "query": "SELECT 1 AS key", "key": ["key"]}
    return Config.model_validate(
        {
            "source": [{"name": name, "connector": "esper"} for name in SOURCES],
            "rule": [
                *({**query, "name": name, **of_rules.get(name, {})} for name in rules),
                *({"kind": rule.kind, "enabled": rule.kind in of_rules} for rule in BUILT_IN),
            ],
            "channel": [
                {"kind": "webhook", "name": name, "url": {"file": str(file)}, "digest": False, **more.get(name, {})}
                for name, file in files.items()
            ],
            **tables,
        }
    )


@dataclass
class Desk:
    store: Store
    config: Config
    at: Mapping[str, Recorder]
    now: datetime = T0
    firing: dict[str, list[Judgement]] = field(default_factory=lambda: defaultdict(list))
    """By rule; what is not among it is well."""

    def fire(self, *keys: str, rule: str = "broken") -> None:
        """`source/pipeline` each."""
        for key in keys:
            source, _, pipeline = key.partition("/")
            self.firing[rule].append(
                Judgement(
                    rule=rule,
                    key=key,
                    verdict=Verdict.FIRING,
                    why=f"{key} is broken",
                    source=source,
                    pipeline_id=pipeline,
                    since=self.now,
                    seen_through=self.now,
                )
            )

    def mend(self, *keys: str, rule: str = "broken") -> None:
        """Those, or all."""
        self.firing[rule] = [found for found in self.firing[rule] if keys and found.key not in keys]

    async def evaluate(self) -> Evaluated:
        asked = {rule.name: Asked(list(self.firing[rule.name])) for rule in self.config.rules if rule.kind == "sql"}
        return await self.store.alerting(lambda books: evaluate(books, self.config, self.now, asked))

    async def turn(self, after: timedelta = timedelta()) -> Delivered:
        """A while later."""
        self.now += after
        await self.evaluate()
        return await deliver(self.store, self.config, lambda: self.now)

    async def pass_by(self, length: timedelta, every: timedelta = MINUTE) -> None:
        """Turn by turn."""
        end = self.now + length
        while self.now + every <= end:
            await self.turn(every)
        self.now = end

    async def synced(self, source: str, outcome: str, error_class: str | None = None) -> None:
        """A sync that begins and ends now."""
        sync = Sync(
            sync_id=str(uuid4()), source=source, vendor="esper", kind="sync", started_at=self.now, finished_at=self.now,
            outcome=outcome, error_class=error_class, error=error_class,
            observed_through=self.now if outcome == "ok" else None,
        )  # fmt: skip
        words = StatusTable()
        await self.store.begin(source, "esper", "Esper", {"run": (words, words), "step": (words, words)}, self.now)
        await self.store.commit(Batch(source, "esper", words, words), Books(sync))

    def told(self, channel: str = "pager") -> list[tuple[str, list[str]]]:
        """Of each message that was taken, what it tells of what."""
        return [
            (message.json["event"], sorted(alert["key"] for alert in message.json["alerts"]))
            for message in self.at[channel].messages
            if message.taken
        ]


@asynccontextmanager
async def desk(
    folder: Path, *, rules: Iterable[str] = ("broken",), channels: Iterable[str] = ("pager",), **tables: Any
) -> AsyncIterator[Desk]:
    with ExitStack() as stack:
        at = {name: stack.enter_context(recording()) for name in channels}
        config = setup(folder, {name: recorder.url for name, recorder in at.items()}, rules, **tables)
        async with Store(folder / "runlake.duckdb") as store:
            yield Desk(store, config, at)
