"""Going back further than the first sync did, and checking what should be there."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import Any

from runlake.connector import Feed, Order
from runlake.errors import UnexpectedResponse
from runlake.http import Claim, claim
from runlake.model import RunRef
from runlake.store import Watched
from runlake.sync import by_id
from runlake.sync.attempt import Attempt
from runlake.sync.intake import sane
from runlake.sync.walk import walk


async def backfill(attempt: Attempt, since: datetime) -> None:
    """Walks each feed back to `since`, beside the live state; an interrupted walk is taken up at its cursor."""

    async def one(feed: Feed) -> None:
        state, live = attempt.feed_state(feed, "backfill"), attempt.feed_state(feed)
        if state.cursor is None or state.walk_since != since:
            state.walk_started_at, state.walk_since, state.cursor = attempt.now(), since, None
        whole = await walk(
            attempt, feed, state, since, "backfill", floor=since, cursor=state.cursor, resumable=True, filtered=False
        )
        if not whole:
            attempt.held = True
            attempt.note(f"{feed.key or 'the list'} had unreadable rows, or fewer than it said: backfill again")
        state.cursor, state.observed_through = None, attempt.now()
        attempt.books.feeds.append(state)
        if live.walk_since is not None:
            attempt.books.reach[live.feed] = since

    feeds = await attempt.feeds()
    if not feeds:
        title = attempt.connector.title
        raise UnexpectedResponse(f"{title} documents no list to go back in; `runlake track` follows single runs")
    await attempt.each(feeds, one)


async def coverage(attempt: Attempt) -> list[dict[str, Any]] | None:
    """Compares the vendor's bare lists with the ledger, by pipeline and day, and fetches what is missing by id, where
    its vendor gives single runs."""
    listed: dict[str, tuple[str, str, str, datetime]] = {}
    refs: dict[tuple[str, str], RunRef] = {}

    async def one(feed: Feed) -> None:
        claim.set(Claim.BACKFILL)
        state = attempt.feed_state(feed)
        floor = state.walk_since or attempt.row.started_at - attempt.source.history
        pages = attempt.connector.pages(attempt.http, feed, None, None)
        async with aclosing(pages):  # type: ignore[type-var]
            async for page in pages:
                attempt.worked = True
                newest = [at for run in page.runs if (at := sane(attempt.connector.sort_key(run))) is not None]
                for run in page.runs:
                    born = sane(run.created_at) or sane(run.started_at) or attempt.now()
                    # What is younger than our last look is not missing, only new.
                    if floor <= born <= (state.observed_through or born):
                        key = attempt.key(run.ref)
                        listed[key] = (key, run.pipeline_id, run.run_id, born)
                        refs[run.pipeline_id, run.run_id] = run.ref
                        attempt.intake.met.add(key)
                attempt.intake.tell()
                if feed.order is not Order.UNSORTED and state.in_order and newest and max(newest) < floor:
                    break

    feeds = await attempt.feeds()
    await attempt.each(feeds, one)
    if not feeds or attempt.failures:
        return None
    rows = await attempt.store.compare(attempt.source.name, list(listed.values()), attempt.row.started_at)
    missing = [
        Watched(ref=refs[row["pipeline_id"], run_id], why="missing", since=attempt.row.started_at)
        for row in rows
        for run_id in row["missing_run_ids"]
    ]
    if "run" in attempt.capable:
        attempt.books.watch += missing
        await by_id.read(attempt, missing, "coverage")
    return rows
