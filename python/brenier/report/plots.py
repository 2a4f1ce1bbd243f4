"""Plots in one style: few lines, and colours that colour-blind readers tell apart (Okabe and Ito)."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from brenier.errors import require_package

COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#888888",
}
INK = "#010203"  # becomes currentColor in the page, so that plots follow its light or dark theme
STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.7,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.35,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "brenier",
}


@dataclass(frozen=True)
class Line:
    """One curve: points, name, and how it looks."""

    name: str
    x: list[float]
    y: list[float]
    colour: str
    style: str = "-"
    marker: str = ""
    errors: list[float] | None = None


@dataclass(frozen=True)
class Chart:
    """One plot: lines over common axes."""

    lines: list[Line]
    x_label: str
    y_label: str
    x_log: bool = False
    y_log: bool = False
    x_ticks: list[float] | None = None
    reverse_x: bool = False
    y_from_zero: bool = False


def round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from low to high, the powers alone over many decades."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = (1, 2, 5) if high < 200 * low else (1,)
    return [tick for k in decades for mark in marks if low <= (tick := mark * 10.0**k) <= high]


def svg(chart: Chart, width: float = 4.6, height: float = 3.1) -> str:
    """The chart as an inline SVG element in the colour of the text around it."""
    text = drawn(chart, "svg", INK, width, height).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    return text.replace(INK, "currentColor")


def png(chart: Chart, width: float = 5.2, height: float = 3.4) -> bytes:
    """The chart as PNG on white."""
    return drawn(chart, "png", "#222222", width, height)


def drawn(chart: Chart, kind: str, ink: str, width: float, height: float) -> bytes:
    with figure(ink, width, height) as (canvas, save):
        axes = canvas.subplots()
        for line in chart.lines:
            draw_line(axes, line)
        dress(axes, chart)
        return save(kind)


def draw_line(axes: Any, line: Line) -> None:
    look = {"color": COLOURS[line.colour], "linestyle": line.style, "marker": line.marker or None}
    if line.errors is None:
        axes.plot(line.x, line.y, label=line.name, **look)
    else:
        axes.errorbar(line.x, line.y, yerr=line.errors, label=line.name, capsize=2, **look)


def dress(axes: Any, chart: Chart) -> None:
    """Scales, ticks, labels and legend."""
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    if chart.x_log:
        axes.set_xscale("log")
    if chart.y_log:
        axes.set_yscale("log")
    if chart.x_ticks:
        axes.set_xticks(chart.x_ticks, [f"{tick:g}" for tick in chart.x_ticks])
        axes.minorticks_off()
    if chart.reverse_x:
        axes.invert_xaxis()
    if chart.y_from_zero:
        axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    axes.figure.legend(loc="outside upper left", ncols=2, handlelength=2.6, columnspacing=1.2)


@contextmanager
def figure(
    ink: str, width: float, height: float, layout: str = "constrained"
) -> Iterator[tuple[Any, Callable[[str], bytes]]]:
    """A figure without global state (no pyplot), and a function that turns it into bytes."""
    matplotlib = require_package("matplotlib", "report")
    inks = dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), ink
    )
    with matplotlib.rc_context(STYLE | inks | {"grid.color": ink}):
        canvas = require_package("matplotlib.figure", "report").Figure(figsize=(width, height), layout=layout)

        def save(kind: str) -> bytes:
            out = io.BytesIO()
            # no date in the file: the same numbers give the same bytes
            about = {"Date": None} if kind == "svg" else None
            canvas.savefig(out, format=kind, dpi=160, transparent=kind == "svg", metadata=about)
            return out.getvalue()

        yield canvas, save
