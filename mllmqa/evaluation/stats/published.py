"""The curve of the published prompt-benchmark code, to compare with its figures; never a default.

Wu et al., ECCV 2024 (arXiv 2403.10854): scores are mapped by a four-parameter logistic curve from one start before
*both* correlations are taken. The slope may be negative, so an inverted model is reported as a good one (raw SRCC
−0.968 becomes +0.968) and noise gains (0.084 becomes 0.330). :mod:`mllmqa.evaluation.stats.mapping` does not.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError
from mllmqa.evaluation.stats._checks import Float, pair, scipy

_MAX_CALLS = 10_000


def wu2024_curve(scores: ArrayLike, mos: ArrayLike) -> Float:
    """Return the scores mapped as the published code does, float64 of shape (N,); the raw ones if that fails there.

    The curve is ``b2 + (b1 − b2) / (1 + exp(−(x − b3) / b4))``, started at the greatest and least opinion, the
    mean score and a quarter of the scores' standard deviation.

    Args:
        scores: Shape (N,), finite.
        mos: Shape (N,), finite.

    Raises:
        DataError: Different lengths, numbers that are not finite, fewer than 4 items, or a fit that does not
            converge (where the published code stops with an error).
    """
    x, y = pair(scores, mos)
    if len(x) < 4:
        raise DataError(f"{len(x)} items for a curve of 4 parameters", expected="4 or more")
    optimize = scipy("optimize")

    def curve(x: Float, b1: float, b2: float, b3: float, b4: float) -> Float:
        return np.asarray(b2 + (b1 - b2) / (1 + np.exp(-(x - b3) / b4)))

    start = [y.max(), y.min(), x.mean(), x.std() / 4]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of a covariance that nobody reads
        try:
            found, _ = optimize.curve_fit(curve, x, y, p0=start, maxfev=_MAX_CALLS)
        except RuntimeError as error:
            raise DataError(f"the published fit does not converge ({error})") from error
        fitted = curve(x, *found)
    return x if np.isnan(fitted).any() or float(np.ptp(fitted)) == 0 else fitted
