"""One picture of what runs, waits and fails now at all vendors, as lines of a given width and number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.text import Text

from runlake.cli import show
from runlake.cli.looking.layout import Column, Line, lay_out
from runlake.cli.looking.runs import lasts
from runlake.cli.running import Running
from runlake.formats import lasting
from runlake.model import RunStatus
from runlake.store.query import Freshness, Reader

LATELY = timedelta(hours=24)
"""What failed in this time is shown; of runs that began up to LONGEST before it."""

LONGEST = timedelta(days=7)

STALE = timedelta(minutes=10)

MOST = 200
"""Rows that are read of a list: more than any screen has."""

WITHOUT_A_SCREEN = 20
"""Rows of each list where nothing says how many there is room for."""

_LATELY = "vanished_at IS NULL AND created_at >= $created AND coalesce(finished_at, created_at) >= $ended"
_SOURCES = f"""
SELECT p.source, p.observed_through, coalesce(o.waiting, 0) AS waiting, coalesce(o.running, 0) AS running,
       coalesce(o.queued, 0) AS queued, coalesce(o.unknown, 0) AS unknown, coalesce(r.failure, 0) AS failure,
       coalesce(r.success, 0) AS success
FROM published p
LEFT JOIN (SELECT source, count(*) FILTER (status = 'waiting') AS waiting,
                  count(*) FILTER (status = 'running') AS running, count(*) FILTER (status = 'queued') AS queued,
                  count(*) FILTER (status = 'unknown') AS unknown
           FROM open_runs GROUP BY source) o USING (source)
LEFT JOIN (SELECT source, count(*) FILTER (outcome = 'failure') AS failure,
                  count(*) FILTER (outcome = 'success') AS success
           FROM runs WHERE {_LATELY} GROUP BY source) r USING (source)
WHERE p.source IS NOT NULL ORDER BY p.source
"""  # noqa: S608
_OPEN = """
SELECT source, coalesce(pipeline_name, pipeline_id) AS pipeline, status, vendor_status, created_at, started_at,
       duration_ms, run_id
FROM open_runs WHERE list_contains($statuses, status) ORDER BY coalesce(started_at, created_at), run_key LIMIT $most
"""
_FAILED = f"""
SELECT source, coalesce(pipeline_name, pipeline_id) AS pipeline, status, coalesce(finished_at, created_at) AS ended_at,
       coalesce(error_message, error_code) AS why
FROM runs WHERE outcome = 'failure' AND {_LATELY} ORDER BY ended_at DESC, run_key LIMIT $most
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Seen:
    """What a published copy shows: each list as its first rows, counted in full in `sources`."""

    fresh: Freshness
    sources: list[dict[str, Any]]
    waiting: list[dict[str, Any]]
    going: list[dict[str, Any]]
    failed: list[dict[str, Any]]

    def count(self, *names: str) -> int:
        return sum(int(row[name]) for row in self.sources for name in names)


def see(reader: Reader) -> Seen:
    fresh = reader.freshness()
    ended = fresh.as_of - LATELY
    times = {"ended": ended, "created": ended - LONGEST}
    return Seen(
        fresh,
        reader.read(_SOURCES, **times),
        reader.read(_OPEN, statuses=["waiting"], most=MOST),
        reader.read(_OPEN, statuses=["running", "queued", "unknown"], most=MOST),
        reader.read(_FAILED, most=MOST, **times),
    )


def frame(seen: Seen, daemon: Running | None, now: datetime, width: int, height: int | None) -> list[Text]:
    """`height`: the lines that there are; None: no screen, and so a few rows of each list."""
    lines = [*_head(seen, now), *_of_daemon(daemon)]
    as_of = seen.fresh.as_of
    going = seen.count("running", "queued", "unknown")
    sections = [
        _section(
            f"Sources: {len(seen.sources)} (failed, succeeded: in 24 h)",
            _SOURCES_SHOW,
            [_of_source(r, daemon, now) for r in seen.sources],
        ),
        _section(f"Waiting: {seen.count('waiting'):,}", _OPEN_SHOW, [_of_open(row, as_of) for row in seen.waiting]),
        _section(f"Going on: {going:,}", _OPEN_SHOW, [_of_open(row, as_of) for row in seen.going]),
        _section(
            f"Failed in 24 h: {seen.count('failure'):,}", _failed_show(), [_of_failed(r, now) for r in seen.failed]
        ),
    ]
    sections = [each for each in sections if each[2]]
    room = None if height is None else height - len(lines) - 3 * len(sections)
    rows = share([len(each[2]) for each in sections], room)
    for (title, columns, all_rows), most in zip(sections, rows, strict=True):
        if most:
            lines += [Text(), title, *lay_out(columns, all_rows[:most], width)]
    if not any((seen.waiting, seen.going, seen.failed)):
        lines += [Text(), Text("nothing runs or waits, and nothing has failed in 24 h")]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines if height is None else lines[:height]


