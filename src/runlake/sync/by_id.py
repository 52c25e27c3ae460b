"""Reading runs by id: open ones until they are final or gone, tracked ones, and those that a sweep did not meet."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from runlake.connector import Feed, Resolution
from runlake.errors import NotFound, RateLimited, SourceError, UnexpectedResponse
from runlake.http import Claim, claim, first_asked, unreadable
from runlake.model import RunRef
from runlake.store import Tracked, Watched
from runlake.sync.attempt import TRIES, Attempt
from runlake.sync.intake import together

_CLAIMS = {"id": Claim.OPEN, "sweep": Claim.SWEEP, "coverage": Claim.BACKFILL}

MOST_SWEEP_READS = 200


async def open_runs(attempt: Attempt, *, every: bool) -> bool:
    """Reads the runs that are due and that no list has shown in this attempt. There is no window: open runs are read
    until they are final or gone. False where some were not, or runs that users name could not be found."""
    if "run" not in attempt.capable:
        return True
    row = attempt.row
    due = _due(attempt, every=every)
    due += await _named(attempt)
    unique = list({each.ref: each for each in due}.values())
    # In another order each time, so that a few that cannot be read never keep the same others from their turn.
    random.Random(row.started_at.timestamp()).shuffle(unique)  # noqa: S311 (no secret)
    complete = await read(attempt, unique)
    return complete and (attempt.listing or not (attempt.failures or attempt.held))


def _due(attempt: Attempt, *, every: bool = False) -> list[Watched]:
    return [
        watched
        for watched in attempt.state.watched
        if attempt.key(watched.ref) not in attempt.intake.met and (every or watched.due(attempt.row.started_at))
    ]


async def follow(attempt: Attempt) -> None:
    """Reads only the open runs that are due: what a source is asked between two syncs."""
    if "run" in attempt.capable:
        await read(attempt, _due(attempt))


async def hinted(attempt: Attempt, refs: Sequence[RunRef]) -> None:
    """Reads the runs that somebody says have changed, of those that polling would see too: a hint brings nothing that
    would not have come without it, only sooner."""
    if "run" not in attempt.capable:
        return
    watched = {each.ref: each for each in attempt.state.watched}
    lists = [state for state in attempt.state.feeds.values() if state.purpose == "live"]
    ids = [state.feed.partition("?")[0] for state in lists]
    known = [
        watched.get(ref) or Watched(ref=ref, why="hint", since=attempt.row.started_at)
        for ref in dict.fromkeys(refs)
        if ref in watched or any(id_ in ("", ref.pipeline_id) or ref.pipeline_id.startswith(f"{id_}/") for id_ in ids)
    ]
    if passed_over := len(refs) - len(known):
        attempt.note(f"{passed_over} of {len(refs)} hints name runs that this source does not poll")
    floor = min((state.walk_since for state in lists if state.walk_since is not None), default=None)
    await read(attempt, known, floor=floor)


async def sweep(attempt: Attempt) -> None:
    """Final runs of the window that no list showed: reading them by id finds late edits and deletions."""
    row = attempt.row
    if not attempt.listing:
        unlisted = attempt.feed_state(Feed())
        if row.swept or unlisted.swept_at is None:
            unlisted.swept_at = row.started_at
            attempt.books.feeds.append(unlisted)
    if not row.swept or "run" not in attempt.capable:
        return
    since, until = row.started_at - attempt.source.sweep_window, row.started_at - attempt.connector.overlap
    floors = [s.walk_since for s in attempt.state.feeds.values() if s.purpose == "live" and s.walk_since]
    await attempt.intake.flush(last=True)
    unseen = await attempt.store.unseen(
        attempt.source.name,
        max([since, *floors]),
        until,
        list(attempt.intake.met),
        attempt.failed_feeds,
        MOST_SWEEP_READS,
    )
    await read(attempt, unseen, "sweep")


async def read(
    attempt: Attempt, watched: Sequence[Watched], read_by: str = "id", *, floor: datetime | None = None
) -> bool:
    """Reads runs by id; True where each was read, found gone, or passed over: one that alone could not be read for some
    time is read on, but holds nothing back any more. Final runs created before `floor` are left out."""
    gone: list[tuple[Watched, NotFound, str]] = []
    failing: list[Watched] = []
    queue, in_a_row = list(reversed(watched)), 0

    async def reader() -> None:
        nonlocal in_a_row
        claim.set(_CLAIMS[read_by])
        while queue and in_a_row < TRIES:
            each = queue.pop()
            first_asked.set("")
            try:
                run = await attempt.connector.run(attempt.http, each.ref)
                if run.run_id != each.ref.run_id:
                    raise UnexpectedResponse(f"asked for run {each.ref.run_id[:80]}, got {run.run_id[:80]}")
            except NotFound as error:
                gone.append((each, error, first_asked.get()))
                continue
            except UnexpectedResponse as error:  # one bad run never stops another
                attempt.failures.append(error)
                attempt.intake.refused += 1
                continue
            except SourceError as error:
                attempt.failures.append(error)
                failing.append(each)
                in_a_row = TRIES if isinstance(error, RateLimited) else in_a_row + 1
                continue
            attempt.worked, in_a_row = True, 0
            await attempt.intake.take([run], attempt.now(), read_by, first_asked.get(), whole=True, floor=floor)
            if run.ref != each.ref:
                attempt.books.forget.append(attempt.key(each.ref))
            await attempt.intake.flush()

    await together(reader() for _ in range(min(attempt.source.concurrency, len(queue))))
    for each, error, request in gone:
        _bury(attempt, each, error, request)
    if attempt.worked and read_by == "id":
        attempt.books.watch += [replace(each, failures=each.failures + 1) for each in failing]
    passed_over = attempt.worked and all(each.failures + 1 >= TRIES for each in failing)
    return not queue and (not failing or passed_over)


def _bury(attempt: Attempt, watched: Watched, error: NotFound, request: str) -> None:
    """A run that reading by id says is gone: believed only if the same credentials still see something else."""
    key = attempt.key(watched.ref)
    if watched.created_at is None:
        if watched.why == "tracked":
            attempt.note(f"tracked run {watched.ref.run_id[:80]} is not there")
            attempt.failures.append(error)
        if watched.reads + 1 >= TRIES:
            attempt.books.forget.append(key)
        else:
            attempt.books.watch.append(replace(watched, reads=watched.reads + 1, read_at=attempt.row.started_at))
    elif attempt.worked:
        attempt.row.vanished_runs += 1
        attempt.books.vanished.append((key, watched.created_at, attempt.now(), request))
    else:
        attempt.failures.append(error)


async def _named(attempt: Attempt) -> list[Watched]:
    """What the handles that users track name and we have not read yet."""
    if "resolve" not in attempt.capable:
        return []
    now, known = attempt.row.started_at, attempt.state.tracked
    for handle in attempt.connector.tracked():
        known.setdefault(handle, Tracked(handle=handle, added_at=now))
    found: list[Watched] = []
    watched = {attempt.key(each.ref) for each in attempt.state.watched}
    for tracked in [each for each in known.values() if each.settled_at is None]:
        tracked.read_at = now
        attempt.books.tracked.append(tracked)
        async with attempt.surviving():
            bad_before, requests_before = unreadable.get(), attempt.http.traffic.requests
            named = await _resolved(attempt, tracked)
            refs = {key: ref for ref in named.refs if (key := attempt.key(ref)) not in watched}
            stored = await attempt.store.stored(attempt.source.name, list(refs)) if refs else set()
            new = [Watched(ref=ref, why="tracked", since=now) for key, ref in refs.items() if key not in stored]
            # In one commit with the handle, so that none is lost if we die or the vendor fails before it is read.
            attempt.books.watch += new
            found += new
            tracked.tries = 0 if unreadable.get() == bad_before else tracked.tries + 1
            if 0 < tracked.tries < TRIES:
                attempt.held = True
                attempt.note(f"{tracked.handle[:80]} names runs that could not be read: asked again next time")
            elif named.settled and (
                attempt.http.traffic.requests == requests_before or tracked.named == len(named.refs)
            ):
                # Said twice the same: an answer that leaves out a run for once must not be the last.
                tracked.settled_at = now
            tracked.named = len(named.refs)
    return found


async def _resolved(attempt: Attempt, tracked: Tracked) -> Resolution:
    try:
        named = await attempt.connector.resolve(attempt.http, tracked.handle)
    except NotFound as error:
        tracked.error, tracked.tries = str(error), tracked.tries + 1
        if tracked.tries >= TRIES:
            tracked.settled_at = attempt.row.started_at
        raise
    attempt.worked = True
    tracked.error = None
    return named
