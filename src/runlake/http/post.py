"""A message to an address that the user configured: one POST, of whose answer only the status counts."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import unquote

import httpx

from runlake import __version__
from runlake.errors import DeliveryError
from runlake.http.answer import brief, cause_of, date_in, reason_in, redact, wait_in
from runlake.http.tls import tls

TIMEOUT_S = 10.0
"""To connect, and between one byte and the next."""

DEADLINE_S = 30.0
"""For the whole exchange: TIMEOUT_S alone would let a host that drips bytes hold up those after it."""

QUOTED_BYTES = 4096

LATER = {408, 425, 429}
"""Refusals that are over some time, as are all of 500 and more (RFC 9110 section 15, RFC 6585, RFC 8470)."""


async def post(url: str, body: bytes, headers: Mapping[str, str], secrets: Sequence[str] = ()) -> None:
    """Returns once the host has answered 2xx; follows no redirect, and sends nothing twice.

    Raises DeliveryError, whose text has neither the address nor any of `secrets`, also where the host answers them:
    `again` for what another time may mend (the network, TLS, 408, 425, 429, 5xx), with the Retry-After of the answer.
    After a lost answer nobody knows whether the message arrived.
    """
    if not is_web(url):
        raise DeliveryError("its address does not begin with https:// and a host: write all of it", again=False)
    hidden = [*secrets, *pieces(url)]
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            _client() as client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            if not response.is_success:
                raise await _refusal(response, hidden)
    except httpx.InvalidURL:
        raise DeliveryError("its address is no URL: write it anew", again=False) from None
    except TimeoutError:
        raise DeliveryError(f"its host did not answer within {DEADLINE_S:g} s", again=True) from None
    except (httpx.HTTPError, UnicodeError) as error:
        raise DeliveryError(f"cannot reach its host: {_cause(error, hidden)}", again=True) from None


async def ping(url: str) -> str | None:
    """A sign of life: one GET, its answer unread. None, or in words why it failed, without a word of the address, which
    is a secret. Follows no redirect."""
    try:
        async with _client() as client, client.stream("GET", url) as response:
            return None if response.is_success else f"its host answers HTTP {response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return _cause(error, pieces(url))


def is_web(url: str) -> bool:
    """Whether it is an address of http or https that is whole enough to be tried."""
    return re.fullmatch(r"https?://[^\s/]\S*", url, re.IGNORECASE) is not None


def pieces(url: str) -> list[str]:
    """What makes up an address that is a secret, longest first: all of it, and each part of it that may be one by
    itself, such as a token that is part of its path."""
    _, _, rest = url.partition("://")
    parts = {part for split in ("[/?&=,;#]", "[/?&=,;#:@+]") for part in re.split(split, rest) if len(part) >= 4}
    return sorted({url, rest, *parts, *map(unquote, parts)} - {""}, key=len, reverse=True)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=tls(),
        follow_redirects=False,
        timeout=TIMEOUT_S,
        # Uncompressed: a few bytes cannot become many.
        headers={"User-Agent": f"runlake/{__version__}", "Accept-Encoding": "identity"},
    )


async def _refusal(response: httpx.Response, hidden: Sequence[str]) -> DeliveryError:
    status = response.status_code
    if response.has_redirect_location:
        return DeliveryError(
            f"its host answers HTTP {status}, a redirect, which is not followed: write the address that it leads to",
            again=False,
        )
    head = b""
    with suppress(httpx.HTTPError):  # the status says enough, whatever becomes of the body
        async for chunk in response.aiter_raw():
            head += chunk
            if len(head) >= QUOTED_BYTES:
                break
    reason = brief(redact(reason_in(head[:QUOTED_BYTES]), hidden))
    now = time.time()
    with suppress(KeyError, ValueError, OverflowError):
        now = date_in(response.headers["date"]).timestamp()
    return DeliveryError(
        f"its host answers HTTP {status}" + (f" ({reason})" if reason else ""),
        again=status in LATER or status >= 500,
        retry_after=wait_in(response.headers.get("retry-after", ""), now),
    )


def _cause(error: Exception, hidden: Sequence[str]) -> str:
    return brief(redact(cause_of(error), hidden)) or type(error).__name__
