"""When the daemon judges and tells, by a clock that the test moves."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from runlake.emulator import Clock, Emulator
from sync.conftest import Stage

from .conftest import Account, configure, rehearsal

MINUTE = timedelta(minutes=1)


async def test_a_query_that_was_changed_is_asked_after_the_reload_however_seldom_it_is(
    stage: Stage, folder: Path
) -> None:
    stage.scene = emulator = Emulator(5, Clock(), pipelines=())
    account = Account(emulator, stage, folder)

    def asking(condition: str) -> Path:
        rule = f'[[rule]]\nkind = "sql"\nquery = "SELECT 1 AS one WHERE {condition}"\nkey = ["one"]\nevery = "1d"\n'
        return configure(folder, account.table("esper", 'every = "1m"'), rule)

    async with rehearsal(asking("false"), emulator.clock) as play:
        await play.pass_by(3 * MINUTE)
        assert play.said("alert.fired") == []
        asking("true")
        play.daemon.reload()
        await play.pass_by(MINUTE)
        [fired] = play.said("alert.fired")
        assert (fired["rule"], fired["key"]) == ("sql", "1")
