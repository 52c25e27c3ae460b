"""A specification as a picture: an SVG that a page can hold, and a PNG of the same for mails.

No browser and no network. Marks are placed in pixels of the plot, so that nothing hangs on how wide a text comes out.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any
from xml.etree import ElementTree as ET

import altair as alt
import vl_convert

from runlake.report.charts.theme import COLOURS, CONFIG, FONT, HATCH, SMALL, WIDTH, colour
from runlake.report.charts.words import plain_text
from runlake.report.model import Chart, Column, Row

MOST_ROWS = 100
"""So many rows of a chart's data are shown as a table; its SQL gives all of them."""

Box = tuple[float, float, float, float, str]
"""Left, top, right and bottom in pixels of the plot, and a colour."""

_SVG = "http://www.w3.org/2000/svg"
_SCALE = 2
"""Pixels of the PNG for each of the SVG: most phones and many screens have that many."""

_VARIABLE = re.compile(r'"var\(--c-([a-z0-9-]+)\)"')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_SAYS_NOTHING = frozenset({"class", "role", "aria-roledescription", "aria-hidden", "pointer-events", "font-family"})
_BY_DEFAULT = {"opacity": "1", "stroke-width": "1", "fill-opacity": "1", "stroke-opacity": "1", "text-anchor": "start"}


@dataclass(frozen=True, slots=True)
class Margins:
    """Pixels around what is plotted."""

    top: int = 8
    right: int = 4
    bottom: int = 24
    left: int = 150

    @property
    def width(self) -> int:
        """What is left of the chart's width to plot in."""
        return WIDTH - self.left - self.right


def chart(
    key: str,
    title: str,
    alt_text: str,
    layers: Sequence[alt.Chart],
    *,
    height: int,
    margins: Margins,
    columns: Sequence[Column],
    rows: Sequence[Row],
    sql: str,
    note: str = "",
) -> Chart:
    """`layers`, of which the later lie on the former, are plotted in `height` pixels; each has scales of its own, so
    theirs must be given in full. `note` stands below all. Nothing is measured: the same data are the same bytes on
    every machine."""
    if note:
        layers = [*layers, notes([(-margins.left, height + margins.bottom + 10.0, note)])]
        margins = replace(margins, bottom=margins.bottom + 22)
    layered = alt.layer(*layers).resolve_scale(x="independent", y="independent", color="independent")
    spec = layered.properties(width=margins.width, height=height).to_dict(validate=False)
    spec["autosize"] = {"type": "none"}
    spec["padding"] = {"top": margins.top, "right": margins.right, "bottom": margins.bottom, "left": margins.left}
    svg = _tidied(vl_convert.vegalite_to_svg(spec, config=dict(CONFIG)), key, title, alt_text)
    return Chart(
        key=key,
        title=title,
        alt=alt_text,
        svg=svg,
        png=png(svg),
        width=WIDTH,
        height=margins.top + height + margins.bottom,
        columns=columns,
        rows=rows[:MOST_ROWS],
        sql=sql,
    )


def plot(marks: Iterable[Mapping[str, Any]]) -> alt.Chart:
    """Of the fields x, y, x2, y2 in pixels of the plot, from its upper left corner, and fill, stroke and text."""
    # As one text: Altair copies and checks what it is given again with each layer, value by value.
    rows = alt.InlineData(values=json.dumps(list(marks)), format=alt.JsonDataFormat(type="json"))
    return alt.Chart(rows).encode(x=alt.X("x:Q", scale=None, axis=None), y=alt.Y("y:Q", scale=None, axis=None))


def texts(items: Iterable[tuple[float, float, str]], **mark: Any) -> alt.Chart:
    """Words (x, y, text), from the left at their middle height."""
    base = plot({"x": x, "y": y, "text": plain_text(text)} for x, y, text in items)
    drawn: alt.Chart = base.mark_text(**{"align": "left", **mark}).encode(text="text:N")
    return drawn


def notes(items: Iterable[tuple[float, float, str]], **mark: Any) -> alt.Chart:
    """The same, small and soft: what is read second."""
    return texts(items, **{"fontSize": SMALL, "fill": colour("soft"), **mark})


def labels(names: Sequence[str], step: float, left: int) -> alt.Chart:
    """One name at the left of each row of `step` pixels."""
    items = [(-8.0, (number + 0.5) * step, name) for number, name in enumerate(names)]
    return texts(items, align="right", limit=left - 8)


def boxes(items: Iterable[Box]) -> alt.Chart:
    """Rectangles; those of one fill are drawn together, and become one path."""
    base = plot(
        {"x": a, "y": b, "x2": c, "y2": d, "fill": fill} for a, b, c, d, fill in sorted(items, key=itemgetter(4))
    )
    drawn: alt.Chart = base.mark_rect().encode(x2="x2:Q", y2="y2:Q", fill=alt.Fill("fill:N", scale=None, legend=None))
    return drawn


def discs(items: Iterable[tuple[float, float, float, str]]) -> alt.Chart:
    """Filled circles: their middle, radius and fill. Vega's size is the area of the square around one."""
    base = plot({"x": x, "y": y, "size": 4 * r * r, "fill": fill} for x, y, r, fill in items)
    drawn: alt.Chart = base.mark_circle(opacity=1, strokeWidth=0).encode(
        size=alt.Size("size:Q", scale=None, legend=None), fill=alt.Fill("fill:N", scale=None, legend=None)
    )
    return drawn


