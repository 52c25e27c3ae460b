"""Every command: its arguments, its help, and which part of runlake does it."""

# ruff: noqa: PLC0415 - imports inside commands keep `runlake --help` fast

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from runlake import __version__
from runlake.cli.alerts.app import alerts_app
from runlake.cli.arguments import Given, OneSource, Shape, Sources, help_where_no_command_is
from runlake.cli.looking.app import OfPipelines, OfSources, looking_app
from runlake.cli.show import Format, SqlFormat
from runlake.report.formats import Format as ReportFormat

app = typer.Typer(
    name="runlake",
    invoke_without_command=True,
    rich_markup_mode=None,  # plain help: fast, and the same bytes everywhere
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
config_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")
app.add_typer(alerts_app, name="alerts")
app.add_typer(looking_app)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"runlake {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    config_file: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", envvar="RUNLAKE_CONFIG", help="The config file.")
    ] = Path("runlake.toml"),
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """One ledger of every pipeline run a team has, at whatever vendor it ran.

    \b
    First steps: runlake demo; then runlake init, runlake check, runlake daemon
    Example:     runlake sql "SELECT status, count(*) FROM runs GROUP BY status"
    Exit codes:  0 done, 1 a source failed, 2 you wrote something wrong,
                 3 our own database refuses, 130 Ctrl-C
    """
    ctx.obj = Given(config_file)
    help_where_no_command_is(ctx)


@config_app.callback()
def config_root(ctx: typer.Context) -> None:
    """About the config file."""
    help_where_no_command_is(ctx)


# --- setting up ------------------------------------------------------------------------------------------------------


