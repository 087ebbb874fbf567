"""Confidence intervals in closed form: Fisher, Bonett–Wright, Wilson."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError
from mllmqa.evaluation.stats._checks import scipy, share

MIN_FOR_INTERVAL = 5
"""Items below which no interval is given: the normal approximation has nothing to stand on."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower end; NaN if there is none.
        high: Upper end; NaN likewise.
        level: Nominal coverage, 0..1.
        method: How it was made.
        reason: Why there is none.
    """

    low: float
    high: float
    level: float
    method: str
    reason: str | None = None


def fisher(r: float, n: int, level: float = 0.95) -> Interval:
    """Return Fisher's interval of a Pearson correlation: atanh(r) ± z / sqrt(n − 3) (Fisher, Metron 1, 1921).

    Args:
        r: Correlation, −1..1; NaN gives an interval of NaN.
        n: Items, at least 5, else the interval is NaN.
        level: Nominal coverage, 0..1.

    Raises:
        DataError: r is outside −1..1.
        UsageError: The level is not between 0 and 1.
    """
    return _by_atanh(r, n, level, 1.0, "Fisher")


def bonett_wright(r: float, n: int, level: float = 0.95) -> Interval:
    """Return the interval of a Spearman correlation: atanh(r) ± z · sqrt((1 + r²/2) / (n − 3)).

    Bonett & Wright, Psychometrika 65, 2000. Arguments and errors as for :func:`fisher`.
    """
    return _by_atanh(r, n, level, 1 + r * r / 2, "Bonett-Wright")


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """Return Wilson's interval of a share k / n (Wilson, J. Am. Stat. Assoc. 22, 1927).

    Args:
        k: Hits, 0..n.
        n: Trials; none gives an interval of NaN.
        level: Nominal coverage, 0..1.

    Raises:
        DataError: k is not in 0..n.
        UsageError: The level is not between 0 and 1.
    """
    z = quantile(level)
    if not 0 <= k <= n:
        raise DataError(f"{k} hits in {n} trials")
    if n == 0:
        return Interval(math.nan, math.nan, level, "Wilson", "no trial")
    p, zz = k / n, z * z
    middle, half = p + zz / (2 * n), z * math.sqrt(p * (1 - p) / n + zz / (4 * n * n))
    low = 0.0 if k == 0 else (middle - half) / (1 + zz / n)
    high = 1.0 if k == n else (middle + half) / (1 + zz / n)
    return Interval(low, high, level, "Wilson")


def student_half(values: ArrayLike, level: float = 0.95) -> float:
    """Return half the interval of the mean of values, shape (N,), by Student's t; NaN for fewer than two."""
    own = np.asarray(values, dtype=np.float64)
    if len(own) < 2:
        return math.nan
    wide = float(scipy("special").stdtrit(len(own) - 1, (1 + share(level, "coverage")) / 2))
    return wide * float(own.std(ddof=1)) / math.sqrt(len(own))


def quantile(level: float) -> float:
    """Return z so that a standard normal lies within ±z with probability ``level``."""
    return float(scipy("special").ndtri((1 + share(level, "coverage")) / 2))


def _by_atanh(r: float, n: int, level: float, inflation: float, method: str) -> Interval:
    z = quantile(level)
    if math.isnan(r):
        return Interval(math.nan, math.nan, level, method, "no correlation")
    if not -1 - 1e-12 <= r <= 1 + 1e-12:
        raise DataError(f"correlation {r}", expected="-1..1")
    if n < MIN_FOR_INTERVAL:
        return Interval(math.nan, math.nan, level, method, f"{n} items are too few, {MIN_FOR_INTERVAL} are needed")
    if abs(r) >= 1 - 1e-12:
        return Interval(math.copysign(1.0, r), math.copysign(1.0, r), level, method)
    half = z * math.sqrt(inflation / (n - 3))
    return Interval(math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half), level, method)
