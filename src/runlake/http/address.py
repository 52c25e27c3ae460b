"""Where a request may go, and what it may be called."""

from __future__ import annotations

from urllib.parse import quote

import httpx


def path(template: str, *parts: str | int) -> str:
    """`path("/runs/{}", id)`: fills in vendor ids so that none can climb out of its segment."""
    return template.format(*(_segment(str(part)) for part in parts))


def _segment(part: str) -> str:
    quoted = quote(part, safe="")
    return quoted.replace(".", "%2E") if part in (".", "..") else quoted


def origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def same_origin(a: httpx.URL, b: httpx.URL) -> bool:
    ports = {"http": 80, "https": 443}
    return (a.scheme, a.host, a.port or ports.get(a.scheme)) == (b.scheme, b.host, b.port or ports.get(b.scheme))
