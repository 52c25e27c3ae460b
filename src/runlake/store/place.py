"""Where the ledger lies: still the file that was opened, with room for another like it, and on which file system."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from runlake.errors import StoreError
from runlake.store.database import FREE_FLOOR, recovery

_MOUNTS = Path("/proc/mounts")
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|afs|ceph|lustre|gpfs|beegfs|glusterfs|ncpfs|davfs|virtiofs|vboxsf"
    r"|fuse\.(sshfs|glusterfs|ceph|s3fs|rclone|davfs2?|smbnetfs|gcsfuse|blobfuse2?|juicefs)"
)

Identity = tuple[int, int]
"""Which file it is, whatever it is called: the numbers of its device and its inode."""


def identity(path: Path) -> Identity:
    found = path.stat()
    return found.st_dev, found.st_ino


def is_same(path: Path, opened: Identity) -> bool:
    try:
        return identity(path) == opened
    except OSError:
        return False


def require_same(path: Path, opened: Identity) -> None:
    """Raises StoreError unless the file that was opened still lies at `path`: what is written to a file that was
    removed or moved away is lost when it is closed."""
    if is_same(path, opened):
        return
    if not path.exists():
        raise StoreError(f"{path} was removed while it was in use: nothing more is written; {recovery(path)}")
    raise StoreError(
        f"{path} was replaced by another file while it was in use: nothing more is written before that one is opened; "
        "a daemon does so by itself, a command has to be run again"
    )


def require_room(path: Path, size: int, advice: str = "free some space and try again") -> None:
    """Raises StoreError, ending in `advice`, unless `size` more bytes fit beside `path` and the floor stays free."""
    free = shutil.disk_usage(path.parent).free
    if free < size + FREE_FLOOR:
        raise StoreError(
            f"{path}: a copy takes {size // 2**20} MiB, and {free // 2**20} MiB are free on its disk, of which "
            f"{FREE_FLOOR // 2**20} must stay; {advice}"
        )


def network_filesystem(path: Path) -> str | None:
    """The kind of network file system that `path` lies on, or None. DuckDB's lock does not hold on them: two processes
    may write at once. None too where the system does not tell (it does on Linux)."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    real = path.resolve()
    kind, depth = "", -1
    for line in mounts:
        _, point, name, *_ = line.split(" ")
        mounted = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point))
        if real.is_relative_to(mounted) and len(mounted.parts) >= depth:
            kind, depth = name, len(mounted.parts)
    return kind if _NETWORK.fullmatch(kind) else None
