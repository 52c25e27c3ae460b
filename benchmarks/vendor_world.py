"""A made-up Clarifeye account, the same at every run: its state before and after six hours have passed, and the truth.

Facts are drawn from a run's number alone, so the server and the check of the ledger agree without sharing anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

BEFORE = datetime(2026, 7, 1, tzinfo=UTC)
"""When the first sync is made."""
LATER = timedelta(hours=6, minutes=5)
"""After it, the second: a little more than the default of `sweep_every`, so that a sweep is due."""
SPAN = timedelta(days=30)
"""How long the account has been in use: the default of `history`, less the overlap."""
SWEEP_WINDOW = timedelta(days=3)
PROJECT = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
STEPS = ("parsing", "chunking", "tag-extraction", "indexing")
_FINAL = ("completed", "failed", "aborted")


@dataclass(frozen=True, slots=True)
class StepFacts:
    step_id: str
    status: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What the vendor says of one run at one of the two instants."""

    run_id: str
    pipeline: str
    status: str
    created_at: datetime
    updated_at: datetime
    steps: tuple[StepFacts, ...]

    @property
    def final(self) -> bool:
        return self.status in _FINAL


@dataclass(frozen=True, slots=True)
class World:
    """`runs` before; half of 1 % more after. Of the old ones, 1 in 400 was open for days and has finished, 1 in 400
    goes on; 1 in 40 of the sweep window's final ones is edited; the newest of before have finished."""

    runs: int

    @property
    def new(self) -> int:
        return max(1, self.runs // 200)

    def numbers(self, *, after: bool) -> range:
        return range(self.runs + (self.new if after else 0))

    def _created(self, number: int) -> datetime:
        if number < self.runs:
            return BEFORE - SPAN + SPAN * (number + 1) / (self.runs + 1)
        return BEFORE + LATER * (number - self.runs + 1) / (self.new + 1)

    def _word(self, number: int, created_at: datetime, *, after: bool) -> str:
        usual = "failed" if number % 10 == 3 else "aborted" if number % 50 == 9 else "completed"
        if number >= self.runs:  # of the new ones, the newest tenth still runs
            return "running" if number >= self.runs + self.new - self.new // 10 else usual
        if number >= self.runs - max(1, self.runs // 1000):
            return usual if after else "running"
        if created_at < BEFORE - SWEEP_WINDOW and number % 200 == 7:
            return "completed" if after and number % 400 == 7 else "running"
        if after and number % 40 == 11 and created_at > BEFORE + LATER - SWEEP_WINDOW + timedelta(hours=1):
            return "failed" if usual == "completed" else "completed"
        return usual

    def facts(self, number: int, *, after: bool) -> Facts:
        created_at = self._created(number)
        word = self._word(number, created_at, after=after)
        moved = after and number < self.runs and word != self._word(number, created_at, after=False)
        late = timedelta(0)
        if moved:  # an hour before the second sync
            late = BEFORE + LATER - timedelta(hours=1) - created_at
        steps = []
        for place in range(len(STEPS)):
            begun = created_at + timedelta(seconds=2 + 30 * place)
            ended = begun + timedelta(seconds=29, microseconds=number % 1_000_000)
            status = "completed"
            if place == len(STEPS) - 1:
                status, ended = (word if word in _FINAL else "pending"), ended + late
            elif place == len(STEPS) - 2 and word == "running":
                status, ended = "running", begun
            steps.append(StepFacts(_uuid(number, place), status, begun, ended))
        updated_at = max(step.updated_at for step in steps)
        return Facts(_uuid(number, -1), f"flow {number % 20}", word, created_at, updated_at, tuple(steps))

    def truth(self, *, after: bool) -> Iterator[Facts]:
        return (self.facts(number, after=after) for number in self.numbers(after=after))

    def moved(self) -> list[int]:
        """The runs of before that are shown differently after."""
        words = ((n, self._created(n)) for n in range(self.runs))
        return [n for n, at in words if self._word(n, at, after=True) != self._word(n, at, after=False)]

    def row(self, number: int, *, after: bool, alone: bool = False) -> bytes:
        """The run in Clarifeye's wire format, about 2 KB. `alone`: as read by id, with ids in place of counts."""
        facts = self.facts(number, after=after)
        documents, chunks = 1 + number % 20, 30 * (1 + number % 20)
        row: dict[str, Any] = {
            "id": facts.run_id,
            "created_at": _stamp(facts.created_at),
            "updated_at": _stamp(facts.updated_at),
            "status": facts.status,
            "project": PROJECT,
            "pipeline_name": facts.pipeline,
            "mode": "upsert-all",
            "celery_task_id": _uuid(number, -2),
            "user": _uuid(number % 50, -3),
            "tables": {"chunks": _uuid(number, -4)},
            "steps": [
                {
                    "id": step.step_id,
                    "created_at": _stamp(step.created_at),
                    "updated_at": _stamp(step.updated_at),
                    "step": name,
                    "name": None,
                    "status": step.status,
                    "inputs": {},
                    "outputs": {"chunks": None},
                    "warnings": None,
                    "depends_on": [before] if before else [],
                    "params": {"prompt": "Read the document."},
                    "tag_extractor_id": None,
                    "object_extractor_id": None,
                    "chunks_extractor_id": None,
                }
                for name, before, step in zip(STEPS, ("", *STEPS), facts.steps, strict=False)
            ],
            "raw_logs": f"INFO read document {number}\n" * 6
            + ("ERROR the table of contents could not be read" if facts.status == "failed" else "INFO done"),
        }
        if alone:
            row |= {"document_ids": [_uuid(number, n) for n in range(100, 100 + documents)], "chunk_ids": None}
            row["chunk_ids"] = [_uuid(number, n) for n in range(1000, 1000 + chunks)]
        else:
            row |= {"document_count": documents, "chunk_count": chunks}
        return json.dumps(row, separators=(",", ":")).encode()


def _stamp(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _uuid(number: int, part: int) -> str:
    digits = blake2b(b"%d %d" % (number, part), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
