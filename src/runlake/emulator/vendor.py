"""What all emulated vendors share: the truth they read, their request log, and where row faults enter a list."""

import json
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runlake.emulator.catalog import Pipeline
from runlake.emulator.clock import Clock
from runlake.emulator.faults import ROW_FAULTS, UNDOCUMENTED_WORD, Fault, Faults
from runlake.emulator.timeline import Run, State, StepView
from runlake.emulator.world import World, uuid

CANARY = "CANARY-PERSONAL"
"""Every value that stands for personal or secret content contains this; none of it may ever be stored."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrueRun:
    """What a perfect reader of this vendor would store, had it read everything at this instant.

    A field named in the vendor's ``unsaid`` cannot be learned from the wire: here it holds what really happened.
    ``status`` is the unified word, ``vendor_status`` the vendor's. A deleted run is as it was when deleted.
    """

    pipeline_id: str
    run_id: str
    status: str
    vendor_status: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_message: str | None
    step_count: int
    attempt: int
    visible: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it was answered; status 0 when the connection went away first."""

    method: str
    path: str
    query: str
    status: int
    fault: Fault | None


class RequestLog(list[Seen]):
    """Every request since the last ``reset()``, in the order of the answers."""

    def reset(self) -> None:
        self.clear()

    def statuses(self) -> Counter[int]:
        return Counter(seen.status for seen in self)

    def paths(self) -> Counter[str]:
        return Counter(seen.path for seen in self)


