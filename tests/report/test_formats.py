"""One report in every format: the same things, readable where they are read, without power over what shows them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.cells import cell_len

from report.samples import empty, everywhere, rich
from runlake.report.charts.theme import COLOURS
from runlake.report.formats import Format, mail, page, render
from runlake.report.model import Chart, Report

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></svg></pre></details><iframe src=https://evil.example>",
    "[x](javascript:alert(1)) ![y](https://evil.example/z.png)",
    "[x]: https://evil.example",
    "a|b|c\n|---|---|\n`` ``` ~~~ `",
    "\n\n# head\n\n- list\n1. one\n> quote\n    code",
    "*bold* _em_ ~~gone~~ **x** __y__ $a$ \\*",
    "abc\u202egnp.exe\u2066 \x1b[31mred\x1b]8;;https://evil.example\x07link\x1b]8;;\x07\x9b2J\x00\x08",
    "=cmd()|' /C calc'!A0",
    "@everyone @octocat <@U1> <!channel> #123 GH-7 www.evil.example https://evil.example mail@evil.example",
    "{{ 7 * 7 }}{% raw %}{# x #}${7*7}",
    "名前" * 60 + "👩‍🚀" * 10,
    "x" * 5000,
    "--- === +++ : :--",
    "&lt;b&gt; &#64;everyone &amp;",
    "</details>\n\n```\n</summary>",
]
"""What a vendor, or whoever names a pipeline there, may write."""

ADDRESSES = [
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "https://known.example@evil.example/",
    'https://a.example/" onclick="alert(1)',
    "vbscript:x",
    "//evil.example/x",
    "https://a.example/x\r\nSet-Cookie: a=b",
    "file:///etc/passwd",
]
"""None of which may be followed."""

OPEN = "https://flow.example/a_(b)/*|`<>&'%7C?q=[x]#y"
"""An address that may, with all that ends a link where it is written carelessly."""

NOT_SHOWN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]


@pytest.fixture(scope="module")
def whole() -> dict[Format, str]:
    return {format_: render(rich(), format_) for format_ in Format}


def _asked(report: Report) -> list[str]:
    found = [each.sql for each in report.figures]
    found += [each.sql for each in report.sections]
    found += [each.sql for each in report.charts]
    return [sql for sql in found if sql]


# --- what is in all of them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", list(Format))
def test_every_format_says_everything_in_the_report_s_order(whole: dict[Format, str], format_: Format) -> None:
    report = rich()
    said = Page(whole[format_]).text if format_ is Format.HTML else whole[format_]
    said = re.sub(r"\s+", " ", said.replace("\\", "").replace("\N{NO-BREAK SPACE}", " "))
    texts = [report.title, report.verdict, report.look_at[0].text]
    texts += [section.lead for section in report.sections]
    places = [said.index(re.sub(r"\s+", " ", text)) for text in texts]
    assert places == sorted(places)
    for text in (*report.warnings, *report.definitions.values(), *(chart.alt for chart in report.charts)):
        assert text in said


def test_every_format_is_the_same_bytes_in_another_process(whole: dict[Format, str]) -> None:
    script = (
        "import sys; from report.samples import rich; from runlake.report.formats import *\n"
        "made = [*(render(rich(), each) for each in Format), mail(rich()).html]\n"
        "sys.stdout.buffer.write('|'.join(made).encode())"
    )
    where = {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    made = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, env={**os.environ, **where})
    assert made.stdout.decode() == "|".join([*whole.values(), mail(rich()).html])


@pytest.mark.parametrize("format_", list(Format))
def test_a_week_in_which_nothing_was_seen_reads_well(format_: Format) -> None:
    said = render(empty(), format_)
    assert "No run was seen" in said and "etl-prod has never been seen." in said
    if format_ is not Format.JSON:
        assert "None" not in said and "nan" not in said and "Look at" not in said
        assert not re.search(r"\n{4}", said) and said.endswith("\n") and not said.endswith("\n\n")


@pytest.mark.parametrize("format_", [Format.HTML, Format.MARKDOWN, Format.TEXT])
def test_a_week_in_which_all_was_seen_and_well_says_that_nothing_stands_out(format_: Format) -> None:
    well = replace(rich(), look_at=())
    assert "Nothing stands out." in render(well, format_)
    assert "Nothing stands out." in mail(well).html
    assert "Nothing stands out." not in mail(empty()).html


# --- HTML ------------------------------------------------------------------------------------------------------------


def test_a_page_runs_nothing_and_fetches_nothing(whole: dict[Format, str]) -> None:
    found = Page(whole[Format.HTML])
    assert not {"script", "iframe", "object", "embed", "link", "base", "form", "img", "image"} & set(found.tags())
    named = {name for _, attributes in found.elements for name in attributes}
    assert not {"src", "srcset", "action", "style", "xlink:href"} & named
    assert not [name for name in named if name.startswith("on")]
    assert not re.search(r"url\((?!#)|@import", whole[Format.HTML])
    policies = [meta["content"] for meta in found.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    [style] = re.findall(r"<style>(.*?)</style>", whole[Format.HTML], re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]
    head = whole[Format.HTML].split("<style>", maxsplit=1)[0]
    assert "Content-Security-Policy" in head, "before anything that it governs"


def test_no_line_of_a_page_ends_within_a_length_a_share_or_a_date(whole: dict[Format, str]) -> None:
    held = {
        text.replace("\N{NO-BREAK SPACE}", " ") for text in re.findall("[\\w.]+(?:\xa0[\\w%]+)+", whole[Format.HTML])
    }
    assert {"92.1 %", "1 h 9 min", "Mon 16 Nov"} <= held


def test_links_of_a_page_lead_to_vendors_runs_without_saying_from_where_or_to_what_is_in_it(
    whole: dict[Format, str],
) -> None:
    found = Page(whole[Format.HTML])
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in found.all("a"):
        target = link["href"] or ""
        if target.startswith("#"):
            assert target[1:] in ids
        else:
            assert target.startswith("https://flow.example/acme/runs/") and link["rel"] == "noreferrer"


def test_who_cannot_see_a_page_finds_their_way(whole: dict[Format, str]) -> None:
    found = Page(whole[Format.HTML])
    assert found.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag in found.tags() if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert {each.get("scope") for each in found.all("th")} == {"row", "col"}
    described = {"aria-labelledby", "aria-label"}
    assert all(described & set(each) or "aria-hidden" in each or each.get("role") == "img" for each in found.all("svg"))
    assert all(described & set(each) for each in found.all("section", "nav"))
    assert all(each.get("tabindex") == "0" for each in found.all("pre")), "what scrolls can be scrolled by keys"


def test_each_list_and_chart_has_its_sql_closed_below_it(whole: dict[Format, str]) -> None:
    found = Page(whole[Format.HTML])
    report = rich()
    assert len(found.all("pre")) == len(_asked(report))
    assert all("open" not in each for each in found.all("details"))


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(each * 2 for each in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground_in_the_light_and_the_dark(whole: dict[Format, str], dark: bool) -> None:
    rules = re.findall(r":root \{(.*?)\}", whole[Format.HTML], re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{3,6})", rules[dark]))
    colours |= {name: pair[dark] for name, pair in COLOURS.items()}
    for text in ("ink", "soft"):
        for ground in ("ground", "raised", "better-ground", "worse-ground", "warn-ground"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for text, ground in (("better", "better-ground"), ("worse", "worse-ground"), ("warn", "warn-ground")):
        assert _contrast(colours[text], colours[ground]) >= 4.5
        assert _contrast(colours[text], colours["ground"]) >= 4.5
    assert _contrast(colours["link"], colours["ground"]) >= 4.5


# --- mail ------------------------------------------------------------------------------------------------------------


def test_a_mail_needs_no_style_sheet_and_shows_the_images_that_come_with_it() -> None:
    made = mail(rich())
    found = Page(made.html)
    assert not {"svg", "style", "script", "link", "details"} & set(found.tags())
    assert "var(" not in made.html and "class=" not in made.html
    shown = [image["src"] for image in found.all("img")]
    assert shown == [f"cid:{name}" for name, _ in made.images]
    assert [png for _, png in made.images] == [chart.png for chart in rich().charts]
    assert all(image["alt"] and int(image["width"] or 0) <= 560 for image in found.all("img"))
    links = {(str(link["href"])[:21], link["rel"]) for link in found.all("a")}
    assert links == {("https://flow.example/", "noreferrer")}
    assert made.text == render(rich(), Format.TEXT)


def test_a_colour_in_a_mail_never_stands_without_its_ground() -> None:
    """Clients that darken mails change both, or neither."""
    for tag, attributes in Page(mail(rich()).html).elements:
        style = attributes.get("style") or ""
        if tag in {"p", "td", "th", "h1", "h2"} and re.search(r"(?<![a-z-])color:", style):
            assert "background-color:" in style, (tag, style)


def test_a_mail_stays_below_what_clients_cut_off() -> None:
    report = rich()
    many = [replace(each, rows=list(each.rows) * 20) for each in report.sections for _ in range(6)]
    for size in (report.sections, many):
        made = mail(replace(report, sections=size)).html
        assert len(made.encode()) <= page.LONGEST_MAIL
        assert made.endswith("</html>\n")


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["", *HOSTILE])
def test_text_fits_80_columns_but_for_addresses(said: str) -> None:
    report = everywhere(rich(), lambda text: f"{text}{said}", "https://flow.example/" + "r" * 200)
    for each in render(report, Format.TEXT).splitlines():
        assert cell_len(each) <= 80 or re.fullmatch(r" *https://flow\.example/r{200}", each), each
        assert each == each.rstrip() and not NOT_SHOWN.search(each)


def test_what_text_has_to_wrap_is_whole() -> None:
    name = "名" * 100
    report = replace(rich(), verdict=f"before {name} after")
    assert f"before{name}after" in re.sub(r"\s", "", render(report, Format.TEXT))


# --- Markdown --------------------------------------------------------------------------------------------------------


def _markdown(text: str) -> list[Token]:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [each for token in tokens for each in (token, *(token.children or []))]


def _shape(tokens: list[Token]) -> list[str]:
    """What it is made of, without what is said in it."""
    return [token.type for token in tokens if token.type not in {"text", "text_special", "softbreak", "inline"}]


def test_markdown_is_headings_tables_links_and_code(whole: dict[Format, str]) -> None:
    tokens = _markdown(whole[Format.MARKDOWN])
    report = rich()
    assert sum(token.type == "table_open" for token in tokens) == 1 + sum(1 for each in report.sections if each.rows)
    fences = [token.content for token in tokens if token.type == "fence"]
    assert fences == [f"{sql}\n" for sql in _asked(report)]
    assert {token.content.strip() for token in tokens if token.type.startswith("html")} == {
        "<details><summary>SQL</summary>",
        "</details>",
    }


@pytest.mark.parametrize("said", HOSTILE)
def test_hostile_texts_stay_texts_in_markdown(said: str) -> None:
    plain = _shape(_markdown(render(everywhere(rich(), lambda text: text, OPEN), Format.MARKDOWN)))
    made = render(everywhere(rich(), lambda text: f"{text}{said}", OPEN), Format.MARKDOWN)
    tokens = _markdown(made)
    assert _shape(tokens) == plain
    assert {str(token.attrs["href"]) for token in tokens if token.type == "link_open"} == {
        "https://flow.example/a_%28b%29/%2A%7C%60%3C%3E&%27%7C?q=%5Bx%5D#y"
    }
    shown = "".join(token.content for token in tokens if token.type in {"text", "text_special"})
    assert not re.search(r"@[\w<]|#\d|https?://\w|www\.\w", shown), "what code hosts make links of"
    assert not NOT_SHOWN.search(made)


@pytest.mark.parametrize("said", HOSTILE)
def test_a_text_is_itself_at_the_start_of_a_line_too(said: str) -> None:
    plain = _shape(_markdown(render(everywhere(rich(), lambda text: "x", None), Format.MARKDOWN)))
    made = render(everywhere(rich(), lambda text: said, None), Format.MARKDOWN)
    # Headings' and cells' first words as well: nothing begins anything.
    assert _shape(_markdown(made)) == plain


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_json_has_the_values_themselves(whole: dict[Format, str]) -> None:
    data = json.loads(whole[Format.JSON])
    assert list(data) == [
        "version", "title", "period", "scope", "direction", "verdict", "look_at", "warnings", "figures", "sections",
        "charts", "definitions",
    ]  # fmt: skip
    assert data["period"] == {
        "name": "2026-W47",
        "first": "2026-11-16",
        "end": "2026-11-23",
        "zone": "Europe/Berlin",
        "since": "2026-11-15T23:00:00Z",
        "until": "2026-11-22T23:00:00Z",
        "known_at": "2026-11-23T05:00:00Z",
    }
    assert data["direction"] == "worse"
    new = data["sections"][0]
    assert new["columns"][3] == {"name": "failures", "kind": "count"}
    assert new["rows"][0]["values"][3:6] == [14, None, "2026-11-17T03:00:00Z"]
    assert new["rows"][0]["url"] == "https://flow.example/acme/runs/901"
    assert data["figures"][1]["value"] == 0.9207
    assert "svg" not in data["charts"][0] and "png" not in data["charts"][0]
    assert data["charts"][0]["rows"][0]["values"] == ["2026-11-16", 46, 0.916]


@pytest.mark.parametrize("said", HOSTILE)
def test_json_loses_nothing_and_shows_nothing_that_terminals_obey(said: str) -> None:
    made = render(everywhere(rich(), lambda text: said, None), Format.JSON)
    assert json.loads(made)["sections"][0]["rows"][0]["values"][0] == said
    assert not NOT_SHOWN.search(made)


# --- hostile in HTML, and addresses everywhere -----------------------------------------------------------------------


def _skeleton(html: str) -> list[tuple[str, Any]]:
    """Elements and what they may do, without what is said in them."""
    words = {"aria-label", "data-name", "alt"}
    return [
        (tag, sorted((name, value) for name, value in attributes.items() if name not in words))
        for tag, attributes in Page(html).elements
    ]


@cache
def _plain() -> tuple[Any, Any]:
    plain = everywhere(rich(), lambda text: "x", OPEN)
    return _skeleton(render(plain, Format.HTML)), _skeleton(mail(plain).html)


@pytest.mark.parametrize("said", HOSTILE)
def test_hostile_texts_stay_texts_in_html(said: str) -> None:
    hostile = everywhere(rich(), lambda text: f"x{said}", OPEN)
    page, inside = render(hostile, Format.HTML), mail(hostile).html
    expected, expected_inside = _plain()
    assert _skeleton(page) == expected
    assert all(each in expected_inside for each in _skeleton(inside)), "of long texts it has fewer"
    assert not NOT_SHOWN.search(page + inside)


def _followed(report: Report) -> Iterator[str]:
    """Every address that anything could follow, in every format."""
    for html in (render(report, Format.HTML), mail(report).html):
        yield from (link["href"] or "" for link in Page(html).all("a"))
    for token in _markdown(render(report, Format.MARKDOWN)):
        yield from ([str(token.attrs["href"])] if token.type == "link_open" else [])
    yield from (line.strip() for line in render(report, Format.TEXT).splitlines() if "://" in line)
    for section in json.loads(render(report, Format.JSON))["sections"]:
        yield from (row["url"] for row in section["rows"] if row["url"] is not None)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_that_is_none_of_http_is_not_to_be_followed(address: str) -> None:
    assert [each for each in _followed(everywhere(rich(), str, address)) if not each.startswith("#")] == []


def test_a_chart_stands_beside_the_list_it_tells_of_and_else_before_all(whole: dict[Format, str]) -> None:
    def at(part: str) -> int:
        return whole[Format.HTML].index(part)

    assert at('id="chart-calendar"') < at('<section id="new"') < at('<section id="slower"') < at('id="chart-durations"')
    charts: list[Chart] = list(rich().charts)
    alone = render(replace(rich(), sections=[], charts=charts), Format.HTML)
    assert all(f'id="chart-{chart.key}"' in alone for chart in charts)
