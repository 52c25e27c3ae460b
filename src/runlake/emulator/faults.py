"""What can go wrong between a poller and a vendor, drawn from a seed or on command.

Request faults replace or mangle an answer; row faults distort the rows of a list answer. Neither touches the truth.
"""

import random
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum, auto


class Fault(StrEnum):
    # the whole answer
    RATE_LIMITED = auto()
    RATE_LIMITED_DATE = auto()
    SERVER_ERROR = auto()
    UNAVAILABLE = auto()
    TIMEOUT = auto()
    CUT_BODY = auto()
    TRUNCATED_JSON = auto()
    HTML_PAGE = auto()
    SLOW_BYTES = auto()
    EXPIRED_TOKEN = auto()
    FOREIGN_NEXT = auto()
    REDIRECT = auto()
    OVERSIZED = auto()
    # the rows of a list answer
    SHIFTING_ROWS = auto()
    DUPLICATE_ROWS = auto()
    MISSING_ROWS = auto()
    UNKNOWN_WORD = auto()
    NULLS = auto()
    MISSING_FIELD = auto()
    HUGE_FIELD = auto()
    UNSORTED_PAGE = auto()


ROW_FAULTS = frozenset(
    {
        Fault.SHIFTING_ROWS,
        Fault.DUPLICATE_ROWS,
        Fault.MISSING_ROWS,
        Fault.UNKNOWN_WORD,
        Fault.NULLS,
        Fault.MISSING_FIELD,
        Fault.HUGE_FIELD,
        Fault.UNSORTED_PAGE,
    }
)
REQUEST_FAULTS = frozenset(Fault) - ROW_FAULTS
UNDOCUMENTED_WORD = "hibernating"


class Faults:
    """A share ``rate`` of requests meets one of ``kinds``, until ``limit`` faults have happened.

    A fault that does not fit the request (a row fault on a detail answer) does not happen and is not counted.
    ``happened`` counts those that did.
    """

    def __init__(
        self,
        seed: int = 0,
        rate: float = 1.0,
        kinds: Iterable[Fault] = (),
        limit: int | None = None,
        *,
        timeout_s: float = 30.0,
        slow_s: float = 5.0,
        retry_after_s: int = 1,
        expired_requests: int = 3,
        oversized_mb: float = 64.0,
        foreign_url: str = "http://127.0.0.1:9",
    ) -> None:
        self.seed = seed
        self.rate = rate
        self.kinds = sorted(set(kinds))
        self.limit = limit
        self.timeout_s = timeout_s
        self.slow_s = slow_s
        self.retry_after_s = retry_after_s
        self.expired_requests = expired_requests
        self.oversized_mb = oversized_mb
        self.foreign_url = foreign_url
        self.happened: Counter[Fault] = Counter()
        self.refusals_left = 0  # requests still to be told that their token has expired
        self._drawn = 0

    def clear(self) -> None:
        """Stop: from now on every answer is as documented."""
        self.kinds = []
        self.refusals_left = 0

    def draw(self) -> tuple[Fault | None, random.Random]:
        """The fault for the next request, if any, and the randomness to carry it out with."""
        self._drawn += 1
        rng = random.Random(f"{self.seed}|{self._drawn}")  # noqa: S311 - not a secret
        if not self.kinds or (self.limit is not None and self.happened.total() >= self.limit):
            return None, rng
        return (rng.choice(self.kinds) if rng.random() < self.rate else None), rng
