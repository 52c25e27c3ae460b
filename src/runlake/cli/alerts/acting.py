"""`alerts ack`, `silence`, `unsilence`, `evaluate` and `test-channel`: by the daemon where one holds the ledger."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

from runlake.alerts import by_hand
from runlake.alerts.turn import turn
from runlake.cli import DONE, SOURCE_FAILED, show
from runlake.cli.alerts.seeing import instant, short
from runlake.cli.show import Format
from runlake.config import Config
from runlake.config.spans import span
from runlake.errors import ConfigError
from runlake.formats import instant as utc
from runlake.http import DaemonClient
from runlake.store import Store
from runlake.store.alerting import Silence
from runlake.sync import utc_now

T = TypeVar("T")

LONGEST = 500
"""Characters of what people write."""


def ack(config: Config, alerts: Sequence[str], *, note: str | None, by: str | None) -> None:
    who, said = _name(by), _line("--note", note) if note is not None else None

    async def here(store: Store) -> dict[str, Any]:
        found = await by_hand.ack(store, alerts, by=who, note=said, at=utc_now())
        return {"alerts": [asdict(alert) for alert in found]}

    told = _do(config, "ack", {"alerts": list(alerts), "by": who, "note": said}, here)
    for alert in told["alerts"]:
        what = f"{short(alert['alert_id'])} ({alert['rule']}, {alert['key']})"
        show.note(f"{what} is acked by {who}: it is not told again until it is over")


def silence(
    config: Config,
    *,
    lasts: str,
    reason: str,
    rule: str | None,
    source: str | None,
    pipeline: str | None,
    by: str | None,
) -> None:
    if not (rule or source or pipeline):
        raise ConfigError("say what is silenced: --rule, --source or --pipeline; --rule '*' silences all")
    by_hand.require_known(config, rule=rule, source=source)
    now = utc_now()
    made = Silence(
        silence_id=str(uuid4()),
        reason=_line("--reason", reason),
        created_by=_name(by),
        created_at=now,
        until=now + _length(lasts),
        rule=rule,
        source=source,
        pipeline=pipeline,
    )

    async def here(store: Store) -> dict[str, Any]:
        return {"alerts": [asdict(alert) for alert in await by_hand.silence(store, made)]}

    content = {**asdict(made), "created_at": utc(made.created_at), "until": utc(made.until)}
    held = len(_do(config, "silence", content, here)["alerts"])
    now_open = "none is open now" if not held else f"{held} {'is' if held == 1 else 'are'} open now"
    show.note(f"silence {short(made.silence_id)} holds until {instant(made.until)}; of such alerts {now_open}")


def unsilence(config: Config, silence: str) -> None:
    async def here(store: Store) -> dict[str, Any]:
        return {"silence": asdict(await by_hand.unsilence(store, silence, utc_now()))}

    ended = _do(config, "unsilence", {"name": silence}, here)["silence"]
    show.note(f"silence {short(ended['silence_id'])} has ended: what still fires is told from now on")


def evaluate(config: Config, format_: Format) -> int:
    """Returns the exit code."""

    async def here(store: Store) -> dict[str, Any]:
        await store.close_interrupted(utc_now())
        return by_hand.what_came(await turn(store, config, utc_now))

    came = _do(config, "evaluate", {}, here)
    failures: dict[str, str] = came.pop("failures")
    shown = {**came, "failures": failures if format_ is Format.JSON else len(failures)}
    show.rows(list(shown), [list(shown.values())], format_)
    for name, error in failures.items():
        show.problem(f"channel {name}: {error}")
    return SOURCE_FAILED if failures else DONE


def test_channel(config: Config, name: str) -> int:
    """Returns the exit code."""
    channel = by_hand.channel(config, name)

    async def work() -> str | None:
        async with DaemonClient(config.database) as client:
            if await client.running():
                error: str | None = (await client.post("/alerts/try_out", {"name": name}))["error"]
                return error
        return await by_hand.try_out(channel, utc_now())

    error = asyncio.run(work())
    if error is not None:
        show.problem(f"channel {name}: {error}")
        return SOURCE_FAILED
    show.note(f"channel {name} has taken a test message; look whether it has arrived")
    return DONE


def _do(
    config: Config, what: str, content: Mapping[str, Any], here: Callable[[Store], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """By the daemon, or `here`, on a ledger that nobody else holds; published after it. Raises ConfigError where there
    is no ledger."""
    if not config.database.exists():  # opening it would make one
        raise ConfigError(f"there is no ledger at {config.database}; `runlake sync` makes one")

    async def work() -> dict[str, Any]:
        async with DaemonClient(config.database) as client:
            if await client.running():
                return await client.post(f"/alerts/{what}", content)
        async with Store(config.database) as store:
            done = await here(store)
            await store.publish(utc_now())
            return done

    return asyncio.run(work())


def _name(by: str | None) -> str:
    if by is not None:
        return _line("--by", by)
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise ConfigError("this system has no name for you; add --by NAME") from None


def _line(option: str, text: str) -> str:
    """What a person wrote, on one line. Raises ConfigError for nothing, and for too much."""
    line = " ".join(show.clean(text).split())
    if not line:
        raise ConfigError(f"{option}: write something")
    if len(line) > LONGEST:
        raise ConfigError(f"{option}: write at most {LONGEST} characters; these are {len(line)}")
    return line


def _length(text: str) -> timedelta:
    try:
        length = span(text)
    except ValueError as error:
        raise ConfigError(f"--for {text}: {error}") from None
    if length > by_hand.LONGEST_SILENCE:
        raise ConfigError(f"--for {text}: write at most a year; `enabled = false` in a [[rule]] ends a rule for good")
    return length
