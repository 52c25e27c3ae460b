"""The report's pictures, drawn without a browser."""

from __future__ import annotations

from runlake.report.asking import at, span
from runlake.report.model import Chart
from runlake.report.period import Period
from runlake.store.query import Reader


def draw(reader: Reader, period: Period) -> list[Chart]:
    """Those charts for which there is anything to show. The relation `known` on the reader holds the attempts that they
    are of, from the whole of `period.history`; it is the one thing that a chart's `sql` needs beside the copy."""
    from runlake.report.charts import calendar, durations, hours, rates, strip  # noqa: PLC0415 (Altair: half a second)

    seen = {
        row["source"]: row["observed_through"]
        for row in reader.read(
            f"SELECT source, observed_through FROM source_coverage({span(period)}, known_at := {at(period.known_at)})"
        )
    }
    drawn = [
        calendar.draw(reader.read(calendar.query(period)), seen, period),
        rates.draw(reader.read(rates.query(period)), period),
        durations.draw(reader.read(durations.query(period)), period),
        strip.draw(reader.read(strip.query(period)), period),
        hours.draw(reader.read(hours.query(period)), period),
    ]
    return [chart for chart in drawn if chart is not None]
