"""Asking the queries of `sql` rules: each row of an answer is something that fires."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from runlake.alerts.evaluate import Asked
from runlake.alerts.verdict import Judgement, Verdict
from runlake.config.alerting import Sql
from runlake.errors import RunlakeError
from runlake.store import sandbox
from runlake.store.sandbox import AnswerFormat, Limits

LIMITS = Limits(seconds=30, rows=1000, bytes=16 * 2**20)
"""A thousand things that fire are no alerts any more."""

AT_ONCE = 4
"""The turn that asks waits for all answers, and what happens meanwhile for the turn: slow ones must not add up."""


async def ask(database: Path, rules: Iterable[Sql]) -> dict[str, Asked]:
    """By rule, what its query answers on the published copy, each in a process of its own."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(rule: Sql) -> tuple[str, Asked]:
        async with slots:
            return rule.name, await _ask(database, rule)

    return dict(await asyncio.gather(*map(one, rules)))


async def _ask(database: Path, rule: Sql) -> Asked:
    try:
        answered = await sandbox.ask(database, rule.query, AnswerFormat.JSON, LIMITS)
    except RunlakeError as error:
        return Asked(error=str(error))
    with answered.file as file:
        rows: list[dict[str, Any]] = json.load(file)
    missing = [name for name in rule.key if rows and name not in rows[0]]
    if missing:
        return Asked(error=f"its answer has no column '{missing[0]}', which its key names")
    found = {each.key: each for each in (_judgement(rule, row, answered.as_of) for row in rows)}
    return Asked(list(found.values()))


def _judgement(rule: Sql, row: Mapping[str, Any], as_of: datetime) -> Judgement:
    """Columns called source, pipeline_id, pipeline_name and run_key say what it is about."""

    def text(name: str) -> str | None:
        return None if row.get(name) is None else str(row[name])

    def run_key() -> str | None:
        try:
            return str(UUID(text("run_key")))
        except (TypeError, ValueError):  # a column of that name which is no key of ours is one of the row's facts
            return None

    return Judgement(
        rule=rule.name,
        key="/".join(str(row[name]) for name in rule.key),
        verdict=Verdict.FIRING,
        why="; ".join(f"{name}: {value}" for name, value in row.items()),
        source=text("source"),
        pipeline_id=text("pipeline_id"),
        pipeline_name=text("pipeline_name"),
        run_key=run_key(),
        seen_through=as_of,
        facts=dict(row),
    )
