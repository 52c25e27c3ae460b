"""Walking lists: the newest runs of each feed, and the deeper walk of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median_high

from runlake.connector import Feed, Order
from runlake.errors import UnexpectedResponse
from runlake.http import Claim, claim, first_asked, unreadable
from runlake.store import FeedState
from runlake.sync.attempt import TRIES, Attempt
from runlake.sync.intake import sane

_CLAIMS = {"list": Claim.NEW, "sweep": Claim.SWEEP, "backfill": Claim.BACKFILL}

MOST_PAGES = 100_000
AHEAD = timedelta(minutes=1)
MOST_IDLE_PAGES = 10
"""Pages in a row that show nothing that the walk has not met: the vendor ignores where we want to go on."""


async def newest(attempt: Attempt) -> datetime | None:
    """Reads each feed back to where it was seen before; with a sweep due, back to the beginning of its window.

    Returns up to when all lists were seen, of which there may be none; None where one was not seen whole.
    """
    row = attempt.row
    row.swept = _sweep_is_due(attempt, [s for (purpose, _), s in attempt.state.feeds.items() if purpose == "live"])
    feeds = await attempt.feeds()
    attempt.listing = bool(feeds or attempt.failures)
    if feeds:
        # Without the lists that are there no more: nothing would ever sweep them, so that each sync would.
        row.swept = _sweep_is_due(attempt, [attempt.feed_state(feed) for feed in feeds])

    async def one(feed: Feed) -> None:
        await _live(attempt, feed)

    await attempt.each(feeds, one)
    seen = [attempt.feed_state(feed).observed_through for feed in feeds if not feed.sweep_only]
    whole = [through for through in seen if through is not None]
    return min(whole, default=row.started_at) if len(whole) == len(seen) and not attempt.failures else None


def _sweep_is_due(attempt: Attempt, feeds: Sequence[FeedState]) -> bool:
    swept = [state.swept_at for state in feeds if state.swept_at is not None]
    started = attempt.row.started_at
    # A look that lies ahead: our clock was set back, and what came meanwhile may stand before where a walk would stop.
    ahead = any(state.observed_through is not None and state.observed_through > started + AHEAD for state in feeds)
    return bool(swept) and (ahead or started - min(swept) >= attempt.source.sweep_every)


async def _live(attempt: Attempt, feed: Feed) -> None:
    state, started, overlap = attempt.feed_state(feed), attempt.now(), attempt.connector.overlap
    swept, first = attempt.row.swept, state.observed_through is None
    through = started
    if feed.sweep_only and not (swept or first):
        return
    if state.observed_through is not None:
        since = min(state.observed_through, started) - overlap
        window = started - attempt.source.sweep_window
        deep = swept and feed.order is Order.NEWEST_FIRST
        whole = await walk(
            attempt, feed, state, min(since, window) if deep else since, floor=state.walk_since, sweep_below=since
        )
        if swept and feed.order is Order.UPDATED_SINCE:
            whole &= await walk(attempt, feed, state, window, "sweep", floor=state.walk_since, filtered=False)
    elif state.cursor is not None and state.walk_started_at and state.walk_since:
        # A walk that was interrupted: what has come or changed since it began, then the rest of it.
        since, whole = state.walk_since, True
        if feed.order is Order.UNSORTED:
            through = state.walk_started_at  # what has come since may stand anywhere
        else:
            whole = await walk(attempt, feed, state, state.walk_started_at - overlap, floor=since)
        whole &= await walk(attempt, feed, state, since, floor=since, cursor=state.cursor, resumable=True)
    else:
        state.walk_started_at, state.walk_since = started, started - attempt.source.history
        whole = await walk(attempt, feed, state, state.walk_since, floor=state.walk_since, resumable=True)
    state.cursor = None
    again = not whole and state.held < TRIES - 1
    if not whole:
        then = "read again next time" if again else f"gone on without them after {TRIES} tries"
        attempt.note(f"{_name(feed)} had unreadable rows, or fewer than it said: {then}")
    if again:
        attempt.held, state.held = True, state.held + 1
    else:
        state.observed_through, state.held = through, 0
    if first or swept or not whole:
        # Not whole: a sweep is due at once.
        state.swept_at = started if whole else datetime.fromtimestamp(0, UTC)
    attempt.books.feeds.append(state)


async def walk(
    attempt: Attempt,
    feed: Feed,
    state: FeedState,
    since: datetime,
    read_by: str = "list",
    *,
    floor: datetime | None,
    cursor: str | None = None,
    resumable: bool = False,
    filtered: bool = True,
    sweep_below: datetime | None = None,
) -> bool:
    """Reads a feed back to `since`; False where it was not read whole (unreadable rows, fewer than it says it has).

    The vendor's order is watched: once runs stand out of it, the walk goes on to the end of the list. `resumable` keeps
    how far it has come; `filtered=False` asks for the bare list; runs before `sweep_below` count as read by a sweep.
    """
    connector, intake = attempt.connector, attempt.intake
    claim.set(_CLAIMS[read_by])
    bad_before, met = unreadable.get(), set[str]()
    before: datetime | None = None  # the middle of the page before
    in_order, total, to_the_end, pages_read, idle = True, None, True, 0, 0
    stops = feed.order is Order.NEWEST_FIRST or (feed.order is Order.UPDATED_SINCE and not filtered)
    pages = connector.pages(attempt.http, feed, since if filtered else None, cursor)
    first_asked.set("")
    async with aclosing(pages):  # type: ignore[type-var]
        async for page in pages:
            pages_read += 1
            observed_at, request = attempt.now(), first_asked.get()
            keys = [attempt.key(run.ref) for run in page.runs]
            instants = [sane(connector.sort_key(run)) for run in page.runs]
            newest_here = max((at for at in instants if at is not None), default=None)
            # Rows met before have shifted here from the page before.
            first_met = [at for key, at in zip(keys, instants, strict=True) if at is not None and key not in met]
            in_order &= _newest_first(first_met, before, connector.overlap)
            before = median_high(first_met) if first_met else before
            idle = idle + 1 if keys and met.issuperset(keys) else 0
            met.update(keys)
            swept = sweep_below is not None and newest_here is not None and newest_here < sweep_below
            if swept:
                claim.set(Claim.SWEEP)
            await intake.take(page.runs, observed_at, "sweep" if swept else read_by, request, keys=keys, floor=floor)
            # As it was when the walk began: what has come since was not there to be read.
            total = page.total if total is None else total
            attempt.worked = True
            if resumable:
                state.cursor = page.cursor
                if page.cursor is not None:
                    attempt.books.feeds.append(state)
            await intake.flush()
            if stops and state.in_order and in_order and newest_here is not None and newest_here < since:
                to_the_end = False
                break
            if pages_read >= MOST_PAGES or idle >= MOST_IDLE_PAGES:
                raise UnexpectedResponse(f"{_name(feed)} goes on and on: {pages_read} pages, {len(met)} runs")
            first_asked.set("")
    if stops:
        if not in_order:
            attempt.row.out_of_order += 1
            attempt.note(f"{_name(feed)} is not newest first: read to its end until it is")
        state.in_order = in_order
    bad = unreadable.get() - bad_before
    if bad and not met:
        raise UnexpectedResponse(f"none of the {bad} rows of {_name(feed)} could be read: their shape has changed")
    short = to_the_end and cursor is None and total is not None and len(met) + bad < total
    return not bad and not short


def _newest_first(page: list[datetime], before: datetime | None, slack: timedelta) -> bool:
    """Whether a page keeps the order. A row or two may stand out: a run that was started again keeps its old place."""
    out_of_place = sum(later > earlier + slack for earlier, later in pairwise(page))
    rises = before is not None and bool(page) and median_high(page) > before + slack
    return out_of_place <= max(2, len(page) // 10) and not rises


def _name(feed: Feed) -> str:
    return feed.key or "the list"
