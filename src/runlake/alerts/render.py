"""Messages as people and programs read them: a title, plain text, HTML, and data.

A page is made once, of lines of which each part may lead somewhere, and then shown as text or as HTML. Its first two
lines say why it was sent and what went wrong; what many have in common is said once. The HTML has nothing but
paragraphs, breaks, bold labels and links: chats turn it into forms of their own, and lose tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from html import escape
from typing import Any

from runlake.alerts.message import Event, Message
from runlake.alerts.quoting import link, quoted
from runlake.alerts.reasons import by_reason, reason
from runlake.alerts.wording import headline, thing, title, when
from runlake.config.alerting import Severity
from runlake.formats import lasting, plain, some
from runlake.store.alerting import Story

__all__ = ["LONGEST_TEXT", "data", "html", "text", "title"]

LONGEST_TEXT = 4000
"""Characters: chats cut what is longer, or refuse it."""

# Together they keep every text below that.
_WHY, _ERROR, _NAME, _WORD = 400, 800, 50, 100
_REASONS, _REASON, _NAMES = 3, 200, 10
_OPEN, _HELD = 10, 4

_COLOURS = {Severity.CRITICAL: "#b42318", Severity.WARNING: "#b54708", Severity.INFO: "#175cd3"}
_OVER = "#067647"


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    parts: Sequence[_Part]
    label: str | None = None


_Page = list[list[_Line]]
"""Blocks of lines."""


def text(message: Message) -> str:
    """At most LONGEST_TEXT characters."""
    return "\n\n".join("\n".join(_as_text(line) for line in block) for block in _page(message))


def html(message: Message) -> str:
    """A fragment that carries its own style; it says what the text says, and names lead to the vendor's pages."""
    colour = _OVER if message.event is Event.RESOLVE else _COLOURS[message.severity]
    blocks = "\n".join(f"<p>{'<br>'.join(_as_html(line) for line in block)}</p>" for block in _page(message))
    style = f"border-left:4px solid {colour};padding-left:12px;font-family:sans-serif;line-height:1.4"
    return f'<div style="{style}">\n{blocks}\n</div>'


def data(message: Message) -> dict[str, Any]:
    """What JSON can say of it, instants in UTC. Vendors' text is as it came, not cut: it is for programs."""
    return {
        "version": 1,
        "event": message.event.value,
        "message_id": message.message_id,
        "thread": message.thread,
        "severity": message.severity.value,
        "title": title(message),
        "at": plain(message.at),
        "whole": message.whole,
        "again": message.again,
        "alerts": [_datum(message, story) for story in message.stories],
    } | (
        {"since": plain(message.since), "opened": message.opened, "resolved": message.resolved}
        if message.event is Event.DIGEST
        else {}
    )


def _datum(message: Message, story: Story) -> dict[str, Any]:
    """An alert's fields, and beside them those of its story."""
    fields = asdict(story)
    found: dict[str, Any] = plain(fields.pop("alert") | fields)
    if message.event is Event.DIGEST:
        found["held"] = message.held.get(story.alert.alert_id)
    return found


# --- the two forms of a page -----------------------------------------------------------------------------------------


def _as_text(line: _Line) -> str:
    said = "".join(part.text for part in line.parts)
    return said if line.label is None else f"{line.label}: {said}"


def _as_html(line: _Line) -> str:
    said = "".join(
        escape(part.text) if part.url is None else f'<a href="{escape(part.url)}">{escape(part.text)}</a>'
        for part in line.parts
    )
    return said if line.label is None else f"<b>{escape(line.label)}:</b> {said}"


def _line(said: str, label: str | None = None, url: str | None = None) -> _Line:
    return _Line([_Part(said, url)], label)


def _named(stories: Sequence[Story], most: int) -> list[_Part]:
    """Their names, with links to their runs; beyond `most`, how many more they are."""
    parts: list[_Part] = []
    for story in stories[:most]:
        parts += [_Part(", ")] if parts else []
        parts.append(_Part(thing(story.alert, _NAME), link(story.run_url)))
    return parts if len(stories) <= most else [*parts, _Part(f", and {len(stories) - most:,} more")]


