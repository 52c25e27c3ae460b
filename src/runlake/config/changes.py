"""What differs between two configs, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def alerting_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Of rules, channels, reports and what holds for them: `rule nightly is new`. Both configs are as
    `model_dump(mode="json")` has them; one of a runlake that knew no alerts lacks these tables."""
    changes = []
    for table in ("rule", "channel", "report"):
        was = {each["name"]: each for each in before.get(table, [])}
        now = {each["name"]: each for each in after.get(table, [])}
        changes += [f"{table} {name} is gone" for name in was if name not in now]
        changes += [f"{table} {name} is new" for name in now if name not in was]
        changes += [f"{table} {name} has changed" for name in now if name in was and now[name] != was[name]]
    for table, written in (("alerts", "[alerts]"), ("owner", "[[owner]]"), ("maintenance", "[[maintenance]]")):
        if before.get(table, after[table]) != after[table]:
            changes.append(f"{written} has changed")
    return changes
