"""A thousand sources that all fail, beside some that work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from .conftest import Account, Running, configure, free_port, until

Begin = Callable[..., Running]
HEALTHY = [f"healthy-{n}" for n in range(5)]
MiB = 2**20


def test_a_thousand_failing_sources_cost_a_line_each_and_hold_nobody_up(account: Account, begin: Begin) -> None:
    refused = f"http://127.0.0.1:{free_port()}"
    configure(
        account.folder,
        *(account.named(name, "esper", 'every = "2s"\nslowest = "2s"') for name in HEALTHY),
        *(account.named(f"failing-{n}", "clerk", "", base_url=refused) for n in range(1000)),
    )
    daemon = begin()
    assert daemon.wait_for("daemon.started")["sources"] == 1005
    for name in HEALTHY:
        daemon.wait_for("source.synced", source=name, outcome="ok")

    def done() -> list[float]:
        ok = 'runlake_attempts_total{kind="sync",outcome="ok",source="%s"}'
        return [daemon.metric(ok % name)[""] for name in HEALTHY]

    before = done()
    # Not all of them: a first sync of a source costs the ledger some 30 ms.
    until(lambda: len(daemon.said("source.down")) >= 150, "lines of many")
    until(lambda: all(now >= then + 2 for now, then in zip(done(), before, strict=True)), "healthy syncs")
    assert set(Counter(told["source"] for told in daemon.said("source.down")).values()) == {1}
    assert not [told for told in daemon.said("source.down") if told["source"] in HEALTHY]
    assert daemon.metric("process_resident_memory_bytes")[""] < 400 * MiB
    assert daemon.get("/healthz").status_code == 200
    code, seconds = daemon.end()
    assert (code, seconds < 10) == (0, True)
