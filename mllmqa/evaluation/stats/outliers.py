"""Errors beside the uncertainty of the opinions themselves: outlier ratio and epsilon-insensitive RMSE (P.1401)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.evaluation.stats._checks import Float, judged, positive, scipy
from mllmqa.evaluation.stats.bounds import score_range
from mllmqa.evaluation.stats.figure import Figure, figure
from mllmqa.evaluation.stats.intervals import quantile


def half_width(
    std: ArrayLike, n_ratings: ArrayLike, n: int, *, level: float = 0.95, student: bool = False
) -> Float:
    """Return half the confidence interval of each mean opinion, shape (n,), in units of the opinions.

    Args:
        std: Standard deviation of each item's ratings (ddof 1), ≥ 0, shape (n,) or one number.
        n_ratings: Ratings per item, ≥ 1, shape (n,) or one number.
        n: Items.
        level: Nominal coverage, 0..1.
        student: Student's t instead of the normal quantile (P.1401 for fewer than 30 ratings).

    Raises:
        DataError: Wrong lengths or values.
    """
    counts = positive(n_ratings, "numbers of ratings", n)
    spread = positive(std, "standard deviations", n, zero=True)
    z: Float | float = quantile(level)
    if student:
        with np.errstate(invalid="ignore"):
            z = np.asarray(scipy("special").stdtrit(counts - 1, (1 + level) / 2))
        z = np.where(counts > 1, z, np.inf)
    return np.asarray(np.where(spread > 0, z, 0.0) * spread / np.sqrt(counts))


def outlier_ratio(scores: ArrayLike, mos: ArrayLike, width: ArrayLike) -> Figure:
    """Return the share of items whose score is farther from the opinion than ``width``.

    VQEG takes twice the standard deviation of the ratings as width; ITU-T P.1401 the half width of the confidence
    interval (:func:`half_width`). Scores are on the scale of the opinions, if need be mapped.

    Args:
        scores: Shape (N,), NaN where unscored; the bounds count these as outliers, and as none.
        mos: Opinions, shape (N,), finite.
        width: ≥ 0, shape (N,) or one number, in units of the opinions.

    Raises:
        DataError: Wrong lengths or values.
    """
    x, y, known = judged(scores, mos)
    limit = positive(width, "widths", len(y), zero=True)
    outside = int((np.abs(x - y)[known] > limit[known]).sum())
    n, lost = int(known.sum()), int((~known).sum())
    edges = ((outside + lost) / len(y), outside / len(y)) if len(y) else None
    return figure(outside / n if n else math.nan, n, lost, edges, "no item is scored")


def rmse_beyond(
    scores: ArrayLike,
    mos: ArrayLike,
    width: ArrayLike,
    *,
    lost_parameters: int = 0,
    scale: tuple[float, float] | None = None,
) -> Figure:
    """Return rmse* of P.1401: the root-mean-square of max(0, |error| − width).

    Args:
        scores: Shape (N,), NaN where unscored.
        mos: Opinions, shape (N,), finite.
        width: ≥ 0, shape (N,) or one number, in units of the opinions.
        lost_parameters: Parameters of the curve that the scores were mapped by; the divisor is n minus them.
        scale: Least and greatest possible score, for the bounds; None: those that occur.

    Raises:
        DataError: Wrong lengths or values, or a score outside the scale.
    """
    x, y, known = judged(scores, mos)
    limit = positive(width, "widths", len(y), zero=True)
    beyond = np.maximum(0, np.abs(x - y)[known] - limit[known])
    n, lost = int(known.sum()), int((~known).sum())
    low, high = score_range(x[known], scale, (math.nan, math.nan))
    far = np.maximum(np.abs(y - low), np.abs(y - high))[~known]
    near = np.maximum(0, np.maximum(low - y, y - high))[~known]
    squares = [float((np.maximum(0, one - limit[~known]) ** 2).sum()) for one in (far, near)]
    free = n - lost_parameters
    value = math.sqrt(float(beyond @ beyond) / free) if free > 0 else math.nan
    edges = None
    if free + lost > 0 and not math.isnan(low):
        edges = tuple(math.sqrt((float(beyond @ beyond) + one) / (free + lost)) for one in squares)
    reason = f"{n} scored items for {lost_parameters} parameters"
    return figure(value, n, lost, (edges[0], edges[1]) if edges else None, reason)
