"""Which runs somebody asks for: since when, until when, of which sources and pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from runlake.alerts.scope import matches
from runlake.config import Config
from runlake.config.problems import there_is
from runlake.config.spans import span
from runlake.errors import ConfigError
from runlake.model import RunStatus
from runlake.report.scope import Scope
from runlake.store.query import Freshness


@dataclass(frozen=True, slots=True)
class Asked:
    """What is empty or None is not asked for. Times are those of creation, [since, until)."""

    scope: Scope = field(default_factory=Scope)
    statuses: Sequence[RunStatus] = ()
    since: datetime | None = None
    until: datetime | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """A condition on the columns of the view `runs`, and its values. Of runs that are gone from their vendor there
        is none."""
        told: Iterable[tuple[str, str, Any]] = (
            ("created_at >= $since", "since", self.since),
            ("created_at < $until", "until", self.until),
            ("list_contains($statuses, status)", "statuses", [str(status) for status in self.statuses]),
        )
        given = [(text, name, value) for text, name, value in told if value]
        limits = [limit] if (limit := self.scope.condition(())) else []
        conditions = ["vanished_at IS NULL", *(text for text, _, _ in given), *limits]
        return " AND ".join(conditions), {name: value for _, name, value in given}


def moment(option: str, text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """`24h` (so long before `now`), a day (its beginning), or an instant, in UTC. What has no offset from UTC is a time
    in `zone`; None is the reader's own. Raises ConfigError."""
    with suppress(ValueError):
        return now - span(text)
    try:
        there = datetime.fromisoformat(text)
        return (there.replace(tzinfo=zone) if there.tzinfo is None else there).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{option} {text}: write how long ago, such as 24h or 30d, a day such as 2026-11-16, or an instant such as "
            "2026-11-16T09:00+01:00"
        ) from None


def between(
    since: str | None, until: str | None, zone: tzinfo | None = None
) -> tuple[datetime | None, datetime | None]:
    """Both as instants. Raises ConfigError where there is no time between them."""
    now = datetime.now(UTC)
    first = moment("--since", since, now, zone) if since is not None else None
    last = moment("--until", until, now, zone) if until is not None else None
    if first is not None and last is not None and first >= last:
        raise ConfigError(f"--since {since} is not before --until {until}")
    if first is not None and first > now:
        raise ConfigError(f"--since {since} is in the future")
    return first, last


def ago(option: str, text: str) -> timedelta:
    """A length of time. Raises ConfigError."""
    try:
        return span(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text}: {error}") from None


def require_sources(patterns: Sequence[str], config: Config, fresh: Freshness) -> None:
    """Raises ConfigError for one that fits no source of the config or the ledger: silence would answer a mistyped
    name."""
    known = {*fresh.observed_through, *(source.name for source in config.source)}
    for pattern in patterns:
        if not any(matches([pattern], name) for name in known):
            raise ConfigError(f"no source '{pattern}'; {there_is(pattern, sorted(known))}")
