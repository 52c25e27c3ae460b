"""Histories of alerts evaluated in a ledger, which is closed and opened again at any time: what is put into the outbox
is what the model of one key tells."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runlake.alerts.evaluate import Asked, evaluate
from runlake.config import Config
from runlake.config.alerting import BUILT_IN
from runlake.secret import Secret
from runlake.store import Store
from runlake.store.alerting import AlertBooks
from sync.conftest import ask

from .histories import ALERTS, CHANNELS, KEYS, T0, Step, drawn, histories, judgement, modelled

SETUP = Config.model_validate(
    {
        "alerts": ALERTS.model_dump(),
        # A rule whose answers are given, so that it can be said what each evaluation finds; and no other.
        "rule": [
            {"kind": "sql", "query": "SELECT 1 AS key", "key": ["key"], "for": "10m", "repeat_every": "4h"},
            *({"kind": rule.kind, "enabled": False} for rule in BUILT_IN),
        ],
        "channel": [
            {"kind": "webhook", "name": name, "url": Secret(env="UNUSED"), "digest": False} for name in CHANNELS
        ],
    }
)


async def really(
    history: Sequence[Step], restarts: Sequence[bool], database: Path
) -> list[tuple[str, str, str, datetime]]:
    """(channel, key, event, when) of all that was put into the outbox of a ledger, which is opened anew where
    `restarts` says so."""
    now, through = T0, T0
    store = Store(database)
    await store.__aenter__()
    for step, restart in zip(history, restarts, strict=False):
        if restart:
            await store.__aexit__()
            store = Store(database)
            await store.__aenter__()
        now, through = now + step.after, through + step.seen

        def work(books: AlertBooks, step: Step = step, now: datetime = now, through: datetime = through) -> None:
            before = {alert.key: alert for alert in books.open_alerts()}
            assert len(before) == len(books.open_alerts())
            for key, look in zip(KEYS, step.looks, strict=True):
                if look.ack and key in before:
                    books.ack(before[key].alert_id, now, "mia", None)
            found = [
                judgement(key, look, through, before[key].since if key in before else None)
                for key, look in zip(KEYS, step.looks, strict=True)
            ]
            evaluate(books, SETUP, now, {"sql": Asked(found)})

        await store.alerting(work)
    query = (
        "SELECT n.channel, a.key, n.event, n.created_at FROM rl.notifications n JOIN rl.alerts a USING (alert_id) "
        "ORDER BY n.rowid"
    )
    told = await ask(store, query)
    await store.__aexit__()
    return told


@drawn(3)
@given(histories, st.lists(st.booleans(), min_size=40, max_size=40))
def test_a_ledger_that_is_opened_anew_at_any_time_tells_what_the_model_tells(
    history: list[Step], restarts: list[bool]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        told = asyncio.run(really(history, restarts, Path(folder) / "runlake.duckdb"))
    for number, key in enumerate(KEYS):
        wanted = [(each.event, each.at) for each in modelled(history, number)]
        for channel in CHANNELS:
            assert [(event, at) for c, k, event, at in told if (c, k) == (channel, key)] == wanted
