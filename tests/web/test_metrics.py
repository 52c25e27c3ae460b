"""`/metrics` as Prometheus reads it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain
from prometheus_client.samples import Sample

from cli.conftest import Vendors

from .conftest import MONDAY, Serve, Served


async def samples(served: Served) -> list[Sample]:
    answer = await served.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return [sample for family in plain(answer.text) for sample in family.samples]


def value(found: list[Sample], name: str, **labels: str) -> float:
    [sample] = [each for each in found if each.name == name and labels.items() <= each.labels.items()]
    return sample.value


async def test_it_says_what_came_of_each_source(vendors: Vendors, folder: Path, serve_daemon: Serve) -> None:
    (folder / "wrong").mkdir()
    tables = vendors.table("clarifeye", folder), vendors.table("truestate", folder / "wrong")
    (folder / "wrong" / "truestate-api_key").write_text("revoked")
    async with serve_daemon(*tables) as served:
        before = await samples(served)
        await served.sync()
        await served.daemon.chores.publish()
        after = await samples(served)
    assert value(before, "runlake_ledger_up") == value(after, "runlake_polling") == 1
    assert value(after, "runlake_source_up", source="clarifeye") == 1
    assert value(after, "runlake_source_up", source="truestate") == 0
    assert value(after, "runlake_attempts_total", source="truestate", kind="sync", outcome="failed") == 1
    runs = len([run for run in vendors.emulator.truth("clarifeye") if run.visible])
    assert value(after, "runlake_new_runs_total", source="clarifeye") == runs
    assert value(after, "runlake_requests_total", source="clarifeye") == len(vendors.emulator.clarifeye.requests)
    assert value(after, "runlake_observed_through_timestamp_seconds", source="clarifeye") == MONDAY.timestamp()
    assert value(after, "runlake_next_sync_timestamp_seconds", source="clarifeye") > MONDAY.timestamp()
    assert value(after, "runlake_published_timestamp_seconds") == MONDAY.timestamp()
    assert value(after, "runlake_disk_free_bytes") > value(after, "runlake_ledger_bytes") > 0
    assert value(after, "runlake_requests_waiting", claim="open") == 0
    assert value(after, "process_resident_memory_bytes") > 0


async def test_ten_times_the_runs_are_not_one_series_more(vendors: Vendors, folder: Path, serve_daemon: Serve) -> None:
    async with serve_daemon(*(vendors.table(name, folder) for name in ("clarifeye", "esper"))) as served:
        served.clock.set(MONDAY - timedelta(days=1, hours=12))
        await served.sync()
        await served.daemon.chores.publish()
        few, runs = await samples(served), await served.ask("SELECT count(*) AS n FROM runs")
        served.clock.set(MONDAY + timedelta(days=6))
        await served.sync()
        many, more = await samples(served), await served.ask("SELECT count(*) AS n FROM runs")
    assert int(str(more[0]["n"])) > 10 * int(str(runs[0]["n"])) > 0
    series = {(each.name, *sorted(each.labels.items())) for each in few}
    assert {(each.name, *sorted(each.labels.items())) for each in many} == series
    assert len(many) == len(few) == len(series)


async def test_open_metrics_are_given_to_who_asks_for_them(vendors: Vendors, folder: Path, serve_daemon: Serve) -> None:
    async with serve_daemon(vendors.table("clarifeye", folder, more="every = '1m'")) as served:
        await served.sync()
        answer = await served.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {"runlake_attempts", "runlake_info"} <= {family.name for family in open_metrics(answer.text)}  # type: ignore[no-untyped-call]


async def test_without_a_source_it_is_still_well_formed(serve_daemon: Serve) -> None:
    async with serve_daemon() as served:
        assert value(await samples(served), "runlake_polling") == 1
