"""Charts as inline SVG, written by hand: no script, no plotting library. Colours come from classes of the page.

All texts are escaped. The same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from mllmqa.evaluation.report.axes import Axis, short

Float = npt.NDArray[np.float64]
_TOP, _RIGHT, _LEFT, _BOTTOM = 10, 12, 50, 38


@dataclass(frozen=True)
class Plot:
    """A chart with two axes.

    Attributes:
        x: From left to right.
        y: From bottom to top.
        width: Of all, in pixels.
        height: Likewise.
    """

    x: Axis
    y: Axis
    width: int = 340
    height: int = 260

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point; one beyond an axis is put at its end."""
        across = _LEFT + self.x.share(x) * (self.width - _LEFT - _RIGHT)
        down = _TOP + (1 - self.y.share(y)) * (self.height - _TOP - _BOTTOM)
        return across, down

    def points(self, x: Float, y: Float, css: str = "dots") -> Markup:
        """Return dots as one path, which stays small for thousands; NaN is left out."""
        known = np.isfinite(x) & np.isfinite(y)
        places = (self.at(a, b) for a, b in zip(x[known].tolist(), y[known].tolist(), strict=True))
        return _path("".join(f"M{a:.1f} {b:.1f}h0" for a, b in places), css)

    def line(self, x: Float, y: Float, css: str) -> Markup:
        """Return a line through points."""
        return _path("M" + "L".join(_pairs(self, x, y)), css) if len(x) else Markup("")

    def band(self, x: Float, low: Float, high: Float, css: str = "band") -> Markup:
        """Return the area between two curves."""
        if not len(x):
            return Markup("")
        return _path("M" + "L".join([*_pairs(self, x, low), *reversed(_pairs(self, x, high))]) + "Z", css)

    def across(self, y: float, css: str, text: str = "") -> Markup:
        """Return a horizontal line, with a text above its right end."""
        down = self.at(self.x.low, y)[1]
        end = self.width - _RIGHT
        mark = Markup('<line class="{}" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
        made = mark.format(css, _LEFT, end, down, down)
        return made + (label(text, end - 2, down - 4, "end") if text else "")

    def upright(self, x: float, low: float, high: float, css: str) -> Markup:
        """Return a vertical line from ``low`` to ``high``."""
        (across, bottom), (_, top) = self.at(x, low), self.at(x, high)
        mark = Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
        return mark.format(css, across, across, bottom, top)

    def svg(self, title: str, *parts: Markup) -> Markup:
        """Return the chart with its axes below the parts.

        Args:
            title: For screen readers.
            parts: From back to front.
        """
        end, foot = self.width - _RIGHT, self.height - _BOTTOM
        grid = []
        for tick in self.y.ticks:
            down = self.at(self.x.low, tick)[1]
            grid.append(_GRID.format(_LEFT, end, down, down) + label(short(tick), _LEFT - 7, down + 3.5, "end"))
        for tick in self.x.ticks:
            across = self.at(tick, self.y.low)[0]
            grid.append(_GRID.format(across, across, _TOP, foot) + label(short(tick), across, foot + 14, "middle"))
        names = label(self.x.label, (_LEFT + end) / 2, self.height - 5, "middle", "name")
        middle = (_TOP + foot) / 2
        turned = Markup('<g transform="rotate(-90 11 {:.1f})">{}</g>').format(
            middle, label(self.y.label, 11, middle, "middle", "name")
        )
        return framed(title, self.width, self.height, *grid, *parts, names, turned)


_GRID = Markup('<line class="mesh" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')


@dataclass(frozen=True)
class Mark:
    """One row of a chart of rows.

    Attributes:
        name: At the left.
        value: Dot; None: none, and ``note`` says why.
        low: Start of its interval; None: no interval.
        high: Its end.
        worst: Start of the thin line of bounds.
        best: Its end.
        note: At the right.
        css: Class of dot and interval.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    worst: float | None = None
    best: float | None = None
    note: str = ""
    css: str = "c0"


@dataclass(frozen=True)
class Room:
    """Of a chart of rows, in pixels: all, the names at the left, the notes at the right, one row."""

    width: int = 700
    names: int = 150
    notes: int = 70
    row: int = 24

    @property
    def span(self) -> tuple[float, float]:
        """Where the axis starts and ends."""
        return float(self.names), float(self.width - self.notes)


def rows(
    marks: Sequence[Mark],
    axis: Axis,
    title: str,
    *,
    rules: Sequence[tuple[float, str]] = (),
    room: Room | None = None,
) -> Markup:
    """Return rows of dots with intervals, and thin lines from the worst to the best that is possible.

    Args:
        marks: From top to bottom.
        axis: Of the values.
        title: For screen readers.
        rules: Values that a vertical line marks, with a text above.
        room: Sizes.
    """
    room = room or Room()
    start, end = room.span
    top, foot = (18 if rules else 6), (18 if rules else 6) + room.row * len(marks)

    def across(value: float) -> float:
        return start + axis.share(value) * (end - start)

    parts = [
        _GRID.format(across(tick), across(tick), top, foot) + label(short(tick), across(tick), foot + 14, "middle")
        for tick in axis.ticks
    ]
    for value, text in rules:
        parts.append(_line("rule", across(value), across(value), top - 2, foot))
        parts.append(label(text, across(value), top - 6, "middle"))
    for k, mark in enumerate(marks):
        y = top + room.row * (k + 0.5)
        parts.append(label(mark.name, start - 10, y + 4, "end", "text", (room.names - 12) // 7))
        if mark.value is None:
            parts.append(label(mark.note, start + 6, y + 4, "start"))
            continue
        if mark.worst is not None and mark.best is not None:
            parts.append(_line(f"bound {mark.css}", across(mark.worst), across(mark.best), y, y))
        if mark.low is not None and mark.high is not None:
            parts.append(_line(f"span {mark.css}", across(mark.low), across(mark.high), y, y))
        dot = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="4.5"><title>{}: {:.4g}</title></circle>')
        parts.append(dot.format(mark.css, across(mark.value), y, mark.name, mark.value))
        parts.append(label(mark.note, end + 10, y + 4, "start", "text"))
    parts.append(label(axis.label, (start + end) / 2, foot + 30, "middle", "name"))
    return framed(title, room.width, foot + (36 if axis.label else 20), *parts)


def stacked(
    shares: Sequence[tuple[str, Sequence[float]]], kinds: Sequence[str], title: str, *, room: Room | None = None
) -> Markup:
    """Return rows of bars that are stacked from 0 to 1, with a legend above.

    Args:
        shares: Name of each row and its shares, one for each kind; their sum is at most 1.
        kinds: Names of the parts; part k has the class ``ck``.
        title: For screen readers.
        room: Sizes.
    """
    room = room or Room()
    start, end = room.span
    parts, x, top = [], start, 26
    for k, kind in enumerate(kinds):
        parts.append(_BAR.format(f"c{k}", x, 5, 10, 10, kind) + label(kind, x + 15, 14, "start"))
        x += 30 + 6.6 * len(kind)
    for i, (name, values) in enumerate(shares):
        y, x = top + room.row * i, start
        parts.append(label(name, start - 10, y + room.row / 2 + 4, "end", "text", (room.names - 12) // 7))
        parts.append(_BAR.format("empty", start, y + 4, end - start, room.row - 8, name))
        for k, value in enumerate(values):
            wide = value * (end - start)
            if wide > 0:
                about = f"{name}: {kinds[k]} {100 * value:.1f} %"
                parts.append(_BAR.format(f"c{k}", x, y + 4, wide, room.row - 8, about))
            x += wide
        parts.append(label(f"{100 * sum(values):.1f} %", end + 10, y + room.row / 2 + 4, "start", "text"))
    return framed(title, room.width, top + room.row * len(shares) + 4, *parts)


_BAR = Markup('<rect class="bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')


def label(text: str, x: float, y: float, anchor: str, css: str = "tick", most: int | None = None) -> Markup:
    """Return a text at a place; one of more than ``most`` letters is cut, and whole in its tooltip."""
    if not text:
        return Markup("")
    whole = Markup("<title>{}</title>").format(text) if most is not None and len(text) > most else Markup("")
    shown = text if not whole or most is None else text[: max(1, most - 1)] + "…"
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}{}</text>').format(
        css, x, y, anchor, shown, whole
    )


def framed(title: str, width: int, height: float, *parts: Markup) -> Markup:
    """Return an SVG of this size around the parts."""
    head = Markup('<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {:g}" style="max-width:{}px">')
    return Markup("").join([head.format(title, width, height, width), *parts, Markup("</svg>")])


def _line(css: str, x1: float, x2: float, y1: float, y2: float) -> Markup:
    mark = Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
    return mark.format(css, x1, x2, y1, y2)


def _path(steps: str, css: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(css, steps)


def _pairs(plot: Plot, x: Float, y: Float) -> list[str]:
    places = (plot.at(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return [f"{across:.1f} {down:.1f}" for across, down in places]
