"""The ledger's files: copied, put in each other's place, and found, without losing DuckDB's lock on the way."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

_CHUNK = 8 * 1024 * 1024


def copy(source: Path, target: Path) -> None:
    """Copies the bytes of a file; what is begun is removed where that fails.

    A file that this process has open is read through that descriptor. DuckDB's lock is a POSIX one: a process loses it
    as soon as it closes any descriptor of the file, and another process may then write beside it.
    """
    opened = _descriptor(source)
    try:
        if opened is None:
            shutil.copyfile(source, target)
        else:
            with target.open("wb") as file:
                while chunk := os.pread(opened, _CHUNK, file.tell()):
                    file.write(chunk)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _descriptor(path: Path) -> int | None:
    """One that this process has of the file, if any."""
    wanted, known = path.stat(), Path("/dev/fd")
    for name in [each.name for each in known.iterdir()] if known.exists() else []:
        with suppress(OSError):  # closed meanwhile
            if os.path.samestat(os.fstat(int(name)), wanted):
                return int(name)
    return None


def like(source: Path, target: Path) -> None:
    """Gives `target` the mode and owner of `source`, so that whoever could use that can use this, and has its bytes on
    the disk."""
    known = source.stat()
    shutil.copymode(source, target)
    if os.geteuid() == 0:  # `sudo runlake restore` must not leave a ledger that the service's user cannot open
        os.chown(target, known.st_uid, known.st_gid)
    safe(target)


def put(fresh: Path, target: Path) -> None:
    """Puts a finished file in the place of another, or of none; killed at any moment, either is there whole."""
    os.replace(fresh, target)  # noqa: PTH105 (the call that is atomic by contract)
    safe(target.parent)


def safe(path: Path) -> int:
    """Has a file's bytes, or a folder's names, on the disk; returns its size."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
        return os.fstat(opened).st_size
    finally:
        os.close(opened)


def discard(fresh: Path) -> None:
    """Removes a database that was begun, and its log."""
    for left in (fresh, wal(fresh)):
        left.unlink(missing_ok=True)


def wal(path: Path) -> Path:
    """Where DuckDB keeps what is committed and not yet in the file; beside the file itself where `path` is a link."""
    real = path.resolve()
    return real.with_name(f"{real.name}.wal")
