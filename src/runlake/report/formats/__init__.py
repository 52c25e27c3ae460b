"""A report as a page, as Markdown, as plain text and as data: the same things in the same order.

Nothing here decides what is said. What vendors have written is shown on one line and without power over whatever
shows it; the same report gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runlake.report.model import Report


class Format(StrEnum):
    HTML = "html"
    MARKDOWN = "md"
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Mail:
    """What a mail is made of: its HTML shows each of `images` (id, PNG) by `cid:<id>`; `text` says the same in 80
    columns."""

    html: str
    text: str
    images: Sequence[tuple[str, bytes]]


def render(report: Report, format_: Format) -> str:
    """The whole of it, with a newline at its end. HTML is one file that fetches nothing and runs nothing."""
    match format_:
        case Format.HTML:
            from runlake.report.formats.page import html as shown  # noqa: PLC0415 (Jinja, for those who render)
        case Format.MARKDOWN:
            from runlake.report.formats.markdown import markdown as shown  # noqa: PLC0415
        case Format.TEXT:
            from runlake.report.formats.text import text as shown  # noqa: PLC0415
        case Format.JSON:
            from runlake.report.formats.data import json as shown  # noqa: PLC0415
    return shown(report)


def mail(report: Report) -> Mail:
    """For mail clients: what leads each list, in a layout that needs neither style sheets nor a wide screen."""
    from runlake.report.formats import page  # noqa: PLC0415 (Jinja, for those who render)

    images = [(page.image_id(chart), chart.png) for chart in report.charts]
    return Mail(page.mail(report), render(report, Format.TEXT), images)
