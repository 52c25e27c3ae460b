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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('database = ""', "database: write the name of a file"),
        ('database = "a\\u0000b"', "database: write the name of a file"),
        ('database = "~nobody-here/x.duckdb"', "database: there is no home folder ~nobody-here"),
        ("[source]", r"write \[\[source\]\], in double brackets"),
        (SOURCE + 'history = "999999w"', "history: write at most 36500d"),
        (SOURCE.replace('{ file = "secrets/token" }', '"hunter2"'), r'token: .* write { env = "NAME" } or { file = '),
    ],
)
def test_what_can_be_nothing_is_told_before_it_is_used(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "runlake.toml").write_text(text)
    with pytest.raises(ConfigError, match=told) as raised:
        load(tmp_path / "runlake.toml")
    assert "hunter2" not in str(raised.value)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "runlake.toml").write_text(SOURCE, encoding="utf-8-sig")
    assert load(tmp_path / "runlake.toml").source[0].name == "docs"


def test_a_secret_file_that_is_missing_is_named_only_when_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "runlake.toml").write_text(SOURCE)
    settings = load(tmp_path / "runlake.toml").source[0].build().settings
    with pytest.raises(ConfigError, match=r"cannot read the secret file .*/secrets/token: No such file"):
        settings.token.reveal()


def test_a_mistyped_key_is_told_before_the_one_that_is_missing_for_it(tmp_path: Path) -> None:
    (tmp_path / "runlake.toml").write_text('[[source]]\nnam = "etl"\nconnector = "airflow"\n')
    with pytest.raises(ConfigError, match=r"source 1: unknown key 'nam'; there is name$"):
        load(tmp_path / "runlake.toml")


def test_two_sources_in_single_brackets_are_told_how_to_be_written(tmp_path: Path) -> None:
    (tmp_path / "runlake.toml").write_text('[source]\nname = "a"\n[source]\nname = "b"\n')
    with pytest.raises(ConfigError, match=r"write \[\[source\]\], in double brackets \(at line 3"):
        load(tmp_path / "runlake.toml")
