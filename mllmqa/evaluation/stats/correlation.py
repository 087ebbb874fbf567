"""Correlation of scores with opinions: Spearman, Kendall tau-b, Pearson, root-mean-square error.

Higher is better on both sides; difference opinions (DMOS) are negated by the caller. No sign is ever dropped: an
inverted model has a negative correlation, and :class:`Correlations` says that it is inverted.

NaN and infinity: :func:`srcc`, :func:`krcc`, :func:`plcc` and :func:`rmse` refuse both. :func:`correlate` takes
a NaN score as "not scored", leaves it out and counts it; infinite scores and opinions that are not finite are
refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.evaluation.stats import bounds
from mllmqa.evaluation.stats._checks import MIN_ITEMS, Float, centred, judged, pair, ranks, scipy, vector
from mllmqa.evaluation.stats.figure import Figure, figure
from mllmqa.evaluation.stats.intervals import Interval, bonett_wright, fisher

Direction = Literal["agrees", "inverted", "unclear"]


def srcc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Spearman's rank correlation, mid-ranks for ties (Spearman, Am. J. Psychol. 15, 1904).

    Args:
        x: Scores, shape (N,), finite.
        y: Opinions, shape (N,), finite.

    Returns:
        −1..1; NaN if a side is constant or N < 3 (:func:`missing_reason` says which).

    Raises:
        DataError: Different lengths, or a number that is not finite.
    """
    a, b = pair(x, y)
    return _pearson(ranks(a), ranks(b)) if missing_reason(a, b) is None else math.nan


def plcc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Pearson's correlation of the raw values, no fitted curve. As :func:`srcc`."""
    a, b = pair(x, y)
    return _pearson(a, b) if missing_reason(a, b) is None else math.nan


def krcc(x: ArrayLike, y: ArrayLike) -> float:
    """Return Kendall's tau-b, corrected for ties on both sides (Kendall, Biometrika 33, 1945). As :func:`srcc`."""
    a, b = pair(x, y)
    if missing_reason(a, b) is not None:
        return math.nan
    return float(scipy("stats").kendalltau(a, b, method="asymptotic").statistic)


def rmse(x: ArrayLike, y: ArrayLike) -> float:
    """Return the root-mean-square error, ≥ 0, in units of the opinions; NaN for N = 0. As :func:`srcc`."""
    a, b = pair(x, y)
    off = np.abs(a - b)
    most = float(off.max(initial=0.0))
    return most * float(np.sqrt(np.mean((off / (most or 1.0)) ** 2))) if len(a) else math.nan


def missing_reason(x: Float, y: Float) -> str | None:
    """Say why there is no correlation of two finite arrays of shape (N,), or None where there is one."""
    if len(x) < MIN_ITEMS:
        return f"{len(x)} scored items are too few, {MIN_ITEMS} are needed"
    if centred(x) is None:
        return f"all {len(x)} scores are {x[0]:g}"
    if centred(y) is None:
        return f"all {len(y)} opinions are {y[0]:g}"
    return None


def tie_share(values: ArrayLike) -> float:
    """Return the share of pairs of items with equal values, 0..1, of shape (N,); NaN for N < 2.

    Models that answer with a few levels tie often: five equally used levels give 0.2.
    """
    found = vector(values, "values")
    if len(found) < 2:
        return math.nan
    counts = np.unique(found, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / (len(found) * (len(found) - 1)))


@dataclass(frozen=True)
class Correlations:
    """Raw agreement of one model with opinions.

    Attributes:
        srcc: Spearman rank correlation.
        krcc: Kendall's tau-b.
        plcc: Pearson correlation of the raw scores.
        rmse: Root-mean-square error of the raw scores; means something only if both sides share a scale.
        srcc_interval: Bonett–Wright, 95 %.
        plcc_interval: Fisher, 95 %.
        ties_scores: Share of pairs with equal scores, among the scored items.
        ties_opinions: Share of pairs with equal opinions, among the scored items.
        direction: ``agrees`` or ``inverted`` if the interval of SRCC lies on one side of 0, else ``unclear``.
    """

    srcc: Figure
    krcc: Figure
    plcc: Figure
    rmse: Figure
    srcc_interval: Interval
    plcc_interval: Interval
    ties_scores: float
    ties_opinions: float
    direction: Direction


def correlate(scores: ArrayLike, mos: ArrayLike, *, scale: tuple[float, float] | None = None) -> Correlations:
    """Return all raw figures with their bounds.

    Args:
        scores: Shape (N,), higher is better; NaN where an item was not scored.
        mos: Opinions, shape (N,), finite, higher is better.
        scale: Least and greatest possible score, for the bounds of PLCC and RMSE; None: those that occur.

    Raises:
        DataError: Different lengths, an infinite score, an opinion that is not finite, a score outside the scale.
    """
    x, y, known = judged(scores, mos)
    a, b, n, lost = x[known], y[known], int(known.sum()), int((~known).sum())
    reason = missing_reason(a, b)

    def made(of: Callable[[ArrayLike, ArrayLike], float], edge: tuple[float, float]) -> Figure:
        return figure(of(a, b), n, lost, edge, reason)

    s = made(srcc, bounds.srcc_bounds(x, y))
    p = made(plcc, bounds.plcc_bounds(x, y, scale=scale))
    interval = bonett_wright(s.value, n)
    direction: Direction = "agrees" if interval.low > 0 else "inverted" if interval.high < 0 else "unclear"
    return Correlations(
        srcc=s,
        krcc=made(krcc, bounds.krcc_bounds(x, y)),
        plcc=p,
        rmse=figure(rmse(a, b), n, lost, bounds.rmse_bounds(x, y, scale=scale), "no item is scored"),
        srcc_interval=interval,
        plcc_interval=fisher(p.value, n),
        ties_scores=tie_share(a),
        ties_opinions=tie_share(b),
        direction=direction,
    )


def _pearson(x: Float, y: Float) -> float:
    a, b = centred(x), centred(y)
    return math.nan if a is None or b is None else float(np.clip(a @ b, -1.0, 1.0))
