"""Each source: its secrets, how its last sync ended, up to when it was seen, and what of it could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from runlake.cli import show
from runlake.cli.advice import advice
from runlake.cli.doctor.finding import Finding, length, problem, warning
from runlake.cli.running import Running
from runlake.config import Source
from runlake.errors import ConfigError
from runlake.formats import some
from runlake.secret import Secret, expiries
from runlake.store.query import Reader

Health = dict[str, Any]
"""A row of `source_health`."""

SOON = timedelta(days=14)
"""So long before a token ends it is spoken of."""

SKEW = 60
"""Seconds between two clocks that are spoken of; answers come by the second, and after some time."""

OLD, UNREAD = timedelta(days=14), timedelta(days=1)
PATIENCE = 3
"""A source that has failed this often in a row, or missed so many turns, will hardly be well by itself."""

_STALE = """
SELECT o.source, count(*) AS runs, min(o.created_at) AS oldest, min_by(o.run_id, o.created_at) AS run_id
FROM open_runs o JOIN source_health h USING (source)
WHERE o.created_at < h.observed_through - $old
  AND coalesce(o.last_read_at < h.observed_through - $unread, true) GROUP BY ALL ORDER BY ALL
"""

_MISSING = """
SELECT c.source, count(*) AS runs, max(c.checked_at) AS checked_at
FROM (SELECT source, pipeline_id, checked_at, unnest(missing_run_ids) AS run_id FROM coverage WHERE missing > 0) c
WHERE NOT EXISTS (SELECT 1 FROM runs r
                  WHERE r.source = c.source AND r.pipeline_id = c.pipeline_id AND r.run_id = c.run_id)
