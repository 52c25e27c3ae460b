"""What can be known of a secret without showing it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runlake.errors import ConfigError
from runlake.secret import Secret, expiries


def token(claims: bytes) -> str:
    parts = (b'{"alg":"none"}', claims, b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "token"


def test_a_token_says_when_it_ends(file: Path) -> None:
    file.write_text(token(b'{"sub":"runlake","exp":1784019600}') + "\n")
    assert Secret(file=str(file)).expires_at() == datetime(2026, 7, 14, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "plain-api-key",
        "a.b",
        "a.b.c",
        "...",
        "a.b.c.d",
        token(b"[]"),
        token(b"{}"),
        token(b"not json"),
        token(b"\xff"),
        token(b'{"exp":null}'),
        token(b'{"exp":"soon"}'),
        token(b'{"exp":NaN}'),
        token(b'{"exp":1e300}'),
        token(b'{"exp":' + b"9" * 400 + b"}"),
        token(b"[" * 20_000),
    ],
)
def test_other_secrets_say_nothing(file: Path, text: str) -> None:
    file.write_text(text)
    assert Secret(file=str(file)).expires_at() is None


def test_what_cannot_be_read_has_no_end_that_is_known(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNLAKE_UNSET", raising=False)
    secrets = {"token": Secret(file=str(file)), "password": Secret(env="RUNLAKE_UNSET")}
    assert expiries(secrets) == {}
    with pytest.raises(ConfigError, match="cannot read the secret file"):
        secrets["token"].expires_at()


@pytest.mark.parametrize(("mode", "everybody"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_tells_who_may_read_it(file: Path, mode: int, everybody: bool) -> None:
    file.write_text("s3cr3t")
    file.chmod(mode)
    secret = Secret(file=str(file))
    assert secret.everybody_may_read is everybody
    assert secret.place == f"file {file}"


def test_a_variable_and_a_missing_file_are_nobodys_to_read(file: Path) -> None:
    assert not Secret(env="HOME").everybody_may_read
    assert not Secret(file=str(file)).everybody_may_read
