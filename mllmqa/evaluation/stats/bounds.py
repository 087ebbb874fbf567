"""How far items without a score could move a figure: its exact least and greatest value over all their scores.

The bounds of the rank figures run over all ways to give the unscored items scores that differ from each other and
from all others (no new ties). Those of PLCC and RMSE run over all scores on the scale, because without a scale one
far outlier can make any correlation.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.stats._checks import MIN_ITEMS, Bool, Float, centred, judged, ranks

Bounds = tuple[float, float]
NO_BOUNDS: Bounds = (math.nan, math.nan)
_MAX_STEPS = 200


def srcc_bounds(scores: ArrayLike, mos: ArrayLike) -> Bounds:
    """Return worst and best SRCC of all items; exact, by dynamic programming over the places of the unscored.

    With the mid-ranks of the opinions fixed, SRCC grows with the sum of products of ranks. In the best order the
    unscored items stand among each other as the opinions say; what is left is to merge two ordered sequences.
    Time O(scored · unscored).

    Args:
        scores: Shape (N,), NaN where unscored.
        mos: Shape (N,), finite.

    Returns:
        (worst, best); NaN for N < 3 or constant opinions, or if all scores are there and constant.

    Raises:
        DataError: As :func:`mllmqa.evaluation.stats.correlate`.
    """
    x, y, known = judged(scores, mos)
    weights = centred(ranks(y)) if len(y) >= MIN_ITEMS else None
    if weights is None:
        return NO_BOUNDS
    order, ends = _groups(x[known])
    sizes = np.diff(ends)
    spread = (float(len(x)) ** 3 - len(x) - float((sizes**3.0 - sizes).sum())) / 12
    if spread <= 0:
        return NO_BOUNDS
    sums = np.diff(np.concatenate([[0.0], np.cumsum(weights[known][order])])[ends])
    loose = np.sort(weights[~known])
    best = _merge(sums, ends, loose) / math.sqrt(spread)
    worst = -_merge(-sums, ends, np.sort(-loose)) / math.sqrt(spread)
    return float(np.clip(worst, -1, 1)), float(np.clip(best, -1, 1))


def krcc_bounds(scores: ArrayLike, mos: ArrayLike) -> Bounds:
    """Return worst and best Kendall tau-b of all items; exact. Arguments and result as :func:`srcc_bounds`.

    Each unscored item takes the place that suits it best against the scored ones; these places are in the order
    of the opinions, so that all pairs of unscored items agree, too. Time O(scored · unscored).
    """
    x, y, known = judged(scores, mos)
    n, pairs = len(x), len(x) * (len(x) - 1) / 2
    order, ends = _groups(x[known])
    free_x, free_y = pairs - _tied(np.diff(ends)), pairs - _tied(np.unique(y, return_counts=True)[1])
    if n < MIN_ITEMS or not free_x or not free_y:
        return NO_BOUNDS
    seen, loose = y[known][order], y[~known]
    low = high = base = 0.0
    for value in loose:
        passed = np.concatenate([[0.0], np.cumsum(np.sign(value - seen))])[ends]
        places = 2 * passed - passed[-1]
        low, high = low + float(places.min()), high + float(places.max())
    among = len(loose) * (len(loose) - 1) / 2 - _tied(np.unique(loose, return_counts=True)[1])
    for i in range(len(ends) - 1):  # the scored ones among each other; ties within a group count nothing
        later = np.sort(seen[ends[i + 1] :])
        here = seen[ends[i] : ends[i + 1]]
        above = len(later) - np.searchsorted(later, here, "right")
        base += float((above - np.searchsorted(later, here, "left")).sum())
    scale = math.sqrt(free_x * free_y)
    return (base + low - among) / scale, (base + high + among) / scale


def plcc_bounds(scores: ArrayLike, mos: ArrayLike, *, scale: Bounds | None = None) -> Bounds:
    """Return worst and best PLCC of all items over all scores on the scale; exact up to float noise.

    The correlation is quasi-concave where it is positive: at its maximum the unscored items lie on the
    least-squares line as far as the scale allows, which is a convex problem in intercept and slope. Where no
    correlation is positive, the maximum has each unscored item at an end of the scale, the better ones at the
    upper.

    Args:
        scores: Shape (N,), NaN where unscored.
        mos: Shape (N,), finite.
        scale: Least and greatest possible score; None: those that occur.

    Returns:
        (worst, best); NaN for N < 3, constant opinions, or a scale of one point.

    Raises:
        DataError: As :func:`srcc_bounds`, or a score lies outside the scale.
        UsageError: The scale does not ascend.
    """
    x, y, known = judged(scores, mos)
    low, high = score_range(x[known], scale, (0.0, 1.0))  # without any score the scale does not matter
    weights = centred(y) if len(y) >= MIN_ITEMS else None
    if weights is None or (low == high and bool((~known).any())):
        return NO_BOUNDS
    return -_greatest_plcc(x, -weights, known, (low, high)), _greatest_plcc(x, weights, known, (low, high))


def rmse_bounds(scores: ArrayLike, mos: ArrayLike, *, scale: Bounds | None = None) -> Bounds:
    """Return worst and best RMSE of all items over all scores on the scale; exact.

    Arguments and errors as :func:`plcc_bounds`. NaN without items, or without both scores and a scale.
    """
    x, y, known = judged(scores, mos)
    low, high = score_range(x[known], scale, NO_BOUNDS)
    if not len(x) or math.isnan(low):
        return NO_BOUNDS
    fixed = float(((x - y)[known] ** 2).sum())
    far = np.maximum(np.abs(y - low), np.abs(y - high))[~known]
    near = np.maximum(0, np.maximum(low - y, y - high))[~known]
    return math.sqrt((fixed + float(far @ far)) / len(x)), math.sqrt((fixed + float(near @ near)) / len(x))


def _groups(x: Float) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of the scores and the ends of the groups of equal ones, 0 first, shape (groups + 1,)."""
    order = np.argsort(x, kind="stable")
    counts = np.unique(x, return_counts=True)[1]
    return order, np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)


