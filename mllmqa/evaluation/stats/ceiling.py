"""How good could any model be? The opinions are means of few ratings, so even the truth does not correlate by 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.stats._checks import MIN_ITEMS, positive, vector
from mllmqa.evaluation.stats.correlation import plcc, srcc


@dataclass(frozen=True)
class Ceiling:
    """Correlation with the opinions that cannot be beaten but by luck.

    Attributes:
        reliability: Share of the variance of the opinions that is not sampling error, 0..1.
        plcc_truth: PLCC of the true qualities with the opinions: root of the reliability.
        srcc_truth: SRCC of the same, by simulation.
        srcc_truth_interval: Where 95 % of the simulated values lie: luck of one panel.
        plcc_retest: PLCC of a second panel of the same size with this one: the reliability.
        srcc_retest: SRCC of the same, by simulation.
        n: Items.
        reason: Why there is none: the sampling error explains all differences of the opinions, or too few items.
    """

    reliability: float
    plcc_truth: float
    srcc_truth: float
    srcc_truth_interval: tuple[float, float]
    plcc_retest: float
    srcc_retest: float
    n: int
    reason: str | None = None


def noise_ceiling(
    mos: ArrayLike, std: ArrayLike, n_ratings: ArrayLike, *, simulations: int = 200, seed: int = 0
) -> Ceiling:
    """Estimate the noise ceiling from the spread of the ratings.

    The reliability is 1 − mean(std² / n_ratings) / var(mos). True qualities are simulated as the opinions shrunk
    to their mean by the root of the reliability, so that they have the variance of the truth, and panels by adding
    normal sampling error of each item's size. That keeps the shape of the opinions' distribution.

    Args:
        mos: Mean opinions, shape (N,), finite.
        std: Standard deviation of each item's ratings (ddof 1), ≥ 0, shape (N,) or one number.
        n_ratings: Ratings per item, ≥ 1, shape (N,) or one number.
        simulations: Panels, at least 1.
        seed: Of the simulation.

    Raises:
        DataError: Different lengths, or numbers that are not finite or out of range.
        UsageError: No simulation.
    """
    if simulations < 1:
        raise UsageError(f"{simulations} simulations", expected="1 or more")
    y = vector(mos, "opinions")
    spread = positive(std, "standard deviations", len(y), zero=True)
    error = spread / np.sqrt(positive(n_ratings, "numbers of ratings", len(y)))
    if len(y) < MIN_ITEMS:
        return _none(len(y), f"{len(y)} items are too few, {MIN_ITEMS} are needed")
    total = float(y.var(ddof=1))
    reliability = 1 - float((error**2).mean()) / total if total > 0 else -math.inf
    if not reliability > 0:
        return _none(len(y), "the opinions differ no more than their sampling error explains")
    truth = y.mean() + math.sqrt(reliability) * (y - y.mean())
    rng = np.random.default_rng(seed)
    with_truth, between = np.empty(simulations), np.empty(simulations)
    for i in range(simulations):
        first, second = (truth + error * rng.standard_normal(len(y)) for _ in range(2))
        with_truth[i], between[i] = srcc(truth, first), srcc(first, second)
    low, high = (float(end) for end in np.quantile(with_truth, [0.025, 0.975]))
    root = math.sqrt(reliability)
    return Ceiling(
        reliability, root, float(with_truth.mean()), (low, high), reliability, float(between.mean()), len(y)
    )


def disattenuated(scores: ArrayLike, mos: ArrayLike, ceiling: Ceiling) -> float:
    """Return PLCC divided by its ceiling: an estimate of that with the truth (Spearman, 1904); may exceed 1.

    Args:
        scores: Shape (N,), finite.
        mos: Opinions, shape (N,), finite.
        ceiling: Of these opinions.

    Raises:
        DataError: The opinions have no ceiling, or as :func:`mllmqa.evaluation.stats.plcc`.
    """
    if ceiling.reason is not None:
        raise DataError(f"no noise ceiling: {ceiling.reason}")
    return plcc(scores, mos) / ceiling.plcc_truth


def _none(n: int, reason: str) -> Ceiling:
    nan = math.nan
    return Ceiling(nan, nan, nan, (nan, nan), nan, nan, n, reason)