class Vendor(ABC):
    """One vendor. ``words`` gives for each state the vendor's word and the unified word it stands for."""

    name: ClassVar[str]
    words: ClassVar[Mapping[State, tuple[str, str]]]
    unsaid: ClassVar[frozenset[str]] = frozenset()
    # Where row faults strike in a list row.
    status_key: ClassVar[str] = "status"
    required_keys: ClassVar[tuple[str, ...]]
    text_key: ClassVar[str]
    precision: ClassVar[str] = "auto"  # of instants; auto is microseconds, dropped when zero, as Python servers do
    hands_out_tokens: ClassVar[bool] = False
    slash_redirect: ClassVar[int | None] = None

    def __init__(self, world: World, clock: Clock) -> None:
        self.world = world
        self.clock = clock
        self.skew = timedelta()
        self.faults = Faults()
        self.requests = RequestLog()
        self._listed: set[bytes] = set()
        self.app = Starlette(routes=self.routes(), exception_handlers={HTTPException: self._http_error})
        # Only a vendor whose framework is known to redirect to the slash does so.
        self.app.router.redirect_slashes = self.slash_redirect is not None

    @abstractmethod
    def routes(self) -> list[Route]: ...

    @abstractmethod
    def refusal(self, request: Request) -> Response | None:
        """The answer to a request whose credentials are not accepted; None when they are."""

    @abstractmethod
    def error(self, status: int, message: str) -> Response:
        """The vendor's error envelope."""

    @abstractmethod
    def settings(self, base_url: str) -> dict[str, Any]:
        """What a user of this vendor would configure; secrets as plain strings."""

    def expire(self) -> None:  # noqa: B027 - most vendors have nothing to forget
        """Forget what was handed out to clients, as a vendor does when it rotates its keys."""

    def reset(self) -> None:
        """Behave as documented again, with an empty log, and as if no client had ever asked."""
        self.skew = timedelta()
        self.faults = Faults()
        self.requests.reset()
        self._listed.clear()
        self.expire()

    # -- the truth ---------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.clock.now()

    def stamp(self, instant: datetime | None) -> str | None:
        """An instant on the wire, by this vendor's own clock."""
        if instant is None:
            return None
        return (instant + self.skew).isoformat(timespec=self.precision).replace("+00:00", "Z")

    def word(self, state: State) -> str:
        return self.words[state][0]

    def pipeline_id(self, pipeline: Pipeline) -> str:
        return uuid(self.world.seed, self.name, pipeline.name)

    def pipeline_named(self, pipeline_id: str) -> Pipeline | None:
        return next((p for p in self.world.pipelines(self.name) if self.pipeline_id(p) == pipeline_id), None)

    def run_id(self, run: Run) -> str:
        return uuid(self.world.seed, run.uid.hex())

    def lookup_key(self, run: Run) -> str:
        """What ``run_named`` finds a run by: its id, where that is unique at this vendor."""
        return self.run_id(run)

    def run_named(self, run_id: str, pipeline: Pipeline | None = None) -> Run | None:
        """The run with this id if it exists now."""
        now = self.now()
        if run_id not in self._ids:
            runs = self.world.every(self.name, now)
            if len(runs) != len(self._ids):
                self._ids = {self.lookup_key(run): run for run in runs}
        run = self._ids.get(run_id)
        if run is None or not run.exists_at(now) or (pipeline is not None and run.pipeline != pipeline.name):
            return None
        return run

    _ids: Mapping[str, Run] = {}

    def runs(self, pipeline: Pipeline | None = None) -> list[Run]:
        """What exists now, oldest first."""
        return self.world.runs(self.name, self.now(), pipeline.name if pipeline else None)

    def steps(self, run: Run, instant: datetime) -> list[StepView]:
        """The steps this vendor shows."""
        return run.steps(instant)

    def step_count(self, run: Run, instant: datetime) -> int:
        return len(self.steps(run, instant))

    def error_of(self, run: Run, instant: datetime) -> str | None:
        return run.at(instant).error

    def truth(self) -> list[TrueRun]:
        return [self.true(run) for run in self.world.every(self.name, self.now())]

    def true(self, run: Run) -> TrueRun:
        now = self.now()
        visible = run.exists_at(now)
        instant = now if visible or run.deleted_at is None else run.deleted_at
        moment = run.at(instant)
        word, status = self.words[moment.state]
        return TrueRun(
            pipeline_id=self.pipeline_id(self.world.pipeline(run)),
            run_id=self.run_id(run),
            status=status,
            vendor_status=word,
            created_at=run.created_at + self.skew,
            started_at=moment.started_at + self.skew if moment.started_at else None,
            finished_at=moment.finished_at + self.skew if moment.finished_at else None,
            error_message=self.error_of(run, instant),
            step_count=self.step_count(run, instant),
            attempt=moment.attempt.number,
            visible=visible,
        )

    # -- lists -------------------------------------------------------------------------------------------------------

    def settled(self, request: Request, runs: list[Run], *, first_page: bool) -> list[Run]:
        """``runs``, less a few that nobody has been shown yet when rows are to shift after the first page.

        The rows left out are true runs; they appear, and push the others down, from the next request on.
        """
        fault, rng = self._fault(request)
        if fault is Fault.SHIFTING_ROWS and first_page:
            newest = [run for run in runs[-3:] if run.uid not in self._listed][-rng.randint(1, 3) :]
            if newest:
                self.happened(request, fault)
                hidden = {run.uid for run in newest}
                runs = [run for run in runs if run.uid not in hidden]
        return runs

    def show(self, runs: Iterable[Run]) -> None:
        """Remember that these runs were on a page: what a client has seen does not shift away again."""
        self._listed.update(run.uid for run in runs)

    def distort(self, request: Request, rows: list[Row], kinds: frozenset[Fault] = ROW_FAULTS) -> list[Row]:
        """``rows``, with the row fault of this request, if it is among ``kinds``, worked into one of them."""
        fault, rng = self._fault(request)
        if fault is None or fault not in kinds or fault is Fault.SHIFTING_ROWS or not rows:
            return rows
        rows = list(rows)
        at = rng.randrange(len(rows))
        match fault:
            case Fault.DUPLICATE_ROWS:
                rows.insert(rng.randrange(len(rows) + 1), rows[at])
            case Fault.MISSING_ROWS:
                del rows[at]
            case Fault.UNKNOWN_WORD:
                rows[at] = rows[at] | {self.status_key: UNDOCUMENTED_WORD}
            case Fault.NULLS:
                rows[at] = rows[at] | {rng.choice(self.required_keys): None}
            case Fault.MISSING_FIELD:
                gone = rng.choice(self.required_keys)
                rows[at] = {key: value for key, value in rows[at].items() if key != gone}
            case Fault.HUGE_FIELD:
                rows[at] = rows[at] | {self.text_key: "x" * 1_000_000}
            case Fault.UNSORTED_PAGE if len(rows) > 1:
                before = list(rows)
                while rows == before:
                    rng.shuffle(rows)
            case _:
                return rows
        self.happened(request, fault)
        return rows

    def _fault(self, request: Request) -> tuple[Fault | None, random.Random]:
        fault: Fault | None = request.scope.get("emulator.fault")
        rng: random.Random = request.scope.get("emulator.random", random.Random(0))  # noqa: S311 - not a secret
        return fault, rng

    def happened(self, request: Request, fault: Fault) -> None:
        self.faults.happened[fault] += 1
        request.scope["emulator.happened"] = fault

    def _http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self.error(error.status_code, error.detail)


class UnreadableQuery(ValueError):
    """A query parameter that the vendor would refuse; the text is for its error envelope."""


def whole(params: Mapping[str, str], name: str, default: int) -> int:
    """An integer query parameter."""
    try:
        return int(params.get(name, default))
    except ValueError:
        raise UnreadableQuery(f"{name} must be a number") from None


def page_of(rows: Sequence[Run], offset: int, limit: int) -> Sequence[Run]:
    return rows[offset : offset + limit]


def link(request: Request, **params: int) -> str:
    """The absolute address of this request with other paging."""
    return str(request.url.include_query_params(**params))


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(content, status, headers=dict(headers or {}))


async def body_of(request: Request) -> Row:
    raw = await request.body()
    try:
        parsed = json.loads(raw or b"{}")
    except json.JSONDecodeError:
        raise UnreadableQuery("the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise UnreadableQuery("the body is not an object")
    return parsed
