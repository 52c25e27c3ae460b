"""The ledger's file: there, whole, on a disk of our own with room."""

from __future__ import annotations

import shutil
from pathlib import Path

from runlake.cli.doctor.finding import Finding, fine, problem, warning
from runlake.cli.running import Running
from runlake.errors import StoreError
from runlake.store import network_filesystem, published_path
from runlake.store.database import FREE_FLOOR, connect, require_there

NEAR_FLOOR = 4 * FREE_FLOOR


def findings(database: Path, daemon: Running | None) -> list[Finding]:
    folder = database.absolute().parent
    if not folder.is_dir():
        return [problem("ledger", f"there is no folder {folder}", "make it, or change `database` in the config")]
    size = database.stat().st_size if database.exists() else 0
    found = [*_place(database), *_space(folder, size), *_file(database, daemon)]
    if not any(each.wrong for each in found):
        free = shutil.disk_usage(folder).free
        found.append(fine("ledger", f"{size / 2**20:,.1f} MiB, and {free / 2**30:,.1f} GiB free on its disk"))
    return found


def _place(database: Path) -> list[Finding]:
    if (kind := network_filesystem(database)) is None:
        return []
    return [
        warning(
            "ledger",
            f"it lies on a network file system ({kind}), where two processes may write at once",
            "move it to a local disk, and name its place as `database` in the config",
        )
    ]


def _space(folder: Path, size: int) -> list[Finding]:
    free = shutil.disk_usage(folder).free
    left = f"{free // 2**20} MiB are free on the disk of {folder}"
    if free < FREE_FLOOR:
        return [
            problem(
                "ledger", f"{left}; runlake stops writing below {FREE_FLOOR // 2**20} MiB", "free some space or move it"
            )
        ]
    if free < max(NEAR_FLOOR, size + FREE_FLOOR):
        needed = f"runlake stops writing below {FREE_FLOOR // 2**20} MiB, and a copy for readers takes up to "
        return [warning("ledger", f"{left}; {needed}{size // 2**20} MiB", "free some space or move it")]
    return []


def _file(database: Path, daemon: Running | None) -> list[Finding]:
    try:
        if published_path(database).exists():
            require_there(database)
        if daemon is not None:
            tried = "the daemon goes on by itself, at most five minutes after the cause is gone"
            return [problem("ledger", daemon.ledger_error, tried)] if daemon.ledger_error is not None else []
        if not database.exists():
            return [warning("ledger", "nothing has been synced yet", "runlake sync, or runlake daemon")]
        connect(database, read_only=True).close()
    except StoreError as error:
        # Held by a `runlake sync`, say, which is well; or by a daemon that does not answer.
        return [(warning if " is in use by " in str(error) else problem)("ledger", str(error))]
    return []
