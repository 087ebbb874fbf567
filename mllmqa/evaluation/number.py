"""One figure of a summary as a record: JSON without NaN."""

from __future__ import annotations

import math

from mllmqa.evaluation import stats
from mllmqa.schema import Record


class Number(Record):
    """One figure. What cannot be computed is None, with a reason."""

    value: float | None
    n: int
    """Items (or pairs) that it is computed from."""
    n_unscored: int
    low: float | None = None
    """Lower end of the 95 % bootstrap interval."""
    high: float | None = None
    worst: float | None = None
    """The figure if the unscored items had got the worst scores possible."""
    best: float | None = None
    reason: str | None = None


def number(found: stats.Figure, interval: stats.Resampled | stats.Interval | None = None) -> Number:
    """Return a figure with its interval; NaN becomes None."""
    low, high = (math.nan, math.nan) if interval is None else (interval.low, interval.high)
    return Number(
        value=finite(found.value), n=found.n, n_unscored=found.n_unscored, low=finite(low), high=finite(high),
        worst=finite(found.worst), best=finite(found.best), reason=found.reason,
    )  # fmt: skip


def finite(value: float) -> float | None:
    """Return None for what is no number."""
    return float(value) if math.isfinite(value) else None
