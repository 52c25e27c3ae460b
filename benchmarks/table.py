"""The figures as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Any]


def _number(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:,.{digits}f}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f}"


_COLUMNS: list[tuple[str, Callable[[Figures], float | None], Callable[[float], str]]] = [
    ("requests", lambda f: f["requests"], _number(0)),
    ("MB read", lambda f: f["bytes"], _megabytes),
    ("wall s", lambda f: f["wall_s"], _number(2)),
    ("CPU s", lambda f: f["cpu_s"], _number(2)),
    ("server s", lambda f: f["server_cpu_s"], _number(2)),
    ("peak MB", lambda f: f["peak_bytes"], _megabytes),
    ("file MB", lambda f: f.get("file_bytes"), _megabytes),
    ("runs", lambda f: f["runs"], _number(0)),
    ("runs/s", lambda f: f["runs"] / f["wall_s"], _number(0)),
    ("new", lambda f: f.get("new"), _number(0)),
    ("changed", lambda f: f.get("changed"), _number(0)),
]


def stages(figures: Mapping[str, Figures], titles: Mapping[str, str], ratios: Mapping[str, float]) -> str:
    """One line a stage, then the ratios."""
    rows = [["stage", *(name for name, _, _ in _COLUMNS)]]
    for stage, found in figures.items():
        cells = [(value, text) for _, take, text in _COLUMNS for value in [take(found)]]
        rows.append([f"({stage}) {titles[stage]}", *("" if value is None else text(value) for value, text in cells)])
    return "\n".join([aligned(rows), "", *(f"{name}  {ratio:.2f}" for name, ratio in ratios.items())])


def stored(figures: Figures) -> str:
    """What `python -m benchmarks store` found."""
    rows = [["ms", "median", "most"]]
    rows += [[name, f"{ms['median']:,.0f}", f"{ms['most']:,.0f}"] for name, ms in figures["ms"].items()]
    size = f"{figures['file_bytes'] / 1e6:,.0f} MB, {figures['bytes_a_run']:,.0f} bytes a run"
    return f"{figures['stored_runs']:,} runs stored, {size}\n\n{aligned(rows)}"


def published(figures: Figures) -> str:
    """What `python -m benchmarks publish` found."""
    whole, ms = figures["cases"]["whole"], figures["ms"]
    rows = [["until the copy is as wanted", "publishes", "s", "of whole", "MB written", "of whole"]]
    rows += [
        [
            case,
            f"{took['publishes']:.0f}",
            f"{took['seconds']:,.2f}",
            f"{took['seconds'] / whole['seconds']:.2f}",
            f"{took['bytes'] / 1e6:,.1f}",
            f"{took['bytes'] / whole['bytes']:.4f}",
        ]
        for case, took in figures["cases"].items()
    ]
    asked = [["ms, median", "whole", "split"]]
    asked += [[name, f"{value:,.0f}", f"{ms['split'][name]:,.0f}"] for name, value in ms["whole"].items()]
    return f"{figures['stored_runs']:,} runs stored\n\n{aligned(rows)}\n\n{aligned(asked)}"


def alerts(figures: Figures) -> str:
    """What `python -m benchmarks alerts` found: wall time, and CPU time in brackets, medians in ms."""
    ledgers = list(figures["ledgers"].values())
    rows = [["ms, wall (CPU)", "", *(f"{int(count):,} runs" for count in figures["ledgers"]), "ratio of CPU"]]
    rows += [
        [
            case,
            f"{took['count']:,.0f}" if took["count"] else "",
            *(f"{each[case]['wall_ms']:,.0f} ({each[case]['cpu_ms']:,.0f})" for each in ledgers),
            f"{ledgers[-1][case]['cpu_ms'] / took['cpu_ms']:.2f}",
        ]
        for case, took in ledgers[0].items()
    ]
    return f"{figures['rules']:,} rules\n\n{aligned(rows)}"


def report(figures: Figures) -> str:
    """What `python -m benchmarks report` found: medians, and each part as a multiple of the plain copy."""
    ms = figures["ms"]
    plain = next(iter(ms.values()))
    rows = [["", "wall ms", "of the copy", "CPU ms", "of the copy"]]
    for part, took in ms.items():
        pairs = [(f"{took[kind]:,.0f}", f"{took[kind] / plain[kind]:.2f}") for kind in ("wall", "cpu")]
        rows.append([part, *pairs[0], *pairs[1]])
    return f"{figures['runs']:,} runs, a page of {figures['page_bytes'] / 1000:,.0f} kB\n\n{aligned(rows)}"


def metrics(figures: Figures) -> str:
    """What `python -m benchmarks metrics` found: medians, and each metric as a multiple of the plain query."""
    rows = [["metric", "rows", "wall ms", "of plain", "CPU ms", "of plain"]]
    for name, took in figures["metrics"].items():
        pairs = [
            (f"{took['metric'][kind] * 1000:,.0f}", f"{took['metric'][kind] / took['plain'][kind]:.1f}")
            for kind in ("wall", "cpu")
        ]
        rows.append([name, f"{took['metric']['rows']:,}", *pairs[0], *pairs[1]])
    asked = [["a process", "wall ms", "CPU ms"]]
    asked += [
        [line, f"{took['wall'] * 1000:,.0f}", f"{took['cpu'] * 1000:,.0f}"]
        for line, took in figures["commands"].items()
    ]
    return f"{figures['runs']:,} runs, {figures['file_bytes'] / 1e6:,.0f} MB\n\n{aligned(rows)}\n\n{aligned(asked)}"


def aligned(rows: list[list[str]]) -> str:
    """The first column to the left, all others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
