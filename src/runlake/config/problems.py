"""What is wrong with a file, on one line that says what to write instead."""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

_MOST_NAMED = 12


def there_is(word: str, known: Sequence[str]) -> str:
    """`there is etl`, of what is like the word, or else of all."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"there is {close[0]}"
    if not known:
        return "there are none"
    named = sorted(known)[:_MOST_NAMED]
    more = f" and {len(known) - len(named)} more" if len(known) > len(named) else ""
    return f"there {'is' if len(known) == 1 else 'are'} {', '.join(named)}{more}"


def with_place(error: tomllib.TOMLDecodeError, text: str) -> str:
    message = str(error)
    if twice := re.search(r"\('(source|rule|channel|owner|maintenance|report)',\)", message):
        name, place = twice[1], message[message.rfind("(") :]
        message = f"Several [{name}] tables: write [[{name}]], in double brackets {place}"
    if "at end of document" in message:
        lines = text.splitlines() or [""]
        message = message.replace("at end of document", f"at line {len(lines)}, column {len(lines[-1]) + 1}")
    return message[0].lower() + message[1:]


def first_problem(error: ValidationError, data: Any, model: type[BaseModel]) -> str:
    """One line of a pydantic error, which quotes no value: a misplaced secret must not be shown."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    # A mistyped key is told before the one that is missing for it.
    problem = min(problems, key=lambda each: each["type"] != "extra_forbidden")
    where, data, place, models = _in_tables(list(problem["loc"]), data, model)
    key, kind = ".".join(str(part) for part in place), problem["type"]
    if kind == "extra_forbidden":
        message = f"unknown key '{key}'; {there_is(key, keys(models[0]))}"
    elif kind.startswith("union_tag"):
        kinds = [word for each in models for word in typing.get_args(each.model_fields["kind"].annotation)]
        written = data.get("kind") if isinstance(data, dict) else None
        message = f"no kind '{written}'" if isinstance(written, str) else "'kind' is missing"
        message = f"{message}; {there_is(str(written), kinds)}"
    elif kind == "list_type" and _tables(models[0], key):
        message = f"write [[{key}]], in double brackets: there may be several"
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        message = f"{key}: write a table: [{key}], or {key} = {{ … }}" if key else "write a table"
    elif kind == "missing":
        message = f"'{key}' is missing"
    else:
        text = problem["msg"].removeprefix("Value error, ")
        message = f"{key}: {text}" if key else text
    return ": ".join([*where, message])


def keys(model: type[BaseModel]) -> list[str]:
    """As they are written."""
    return [info.alias or name for name, info in model.model_fields.items()]


def _in_tables(
    place: list[Any], data: Any, model: type[BaseModel]
) -> tuple[list[str], Any, list[Any], list[type[BaseModel]]]:
    """The tables that a place is in, in words; what was written as the innermost; what is left of the place there; and
    its model, or several where its `kind` is none."""
    where: list[str] = []
    models = [model]
    while len(place) > 1 and len(models) == 1 and (inner := _tables(models[0], place[0])):
        name, data = str(place[0]), data.get(place[0]) if isinstance(data, Mapping) else None
        models, place = inner, place[1:]
        if isinstance(place[0], int):
            data = data[place[0]] if isinstance(data, list) else None
            called = data.get("name") if isinstance(data, dict) else None
            where.append(f"{name} {called if isinstance(called, str) else place[0] + 1}")
            place = place[1:]
        else:
            where.append(name)
        if len(models) > 1 and place:
            tag, *place = place
            models = [each for each in models if tag in typing.get_args(each.model_fields["kind"].annotation)]
    return where, data, place, models


def _tables(model: type[BaseModel], key: str) -> list[type[BaseModel]]:
    """The models of a key whose value is a table or a list of tables: several where `kind` tells which."""
    for name, info in model.model_fields.items():
        if key == (info.alias or name):
            return _models(info.annotation)
    return []


def _models(hint: Any) -> list[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return [hint]
    return [each for part in typing.get_args(hint) for each in _models(part)]
