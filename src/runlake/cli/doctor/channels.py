"""Each channel: whether what it needs to be reached is there, and whether it took what it was sent last; and each
report: whether all have the last one. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from runlake.alerts.channels import problem as unreachable
from runlake.alerts.kinds import reports
from runlake.alerts.verdict import Verdict
from runlake.cli import show
from runlake.cli.doctor.finding import Finding, problem
from runlake.cli.doctor.sources import exposed
from runlake.cli.running import Running
from runlake.config import Config
from runlake.config.alerting import ReportFailed
from runlake.config.channels import AnyChannel
from runlake.secret import secrets_of
from runlake.store.query import Reader


def findings(channels: Sequence[AnyChannel], daemon: Running | None) -> Iterator[Finding]:
    for channel in channels:
        about, secrets = f"channel {channel.name}", secrets_of(channel)
        for key, secret in secrets.items():
            yield from exposed(about, key, secret)
        if daemon is not None and any(secret.place.startswith("env ") for secret in secrets.values()):
            continue  # it may have variables that this shell lacks
        if (wrong := unreachable(channel)) is not None:
            yield problem(about, wrong, f"then: runlake alerts test-channel {channel.name}")


def in_the_ledger(channels: Sequence[AnyChannel], reader: Reader) -> Iterator[Finding]:
    known = {channel.name for channel in channels}
    for name, since, error in reader.alerting().failing():
        if name in known:
            text = f"no message has arrived since {show.local(since, seconds=False)} {show.zone()}: {error}"
            yield problem(f"channel {name}", text, f"runlake alerts test-channel {name}")


def of_reports(config: Config, reader: Reader, now: datetime) -> Iterator[Finding]:
    if not config.report or not reader.read("FROM duckdb_views() WHERE view_name = 'reports'"):
        return  # nor can an older runlake, whose copy this is, have made any
    last = reader.alerting().last_reports(now)
    for report in config.report:
        found = reports.judge(ReportFailed(kind="report_failed"), report, config.channel, last, now)
        if found.verdict is Verdict.FIRING:
            yield problem(f"report {report.name}", found.why, "runlake sql 'FROM reports'")
