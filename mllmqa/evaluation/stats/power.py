"""Before spending: how many items separate two models, and what difference can be seen with those at hand."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from mllmqa.errors import UsageError
from mllmqa.evaluation.stats._checks import scipy, share
from mllmqa.evaluation.stats.correlation import plcc
from mllmqa.evaluation.stats.rank_difference import rank_difference
from mllmqa.evaluation.stats.significance import MIN_ITEMS, meng_rosenthal_rubin

MAX_ITEMS = 10_000_000


def power_of_difference(r_a: float, r_b: float, r_ab: float, n: int, *, alpha: float = 0.05) -> float:
    """Return the chance that a two-sided Meng–Rosenthal–Rubin test finds the difference of two models.

    The test's z is taken as normal around its value at the true correlations, with deviation 1.

    Args:
        r_a: True correlation of model a with the opinions, inside −1..1.
        r_b: True correlation of model b.
        r_ab: True correlation of the two models.
        n: Items, at least 4.
        alpha: Level of the test, 0..1.

    Returns:
        0..1; ``alpha`` if the correlations are equal.

    Raises:
        UsageError: No three normal variables have these correlations, or n < 4.
    """
    _possible(r_a, r_b, r_ab)
    if n < MIN_ITEMS:
        raise UsageError(f"{n} items", expected=f"{MIN_ITEMS} or more")
    special = scipy("special")
    z = abs(meng_rosenthal_rubin(r_a, r_b, r_ab, n).statistic)
    edge = float(special.ndtri(1 - share(alpha, "alpha") / 2))
    return float(special.ndtr(z - edge) + special.ndtr(-z - edge))


def sample_size(r_a: float, r_b: float, r_ab: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the least number of items with at least this power. As :func:`power_of_difference`.

    Raises:
        UsageError: The correlations are equal or impossible, or more than ten million items were needed.
    """
    share(power, "power")
    if r_a == r_b:
        raise UsageError("the two correlations are equal: no number of items separates them")
    low, high = MIN_ITEMS - 1, MIN_ITEMS
    while power_of_difference(r_a, r_b, r_ab, high, alpha=alpha) < power:
        low, high = high, 2 * high
        if high > MAX_ITEMS:
            raise UsageError(f"a difference of {abs(r_a - r_b):g} needs more than {MAX_ITEMS} items")
    while high - low > 1:
        middle = (low + high) // 2
        enough = power_of_difference(r_a, r_b, r_ab, middle, alpha=alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def detectable_difference(r_a: float, r_ab: float, n: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return how much worse model b must be than a to be told from it with this power.

    Args:
        r_a: True correlation of the better model, 0 < r_a < 1.
        r_ab: True correlation of the two models.
        n: Items, at least 4.
        power: Wanted, 0..1, above alpha.
        alpha: Level of the test.

    Returns:
        r_a − r_b > 0; NaN if no r_b that is possible beside r_a and r_ab gives this power.

    Raises:
        UsageError: Impossible numbers.
    """
    share(power, "power")
    _possible(r_a, r_a, r_ab)
    least = r_a * r_ab - math.sqrt((1 - r_a**2) * (1 - r_ab**2)) + 1e-9
    low, high = 0.0, r_a - least
    if power_of_difference(r_a, r_a - high, r_ab, n, alpha=alpha) < power:
        return math.nan
    for _ in range(60):
        middle = (low + high) / 2
        enough = power_of_difference(r_a, r_a - middle, r_ab, n, alpha=alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def simulated_power(
    r_a: float,
    r_b: float,
    r_ab: float,
    n: int,
    *,
    statistic: Literal["srcc", "plcc"] = "srcc",
    runs: int = 1000,
    seed: int = 0,
) -> float:
    """Return the share of simulated experiments in which the difference is found at 5 %.

    Scores and opinions are normal with these *Pearson* correlations. The test is that of Meng–Rosenthal–Rubin for
    ``plcc``, and :func:`mllmqa.evaluation.stats.rank_difference` for ``srcc``.

    Args:
        r_a: As for :func:`power_of_difference`, like ``r_b``, ``r_ab`` and ``n``.
        r_b: See above.
        r_ab: See above.
        n: See above.
        statistic: ``srcc`` or ``plcc``.
        runs: Experiments, at least 1; the standard error is sqrt(p(1 − p) / runs).
        seed: Of the simulation.

    Raises:
        UsageError: As there, or no run.
    """
    if runs < 1 or n < MIN_ITEMS or statistic not in ("srcc", "plcc"):
        raise UsageError(f"{runs} runs of {n} items, {statistic}", expected="1 or more, 4 or more, srcc or plcc")
    root = _possible(r_a, r_b, r_ab)
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(runs):
        y, a, b = root @ rng.standard_normal((3, n))
        if statistic == "srcc":
            found = rank_difference(a, b, y)
        else:
            found = meng_rosenthal_rubin(plcc(a, y), plcc(b, y), plcc(a, b), n)
        hits += found.p_value < 0.05
    return hits / runs


def _possible(r_a: float, r_b: float, r_ab: float) -> np.ndarray:
    """Return the Cholesky factor of opinions, a and b, shape (3, 3), or raise UsageError."""
    matrix = np.array([[1, r_a, r_b], [r_a, 1, r_ab], [r_b, r_ab, 1]], dtype=np.float64)
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError as error:
        raise UsageError(
            f"no three variables correlate by {r_a:g}, {r_b:g} (with the opinions), {r_ab:g} (with each other)"
        ) from error
