"""The commands for looking by hand: their arguments and their help."""

# ruff: noqa: PLC0415 - imports inside commands keep `runlake --help` fast

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from runlake.cli.arguments import Shape, source_names
from runlake.cli.show import Format
from runlake.model import RunStatus

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
        list[RunStatus] | None, typer.Option("--status", metavar="STATUS", help="Only those of this unified status.")
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


@looking_app.command()
def pipelines(
    ctx: typer.Context,
    failing: Annotated[bool, typer.Option("--failing", help="Only those whose last result is a failure.")] = False,
    source: OfSources = None,
    pipeline: OfPipelines = None,
    since: Since = "30d",
    until: Until = None,
    format_: Shape = Format.TABLE,
) -> None:
    """Show how each pipeline does, those that fail first.

    Runs created in that time, each by its last attempt; the success rate and of how many: cancelled, rejected, skipped,
    open and unknown runs are not among them. The median is of what succeeded. `docs/metrics.md` defines each number.

    \b
    Example: runlake pipelines --failing --since 7d
    """
    from runlake.cli.looking import pipelines as looking
    from runlake.cli.looking.asked import Asked, between
    from runlake.report.scope import Scope

    asked = Asked(Scope(source or [], pipeline or []), (), *between(since, until))
    looking.pipelines(ctx.obj.load(), asked, format_, failing=failing)


class ExportFormat(StrEnum):
    PARQUET = "parquet"
    CSV = "csv"


@looking_app.command()
def export(
    ctx: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="A folder for Parquet; a file for CSV.")
    ],
    what: Annotated[
        str, typer.Option("--what", metavar="VIEW", help="runs, steps, run_history, syncs; or any other view.")
    ] = "runs",
    source: OfSources = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="30d; a day, from its midnight in UTC; an instant.")
    ] = None,
    until: Until = None,
    format_: Annotated[
        ExportFormat, typer.Option("--format", help="Folders by source and month, or one file.")
    ] = ExportFormat.PARQUET,
) -> None:
    """Write the ledger as Parquet or CSV, for other tools.

    Parquet goes into folders as Hive has them, source=etl/month=2026-11: DuckDB, polars and Spark read them. Exported
    again into the same folder, it then holds what was asked last; nothing else in it is touched. Times are UTC.

    \b
    Example: runlake export --what runs --output exported/runs
    """
    from datetime import UTC

    from runlake.cli.looking import export as exporting
    from runlake.cli.looking.asked import between

    wanted = exporting.Wanted(what, source or [], *between(since, until, UTC))
    exporting.export(ctx.obj.load(), wanted, output, csv=format_ is ExportFormat.CSV)


@looking_app.command()
def top(
    ctx: typer.Context,
    every: Annotated[str, typer.Option("--every", metavar="SPAN", help="How often to look for what is new.")] = "2s",
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
) -> None:
    """Watch what runs, waits and fails now, at all vendors.

    What is shown is the published copy, read again whenever there is a new one; its age is beside it. q or Ctrl-C ends
    it. Where there is no terminal to draw on, it is shown once.

    \b
    Example: runlake top
    """
    from runlake.cli.looking import top as watching
    from runlake.cli.looking.asked import ago

    watching.top(ctx.obj.load().database, ago("--every", every), once=once)
