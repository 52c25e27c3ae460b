"""How requests are signed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from runlake.errors import UnexpectedResponse
from runlake.secret import Secret

if TYPE_CHECKING:
    from runlake.http.client import VendorHttp


class Sign(Protocol):
    """How a source's requests are signed."""

    async def headers(self, http: VendorHttp) -> Mapping[str, str]: ...

    def renew(self) -> bool:
        """The vendor refused the last signature. True where asking `headers` again may give another."""
        ...

    def secrets(self) -> list[str]:
        """The values to keep out of every message."""
        ...


class _Fixed:
    def __init__(self, headers: Mapping[str, tuple[str, Secret]], plain: Mapping[str, str]) -> None:
        self._headers, self._plain = headers, plain

    async def headers(self, http: VendorHttp) -> Mapping[str, str]:
        return {**self._plain, **{name: prefix + secret.reveal() for name, (prefix, secret) in self._headers.items()}}

    def renew(self) -> bool:
        return False

    def secrets(self) -> list[str]:
        return [secret.reveal() for _, secret in self._headers.values()]


def bearer(token: Secret, **plain: str) -> Sign:
    """`Authorization: Bearer <token>`, with further headers that are no secret."""
    return _Fixed({"Authorization": ("Bearer ", token)}, plain)


def api_key(header: str, key: Secret, plain: Mapping[str, str] | None = None) -> Sign:
    """The bare key in a header of the vendor's choice."""
    return _Fixed({header: ("", key)}, plain or {})


class Login:
    """A bearer token that the vendor hands out for a user name and password, asked for again when it is refused."""

    def __init__(self, path: str, token_field: str, username: str, password: Secret) -> None:
        self._path, self._token_field = path, token_field
        self._username, self._password = username, password
        self._token: str | None = None
        self._refused = ""
        self._one_login = asyncio.Lock()

    async def headers(self, http: VendorHttp) -> Mapping[str, str]:
        async with self._one_login:
            if self._token is None:
                body = {"username": self._username, "password": self._password.reveal()}
                answer = await http.post(self._path, json=body, into=dict[str, Any], signed=False)
                token = answer.get(self._token_field)
                if not isinstance(token, str) or not token:
                    raise UnexpectedResponse(f"POST {self._path} gave no {self._token_field!r}")
                self._token = token
        return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> bool:
        self._refused, self._token = self._token or self._refused, None
        return True

    def secrets(self) -> list[str]:
        return [self._password.reveal(), self._token or "", self._refused]
