"""What rules, channels, owners, maintenances and reports say of each other, of the sources and in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from runlake.config.alerting import BUILT_IN, AnyRule, RunRule, Sql
from runlake.config.problems import there_is
from runlake.errors import ConfigError

if TYPE_CHECKING:
    from runlake.config import Config


def check_alerting(config: Config) -> None:
    """Raises ConfigError, without the file's name."""
    kinds = {rule.kind for rule in config.rule}
    built_in = [rule.name for rule in BUILT_IN if rule.kind not in kinds]
    _require_unique("rule", [rule.name for rule in config.rule], built_in)
    _require_unique("channel", [channel.name for channel in config.channel])

    sources = [source.name for source in config.source]
    for what, scopes in (("rule", config.rule), ("owner", config.owner), ("maintenance", config.maintenance)):
        for scope in scopes:
            _require_matches(f"{what} {scope.name}: sources", "source", scope.sources, sources)
    rules = [*built_in, *(rule.name for rule in config.rule)]
    owners = {owner.name for owner in config.owner} | {rule.owner for rule in config.rule if rule.owner is not None}
    for channel in config.channel:
        _require_matches(f"channel {channel.name}: rules", "rule", channel.rules, rules)
        _require_matches(f"channel {channel.name}: owners", "owner", channel.owners, sorted(owners))
    _check_sql(config.rule)


def check_reports(config: Config) -> None:
    """Raises ConfigError, without the file's name."""
    _require_unique("report", [report.name for report in config.report])
    sources, owners = [source.name for source in config.source], [owner.name for owner in config.owner]
    known = {channel.name: channel for channel in config.channel}
    fit = [name for name, channel in known.items() if channel.takes_reports]
    for report in config.report:
        where = f"report {report.name}"
        _require_matches(f"{where}: sources", "source", report.sources, sources)
        _require_matches(f"{where}: owners", "owner", report.owners, owners)
        if not report.places(config.channel):
            raise ConfigError(f"{where}: nobody would get it: write `channels`, a `folder`, or a channel of kind mail")
        for name in report.channels or ():
            if name not in known:
                raise ConfigError(f"{where}: channels: no channel '{name}'; {there_is(name, list(known))}")
            if name not in fit:
                kind = known[name].kind
                raise ConfigError(
                    f"{where}: channels: '{name}' is of kind {kind}, which takes alerts only; of those that take "
                    f"reports {there_is(name, fit)}"
                )


def _require_unique(what: str, names: Sequence[str], built_in: Sequence[str] = ()) -> None:
    seen: set[str] = set()
    for name in names:
        if name in built_in:
            raise ConfigError(f"a {what} is named '{name}', as is the built-in one, which stands; give it another name")
        if name in seen:
            raise ConfigError(f"two {what}s are named '{name}'; give one of them another name")
        seen.add(name)


def _require_matches(where: str, what: str, patterns: Iterable[str], known: Sequence[str]) -> None:
    """A pattern that matches nothing is a mistyped one, also where it says what to leave out."""
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        if not any(fnmatchcase(name, wanted) for name in known):
            raise ConfigError(f"{where}: no {what} matches '{wanted}'; {there_is(wanted.strip('*?-._'), known)}")


def _check_sql(rules: Sequence[AnyRule]) -> None:
    """Asks DuckDB about the SQL of rules, where there is any: it takes 0.1 s."""
    conditions = {rule.where: rule.name for rule in rules if isinstance(rule, RunRule) and rule.where is not None}
    queries = [rule for rule in rules if isinstance(rule, Sql)]
    if not conditions and not queries:
        return
    from runlake.store.describing import EmptyLedger  # noqa: PLC0415 (DuckDB, for those who write SQL)

    with EmptyLedger() as ledger:
        for where, name in conditions.items():
            with _one_line(f"rule {name}: where"):
                ledger.require_condition(where)
        for rule in queries:
            with _one_line(f"rule {rule.name}: query"):
                columns = [column for column, _ in ledger.describe(rule.query)]
            for key in rule.key:
                if key not in columns:
                    raise ConfigError(
                        f"rule {rule.name}: key: the query has no column '{key}'; {there_is(key, columns)}"
                    )


@contextmanager
def _one_line(where: str) -> Iterator[None]:
    """What DuckDB says, without the lines that point at it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {str(error).splitlines()[0]}") from None
