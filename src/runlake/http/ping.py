"""A sign of life to an address that the user configured: one GET, its answer unread."""

from __future__ import annotations

import httpx

from runlake import __version__
from runlake.http.answer import cause_of, clean

TIMEOUT_S = 10.0


async def ping(url: str) -> str | None:
    """None, or in words why it failed, without a word of the address, which is a secret. Follows no redirect."""
    agent = {"User-Agent": f"runlake/{__version__}"}
    try:
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_S, headers=agent) as client,
            client.stream("GET", url) as response,
        ):
            return None if response.is_success else f"its host answers HTTP {response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return clean(cause_of(error).replace(url, "[secret]")) or type(error).__name__
