"""A figure that says of how many items it speaks, and how far the items without a score could move it."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
