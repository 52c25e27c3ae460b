"""What is alerted on, and whose it is: the tables `alerts`, `rule`, `owner` and `maintenance`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from runlake.config.spans import SPAN_PATTERN, Span, span, span_text


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


def cron(text: str) -> str:
    """A crontab's five fields and a time zone, checked. Raises ValueError."""
    from runlake.cron import trigger  # noqa: PLC0415 (the scheduler, for those who write this key)

    trigger(text)
    return text


Cron = Annotated[str, AfterValidator(cron)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Pattern = Annotated[str, Field(min_length=1, max_length=500)]
Patterns = list[Pattern]
"""Shell patterns (`*`, `?`, `[a-c]`), of which one is to match; what matches one that begins with `!` is left out. With
none, or only such with `!`: everything else."""


def _grace(text: object) -> timedelta:
    return timedelta() if text == "0s" else span(text)


Grace = Annotated[
    timedelta,
    BeforeValidator(_grace),
    PlainSerializer(span_text),
    WithJsonSchema({"type": "string", "pattern": SPAN_PATTERN, "examples": ["0s", "15m"]}),
]
"""As Span, or "0s"."""


class Table(BaseModel):
    """Of the config: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Scope(Table):
    """Which pipelines something is about."""

    sources: Patterns = Field(default_factory=list, description="Patterns of sources. Default: all.")
    pipelines: Patterns = Field(
        default_factory=list, description="Patterns of pipelines, by id or by name. Default: all."
    )


class Rule(Scope):
    """What every rule has. `kind` says what it looks for."""

    severity_of_kind: ClassVar[Severity] = Severity.WARNING
    for_of_kind: ClassVar[timedelta] = timedelta()
    without: ClassVar[Mapping[str, str]] = {}
    """Keys of every rule that say nothing about this kind, and what does."""

    name: Name = Field(default="", description="What you call the rule; unique. Default: its kind.")
    kind: str = Field(description="What it looks for.")
    enabled: bool = Field(default=True, description="false: it is not evaluated, and replaces the built-in one.")
    severity: Severity | None = Field(default=None, description="info, warning or critical. Default: its kind's.")
    for_: Grace | None = Field(
        default=None, alias="for", description="How long it must have held before anybody is told. Default: its kind's."
    )
    repeat_every: Span | None = Field(default=None, description="How often to tell it again. Default: never.")
    owner: str | None = Field(default=None, description="Whose it is. Default: what [[owner]] says.")

    @model_validator(mode="before")
    @classmethod
    def _named_for_its_kind(cls, data: Any) -> Any:
        return {"name": data.get("kind"), **data} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _says_what_counts(self) -> Rule:
        for field, instead in self.without.items():
            if field in self.model_fields_set:
                raise ValueError(
                    f"a rule of this kind has no `{type(self).model_fields[field].alias or field}`; {instead}"
                )
        return self

    @property
    def told_as(self) -> Severity:
        return self.severity or self.severity_of_kind

    @property
    def holds_for(self) -> timedelta:
        return self.for_of_kind if self.for_ is None else self.for_

    @cached_property
    def definition(self) -> str:
        """What it finds, as JSON: all but what it is called, how it is told, and to whom. A rule whose definition has
        changed begins anew."""
        beside = {"name", "enabled", "severity", "for_", "repeat_every", "owner"}
        return json.dumps(self.model_dump(mode="json", exclude=beside), sort_keys=True)


class RunRule(Rule):
    """About the runs of a pipeline: one episode for each pipeline."""

    triggers: Patterns = Field(
        default=["!backfill*"], description="Patterns of what started the runs it looks at, in the vendor's words."
    )
    labels: dict[str, Pattern] = Field(default_factory=dict, description="Labels of these runs: a pattern for each.")
    where: str | None = Field(default=None, description="These runs, as a condition in SQL on the view `runs`.")


class Failed(RunRule):
    """The last runs of a pipeline failed, and the vendor is not trying again."""

    severity_of_kind = Severity.CRITICAL
    for_of_kind = timedelta(minutes=1)

    kind: Literal["failed"]
    in_a_row: int = Field(default=1, ge=1, le=100, description="How many runs must have failed since the last success.")


class FailureRate(RunRule):
    """Many of a pipeline's runs fail."""

    kind: Literal["failure_rate"]
    above_percent: float = Field(default=50, ge=0, lt=100, description="Failures in 100 runs that succeeded or failed.")
    window: Span = Field(default=timedelta(days=1), description="Of the runs that ended in the last …")
    min_runs: int = Field(default=10, ge=1, le=200, description="With fewer there is nothing to be told.")


R = TypeVar("R", bound=RunRule)


def _learned_or(rule: R, fixed: object, *keys: str) -> R:
    """Raises ValueError where a limit is given, and how to learn one as well."""
    for key in keys:
        if fixed and key in rule.model_fields_set:
            raise ValueError(f"`{key}` is for learning from past runs: leave it out, or what is fixed")
    return rule


class TooLong(RunRule):
    """A run takes, or took, longer than a limit, or than this pipeline's usually do."""

    kind: Literal["too_long"]
    limit: Span | None = Field(default=None, description="A fixed limit. Default: learned.")
    factor: float = Field(default=3, ge=1, le=1000, description="Learned: so many times the 95th percentile.")
    at_least: Span = Field(default=timedelta(minutes=30), description="Learned: but no less than this.")
    min_runs: int = Field(default=10, ge=2, le=200, description="Learned: from at least so many successful runs.")

    @model_validator(mode="after")
    def _one_of_them(self) -> TooLong:
        return _learned_or(self, self.limit, "factor", "at_least", "min_runs")


class TooShort(RunRule):
    """A run succeeded faster than a limit, or than this pipeline's usually do: it may have done nothing."""

    kind: Literal["too_short"]
    limit: Span | None = Field(default=None, description="A fixed limit. Default: learned.")
    factor: float = Field(default=0.3, gt=0, le=1, description="Learned: so many times the 5th percentile.")
    min_runs: int = Field(default=20, ge=2, le=200, description="Learned: from at least so many successful runs.")

    @model_validator(mode="after")
    def _one_of_them(self) -> TooShort:
        return _learned_or(self, self.limit, "factor", "min_runs")


class Missing(RunRule):
    """No run came when one was due."""

    severity_of_kind = Severity.CRITICAL

    kind: Literal["missing"]
    cron: Cron | None = Field(
        default=None, description="When runs are due: a crontab's five fields and a time zone. Default: learned."
    )
    every: Span | None = Field(default=None, description="Or: at the latest so long after the one before.")
    early: Span = Field(default=timedelta(minutes=10), description="With cron: a run so much too early counts.")
    grace: Grace = Field(default=timedelta(minutes=15), description="How late a run may be created.")
    min_runs: int = Field(default=10, ge=3, le=200, description="Learned: from at least so many runs.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Missing:
        if self.cron and self.every:
            raise ValueError("write cron or every, not both")
        return _learned_or(self, self.cron or self.every, "min_runs")


class Waiting(RunRule):
    """A run waits for a person: a review, an approval, a pause."""

    kind: Literal["waiting"]
    longer_than: Span = Field(default=timedelta(days=1), description="How long is too long.")


class SourceRule(Rule):
    """About a source as a whole: one episode for each source."""

    without = {"pipelines": "it is about whole sources"}


class SourceUnobservable(SourceRule):
    """We cannot see a source; no alert about its runs fires or resolves meanwhile."""

    severity_of_kind = Severity.CRITICAL
    without = {**SourceRule.without, "for_": "write `after`"}

    kind: Literal["source_unobservable"]
    after: Span = Field(
        default=timedelta(minutes=15),
        description="After so long of failing; a refused or missing secret is told at once.",
    )


class NewStatusWord(SourceRule):
    """A vendor says a status word that nobody has mapped."""

    kind: Literal["new_status_word"]


class CoverageGap(SourceRule):
    """The vendor's own list has runs that the ledger lacks, also after they were asked for."""

    kind: Literal["coverage_gap"]


class ReportFailed(Rule):
    """A report of `[[report]]` could not be made, or somebody did not get it: one episode for each report."""

    for_of_kind = timedelta(minutes=15)
    without = {"sources": "it is about reports", "pipelines": "it is about reports"}

    kind: Literal["report_failed"]


class Sql(Rule):
    """Each row of a query is an alert; it resolves when its row is gone."""

    without = {"sources": "say it in `query`", "pipelines": "say it in `query`"}

    kind: Literal["sql"]
    query: str = Field(description="One SELECT on the published copy.")
    key: list[str] = Field(
        min_length=1, description="The columns that tell one alert from another: an episode for each of their values."
    )
    every: Span = Field(default=timedelta(minutes=5), description="How often it is asked.")


AnyRunRule = Failed | FailureRate | TooLong | TooShort | Missing | Waiting
AnySourceRule = SourceUnobservable | NewStatusWord | CoverageGap
AnyRule = Annotated[AnyRunRule | AnySourceRule | ReportFailed | Sql, Field(discriminator="kind")]

BUILT_IN: tuple[AnyRule, ...] = (
    Failed(kind="failed"),
    TooLong(kind="too_long"),
    Missing(kind="missing"),
    Waiting(kind="waiting"),
    SourceUnobservable(kind="source_unobservable"),
    NewStatusWord(kind="new_status_word"),
    CoverageGap(kind="coverage_gap"),
    ReportFailed(kind="report_failed"),
)
"""What is alerted on without a line of config. Each stands until the config has a rule of its kind."""


class Owner(Scope):
    """Whose pipelines these are: the first table that matches says it."""

    name: str = Field(min_length=1, max_length=64, description="A team or a person.")
    labels: dict[str, Pattern] = Field(default_factory=dict, description="Labels of the run: a pattern for each.")


class Maintenance(Scope):
    """A time in which nobody is told of these pipelines; what still fires after it, is told then."""

    name: str = Field(min_length=1, max_length=64, description="Why: shown beside what it holds back.")
    cron: Cron = Field(description="When it begins: a crontab's five fields and a time zone.")
    lasts: Span = Field(description="How long.")


class Alerts(Table):
    """What holds for all rules and channels: the `[alerts]` table."""

    digest: Cron = Field(
        default="0 9 * * * UTC",
        description="When channels get the digest of what is still open; its zone is also that of times in messages.",
    )
    flapping_after: int = Field(
        default=3, ge=2, le=100, description="Episodes of one alert in a day, after which only the digest tells more."
    )
    chronic_after: Span = Field(
        default=timedelta(days=14), description="How long something fires until only the digest tells it."
    )

    @property
    def zone(self) -> ZoneInfo:
        """In which messages show times."""
        return ZoneInfo(self.digest.split()[-1])


def rules_in_force(written: list[AnyRule]) -> list[AnyRule]:
    """Those of the config, and the built-in ones of kinds that it has none of."""
    kinds = {rule.kind for rule in written}
    return [rule for rule in (*(b for b in BUILT_IN if b.kind not in kinds), *written) if rule.enabled]
