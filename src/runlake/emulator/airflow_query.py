"""How Airflow reads query parameters, and what it answers to those it does not like. Measured on a 3.3.2 server."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request

from runlake.emulator.vendor import Row, whole

MAX_PAGE = 100
BOUNDS: dict[str, Callable[[datetime, datetime], bool]] = {
    "gte": lambda value, bound: value >= bound,
    "gt": lambda value, bound: value > bound,
    "lte": lambda value, bound: value <= bound,
    "lt": lambda value, bound: value < bound,
}


class Refused(Exception):
    """An answer other than 200, raised from deep inside a filter."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def paging(request: Request) -> tuple[int, int]:
    offset, limit = whole(request.query_params, "offset", 0), whole(request.query_params, "limit", 50)
    return _checked(offset, "offset", "query"), min(_checked(limit, "limit", "query"), MAX_PAGE)


def body_paging(body: Row) -> tuple[int, int]:
    offset, limit = body.get("page_offset", 0), body.get("page_limit", MAX_PAGE)
    return _checked(offset, "page_offset", "body"), min(_checked(limit, "page_limit", "body"), MAX_PAGE)


def _checked(value: Any, name: str, place: str) -> int:
    if isinstance(value, int) and value >= 0:
        return value
    message = "Input should be greater than or equal to 0"
    raise Refused(422, [{"type": "greater_than_equal", "loc": [place, name], "msg": message, "input": str(value)}])


def parsed(text: str, name: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        message = "Input should be a valid datetime"
        raise Refused(
            422, [{"type": "datetime_parsing", "loc": ["query", name], "msg": message, "input": text}]
        ) from None
    if instant.tzinfo is None:
        raise Refused(500, {"reason": "Database error", "statement": "hidden", "orig_error": "naive datetime"})
    return instant
