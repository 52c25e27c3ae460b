"""Which chart stands beside which section."""

from __future__ import annotations

from collections.abc import Sequence

from runlake.report.model import Chart, Report, Section

BESIDE = {"durations": "slower"}
"""By a chart's key, that of the section it tells of. All others stand before the first section."""


def overview(report: Report) -> Sequence[Chart]:
    sections = {section.key for section in report.sections}
    return [chart for chart in report.charts if BESIDE.get(chart.key) not in sections]


def beside(report: Report, section: Section) -> Sequence[Chart]:
    return [chart for chart in report.charts if BESIDE.get(chart.key) == section.key]
