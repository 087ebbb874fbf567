"""Charts as inline SVG. All text goes through the template's escaping or is a number."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 340, 96
_FOOT = 16


def columns_svg(counts: Sequence[int], names: Sequence[str], title: str, below: Sequence[Markup] = ()) -> Markup:
    """Return a chart of columns.

    Args:
        counts: Height of each column.
        names: Of each column, for its tooltip.
        title: Of the chart, for screen readers.
        below: Texts of the axis.
    """
    top, step = max([1, *counts]), WIDTH / len(counts)
    column = Markup('<rect class="col" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>')
    parts = []
    for k, (count, name) in enumerate(zip(counts, names, strict=True)):
        high = (HEIGHT - _FOOT - 4) * count / top
        y, width = HEIGHT - _FOOT - high, step - 2
        parts.append(column.format(f"{k * step + 1:.1f}", f"{y:.1f}", f"{width:.1f}", f"{high:.1f}", name, count))
    return _svg([*parts, *below], title)


def labelled_svg(counts: Sequence[int], names: Sequence[str], title: str) -> Markup:
    """Return a chart of columns with names below them, of ranges such as 3–4 their start."""
    step = WIDTH / len(counts)
    labels = [
        Markup('<text class="tick" x="{}" y="{}">{}</text>').format(
            f"{(k + 0.5) * step:.1f}", HEIGHT - 3, name.partition("–")[0]
        )
        for k, name in enumerate(names)
    ]
    return columns_svg(counts, names, title, labels)


def histogram_svg(counts: Sequence[int], low: float, high: float, title: str) -> Markup:
    """Return a histogram with the ends and the middle of its axis below."""
    width = (high - low) / len(counts)
    names = [f"{low + k * width:g} to {low + (k + 1) * width:g}" for k in range(len(counts))]
    marks = [("start", 0, low), ("middle", WIDTH / 2, (low + high) / 2), ("end", WIDTH, high)]
    labels = [
        Markup('<text class="tick" style="text-anchor:{}" x="{}" y="{}">{}</text>').format(
            anchor, x, HEIGHT - 3, f"{value:g}"
        )
        for anchor, x, value in marks
    ]
    return columns_svg(counts, names, title, labels)


def _svg(parts: Sequence[Markup], title: str) -> Markup:
    head = Markup('<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {}">').format(title, WIDTH, HEIGHT)
    line = Markup('<line class="axis" x1="0" x2="{}" y1="{}" y2="{}"/>').format(
        WIDTH, HEIGHT - _FOOT, HEIGHT - _FOOT
    )
    return Markup("").join([head, *parts, line, Markup("</svg>")])
