"""A report as HTML: a page of its own, and what mail clients can show."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256

from jinja2 import Environment
from markupsafe import Markup

from runlake.formats import clean
from runlake.report.charts.theme import declarations
from runlake.report.formats.templates import Filters, environment, filled
from runlake.report.formats.wording import code
from runlake.report.model import Chart, Report

LONGEST_MAIL = 95_000
"""Bytes of HTML: Gmail cuts off what is longer than 102 kB."""

_ROWS = (5, 3, 1, 0)
"""Of each list in a mail: as many as LONGEST_MAIL has room for."""


def html(report: Report) -> str:
    """One file: no script, no style but its own, and nothing is fetched; links lead to vendors' runs alone."""
    css = _jinja().get_template("report.css").render()
    digest = b64encode(sha256(css.encode()).digest()).decode()
    return filled(_jinja(), "report.html.jinja", report, css=Markup(css), digest=digest)  # noqa: S704 (our own)


def mail(report: Report) -> str:
    """Every style is on its element and every width gives way: clients drop style sheets, and recolour as they like."""
    for most in _ROWS:
        page = filled(_jinja(), "mail.html.jinja", report, most=most)
        if len(page.encode()) <= LONGEST_MAIL:
            break
    return page


def image_id(chart: Chart) -> str:
    """What a mail's HTML calls a chart's image."""
    return f"{chart.key}@report.runlake"


# Where a line must not end: `2 h 5 min`, `92.1 %`, `Mon 16 Nov`.
_TOGETHER = re.compile(
    r"(?<=\d) (?=(?:%|ms|s|min|h|d|x)(?!\w))|(?:(?<=\d [dh])|(?<=\d min)) (?=\d+ (?:h|min|s)(?!\w))"
    r"|(?<=Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?=\d)|(?<=\d) (?=[A-Z][a-z]{2}\b)"
)


def _held_together(text: str) -> str:
    return _TOGETHER.sub("\N{NO-BREAK SPACE}", text)


@cache
def _jinja() -> Environment:
    filters: Filters = {
        "code": lambda sql: Markup.escape(code(sql)),
        "drawn": lambda chart: Markup(chart.svg),  # noqa: S704 (our own drawing: its texts are escaped there)
    }
    jinja = environment(lambda said: _held_together(clean(said)), filters, html=True)
    jinja.globals |= {"declarations": _declarations, "image_id": image_id}
    return jinja


def _declarations(dark: bool) -> Markup:
    return Markup(declarations(dark=dark))  # noqa: S704 (constants)
