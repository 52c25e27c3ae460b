"""`runlake doctor`: what is wrong here, in words, and what to do about it.

It reads the config, the disk and the published copy, and asks a running daemon; never a vendor: `runlake check` does.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from runlake.cli import DONE, SOURCE_FAILED, show
from runlake.cli.doctor import channels, copy, ledger, polling, sources
from runlake.cli.doctor.finding import Finding, Severity, fine, problem
from runlake.cli.running import running
from runlake.cli.show import Format
from runlake.config import Config, load
from runlake.errors import StoreError
from runlake.store import published_path
from runlake.store.query import Reader
from runlake.sync import utc_now


def doctor(path: Path, format_: Format) -> int:
    """Returns the exit code: 1 where there is a problem. Raises ConfigError for a config that cannot be used."""
    found = sorted(examine(path, load(path), utc_now()), key=lambda each: list(Severity).index(each.severity))
    if format_ is Format.JSON:
        rows = [(each.severity.value, each.about, each.text, each.todo) for each in found]
        show.json_rows(("severity", "about", "text", "todo"), rows)
    else:
        for each in found:
            todo = f" → {each.todo}" if each.todo else ""
            sys.stdout.write(f"{each.severity:<8} {show.clean(f'{each.about}: {each.text}{todo}')}\n")
    show.note("no vendor was asked: `runlake check` does that")
    return SOURCE_FAILED if any(each.severity is Severity.PROBLEM for each in found) else DONE


def examine(path: Path, config: Config, now: datetime) -> list[Finding]:
    """Every finding, in no order."""
    daemon = running(config.database)
    found = ledger.findings(config.database, daemon)
    health: list[sources.Health] = []
    if published_path(config.database).exists():
        try:
            with Reader(config.database) as reader:
                found += copy.findings(config, reader, daemon, now)
                health = sources.load(reader)
                found += sources.in_the_ledger(config.source, reader, health)
                found += channels.in_the_ledger(config.channel, reader)
                found += channels.of_reports(config, reader, now)
        except StoreError as error:
            found.append(problem("published copy", str(error)))
    else:
        found += copy.none_yet(config.database, daemon)
    found += polling.findings(path, config, daemon, behind=sources.behind(config.source, health, now))
    found += channels.findings(config.channel, daemon)
    of_sources = sources.findings(config.source, health, daemon, now)
    if config.source and not any(each.wrong for each in of_sources):
        of_sources.append(fine("sources", f"{len(config.source)} of {len(config.source)} are seen"))
    return found + of_sources
