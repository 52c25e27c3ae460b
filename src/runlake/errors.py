"""Every error that runlake raises on purpose: one class per different reaction.

RunlakeError
├── ConfigError               the file, the command or the query is wrong: say where and what to write
│   ├── TooLarge              it asks for more memory, rows or bytes than it may have: ask for less
│   └── TooSlow               it was stopped at its deadline: ask for less
├── Busy                      as many queries as may run do run: ask again after `retry_after`
├── DeliveryError             a channel did not take a message: try again, or tell its owner
├── StoreError                our own database refuses: stop writing, say how to recover
└── SourceError               one source failed; the others carry on
    ├── AuthenticationError   never retry: a person must change a secret
    ├── RateLimited           wait `retry_after`, which the vendor chose
    ├── Unavailable           try again at the next tick
    │   └── Unreachable       the host itself does not answer: ask it nothing more this time
    ├── NotFound              this run is gone, or was never there
    └── UnexpectedResponse    the vendor's shape moved: we must change code
"""

from __future__ import annotations


class RunlakeError(Exception):
    """Base of all below; its text is one line fit for a terminal."""


class ConfigError(RunlakeError):
    pass


class TooLarge(ConfigError):
    pass


class TooSlow(ConfigError):
    pass


class Busy(RunlakeError):
    """`retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeliveryError(RunlakeError):
    """`again` says whether the same message may be taken later; `retry_after` is in seconds, where the channel named a
    time. `taken`: others did take it, so that it is not sent again: one of many recipients was refused."""

    def __init__(self, message: str, *, again: bool, retry_after: float | None = None, taken: bool = False) -> None:
        super().__init__(message)
        self.again, self.taken = again, taken
        self.retry_after = retry_after


class StoreError(RunlakeError):
    pass


class SourceError(RunlakeError):
    pass


class AuthenticationError(SourceError):
    pass


class RateLimited(SourceError):
    """`retry_after` is in seconds; None where the vendor named no time."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(SourceError):
    """`retry_after` is in seconds, where the vendor named a time (503 may)."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(Unavailable):
    pass


class NotFound(SourceError):
    pass


class UnexpectedResponse(SourceError):
    pass
