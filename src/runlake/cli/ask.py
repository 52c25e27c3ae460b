"""What `runlake init` asks at a terminal, or takes from flags instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from runlake.cli import init, show
from runlake.cli.advice import secret_places
from runlake.cli.tables import PLACEHOLDER, is_list, is_secret
from runlake.config import Source
from runlake.connector import connectors
from runlake.errors import ConfigError


def draft(connector: str | None, name: str | None, given: Sequence[str], *, interactive: bool) -> init.Draft | None:
    """The first source; None where none was named and nobody is there to ask. Raises ConfigError for wrong flags."""
    kinds = connectors()
    if connector is None:
        if not interactive or given or name:
            if given or name:
                raise ConfigError("--name and --set need --connector; `runlake connectors` lists them")
            return None
        show.note("Which vendor first? " + ", ".join(kinds))
        connector = typer.prompt("connector", err=True)
        asking = True
    else:
        asking = False
    if connector not in kinds:
        raise ConfigError(f"no connector '{connector}'; there are {', '.join(kinds)}")
    if asking and name is None:
        name = typer.prompt("name of the source", default=connector, err=True)
    made = init.Draft(connector, name or connector, dict(_setting(connector, text) for text in given))
    if asking:
        for key, info in kinds[connector].settings_type.model_fields.items():
            if info.is_required() and not is_secret(info):
                made.settings[key] = _value(info, typer.prompt(key, err=True))
    # Nothing is checked against the vendor here; the shape is, as `load` would.
    chosen = init.settings(made)
    try:
        Source(name=made.name, connector=connector, settings=chosen)
        kinds[connector].settings_type.model_validate(chosen)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise ConfigError(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg'].removeprefix('Value error, ')}") from None
    return made


def _setting(connector: str, text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    fields = connectors()[connector].settings_type.model_fields
    if not equals or not key:
        raise ConfigError(f"--set {text}: write KEY=VALUE")
    if key not in fields:
        raise ConfigError(f"connector {connector} has no setting '{key}'; there are {', '.join(fields)}")
    if is_secret(fields[key]):
        raise ConfigError(f"--set {key}: secrets are not written on a command line; the config will name a variable")
    return key, _value(fields[key], value)


def _value(info: Any, text: str) -> Any:
    if is_list(info):
        return [item.strip() for item in text.split(",") if item.strip()]
    if text.lower() in ("true", "false") and info.annotation is bool:
        return text.lower() == "true"
    return int(text) if text.isdecimal() and info.annotation is int else text


def following(draft: init.Draft | None, path: Path) -> list[str]:
    """What to do next."""
    option = "" if str(path) == "runlake.toml" else f" --config {path}"
    if draft is None:
        return [
            f"every connector's source is in it, commented out: keep the ones you need, then: runlake{option} check"
        ]
    source = Source(name=draft.name, connector=draft.connector, settings=init.settings(draft))
    secrets = " and ".join(secret_places(source))
    blank = any(PLACEHOLDER in str(value) for value in init.settings(draft).values())
    todo = [
        *([f"set {secrets}"] if secrets else []),
        *([f"replace what says {PLACEHOLDER}"] if blank else []),
        f"runlake{option} check",
        f"runlake{option} daemon",
    ]
    return [f"next: {', then '.join(todo)}"]
