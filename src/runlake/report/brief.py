"""A report in a few lines, for chats, and in one, for the subject of a mail."""

from __future__ import annotations

from runlake.alerts.quoting import cut, link, quoted
from runlake.report.formats.wording import DIRECTIONS, Wording, change, named
from runlake.report.model import Direction, Kind, Report

LONGEST_SUBJECT = 120
LONGEST_TEXT = 4000
"""Characters: chats cut what is longer, or refuse it."""


def subject(report: Report) -> str:
    """`Runs of 2026-W47: worse, 92.1 % (96.0 %)`: the verdict, and the first share among its figures with that of the
    period before."""
    words = Wording(report.period)
    said = [] if report.direction is Direction.UNKNOWN else [DIRECTIONS[report.direction][1].lower()]
    share = next((figure for figure in report.figures if figure.kind is Kind.SHARE), None)
    if share is not None and share.value is not None:
        before = f" ({words.shown(share.before, Kind.SHARE)})" if share.before is not None else ""
        said.append(words.shown(share.value, Kind.SHARE) + before)
    return cut(quoted(report.title, 80) + (f": {', '.join(said)}" if said else ""), LONGEST_SUBJECT)


def brief(report: Report) -> str:
    """The verdict, what makes it less than whole, what to look at, and the figures."""
    words = Wording(report.period)
    mark, word = DIRECTIONS[report.direction]
    blocks = [
        [f"{mark} {word}. {quoted(report.verdict, 500)}"],
        [f"! {quoted(warning, 200)}" for warning in report.warnings[:5]],
        [
            " ".join(filter(None, (f"{number}. {quoted(item.text, 300)}", link(item.url))))
            for number, item in enumerate(report.look_at, start=1)
        ],
        [
            f"{quoted(named(figure.name), 100)}: {words.shown(figure.value, figure.kind)} ({change(figure)})"
            for figure in report.figures
        ],
    ]
    return cut("\n\n".join("\n".join(block) for block in blocks if block), LONGEST_TEXT)
