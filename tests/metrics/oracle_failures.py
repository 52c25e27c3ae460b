"""The metrics on what fails, passes again, takes longer and waits, computed a second time: see `oracle`."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl

from .oracle import (
    FAILURE,
    ORDER,
    PIPELINE,
    RATED,
    RUN,
    SOURCE,
    SUCCESS,
    as_frame,
    milliseconds,
    named,
    runs_between,
    there,
)

MONTH = timedelta(days=28)

Signatures = dict[str, str | None]
"""Of each error, what error_signature makes of it."""


def rated_runs(runs: pl.DataFrame, since: datetime, until: datetime) -> list[list[dict[str, Any]]]:
    """The rated runs of each pipeline, in order."""
    counted = runs_between(runs, since, until).filter(RATED).sort(ORDER)
    return [part.to_dicts() for part in counted.partition_by(["source", "vendor", "pipeline_id"])]


def recoveries(runs: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    found = []
    for pipeline in rated_runs(runs, since, until):
        streak: list[dict[str, Any]] = []
        for run in [*pipeline, None]:
            if run is not None and run["outcome"] == "failure":
                streak.append(run)
                continue
            if streak:
                first = streak[0]
                began = first["finished_at"] or first["created_at"]
                recovered = run and (run["finished_at"] or run["created_at"])
                found.append(
                    {name: first[name] for name in PIPELINE}
                    | {
                        "failures": len(streak),
                        "began_at": began,
                        "recovered_at": recovered,
                        "recovery_ms": recovered and max(0, milliseconds(began, recovered)),
                        "first_run_key": first["run_key"],
                        "first_url": first["run_url"],
                    }
                )
            streak = []
    return as_frame(found)


def flaky_runs(runs: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    found = []

    def flaky(how: str, failed: dict[str, Any], passed: dict[str, Any]) -> None:
        found.append(
            {name: failed[name] for name in PIPELINE[:3]}
            | {
                "pipeline": failed["pipeline_name"] or failed["pipeline_id"],
                "how": how,
                "failed_run_key": failed["run_key"],
                "passed_run_key": passed["run_key"],
                "version": failed["pipeline_version"] or passed["pipeline_version"],
                "failed_at": failed["finished_at"] or failed["created_at"],
                "url": failed["run_url"],
            }
        )

    for attempts in there(runs, since, until).sort("attempt").partition_by(RUN):
        rows = attempts.to_dicts()
        for place, failed in enumerate(rows):
            if failed["outcome"] == "failure":
                versions = {None, failed["pipeline_version"]}
                for passed in rows[place + 1 :]:
                    as_before = passed["pipeline_version"] in versions or failed["pipeline_version"] is None
                    if passed["outcome"] == "success" and as_before:
                        flaky("attempt", failed, passed)
                        break
    for pipeline in rated_runs(runs, since, until):
        for failed, passed in pairwise(pipeline):
            same = failed["pipeline_version"] is not None and failed["pipeline_version"] == passed["pipeline_version"]
            if failed["outcome"] == "failure" and passed["outcome"] == "success" and same:
                flaky("run", failed, passed)
    return as_frame(found)


def regressions(runs: pl.DataFrame, since: datetime, until: datetime, baseline: timedelta = MONTH) -> pl.DataFrame:
    now = named(runs_between(runs, since, until), ORDER)
    before = runs_between(runs, since - baseline, since)
    ids = ["source", "vendor", "pipeline_id"]
    found = []
    for rows in now.partition_by(ids):
        pipeline = {name: rows[name][0] for name in PIPELINE}
        then = before.filter(*(pl.col(name) == pipeline[name] for name in ids))
        times = [frame.filter(SUCCESS)["duration_ms"].drop_nulls().cast(pl.Float64) for frame in (rows, then)]
        if len(times[0]) >= 5 and len(times[1]) >= 10:
            median, was = (each.median() for each in times)
            quartile = times[1].quantile(0.75, "linear")
            assert isinstance(median, float) and isinstance(was, float) and quartile is not None
            if median > quartile and median >= 1.3 * was and median - was >= 10_000:
                found.append(_worse(pipeline, "duration", median, was, *map(len, times)))
        (good, rated), (was_good, was_rated) = (
            (frame.filter(SUCCESS).height, frame.filter(RATED).height) for frame in (rows, then)
        )
        if rated >= 5 and was_rated >= 10 and rated - good >= 2:
            share, was_share = good / rated, was_good / was_rated
            pooled = (good + was_good) / (rated + was_rated)
            spread = (pooled * (1 - pooled) * (1 / rated + 1 / was_rated)) ** 0.5
            if spread > 0 and (was_share - share) / spread >= 2:
                found.append(_worse(pipeline, "success rate", share, was_share, rated, was_rated))
    return as_frame(found)


def _worse(pipeline: dict[str, Any], what: str, now: float, before: float, n_now: int, n_before: int) -> dict[str, Any]:
    ratio = now / before if before else None
    return pipeline | {
        "what": what,
        "now": now,
        "before": before,
        "ratio": ratio,
        "n_now": n_now,
        "n_before": n_before,
    }


def failure_changes(
    runs: pl.DataFrame, since: datetime, until: datetime, signatures: Signatures, baseline: timedelta = MONTH
) -> pl.DataFrame:
    period, before = runs_between(runs, since, until), runs_between(runs, since - baseline, since)
    failed, was_failed = (_signed(frame.filter(FAILURE), signatures) for frame in (period, before))
    key = ["source", "pipeline_id", "signature"]
    found = []
    for place in pl.concat([failed, was_failed]).select(key).unique().to_dicts():
        now, then = (
            frame.filter(*(pl.col(name) == value for name, value in place.items())).sort(ORDER)
            for frame in (failed, was_failed)
        )
        change = "recurring" if now.height and then.height else "new"
        if not now.height:
            mine = [pl.col(name) == place[name] for name in key[:2]]
            rated = period.filter(*mine, RATED).sort(ORDER)
            if not rated.height or rated["outcome"][-1] != "success":
                continue
            change = "fixed"
        shown = pl.concat([then, now])
        last = shown.row(-1, named=True)
        found.append(
            {"source": place["source"], "vendor": last["vendor"], "pipeline_id": place["pipeline_id"]}
            | {
                "pipeline": last["pipeline"],
                "signature": place["signature"],
                "change": change,
                "failures": now.height,
                "failures_before": then.height,
                "first_at": shown["created_at"].min(),
                "last_at": last["created_at"],
                "example_run_key": last["run_key"],
                "url": last["run_url"],
                "error_message": last["error_message"],
            }
        )
    return as_frame(found)


def _signed(runs: pl.DataFrame, signatures: Signatures) -> pl.DataFrame:
    return runs.with_columns(
        signature=pl.coalesce(
            pl.col("error").replace_strict(signatures, default=None, return_dtype=pl.String), "status"
        )
    )


def error_signatures(runs: pl.DataFrame, since: datetime, until: datetime, signatures: Signatures) -> pl.DataFrame:
    failed = _signed(runs_between(runs, since, until).filter(FAILURE), signatures)
    last = [pl.col(name).sort_by([*ORDER, "pipeline_id"]).last() for name in ("error_message", "run_url")]
    return failed.group_by([*SOURCE, "signature"]).agg(
        pl.len().alias("failures"),
        pl.col("pipeline_id").n_unique().alias("pipelines"),
        pl.col("created_at").min().alias("first_at"),
        pl.col("created_at").max().alias("last_at"),
        last[0],
        last[1].alias("url"),
    )


def failing_steps(runs: pl.DataFrame, steps: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    counted = runs_between(runs, since, until).filter(FAILURE)
    failed = (
        steps.filter(pl.col("status").is_in(["failed", "timed_out"]))
        .with_columns(step=pl.coalesce("name", "kind", "step_id"))
        .rename({"error_message": "step_error"})
        .join(counted.drop("status", "observed_at"), on=["run_key", "source"])
    )
    order = [*ORDER, "step_no"]
    ids = ["source", "vendor", "pipeline_id"]
    in_all = counted.group_by(ids).agg(pl.len().alias("runs_failed_in_all"))
    return (
        failed.group_by([*ids, "step"])
        .agg(
            pl.col("pipeline").sort_by(order).last(),
            pl.len().alias("failures"),
            pl.col("run_key").n_unique().alias("failed_runs"),
            pl.col("step_error").sort_by(order).last().alias("error_message"),
            pl.col("run_url").sort_by(order).last().alias("url"),
        )
        .join(in_all, on=ids)
    )


def waits(
    runs: pl.DataFrame, changes: pl.DataFrame, since: datetime, until: datetime, known_at: datetime
) -> pl.DataFrame:
    """`changes`: of each run, the statuses that it was seen in, and since when."""
    found = []
    rows = {row["run_key"]: row for row in runs.filter(pl.col("vanished_at").is_null()).to_dicts()}
    for (key,), mine in changes.filter(pl.col("at") <= known_at).group_by(["run_key"], maintain_order=True):
        if key not in rows:
            continue
        began = None
        stretches = []
        for change in mine.sort("at").to_dicts():
            waits = change["status"] == "waiting" and not change["vanished"]
            if waits and began is None:
                began = change["at"]
            elif not waits and began is not None:
                stretches.append((began, change["at"]))
                began = None
        if began is not None:
            stretches.append((began, None))
        for start, end in stretches:
            to = end or known_at
            if start < until and to > since:
                found.append(
                    {name: rows[key][name] for name in [*PIPELINE[:3], "run_key", "run_id"]}
                    | {
                        "pipeline": rows[key]["pipeline_name"] or rows[key]["pipeline_id"],
                        "waiting_from": start,
                        "waiting_to": end,
                        "waited_ms": milliseconds(start, to),
                        "in_period_ms": milliseconds(max(start, since), min(to, until)),
                        "url": rows[key]["run_url"],
                    }
                )
    return as_frame(found)
