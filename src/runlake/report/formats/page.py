"""A report as HTML: a page of its own, and what mail clients can show."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from runlake.alerts.quoting import link
from runlake.formats import clean
from runlake.report.charts.theme import declarations
from runlake.report.formats.placing import beside, overview
from runlake.report.formats.wording import DIRECTIONS, NOTHING, NUMERIC, Wording, change, code, heading, named
from runlake.report.model import Chart, Report

LONGEST_MAIL = 95_000
"""Bytes of HTML: Gmail cuts off what is longer than 102 kB."""

_ROWS = (5, 3, 1, 0)
"""Of each list in a mail: as many as LONGEST_MAIL has room for."""


def html(report: Report) -> str:
    """One file: no script, and nothing is fetched; links lead to vendors' runs alone."""
    return _page("report.html.jinja", report)


def mail(report: Report) -> str:
    """Every style is on its element and every width gives way: clients drop style sheets, and recolour as they like."""
    for most in _ROWS:
        page = _page("mail.html.jinja", report, most)
        if len(page.encode()) <= LONGEST_MAIL:
            break
    return page


def image_id(chart: Chart) -> str:
    """What a mail's HTML calls a chart's image."""
    return f"{chart.key}@report.runlake"


def _page(template: str, report: Report, most: int | None = None) -> str:
    """`most`: rows of each list; all of them by default."""
    return _jinja().get_template(template).render(report=report, words=Wording(report.period), most=most)


# Where a line must not end: `2 h 5 min`, `92.1 %`, `Mon 16 Nov`.
_TOGETHER = re.compile(
    r"(?<=\d) (?=(?:%|ms|s|min|h|d|x)(?!\w))|(?<=Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?=\d)|(?<=\d) (?=[A-Z][a-z]{2}\b)"
)


def _held_together(text: str) -> str:
    return _TOGETHER.sub("\N{NO-BREAK SPACE}", text)


@cache
def _jinja() -> Environment:
    jinja = Environment(
        loader=PackageLoader("runlake.report", "formats"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup) else _held_together(clean(str(value))),
    )
    jinja.globals |= {
        "DIRECTIONS": DIRECTIONS,
        "NOTHING": NOTHING,
        "NUMERIC": NUMERIC,
        "beside": beside,
        "declarations": lambda dark: Markup(declarations(dark=dark)),  # noqa: S704 (constants)
        "heading": heading,
        "image_id": image_id,
        "overview": overview,
    }
    jinja.filters |= {
        "change": change,
        "code": lambda sql: Markup.escape(code(sql)),
        "drawn": lambda chart: Markup(chart.svg),  # noqa: S704 (our own drawing: its texts are escaped there)
        "link": link,
        "named": named,
    }
    return jinja
