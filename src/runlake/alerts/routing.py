"""Who is told of what."""

from __future__ import annotations

from runlake.alerts.scope import matches
from runlake.config.alerting import Severity
from runlake.config.channels import AnyChannel


def reaches(channel: AnyChannel, *, rule: str, severity: Severity, owner: str | None) -> bool:
    """Whether an alert of this rule is for the channel."""
    return (
        severity.rank >= channel.severity.rank and matches(channel.owners, owner or "") and matches(channel.rules, rule)
    )
