"""Vendors' words in a message: on one line, bounded, and without power over whatever shows them."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from runlake.formats import clean

LONGEST_LINK = 500

# What mail and chat take for more than text, and the character that they must see for that: mentions (`@channel`,
# `<!everyone>`, `<@U1>`), tags, links that hide where they lead (`[text](address)`), fences and spoilers that would
# swallow what follows. An invisible space behind it takes the power and leaves the words.
_POWERFUL = re.compile(r"@|<(?=\S)|\](?=[(\[:])|`(?=`)|\|(?=\|)")
_INVISIBLE = "\u200b"

_NO_ESCAPE = re.compile("%(?![0-9a-f]{2})", re.IGNORECASE)

_HOST = re.compile(r"(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?", re.IGNORECASE)


def quoted(text: str, most: int) -> str:
    """`text` on one line of at most `most` characters, fit for plain text; HTML escapes it besides."""
    line = " ".join(clean(text[: most * 8]).split())
    return cut(_POWERFUL.sub(rf"\g<0>{_INVISIBLE}", line), most)


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def link(url: str | None) -> str | None:
    """The address as something that may be clicked, in ASCII; None for what is none of http or https, hides its host
    behind a name (`https://known.example@other.example`), or is endless."""
    if url is None or len(url) > LONGEST_LINK or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc):
        return None
    # Without @, <, >, quotes and brackets, which browsers take escaped as well and chats take for more than text.
    url = _NO_ESCAPE.sub("%25", url)
    safe = quote(url, safe="%:/?#!$&+,;=~[]" if parts.netloc.startswith("[") else "%:/?#!$&+,;=~", errors="replace")
    return safe if len(safe) <= LONGEST_LINK else None
