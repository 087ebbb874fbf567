"""A figure that says of how many items it speaks, and how far the items without a score could move it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mllmqa.errors import DataError
from mllmqa.evaluation.stats._checks import Float


@dataclass(frozen=True)
class Figure:
    """One number of an evaluation.

    Attributes:
        value: The figure of the scored items; NaN where there is none, with a ``reason``.
        n: Items (or pairs, or groups, as the function says) that it is computed from.
        n_unscored: Those that have an opinion but no score.
        worst: The figure of all items if the unscored ones had got the worst scores possible; equal to ``value``
            where none is unscored; NaN where no bound is known. For errors, the larger number is the worse.
        best: Likewise with the best scores possible.
        reason: Why the value is NaN; None otherwise.
    """

    value: float
    n: int
    n_unscored: int = 0
    worst: float = math.nan
    best: float = math.nan
    reason: str | None = None

    def __str__(self) -> str:
        text = f"{self.value:.4f}" if self.reason is None else f"none ({self.reason})"
        if self.n_unscored and not math.isnan(self.worst):
            text += f" [{self.worst:.4f} … {self.best:.4f} with the unscored]"
        return f"{text}  n {self.n}  n_unscored {self.n_unscored}"


def figure(
    value: float, n: int, n_unscored: int, bounds: tuple[float, float] | None, reason: str | None = None
) -> Figure:
    """Return a figure; ``bounds`` (worst, best) are looked at only where items are unscored."""
    if math.isnan(value) and reason is None:
        raise ValueError("a figure without value needs a reason")
    worst, best = (value, value) if not n_unscored else (bounds or (math.nan, math.nan))
    return Figure(float(value), n, n_unscored, float(worst), float(best), reason if math.isnan(value) else None)


def aligned(
    scores: Iterable[tuple[str, float | None]], opinions: Mapping[str, float]
) -> tuple[list[str], Float, Float]:
    """Match scores with opinions by name.

    Args:
        scores: Name and score; None or NaN where there is no score. Names without an opinion are left out.
        opinions: Name → opinion.

    Returns:
        Names in the order of ``opinions``; scores (N,) float64, NaN where unscored; opinions (N,) float64.

    Raises:
        DataError: A name has two results, or one with an opinion has none.
    """
    found: dict[str, float] = {}
    for name, value in scores:
        if name not in opinions:
            continue
        if name in found:
            raise DataError("has two results", where=name)
        found[name] = math.nan if value is None else float(value)
    missing = [name for name in opinions if name not in found]
    if missing:
        raise DataError(f"{len(missing)} inputs have no result, the first is {missing[0]!r}")
    names = list(opinions)
    x = np.array([found[name] for name in names], dtype=np.float64)
    return names, x, np.array([opinions[name] for name in names], dtype=np.float64)
