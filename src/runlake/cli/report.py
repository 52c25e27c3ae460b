"""`runlake report`: which period and which runs, and where it goes."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from runlake.cli.reading import as_of, written
from runlake.cron import zone
from runlake.errors import ConfigError
from runlake.report.formats import Format, render
from runlake.report.gather import build
from runlake.report.period import period
from runlake.report.scope import Scope
from runlake.store.query import Reader

if TYPE_CHECKING:
    from runlake.config import Config

_SUFFIXES = {
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".txt": Format.TEXT,
    ".json": Format.JSON,
}


def report(
    config: Config,
    scope: Scope,
    *,
    week: str | None,
    since: str | None,
    until: str | None,
    tz: str,
    known_at: str | None,
    format_: Format | None,
    output: Path | None,
) -> None:
    chosen = format_ or _by_suffix(output)
    if chosen is Format.HTML and output is None and sys.stdout.isatty():
        raise ConfigError("a page is for a browser: add --output report.html, or --format text to read it here")
    with Reader(config.database) as reader:
        fresh = reader.freshness()
        asked = period(
            week=week,
            since=since,
            until=until,
            zone=_zone(tz),
            now=datetime.now(UTC),
            as_of=fresh.as_of,
            began=reader.began(),
            known_at=_known_at(known_at, fresh.as_of),
        )
        # Text has no place for pictures, which take longer than all the rest.
        made = build(reader, config, asked, scope, pictures=chosen is not Format.TEXT)
        text = render(made, chosen)
    with written(output, binary=False) as out:
        out.write(text)
    as_of(fresh)


def _known_at(text: str | None, as_of: datetime) -> datetime | None:
    return as_of if text == "now" else _instant(text) if text is not None else None


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--known-at {text}: write an instant, such as 2026-11-16T06:00Z, or now") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return zone(name)
    except ValueError as error:
        raise ConfigError(f"--tz: {error}") from None


def _by_suffix(output: Path | None) -> Format:
    if output is None:
        return Format.TEXT
    if output.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--output {output}: add --format, or end its name in .html, .md, .txt or .json")
    return _SUFFIXES[output.suffix.lower()]


def labels(given: list[str]) -> dict[str, str]:
    """`team=x` each. Raises ConfigError."""
    found = {}
    for text in given:
        key, equals, pattern = text.partition("=")
        if not key or not equals or not pattern:
            raise ConfigError(f"--label {text}: write LABEL=PATTERN, such as team=data")
        if key in found:
            raise ConfigError(f"--label {text}: {key} is given twice; one pattern can stand for several values")
        found[key] = pattern
    return found
