"""`alerts list`, `alerts rules` and `alerts silences`: what is open, what is looked for, and what is held back."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

from runlake.alerts.holding import is_silenced
from runlake.alerts.wording import about
from runlake.cli import show
from runlake.cli.alerts.seeing import Seen, hold_row, hold_text, seen, short
from runlake.cli.show import Format
from runlake.config import Config
from runlake.config.alerting import AnyRule, RunRule, Scope, Severity
from runlake.config.spans import span_text
from runlake.errors import ConfigError
from runlake.formats import lasting
from runlake.store.alerting import Alert, Silence

LATELY = timedelta(days=30)
"""How far back those that are over are listed."""

LONGEST_WHY = 300
"""Characters; `alerts show` has all of them."""

_ALERT = (
    *("alert_id", "severity", "state", "rule", "key", "source", "pipeline_id", "pipeline_name", "run_key", "since"),
    *("pending_at", "fired_at", "resolved_at", "resolution", "why", "owner", "acked_at", "acked_by", "ack_note"),
)


# --- list ------------------------------------------------------------------------------------------------------------


def alerts(
    config: Config, format_: Format, *, everything: bool, source: str | None, rule: str | None, state: str | None
) -> None:
    with seen(config) as view:
        if view is None:
            return
        over = everything or state == "resolved"
        found = [*view.open, *(view.books.resolved_since(view.now - LATELY) if over else [])]
        wanted = [
            alert
            for alert in found
            if (source is None or alert.source == source)
            and (rule is None or alert.rule == rule)
            and (state is None or alert.state == state)
        ]
        _require_known(config, found, source, rule)
        wanted.sort(key=_order)
        if format_ is Format.JSON:
            _write_json(view, wanted)
        elif wanted:
            _tell(view, wanted)
        else:
            asked = source is not None or rule is not None or state is not None
            sys.stdout.write("no such alert\n" if asked else "no alert is open\n" if not over else "no alert\n")


def _order(alert: Alert) -> tuple[Any, ...]:
    """What is over last; the most severe first, and of those what fires before what may yet."""
    return (alert.state == "resolved", -Severity(alert.severity).rank, alert.state == "pending", alert.since)


def _require_known(config: Config, found: Sequence[Alert], source: str | None, rule: str | None) -> None:
    """A mistyped name would be answered by silence."""
    if source is not None and source not in {alert.source for alert in found}:
        config.select([source])
    rules = [each.name for each in config.rules]
    if rule is not None and rule not in {*rules, *(alert.rule for alert in found)}:
        raise ConfigError(f"no rule '{rule}' is in force; there are {', '.join(rules)}")


def _write_json(view: Seen, wanted: Sequence[Alert]) -> None:
    rows = [
        [*(getattr(alert, name) for name in _ALERT), [hold_row(hold) for hold in view.holds(alert)]] for alert in wanted
    ]
    show.json_rows([*_ALERT, "held_back"], rows)


def _tell(view: Seen, wanted: Sequence[Alert]) -> None:
    """An entry for each: one line of facts below each other, then why, then whose it is and what holds it back."""
    width = show.console(sys.stdout).width
    for alert in wanted:
        end = alert.resolved_at or view.now
        severity = alert.severity if alert.state == "firing" else f"{alert.severity}, {alert.state}"
        head = f"{short(alert.alert_id)}  {severity:<8}  {about(alert)}: {alert.rule}"
        since = f"since {show.local(alert.since, seconds=False)} {show.zone()}, {lasting(end - alert.since)}"
        _write(f"{head}  {since}", width, "")
        _write(_cut(alert.why), width, "          ")
        if alert.resolution is not None:
            _write(f"over: {_cut(alert.resolution)}", width, "          ")
        if alert.owner is not None:
            _write(f"owner: {alert.owner}", width, "          ")
        if holds := view.holds(alert):
            _write(f"held back: {'; '.join(map(hold_text, holds))}", width, "          ")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_WHY else f"{text[:LONGEST_WHY]}…"


def _write(text: str, width: int, indent: str) -> None:
    for line in textwrap.wrap(show.clean(text), width, initial_indent=indent, subsequent_indent=indent or "          "):
        sys.stdout.write(f"{line}\n")


# --- rules -----------------------------------------------------------------------------------------------------------

_RULE = ("rule", "severity", "for", "scope", "from", "since", "open")
_RULE_ROW = ("rule", "kind", "severity", "for", "from", "since", "error", "open", "definition")


def rules(config: Config, format_: Format) -> None:
    written = {rule.name for rule in config.rule}
    with seen(config) as view:
        known = view.books.rules() if view is not None else {}
        open_ones = Counter(alert.rule for alert in view.open) if view is not None else Counter[str]()
        if format_ is Format.JSON:
            rows = [
                [
                    *(rule.name, rule.kind, rule.told_as.value, rule.holds_for, _from(rule, written)),
                    *((row.since, row.error) if (row := known.get(rule.name)) else (None, None)),
                    *(open_ones[rule.name], rule.model_dump(mode="json", exclude_none=True)),
                ]
                for rule in config.rules
            ]
            show.json_rows(_RULE_ROW, rows)
            return
        rows = [
            [
                *(rule.name, rule.told_as.value, _for(rule), scope(rule), _from(rule, written)),
                *(known[rule.name].since if rule.name in known else None, open_ones[rule.name]),
            ]
            for rule in config.rules
        ]
        show.table(_RULE, rows)
        for rule in config.rules:
            if rule.name in known and (error := known[rule.name].error) is not None:
                sys.stdout.write(f"\n{rule.name} cannot be evaluated: {show.clean(error)}\n")


def _from(rule: AnyRule, written: set[str]) -> str:
    return "config" if rule.name in written else "built in"


def _for(rule: AnyRule) -> str | None:
    return span_text(rule.holds_for) if rule.holds_for else None


def scope(rule: Scope) -> str:
    """Which pipelines and runs a rule is about: `sources etl*; runs by schedule`."""
    parts = []
    for what, patterns in (("sources", rule.sources), ("pipelines", rule.pipelines)):
        if patterns:
            parts.append(f"{what} {', '.join(patterns)}")
    if isinstance(rule, RunRule):
        if rule.triggers != RunRule.model_fields["triggers"].default:
            parts.append(f"triggers {', '.join(rule.triggers) or 'any'}")
        parts += [f"{name} {pattern}" for name, pattern in rule.labels.items()]
        parts += [rule.where] if rule.where is not None else []
    return "; ".join(parts) or "all"


# --- silences --------------------------------------------------------------------------------------------------------

_SILENCE = ("silence", "rule", "source", "pipeline", "until", "reason", "by", "holds")


def silences(config: Config, format_: Format) -> None:
    with seen(config) as view:
        if view is None:
            return
        found = view.books.silences(view.now)
        holds = {each.silence_id: sum(is_silenced(alert, each) for alert in view.open) for each in found}
        if format_ is Format.JSON:
            columns = [field.name for field in fields(Silence)]
            show.json_rows(
                [*columns, "holds"],
                [[*(getattr(each, name) for name in columns), holds[each.silence_id]] for each in found],
            )
        elif found:
            show.table(
                _SILENCE,
                [
                    [
                        *(short(each.silence_id), each.rule, each.source, each.pipeline, each.until, each.reason),
                        *(each.created_by, holds[each.silence_id]),
                    ]
                    for each in found
                ],
            )
        else:
            sys.stdout.write("no silence holds\n")
