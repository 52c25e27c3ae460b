"""Reading an answer: what can be read of it, and what to say where it cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from runlake.errors import Unavailable, UnexpectedResponse
from runlake.formats import clean

T = TypeVar("T")


def parse(content: bytes, into: type[T], where: str) -> tuple[T, int]:
    """The answer, validated, and how many list items of it could not be read and were left out.

    Raises Unavailable for what is not JSON, UnexpectedResponse for JSON of another shape.
    """
    adapter = adapter_of(into)
    try:
        return adapter.validate_json(content), 0
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] == "json_invalid":
            content = _repaired(content, where)
            try:
                return adapter.validate_json(content), 0
            except ValidationError as again:
                error = again
        return _without_bad_items(adapter, content, error, where)


def adapter_of(into: type[T]) -> TypeAdapter[T]:
    return cast(TypeAdapter[T], _cached_adapter(cast(Hashable, into)))


@cache
def _cached_adapter(into: Any) -> TypeAdapter[Any]:
    return TypeAdapter(into)


def _without_bad_items(adapter: TypeAdapter[T], content: bytes, error: ValidationError, where: str) -> tuple[T, int]:
    """The answer less the innermost list items that do not validate. One bad row must not cost its page."""
    try:
        data: Any = from_json(content)
    except ValueError:  # nested deeper than the parser goes
        raise UnexpectedResponse(f"{where}: {_problem(error)}") from None
    dropped = 0
    for _ in range(3):  # leaving out a step may show that its run is bad too
        bad: set[tuple[int | str, ...]] = set()
        for problem in error.errors(include_url=False, include_input=False):
            place = problem["loc"]
            last_index = max((i for i, part in enumerate(place) if isinstance(part, int)), default=None)
            if last_index is None:
                raise UnexpectedResponse(f"{where}: {_problem(error)}") from None
            bad.add(place[: last_index + 1])
        for place in sorted(bad, key=lambda p: (len(p), p[-1]), reverse=True):
            try:
                holder = data
                for part in place[:-1]:
                    holder = holder[part]
                del holder[place[-1]]
            except (KeyError, IndexError, TypeError):
                raise UnexpectedResponse(f"{where}: {_problem(error)}") from None
        dropped += len(bad)
        try:
            return adapter.validate_json(to_json(data)), dropped
        except ValidationError as again:
            error = again
    raise UnexpectedResponse(f"{where}: {_problem(error)}")


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"the answer's shape has changed: {place or 'it'}: {first['msg'].lower()}"


def _repaired(content: bytes, where: str) -> bytes:
    """JSON that the strict parser refuses but Python's reads: lone surrogates, which one row's text may hold."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise not_json(where, content) from None
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")


def not_json(where: str, content: bytes) -> Unavailable:
    if content.lstrip()[:1] == b"<":
        return Unavailable(f"{where}: an HTML page came instead of JSON (maintenance, or a wrong base_url)")
    if not content.strip():
        return Unavailable(f"{where}: the answer is empty")
    return Unavailable(f"{where}: the answer breaks off or is not JSON")


def reason_in(body: bytes) -> str:
    """What the vendor says went wrong: the first text under the keys that error envelopes use, else the body's head."""
    try:
        found = _say(from_json(body))
    except ValueError:
        text = body.decode("utf-8", "replace")
        found = re.sub(r"<[^>]*>", " ", text) if text.lstrip().startswith("<") else text
    return found


def _say(data: Any) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, list):
        return _say(data[0]) if data else ""
    if isinstance(data, dict):
        for key in ("message", "detail", "error", "msg", "title", "reason", "errors"):
            if data.get(key):
                return _say(data[key])
        return ", ".join(f"{key}: {_say(value)}" for key, value in list(data.items())[:3] if _say(value))
    return ""


def brief(text: str, most: int = 160) -> str:
    """Vendor text fit for one line of a terminal: without anything that it would obey, no runs of blanks, bounded."""
    text = " ".join(clean(text[: most * 8]).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def written(secrets: Iterable[str]) -> set[str]:
    """Each secret as it may be written: plain, in a URL, in JSON. Too short ones would redact ordinary words."""
    return {
        form
        for secret in secrets
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
        if len(form) >= 4
    }


def redact(text: str, secrets: Iterable[str]) -> str:
    for form in sorted(written(secrets), key=len, reverse=True):  # what holds another goes as a whole
        text = text.replace(form, "[secret]")
    return text


def date_in(text: str) -> datetime:
    """The date of a header. Raises ValueError and OverflowError."""
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def wait_in(retry_after: str, now: float) -> float | None:
    """Seconds to wait, from either form of Retry-After (RFC 9110 section 10.2.3); `now` by the clock that wrote it,
    which may be minutes off ours. None where it says neither."""
    value = retry_after.strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        return max(0.0, date_in(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def cause_of(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        why = re.sub(r"^.*verify failed: | \(_ssl\.c:\d+\)$", "", text)
        return f"its TLS certificate does not verify ({why})"
    return text
