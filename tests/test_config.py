"""The config file as `load` sees it; what the commands say of a wrong one is in tests/cli."""

from __future__ import annotations

from pathlib import Path

import pytest

from runlake.config import load
from runlake.errors import ConfigError

SOURCE = """
[[source]]
name = "docs"
connector = "clarifeye"
settings = { token = { file = "secrets/token" }, projects = ["p"] }
"""


def test_files_are_counted_from_the_folder_of_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / "secrets").mkdir(parents=True)
    (home / "secrets" / "token").write_text("s3cr3t-token\n")
    (home / "runlake.toml").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    config = load(Path("home/runlake.toml"))
    assert config.database == Path("home/runlake.duckdb")
    monkeypatch.chdir(home)
    assert config.source[0].build().settings.token.reveal() == "s3cr3t-token"


def test_a_secret_file_that_is_missing_is_named_only_when_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "runlake.toml").write_text(SOURCE)
    settings = load(tmp_path / "runlake.toml").source[0].build().settings
    with pytest.raises(ConfigError, match=r"cannot read the secret file .*/secrets/token: No such file"):
        settings.token.reveal()
