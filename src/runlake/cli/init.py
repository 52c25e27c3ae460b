"""Configs to start from: every key with its default and what it is for, generated from the models that `load` uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from runlake.cli.init_alerts import alert_tables
from runlake.cli.tables import blank, is_secret, keys, toml
from runlake.config import Config, Daemon, Source
from runlake.config.spans import span_text
from runlake.connector import Settings, connectors
from runlake.errors import ConfigError

HEAD = """\
# What runlake polls, and where it keeps what it saw.
#
# `#key = value` is what holds without the line; `# key = value` is an example of what there is none of otherwise.
# Secrets are never written here, only where they are kept: {{ env = "NAME" }} or {{ file = "path" }}.
# `runlake check` checks this file and asks each vendor; `runlake config schema` describes it to editors.

# {description}
{database}
"""


_EXAMPLES: Mapping[str, str] = {
    "fastest": '"1m"',
    "slowest": '"15m"',
    "cron": '"*/15 8-18 * * mon-fri Europe/Berlin"',
    "coverage_every": '"1d"',
    "requests_per_hour": "1000",
    "owner": '"acme"',
    "hook": '{ secret = { env = "HOOK_SECRET" }, header = "X-Hub-Signature-256", scheme = "hmac-sha256" }',
    "sql_token": '{ env = "RUNLAKE_SQL_TOKEN" }',
    "ping_url": '{ env = "RUNLAKE_PING_URL" }',
    "keep_payloads": '"90d"',
    "keep_snapshots": '"400d"',
    "statuses": '{ INVALID = "skipped" }',
    "step_statuses": '{ INVALID = "skipped" }',
}
"""Of keys without a value of their own."""


@dataclass(slots=True)
class Draft:
    """A source to be written. `settings` hold what the user gave; the rest is filled in or commented out."""

    connector: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


def config(drafts: Sequence[Draft], *, commented: bool = False) -> str:
    """The text of a config with these sources; `commented`: all of it commented out, as an example."""
    database = Config.model_fields["database"]
    line = f"database = {toml(database.default)}"
    parts = [HEAD.format(description=database.description, database=f"#{line}" if commented else line), _daemon()]
    parts += [_source(draft, "#" if commented else "", whole=draft is drafts[0]) for draft in drafts]
    return "\n".join([*parts, alert_tables()])


def _daemon() -> str:
    """Its table, all of it commented out: each key has a default that will do."""
    lines = [f"# {Config.model_fields['daemon'].description}", "#[daemon]", *keys(Daemon, _EXAMPLES)]
    return "\n".join(lines) + "\n"


def _source(draft: Draft, mark: str, *, whole: bool) -> str:
    """`whole`: with the keys that every source has."""
    kind = connectors()[draft.connector]
    fields = Source.model_fields
    lines = [
        f"# {kind.title}. Verified against: {kind.verified}.",
        f"{mark}[[source]]",
        f"{mark}name = {toml(draft.name)}  # {fields['name'].description}",
        f"{mark}connector = {toml(draft.connector)}  # {fields['connector'].description}",
    ]
    if whole:
        lines += keys(Source, _EXAMPLES, without={"name", "connector", "settings"})
    lines.append(f"{mark}[source.settings]")
    chosen = settings(draft)
    for name, info in kind.settings_type.model_fields.items():
        if name in chosen:
            lines.append(f"{mark}{name} = {toml(chosen[name])}")
        else:
            lines.append(_optional(name, info, draft.name))
    return "\n".join(lines) + "\n"


def _optional(name: str, info: FieldInfo, source: str) -> str:
    default = info.get_default(call_default_factory=True)
    if default is not None and default != []:
        return f"#{name} = {toml(default)}"
    return f"# {name} = {toml(blank(source, name, info))}"


def settings(draft: Draft) -> dict[str, Any]:
    """The draft's settings with blanks for what is required and not given; secrets are references to the environment.

    Where a connector wants one secret of several, the first that will do is taken. Raises ConfigError for a key that
    the connector does not know.
    """
    model = connectors()[draft.connector].settings_type
    for name in draft.settings:
        if name not in model.model_fields:
            known = ", ".join(model.model_fields)
            raise ConfigError(f"connector {draft.connector} has no setting '{name}'; there are {known}")
    chosen = {
        name: draft.settings[name] if name in draft.settings else blank(draft.name, name, info)
        for name, info in model.model_fields.items()
        if name in draft.settings or info.is_required()
    }
    if _valid(model, chosen):
        return chosen
    for name, info in model.model_fields.items():
        if name not in chosen and is_secret(info):
            more = {**chosen, name: blank(draft.name, name, info)}
            if _valid(model, more):
                return {key: more[key] for key in model.model_fields if key in more}
    return chosen


def _valid(model: type[Settings], values: Mapping[str, Any]) -> bool:
    try:
        model.model_validate(values)
    except ValidationError:
        return False
    return True


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the config, with each connector's settings where it is named."""
    from pydantic.json_schema import GenerateJsonSchema, models_json_schema  # noqa: PLC0415 (for this command alone)

    class AsWritten(GenerateJsonSchema):
        """Shows lengths of time that are defaults as the file has them, not as ISO 8601 does."""

        def encode_default(self, dft: Any) -> Any:
            return span_text(dft) if isinstance(dft, timedelta) else super().encode_default(dft)

    kinds = {name: kind.settings_type for name, kind in connectors().items()}
    models: list[type[BaseModel]] = [Config, *kinds.values()]
    references, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/$defs/{model}", schema_generator=AsWritten
    )
    defs = definitions["$defs"]
    source = defs["Source"]
    source["properties"]["connector"]["enum"] = list(kinds)
    source["allOf"] = [
        {
            "if": {"properties": {"connector": {"const": name}}, "required": ["connector"]},
            "then": {"properties": {"settings": references[model, "validation"]}},
        }
        for name, model in kinds.items()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **defs.pop("Config"),
        "title": "runlake.toml",
        "$defs": defs,
    }


def write(path: Path, text: str, *, force: bool) -> None:
    """Raises ConfigError where there is a file already, or none can be made."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} is there already; --force overwrites it") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def example() -> str:
    """Every connector's source, all of it commented out."""
    return config([Draft(name, f"{name}-prod") for name in connectors()], commented=True)
