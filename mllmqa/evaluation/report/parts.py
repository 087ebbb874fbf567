"""Pieces of which the pages of a report are put together, and the one template that shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup

from mllmqa.evaluation.tables import Table
from mllmqa.pages import render


@dataclass(frozen=True)
class Chart:
    """A picture with a line below it."""

    kind: ClassVar[str] = "chart"
    svg: Markup
    caption: str = ""
    title: str = ""


@dataclass(frozen=True)
class Grid:
    """Charts side by side, ``columns`` in a row where there is room."""

    kind: ClassVar[str] = "grid"
    charts: tuple[Chart, ...]
    columns: int = 3


@dataclass(frozen=True)
class Shown:
    """A table; ``strong`` is the number of the column that readers look at first."""

    kind: ClassVar[str] = "table"
    table: Table
    strong: int = 1


@dataclass(frozen=True)
class Cell:
    """Of a matrix: a text, what it means (``up``, ``down`` or nothing), and more in the tooltip."""

    text: str
    tone: str = ""
    about: str = ""


@dataclass(frozen=True)
class Matrix:
    """Names against names."""

    kind: ClassVar[str] = "matrix"
    title: str
    names: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    foot: str = ""


@dataclass(frozen=True)
class Thumb:
    """A small picture with lines below it; without ``uri``, why it is not shown."""

    uri: str | None
    name: str
    line: str
    trouble: str = ""


@dataclass(frozen=True)
class Gallery:
    """Small pictures in a row."""

    kind: ClassVar[str] = "gallery"
    title: str
    thumbs: tuple[Thumb, ...]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


Simple = Chart | Grid | Shown | Matrix | Gallery | Text


@dataclass(frozen=True)
class Fold:
    """Pieces that can be folded away."""

    kind: ClassVar[str] = "fold"
    title: str
    about: str
    parts: tuple[Simple, ...]
    is_open: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading."""

    title: str
    parts: tuple[Simple | Fold, ...]
    lead: str = ""


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        title: Heading.
        sub: Line below it.
        tiles: Big figures with what they are.
        notes: What a reader must not overlook.
        sections: The rest.
    """

    title: str
    sub: str
    tiles: tuple[tuple[str, str], ...] = ()
    notes: Sequence[str] = ()
    sections: tuple[Section, ...] = field(default=())


def to_html(page: Page) -> str:
    """Return one self-contained HTML file."""
    return render("mllmqa.evaluation.report", "report.html.j2", page=page, cell=_cell)


def _cell(text: str) -> Markup:
    """Return a cell whose interval or bounds are set back, and whose negative numbers have a minus."""
    text = _MINUS.sub("−", text)
    value, opened, rest = text.partition(" [")
    if not opened:
        value, opened, rest = text.partition(" (")
    return Markup("{}<small>{}{}</small>").format(value, opened, rest) if opened else Markup("{}").format(text)


_MINUS = re.compile(r"(?<![\w.-])-(?=[.\d])")
