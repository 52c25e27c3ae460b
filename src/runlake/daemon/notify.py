"""Telling systemd how the daemon stands: sd_notify(3), a datagram to the socket that it names. Without one, nothing."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """`READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`; several are parted by line ends."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending, suppress(OSError):
        sending.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
