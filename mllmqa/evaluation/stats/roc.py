"""ROC analysis of pairs of stimuli (Krasula et al., QoMEX 2016; ITU-T J.149), with the panel's own uncertainty.

Two stimuli are *different* if their mean opinions differ by more than two standard errors, else *similar*. A good
model has large |Δscore| for different pairs and small for similar ones, and the sign of Δscore right.

All pairs of items are held at once: about 60 bytes each, 30 MB for 1,000 items, 3 GB for 10,000.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError
from mllmqa.evaluation.stats._checks import Bool, Float, judged, numbers, positive, ranks, scipy, vector
from mllmqa.evaluation.stats.figure import Figure, figure

SIGNIFICANT = 2.0
"""|z| beyond which two stimuli are different, as published."""
_LEAST_VARIANCE = 1e-8


@dataclass(frozen=True)
class Krasula:
    """The analysis of one model. ``n`` and ``n_unscored`` of the figures count pairs.

    The bounds count each pair with an unscored item as the worst and the best it could be; no set of scores need
    reach them, but none lies beyond.

    Attributes:
        different_similar: Area under the ROC curve of |Δscore| telling different from similar pairs, 0..1.
        better_worse: Area under the ROC curve of Δscore telling the better from the worse, 0..1.
        correct: C0, share of different pairs with the right sign of Δscore; equal scores are wrong, as published.
        threshold: THR, the |Δscore| that 95 % of the similar pairs do not exceed, in units of the scores; NaN
            without similar pairs.
        n_different: Different pairs of scored items.
        n_similar: Similar pairs of scored items.
    """

    different_similar: Figure
    better_worse: Figure
    correct: Figure
    threshold: float
    n_different: int
    n_similar: int


def krasula(
    scores: ArrayLike, mos: ArrayLike, std: ArrayLike, n_ratings: ArrayLike, *, as_published: bool = False
) -> Krasula:
    """Analyse all pairs of items.

    Args:
        scores: Shape (N,), higher is better; NaN where unscored.
        mos: Mean opinions, shape (N,), finite.
        std: Standard deviation of each item's ratings (ddof 1), ≥ 0, shape (N,) or one number.
        n_ratings: Ratings per item, ≥ 1, shape (N,) or one number.
        as_published: Count each pair twice and each item as similar to itself, as the public MATLAB and Python
            code does. That moves the area of different and similar pairs and the threshold a little.

    Raises:
        DataError: Different lengths, or numbers that are not finite or out of range.
    """
    gap, z, known = _pairs(scores, mos, std, n_ratings)
    different = np.abs(z) > SIGNIFICANT
    apart = np.abs(gap[different & known])
    alike = np.abs(gap[~different & known])
    if as_published:
        alike = np.concatenate([alike, alike, np.zeros(len(judged(scores, mos)[0]))])
    signed = (gap * np.sign(z))[different & known]
    n, n_similar = len(apart), int((~different & known).sum())
    lost, lost_similar = int((different & ~known).sum()), int((~different & ~known).sum())
    right = float((signed > 0).sum())
    total, reason = n + lost, "no pair of scored items is different"
    area, edges = auc(apart, alike), _area_bounds(apart, alike, lost, lost_similar)
    either = f"{reason}, or none is similar"
    return Krasula(
        figure(area, n + n_similar, lost + lost_similar, edges, either),
        figure(auc(signed, -signed), n, lost, _mirrored_bounds(signed, total), reason),
        figure(
            right / n if n else math.nan,
            n,
            lost,
            (right / total, (right + lost) / total) if total else None,
            reason,
        ),
        float(np.percentile(alike, 95)) if len(alike) else math.nan,
        n,
        n_similar,
    )


def auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """Return the share of (positive, negative) pairs with the positive higher, ties one half; NaN without pairs.

    Both have shape (P,) and (Q,), finite, else DataError.
    """
    a, b = vector(positives, "positives"), vector(negatives, "negatives")
    if not len(a) or not len(b):
        return math.nan
    placed = ranks(np.concatenate([a, b]))[: len(a)]
    return float((placed.sum() - len(a) * (len(a) + 1) / 2) / (len(a) * len(b)))


def delong(positives: ArrayLike, negatives: ArrayLike) -> tuple[Float, Float]:
    """Return the areas of K models on the same cases and their covariance (DeLong et al., Biometrics 44, 1988).

    The pairs of stimuli of :func:`krasula` share stimuli and so are not independent: read its p-values as a
    description, and prefer :func:`mllmqa.evaluation.stats.bootstrap_statistic` over items.

    Args:
        positives: Shape (K, P), finite, P at least 2.
        negatives: Shape (K, Q), finite, Q at least 2.

    Returns:
        Areas (K,), covariance (K, K).

    Raises:
        DataError: Other shapes, or numbers that are not finite.
    """
    a, b = (np.atleast_2d(numbers(one, "cases", "shape (K, P)")) for one in (positives, negatives))
    p, q = a.shape[1], b.shape[1]
    if len(a) != len(b) or min(p, q) < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError(f"cases of shapes {a.shape} and {b.shape}", expected="finite, (K, 2 or more) each")
    together = np.stack([ranks(row) for row in np.concatenate([a, b], axis=1)])
    own = [np.stack([ranks(row) for row in side]) for side in (a, b)]
    over_a, over_b = (together[:, :p] - own[0]) / q, 1 - (together[:, p:] - own[1]) / p
    return over_a.mean(axis=1), np.atleast_2d(np.cov(over_a)) / p + np.atleast_2d(np.cov(over_b)) / q


def resolving_power(
    scores: ArrayLike,
    mos: ArrayLike,
    std: ArrayLike,
    n_ratings: ArrayLike,
    *,
    confidence: float = 0.95,
    bins: int = 10,
) -> Figure:
    """Return the Δscore from which the higher score is the better item with this confidence, on average.

    ITU-T J.149 and NTIA TR-09-457: the confidence Φ(z) that the item with the higher score is the better one is
    averaged in windows of Δscore that overlap by half; the figure is where the line through the windows' centres
    last rises over ``confidence``. For scores that are already mapped to the scale of the opinions.

    Args:
        scores: Shape (N,), NaN where unscored.
        mos: Mean opinions, shape (N,), finite.
        std: Standard deviation of each item's ratings, shape (N,) or one number. The public Python code takes it
            with ddof 0.
        n_ratings: Ratings per item, shape (N,) or one number.
        confidence: Between 0.5 and 1.
        bins: Windows without overlap.

    Returns:
        In units of the scores; NaN with a reason where the confidence is never, or always, reached. No bounds are
        known. ``n`` and ``n_unscored`` count pairs.

    Raises:
        DataError: As :func:`krasula`.
    """
    gap, z, known = _pairs(scores, mos, std, n_ratings)
    n, lost = int(known.sum()), int((~known).sum())
    if n == 0 or not float(np.ptp(np.abs(gap[known]))):
        return figure(math.nan, n, lost, None, "all pairs differ by the same")
    centres, means = _windows(gap[known], z[known], bins)
    below = np.flatnonzero(means < confidence)
    if not len(below) or below[-1] == len(means) - 1:
        reason = f"a confidence of {confidence:g} is {'never' if len(below) else 'always'} reached"
        return figure(math.nan, n, lost, None, reason)
    i = int(below[-1])
    part = (confidence - means[i]) / (means[i + 1] - means[i])
    return figure(float(centres[i] + part * (centres[i + 1] - centres[i])), n, lost, None)


def _windows(gap: Float, z: Float, bins: int) -> tuple[Float, Float]:
    """Return the centres of the windows of |Δscore| that have pairs, and the mean confidence in each."""
    sure = scipy("special").ndtr(np.where(gap < 0, -z, z))
    gap = np.abs(gap)
    width = float(np.ptp(gap)) / bins
    lows = gap.min() + width / 2 * np.arange(2 * bins - 1)
    inside = [(low <= gap) & (gap < low + width) for low in lows]
    inside[-1] |= gap >= lows[-1]  # the last window has its end
    centres = [low + width / 2 for low, one in zip(lows, inside, strict=True) if one.any()]
    return np.array(centres), np.array([sure[one].mean() for one in inside if one.any()])


def _pairs(scores: ArrayLike, mos: ArrayLike, std: ArrayLike, n_ratings: ArrayLike) -> tuple[Float, Float, Bool]:
    """Return Δscore, z of the opinions, and whether both are scored, over all pairs i < j."""
    x, y, known = judged(scores, mos)
    spread = positive(std, "standard deviations", len(y), zero=True)
    variance = spread**2 / positive(n_ratings, "numbers of ratings", len(y))
    i, j = np.triu_indices(len(x), 1)
    error = variance[i] + variance[j]
    z = (y[i] - y[j]) / np.sqrt(np.where(error > 0, error, _LEAST_VARIANCE))
    return x[i] - x[j], z, known[i] & known[j]


def _area_bounds(apart: Float, alike: Float, lost: int, lost_similar: int) -> tuple[float, float] | None:
    """Return the least and greatest area if all comparisons with another pair were lost, or won."""
    sure = len(apart) * len(alike)
    both = (len(apart) + lost) * (len(alike) + lost_similar)
    ahead = auc(apart, alike) * sure if sure else 0.0
    return (ahead / both, (ahead + both - sure) / both) if both else None


def _mirrored_bounds(signed: Float, total: int) -> tuple[float, float] | None:
    """Return the least and greatest area of Δ against −Δ if the other pairs were far below or above all."""
    if not total:
        return None
    lost = total - len(signed)
    far = 1 + 2 * float(np.abs(signed).max(initial=0.0))
    low, high = (np.concatenate([signed, np.full(lost, side)]) for side in (-far, far))
    return auc(low, -low), auc(high, -high)
