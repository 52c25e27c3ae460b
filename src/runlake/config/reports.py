"""Reports that are made by themselves, and where they go: the `report` table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, field_validator

from runlake.config.alerting import Cron, Name, Pattern, Patterns, Scope
from runlake.config.channels import AnyChannel, Mail


def _folder(path: Path) -> Path:
    try:
        path = path.expanduser()
    except RuntimeError:
        raise ValueError(f"there is no home folder {path.parts[0]}") from None
    if "\0" in str(path):
        raise ValueError("write the name of a folder")
    return path


class Report(Scope):
    """A report of the last whole week, at fixed times. One per team: what it is about is said as in rules."""

    name: Name = Field(description="What you call the report; unique.")
    cron: Cron = Field(
        default="0 7 * * mon UTC",
        description="When: a crontab's five fields and a time zone, which is also that of its days.",
    )
    owners: Patterns = Field(default_factory=list, description="Patterns of whose pipelines. Default: all.")
    labels: dict[str, Pattern] = Field(default_factory=dict, description="Labels of the runs: a pattern for each.")
    channels: list[str] | None = Field(
        default=None,
        description="Names of the channels that get it, of kind mail, apprise or webhook. Default: all of kind mail.",
    )
    folder: Annotated[Path, AfterValidator(_folder)] | None = Field(
        default=None, description="A folder for it as an HTML file, relative to the config file."
    )

    @field_validator("channels")
    @classmethod
    def _once(cls, channels: list[str] | None) -> list[str] | None:
        if channels is not None and len({*channels}) < len(channels):
            raise ValueError("name each of them once")
        return channels

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.cron.split()[-1])

    def places(self, channels: Sequence[AnyChannel]) -> list[str | None]:
        """Where it goes, of all channels that there are: their names, and None for its folder."""
        named = self.channels
        if named is None:
            named = [channel.name for channel in channels if isinstance(channel, Mail)]
        return [*named, *([None] if self.folder is not None else [])]
