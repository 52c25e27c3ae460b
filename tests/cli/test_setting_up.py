"""`init`, `check`, `config schema`, `connectors`, and the example config."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

import runlake as package
from runlake.cli import init
from runlake.config import Config, Source, load
from runlake.config.alerting import BUILT_IN, Alerts, AnyRule, Maintenance, Owner
from runlake.config.channels import AnyChannel
from runlake.config.reports import Report
from runlake.connector import connectors

from .conftest import Command, Vendors, configure, run

EXAMPLE = Path(package.__file__).parents[2] / "config" / "runlake.example.toml"


def tagged(models: Any) -> list[Any]:
    """The members of a union that `kind` tells apart."""
    return list(get_args(get_args(models)[0]))


RULE_KINDS = [get_args(model.model_fields["kind"].annotation)[0] for model in tagged(AnyRule)]
CHANNEL_KINDS = [get_args(model.model_fields["kind"].annotation)[0] for model in tagged(AnyChannel)]


def uncommented(text: str) -> str:
    return re.sub(r"^#(?=[^ #\n])", "", text, flags=re.M)


def test_the_example_config_is_what_init_writes() -> None:
    assert EXAMPLE.read_text() == init.example(), "runlake -c config/runlake.example.toml init --force < /dev/null"


def test_the_example_config_loads_as_it_is_and_uncommented(tmp_path: Path) -> None:
    assert load(EXAMPLE).source == []
    (tmp_path / "all.toml").write_text(uncommented(EXAMPLE.read_text()))
    config = load(tmp_path / "all.toml")
    assert [source.connector for source in config.source] == list(connectors())
    defaults = Source(name="x", connector="x").model_dump(exclude={"name", "connector", "settings"})
    assert config.source[0].model_dump(include=set(defaults)) == defaults
    assert config.alerts == Alerts()
    assert [rule.kind for rule in config.rule] == RULE_KINDS
    assert [rule for rule in config.rule if rule.kind in {each.kind for each in BUILT_IN}] == list(BUILT_IN)
    assert [channel.kind for channel in config.channel] == CHANNEL_KINDS
    assert (len(config.owner), len(config.maintenance)) == (1, 1)


def test_the_examples_of_keys_without_a_value_are_right_too(tmp_path: Path) -> None:
    text = re.sub(
        r"^# (?=(sources|pipelines|labels|where|severity|for|repeat_every|owners?|rules|channels|folder) = )",
        "#",
        EXAMPLE.read_text(),
        flags=re.M,
    )
    (tmp_path / "all.toml").write_text(uncommented(text))
    config = load(tmp_path / "all.toml")
    assert config.rule[0].holds_for == timedelta(minutes=5)
    assert config.channel[0].owners == [config.owner[0].name]


def test_the_example_config_has_every_key() -> None:
    text = EXAMPLE.read_text()
    for name in (*Config.model_fields, *Source.model_fields):
        assert re.search(rf"^# ?\[*(source\.)?{name}( =|\])", text, re.M), name
    for model in (Alerts, Owner, Maintenance, Report, *tagged(AnyRule), *tagged(AnyChannel)):
        for name, info in model.model_fields.items():
            assert re.search(rf"^# ?{info.alias or name} = .*", text, re.M), f"{model.__name__}.{name}"
    for kind in connectors().values():
        part = text.split(f'connector = "{kind.name}"')[1].split("[[source]]")[0]
        for name in kind.settings_type.model_fields:
            assert re.search(rf"^# ?{name} =", part, re.M), f"{kind.name}.{name}"


def test_init_takes_a_source_from_flags(project: Path, runlake: Command) -> None:
    done = runlake("init", "--connector", "clerk", "--name", "chat", "--set", "pipelines=a, b")
    assert done.code == 0
    following = "set api_key (env CHAT_API_KEY), then runlake check, then runlake daemon"
    assert done.err == f"wrote runlake.toml\nnext: {following}\n"
    [source] = load(project / "runlake.toml").source
    assert (source.name, source.settings["pipelines"]) == ("chat", ["a", "b"])
    again = runlake("init", "--connector", "clerk")
    assert (again.code, again.err) == (2, "runlake: runlake.toml is there already; --force overwrites it\n")


@pytest.mark.parametrize("name", list(connectors()))
def test_init_writes_a_config_that_loads_for_every_connector(project: Path, runlake: Command, name: str) -> None:
    assert runlake("init", "--connector", name).code == 0
    assert [source.connector for source in load(project / "runlake.toml").source] == [name]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--connector", "nope"], "no connector 'nope'; there are "),
        (["--connector", "clerk", "--set", "api_key=hunter2"], "secrets are not written on a command line"),
        (["--connector", "clerk", "--set", "nope=1"], "connector clerk has no setting 'nope'"),
        (["--connector", "clerk", "--set", "pipelines"], "write KEY=VALUE"),
        (["--connector", "clerk", "--name", "a/b"], "name: String should match pattern"),
        (["--connector", "esper", "--set", "base_url=nowhere"], "base_url: Input should be a valid URL"),
        (["--connector", "esper", "--set", "page_size=many"], "page_size: Input should be a valid integer"),
        (["--name", "x"], "need --connector"),
    ],
)
def test_init_says_which_flag_is_wrong(project: Path, runlake: Command, flags: list[str], told: str) -> None:
    done = runlake("init", *flags)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert told in done.err
    assert "hunter2" not in done.err
    assert not (project / "runlake.toml").exists()


def test_check_names_what_each_source_can_be_asked_and_what_it_will_cost(
    project: Path, vendors: Vendors, runlake: Command
) -> None:
    configure(project, vendors.table("clarifeye", project, more='every = "10m"'), vendors.table("clerk", project))
    done = runlake("check", "--format", "json")
    assert done.code == 0
    clarifeye, clerk, *_ = done.json()
    assert clarifeye["result"], clerk["result"] == ("ok", "ok")
    assert clarifeye["requests_per_hour"] == 6 * clarifeye["lists"] == 12
    assert clerk["requests_per_hour"] == 12 * clerk["lists"] == 36
    assert clerk["checked"] == ["access", "lists", "run", "details"]
    runlake("sync")
    _, clerk, *_ = runlake("check", "--format", "json").json()
    assert clerk["requests_per_hour"] > 36  # now it knows of new runs and open ones


def test_check_warns_when_polling_wants_more_than_the_budget(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clerk", project, more="requests_per_hour = 3600"))
    config = project / "runlake.toml"
    assert runlake("check").code == 0
    config.write_text(config.read_text().replace('"clerk"\nrequests', '"clerk"\nevery = "1s"\nrequests'))
    done = runlake("check")
    assert "requests an hour are wanted, 3600 are allowed" in done.err


def test_check_names_the_endpoint_that_fails(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clarifeye", project), vendors.table("truestate", project))
    config = project / "runlake.toml"
    config.write_text(
        re.sub(r'"projects": ?\[[^\]]*\]|projects = \[[^\]]*\]', 'projects = ["not-mine"]', config.read_text())
    )
    done = runlake("check")
    assert done.code == 1
    assert re.search(r"^runlake: source clarifeye: GET /clarifeye/projects/not-mine/\S+: HTTP 404", done.err, re.M)
    assert [line.split()[:2] for line in done.out.splitlines()[1:3]] == [["clarifeye", "failed"], ["truestate", "ok"]]


def test_check_names_an_unreachable_host_and_an_unset_secret(project: Path, vendors: Vendors) -> None:
    configure(
        project,
        vendors.table("clarifeye", project, base_url="http://127.0.0.1:9"),
        re.sub("api_key = .*", 'api_key = { env = "NO_SUCH_KEY" }', vendors.table("truestate", project)),
    )
    done = run("check", cwd=project)
    assert done.code == 1
    assert re.search(
        r"^runlake: source clarifeye: cannot reach http://127\.0\.0\.1:9: .* \(asked: GET /\S+\)$", done.err, re.M
    )
    assert "runlake: source truestate: environment variable NO_SUCH_KEY is not set" in done.err


def test_check_lists_the_rules_in_force_and_whether_channels_have_what_they_need(
    project: Path, vendors: Vendors, runlake: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, rule = vendors.table("clerk", project), '[[rule]]\nname = "late"\nkind = "missing"\nsources = ["cl*"]\n'
    configure(project, source, rule)
    done = runlake("check")
    assert (done.code, done.err.splitlines()[-1]) == (
        0,
        "nobody is told of alerts: there is no [[channel]] in the config",
    )
    late = [line.split() for line in done.out.splitlines() if line.startswith("late")]
    assert late == [["late", "missing", "critical", "0s", "cl*", "all"]]

    monkeypatch.delenv("PAGER_KEY", raising=False)
    (project / "ops-url").write_text("https://hooks.example/hunter2\n")
    channels = (
        '[[channel]]\nname = "ops"\nkind = "webhook"\nurl = { file = "ops-url" }\nrules = ["late"]\n'
        '[[channel]]\nname = "pager"\nkind = "pagerduty"\nrouting_key = { env = "PAGER_KEY" }\n'
    )
    configure(project, source, rule, channels)
    done = runlake("check", "--format", "json")
    assert done.code == 1 and "hunter2" not in done.out + done.err
    assert "runlake: channel pager: environment variable PAGER_KEY is not set" in done.err
    rows = done.json()
    assert [row["source"] for row in rows if "source" in row] == ["clerk"]
    assert {row["rule"]: row["kind"] for row in rows if "rule" in row}["late"] == "missing"
    assert [(row["channel"], row["result"], row["rules"]) for row in rows if "channel" in row] == [
        ("ops", "ok", "late"),
        ("pager", "failed", "all"),
    ]
    one = runlake("check", "clerk", "--format", "json")
    assert (one.code, len(one.json())) == (0, 1)


def test_check_asks_a_handful_of_requests(project: Path, vendors: Vendors, runlake: Command) -> None:
    configure(project, vendors.table("clerk", project))
    assert runlake("check").code == 0
    assert len(vendors.emulator.clerk.requests) <= 1 + 3 + 2  # the probe, a page of each list, one run, its details


def test_the_schema_knows_every_connectors_settings(runlake: Command) -> None:
    done = runlake("config", "schema")
    schema = json.loads(done.out)
    assert schema["title"] == "runlake.toml"
    source = schema["$defs"]["Source"]
    assert source["properties"]["connector"]["enum"] == list(connectors())
    for rule, (name, kind) in zip(source["allOf"], connectors().items(), strict=True):
        assert rule["if"]["properties"]["connector"]["const"] == name
        reference = rule["then"]["properties"]["settings"]["$ref"].removeprefix("#/$defs/")
        assert list(schema["$defs"][reference]["properties"]) == list(kind.settings_type.model_fields)


def test_the_schema_knows_every_kind_of_rule_and_channel(runlake: Command) -> None:
    schema = json.loads(runlake("config", "schema").out)
    for table, kinds in (("rule", RULE_KINDS), ("channel", CHANNEL_KINDS)):
        mapping = schema["properties"][table]["items"]["discriminator"]["mapping"]
        assert list(mapping) == sorted(kinds)
    missing = schema["$defs"]["Missing"]["properties"]
    assert {"for", "sources", "cron", "min_runs"} <= set(missing) and "for_" not in missing
    assert re.fullmatch(missing["grace"]["pattern"], missing["grace"]["default"])


def test_connectors_are_listed_with_what_they_are_verified_against(runlake: Command) -> None:
    rows = {row["connector"]: row for row in runlake("connectors", "--format", "json").json()}
    assert {name: kind.verified for name, kind in connectors().items()} == {n: r["verified"] for n, r in rows.items()}
    assert rows["clinia"]["resolve"] and not rows["esper"]["resolve"]
    table = runlake("connectors").out.splitlines()
    assert [line.split()[0] for line in table[1:]] == list(connectors())


def test_init_quotes_what_toml_must_quote() -> None:
    hostile = 'a"b\\c\nd\x7f'
    text = init.config([init.Draft("clerk", "chat", {"pipelines": [hostile]})])
    assert tomllib.loads(text)["source"][0]["settings"]["pipelines"] == [hostile]
