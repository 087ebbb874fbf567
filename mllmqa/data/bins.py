"""From a score to one of the five levels: bins of equal width, of fixed edges, or of equal size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mllmqa.errors import DataError, UsageError


@dataclass(frozen=True)
class Bins:
    """Edges between levels on a rating scale.

    Attributes:
        edges: Increasing, one more than there are levels; the outer ones are the range.
        closed: ``left``: an edge belongs to the bin above it, the top edge to the top bin. ``right``: as DeQA-Score
            has it, an edge belongs to the bin below it, the bottom edge to the bottom bin.
    """

    edges: tuple[float, ...]
    closed: Literal["left", "right"] = "left"

    def __post_init__(self) -> None:
        steps = np.diff(self.edges)
        if len(self.edges) < 3 or not (np.isfinite(self.edges).all() and (steps > 0).all()):
            raise UsageError(f"edges {list(self.edges)}", expected="three or more increasing numbers")

    @classmethod
    def equal_width(
        cls, low: float, high: float, count: int = 5, *, closed: Literal["left", "right"] = "left"
    ) -> Bins:
        """Bins of equal width from low to high (Q-Align, Wu et al., ICML 2024; ``right``: DeQA-Score)."""
        return cls(tuple(np.linspace(low, high, count + 1).tolist()), closed)

    @classmethod
    def quantiles(cls, scores: ArrayLike, count: int = 5) -> Bins:
        """Bins that hold equally many of the scores.

        Raises:
            DataError: So many scores are equal that two edges coincide.
        """
        edges = np.quantile(np.asarray(scores, dtype=np.float64), np.linspace(0, 1, count + 1))
        if not (np.diff(edges) > 0).all():
            raise DataError(
                f"the scores cannot be cut into {count} parts of equal size", hint="use bins of equal width"
            )
        return cls(tuple(edges.tolist()))

    def index(self, scores: ArrayLike) -> NDArray[np.int64]:
        """Bin of each score, 0 for the lowest scores; a score outside the range is an error.

        Args:
            scores: (N,) in the edges' units.

        Raises:
            DataError: A score lies outside the edges or is not a number.
        """
        found = np.atleast_1d(np.asarray(scores, dtype=np.float64))
        low, high = self.edges[0], self.edges[-1]
        wrong = np.flatnonzero(~((found >= low) & (found <= high)))
        if len(wrong):
            k = int(wrong[0])
            raise DataError(f"score {found[k]:g}", where=f"item {k}", expected=f"a number from {low:g} to {high:g}")
        side: Literal["left", "right"] = "right" if self.closed == "left" else "left"
        inner: Sequence[float] = self.edges[1:-1]
        return np.searchsorted(inner, found, side=side).astype(np.int64)
