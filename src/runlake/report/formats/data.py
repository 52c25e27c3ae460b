"""A report as JSON: values as they are, instants in UTC, shares from 0 to 1, charts as the table behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runlake.alerts.quoting import link
from runlake.formats import json_text
from runlake.report.model import Chart, Column, Report, Row, Section


def json(report: Report) -> str:
    """One object. Keys only ever grow; vendors' texts are whole, but addresses are http, https or null."""
    period = report.period
    return (
        json_text(
            {
                "version": 1,
                "title": report.title,
                "period": {
                    "name": period.name,
                    "first": period.first,
                    "end": period.end,
                    "zone": period.zone.key,
                    "since": period.since,
                    "until": period.until,
                    "known_at": period.known_at,
                },
                "scope": report.scope,
                "direction": report.direction,
                "verdict": report.verdict,
                "look_at": [{"text": it.text, "about": it.about, "url": link(it.url)} for it in report.look_at],
                "warnings": report.warnings,
                "figures": [
                    {
                        "name": figure.name,
                        "kind": figure.kind,
                        "value": figure.value,
                        "before": figure.before,
                        "good": figure.good,
                        "sql": figure.sql,
                    }
                    for figure in report.figures
                ],
                "sections": [_section(section) for section in report.sections],
                "charts": [_chart(chart) for chart in report.charts],
                "definitions": report.definitions,
            },
            indent=2,
        )
        + "\n"
    )


def _section(section: Section) -> dict[str, Any]:
    return {
        "key": section.key,
        "title": section.title,
        "lead": section.lead,
        **_table(section.columns, section.rows),
        "more": section.more,
        "sql": section.sql,
    }


def _chart(chart: Chart) -> dict[str, Any]:
    return {
        "key": chart.key,
        "title": chart.title,
        "alt": chart.alt,
        **_table(chart.columns, chart.rows),
        "sql": chart.sql,
    }


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "columns": [{"name": column.name, "kind": column.kind} for column in columns],
        "rows": [{"values": row.values, "url": link(row.url)} for row in rows],
    }
