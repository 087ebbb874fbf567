"""A data set as data: what it is, what its numbers mean, how its authors lay it out, and how it is divided.

Every card states only what is known; None means "not stated".
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from mllmqa.data.ratings import Columns, RatingScale, Reading
from mllmqa.data.tables import UTF8, Format, TableForm
from mllmqa.schema import Record

Reader = Literal["table", "live", "livec", "tid"]


class Score(Record):
    """What the scores of a table mean."""

    direction: Literal["mos", "dmos"]
    """``mos``: higher is better; ``dmos``: lower is better."""
    scale: tuple[float, float] | None = None
    """Nominal ends of the scale; None: not stated."""
    measured: tuple[float, float] | None = None
    """Smallest and largest score of the file as distributed."""
    std_scale: tuple[float, float] | None = None
    """Ends of the scale that the deviations are on, if it is another one."""

    @model_validator(mode="after")
    def _known(self) -> Score:
        if self.scale is None and self.measured is None:
            raise ValueError("neither the scale nor the measured range is stated")
        return self

    def rating_scale(self) -> RatingScale:
        """The scale to read with: the nominal one, else the measured range, rounded outwards."""
        low, high = self.scale or self.measured or (0.0, 0.0)
        if self.scale is None:
            slack = 1e-3 * (high - low)
            low, high = low - slack, high + slack
        width = self.std_scale[1] - self.std_scale[0] if self.std_scale else None
        return RatingScale(self.direction, low, high, width)


class ColumnsCard(Record):
    """Which columns hold what; see :class:`mllmqa.data.ratings.Columns`."""

    path: str
    score: str | None = None
    std: str | None = None
    variance: str | None = None
    n: str | None = None
    reference: str | None = None
    distortion: str | None = None
    split: str | None = None
    histogram: tuple[str, ...] = ()

    def columns(self) -> Columns:
        """As the reader takes it."""
        return Columns(**self.model_dump())


class LabelTable(Record):
    """One set of labels that is in circulation; a data set may have several, with other scales or rows."""

    id: str
    source: str
    """Who distributes it."""
    files: tuple[str, ...] = Field(min_length=1)
    """Paths from the root of the data set on; ``*`` as in shells."""
    parts: dict[str, Literal["train", "validation", "test"]] = Field(default_factory=dict)
    """File (as in ``files``) → the part that all its rows belong to."""
    reader: Reader = "table"
    format: Format | None = None
    encoding: str = UTF8
    header: tuple[str, ...] | None = None
    separator: str | None = None
    columns: ColumnsCard
    media: str = "{path}"
    patterns: dict[Literal["reference", "distortion"], str] = Field(default_factory=dict)
    splits: dict[str, Literal["train", "validation", "test"]] = Field(default_factory=dict)
    score: Score
    n: int | None = None
    """Number of usable rows."""
    references: int | None = None
    split_sizes: dict[Literal["train", "validation", "test"], int] = Field(default_factory=dict)
    note: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> LabelTable:
        if unknown := set(self.parts) - set(self.files):
            raise ValueError(f"parts names {sorted(unknown)}, which is not in files")
        for pattern in self.patterns.values():
            if re.compile(pattern).groups < 1:
                raise ValueError(f"pattern {pattern!r} has no group")
        return self

    def form(self) -> TableForm:
        """How the files are to be opened."""
        return TableForm(self.format, self.encoding, self.header, self.separator)

    def reading(self, file: str) -> Reading:
        """How the lines of one of :attr:`files` become ratings."""
        splits = {key.casefold(): part for key, part in self.splits.items()}
        patterns: dict[str, str] = {str(role): pattern for role, pattern in self.patterns.items()}
        return Reading(self.media, splits, self.parts.get(file), patterns)


class SplitRule(Record):
    """How a data set is divided for training and test."""

    rule: Literal["official", "reference", "item", "none"]
    """``official``: by its authors; ``reference``: all rows of an original on one side, ten seeded; ``item``:
    each row for itself, ten seeded; ``none``: without opinions."""
    shares: tuple[float, float, float] = (0.8, 0.0, 0.2)
    """Of train, validation and test, for the seeded ones."""
    note: str | None = None


class DataSet(Record):
    """One data set."""

    name: str = Field(pattern=r"[a-z0-9][a-z0-9.-]*")
    title: str
    kind: Literal["image", "video"]
    about: str
    items: int | None
    """Number of rated items as distributed; None: not stated."""
    references: int | None
    """Number of originals; None: the media have none, or it is not stated."""
    opinion: Literal["mos", "dmos", "preference", "none"]
    scale: str | None
    """Range of the scores, in words; None: not stated."""
    std: bool | None
    """Whether deviations (or histograms) of the opinions are distributed; None: not stated."""
    licence: str | None
    access: str | None
    """Where its authors or others give it."""
    layout: str | None
    """Label files and media folders, in words."""
    tables: tuple[LabelTable, ...] = ()
    """The labels that mllmqa reads, the authors' first; empty: give ``--columns``."""
    split: SplitRule
    traps: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> DataSet:
        ids = [table.id for table in self.tables]
        if len(set(ids)) != len(ids):
            raise ValueError(f"tables share an id: {ids}")
        if self.opinion in ("mos", "dmos") and any(t.score.direction != self.opinion for t in self.tables):
            raise ValueError("a table has another direction than the data set")
        return self
