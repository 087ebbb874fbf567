"""Is one model better than another? Tests for correlations on the same items, and the correction for many tests.

Two models that are scored on the same items have dependent correlations: the test for independent ones wastes power
(two branches of one model on CVD2014: Fisher p = 0.28, Williams p = 0.042). The formulas are derived for Pearson
correlations of normal data; with Spearman correlations they are a usual approximation that finds too many
differences (:mod:`mllmqa.evaluation.stats.rank_difference` has the test for those).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError
from mllmqa.evaluation.stats._checks import scipy, vector

MIN_ITEMS = 4


@dataclass(frozen=True)
class Test:
    """Outcome of a two-sided test.

    Attributes:
        name: Of the test.
        statistic: z, t, F or W; NaN where there is none.
        p_value: 0..1; NaN likewise.
        df: Degrees of freedom, where the test has some.
        reason: Why there is no outcome.
    """

    __test__ = False  # for pytest: this is no test case

    name: str
    statistic: float
    p_value: float
    df: float | None = None
    reason: str | None = None


def williams(r_a: float, r_b: float, r_ab: float, n: int) -> Test:
    """Test whether two models correlate equally with the opinions: Williams' t (Steiger, Psychol. Bull. 87, 1980).

    Args:
        r_a: Correlation of model a with the opinions, −1..1.
        r_b: Correlation of model b with the opinions.
        r_ab: Correlation of the two models.
        n: Items, at least 4.

    Returns:
        t with n − 3 degrees of freedom; positive if a correlates more. Without an outcome where a correlation is
        NaN or the models agree perfectly.

    Raises:
        DataError: A correlation outside −1..1.
    """
    if (reason := unusable(r_a, r_b, r_ab, n)) is not None:
        return Test("Williams", math.nan, math.nan, None, reason)
    det = 1 - r_a**2 - r_b**2 - r_ab**2 + 2 * r_a * r_b * r_ab
    mean = (r_a + r_b) / 2
    below = 2 * det * (n - 1) / (n - 3) + mean**2 * (1 - r_ab) ** 3
    if not below > 0:
        return Test("Williams", math.nan, math.nan, None, "the three correlations leave no variance")
    t = (r_a - r_b) * math.sqrt((n - 1) * (1 + r_ab) / below)
    return Test("Williams", t, 2 * float(scipy("special").stdtr(n - 3, -abs(t))), n - 3)


def meng_rosenthal_rubin(r_a: float, r_b: float, r_ab: float, n: int) -> Test:
    """Test the same by z (Meng, Rosenthal & Rubin, Psychol. Bull. 111, 1992). As :func:`williams`."""
    if (reason := unusable(r_a, r_b, r_ab, n)) is not None:
        return Test("Meng-Rosenthal-Rubin", math.nan, math.nan, None, reason)
    square = (r_a**2 + r_b**2) / 2
    f = min(1.0, (1 - r_ab) / (2 * (1 - square)))
    h = (1 - f * square) / (1 - square)
    z = (math.atanh(r_a) - math.atanh(r_b)) * math.sqrt((n - 3) / (2 * (1 - r_ab) * h))
    return Test("Meng-Rosenthal-Rubin", z, _two_sided(z))


def steiger(r_a: float, r_b: float, r_ab: float, n: int) -> Test:
    """Test the same by z with pooled correlations (Steiger, Psychol. Bull. 87, 1980). As :func:`williams`."""
    if (reason := unusable(r_a, r_b, r_ab, n)) is not None:
        return Test("Steiger", math.nan, math.nan, None, reason)
    mean = (r_a + r_b) / 2
    square = mean**2
    psi = r_ab * (1 - 2 * square) - square * (1 - 2 * square - r_ab**2) / 2
    covariance = psi / (1 - square) ** 2
    if not covariance < 1:
        return Test("Steiger", math.nan, math.nan, None, "the three correlations leave no variance")
    z = (math.atanh(r_a) - math.atanh(r_b)) * math.sqrt((n - 3) / (2 - 2 * covariance))
    return Test("Steiger", z, _two_sided(z))


def fisher_independent(r_a: float, n_a: int, r_b: float, n_b: int) -> Test:
    """Test whether correlations on *different* items are equal (Fisher, 1921). As :func:`williams`."""
    if (reason := unusable(r_a, r_b, 0.0, min(n_a, n_b))) is not None:
        return Test("Fisher", math.nan, math.nan, None, reason)
    z = (math.atanh(r_a) - math.atanh(r_b)) / math.sqrt(1 / (n_a - 3) + 1 / (n_b - 3))
    return Test("Fisher", z, _two_sided(z))


def binomial_shares(share_a: float, share_b: float, n: int) -> Test:
    """Test whether two shares over n cases each are equal, by z with the pooled share.

    The test of Krasula et al. (QoMEX 2016) for C0, and of P.1401 for outlier ratios. It takes the two models'
    cases as independent; on the same cases :func:`mcnemar` is the better test.

    Args:
        share_a: 0..1.
        share_b: 0..1.
        n: Cases per model, at least 1.

    Raises:
        DataError: A share outside 0..1, or no case.
    """
    if not (0 <= share_a <= 1 and 0 <= share_b <= 1 and n >= 1):
        raise DataError(f"shares {share_a}, {share_b} of {n} cases", expected="0..1, at least one case")
    pooled = (share_a + share_b) / 2
    error = math.sqrt(pooled * (1 - pooled) * 2 / n)
    if error == 0:
        return Test("binomial", 0.0, 1.0)
    z = (share_a - share_b) / error
    return Test("binomial", z, _two_sided(z))


def mcnemar(only_a: int, only_b: int) -> Test:
    """Test whether two models are right equally often on the same cases: exact binomial (McNemar, 1947).

    Args:
        only_a: Cases that only a has right, ≥ 0.
        only_b: Cases that only b has right, ≥ 0.

    Raises:
        DataError: A negative number.
    """
    if min(only_a, only_b) < 0:
        raise DataError(f"{only_a} and {only_b} cases", expected="at least 0")
    n, least = only_a + only_b, min(only_a, only_b)
    p = min(1.0, 2 * float(scipy("special").bdtr(least, n, 0.5))) if n else 1.0
    return Test("McNemar", float(only_a - only_b), p)


def variance_ratio(residuals_a: ArrayLike, residuals_b: ArrayLike, parameters: int = 1) -> Test:
    """Test whether two models leave the same residual variance: F (VQEG; ITU-T J.149).

    Assumes independent, nearly normal residuals; on the same items use a dependent test instead.

    Args:
        residuals_a: Shape (N,), finite.
        residuals_b: Shape (M,), finite.
        parameters: Lost to the curve, the mean included: degrees of freedom are N − parameters.

    Returns:
        F, the larger variance over the smaller, two-sided.

    Raises:
        DataError: Not finite, or no more values than parameters.
    """
    a, b = vector(residuals_a, "residuals"), vector(residuals_b, "residuals")
    df = (len(a) - parameters, len(b) - parameters)
    if min(df) < 1:
        raise DataError(f"{len(a)} and {len(b)} residuals for {parameters} parameters")
    first, second = (float(((one - one.mean()) ** 2).sum()) / d for one, d in zip((a, b), df, strict=True))
    if min(first, second) == 0:
        return Test("F", math.nan, math.nan, None, "no residual variance")
    ratio, top, bottom = (first / second, *df) if first >= second else (second / first, df[1], df[0])
    return Test("F", ratio, min(1.0, 2 * float(scipy("special").fdtrc(top, bottom, ratio))), top)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the order given (Holm, Scand. J. Stat. 6, 1979).

    NaN (no outcome) stays NaN and does not count as a test.

    Raises:
        DataError: A value outside 0..1.
    """
    p = vector(np.asarray(p_values, dtype=np.float64), "p-values", nan=True)
    if ((p < 0) | (p > 1)).any():
        raise DataError(f"p-values {p.tolist()}", expected="0..1")
    order = [i for i in np.argsort(p, kind="stable") if not math.isnan(p[i])]
    found = np.full(len(p), np.nan)
    largest = 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, float(p[i]) * (len(order) - place)))
        found[i] = largest
    return [float(value) for value in found]


def unusable(r_a: float, r_b: float, r_ab: float, n: int) -> str | None:
    """Say why two dependent correlations cannot be compared, or None; arguments and errors as :func:`williams`."""
    for r in (r_a, r_b, r_ab):
        if not math.isnan(r) and not -1 - 1e-12 <= r <= 1 + 1e-12:
            raise DataError(f"correlation {r}", expected="-1..1")
    if any(math.isnan(r) for r in (r_a, r_b, r_ab)):
        return "a correlation is missing"
    if n < MIN_ITEMS:
        return f"{n} items are too few, {MIN_ITEMS} are needed"
    if r_ab >= 1 - 1e-12:
        return "the models agree perfectly"
    if max(abs(r_a), abs(r_b)) >= 1 - 1e-12:
        return "a model agrees perfectly with the opinions"
    return None


def _two_sided(z: float) -> float:
    return 2 * float(scipy("special").ndtr(-abs(z)))
