"""The part of a fresh config that is about alerts and reports: a table of each kind, all of it commented out."""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

from runlake.cli.tables import blank, is_secret, keys, toml
from runlake.config import Config
from runlake.config.alerting import BUILT_IN, Alerts, AnyRule, Maintenance, Owner, Rule, RunRule
from runlake.config.channels import AnyChannel, Channel
from runlake.config.reports import Report
from runlake.config.spans import span_text

_RULES = """\
# {description}
# A rule stands in for the built-in one of its kind; with `enabled = false` there is none. Rules about runs have all
# keys of the first one but its last, other rules those of them that mean something there. In brackets: the severity
# and the `for` of rules of this kind.
"""

_CHANNELS = """\
# {description} All channels have the keys of the first one from `name` to `digest`.
"""

_EXAMPLES: Mapping[str, str] = {
    "sources": '["*-prod"]',
    "pipelines": '["nightly-*", "!*-test"]',
    "labels": '{ team = "data*" }',
    "where": "\"labels['stage'] = 'live'\"",
    "severity": '"critical"',
    "for": '"5m"',
    "repeat_every": '"1d"',
    "owner": '"data"',
    "owners": '["data"]',
    "rules": '["failed", "missing"]',
    "sender": '"runlake@acme.example"',
    "to": '["oncall@acme.example"]',
    "limit": '"2h"',
    "cron": '"0 2 * * mon-fri Europe/Berlin"',
    "every": '"1d"',
    "query": '"SELECT source, error FROM source_health WHERE failures_since_good > 10"',
    "key": '["source"]',
    "lasts": '"4h"',
    "channels": '["mail"]',
    "folder": '"reports"',
}
"""Of keys without a value of their own."""


def alert_tables() -> str:
    """Keys that kinds share are shown with the first of them."""
    about = {name: info.description for name, info in Config.model_fields.items()}
    rules, channels = _kinds(AnyRule), _kinds(AnyChannel)
    parts = [
        f"# {about['alerts']}\n{_table('alerts', Alerts)}",
        _RULES.format(description=about["rule"]),
        *(_rule(model, whole=model is rules[0]) for model in rules),
        _CHANNELS.format(description=about["channel"]),
        *(_channel(model, whole=model is channels[0]) for model in channels),
        f"# {about['owner']}\n{_table('[owner]', Owner, name='data')}",
        f"# {about['maintenance']}\n{_table('[maintenance]', Maintenance, name='database upgrade')}",
        f"# {about['report']}\n{_table('[report]', Report, name='weekly')}",
    ]
    return "\n".join(parts)


def _kinds(models: Any) -> list[Any]:
    union, *_ = typing.get_args(models)
    return list(typing.get_args(union))


def _rule(model: type[Rule], *, whole: bool) -> str:
    kind = _kind(model)
    holds = f", for {span_text(model.for_of_kind)}" if model.for_of_kind else ""
    built_in = "; built in" if any(rule.kind == kind for rule in BUILT_IN) else ""
    return f"# {model.__doc__} ({model.severity_of_kind}{holds}{built_in})\n" + _table(
        "[rule]", model, name=kind, without=set() if whole else set(RunRule.model_fields)
    )


def _channel(model: type[Channel], *, whole: bool) -> str:
    return f"# {model.__doc__}\n" + _table(
        "[channel]", model, name=_kind(model), without=set() if whole else set(Channel.model_fields) - {"name"}
    )


def _kind(model: type[BaseModel]) -> str:
    [kind] = typing.get_args(model.model_fields["kind"].annotation)
    return str(kind)


def _table(head: str, model: type[BaseModel], *, name: str = "", without: Collection[str] = ()) -> str:
    blanks = {
        key: toml(blank(name, key, info))
        for key, info in model.model_fields.items()
        if is_secret(info) or (info.is_required() and key not in _EXAMPLES)
    }
    examples = {**_EXAMPLES, **blanks, "name": toml(name)}
    lines = [f"#[{head}]"]
    if "kind" in model.model_fields:
        lines.append(f"#kind = {toml(_kind(model))}")
    # What it is called before what it is about.
    lines += keys(model, examples, without={*model.model_fields} - {"name"} | {*without})
    lines += keys(model, examples, without={"kind", "name", *without})
    return "\n".join(lines) + "\n"
