"""Rated media as labels: opinion scores with their scales, levels, soft labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mllmqa import prompts
from mllmqa.data.bins import Bins
from mllmqa.data.findings import Findings
from mllmqa.data.labels import Variant, soft_labels
from mllmqa.data.media_index import MediaIndex, is_there
from mllmqa.data.ratings import Columns, Rating, RatingScale
from mllmqa.data.sample import Split
from mllmqa.data.sample_labels import Histogram, Level, Mos
from mllmqa.data.targets import targets
from mllmqa.errors import MllmqaError, error_line

if TYPE_CHECKING:
    from mllmqa.data.registry import Rated as ReadSet

_PARTS: dict[str | None, Split | None] = {"train": "train", "validation": "val", "test": "test", None: None}
EQUAL_WIDTH = "equal-width"


@dataclass(frozen=True)
class Rated:
    """One rated medium.

    Attributes:
        rating: As read.
        scale: What its score means.
        source: Name of the data set, or of the table.
        part: Official part; None: the data set has none.
        licence: As the card states it.
        kind: What it is, where its file is not looked at; None: the file tells.
    """

    rating: Rating
    scale: RatingScale
    source: str
    part: Split | None
    licence: str | None
    kind: Literal["image", "video"] | None = None

    @property
    def path(self) -> Path:
        """The medium's file."""
        return self.rating.path

    def mos(self, key: str) -> Mos:
        """Return the opinion score as a label, on the scale and in the direction of the data set."""
        row, scale = self.rating, self.scale
        histogram = None
        if row.histogram and sum(row.histogram):
            step = (scale.high - scale.low) / (len(row.histogram) - 1)
            scores = tuple(scale.low + k * step for k in range(len(row.histogram)))
            total = sum(row.histogram)
            histogram = Histogram(scores=scores, weights=tuple(count / total for count in row.histogram))
        width = scale.high - scale.low
        std = None if row.std is None else row.std * width / (scale.std_width or width)
        return Mos(
            media=key, value=row.score, std=std, low=scale.low, high=scale.high,
            direction="higher-better" if scale.direction == "mos" else "lower-better",
            n_ratings=round(row.n or 0) or None, histogram=histogram,
        )  # fmt: skip

    def level(
        self, key: str, variant: Variant | None = None, words: str = "levels", assumed_std: float = 0.0
    ) -> Level:
        """Return the level word; with a variant also the distribution over the words, where opinions allow one.

        Args:
            key: Of the medium.
            variant: Of the soft label (:mod:`mllmqa.data.labels`); None: no soft label.
            words: Scale of words, ``prompts/WORDS.yaml``.
            assumed_std: Deviation of the opinions, in levels, where the data set states none; 0: none is assumed.
        """
        row = self.rating
        assumed = assumed_std > 0 and row.std is None and not row.histogram
        if assumed:
            row = replace(row, std=assumed_std / self.scale.std_levels(1.0))
        found = targets([row], self.scale, variant=variant or "tilted")[0]
        scale = prompts.word_scale(words).words
        probabilities = found.probabilities if variant is not None else None
        method = EQUAL_WIDTH if probabilities is None else f"{EQUAL_WIDTH}; soft label {found.variant}"
        method += f", deviation {assumed_std:g} assumed" if assumed and probabilities is not None else ""
        return Level(
            media=key, word=scale[len(scale) - found.level], scale=scale, method=method,
            probabilities=tuple(reversed(probabilities)) if probabilities else None,
        )  # fmt: skip

    @property
    def mean(self) -> float:
        """The score on 1 (worst) .. 5 (best)."""
        return self.scale.level(self.rating.score)

    @property
    def std(self) -> float | None:
        """The deviation of the opinions in levels; None: not stated."""
        return None if self.rating.std is None else self.scale.std_levels(self.rating.std)


def quality_level(value: float, key: str, method: str, assumed_std: float = 0.0) -> Level:
    """Return the level of a score on 1 (worst) .. 5 (best), in bins of equal width.

    Args:
        value: The score.
        key: Of the medium.
        method: Where the score is from.
        assumed_std: Deviation, in levels, of the soft label (``tilted``); 0: none.
    """
    words = prompts.level_scale().words
    place = int(Bins.equal_width(1, 5).index([value])[0])
    soft = soft_labels([value], [assumed_std], "tilted") if assumed_std > 0 else None
    method = f"{method}; {EQUAL_WIDTH}" + (
        f"; soft label tilted, deviation {assumed_std:g} assumed" if soft else ""
    )
    return Level(
        media=key, word=words[len(words) - 1 - place], scale=words, method=method,
        probabilities=tuple(reversed(soft.probabilities[0].tolist())) if soft else None,
    )  # fmt: skip


def of_data_set(root: Path, name: str, findings: Findings, *, media: bool = True) -> list[Rated]:
    """Read a registered data set; what is wrong is counted, and such rows are left out.

    Args:
        root: Its folder.
        name: Of the data set.
        findings: Takes what is wrong.
        media: Whether media files are looked for; False: rows stay, with the paths that the labels name.

    Raises:
        DataError: No label file is there.
    """
    from mllmqa.data import registry
    from mllmqa.data.registry import doubts

    read = registry.read(root, name, findings=findings, media=media)
    doubts.look(read.rows, read.scale, findings, read.files[0])
    kind = None if media else read.card.kind
    rows = [row if media else replace(row, path=root / row.path) for row in read.rows]
    parts = _parts_of(read, findings)
    return [
        Rated(row, read.scale, name, parts.get(row.name), read.card.licence, kind)
        for row in rows
        if _usable(row, read.scale, media=media)
    ]


def _parts_of(read: ReadSet, findings: Findings) -> dict[str, Split]:
    """Return row name → part: the official one, or the first of the ten seeded divisions."""
    from mllmqa.data.splits import split_of

    try:
        split = split_of(read.card, read.rows)
    except MllmqaError as error:
        findings.note("no-division", error_line(error), where=read.files[0])
        return {}
    named: dict[Split, tuple[str, ...]] = {"train": split.train, "val": split.validation, "test": split.test}
    return {name: part for part, names in named.items() for name in names}


def of_table(path: Path, columns: Columns, scale: RatingScale, findings: Findings) -> list[Rated]:
    """Read a table of one's own; media are looked for from its folder on.

    Raises:
        DataError: It cannot be read, or a column is missing.
    """
    from mllmqa.data.rate import rate
    from mllmqa.data.registry import doubts
    from mllmqa.data.tables import TableForm, open_table

    with open_table(path, TableForm()) as table:
        rows = list(rate(table, columns, scale, MediaIndex(path.parent, search=True), findings))
    doubts.look(rows, scale, findings, path)
    return [
        Rated(row, scale, path.stem, _PARTS.get(row.split), None) for row in rows if _usable(row, scale, media=True)
    ]


def _usable(row: Rating, scale: RatingScale, *, media: bool) -> bool:
    """Tell whether a row has a medium, and numbers that can be; where not, the reader has counted it."""
    width = scale.std_width or scale.high - scale.low
    numbers = (row.std is None or 0 <= row.std <= width, (row.n or 0) >= 0, min(row.histogram or (0,)) >= 0)
    return (not media or is_there(row.path)) and scale.low <= row.score <= scale.high and all(numbers)
