"""Which runs a report is about: patterns as the config has them, said as conditions in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate

from runlake.alerts.scope import matches
from runlake.config.alerting import Owner
from runlake.config.problems import there_is
from runlake.errors import ConfigError
from runlake.store.database import quoted


@dataclass(frozen=True, slots=True)
class Scope:
    """Patterns (config.alerting.Patterns) of sources, of pipelines by id or by name, of owners that `[[owner]]` tables
    give, and of labels. Without any: all runs."""

    sources: Sequence[str] = ()
    pipelines: Sequence[str] = ()
    owners: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def said(self) -> dict[str, str]:
        """By option, what it is limited to."""
        limits = {
            "source": ", ".join(self.sources),
            "pipeline": ", ".join(self.pipelines),
            "owner": ", ".join(self.owners),
            "label": ", ".join(f"{key}={pattern}" for key, pattern in sorted(self.labels.items())),
        }
        return {option: limit for option, limit in limits.items() if limit}

    @property
    def of_runs(self) -> bool:
        """Whether it is limited by more than sources."""
        return bool(self.pipelines or self.owners or self.labels)

    def condition(self, owners: Sequence[Owner]) -> str:
        """On the columns of `runs`; "" where there is none. Raises ConfigError: no table is called so."""
        said = [*_pipelines(self.sources, self.pipelines), *_labels(self.labels)]
        if self.owners:
            said.append(_owners(self.owners, owners))
        return " AND ".join(said)

    def has_source(self, name: str) -> bool:
        return matches(self.sources, name)


def _owners(patterns: Sequence[str], owners: Sequence[Owner]) -> str:
    names = {owner.name for owner in owners}
    if not any(matches(patterns, name) for name in names):
        there = there_is(patterns[0], sorted(names)) if names else "the config has no [[owner]]"
        raise ConfigError(f"no owner '{', '.join(patterns)}'; {there}")
    # Whose a run is, the first table that matches says, also where that is somebody who was not asked for.
    cases = []
    for owner in owners:
        condition = " AND ".join([*_pipelines(owner.sources, owner.pipelines), *_labels(owner.labels)]) or "true"
        cases.append(f"WHEN {condition} THEN {_truth(matches(patterns, owner.name))}")
    return f"CASE {' '.join(cases)} ELSE {_truth(matches(patterns, None))} END"


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _pipelines(sources: Sequence[str], pipelines: Sequence[str]) -> list[str]:
    said = [like("source", sources)] if sources else []
    if pipelines:
        said.append(like("pipeline_id", pipelines, "pipeline_name"))
    return said


def _labels(labels: Mapping[str, str]) -> list[str]:
    return [like(f"labels[{quoted(key)}]", [pattern]) for key, pattern in labels.items()]


def like(word: str, patterns: Sequence[str], other: str | None = None) -> str:
    """In SQL what `matches` says of one or two words, each an expression that may be NULL: no word."""
    words = [word] if other is None else [word, other]
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    said = [f"coalesce({_any(words, wanted)}, false)"] if wanted else []
    if unwanted:
        said.append(f"NOT coalesce({_any(words, unwanted)}, false)")
    return f"({' AND '.join(said)})"


def _any(words: Sequence[str], patterns: Sequence[str]) -> str:
    """NULL where no word is there, or where only the absent one could have matched."""
    return f"({' OR '.join(_fits(word, pattern) for word in words for pattern in patterns)})"


def _fits(word: str, pattern: str) -> str:
    if not any(character in pattern for character in "*?["):
        return f"{word} = {quoted(pattern)}"
    # Not GLOB: its `?` is one byte. DuckDB's expressions (RE2) know no atomic group and no look-ahead; without a group
    # that keeps what it took, the same texts match, and the look-ahead is that of an empty range, which matches none.
    expression = translate(pattern).removesuffix(r"\Z").removesuffix(r"\z")
    expression = expression.replace("(?>", "(?:").replace("(?!)", r"[^\x00-\x{10FFFF}]")
    return f"regexp_full_match({word}, {quoted(expression)})"
