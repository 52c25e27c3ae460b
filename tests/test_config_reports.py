"""What `load` says of `[[report]]`, and of the channels that one may go to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runlake.config.changes import alerting_changes
from runlake.store.describing import EmptyLedger
from test_config_alerting import HOOK, loaded, refused

MAIL = """
[[channel]]
name = "mail"
kind = "mail"
url = { env = "U" }
sender = "a@acme.example"
to = ["b@acme.example"]
"""
PAGER = '[[channel]]\nname = "pager"\nkind = "pagerduty"\nrouting_key = { env = "K" }\n'
OWNER = '[[owner]]\nname = "data"\n'
REPORT = '[[report]]\nname = "weekly"\n'


def test_what_fits_loads(tmp_path: Path) -> None:
    more = 'cron = "0 7 * * mon Europe/Berlin"\nsources = ["e*"]\nowners = ["d*"]\nlabels = { team = "x" }\n'
    config = loaded(tmp_path, MAIL, HOOK, OWNER, REPORT, more, 'channels = ["mail", "ops"]\nfolder = "reports"')
    [report] = config.report
    assert (report.zone.key, report.folder) == ("Europe/Berlin", tmp_path / "reports")
    assert loaded(tmp_path, REPORT, 'folder = "/srv/reports"').report[0].folder == Path("/srv/reports")
    short = loaded(tmp_path, MAIL, HOOK, REPORT)
    assert (short.report[0].cron, short.report[0].places(short.channel)) == ("0 7 * * mon UTC", ["mail"])


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        (REPORT + "channels = []", "report weekly: nobody would get it: write `channels`, a `folder`, or"),
        (REPORT + 'channels = ["mial"]', "report weekly: channels: no channel 'mial'; there is mail"),
        (REPORT + 'channels = ["mail", "mail"]', "report weekly: channels: name each of them once"),
        (
            PAGER + REPORT + 'channels = ["pager"]',
            "'pager' is of kind pagerduty, which takes alerts only; of those that take reports there is mail",
        ),
        (REPORT + 'folder = "r"\nsources = ["x*"]', "report weekly: sources: no source matches 'x*'; there are docs"),
        (REPORT + 'folder = "r"\nowners = ["web"]', "report weekly: owners: no owner matches 'web'; there are none"),
        (REPORT + 'folder = "r"\ncron = "0 7 * * 1 UTC"', "report weekly: cron: write weekdays by name"),
        (2 * (REPORT + 'folder = "r"\n'), "two reports are named 'weekly'"),
        (REPORT + 'folder = "r"\nto = ["x"]', "report weekly: unknown key 'to'"),
        (2 * '[report]\nname = "weekly"\n', "several [report] tables: write [[report]]"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_what_to_write(tmp_path: Path, tables: str, told: str) -> None:
    assert told in refused(tmp_path, MAIL, tables)


def test_a_reload_says_what_has_changed(tmp_path: Path) -> None:
    before, after = (
        loaded(tmp_path, MAIL, REPORT, f'channels = ["mail"]\ncron = "0 {hour} * * mon UTC"').model_dump(mode="json")
        for hour in (7, 8)
    )
    assert alerting_changes(before, after) == ["report weekly has changed"]


def test_what_the_documentation_shows_loads_and_can_be_asked(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs/reports.md").read_text(encoding="utf-8")
    [(_, toml), (_, sql)] = re.findall(r"^```(toml|sql)\n(.*?)^```$", page, re.M | re.S)
    config = loaded(tmp_path, toml)
    assert config.report[0].places(config.channel) == ["team-mail", None]
    with EmptyLedger() as ledger:
        assert ("state", "VARCHAR") in ledger.describe(sql)
