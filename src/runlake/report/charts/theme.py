"""How charts look: their colours in the light and in the dark, one font, one width.

A chart is drawn once. Its colours are CSS variables, `var(--c-fail)`, to which a page gives values by `declarations`;
in a PNG they are those of the light.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WIDTH = 480
"""CSS pixels. Two stand side by side in a wide page; one is scaled by 0.7 on a phone 360 wide, where SIZE is still 9
pixels: a chart of 640 would have labels of 6."""

SIZE = 13
SMALL = 12
"""Pixels of text."""

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""vl-convert brings the first, so text is measured alike on every machine; the others have its widths."""

COLOURS: Mapping[str, tuple[str, str]] = {
    # name: in the light, in the dark
    "ink": ("#1f2328", "#e8eaed"),
    "soft": ("#57606a", "#a9b1bb"),
    "line": ("#d5dae0", "#3d444d"),
    "faint": ("#eef0f3", "#262b31"),
    "ground": ("#ffffff", "#16191d"),
    "pass": ("#79b5d9", "#35779f"),
    "fail": ("#c64a00", "#ff8f4d"),
    "neutral": ("#9aa3ad", "#6f7883"),
    "open": ("#6f4fa0", "#b79cf0"),
    # Success rates by class, worst to best. Lightness alone tells them apart too, in grey print and to every eye.
    "rate-0": ("#7d2a00", "#ffe0c8"),
    "rate-1": ("#c8560c", "#ff9f5a"),
    "rate-2": ("#e8964a", "#c67a30"),
    "rate-3": ("#f0c26a", "#85692c"),
    "rate-4": ("#d2e6f2", "#1d4460"),
}
"""After Okabe and Ito's palette for every kind of colour vision: blue for what went well, vermilion for what failed,
never red against green; what matters stands out by its lightness against the ground."""

HATCH = "url(#hatch)"
"""A fill of slanted strokes over whatever is below: not seen, or waiting."""


def colour(name: str) -> str:
    """As a fill or stroke in a specification."""
    assert name in COLOURS
    return f"var(--c-{name})"


def declarations(*, dark: bool) -> str:
    """What gives the colours their values, for a rule of a page: `--c-ink:#1f2328;…`."""
    return "".join(f"--c-{name}:{pair[dark]};" for name, pair in COLOURS.items())


CONFIG: Mapping[str, Any] = {
    "background": "transparent",
    "font": FONT,
    "aria": False,  # a role and a label of each mark would be most of the file, and say less than the chart's own
    "padding": 0,
    "view": {"stroke": None},
    "text": {"fontSize": SIZE, "fill": colour("ink"), "baseline": "middle"},
    "axis": {
        "title": None,
        "domain": False,
        "ticks": False,
        "gridColor": colour("line"),
        "labelColor": colour("soft"),
        "labelFontSize": SMALL,
        "labelPadding": 5,
        "labelOverlap": False,
        "labelBound": False,
        "labelFlush": False,
    },
    "legend": {"disable": True},
}
