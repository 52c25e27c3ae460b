"""Each metric computed a second time, with polars from what is to be known: by its definition, without its SQL.

`runs` are attempts as `truth.known` has them (columns of the view `runs`); periods are [since, until). Functions answer
a row for each of a metric's, without the columns on freshness and coverage, which `beside` adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from .histories import History, Look
from .truth import Known, known

RUN = ["source", "pipeline_id", "run_id"]
PIPELINE = ["source", "vendor", "pipeline_id", "pipeline"]
SOURCE = ["source", "vendor"]


SUCCESS, FAILURE = pl.col("outcome") == "success", pl.col("outcome") == "failure"
RATED = pl.col("outcome").is_in(["success", "failure"])
ORDER = ["created_at", "attempt", "run_id"]
"""Of the runs of a pipeline."""
NEWEST = ["created_at", "run_id", "pipeline_id"]
"""Which run tells a pipeline's name and a last status, where several are as new."""


def there(runs: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """The attempts created in the period that have not vanished."""
    return runs.filter(pl.col("vanished_at").is_null(), pl.col("created_at") >= since, pl.col("created_at") < until)


def runs_between(runs: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """Runs, each as its last attempt in the period."""
    attempts = there(runs, since, until).with_columns(last=pl.col("attempt").max().over(RUN))
    came_to_nothing = FAILURE | (pl.col("status") == "cancelled") | (pl.col("attempt") < pl.col("last"))
    wasted = attempts.group_by(RUN).agg(
        pl.len().alias("attempts"), pl.col("duration_ms").filter(came_to_nothing).sum().alias("wasted_ms")
    )
    last = attempts.filter(pl.col("attempt") == pl.col("last")).drop("last").join(wasted, on=RUN)
    return last.with_columns(pipeline=pl.coalesce("pipeline_name", "pipeline_id"))


def named(runs: pl.DataFrame, order: Sequence[str] = NEWEST) -> pl.DataFrame:
    """With the name that its pipeline had last."""
    ids = ["source", "vendor", "pipeline_id"]
    return runs.with_columns(pl.col("pipeline").sort_by(order).last().over(ids))


def _percentile(values: pl.Expr, share: float) -> pl.Expr:
    return values.cast(pl.Float64).quantile(share, "linear")


def _rate() -> pl.Expr:
    return pl.when(RATED.any()).then(SUCCESS.sum() / RATED.sum())


def _counts() -> list[pl.Expr]:
    status = pl.col("status")
    return [
        pl.len().alias("runs"),
        SUCCESS.sum().alias("success"),
        FAILURE.sum().alias("failure"),
        (pl.col("outcome") == "neutral").sum().alias("neutral"),
        status.is_in(["queued", "running", "waiting"]).sum().alias("open"),
        (status == "unknown").sum().alias("unknown"),
    ]


def outcomes_by_day(runs: pl.DataFrame, since: datetime, until: datetime, tz: ZoneInfo) -> pl.DataFrame:
    counted = named(runs_between(runs, since, until)).with_columns(
        day=_local(pl.col("created_at"), tz, lambda at: at.date(), pl.Date)
    )
    return counted.group_by([*PIPELINE, "day"]).agg(*_counts(), _rate().alias("success_rate"))


def _local(instants: pl.Expr, tz: ZoneInfo, of: Any, type_: Any) -> pl.Expr:
    """By Python's own time zones, as polars has others."""
    return instants.map_elements(lambda at: of(at.astimezone(tz)), return_dtype=type_)


def _stats() -> list[pl.Expr]:
    warned = (pl.col("status") == "succeeded_with_warnings").sum().alias("warned")
    last = [pl.col(name).sort_by(NEWEST).last() for name in ("status", "created_at", "run_url")]
    took, queued = pl.col("duration_ms").filter(SUCCESS), pl.col("queued_ms")  # who failed had waited as well
    return [
        *_counts(),
        warned,
        _rate().alias("success_rate"),
        took.count().alias("timed"),
        _percentile(took, 0.5).alias("p50_ms"),
        _percentile(took, 0.95).alias("p95_ms"),
        queued.count().alias("queued"),
        _percentile(queued, 0.5).alias("p50_queued_ms"),
        _percentile(queued, 0.95).alias("p95_queued_ms"),
        (pl.col("attempts") - 1).sum().alias("reruns"),
        pl.col("wasted_ms").sum(),
        *(each.alias(name) for each, name in zip(last, ("last_status", "last_run_at", "last_url"), strict=True)),
    ]


def pipeline_stats(runs: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    return named(runs_between(runs, since, until)).group_by(PIPELINE).agg(*_stats())


def source_stats(runs: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    return runs_between(runs, since, until).group_by(SOURCE).agg(*_stats())


def milliseconds(start: datetime, end: datetime) -> int:
    return (end - start) // timedelta(milliseconds=1)


def as_frame(found: Sequence[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(found, infer_schema_length=None)


def busy_hours(runs: pl.DataFrame, since: datetime, until: datetime, tz: ZoneInfo) -> pl.DataFrame:
    counted = runs_between(runs, since, until).with_columns(
        weekday=_local(pl.col("created_at"), tz, lambda at: at.isoweekday(), pl.Int64),
        hour=_local(pl.col("created_at"), tz, lambda at: at.hour, pl.Int64),
    )
    return counted.group_by([*SOURCE, "weekday", "hour"]).agg(
        pl.len().alias("runs"),
        FAILURE.sum().alias("failure"),
        RATED.sum().alias("rated"),
        pl.col("duration_ms").sum().alias("busy_ms"),
    )


def run_metrics(runs: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """A pipeline is called here as in the last run that has the number."""
    found: dict[tuple[str, ...], list[float]] = {}
    names: dict[tuple[str, ...], str] = {}
    for run in runs_between(runs, since, until).sort(NEWEST).to_dicts():
        for metric, value in run["metrics"].items():
            key = (run["source"], run["vendor"], run["pipeline_id"], metric)
            found.setdefault(key, []).append(value)
            names[key] = run["pipeline"]
    return as_frame(
        [
            dict(zip([*PIPELINE[:3], "metric"], key, strict=True))
            | {"pipeline": names[key], "runs": len(values), "total": sum(values), "per_run": sum(values) / len(values)}
            for key, values in found.items()
        ]
    )


def source_coverage(history: History, since: datetime, until: datetime, known_at: datetime) -> pl.DataFrame:
    now = known(history, known_at)
    found = []
    vendors = {look.source: look.vendor for look in history if isinstance(look, Look) and look.at <= known_at}
    settled = min(until, known_at - timedelta(hours=3))
    for source, vendor in vendors.items():
        through = now.observed_through.get(source)
        seen = through and min(through, settled)
        whole = seen == settled
        days = _newest(now, since, until).filter(pl.col("source") == source)
        expected, stored = (int(days[name].sum()) for name in ("expected", "stored"))
        found.append(
            {"source": source, "vendor": vendor, "observed_through": seen}
            | {
                "unseen_ms": 0 if whole else max(0, milliseconds(max(since, seen or since), min(until, known_at))),
                "seen_whole": whole,
                "expected": expected if days.height else None,
                "stored": stored if days.height else None,
                "missing": expected - stored if days.height else None,
                "checked_days": days["day"].n_unique(),
            }
        )
    return as_frame(found)


def _newest(now: Known, since: datetime, until: datetime) -> pl.DataFrame:
    """Of each pipeline and UTC day that the period overlaps, the newest comparison."""
    return (
        now.compared.sort("checked_at")
        .group_by(["source", "pipeline_id", "day"])
        .last()
        .filter(pl.col("day") >= since.date(), pl.col("day") <= (until - timedelta(microseconds=1)).date())
    )


def beside(rows: pl.DataFrame, now: Known, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """Rows with how fresh and how complete their source is, or of a pipeline what it lacks: as known now."""
    newest = _newest(now, since, until)
    found = []
    for row in rows.to_dicts():
        mine = newest.filter(*(pl.col(name) == row[name] for name in ("source", "pipeline_id") if name in row))
        lacks = (mine["expected"] - mine["stored"]).sum() if mine.height else None
        found.append(row | {"observed_through": now.observed_through[row["source"]], "missing_runs": lacks})
    return found
