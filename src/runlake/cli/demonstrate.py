"""`runlake demo`: the whole of runlake in under half a minute, on simulated vendors."""

from __future__ import annotations

import asyncio
import shutil
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from runlake import config
from runlake.alerts.turn import turn
from runlake.cli import DONE, SOURCE_FAILED, show, syncing
from runlake.cli.once import Done, Go, side_by_side
from runlake.cli.progress import Live
from runlake.config import Config, Source
from runlake.model import RunStatus
from runlake.store import Store, Sync
from runlake.store.query import Reader
from runlake.sync import sync

if TYPE_CHECKING:
    from runlake.demo import Demo

COLUMNS = ("source", "new", "changed", "open", "unknown", "requests", "seconds")


def demo(folder: Path) -> int:
    """Returns the exit code."""
    from runlake import demo as world  # noqa: PLC0415 (brings the emulator with it, which nothing else needs)

    say = sys.stdout.write
    say("Everything here is simulated: six emulated vendors on 127.0.0.1, no account, no run is real.\n\n")
    with world.running(folder) as running:
        loaded = config.load(running.config)
        say(f"1. First sync of the last {world.HISTORY.days} days. It is {_at(running.clock.now())}, simulated.\n\n")
        failed = _round(loaded, running, [])
        before = running.clock.now()
        known = set(running.handles())
        _alerts(loaded, running, world.FRAIL.vendor, world.FRAIL.name)
        running.a_day_later()
        say(f"\n3. A simulated day later, {_at(running.clock.now())}: what is new, and what has changed.\n\n")
        failed |= _round(loaded, running, [handle for handle in running.handles() if handle not in known])
        with Reader(loaded.database) as reader:
            final = [status.value for status in RunStatus if status.is_final]
            rows = reader.read(world.CHANGES, final=final, since=before)
            columns = ("source", "finished", "reran", "vanished", "new_word")
            say("\n   What became of runs that were known the day before (new_word: a status nobody documented):\n\n")
            show.table(columns, [[row[name] for name in columns] for row in rows])
            for number, (title, query) in enumerate(world.QUESTIONS, 4):
                say(f"\n{number}. {title}\n\n")
                answer = reader.ask(query)
                show.table(answer.columns, answer.rows())
            _report(reader, loaded, running.clock.now(), folder, len(world.QUESTIONS) + 4)
    command = _command()
    option = f"{command} -c {running.config}"
    say(
        f"\nThe simulated vendors are gone; their ledger stays in {folder}. Ask it something else:\n\n"
        f'  {option} status\n  {option} sql "FROM latest_runs"\n  {option} sql "SHOW TABLES"\n\n'
        f"Then your own vendors: {command} connectors, then with init, check and daemon in its place\n"
    )
    return SOURCE_FAILED if failed else DONE


def _alerts(loaded: Config, running: Demo, vendor: str, pipeline: str) -> None:
    """Looks three times at a pipeline that fails, fails again and recovers; shows what its channel was sent."""
    say = sys.stdout.write
    say(f"\n2. Alerts, as a webhook gets them: {pipeline} fails, fails again, and recovers.\n")
    [source] = loaded.select([vendor])

    async def look() -> None:
        async with Store(loaded.database) as store:
            await sync(source, store, now=running.clock.now)
            await turn(store, loaded, running.clock.now)

    asyncio.run(look())  # what failed until now is history
    for happens, at in zip(("it fails", "it fails again", "it recovers"), running.trouble, strict=True):
        running.clock.set(at)
        asyncio.run(look())
        say(f"\n   {_at(at)}, {happens}{':' if running.inbox else ': no message, for that has been told'}\n")
        while running.inbox:
            message = running.inbox.pop(0)
            lines = f"{message['title']}\n\n{message['text']}".splitlines()
            say("".join(f"   | {show.clean(line)}".rstrip() + "\n" for line in lines))


def _report(reader: Reader, loaded: Config, now: datetime, folder: Path, number: int) -> None:
    """Of the last three days, beside the three before: there is no more history than that."""
    from runlake.report import formats  # noqa: PLC0415 (charts take a second to load)
    from runlake.report.brief import brief  # noqa: PLC0415
    from runlake.report.gather import build  # noqa: PLC0415
    from runlake.report.period import period  # noqa: PLC0415
    from runlake.report.scope import Scope  # noqa: PLC0415

    since = (now - timedelta(days=2)).date().isoformat()
    made = build(reader, loaded, period(since=since, zone=ZoneInfo("UTC"), now=now, as_of=now), Scope())
    page = folder / "report.html"
    page.write_text(formats.render(made, formats.Format.HTML), encoding="utf-8")
    sys.stdout.write(f"\n{number}. The report on the last three days, as a page to open: {page}\n\n")
    sys.stdout.write("".join(f"   | {show.clean(line)}".rstrip() + "\n" for line in brief(made).splitlines()))


def _command() -> str:
    """What to type for `runlake` here: `make demo` installs it where no shell looks."""
    typed = sys.argv[0]
    return typed if shutil.which("runlake") is None and Path(typed).name == "runlake" else "runlake"


def _round(loaded: Config, running: Demo, handles: list[tuple[str, str]]) -> bool:
    """Syncs all sources; True where one failed."""
    with Live([source.name for source in loaded.source]) as live:

        async def one(go: Go, source: Source) -> Sync:
            named = [handle for name, handle in handles if name == source.name]
            if named:
                row, _ = await go.track(source, named, live.on)
                return row
            return await go.sync(source, live.on)

        done: list[Done[Sync]] = asyncio.run(
            side_by_side(loaded.database, loaded.source, syncing.reported(live, one), now=running.clock.now)
        )
    rows = [syncing.row(one_done.result, one_done.seconds) for one_done in done]
    show.table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
    for one_done in done:
        syncing.tell(one_done.source, one_done.result)
    return any(one_done.result.error for one_done in done)


def _at(instant: datetime) -> str:
    return f"{show.local(instant, seconds=False)} {show.zone()}"