def _tied(counts: np.ndarray) -> float:
    return float((counts * (counts - 1)).sum() / 2)


def _merge(sums: Float, ends: np.ndarray, loose: Float) -> float:
    """Return the greatest sum of weight × rank over all merges.

    ``sums`` (G,) are the weights of the groups in the order of their scores, ``loose`` (M,) those of the unscored,
    ascending. ``most[g]`` is the greatest sum with the first g groups and the first j unscored items placed.
    """
    middles = (ends[:-1] + ends[1:] + 1) / 2  # mid-rank of a group before any unscored item
    totals = np.concatenate([[0.0], np.cumsum(sums)])
    fixed = np.concatenate([[0.0], np.cumsum(sums * middles)])
    most = fixed
    for j, weight in enumerate(loose, start=1):
        along = fixed + j * totals  # the groups up to g placed after j unscored items
        most = along + np.maximum.accumulate(most + weight * (ends + j) - along)
    return float(most[-1])


def score_range(x: Float, scale: Bounds | None, without: Bounds) -> Bounds:
    """Return the scale, checked; None: the range of the scores, shape (N,), or ``without`` where there are none."""
    if scale is None:
        return (float(x.min()), float(x.max())) if len(x) else without
    low, high = float(scale[0]), float(scale[1])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"scale {low}..{high}", expected="two finite numbers, the lower first")
    if len(x) and not (low <= float(x.min()) and float(x.max()) <= high):
        raise DataError(f"scores from {x.min():g} to {x.max():g}", expected=f"on the scale {low:g}..{high:g}")
    return low, high


def _greatest_plcc(x: Float, weights: Float, known: Bool, ends: Bounds) -> float:
    """Return the greatest correlation of the scores with ``weights`` (N,), which have mean 0 and norm 1."""
    low, high = ends
    half = (high - low) / 2 or 1.0
    seen = (x[known] - (low + high) / 2) / half  # the scale becomes -1..1
    tied, loose = weights[known], np.sort(weights[~known])
    at_ends, line = _best_of_ends(seen, tied, loose)
    if not len(loose) or not at_ends > 0:
        return at_ends  # were any score on the scale better than 0, one at the ends would be
    left = _squares_left(seen, tied, loose, line)
    return float(max(at_ends, math.sqrt(max(0.0, 1 - left))))


def _best_of_ends(seen: Float, tied: Float, loose: Float) -> tuple[float, Float]:
    """Return the greatest correlation with the best k unscored items at 1, the rest at −1, and its line (2,)."""
    up = np.arange(len(loose) + 1.0)
    n = len(seen) + len(loose)
    total = seen.sum() + 2 * up - len(loose)
    spread = seen @ seen + len(loose) - total**2 / n
    product = seen @ tied - loose.sum() + 2 * np.concatenate([[0.0], np.cumsum(loose[::-1])])
    usable = spread > 1e-24 * n
    if not usable.any():
        return math.nan, np.zeros(2)
    found = np.where(usable, product / np.sqrt(np.where(usable, spread, 1)), -np.inf)
    at = int(np.argmax(found))
    slope = product[at] / spread[at]
    return float(np.clip(found[at], -1, 1)), np.array([-slope * total[at] / n, slope])


def _squares_left(seen: Float, tied: Float, loose: Float, line: Float) -> float:
    """Return the least sum of squares around a rising line; an unscored item is free on -1..1.

    Newton's method on a convex, piecewise quadratic function of intercept and slope. It starts below 1, the least
    value at slope 0, and descends, so that the slope stays positive.
    """

    def at(line: Float) -> tuple[float, Float, Float]:
        place = np.where(loose > line.sum(), 1.0, np.where(loose < line[0] - line[1], -1.0, 0.0))
        x = np.concatenate([seen, place[place != 0]])
        off = np.concatenate([tied, loose[place != 0]]) - line[0] - line[1] * x
        curve = np.array([[len(x), x.sum()], [x.sum(), x @ x]])
        return float(off @ off), np.array([off.sum(), off @ x]), curve

    value, push, curve = at(line)
    for _ in range(_MAX_STEPS):
        step = np.linalg.pinv(curve, rcond=1e-12) @ push
        size = 1.0
        while size > 1e-9 and not ((line + size * step)[1] > 0 and at(line + size * step)[0] < value):
            size /= 2
        if size <= 1e-9:
            break
        line = line + size * step
        value, push, curve = at(line)
    return value