@app.command()
def init(
    ctx: typer.Context,
    connector: Annotated[str | None, typer.Option(help="The vendor; `runlake connectors` lists them.")] = None,
    name: Annotated[str | None, typer.Option(help="What you call the account; else the connector's name.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting; a comma parts list items; no secrets."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> None:
    """Write a commented config.

    Asks for a first source at a terminal, or takes it from flags.

    \b
    Example: runlake init --connector NAME --name etl --set base_url=https://etl.example.com
    """
    from runlake.cli import ask, show
    from runlake.cli import init as config_text

    path: Path = ctx.obj.config
    if path.exists() and not force:
        config_text.write(path, "", force=False)
    draft = ask.draft(connector, name, set_ or [], interactive=sys.stdin.isatty())
    config_text.write(path, config_text.config([draft]) if draft else config_text.example(), force=force)
    show.note(f"wrote {path}")
    for line in ask.following(draft, path):
        show.note(line)


@app.command()
def check(ctx: typer.Context, source: Sources = None, format_: Shape = Format.TABLE) -> None:
    """Check the config, then each source at its vendor.

    Secrets, reach, what the credentials may see, and about how many requests an hour polling will cost. Then the rules
    in force, and whether each channel has what it needs; nothing is sent.

    \b
    Example: runlake check
    """
    import asyncio

    from runlake.cli import check as checking
    from runlake.cli import show
    from runlake.cli.reading import published

    config, sources = ctx.obj.select(source)
    show.note(f"{ctx.obj.config}: valid, {len(config.source)} source{'s' if len(config.source) != 1 else ''}")
    with published(config.database) as reader:
        known = checking.load(reader) if reader else {}
    found = asyncio.run(checking.check(sources, known))
    raise typer.Exit(checking.tell(config, found, format_, alerting=not source))


@app.command()
def connectors(format_: Shape = Format.TABLE) -> None:
    """List the vendors that runlake knows, and what it can do.

    And against what each connector is verified: a real server, or documentation only.

    \b
    Example: runlake connectors
    """
    from runlake.cli import show
    from runlake.connector import CAPABILITIES
    from runlake.connector import can as able
    from runlake.connector import connectors as all_connectors

    words = dict(zip(CAPABILITIES, ("list", "read one", "details", "pipelines", "track"), strict=True))
    kinds = all_connectors().values()
    if format_ is Format.JSON:
        show.json_rows(
            ["connector", "vendor", *CAPABILITIES, "verified"],
            [[k.name, k.title, *(able(k, each) for each in CAPABILITIES), k.verified] for k in kinds],
        )
        return
    show.table(
        ["connector", "vendor", "can", "verified"],
        [[k.name, k.title, ", ".join(words[c] for c in CAPABILITIES if able(k, c)), k.verified] for k in kinds],
    )


@config_app.command()
def schema() -> None:
    """Print the config's JSON Schema, for editors.

    It has each connector's settings.

    \b
    Example: runlake config schema > runlake.schema.json
    """
    from runlake.cli import init as config_text
    from runlake.cli import show

    sys.stdout.write(show.json_text(config_text.schema(), indent=2) + "\n")


# --- reading from vendors --------------------------------------------------------------------------------------------


@app.command()
def sync(ctx: typer.Context, source: Sources = None, format_: Shape = Format.TABLE) -> None:
    """Read what is new, open or reopened at each source.

    Sources are read side by side; one that fails stops no other. Then the ledger is published for readers.

    \b
    Example: runlake sync
    """
    from runlake.cli import syncing

    config, sources = ctx.obj.select(source)
    raise typer.Exit(syncing.sync(config, sources, format_))


@app.command()
def backfill(
    ctx: typer.Context,
    source: OneSource,
    since: Annotated[str, typer.Option("--since", metavar="DATE", help="2026-01-31, or an instant; dates are UTC.")],
    format_: Shape = Format.TABLE,
) -> None:
    """Read older runs of a source, back to a date.

    Interrupted, it goes on where it was when given the same date again.

    \b
    Example: runlake backfill etl --since 2026-01-01
    """
    from runlake.cli import syncing

    config, [chosen] = ctx.obj.select([source])
    raise typer.Exit(syncing.backfill(config, chosen, since, format_))


@app.command()
def track(
    ctx: typer.Context,
    source: OneSource,
    ref: Annotated[list[str], typer.Argument(metavar="REF", help="A run's id, or the id of what names runs.")],
    format_: Shape = Format.TABLE,
) -> None:
    """Follow runs by id where a vendor has no list of them.

    They are read at once, and then by every sync until they are final.

    \b
    Example: runlake track registry task:bk_2wil31Z2 execution:2wil4VQe
    """
    from runlake.cli import syncing

    config, [chosen] = ctx.obj.select([source])
    raise typer.Exit(syncing.track(config, chosen, ref, format_))


@app.command()
def coverage(ctx: typer.Context, source: Sources = None, format_: Shape = Format.TABLE) -> None:
    """Compare each vendor's own list with what is stored.

    What is missing is fetched. The comparison of each day is in the view `coverage`.

    \b
    Example: runlake coverage etl
    """
    from runlake.cli import syncing

    config, sources = ctx.obj.select(source)
    raise typer.Exit(syncing.coverage(config, sources, format_))


@app.command()
def remap(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    format_: Shape = Format.TABLE,
) -> None:
    """Apply a changed status mapping to stored history.

    From the vendors' own words, which are stored; no vendor is asked.

    \b
    Example: runlake remap --dry-run
    """
    from runlake.cli import syncing

    config, _ = ctx.obj.select(None)
    syncing.remap(config, format_, dry_run=dry_run)


# --- the daemon ------------------------------------------------------------------------------------------------------


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


@app.command()
def daemon(
    ctx: typer.Context,
    log_format: Annotated[
        LogFormat | None, typer.Option("--log-format", help="Default: console at a terminal, else json.")
    ] = None,
) -> None:
    """Poll every source on its schedule, until it is stopped.

    Publishes for readers, serves health, metrics and SQL, and keeps the ledger in shape. SIGHUP or `runlake reload`
    reads the config again; SIGTERM or Ctrl-C ends it within 10 seconds, keeping what was read.

    \b
    Example: runlake daemon
    """
    from runlake.cli import serving

    json_logs = log_format is LogFormat.JSON or (log_format is None and not sys.stderr.isatty())
    serving.daemon(ctx.obj.config, json_logs=json_logs)


@app.command()
def reload(ctx: typer.Context) -> None:
    """Have the daemon read its config again.

    The file is checked first; one with a mistake changes nothing.

    \b
    Example: runlake reload
    """
    from runlake.cli import serving

    serving.reload(ctx.obj.config)


# --- reading the ledger ----------------------------------------------------------------------------------------------


@app.command()
def sql(
    ctx: typer.Context,
    query: Annotated[str | None, typer.Argument(help="One SELECT, in DuckDB's SQL.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", metavar="FILE", help="Read it from there.")] = None,
    format_: Annotated[SqlFormat, typer.Option("--format", help="How to write the answer.")] = SqlFormat.TABLE,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Have the daemon publish first.")] = False,
) -> None:
    """Ask the ledger in SQL.

    What is asked is the published copy, which the daemon or each sync makes: it works while they write.

    Start with: runs, latest_runs, open_runs, failures, steps, run_history, source_health, syncs, coverage,
    unmapped_statuses, status_map. `SHOW TABLES` and `DESCRIBE runs` tell more. Days and hours in SQL are
    UTC; tables show your zone.

    \b
    Example: runlake sql "SELECT status, count(*) FROM runs GROUP BY status"
    """
    from runlake.cli import reading

    database, text = ctx.obj.load().database, reading.query(query, file)
    if fresh:
        from runlake.cli import serving

        serving.ask(database, lambda client: client.post("/publish"))
    reading.sql(database, text, format_, output)


@app.command()
def report(
    ctx: typer.Context,
    week: Annotated[str | None, typer.Option(metavar="WEEK", help="Such as 2026-W47. Default: the last.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="Instead: the first day.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="The first day after. Default: tomorrow.")] = None,
    source: OfSources = None,
    pipeline: OfPipelines = None,
    owner: Annotated[
        list[str] | None, typer.Option("--owner", metavar="PATTERN", help="Whose they are, as [[owner]] says.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="LABEL=PATTERN", help="Of runs with this label.")
    ] = None,
    tz: Annotated[str, typer.Option("--tz", metavar="ZONE", help="Whose days: such as Europe/Berlin.")] = "UTC",
    known_at: Annotated[
        str | None,
        typer.Option("--known-at", metavar="INSTANT", help="As known then, or now. Default: 6 hours after its end."),
    ] = None,
    format_: Annotated[
        ReportFormat | None, typer.Option("--format", help="Default: as --output ends, else text.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")] = None,
) -> None:
    """Tell how a week went: what got better or worse, and what to do.

    New, recurring and fixed failures, regressions, what is slow, flaky or wasteful, who is waited for, and what could
    not be seen. A week is reported as it was known six hours after its end, so that it reads the same on any later day;
    --known-at now looks at it with what is known by now. Patterns: *, ?, [a-c]; with ! in front: all others.

    \b
    Example: runlake report --week 2026-W47 --tz Europe/Berlin --output report.html
    Example: runlake report --owner data --since 2026-11-01 --until 2026-12-01 --format md
    """
    from runlake.cli import report as reporting
    from runlake.report.scope import Scope

    scope = Scope(source or (), pipeline or (), owner or (), reporting.labels(label or []))
    reporting.report(
        ctx.obj.load(),
        scope,
        week=week,
        since=since,
        until=until,
        tz=tz,
        known_at=known_at,
        format_=format_,
        output=output,
    )


@app.command()
def status(ctx: typer.Context, source: Sources = None, format_: Shape = Format.TABLE) -> None:
    """Show how each source stands, and what to do about it.

    The last sync, up to when we can vouch for having seen every run, what is open, and words without a mapping; with a
    daemon also what comes next and who waits for a vendor's quota.

    \b
    Example: runlake status
    """
    from runlake.cli import status as standing

    config, sources = ctx.obj.select(source)
    standing.status(config.database, sources, format_)


@app.command()
def doctor(ctx: typer.Context, format_: Shape = Format.TABLE) -> None:
    """Say in words what is wrong here, and what to do.

    The config, secrets, disk, ledger, published copy, daemon and clock; what each source met last, and what of it could
    not be read. Exit code 1 where something is a problem. No vendor is asked: `runlake check` does that.

    \b
    Example: runlake doctor
    """
    from runlake.cli import doctor as examining

    raise typer.Exit(examining.doctor(ctx.obj.config, format_))


@app.command()
def explain(
    ctx: typer.Context,
    source: OneSource,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The vendor's id of the run, or how it begins.")],
    format_: Shape = Format.TABLE,
) -> None:
    """Show why a run is shown as it is.

    Each change seen of it, the mapping rule used, and what was asked of the vendor and when.

    \b
    Example: runlake explain etl manual__2026-07-13
    """
    from runlake.cli import reading

    config, [chosen] = ctx.obj.select([source])
    reading.explain(config.database, chosen, run, format_)


# --- looking after the ledger ----------------------------------------------------------------------------------------


@app.command()
def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; an earlier backup there is replaced.")],
) -> None:
    """Write a copy of the whole ledger.

    Consistent and complete, with its history. It is a DuckDB file like the ledger itself.

    \b
    Example: runlake backup /backups/runlake.duckdb
    """
    from runlake.cli import upkeep

    upkeep.backup(ctx.obj.load().database, file)


@app.command()
def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `runlake backup` wrote, or a published copy.")],
    format_: Shape = Format.TABLE,
) -> None:
    """Put a backup in the ledger's place.

    The present ledger is kept beside it, damaged or not. Shows what each source has now, and how far that reaches.

    \b
    Example: runlake restore /backups/runlake.duckdb
    """
    from runlake.cli import upkeep

    upkeep.restore(ctx.obj.load().database, file, format_)


@app.command()
def rebuild(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    format_: Shape = Format.TABLE,
) -> None:
    """Make the current tables again from the history.

    Each run as its last snapshot has it, and which runs are open. Nothing changes in a ledger that is whole. Steps are
    left as they are: the history does not hold them.

    \b
    Example: runlake rebuild --dry-run
    """
    from runlake.cli import upkeep

    upkeep.rebuild(ctx.obj.load().database, format_, dry_run=dry_run)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo's config and database go.")] = Path("demo"),
) -> None:
    """See it all on six simulated vendors.

    They are synced, a simulated day passes, they are synced again and asked about. No account, no network.

    \b
    Example: runlake demo
    """
    from runlake.cli import demonstrate

    raise typer.Exit(demonstrate.demo(folder))