GROUP BY ALL ORDER BY ALL
"""


def load(reader: Reader) -> list[Health]:
    return reader.read("SELECT * FROM source_health ORDER BY source")


def behind(sources: Sequence[Source], health: Sequence[Health], now: datetime) -> list[str]:
    """The sources that were not seen for three times as long as they should be, or never."""
    through = {row["source"]: row["observed_through"] for row in health}
    return [each.name for each in sources if (at := through.get(each.name)) is None or now > _due(each, at)]


def _due(source: Source, through: datetime) -> datetime:
    if source.cron is None:
        return through + PATIENCE * source.latest
    from runlake.cron import next_after  # noqa: PLC0415 (the scheduler, for those who have a schedule)

    for _ in range(PATIENCE):
        through = next_after(source.cron, through)
    return through


def findings(
    sources: Sequence[Source], health: Sequence[Health], daemon: Running | None, now: datetime
) -> list[Finding]:
    known = {row["source"]: row for row in health if row["last_sync_at"] is not None}
    late = behind(sources, health, now)
    found: list[Finding] = []
    for source in sources:
        row = known.get(source.name)
        found += _secrets(source, row, daemon, now)
        if row is not None:
            found += _last_sync(source, row)
        elif daemon is not None and source.name in daemon.sources and "sync" in daemon.sources[source.name].under_way:
            found.append(warning(source.name, "its first sync goes on", "wait for it; runlake status shows it"))
        elif health:  # else nothing was, which is said once
            found.append(warning(source.name, "it was never synced", f"runlake sync {source.name}"))
        if row is not None and source.name in late and row["error"] is None:
            found.append(_unseen(source, row["observed_through"], daemon, now))
    return found + _clocks(sources, known)


def in_the_ledger(sources: Sequence[Source], reader: Reader, health: Sequence[Health]) -> list[Finding]:
    """What the stored runs show."""
    configured = {source.name for source in sources}
    found = []
    for row in reader.read(
        "SELECT source, level, vendor_status, seen, config_line FROM unmapped_statuses ORDER BY ALL"
    ):
        text = f"no mapping for the word {row['vendor_status']!r} of {some(row['seen'], row['level'])}"
        found.append((row["source"], text, f"add to its table, with a unified status: {row['config_line']}"))
    for row in reader.read(_STALE, old=OLD, unread=UNREAD):
        text = (
            f"{some(row['runs'], 'run')} open since {show.local(row['oldest'], seconds=False)} or later could not be "
            f"read for a day, such as {row['run_id']}"
        )
        found.append((row["source"], text, f"runlake explain {row['source']} {row['run_id']}"))
    for row in reader.read(_MISSING):
        text = f"the vendor lists {some(row['runs'], 'run')} that the ledger lacks"
        found.append((row["source"], text, f"runlake coverage {row['source']} compares again and fetches them"))
    warnings = [warning(name, text, todo) for name, text, todo in found if name in configured]
    for name in sorted(row["source"] for row in health if row["source"] not in configured):
        text = "it is in the ledger and in no config: it is polled no more, and its history stays"
        warnings.append(warning(name, text, "if it was renamed, give it its name back"))
    return warnings


def exposed(about: str, key: str, secret: Secret) -> Iterator[Finding]:
    if secret.everybody_may_read:
        where = secret.place.removeprefix("file ")
        yield warning(about, f"{key}: any user of this machine may read {where}", f"chmod 600 {where}")


def _secrets(source: Source, row: Health | None, daemon: Running | None, now: datetime) -> Iterator[Finding]:
    secrets = source.secrets()
    planned = daemon.sources.get(source.name) if daemon is not None else None
    # What the daemon reads is what counts; it may have variables that this shell lacks.
    ends = {**expiries(secrets), **(planned.secrets_expire if planned is not None else {})}
    for key, secret in secrets.items():
        try:
            secret.reveal()
        except ConfigError as error:
            if planned is None or (row is not None and row["error_class"] == "ConfigError"):
                yield problem(source.name, f"{key}: {error}")
            elif secret.place.startswith("file "):
                yield warning(source.name, f"{key}: {error}", "the daemon reads it anew for each sync")
        yield from exposed(source.name, key, secret)
        if (at := ends.get(key)) is not None and at < now + SOON:
            renew = f"renew {key} ({secret.place})"
            if planned is not None and secret.place.startswith("env "):
                renew += " and restart the daemon"
            if at <= now:
                yield problem(source.name, f"{key} expired {length(now - at)} ago", renew)
            else:
                yield warning(source.name, f"{key} expires in {length(at - now)}", renew)


def _last_sync(source: Source, row: Health) -> Iterator[Finding]:
    name, kind, error = source.name, row["error_class"], row["error"]
    if error is not None and not (kind == "ConfigError" and row["last_outcome"] == "failed"):
        failures = row["failures_since_good"]
        lasting = kind in ("AuthenticationError", "UnexpectedResponse", "NotFound") or failures >= PATIENCE
        times = f" ({failures} syncs in a row)" if failures > 1 else ""
        wrong = problem if row["last_outcome"] == "failed" and lasting and kind != "RateLimited" else warning
        yield wrong(name, f"{error}{times}", advice(source, kind))
    elif error is not None:
        yield problem(name, error)
    if row["unreadable"]:
        text = f"{some(row['unreadable'], 'list item')} of the last sync could not be read and {_were(row)} left out"
        yield warning(name, text, "the vendor's answers are not as documented: the connector needs a change")
    if row["waited_ms"] >= 60_000 and kind != "RateLimited":
        waited = length(timedelta(milliseconds=row["waited_ms"]))
        todo = f"give source {name} `requests_per_hour` or a longer `every`"
        yield warning(name, f"the last sync waited {waited} for the vendor's limits", todo)


def _were(row: Health) -> str:
    return "was" if row["unreadable"] == 1 else "were"


def _unseen(source: Source, through: datetime | None, daemon: Running | None, now: datetime) -> Finding:
    if through is None:
        return warning(source.name, "it was not yet seen in full", "the next syncs go on: runlake status")
    text = f"seen through {show.local(through, seconds=False)} {show.zone()}, which is {length(now - through)} ago"
    if daemon is not None:
        return warning(source.name, text, "runlake status tells what its syncs met")
    return warning(source.name, text, "runlake sync; if it is synced less often on purpose, say so as its `every`")


def _clocks(sources: Sequence[Source], known: dict[str, Health]) -> list[Finding]:
    """The vendors' clocks against ours: if all are off by the same, it is ours."""
    told = [(source, row["skew_s"]) for source in sources if (row := known.get(source.name)) is not None]
    skews = [(source, skew) for source, skew in told if skew is not None]
    off = [(source, skew) for source, skew in skews if abs(skew) > SKEW]
    hosts = {source.build().settings.base_url.host for source, _ in skews}
    by = sorted(skew for _, skew in off)
    if off and len(off) == len(skews) and len(hosts) > 1 and by[-1] - by[0] <= SKEW:
        apart = length(timedelta(seconds=by[len(by) // 2]))
        text = f"ours is {apart} {'behind' if by[0] > 0 else 'ahead'}, say {len(hosts)} vendors"
        return [problem("clock", text, "set it: timedatectl set-ntp true")]
    if len(hosts) > 1:
        whose, todo = "other vendors agree with our clock", "tell the vendor; no run is lost by it"
    else:
        whose, todo = "one of the two is wrong", "compare `date -u` with a third"
    found = []
    for source, skew in off:
        apart = f"{length(timedelta(seconds=skew))} {'ahead of' if skew > 0 else 'behind'} ours"
        found.append(warning(source.name, f"the vendor's clock is {apart}: {whose}", todo))
    return found
