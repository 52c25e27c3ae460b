"""Which pipelines and which of their runs a rule is about, and whose they are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Generic, TypeVar

from runlake.config.alerting import Owner, RunRule, Scope
from runlake.store.alerting import SeenRun

_MAGIC = re.compile(r"[*?[]")

S = TypeVar("S", bound=Scope)


def matches(patterns: Sequence[str], *words: str | None) -> bool:
    """Whether one of the words matches one of the `Patterns`, and none matches one of those with `!`. None is no word;
    without any, whether none is asked for."""
    return not patterns or _compiled(tuple(patterns))(words)


def in_scope(scope: Scope, source: str, pipeline_id: str | None = None, pipeline_name: str | None = None) -> bool:
    """Whether it is about this pipeline, by id or by name; without one, about the source as such."""
    if scope.sources and not _compiled(tuple(scope.sources))((source,)):
        return False
    return not scope.pipelines or _compiled(tuple(scope.pipelines))((pipeline_id, pipeline_name))


class Scoped(Generic[S]):
    """Many things with a scope, asked for those of one pipeline after another. What several say in the same words is
    tried once: each of a thousand rules for each of a thousand pipelines takes longer than judging them."""

    def __init__(self, things: Sequence[S]) -> None:
        self._things = things
        self._by_source: dict[str, dict[tuple[str, ...], list[tuple[int, S]]]] = {}

    def of(self, source: str, pipeline_id: str, pipeline_name: str | None) -> list[S]:
        """Those that are about this pipeline (`in_scope`), in their order."""
        if source not in self._by_source:
            self._by_source[source] = defaultdict(list)
            for place, thing in enumerate(self._things):
                if matches(thing.sources, source):
                    self._by_source[source][tuple(thing.pipelines)].append((place, thing))
        found: list[tuple[int, S]] = []
        for patterns, things in self._by_source[source].items():
            if matches(patterns, pipeline_id, pipeline_name):
                found += things
        return [thing for _, thing in sorted(found, key=lambda each: each[0])]


def counted(rule: RunRule, runs: Iterable[SeenRun], *, vanished: bool = False) -> list[SeenRun]:
    """The runs that the rule looks at, in their order; those gone from the vendor only where they are asked for."""
    looked_at = [run for run in runs if vanished or not run.vanished]
    if rule.triggers:
        # A pipeline's runs have few triggers among them.
        fit = {trigger: matches(rule.triggers, trigger) for trigger in {run.trigger for run in looked_at}}
        if not all(fit.values()):
            looked_at = [run for run in looked_at if fit[run.trigger]]
    if rule.labels:
        looked_at = [run for run in looked_at if _labelled(rule.labels, run.labels)]
    if rule.where is not None:
        looked_at = [run for run in looked_at if rule.where in run.holds]
    return looked_at


def owner_of(
    owners: Sequence[Owner],
    source: str,
    pipeline_id: str | None,
    pipeline_name: str | None,
    labels: Mapping[str, str],
) -> str | None:
    """Whose it is: what the first table says that matches; None where none does."""
    for owner in owners:
        if in_scope(owner, source, pipeline_id, pipeline_name) and _labelled(owner.labels, labels):
            return owner.name
    return None


def _labelled(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(matches([pattern], labels.get(label)) for label, pattern in wanted.items())


# A thousand rules meet a thousand changed pipelines in one evaluation: lists of patterns are compiled once.
@lru_cache(maxsize=10_000)
def _compiled(patterns: tuple[str, ...]) -> Callable[[Iterable[str | None]], bool]:
    wanted = _test([pattern for pattern in patterns if not pattern.startswith("!")])
    unwanted = _test([pattern[1:] for pattern in patterns if pattern.startswith("!")])

    def fits(words: Iterable[str | None]) -> bool:
        found = wanted is None
        for word in words:
            if word is None:
                continue
            if unwanted is not None and unwanted(word):
                return False
            found = found or wanted is None or bool(wanted(word))
        return found

    return fits


def _test(patterns: list[str]) -> Callable[[str], object] | None:
    """Whether a word matches one of them; None where there are none."""
    if not patterns:
        return None
    if not any(map(_MAGIC.search, patterns)):
        return frozenset(patterns).__contains__
    return re.compile("|".join(map(translate, patterns))).match
