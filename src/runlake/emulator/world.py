"""The truth: which runs exist, and what happens to each of them, for all vendors at once.

A run is a pure function of (seed, pipeline, tick number). The world only remembers what it has drawn already.
"""

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from threading import RLock
from uuid import UUID

from runlake.emulator import draw
from runlake.emulator.catalog import PIPELINES, Pipeline
from runlake.emulator.timeline import Attempt, Run, Step

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_LOOK_AHEAD = timedelta(days=1)  # drawn in advance, so that a live clock does not re-sort on every request
_BLOCK = timedelta(hours=12)


def digest(*parts: object) -> bytes:
    """16 bytes that depend on nothing but ``parts`` (``hash()`` is salted per process)."""
    return blake2b("|".join(map(str, parts)).encode(), digest_size=16).digest()


def uuid(*parts: object) -> str:
    return str(UUID(bytes=digest(*parts), version=4))


def _fraction(*parts: object) -> float:
    return int.from_bytes(digest(*parts)[:8]) / 2**64


@dataclass
class _Drawn:
    until: datetime
    runs: list[Run] = field(default_factory=list)
    created: list[datetime] = field(default_factory=list)
    by_pipeline: dict[str, tuple[list[Run], list[datetime]]] = field(default_factory=dict)
    by_uid: dict[bytes, Run] = field(default_factory=dict)


class World:
    """Runs from ``start`` on, without end. ``rate`` multiplies how often every pipeline runs.

    ``equal_timestamps`` makes bursts of up to six runs of a pipeline share one creation instant.
    """

    def __init__(
        self,
        seed: int,
        start: datetime,
        pipelines: Sequence[Pipeline] = PIPELINES,
        *,
        rate: float = 1.0,
        equal_timestamps: bool = False,
    ) -> None:
        self.seed = seed
        self.start = start
        self.rate = rate
        self.equal_timestamps = equal_timestamps
        self._pipelines = {(p.vendor, p.name): p for p in pipelines}
        self._drawn: dict[str, _Drawn] = {}
        self._lock = RLock()

    def pipelines(self, vendor: str) -> list[Pipeline]:
        return [p for p in self._pipelines.values() if p.vendor == vendor]

    def pipeline(self, run: Run) -> Pipeline:
        return self._pipelines[run.vendor, run.pipeline]

    def every(self, vendor: str, instant: datetime, pipeline: str | None = None) -> list[Run]:
        """Runs created until ``instant``, oldest first, deleted ones included."""
        drawn = self._until(vendor, instant)
        runs, created = drawn.runs, drawn.created
        if pipeline is not None:
            runs, created = drawn.by_pipeline.get(pipeline, ([], []))
        return runs[: bisect_right(created, instant)]

    def runs(self, vendor: str, instant: datetime, pipeline: str | None = None) -> list[Run]:
        """Runs that exist at ``instant``, oldest first."""
        runs = self.every(vendor, instant, pipeline)
        return [run for run in runs if run.deleted_at is None or instant < run.deleted_at]

    def find(self, vendor: str, uid: bytes, instant: datetime) -> Run | None:
        run = self._until(vendor, instant).by_uid.get(uid)
        return run if run is not None and run.exists_at(instant) else None

    def _until(self, vendor: str, instant: datetime) -> _Drawn:
        with self._lock:
            drawn = self._drawn.setdefault(vendor, _Drawn(self.start))
            if instant < drawn.until:
                return drawn
            until = instant + _LOOK_AHEAD
            fresh = [run for p in self.pipelines(vendor) for run in self._between(p, drawn.until, until)]
            # A new object, so that another thread goes on reading the old lists undisturbed.
            grown = _Drawn(until, [*drawn.runs, *fresh], by_uid=drawn.by_uid | {run.uid: run for run in fresh})
            grown.runs.sort(key=lambda run: (run.created_at, run.number, run.pipeline))
            grown.created = [run.created_at for run in grown.runs]
            for run in grown.runs:
                runs, created = grown.by_pipeline.setdefault(run.pipeline, ([], []))
                runs.append(run)
                created.append(run.created_at)
            self._drawn[vendor] = grown
            return grown

    def _between(self, pipeline: Pipeline, since: datetime, until: datetime) -> list[Run]:
        every = pipeline.every / self.rate / pipeline.batch
        first, last = (since - _EPOCH) // every - 8, (until - _EPOCH) // every + 8
        return [
            run
            for number in range(first, last + 1)
            if since <= self._created(pipeline, number) < until and (run := self._draw(pipeline, number))
        ]

    def _tick(self, pipeline: Pipeline, number: int) -> datetime:
        seconds = (pipeline.every / self.rate / pipeline.batch).total_seconds()
        phase = 60 * int(_fraction(self.seed, pipeline.vendor, pipeline.name, "phase") * min(seconds, 3600) / 60)
        return _EPOCH + timedelta(seconds=round(number * seconds, 3) + phase)

    def _created(self, pipeline: Pipeline, number: int) -> datetime:
        """A batch of records submitted together is created milliseconds apart; a burst at one and the same instant."""
        name = (self.seed, pipeline.vendor, pipeline.name)
        place = number % pipeline.batch
        leader = number - place
        # What is submitted together stays together: a task that grew after its end would be no vendor's.
        size = pipeline.batch if pipeline.batch > 1 else 6
        if self.equal_timestamps and _fraction(*name, "burst", number // size) < 0.4:
            leader, place = number // size * size, 0
        tick = self._tick(pipeline, leader)
        if pipeline.presence < 1 or pipeline.batch > 1:
            room = pipeline.every.total_seconds() / self.rate / pipeline.batch * 0.9
            tick += timedelta(milliseconds=int(_fraction(*name, "jitter", leader) * room * 1000))
        return tick + timedelta(milliseconds=37 * place)

    def _draw(self, pipeline: Pipeline, number: int) -> Run | None:
        name = (self.seed, pipeline.vendor, pipeline.name)
        group = number // pipeline.batch
        if pipeline.presence < 1 and _fraction(*name, "presence", group) >= pipeline.presence:
            return None
        created = self._created(pipeline, number)
        # Failures come in clusters: in a bad half-day most runs fail, as when a source system is down.
        bad = _fraction(*name, "incident", (created - _EPOCH) // _BLOCK) < 0.05
        rng = random.Random(f"{self.seed}|{pipeline.vendor}|{pipeline.name}|{number}")  # noqa: S311 - not a secret
        moments, deleted = draw.history(rng, pipeline.character, created, 0.7 if bad else pipeline.character.failure)
        return Run(
            pipeline.vendor,
            pipeline.name,
            number,
            digest(*name, "run", number),
            self._tick(pipeline, number),
            created,
            moments,
            deleted,
            partial(self._plan, pipeline),
        )

    def _plan(self, pipeline: Pipeline, run: Run, attempt: Attempt) -> tuple[Step, ...]:
        rng = random.Random(f"{run.uid.hex()}|{attempt.number}")  # noqa: S311 - not a secret
        return draw.steps(rng, pipeline, run, attempt)
