"""What several commands take: the config, sources by name, the shape of the answer; and what a shell completes."""

# ruff: noqa: PLC0415 - imports inside functions keep `runlake --help` fast

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runlake.cli.show import Format

if TYPE_CHECKING:
    from runlake.config import Config, Source


@dataclass(frozen=True, slots=True)
class Given:
    """What was given before the command."""

    config: Path

    def load(self) -> Config:
        from runlake import config

        return config.load(self.config)

    def select(self, names: list[str] | None) -> tuple[Config, list[Source]]:
        """The config, and the sources named or all. Raises ConfigError where there are none."""
        from runlake.errors import ConfigError

        loaded = self.load()
        sources = loaded.select(names or [])
        if not sources:
            raise ConfigError(f"{self.config} names no source; add a [[source]] table; `runlake init` shows how")
        return loaded, sources


def help_where_no_command_is(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        sys.stdout.write(f"{ctx.get_help()}\n")


def _names(tables: str) -> Callable[[typer.Context, str], list[str]]:
    """For the shell's completion: what such tables of the config at hand are called, without checking it."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        import tomllib

        path = Path(ctx.find_root().params.get("config_file") or "runlake.toml")
        try:
            written = tomllib.loads(path.read_text(encoding="utf-8")).get(tables, [])
            names = [str(each.get("name", each.get("kind"))) for each in written]
        except (OSError, ValueError, AttributeError):
            return []  # a half-written config completes nothing
        return [name for name in names if name.startswith(incomplete)]

    return complete


source_names, channel_names, _written_rules = _names("source"), _names("channel"), _names("rule")


def rule_names(ctx: typer.Context, incomplete: str) -> list[str]:
    from runlake.config.alerting import BUILT_IN

    built_in = [rule.name for rule in BUILT_IN if rule.name.startswith(incomplete)]
    return list(dict.fromkeys([*_written_rules(ctx, incomplete), *built_in]))


Sources = Annotated[
    list[str] | None, typer.Argument(metavar="SOURCE", help="All, unless named.", autocompletion=source_names)
]
OneSource = Annotated[str, typer.Argument(metavar="SOURCE", autocompletion=source_names)]
Shape = Annotated[Format, typer.Option("--format", help="For eyes, or the same rows for machines.")]
