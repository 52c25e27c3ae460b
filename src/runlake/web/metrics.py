"""`/metrics`, for Prometheus. Series are by source, outcome or claim: their number does not grow with runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runlake import __version__
from runlake.daemon import Daemon
from runlake.http import Claim


def metrics(daemon: Daemon) -> Route:
    registry = CollectorRegistry()
    registry.register(_Collector(daemon))
    ProcessCollector(registry=registry)

    async def respond(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    return Route("/metrics", respond)


class _Collector(Collector):
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def collect(self) -> Iterator[Metric]:
        daemon = self._daemon
        yield _gauge("runlake_info", "The version that runs.", [({"version": __version__}, 1)])
        yield _gauge("runlake_polling", "Whether runs are looked for and kept.", [({}, daemon.polling)])
        yield _gauge("runlake_ledger_up", "Whether the ledger can be written.", [({}, daemon.ledger_error is None)])
        yield from self._attempts()
        yield from self._sources()
        yield from self._waiting()
        yield from self._ledger()
        yield from self._alerts()

    def _attempts(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily(
            "runlake_attempts", "Attempts that have ended.", labels=["source", "kind", "outcome"]
        )
        for name, polled in self._daemon.sources.items():
            for (kind, outcome), count in polled.tally.attempts.items():
                attempts.add_metric([name, kind, outcome], count)
        yield attempts
        for field, text in (
            ("seconds", "Time spent in attempts."),
            ("requests", "HTTP requests made."),
            ("bytes", "Bytes of answers read."),
            ("retries", "Requests made again."),
            ("new_runs", "Runs seen for the first time."),
            ("changed_runs", "Known runs seen changed."),
        ):
            counter = CounterMetricFamily(f"runlake_{field}", text, labels=["source"])
            for name, polled in self._daemon.sources.items():
                counter.add_metric([name], getattr(polled.tally, field))
            yield counter

    def _sources(self) -> Iterator[Metric]:
        sources = self._daemon.sources.items()
        last = [({"source": name}, polled.last) for name, polled in sources if polled.last is not None]
        yield _gauge(
            "runlake_source_up",
            "Whether the last sync saw anything.",
            [({"source": name}, not polled.failures) for name, polled in sources],
        )
        yield _gauge("runlake_open_runs", "Runs that are not final.", [(of, row.open_runs) for of, row in last])
        yield _gauge(
            "runlake_observed_through_timestamp_seconds",
            "Up to when the last sync vouches for having seen every run.",
            [(of, _epoch(row.observed_through)) for of, row in last if row.observed_through],
        )
        yield _gauge(
            "runlake_clock_skew_seconds",
            "The vendor's clock less ours.",
            [(of, row.skew_s) for of, row in last if row.skew_s is not None],
        )
        yield _gauge(
            "runlake_next_sync_timestamp_seconds",
            "When a source is synced next.",
            [({"source": name}, _epoch(polled.next_sync_at)) for name, polled in sources],
        )

    def _waiting(self) -> Iterator[Metric]:
        waiting = dict.fromkeys(Claim, 0)
        for budget in self._daemon.network.budgets.values():
            for (_, claim), count in budget.waiting.items():
                waiting[claim] += count
        yield _gauge(
            "runlake_requests_waiting",
            "Requests that wait for their turn in a budget.",
            [({"claim": claim.name.lower()}, count) for claim, count in waiting.items()],
        )

    def _ledger(self) -> Iterator[Metric]:
        daemon, chores = self._daemon, self._daemon.chores
        database = daemon.config.database
        yield CounterMetricFamily("runlake_publishes", "Copies made for readers.", chores.published)
        yield _gauge("runlake_publish_seconds", "What the last one took.", [({}, chores.publish_s)])
        if chores.as_of is not None:
            yield _gauge("runlake_published_timestamp_seconds", "When it was made.", [({}, _epoch(chores.as_of))])
        yield _gauge("runlake_doubled_rows", "Runs that the daily audit found twice: always 0.", [({}, chores.doubled)])
        with suppress(OSError):
            yield _gauge("runlake_ledger_bytes", "Size of its file.", [({}, database.stat().st_size)])
        with suppress(OSError):
            yield _gauge(
                "runlake_disk_free_bytes", "Free on its disk.", [({}, shutil.disk_usage(database.parent).free)]
            )

    def _alerts(self) -> Iterator[Metric]:
        daemon, alerting = self._daemon, self._daemon.alerting
        yield _gauge(
            "runlake_alerts_firing",
            "Alerts that fire, as of the last evaluation.",
            [({"rule": rule.name}, alerting.firing[rule.name]) for rule in daemon.config.rules],
        )
        yield _gauge("runlake_alerting_up", "Whether alerts are judged and told.", [({}, alerting.error is None)])
        told = CounterMetricFamily("runlake_messages", "Messages that channels took or refused.", labels=["result"])
        for result in ("delivered", "failed"):
            told.add_metric([result], alerting.told[result])
        yield told
        yield _gauge("runlake_alerts_seconds", "What the last evaluation and delivery took.", [({}, alerting.seconds)])


def _gauge(name: str, text: str, values: list[tuple[dict[str, str], float]]) -> GaugeMetricFamily:
    labels = list(values[0][0]) if values else []
    gauge = GaugeMetricFamily(name, text, labels=labels)
    for of, value in values:
        gauge.add_metric(list(of.values()), float(value))
    return gauge


def _epoch(instant: datetime) -> float:
    return instant.timestamp()
