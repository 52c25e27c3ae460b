"""The TOML file, checked whole before anything is polled."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from runlake.config.alerting import Alerts, AnyRule, Cron, Maintenance, Name, Owner, rules_in_force
from runlake.config.channels import AnyChannel
from runlake.config.checking import check_alerting, check_reports
from runlake.config.problems import first_problem, there_is, with_place
from runlake.config.reports import Report
from runlake.config.spans import Span
from runlake.connector import AnyConnector, Settings, connectors
from runlake.errors import ConfigError
from runlake.model import RunStatus, StatusTable
from runlake.secret import Secret, secrets_of


def _status(word: object) -> RunStatus:
    try:
        return RunStatus(str(word))
    except ValueError:
        raise PydanticCustomError(
            "status", "{word} is no unified status; there are {all}", {"word": repr(word), "all": ", ".join(RunStatus)}
        ) from None


def _file(path: Path) -> Path:
    try:
        path = path.expanduser()
    except RuntimeError:
        raise ValueError(f"there is no home folder {path.parts[0]}") from None
    if not path.name or "\0" in str(path):
        raise ValueError("write the name of a file")
    return path


class Hook(BaseModel):
    """Who may hint that a run of this source has changed: `POST /hooks/SOURCE` on the daemon."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: Secret = Field(description="Shared with whoever sends hints.")
    header: str = Field(
        default="X-Runlake-Token",
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="The header that carries the secret, or the signature.",
    )
    scheme: Literal["token", "hmac-sha256"] = Field(
        default="token", description="The secret itself, or a signature of the body made with it."
    )


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not int(port) < 65536:
        raise ValueError('write an address and a port, such as "127.0.0.1:8321" or "[::1]:8321"')
    return text


Statuses = dict[str, Annotated[RunStatus, BeforeValidator(_status)]]


class Source(BaseModel):
    """One configured account at a vendor: a `[[source]]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="What you call this account; unique.")
    connector: str = Field(description="The vendor; `runlake connectors` lists them.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="What the connector needs: address, secrets, ids."
    )
    every: Span = Field(default=timedelta(minutes=5), description="How often to sync.")
    fastest: Span | None = Field(
        default=None, description="How often at most, while runs are open. Default: a fifth of `every`."
    )
    slowest: Span | None = Field(
        default=None, description="How often at least, while nothing happens. Default: three times `every`."
    )
    cron: Cron | None = Field(default=None, description="Instead of `every`: a crontab's five fields and a time zone.")
    history: Span = Field(default=timedelta(days=30), description="How far back the first sync goes.")
    sweep_every: Span = Field(default=timedelta(hours=6), description="How often recently final runs are listed again.")
    sweep_window: Span = Field(default=timedelta(days=3), description="How far back a sweep goes.")
    coverage_every: Span | None = Field(
        default=None, description="How often the vendor's whole list is compared with the ledger. Default: never."
    )
    steps: Literal["all", "failed", "none"] = Field(
        default="all", description="Whose steps to read where that costs a request a run."
    )
    store_payloads: Literal["none", "allowed"] = Field(
        default="allowed",
        description="Whether to keep the fields that the connector declares, as the vendor said them.",
    )
    requests_per_hour: float | None = Field(default=None, gt=0, description="The most to ask of this account.")
    concurrency: int = Field(default=8, ge=1, le=64, description="The most requests under way at once.")
    owner: str | None = Field(default=None, description="Sources with the same owner share one budget of requests.")
    statuses: Statuses = Field(default_factory=dict, description="Overrides of the status mapping of runs.")
    step_statuses: Statuses = Field(default_factory=dict, description="Overrides of the status mapping of steps.")
    hook: Hook | None = Field(default=None, description="Who may hint that a run has changed. Default: nobody.")

    @model_validator(mode="after")
    def _in_order(self) -> Source:
        if not self.soonest <= self.every <= self.latest:
            raise ValueError("fastest, every and slowest: write them in that order, the shortest first")
        return self

    @property
    def soonest(self) -> timedelta:
        return self.fastest or max(self.every / 5, min(self.every, timedelta(seconds=10)))

    @property
    def latest(self) -> timedelta:
        return self.slowest or self.every * 3

    def connector_type(self) -> type[AnyConnector]:
        return connectors()[self.connector]

    def build(self) -> AnyConnector:
        """The connector with its settings, which `load` has checked."""
        kind = self.connector_type()
        return kind(kind.settings_type.model_validate(self.settings))

    def secrets(self) -> dict[str, Secret]:
        """By key, what is kept secret: the connector's settings, and `hook.secret`."""
        found = secrets_of(self.build().settings)
        return {**found, "hook.secret": self.hook.secret} if self.hook is not None else found

    def tables(self) -> Mapping[str, tuple[StatusTable, StatusTable]]:
        """By level, the connector's own table and this source's overrides."""
        kind = self.connector_type()
        return {
            "run": (kind.statuses, StatusTable(self.statuses)),
            "step": (kind.step_statuses, StatusTable(self.step_statuses)),
        }


