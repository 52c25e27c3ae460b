"""How a report becomes the text of a template: whatever is put into it is made fit for its format first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from runlake.alerts.quoting import link
from runlake.report.formats.placing import beside, overview
from runlake.report.formats.wording import DIRECTIONS, NOTHING, NUMERIC, Wording, change, heading, named
from runlake.report.model import Report

Filters = Mapping[str, Callable[..., Any]]


class Ready(str):
    """What is fit for its format already; in HTML that is Markup."""

    __slots__ = ()


def environment(escape: Callable[[str], str], filters: Filters, *, html: bool) -> Environment:
    """`escape` is what becomes of every value that is not ready; for HTML, before it is escaped besides."""
    jinja = Environment(
        loader=PackageLoader("runlake.report", "formats"),
        autoescape=html,  # noqa: S701 (what is no HTML is escaped by `finalize`)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Ready | Markup) else escape(str(value)),
    )
    jinja.globals |= {
        "DIRECTIONS": DIRECTIONS,
        "NOTHING": NOTHING,
        "NUMERIC": NUMERIC,
        "beside": beside,
        "heading": heading,
        "overview": overview,
    }
    jinja.filters |= {"change": change, "link": link, "named": named, **filters}
    return jinja


def filled(jinja: Environment, template: str, report: Report, **more: Any) -> str:
    return jinja.get_template(template).render(report=report, words=Wording(report.period), **more)