# --- what is on it ---------------------------------------------------------------------------------------------------


def _page(message: Message) -> _Page:
    if message.event is Event.TEST:
        page = [[_line(quoted(story.alert.why, _WHY))] for story in message.stories[:1]]
    elif message.event is Event.DIGEST:
        page = _digest(message)
    elif len(message.stories) == 1:
        page = _of_one(message, message.stories[0])
    else:
        page = _of_many(message)
    return [*page, [_line("This may have been sent before.")]] if message.again else page


def _of_one(message: Message, story: Story) -> _Page:
    alert = story.alert
    over = alert.state == "resolved"
    if over:
        first = [_line(quoted(alert.resolution or "it fires no more", _WHY), "Over"), _line(_lasted(message, story))]
    else:
        first = [_line(quoted(alert.why, _WHY), "Why")]
        first += [_line(quoted(story.error, _ERROR), "Error")] if story.error else []
    rest: list[_Line] = []
    if not over:
        rest.append(_line(_since(message, [story]), "Since"))
    elif message.event is not Event.RESOLVE:
        rest.append(_line(quoted(alert.why, _WHY), "Why"))
    if story.failed_step:
        rest.append(_line(quoted(story.failed_step, _WORD), "Step"))
    if story.ended_lately:
        rest.append(_line(f"{story.failed_lately:,} of {some(story.ended_lately, 'run')} failed in 7 days", "Lately"))
    if story.last_success_at is not None:
        rest.append(_line(when(story.last_success_at, message.at, message.zone), "Last success"))
    if story.run_id:
        words = f', "{quoted(story.vendor_status, _WORD)}" in the vendor\'s words' if story.vendor_status else ""
        rest.append(_line(f"{quoted(story.run_id, _WORD)}{words}", "Run"))
    rest += _flapping([story])
    rest += _link(story)
    rest += _whose([story])
    rest.append(_line(quoted(alert.rule, _WORD), "Rule"))
    rest += _seen(message, [story])
    rest.append(_line(f"runlake alerts show {alert.alert_id[:8]}", "More"))
    return [first, rest]


def _of_many(message: Message) -> _Page:
    stories, total = message.stories, len(message.stories)
    is_over = message.event is Event.RESOLVE
    reasons = by_reason(stories, over=is_over)
    page: _Page = []
    for each in reasons[:_REASONS]:
        alike = len(each.stories)
        step = f"in step {quoted(each.step, _NAME)}: " if each.step and not is_over else ""
        share = f"All {total:,}" if alike == total else f"{alike:,} of {total:,}"
        page.append([_line(f"{step}{quoted(each.text, _REASON)}", share), _Line(_named(each.stories, _NAMES))])
    if others := reasons[_REASONS:]:
        alerts = some(sum(len(each.stories) for each in others), "alert")
        page.append([_line(f"And {alerts} more, for {some(len(others), 'other reason')}.")])
    rest: list[_Line] = []
    if is_over:
        rest.append(_line(f"up to {lasting(max(map(_length, stories)))}", "Lasted"))
    else:
        rest.append(_line(_since(message, stories), "Since"))
        ended = sum(story.alert.state == "resolved" for story in stories)
        rest += [_line(f"{ended:,} of {total:,}", "Over by now")] if ended else []
    if not message.whole:
        rest.append(_line("others of which the same message told", "Still open"))
    rest += _flapping(stories)
    rest += _link(next((story for story in reasons[0].stories if link(story.run_url)), stories[0]), "For example")
    rest += _whose(stories)
    rest.append(_line(_first_three(story.alert.rule for story in stories), "Rule"))
    rest += _seen(message, stories)
    rest.append(_line("runlake alerts list", "More"))
    return [*page, rest]