class Daemon(BaseModel):
    """What `runlake daemon` does besides polling: the `[daemon]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:8321", description="Where health, metrics, SQL and hooks are served."
    )
    publish_every: Span = Field(
        default=timedelta(minutes=1),
        description="How often at most readers get a fresh copy; after an alert, within seconds.",
    )
    sql_token: Secret | None = Field(
        default=None, description="The bearer token for POST /sql. Default: none, and no SQL over the network."
    )
    ping_url: Secret | None = Field(
        default=None,
        description="An address to GET each minute while polling works: a dead man's switch. Default: none.",
    )
    keep_payloads: Span | None = Field(
        default=None, description="How long vendors' own fields are kept. Default: for ever."
    )
    keep_snapshots: Span | None = Field(
        default=None, description="How long superseded states of runs are kept. Default: for ever."
    )

    @property
    def stamps_every(self) -> timedelta:
        """How often at most they get one in which only how far we have seen is new."""
        return self.publish_every * 5


class Config(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database: Annotated[Path, AfterValidator(_file)] = Field(
        default=Path("runlake.duckdb"), description="The ledger's file, relative to the config file."
    )
    daemon: Daemon = Field(default_factory=Daemon, description="What the daemon does besides polling.")
    source: list[Source] = Field(default_factory=list, description="The accounts to poll.")
    alerts: Alerts = Field(default_factory=Alerts, description="What holds for all rules and channels.")
    rule: list[AnyRule] = Field(default_factory=list, description="What to alert on, besides what is built in.")
    channel: list[AnyChannel] = Field(default_factory=list, description="Where alerts and reports go.")
    owner: list[Owner] = Field(default_factory=list, description="Whose pipelines are whose.")
    maintenance: list[Maintenance] = Field(default_factory=list, description="Times in which nobody is told.")
    report: list[Report] = Field(
        default_factory=list,
        description="Reports of the last whole week, at fixed times: one for each team, of what is theirs.",
    )

    @property
    def rules(self) -> list[AnyRule]:
        """The rules in force."""
        return rules_in_force(self.rule)

    def select(self, names: list[str]) -> list[Source]:
        """The sources named, or all. Raises ConfigError for a name that is not there."""
        known = {source.name: source for source in self.source}
        for name in names:
            if name not in known:
                raise ConfigError(f"no source '{name}' in the config; {there_is(name, list(known))}")
        return [known[name] for name in names] or self.source


def load(path: Path) -> Config:
    """The checked config, `database` made absolute from the file's folder. Raises ConfigError: one line, with place."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors put a mark in front
    except FileNotFoundError:
        raise ConfigError(f"no config at {path}; `runlake init` writes one, --config names another") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {with_place(error, text)}") from None
    try:
        config = Config.model_validate(_anchored(data, path.parent.absolute()))
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_problem(error, data, Config)}") from None
    try:
        _check_sources(config)
        check_alerting(config)
        check_reports(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    reports = [each.model_copy(update={"folder": each.folder and path.parent / each.folder}) for each in config.report]
    return config.model_copy(update={"database": path.parent / config.database, "report": reports})


_NO_SECRETS = ("labels", "statuses", "step_statuses")
"""Tables whose keys are the vendors' words, of which `file` may be one."""


def _anchored(data: Any, folder: Path) -> Any:
    """The same, with `{ file = "…" }` of secrets counted from the config's folder, wherever the command is given."""
    if isinstance(data, dict):
        if data.keys() == {"file"} and isinstance(data["file"], str):
            with suppress(RuntimeError):  # "~nobody/x": said when it is read
                return {"file": str(folder / Path(data["file"]).expanduser())}
            return {"file": str(folder / data["file"])}
        return {key: value if key in _NO_SECRETS else _anchored(value, folder) for key, value in data.items()}
    return [_anchored(value, folder) for value in data] if isinstance(data, list) else data


def _check_sources(config: Config) -> None:
    seen: set[str] = set()
    for source in config.source:
        if source.name in seen:
            raise ConfigError(f"two sources are named '{source.name}'; names are unique")
        seen.add(source.name)
        if source.connector not in connectors():
            raise ConfigError(
                f"source {source.name}: no connector '{source.connector}'; "
                f"{there_is(source.connector, list(connectors()))}"
            )
        kind: type[Settings] = source.connector_type().settings_type
        try:
            kind.model_validate(source.settings)
        except ValidationError as error:
            problem = first_problem(error, source.settings, kind)
            raise ConfigError(f"source {source.name}: settings: {problem}") from None
