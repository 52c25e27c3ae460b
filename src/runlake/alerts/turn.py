"""One turn of alerting: evaluate and deliver; then, where queries want to be asked, once more with their answers.
Nobody waits for a query who is to be told of something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from runlake.alerts import channels
from runlake.alerts.evaluate import Asked, Evaluated, evaluate
from runlake.alerts.outbox import Delivered, Send, deliver
from runlake.alerts.queries import ask
from runlake.config import Config
from runlake.config.alerting import Sql
from runlake.store import Store, published_path


@dataclass(frozen=True, slots=True)
class Turned:
    """What a turn did, and when, though nothing is new, there will be something to do."""

    evaluated: Evaluated
    delivered: Delivered
    next_at: datetime | None


async def turn(
    store: Store,
    config: Config,
    now: Callable[[], datetime],
    *,
    asked_at: dict[str, datetime] | None = None,
    send: Send = channels.send,
) -> Turned:
    """One at a time. `asked_at` remembers when each query was asked; without it all are. Raises StoreError."""
    asked_at = asked_at if asked_at is not None else {}
    at = now()
    due = [
        rule
        for rule in config.rules
        if isinstance(rule, Sql) and not (rule.name in asked_at and at < asked_at[rule.name] + rule.every)
    ]
    evaluated, delivered = await _judge_and_tell(store, config, now, {}, send)
    # Before a first copy is published there is nothing to ask, and no lack of it either.
    if due and published_path(store.path).exists():
        asked = await ask(store.path, due)
        asked_at.update(dict.fromkeys(asked, at))
        found, told = await _judge_and_tell(store, config, now, asked, send)
        evaluated, delivered = evaluated.then(found), delivered.then(told)
    asks = [
        asked_at[rule.name] + rule.every for rule in config.rules if rule.name in asked_at and isinstance(rule, Sql)
    ]
    next_at = min((at for at in (evaluated.next_at, delivered.next_at, *asks) if at is not None), default=None)
    return Turned(evaluated, delivered, next_at)


async def _judge_and_tell(
    store: Store, config: Config, now: Callable[[], datetime], asked: Mapping[str, Asked], send: Send
) -> tuple[Evaluated, Delivered]:
    evaluated = await store.alerting(partial(evaluate, config=config, now=now(), asked=asked))
    while evaluated.unfinished:
        more = partial(evaluate, config=config, now=now(), but_not=evaluated.judged)
        evaluated = evaluated.then(await store.alerting(more))
    return evaluated, await deliver(store, config, now, send)
