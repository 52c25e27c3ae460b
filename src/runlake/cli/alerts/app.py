"""The commands of `runlake alerts`: their arguments, their help, and which part of runlake does it."""

# ruff: noqa: PLC0415 - imports inside commands keep `runlake --help` fast

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from runlake.cli.arguments import (
    Shape,
    channel_names,
    help_where_no_command_is,
    rule_names,
    source_names,
)
from runlake.cli.show import Format

alerts_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


class State(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


OneAlert = Annotated[str, typer.Argument(metavar="ALERT", help="Its id, or how it begins.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who does it. Default: you.")]


@alerts_app.callback()
def alerts_root(ctx: typer.Context) -> None:
    """What fires, why, who was told, and what to do about it."""
    help_where_no_command_is(ctx)


# --- what fires ------------------------------------------------------------------------------------------------------


@alerts_app.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those of the last 30 days that are over, too.")] = False,
    source: Annotated[
        str | None, typer.Option("--source", metavar="SOURCE", help="Of that source.", autocompletion=source_names)
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", metavar="RULE", help="Of that rule.", autocompletion=rule_names)
    ] = None,
    state: Annotated[State | None, typer.Option("--state", help="Only what is in this state.")] = None,
    format_: Shape = Format.TABLE,
) -> None:
    """List the alerts that are open, the most severe first.

    Each with its id, since when, why, whose it is, and what holds it back: acked, silenced, maintenance, a source that
    cannot be seen, flapping. They are as of the published copy.

    \b
    Example: runlake alerts list
    """
    from runlake.cli.alerts import listing

    wanted = state.value if state is not None else None
    listing.alerts(ctx.obj.load(), format_, everything=everything, source=source, rule=rule, state=wanted)


@alerts_app.command()
def show(ctx: typer.Context, alert: OneAlert, format_: Shape = Format.TABLE) -> None:
    """Show all that is known of an alert.

    Why it fires and what that rests on, the run with its failing step and error, who was told when on which channel,
    and what holds it back.

    \b
    Example: runlake alerts show 3f2a91c0
    """
    from runlake.cli.alerts import showing

    showing.show_one(ctx.obj.load(), alert, format_)


@alerts_app.command()
def rules(ctx: typer.Context, format_: Shape = Format.TABLE) -> None:
    """List the rules in force.

    What each is about, how severe it is, whether it is built in or from the config, since when it stands, how many
    alerts of it are open, and why it could not be evaluated last.

    \b
    Example: runlake alerts rules
    """
    from runlake.cli.alerts import listing

    listing.rules(ctx.obj.load(), format_)


@alerts_app.command()
def explain(
    ctx: typer.Context,
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Its id or its name, or how one begins.")],
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="SOURCE", help="Where several have one.", autocompletion=source_names),
    ] = None,
    format_: Shape = Format.TABLE,
) -> None:
    """Show what each rule finds of a pipeline, and why.

    Whether it fires, is well, or cannot be told; the inputs it rests on; since when the rule stands, and when it looks
    again. Judged anew from the published copy, as an evaluation would; nothing is changed and nobody is told.

    \b
    Example: runlake alerts explain nightly_load
    """
    from runlake.cli.alerts import explaining

    explaining.explain(ctx.obj.load(), pipeline, source, format_)


@alerts_app.command()
def backtest(
    ctx: typer.Context,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Its name.", autocompletion=rule_names)],
    last: Annotated[str, typer.Option("--last", metavar="LENGTH", help="How far back: 12h, 30d, 8w.")] = "30d",
    everything: Annotated[bool, typer.Option("--all", help="Each alert, too.")] = False,
    format_: Shape = Format.TABLE,
) -> None:
    """Show what a rule would have sent in the last days.

    As it stands in the config, also with `enabled = false`: how many messages and alerts, how soon they were over, and
    which pipelines were the noisiest. Judged as evaluations judged then, from what the ledger knew then; what cannot be
    known any more is said. Nothing is changed and nobody is told.

    \b
    Example: runlake alerts backtest failed --last 30d
    """
    from runlake.cli.alerts import backtesting

    backtesting.run(ctx.obj.load(), rule, last=last, everything=everything, format_=format_)


# --- what to do about it ---------------------------------------------------------------------------------------------


@alerts_app.command()
def ack(
    ctx: typer.Context,
    alert: Annotated[list[str], typer.Argument(metavar="ALERT", help="Its id, or how it begins.")],
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="What you know of it.")] = None,
    by: By = None,
) -> None:
    """Say that somebody looks after an alert.

    It is told no more until it is over, but stands in the digest.

    \b
    Example: runlake alerts ack 3f2a91c0 --note "the vendor is at it"
    """
    from runlake.cli.alerts import acting

    acting.ack(ctx.obj.load(), alert, note=note, by=by)


@alerts_app.command()
def silence(
    ctx: typer.Context,
    lasts: Annotated[str, typer.Option("--for", metavar="LENGTH", help="How long: 90m, 2h, 3d.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: shown beside what it holds back.")],
    rule: Annotated[
        str | None, typer.Option("--rule", metavar="PATTERN", help="Of these rules.", autocompletion=rule_names)
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="PATTERN", help="Of these sources.", autocompletion=source_names)
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", metavar="PATTERN", help="Of these pipelines, by id or name.")
    ] = None,
    by: By = None,
) -> None:
    """Tell nobody of some alerts for a while.

    Those that match all patterns given. What still fires when it ends, is told then.

    \b
    Example: runlake alerts silence --source etl --pipeline "nightly_*" --for 2h --reason migration
    """
    from runlake.cli.alerts import acting

    acting.silence(ctx.obj.load(), lasts=lasts, reason=reason, rule=rule, source=source, pipeline=pipeline, by=by)


@alerts_app.command()
def unsilence(
    ctx: typer.Context, silence: Annotated[str, typer.Argument(metavar="ID", help="Its id, or how it begins.")]
) -> None:
    """End a silence before its time.

    \b
    Example: runlake alerts unsilence 9c41d2aa
    """
    from runlake.cli.alerts import acting

    acting.unsilence(ctx.obj.load(), silence)


@alerts_app.command()
def silences(ctx: typer.Context, format_: Shape = Format.TABLE) -> None:
    """List the silences that have not ended.

    What each is about, until when, why and by whom, and how many open alerts it holds back.

    \b
    Example: runlake alerts silences
    """
    from runlake.cli.alerts import listing

    listing.silences(ctx.obj.load(), format_)


# --- telling people --------------------------------------------------------------------------------------------------


@alerts_app.command()
def evaluate(ctx: typer.Context, format_: Shape = Format.TABLE) -> None:
    """Judge what is new, and tell who is to be told.

    For those who run `runlake sync` from cron: a daemon does it by itself after each sync. Exit code 1 where a channel
    did not take a message; it is kept, and the next evaluation tries again.

    \b
    Example: runlake alerts evaluate
    """
    from runlake.cli.alerts import acting

    raise typer.Exit(acting.evaluate(ctx.obj.load(), format_))


@alerts_app.command("test-channel")
def test_channel(
    ctx: typer.Context, channel: Annotated[str, typer.Argument(metavar="CHANNEL", autocompletion=channel_names)]
) -> None:
    """Send a test message on a channel.

    As alerts are sent: by the daemon where one runs, with the secrets that it has. Exit code 1 where it is not taken.

    \b
    Example: runlake alerts test-channel ops
    """
    from runlake.cli.alerts import acting

    raise typer.Exit(acting.test_channel(ctx.obj.load(), channel))
