"""Secrets by reference: the config names where a secret lives, never what it is."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from runlake.errors import ConfigError


class Secret:
    """A reference `{ env = "NAME" }` or `{ file = "path" }`, read when first needed and held in memory only.

    Printing, pickling or dumping one shows the reference. `reveal()` raises ConfigError where nothing is there.
    """

    __slots__ = ("_kind", "_value", "_where")

    def __init__(self, *, env: str | None = None, file: str | None = None) -> None:
        self._kind, self._where = ("env", env) if env is not None else ("file", file or "")
        self._value: str | None = None

    def __repr__(self) -> str:
        return f"Secret({self._kind}={self._where!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._kind, self._where)

    def __eq__(self, other: object) -> bool:
        """Whether both name the same place; what lies there is not looked at."""
        return isinstance(other, Secret) and (self._kind, self._where) == (other._kind, other._where)

    def __hash__(self) -> int:
        return hash((self._kind, self._where))

    def reveal(self) -> str:
        if self._value is None:
            self._value = self._read()
        return self._value

    @property
    def place(self) -> str:
        """`env NAME` or `file PATH`."""
        return f"{self._kind} {self._where}"

    @property
    def everybody_may_read(self) -> bool:
        """Whether it is in a file whose mode lets any user of this machine read it."""
        if self._kind == "env":
            return False
        with suppress(OSError):
            return bool(Path(self._where).expanduser().stat().st_mode & stat.S_IROTH)
        return False

    def expires_at(self) -> datetime | None:
        """When a JSON Web Token ends by its own account (`exp`, RFC 7519; its signature is not looked at). None where
        the secret is no such token or does not say. Raises ConfigError as `reveal` does."""
        parts = self.reveal().split(".")
        if len(parts) != 3:
            return None
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
            return datetime.fromtimestamp(claims["exp"], UTC)
        except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
            return None

    def _read(self) -> str:
        if self._kind == "env":
            value = os.environ.get(self._where, "")
            missing = f'environment variable {self._where} is not set; set it, or use {{ file = "..." }}'
        else:
            path = Path(self._where).expanduser()
            try:
                value = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8 text"
                raise ConfigError(f"cannot read the secret file {path}: {reason}") from None
            missing = f"the secret file {path} is empty"
        value = value.strip()
        if not value:
            raise ConfigError(missing)
        if not value.isascii() or not value.isprintable():
            raise ConfigError(f"the secret at {self._kind} {self._where} has characters no HTTP header can carry")
        return value

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(repr)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "type": "object",
            "description": 'Where the secret lives: { env = "NAME" } or { file = "path" }.',
            "properties": {"env": {"type": "string"}, "file": {"type": "string"}},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        }

    @classmethod
    def _validate(cls, value: Any) -> Secret:
        if isinstance(value, cls):
            return value
        # The value itself is kept out of the message: it may be the secret.
        if isinstance(value, dict) and len(value) == 1:
            kind, where = next(iter(value.items()))
            if kind in ("env", "file") and isinstance(where, str) and where:
                return cls(**{kind: where})
        raise PydanticCustomError(
            "secret_reference", 'secrets are given by reference: write { env = "NAME" } or { file = "path" }'
        )


def _again(kind: str, where: str) -> Secret:
    return Secret(env=where) if kind == "env" else Secret(file=where)


def secrets_of(settings: BaseModel) -> dict[str, Secret]:
    """The secrets among the values of a model, by their keys."""
    return {key: value for key, value in settings if isinstance(value, Secret)}


def expiries(secrets: Mapping[str, Secret]) -> dict[str, datetime]:
    """By key, when each ends that says so. Those that cannot be read are left out."""
    found = {}
    for key, secret in secrets.items():
        with suppress(ConfigError):
            if (at := secret.expires_at()) is not None:
                found[key] = at
    return found
