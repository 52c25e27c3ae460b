"""What `load` says of rules, channels, owners and maintenances."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runlake.config import Config, load
from runlake.config.alerting import BUILT_IN, RunRule
from runlake.config.channels import Webhook
from runlake.errors import ConfigError

SOURCES = """
[[source]]
name = "etl"
connector = "clarifeye"
settings = { token = { env = "T" }, projects = ["p"] }
[[source]]
name = "docs"
connector = "clarifeye"
settings = { token = { env = "T" }, projects = ["q"] }
"""

RULE = '[[rule]]\nname = "nightly"\nkind = "missing"\n'
QUERY = '[[rule]]\nname = "late"\nkind = "sql"\n'
HOOK = '[[channel]]\nname = "ops"\nkind = "webhook"\nurl = { env = "U" }\n'


def loaded(folder: Path, *tables: str) -> Config:
    (folder / "runlake.toml").write_text("\n".join([SOURCES, *tables]))
    return load(folder / "runlake.toml")


def refused(folder: Path, *tables: str) -> str:
    with pytest.raises(ConfigError) as raised:
        loaded(folder, *tables)
    text = str(raised.value)
    assert text.startswith(f"{folder}/runlake.toml: ") and "\n" not in text and "hunter2" not in text
    return text.removeprefix(f"{folder}/runlake.toml: ")


def test_a_rule_stands_in_for_the_built_in_one_of_its_kind(tmp_path: Path) -> None:
    assert loaded(tmp_path).rules == list(BUILT_IN)
    config = loaded(tmp_path, RULE, '[[rule]]\nkind = "failed"\nenabled = false\n', '[[rule]]\nkind = "too_short"\n')
    names = {rule.name for rule in config.rules}
    assert {"nightly", "too_short", "waiting"} <= names and not {"missing", "failed"} & names


def test_what_fits_loads(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        RULE
        + 'cron = "0 3 * * * UTC"\nearly = "1h"\ngrace = "0s"\nfor = "0s"\nsources = ["e*", "!docs"]\nowner = "data"',
        """[[rule]]\nkind = "failed"\nwhere = "labels['team'] = 'x' OR status = 'timed_out'"\n""",
        QUERY + 'query = "SELECT source, run_id FROM runs WHERE status = \'queued\'"\nkey = ["source", "run_id"]',
        '[[owner]]\nname = "web"\nsources = ["docs"]\nlabels = { team = "web*" }',
        HOOK + 'owners = ["web", "data"]\nrules = ["!late", "nightly", "wait*"]\nseverity = "warning"',
        '[[maintenance]]\nname = "move"\ncron = "0 2 * * sun UTC"\nlasts = "2h"\nsources = ["*"]',
    )
    assert [rule.name for rule in config.rule] == ["nightly", "failed", "late"]
    assert not config.rule[0].holds_for


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ('[[rule]]\nname = "x"\nkind = "fail"', "rule x: no kind 'fail'; there is failed"),
        (
            '[[rule]]\nname = "x"\nkind = "zzz"',
            "rule x: no kind 'zzz'; there are coverage_gap, failed, failure_rate, m",
        ),
        ('[[rule]]\nname = "x"', "rule x: 'kind' is missing; there are coverage_gap, failed,"),
        ("[[rule]]", "rule 1: 'kind' is missing; "),
        ('[[channel]]\nname = "x"\nkind = "slack"', "channel x: no kind 'slack'; there are alertmanager, apprise, "),
        (RULE + "min_run = 3", "rule nightly: unknown key 'min_run'; there is min_runs"),
        (RULE + "min_runs = 1", "rule nightly: min_runs: Input should be greater than or equal to 3"),
        (RULE + 'sources = ["etl", ""]', "rule nightly: sources.1: String should have at least 1 character"),
        (RULE + 'severity = "hunter2"', "rule nightly: severity: Input should be 'info', 'warning' or 'critical'"),
        (RULE + 'name = "b"', "cannot overwrite a value"),
        ('[rule]\nkind = "failed"', "write [[rule]], in double brackets"),
        ("[channel]\n[channel]", "several [channel] tables: write [[channel]], in double brackets (at line"),
        ("[[alerts]]", "alerts: write a table: [alerts]"),
        ('[alerts]\ndigst = "x"', "alerts: unknown key 'digst'; there is digest"),
        ('[alerts]\ndigest = "9:00"', "alerts: digest: write five fields and a time zone"),
        (HOOK.replace('{ env = "U" }', '"https://x/hunter2"'), "channel ops: url: secrets are given by reference: "),
        (HOOK.replace('url = { env = "U" }', ""), "channel ops: 'url' is missing"),
        ('[[owner]]\nname = "a"\nsource = ["x"]', "owner a: unknown key 'source'; there is sources"),
        ('[[owner]]\nname = "a"\nlabels = { team = "" }', "owner a: labels.team: String should have at least 1"),
        ('[[maintenance]]\nname = "a"\nlasts = "1h"', "maintenance a: 'cron' is missing"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, tables: str, told: str) -> None:
    text = refused(tmp_path, tables)
    assert text.startswith(told) or (not told[0].isalpha() and told in text), text


@pytest.mark.parametrize("url", ["ftp://am", "https://user:hunter2@am", "https://am/?token=hunter2", "am:9093"])
def test_an_address_is_one_of_the_web_and_holds_no_secret(tmp_path: Path, url: str) -> None:
    text = refused(tmp_path, f'[[channel]]\nname = "am"\nkind = "alertmanager"\nurl = "{url}"')
    assert text.startswith("channel am: url: ")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('kind = "missing"\ncron = "0 3 * * * UTC"\nevery = "1d"', "write cron or every, not both"),
        ('kind = "missing"\ncron = "0 3 * * * UTC"\nmin_runs = 20', "`min_runs` is for learning from past runs"),
        ('kind = "missing"\nevery = "1d"\nmin_runs = 20', "`min_runs` is for learning from past runs"),
        ('kind = "too_long"\nlimit = "1h"\nfactor = 2', "`factor` is for learning from past runs"),
        ('kind = "too_short"\nlimit = "1h"\nmin_runs = 20', "`min_runs` is for learning from past runs"),
        ('kind = "source_unobservable"\nfor = "1h"', "a rule of this kind has no `for`; write `after`"),
        ('kind = "new_status_word"\npipelines = ["x"]', "a rule of this kind has no `pipelines`; it is about whole"),
        ('kind = "sql"\nsources = ["etl"]\nquery = "SELECT 1 AS a"\nkey = ["a"]', "no `sources`; say it in `query`"),
        ('kind = "sql"\nquery = "SELECT 1 AS a"\nkey = []', "key: List should have at least 1 item"),
    ],
)
def test_keys_of_which_one_would_say_nothing_are_refused(tmp_path: Path, keys: str, told: str) -> None:
    text = refused(tmp_path, f'[[rule]]\nname = "x"\n{keys}')
    assert text.startswith("rule x: ") and told in text


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        (RULE + RULE, "two rules are named 'nightly'; give one of them another name"),
        ('[[rule]]\nkind = "failed"\n' * 2, "two rules are named 'failed'; give one of them another name"),
        (RULE.replace("nightly", "failed"), "a rule is named 'failed', as is the built-in one, which stands; give"),
        (HOOK + HOOK, "two channels are named 'ops'; give one of them another name"),
        (RULE + 'sources = ["etk-*"]', "rule nightly: sources: no source matches 'etk-*'; there is etl"),
        (RULE + 'sources = ["*", "!dcs"]', "rule nightly: sources: no source matches 'dcs'; there is docs"),
        ('[[owner]]\nname = "a"\nsources = ["q"]', "owner a: sources: no source matches 'q'; there are docs, etl"),
        (
            '[[maintenance]]\nname = "a"\ncron = "0 2 * * * UTC"\nlasts = "1h"\nsources = ["q"]',
            "maintenance a: sources: no source matches 'q'",
        ),
        (HOOK + 'rules = ["nightly"]', "channel ops: rules: no rule matches 'nightly'; there are coverage_gap, failed"),
        (RULE + HOOK + 'rules = ["missing"]', "channel ops: rules: no rule matches 'missing'; there are coverage_gap"),
        (HOOK + 'owners = ["data"]', "channel ops: owners: no owner matches 'data'; there are none"),
        (
            '[[owner]]\nname = "date"\n' + HOOK + 'owners = ["data"]',
            "channel ops: owners: no owner matches 'data'; the",
        ),
    ],
)
def test_names_are_unique_and_patterns_match_something(tmp_path: Path, tables: str, told: str) -> None:
    assert refused(tmp_path, tables).startswith(told)


def test_a_label_may_be_called_as_a_place_of_secrets_is(tmp_path: Path) -> None:
    config = loaded(tmp_path, '[[rule]]\nkind = "failed"\nlabels = { file = "a*" }', HOOK.replace("env", "file"))
    assert isinstance(config.rule[0], RunRule) and config.rule[0].labels == {"file": "a*"}
    assert isinstance(config.channel[0], Webhook) and config.channel[0].url.place == f"file {tmp_path / 'U'}"


def test_a_key_is_suggested_as_it_is_written(tmp_path: Path) -> None:
    assert refused(tmp_path, RULE + 'fr = "1m"') == "rule nightly: unknown key 'fr'; there is for"


def test_a_rule_that_is_switched_off_may_still_be_named(tmp_path: Path) -> None:
    loaded(tmp_path, RULE + "enabled = false", HOOK + 'rules = ["nightly"]')


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('kind = "failed"\nwhere = "1=1) OR (1=1"', "rule x: where: write one condition on the columns of `runs`: "),
        ('kind = "failed"\nwhere = "statuz = \'a\'"', 'rule x: where: write one condition .* "statuz" not found'),
        ('kind = "failed"\nwhere = "attempt"', "rule x: where: write a condition, which is true or false"),
        ('kind = "sql"\nkey = ["a"]\nquery = "SELECT 1 AS a; DROP TABLE x"', "rule x: query: one statement at a time"),
        ('kind = "sql"\nkey = ["a"]\nquery = "DROP TABLE x"', "rule x: query: .* DROP does not"),
        ('kind = "sql"\nkey = ["a"]\nquery = "SELECT * FROM nowhere"', "rule x: query: .*nowhere does not exist"),
        ('kind = "sql"\nkey = ["a"]\nquery = "SHOW TABLES"', "rule x: (key|query): "),
        (
            'kind = "sql"\nkey = ["source", "runid"]\nquery = "SELECT source, run_id, status FROM runs"',
            "rule x: key: the query has no column 'runid'; there is run_id$",
        ),
        (
            'kind = "sql"\nkey = ["q"]\nquery = "SELECT source, run_id FROM runs"',
            "rule x: key: the query has no column 'q'; there are run_id, source$",
        ),
    ],
)
def test_sql_is_checked_before_anything_runs(tmp_path: Path, keys: str, told: str) -> None:
    assert re.match(told, refused(tmp_path, f'[[rule]]\nname = "x"\n{keys}'))
