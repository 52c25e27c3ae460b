"""The daemon: running, of this version, with this config, and what it needs to serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runlake import __version__
from runlake.cli import show
from runlake.cli.doctor.finding import Finding, fine, problem, warning
from runlake.cli.running import Running
from runlake.config import Config, load
from runlake.config.changes import alerting_changes
from runlake.errors import ConfigError
from runlake.formats import some
from runlake.secret import secrets_of


def findings(path: Path, config: Config, daemon: Running | None, *, behind: list[str]) -> list[Finding]:
    """`behind`: the sources that were not seen for too long."""
    found = [*_served(config, daemon)]
    if not config.source:
        text = f"{path} names no source"
        found.append(warning("config", text, "add a [[source]] table; `runlake init` shows how"))
    if daemon is not None:
        return found + _running(path, daemon)
    if behind:
        text = f"none runs, and {', '.join(behind)} {'is' if len(behind) == 1 else 'are'} behind"
        found.append(warning("daemon", text, "runlake daemon starts one; or run `runlake sync` from cron"))
    else:
        found.append(fine("daemon", "none runs; `runlake sync` keeps the sources up to date"))
    return found


def _served(config: Config, daemon: Running | None) -> Iterator[Finding]:
    if config.daemon.sql_token is None:
        yield fine("daemon", "POST /sql is off", "to answer SQL over the network, set `sql_token` under [daemon]")
    if daemon is not None:
        return  # it has read them, maybe from an environment that is not ours
    for key, secret in secrets_of(config.daemon).items():
        try:
            secret.reveal()
        except ConfigError as error:
            yield problem("daemon", f"{key}: {error}", "without it the daemon cannot start")


def _running(path: Path, daemon: Running) -> list[Finding]:
    found = []
    if daemon.overdue:
        late = ", ".join(daemon.overdue)
        found.append(problem("daemon", f"it should have asked {late} by now and has not", "see its log; restart it"))
    if daemon.alerting_error is not None:
        text = f"no alert is judged or told: it meets a bug, {daemon.alerting_error}"
        found.append(problem("alerting", text, "report it with what the log says at job.crashed"))
    if daemon.version != __version__:
        text = f"version {daemon.version} runs, this is {__version__}"
        found.append(warning("daemon", text, "restart it"))
    elif daemon.config_file is not None and not _same(path, daemon.config_file):
        text = f"it was started with another config, {daemon.config_file}"
        found.append(warning("daemon", text, f"runlake --config {daemon.config_file} doctor; or restart it"))
    elif daemon.config_file is not None:
        found += _reloaded(daemon.config, load(daemon.config_file).model_dump(mode="json"))
    if daemon.ping_error is not None:
        found.append(warning("daemon", f"the ping fails: {daemon.ping_error}", "check `ping_url` under [daemon]"))
    if not found:
        since = f"{show.local(daemon.started_at, seconds=False)} {show.zone()}"
        found.append(fine("daemon", f"process {daemon.pid} polls {some(len(daemon.sources), 'source')} since {since}"))
    return found


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _reloaded(ran: dict[str, Any], written: dict[str, Any]) -> list[Finding]:
    """How the config differs that was loaded from what the file says now."""
    before = {source["name"]: source for source in ran.get("source", [])}
    after = {source["name"]: source for source in written["source"]}
    changes = [f"{name} is new" for name in after.keys() - before.keys()]
    changes += [f"{name} is gone" for name in before.keys() - after.keys()]
    changes += [f"{name} has changed" for name in after.keys() & before.keys() if after[name] != before[name]]
    changes += alerting_changes(ran, written)
    settled = [written["daemon"]["listen"], written["database"]] != [ran["daemon"]["listen"], ran["database"]]
    if settled:
        changes.append("`listen` or `database` has changed")
    elif written["daemon"] != ran["daemon"]:
        changes.append("[daemon] has changed")
    if not changes:
        return []
    text = f"its config file was changed since: {', '.join(sorted(changes))}"
    return [warning("daemon", text, "restart it" if settled else "runlake reload")]