def share(wanted: Sequence[int], room: int | None) -> list[int]:
    """How many rows each list gets of `room`: as many as it has, or an even part and what others leave over."""
    if room is None:
        return [min(each, WITHOUT_A_SCREEN) for each in wanted]
    given = [0] * len(wanted)
    for _ in range(max(0, room)):
        short = [at for at in range(len(wanted)) if given[at] < wanted[at]]
        if not short:
            break
        given[min(short, key=lambda at: given[at])] += 1
    return given


def _section(title: str, columns: list[Column], lines: list[Line]) -> tuple[Text, list[Column], list[Line]]:
    return Text(title, style="bold"), columns, lines


# --- what it is of ---------------------------------------------------------------------------------------------------


def _head(seen: Seen, now: datetime) -> list[Text]:
    age = now - seen.fresh.as_of
    line = Text(f"as of {_clock(seen.fresh.as_of, now)} {show.zone()}, ")
    line.append(f"{lasting(age)} ago", style="yellow" if age > STALE else "")
    unseen = sorted(name for name, at in seen.fresh.observed_through.items() if at is None)
    if unseen:
        return [line, Text(show.clean(f"not yet seen in full: {', '.join(unseen)}"), style="yellow")]
    through = [at for at in seen.fresh.observed_through.values() if at is not None]
    return [line, *([Text(f"every source seen through {_clock(min(through), now)}")] if through else [])]


def _of_daemon(daemon: Running | None) -> list[Text]:
    if daemon is None:
        return [Text("no daemon runs; see: runlake sync", style="dim")]
    errors = (
        ("the ledger", daemon.ledger_error),
        ("publishing", daemon.publish_error),
        ("alerting", daemon.alerting_error),
    )
    wrong = [Text(show.clean(f"{what} fails: {error}"), style="red") for what, error in errors if error is not None]
    return wrong or [Text("the daemon polls" if daemon.polling else "the daemon does not poll", style="dim")]


def _clock(at: datetime, now: datetime) -> str:
    """A time of the reader's day; of another, with its date."""
    text = show.local(at, seconds=False)
    day, _, time = text.partition(" ")
    return time if day == show.local(now, seconds=False).partition(" ")[0] else text


# --- its lists -------------------------------------------------------------------------------------------------------

_SOURCES_SHOW = [
    Column("source", least=8),
    Column("waiting", right=True, goes=2),
    Column("running", right=True),
    Column("queued", right=True, goes=4),
    Column("unknown", right=True, goes=5),
    Column("failed", right=True),
    Column("succeeded", right=True, goes=3),
    Column("seen through", right=True, goes=6),
]
_OPEN_SHOW = [
    Column("lasts", right=True),
    Column("source", least=8, goes=1),
    Column("pipeline", least=12),
    Column("status", styled=True, goes=2),
    Column("vendor says", least=8, goes=4),
    Column("run", least=12, goes=3),
]


def _failed_show() -> list[Column]:
    return [
        Column(f"ended ({show.zone()})", right=True, goes=3),
        Column("source", least=8, goes=2),
        Column("pipeline", least=12),
        Column("status", styled=True, goes=4),
        Column("why", least=16, goes=1),
    ]


def _of_source(row: dict[str, Any], daemon: Running | None, now: datetime) -> Line:
    planned = daemon.sources.get(row["source"]) if daemon is not None else None
    through = row["observed_through"]
    seen = "not yet in full" if through is None else _clock(through, now)
    if planned is not None and planned.down_since is not None:
        seen = f"down since {_clock(planned.down_since, now)}"
    counts = [row[name] for name in ("waiting", "running", "queued", "unknown", "failure", "success")]
    return Line([row["source"], *(f"{count:,}" if count else "" for count in counts), seen])


def _of_open(row: dict[str, Any], as_of: datetime) -> Line:
    word = row["vendor_status"] if row["vendor_status"].lower() != row["status"] else ""
    status = row["status"] if row["status"] != RunStatus.WAITING else ""  # says the title
    return Line([lasts(row, as_of), row["source"], row["pipeline"], status, word, row["run_id"]])


def _of_failed(row: dict[str, Any], now: datetime) -> Line:
    return Line([_clock(row["ended_at"], now), row["source"], row["pipeline"], row["status"], row["why"] or ""])
