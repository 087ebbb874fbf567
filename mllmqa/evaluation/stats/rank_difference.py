"""Do two models rank the same items equally well? A test of the difference of two dependent Spearman correlations.

Williams', Steiger's and Meng's tests take the variance of a correlation from the normal model of Pearson's. That of
Spearman's is larger (1.2 times at ρ = 0.8 with normal data, by simulation; up to about 1 + ρ²/2: Bonett & Wright,
Psychometrika 65, 2000; others with other data), so that they find differences where there are none: the more, the
better the models.

Here the variance comes from the data: each item's influence on both correlations, its part in the ranks of all
others included (the infinitesimal jackknife: Jaeckel, Bell Labs, 1972; Efron, The Jackknife, the Bootstrap and
Other Resampling Plans, 1982; for one correlation it is the asymptotic variance of Borkowf, Comput. Stat. Data Anal.
39, 2002). No distribution is assumed, and ties are allowed. As Myers & Sirois (Encyclopedia of Statistical
Sciences, 2006) advise, the correlations are compared on Fisher's scale.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.evaluation.stats._checks import Float, pair, ranks, same_length, scipy, vector
from mllmqa.evaluation.stats.correlation import srcc
from mllmqa.evaluation.stats.significance import Test, unusable

NAME = "rank jackknife"


def rank_difference(scores_a: ArrayLike, scores_b: ArrayLike, mos: ArrayLike) -> Test:
    """Test whether two models have the same Spearman correlation with the opinions.

    With d_i the influence of item i on atanh(ρ_a) − atanh(ρ_b), the difference is divided by
    sqrt(Σ d_i² / (n (n − 3))) and compared with Student's t of n − 3 degrees of freedom.

    Args:
        scores_a: Shape (N,), finite.
        scores_b: Shape (N,), finite.
        mos: Opinions, shape (N,), finite.

    Returns:
        t; positive if a correlates more. Without an outcome for fewer than 4 items, where a side is constant, the
        models rank alike, or one ranks exactly as the opinions do.

    Raises:
        DataError: Different lengths, or a number that is not finite.
    """
    a, y = pair(scores_a, mos)
    b = vector(scores_b, "scores")
    same_length(b, y)
    r_a, r_b, n = srcc(a, y), srcc(b, y), len(y)
    if (reason := unusable(r_a, r_b, srcc(a, b), n)) is not None:
        return Test(NAME, math.nan, math.nan, None, reason)
    shift = influence(a, y) / (1 - r_a**2) - influence(b, y) / (1 - r_b**2)
    variance = float(shift @ shift) / (n * (n - 3))
    if not variance > 1e-24:
        return Test(NAME, math.nan, math.nan, None, "no item has more influence on one model than on the other")
    t = (math.atanh(r_a) - math.atanh(r_b)) / math.sqrt(variance)
    return Test(NAME, t, 2 * float(scipy("special").stdtr(n - 3, -abs(t))), n - 3)


def influence(x: Float, y: Float) -> Float:
    """Return what each item does to Spearman's correlation: its derivative by the item's weight, times N.

    Args:
        x: Shape (N,), finite, not constant.
        y: Shape (N,), finite, not constant.

    Returns:
        Float64, shape (N,), of sum 0. Σ influence² / N² estimates the variance of the correlation.
    """
    n = len(x)
    f, g = ((ranks(one) - 0.5) / n - 0.5 for one in (x, y))
    xy, xx, yy = float(f @ g) / n, float(f @ f) / n, float(g @ g) / n
    d_xy = f * g + _below(x, g) + _below(y, f) - 3 * xy
    d_xx, d_yy = f * f + 2 * _below(x, f) - 3 * xx, g * g + 2 * _below(y, g) - 3 * yy
    found: Float = (d_xy - xy / 2 * (d_xx / xx + d_yy / yy)) / math.sqrt(xx * yy)
    return found


def _below(values: Float, weights: Float) -> Float:
    """Return the mean over all items of the weight of those above each item; equal ones count half: shape (N,)."""
    order = np.argsort(values, kind="stable")
    ordered, upto = values[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    low, high = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    found: Float = (upto[-1] - 0.5 * (upto[high] + upto[low])) / len(values)
    return found
