"""Whether the channels took what they were sent last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runlake.cli import show
from runlake.cli.doctor.finding import Finding, problem
from runlake.config.alerting import AnyChannel
from runlake.store.query import Reader


def findings(channels: Sequence[AnyChannel], reader: Reader) -> Iterator[Finding]:
    known = {channel.name for channel in channels}
    for name, since, error in reader.alerting().failing():
        if name in known:
            text = f"no message has arrived since {show.local(since, seconds=False)} {show.zone()}: {error}"
            yield problem(f"channel {name}", text, f"runlake alerts test-channel {name}")
