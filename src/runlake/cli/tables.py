"""Tables of a config as text: every key with its default or an example, and what it is for, from the models."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, HttpUrl
from pydantic.fields import FieldInfo

from runlake.secret import Secret

PLACEHOLDER = "REPLACE-ME"


def keys(model: type[BaseModel], examples: Mapping[str, str], *, without: Collection[str] = ()) -> list[str]:
    """A line for each key, commented out: `#key = …` where it is the default or has to be there, else `# key = …`, an
    example. `examples` are in TOML, of keys without a value of their own; `without` leaves out fields."""
    defaults = model.model_construct().model_dump(mode="json", by_alias=True)
    lines = []
    for name, info in model.model_fields.items():
        key, text = info.alias or name, info.description or ""
        if name in without:
            continue
        if info.is_required():
            lines.append(f"#{key} = {examples[key]}  # {text}")
        elif defaults[key] in (None, "", [], {}):
            lines.append(f"# {key} = {examples[key]}  # {text if 'Default:' in text else f'{text} Default: none.'}")
        else:
            lines.append(f"#{key} = {toml(defaults[key])}  # {text}")
    return lines


def toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case Mapping():
            return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }" if value else "{}"
        case list():
            return "[" + ", ".join(toml(each) for each in value) + "]"
    # JSON's escapes are TOML's, as long as nothing is written as a surrogate pair.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def blank(table: str, name: str, info: FieldInfo) -> Any:
    """Something of the right shape that nobody takes for the real thing; secrets are references to the environment."""
    if is_secret(info):
        return {"env": variable(table, name)}
    if HttpUrl in _types(info):
        return "https://example.invalid"
    return [PLACEHOLDER] if is_list(info) else PLACEHOLDER


def variable(table: str, key: str) -> str:
    """`acme-prod`, `token` → `ACME_PROD_TOKEN`"""
    return "".join(c if c.isalnum() else "_" for c in f"{table}_{key}").upper()


def is_secret(info: FieldInfo) -> bool:
    return Secret in _types(info)


def is_list(info: FieldInfo) -> bool:
    return any(typing.get_origin(each) is list for each in _types(info))


def _types(info: FieldInfo) -> tuple[Any, ...]:
    hint = info.annotation
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
