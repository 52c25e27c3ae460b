"""Whom to trust."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def tls() -> ssl.SSLContext:
    """The certificates to trust, read once: reading them takes 23 ms, 300 times the rest of making a client, and the
    daemon makes one for each sync."""
    return httpx.create_ssl_context()
