"""The commands for looking by hand: their arguments and their help."""

# ruff: noqa: PLC0415 - imports inside commands keep `runlake --help` fast

from __future__ import annotations

from typing import Annotated

import typer

from runlake.cli.arguments import Shape, source_names
from runlake.cli.show import Format

looking_app = typer.Typer(rich_markup_mode=None)

OfSources = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="SOURCE", help="Of that source; a pattern: 'etl-*'.", autocompletion=source_names),
]
OfPipelines = Annotated[
    list[str] | None,
    typer.Option("--pipeline", metavar="PATTERN", help="Of pipelines by id or name: 'nightly_*', '!test_*'."),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="24h, 30d; a day, from its midnight here; an instant.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Created before; written like --since.")]


@looking_app.command()
def runs(
    ctx: typer.Context,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed or timed out.")] = False,
    is_open: Annotated[bool, typer.Option("--open", help="Only those that are not over.")] = False,
    status: Annotated[
        list[str] | None, typer.Option("--status", metavar="STATUS", help="Only those of this unified status.")
    ] = None,
    source: OfSources = None,
    pipeline: OfPipelines = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 50,
    format_: Shape = Format.TABLE,
) -> None:
    """Show the newest runs, and why some failed.

    By the time at which they were created, in your zone. What is not over lasts up to when the copy was made. Runs that
    are gone from their vendor are left out.

    \b
    Example: runlake runs --failed --since 24h
    """
    from runlake.cli.looking import runs as looking
    from runlake.cli.looking.asked import Asked, between
    from runlake.report.scope import Scope

    statuses = looking.statuses(failed=failed, is_open=is_open, named=status or [])
    asked = Asked(Scope(source or [], pipeline or []), statuses, *between(since, until))
    looking.runs(ctx.obj.load(), asked, limit, format_)
