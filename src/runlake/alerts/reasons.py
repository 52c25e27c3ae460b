"""What many alerts have in common: forty pipelines that fail because one database is away are one piece of news."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from runlake.store.alerting import Story

_COMPARED = 1000
"""So many characters of an error are compared."""

_BLANK = "…"
_BLANKS = re.compile(rf"{_BLANK}(?:[-:./+, ]{{1,2}}{_BLANK})+")
"""What was an instant, an address, or a list: one blank says as much."""

# UUIDs, then tokens of letters and digits that are long and have two digits at least, then numbers.
_IDS = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?<![0-9a-z])(?=[a-z]*[0-9][a-z]*[0-9])[0-9a-z]{8,}(?![0-9a-z])"
    r"|[0-9]+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """A text, and those of which it is told: the vendor's own where all say the same, else with blanks where they
    differ. `step` is the one at which all of them failed."""

    text: str
    stories: Sequence[Story]
    step: str | None = None


def reason(story: Story, *, over: bool = False) -> str:
    """The vendor's error, where there is one, else why the rule fired; of what is `over`, what ended it."""
    if over and story.alert.resolution:
        return story.alert.resolution
    return story.error or story.alert.why


def by_reason(stories: Sequence[Story], *, over: bool = False) -> list[Reason]:
    """The stories by reason, that of most of them first; what differs in numbers, ids and names only, is the same."""
    alike: dict[str, list[Story]] = defaultdict(list)
    texts: dict[str, set[str]] = defaultdict(set)
    for story in stories:
        text = " ".join(reason(story, over=over)[:_COMPARED].split())
        blanked = _blanked(text, story)
        alike[blanked].append(story)
        texts[blanked].add(text)
    found = []
    for blanked, same in alike.items():
        steps = {story.failed_step for story in same}
        text = texts[blanked].pop() if len(texts[blanked]) == 1 else blanked
        found.append(Reason(text, same, steps.pop() if len(steps) == 1 else None))
    return sorted(found, key=lambda each: -len(each.stories))


def _blanked(text: str, story: Story) -> str:
    alert = story.alert
    names = {name for name in (alert.pipeline_id, alert.pipeline_name, story.run_id) if name and name in text}
    if names:
        either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        text = re.sub(rf"(?<!\w)(?:{either})(?!\w)", _BLANK, text)
    return _BLANKS.sub(_BLANK, _IDS.sub(_BLANK, text))
