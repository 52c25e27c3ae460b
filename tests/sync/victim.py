"""Run as a program by test_crash: for each line it reads, a process that syncs as `runlake sync` does, to be killed.

The processes are forks of this one, which has imported everything and opened nothing: that makes fifty of them cheap.
Answers each line with the process's id, and another with its end: 0, or minus the signal.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from runlake.cli.once import Go, side_by_side
from runlake.config import Source
from runlake.connector import connectors
from runlake.store import Sync
from runlake.sync import intake


async def work(job: dict[str, Any]) -> None:
    # Several commits for a week's runs, where it would be one.
    intake.COMMIT_RUNS = job["commit_runs"]
    at = datetime.fromisoformat(job["now"])

    async def one(go: Go, source: Source) -> Sync:
        return await go.sync(source, None)

    sources = [Source.model_validate(source) for source in job["sources"]]
    await side_by_side(Path(job["database"]), sources, one, now=lambda: at)


def tell(word: int) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    connectors()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(work(json.loads(line)))
            # Not by the interpreter's own way out: it would wait for threads of imports that a fork does not have,
            # and with duckdb 1.5 abort.
            os._exit(0)
        tell(pid)
        tell(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
