"""Training targets of rated media: the level, and the distribution over levels where opinions allow one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mllmqa.data.bins import Bins
from mllmqa.data.labels import Density, SoftLabels, Variant, histogram_labels, soft_labels
from mllmqa.data.ratings import Rating, RatingScale
from mllmqa.errors import DataError


@dataclass(frozen=True)
class Target:
    """What a model is to learn of one item.

    Attributes:
        name: Of the item.
        mean: Mean opinion on 1 (worst) .. 5 (best).
        std: Deviation of the opinions in levels; None: not stated.
        level: 1 .. 5, the bin of the mean.
        probabilities: Over level 1 to 5; None: neither deviation nor histogram are stated.
        variant: How ``probabilities`` were made; None if there are none.
    """

    name: str
    mean: float
    std: float | None
    level: int
    probabilities: tuple[float, ...] | None
    variant: Literal["deqa", "affine", "tilted", "histogram"] | None


def targets(
    rows: Sequence[Rating],
    scale: RatingScale,
    *,
    variant: Variant = "tilted",
    density: Density = "pdf",
    bins: Bins | None = None,
) -> list[Target]:
    """Make the targets of rated items, in their order.

    A histogram of opinions (worst first) is taken as it is; otherwise the deviation makes a soft label; without
    either there is none.

    Args:
        rows: The ratings; all scores lie on the scale.
        scale: What the scores mean.
        variant: Kind of soft label (:mod:`mllmqa.data.labels`).
        density: For the variant ``deqa``.
        bins: Edges of the levels on 1..5; None: equal width.

    Raises:
        DataError: A score is off the scale, or a histogram holds no opinion; names file and line.
    """
    for row in rows:
        if not scale.low <= row.score <= scale.high:
            expected = f"a score from {scale.low:g} to {scale.high:g}"
            raise DataError(f"{row.name} has the score {row.score:g}", where=row.where, expected=expected)
    means = [min(5.0, max(1.0, scale.level(row.score))) for row in rows]
    levels = (bins or Bins.equal_width(1, 5)).index(means) if rows else np.empty(0, dtype=np.int64)
    stds = [None if row.std is None else scale.std_levels(row.std) for row in rows]
    made: dict[int, tuple[SoftLabels, int]] = {}
    for k, row in enumerate(rows):
        if row.histogram:
            made[k] = (_histogram(row), 0)
    spread = [k for k, std in enumerate(stds) if std is not None and k not in made]
    soft = soft_labels([means[k] for k in spread], [stds[k] or 0.0 for k in spread], variant, density=density)
    made |= {k: (soft, place) for place, k in enumerate(spread)} if soft is not None else {}
    return [_target(rows[k].name, means[k], stds[k], int(levels[k]) + 1, made.get(k)) for k in range(len(rows))]


def _histogram(row: Rating) -> SoftLabels:
    try:
        return histogram_labels([row.histogram or ()])
    except DataError as error:
        raise DataError(f"{row.name} has the {error.what}", where=row.where, expected=error.expected) from error


def _target(name: str, mean: float, std: float | None, level: int, soft: tuple[SoftLabels, int] | None) -> Target:
    if soft is None:
        return Target(name, mean, std, level, None, None)
    labels, place = soft
    return Target(name, mean, std, level, tuple(labels.probabilities[place].tolist()), labels.variant)
