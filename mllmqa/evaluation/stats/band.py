"""How well a fitted curve is known: pointwise confidence bands by the sandwich estimator.

The covariance of the parameters is B M B with B the inverse of JᵀJ (J: derivatives of the curve at the items) and M
the sum of squared gradients (White, Econometrica 48, 1980), summed inside each reference first where there are any
(Liang & Zeger, Biometrika 73, 1986). Errors may so differ in size along the scale, and items of one reference may
hang together. Where the data do not determine a parameter (a step, a curve far beyond the data), its direction is
left out, and the band is that of the rest.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError
from mllmqa.evaluation.stats._checks import Float, pair, scipy
from mllmqa.evaluation.stats.intervals import quantile
from mllmqa.evaluation.stats.mapping import LogisticFit

_UNDETERMINED = 1e-10


def curve_band(
    fit: LogisticFit,
    scores: ArrayLike,
    mos: ArrayLike,
    at: ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> tuple[Float, Float]:
    """Return lower and upper end of the band of the mean opinion, in units of the opinions.

    Args:
        fit: Of these scores and opinions, with four parameters.
        scores: Shape (N,), finite.
        mos: Opinions, shape (N,), finite.
        at: Scores at which the band is wanted, shape (M,).
        groups: Reference of each item; None: items are independent.
        level: Nominal coverage at each score, 0..1.

    Returns:
        Two arrays of shape (M,).

    Raises:
        DataError: Another curve, different lengths, numbers that are not finite, or no item more than parameters.
    """
    if fit.parameters != 4:
        raise DataError(f"a curve of {fit.parameters} parameters", expected="4, for a band")
    x, y = pair(scores, mos)
    names = list(range(len(x))) if groups is None else list(groups)
    if len(names) != len(x):
        raise DataError(f"{len(names)} references for {len(x)} items")
    units = {name: k for k, name in enumerate(dict.fromkeys(names))}
    if len(x) <= 4 or len(units) < 2:
        raise DataError(f"{len(x)} items of {len(units)} references for a band", expected="5 or more, of 2 or more")
    slopes = _slopes(fit, x)
    scale = np.sqrt((slopes**2).sum(axis=0))
    scale[scale == 0] = 1.0
    slopes = slopes / scale
    bread = np.linalg.pinv(slopes.T @ slopes, rcond=_UNDETERMINED, hermitian=True)
    pulls = np.zeros((len(units), 4))
    np.add.at(pulls, [units[name] for name in names], slopes * (y - fit(x))[:, None])
    small = len(units) / (len(units) - 1) * (len(x) - 1) / (len(x) - 4)
    covariance = small * bread @ (pulls.T @ pulls) @ bread
    where = np.asarray(at, dtype=np.float64)
    there = _slopes(fit, where) / scale
    errors = np.sqrt(np.maximum(0.0, np.einsum("ij,jk,ik->i", there, covariance, there)))
    wide = quantile(level)
    if groups is not None:  # few references: Student's t with one less
        wide = float(scipy("special").stdtrit(len(units) - 1, (1 + level) / 2))
    return fit(where) - wide * errors, fit(where) + wide * errors


def _slopes(fit: LogisticFit, scores: Float) -> Float:
    """Return the derivatives by low, height, centre and steepness, shape (N, 4)."""
    _, height, centre, steepness = fit.values
    z = (scores - fit.mean) / fit.std
    share = scipy("special").expit(steepness * (z - centre))
    bend = height * share * (1 - share)
    return np.stack([np.ones_like(z), share, -steepness * bend, (z - centre) * bend], axis=1)