def _digest(message: Message) -> _Page:
    oldest = sorted(message.stories, key=lambda story: story.alert.since)
    first: list[_Line] = []
    if oldest:
        age = lasting(message.at - oldest[0].alert.since)
        are = "is" if len(oldest) == 1 else "are"
        first.append(_line(f"{some(len(oldest), 'alert')} {are} open, the oldest for {age}."))
    if message.since is not None:
        since = when(message.since, message.at, message.zone)
        first.append(_line(f"Since {since} {message.opened:,} opened and {message.resolved:,} were resolved."))
    apart: dict[str, list[Story]] = defaultdict(list)
    told: list[Story] = []
    for story in oldest:
        word = message.held.get(story.alert.alert_id)
        (told if word is None else apart[word]).append(story)
    lines = [_open(message, story) for story in told[:_OPEN]]
    lines += [_line(f"And {len(told) - _OPEN:,} more.")] if len(told) > _OPEN else []
    held = [_Line(_named(stories, _HELD), f"{word.capitalize()}, {len(stories):,}") for word, stories in apart.items()]
    return [block for block in (first, lines, held, [_line("runlake alerts list", "More")]) if block]


def _open(message: Message, story: Story) -> _Line:
    alert = story.alert
    begin = f"{lasting(message.at - alert.since)}: {alert.severity.upper()} "
    what = _Part(headline(alert, _NAME + 30), link(story.run_url))
    return _Line([_Part(begin), what, _Part(f": {quoted(reason(story), _WORD)}")])


# --- lines that several have -----------------------------------------------------------------------------------------


def _since(message: Message, stories: Sequence[Story]) -> str:
    first = min(story.alert.since for story in stories)
    return f"{when(first, message.at, message.zone)}, {lasting(message.at - first)} ago"


def _length(story: Story) -> timedelta:
    alert = story.alert
    return (alert.resolved_at or alert.judged_at) - alert.since


def _lasted(message: Message, story: Story) -> str:
    alert = story.alert
    begin, end = (when(at, message.at, message.zone) for at in (alert.since, alert.resolved_at or alert.judged_at))
    return f"It lasted {lasting(_length(story))}, from {begin} to {end}."


def _flapping(stories: Sequence[Story]) -> list[_Line]:
    """Who hears no more of it shall not take that for a good sign."""
    count = sum(story.alert.flapping for story in stories)
    if not count:
        return []
    which = "it comes and goes" if len(stories) == 1 else f"{count:,} of {len(stories):,} come and go"
    return [_line(f"{which}; until that is over, only the digest tells more", "Flapping")]


def _link(story: Story, label: str = "Link") -> list[_Line]:
    """The address as text where it is none to be clicked; no line where there is none."""
    if not story.run_url:
        return []
    url = link(story.run_url)
    return [_line(url or quoted(story.run_url, 2 * _WORD), label, url)]


def _whose(stories: Sequence[Story]) -> list[_Line]:
    owners = {story.alert.owner for story in stories if story.alert.owner}
    return [_line(_first_three(owners), "Owner")] if owners else []


def _first_three(words: Iterable[str]) -> str:
    """Up to three of them, and how many more there are."""
    different = sorted(set(words))
    shown = ", ".join(quoted(word, _NAME) for word in different[:3])
    return shown if len(different) <= 3 else f"{shown}, and {len(different) - 3:,} more"


def _seen(message: Message, stories: Sequence[Story]) -> list[_Line]:
    """How fresh our view is: of many, the oldest."""
    if all(story.alert.source is None for story in stories):
        return []  # found by a query, which has no clock of a source
    through = [story.observed_through for story in stories if story.alert.source is not None]
    known = [at for at in through if at is not None]
    if len(known) < len(through):
        return [_line("not everything yet", "Seen")]
    oldest = min(known)
    ago = lasting(message.at - oldest)
    return [_line(f"everything until {when(oldest, message.at, message.zone)}, {ago} ago", "Seen")]