def rules(items: Iterable[Box], width: float = 1) -> alt.Chart:
    """Straight lines from one point to another."""
    base = plot({"x": a, "y": b, "x2": c, "y2": d, "stroke": stroke} for a, b, c, d, stroke in items)
    drawn: alt.Chart = base.mark_rule(strokeWidth=width).encode(
        x2="x2:Q", y2="y2:Q", stroke=alt.Stroke("stroke:N", scale=None, legend=None)
    )
    return drawn


def legend(items: Sequence[tuple[str, str]], *, x: float, y: float) -> list[alt.Chart]:
    """What each fill means, on one line from `x` at the height `y`: (fill, words)."""
    swatches: list[Box] = []
    words = []
    for fill, text in items:
        if fill:
            swatches.append((x, y - 6, x + 11, y + 6, fill))
            x += 16
        words.append((x, y, text))
        x += _width(text) * SMALL + 14
    return [boxes(swatches), notes(words)]


def _width(text: str) -> float:
    """Of our own words, about, in heights of the font: vl-convert measures, but does not tell."""
    return sum(0.27 if each in "fijlrt .,:" else 0.83 if each in "mwMW%" else 0.55 for each in text)


def png(svg: str) -> bytes:
    """`svg` in the colours of the light, on white."""
    light = _VARIABLE.sub(lambda name: f'"{COLOURS[name[1]][0]}"', svg)
    end = light.index(">") + 1
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return _smaller(vl_convert.svg_to_png(light[:end] + ground + light[end:], scale=_SCALE))


def _smaller(image: bytes) -> bytes:
    """The same PNG, compressed as far as it goes: vl-convert writes fast, and five to ten times as much."""
    head = image[:8]
    packed = b"".join(data for kind, data in _chunks(image) if kind == b"IDAT")
    found = [(kind, data) for kind, data in _chunks(image) if kind == b"IHDR"]
    found += [(b"IDAT", zlib.compress(zlib.decompress(packed), 9)), (b"IEND", b"")]
    return head + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in found
    )


def _chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(image):
        (length,) = struct.unpack_from(">I", image, at)
        yield image[at + 4 : at + 8], image[at + 8 : at + 8 + length]
        at += length + 12


def _tidied(svg: str, key: str, title: str, alt_text: str) -> str:
    """Vega's SVG without what nobody sees, with a name and a description. All ids are its own in a page of many charts:
    Vega's, which it counts through the process, are of clips and gradients alone, of which there are none."""
    root = ET.fromstring(svg.replace(f' xmlns="{_SVG}"', "", 1))  # noqa: S314 (Vega wrote it, and escapes)
    _shrink(root)
    size = {name: root.get(name, "") for name in ("width", "height", "viewBox")}
    names = {"role": "img", "aria-labelledby": f"{key}-title {key}-desc"}
    whole = ET.Element("svg", {"xmlns": _SVG, **size, **names, "font-family": FONT})
    ET.SubElement(whole, "title", {"id": f"{key}-title"}).text = title
    ET.SubElement(whole, "desc", {"id": f"{key}-desc"}).text = plain_text(alt_text)
    whole.extend(root)
    if any(HATCH in node.attrib.values() for node in root.iter()):
        _hatch(whole, key)
    return ET.tostring(whole, encoding="unicode")


def _hatch(root: ET.Element, key: str) -> None:
    for node in root.iter():
        if node.get("fill") == HATCH:
            node.set("fill", f"url(#{key}-hatch)")
    size = {"width": "5", "height": "5", "patternUnits": "userSpaceOnUse"}
    hatch = ET.SubElement(root, "pattern", {"id": f"{key}-hatch", **size})
    ET.SubElement(hatch, "path", {"d": "M-1,1l2,-2M0,5l5,-5M4,6l2,-2", "stroke": colour("soft"), "stroke-width": "1"})


def _shrink(node: ET.Element) -> None:
    kept: list[ET.Element] = []
    for child in node:
        for name in [
            name for name, value in child.attrib.items() if name in _SAYS_NOTHING or _BY_DEFAULT.get(name) == value
        ]:
            del child.attrib[name]
        for name, value in child.attrib.items():
            child.attrib[name] = _LONG_NUMBER.sub(_rounded, value)
        _shrink(child)
        if child.get("display") == "none" or (child.tag in {"g", "defs"} and not len(child)):
            continue
        if child.tag == "path" and not (child.get("fill") or child.get("stroke")):
            continue
        if (
            child.tag == "g"
            and set(child.attrib) <= {"transform"}
            and child.get("transform") in {None, "translate(0,0)"}
        ):
            kept.extend(child)
        elif child.tag == "path" and kept and _alike(kept[-1], child):
            kept[-1].set("d", kept[-1].attrib["d"] + child.attrib["d"])
        else:
            kept.append(child)
    node[:] = kept


def _alike(one: ET.Element, other: ET.Element) -> bool:
    """Whether both are paths that differ in where they go alone, so that one can go both ways."""
    return one.tag == "path" and {**one.attrib, "d": ""} == {**other.attrib, "d": ""}


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")
