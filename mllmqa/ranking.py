"""Scores from pairwise preferences: the exact MAP estimate of Thurstone case V or Bradley–Terry.

With ``C[i, j]`` the weight (a probability or a count) by which item i was preferred over item j, the scores s
maximise ::

    sum_ij C[i, j] · log F(s_i − s_j)  −  precision / 2 · sum_i s_i²

F is the normal distribution function (Thurstone, Psychol. Rev. 34, 1927, case V; used by Compare2Score, Zhu et
al., NeurIPS 2024) or the logistic one (Bradley & Terry, Biometrika 39, 1952). The objective is strictly concave,
so its maximum is unique and Newton's method finds it to float precision in about six steps. Preferences say nothing
of a common shift; the prior puts the origin where the scores sum to 0, and the errors are those under this
constraint (which the paper states): else a weak prior would make them as large as one likes.

The published code of Compare2Score raises F to at least 1e-6 before the logarithm. That floor acts only beyond a
difference of 4.75 (normal) or 13.8 (logistic). Preferences in 0..1 with precision 1 keep the optimum far inside
(2.2 in the extreme cases of the fixtures), where the floor changes nothing; weighted counts can go beyond, where
it would cut the gradient off and break concavity. So there is no floor here: log F and its derivatives are exact
for any argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mllmqa.errors import DataError, UsageError

Link = Literal["normal", "logistic"]
Float = NDArray[np.float64]
Terms = tuple[Float, Float, Float]
"""log F, its first derivative, and the negative of its second."""

MAX_ITERATIONS = 200
_LAST_STEP = 1e-8  # relative; the error after a Newton step of this size is its square
_TAIL = -5.0  # below it the normal distribution function is taken from a continued fraction
_LEAST_PRIOR = 1e-12  # the condition number of the Hessian is about its inverse
_FRACTION_TERMS = 60  # error exp(-2 · 5 · sqrt(120)) relative, at the edge of the tail
_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Ranking:
    """The MAP estimate.

    Attributes:
        scores: Float64, shape (N,); higher is preferred; they sum to 0.
        standard_errors: Float64, shape (N,): Laplace approximation, from the covariance.
        covariance: Float64, shape (N, N): inverse of the Hessian at the maximum where the scores sum to 0; its
            rows do, too. The error of a difference needs it.
        log_posterior: Value of the objective.
        iterations: Newton steps taken.
        converged: Whether the last step was below float noise; False only after :data:`MAX_ITERATIONS`.
    """

    scores: Float
    standard_errors: Float
    covariance: Float
    log_posterior: float
    iterations: int
    converged: bool

    def error_of_difference(self, i: int, j: int) -> float:
        """Return the standard error of ``scores[i] - scores[j]``."""
        c = self.covariance
        return math.sqrt(max(0.0, float(c[i, i] + c[j, j] - 2 * c[i, j])))


def rank(
    preferred: ArrayLike,
    link: Link = "normal",
    *,
    prior_precision: float = 1.0,
    max_iterations: int = MAX_ITERATIONS,
) -> Ranking:
    """Return the MAP scores of N items.

    Args:
        preferred: Shape (N, N), N ≥ 1, finite, ≥ 0: by how much row i was preferred over column j. Probabilities
            or weighted counts; pairs that were never compared are 0 in both places. The diagonal has no effect.
        link: ``normal`` (Thurstone case V, unit deviation of the difference) or ``logistic`` (Bradley–Terry).
        prior_precision: Of the normal prior on each score, > 0; 1 as published. Counts may want less.
        max_iterations: Newton steps at most.

    Raises:
        DataError: The matrix is not square, or has entries that are negative or not finite.
        UsageError: Unknown link, or the precision is not positive or lost beside the weights.
    """
    wins = _checked(preferred)
    if link not in _LINKS:
        raise UsageError(f"unknown link {link!r}", expected=" | ".join(_LINKS))
    if not (math.isfinite(prior_precision) and prior_precision > 0):
        raise UsageError(f"prior precision {prior_precision}", expected="a positive number")
    if prior_precision < _LEAST_PRIOR * (most := float((wins + wins.T).sum(axis=1).max())):
        raise UsageError(
            f"prior precision {prior_precision:g} beside weights of {most:g}",
            expected=f"at least {_LEAST_PRIOR:g} of the largest weight of an item, for the digits of a float",
        )
    problem = _Problem(wins, _LINKS[link], prior_precision)
    scores, converged, steps = np.zeros(len(wins)), False, 0
    while not converged and steps < max_iterations:
        scores, converged = problem.newton(scores)
        steps += 1
    value, _, hessian = problem.at(scores)
    covariance = _inverse_without_shift(hessian)
    errors = np.sqrt(np.maximum(0, np.diagonal(covariance)))
    return Ranking(scores, errors, covariance, value, steps, converged)


def _inverse_without_shift(hessian: Float) -> Float:
    """Invert on the space where the scores sum to 0; the vector of ones is an eigenvector of the Hessian."""
    n = len(hessian)
    stiff = float(np.diagonal(hessian).max()) / n  # of the shift, so that a weak prior costs no digits
    inverse = np.linalg.inv(hessian + stiff)
    centred: Float = inverse - inverse.mean(axis=0) - inverse.mean(axis=1)[:, None] + inverse.mean()
    return (centred + centred.T) / 2


def _checked(preferred: ArrayLike) -> Float:
    try:
        wins = np.array(preferred, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"preferences are no matrix of numbers ({error})", expected="shape (N, N)") from error
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1] or not wins.size:
        raise DataError(f"preferences have shape {wins.shape}", expected="(N, N) with N at least 1")
    bad = np.argwhere(~(np.isfinite(wins) & (wins >= 0)))
    if len(bad):
        i, j = bad[0]
        raise DataError(
            f"preference [{i}, {j}] is {wins[i, j]}", expected="probabilities or counts: finite and at least 0"
        )
    return wins


class _Problem:
    """The objective over the pairs that have weight."""

    def __init__(self, wins: Float, terms: Callable[[Float], Terms], precision: float) -> None:
        off = wins - np.diag(np.diagonal(wins))
        self._n, self._terms, self._precision = len(wins), terms, precision
        self._i, self._j = np.nonzero(off)
        self._w = off[self._i, self._j]

    def at(self, s: Float) -> tuple[float, Float, Float]:
        """Return value, gradient (N,) and negative Hessian (N, N), positive definite."""
        log_f, slope, curve = self._terms(s[self._i] - s[self._j])
        value = float(self._w @ log_f) - 0.5 * self._precision * float(s @ s)
        pull = self._w * slope
        gradient = np.bincount(self._i, pull, self._n) - np.bincount(self._j, pull, self._n) - self._precision * s
        ties = np.zeros((self._n, self._n))
        ties[self._i, self._j] = self._w * curve
        ties += ties.T
        return value, gradient, np.diag(ties.sum(axis=1) + self._precision) - ties

    def newton(self, s: Float) -> tuple[Float, bool]:
        """Take one step, halved until the objective grows; tell whether it was the last one needed."""
        value, gradient, hessian = self.at(s)
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max() <= _LAST_STEP * (1 + np.abs(s).max()):
            return s + step, True
        gain, noise = float(gradient @ step), 1e-14 * (1 + abs(value))
        size = 1.0
        while self.at(s + size * step)[0] < value + 1e-4 * size * gain - noise:
            size /= 2  # ends: the objective is smooth and the step is a direction of ascent
        return s + size * step, False


def _logistic(d: Float) -> Terms:
    loss = np.logaddexp(0.0, -d)  # −log F
    lower = np.exp(-np.logaddexp(0.0, d))  # 1 − F
    return -loss, lower, lower * np.exp(-loss)


def _normal(d: Float) -> Terms:
    """Log of the normal distribution function with derivatives, for any finite argument.

    In the tail, with t = −d, the ratio of density to distribution function is t + K with the continued fraction
    K = 1/(t + 2/(t + 3/(t + …))) (Laplace), so neither it nor t + K − t loses digits.
    """
    tail = d < _TAIL
    t = np.where(tail, -d, -_TAIL)
    k = np.zeros_like(t)
    for n in range(_FRACTION_TERMS, 0, -1):
        k = n / (t + k)
    mid = np.where(tail, _TAIL, d)
    upper = 0.5 * _erfc(mid / math.sqrt(2))  # 1 − F
    log_f = np.where(mid > 0, np.log1p(-upper), np.log(0.5 * _erfc(-mid / math.sqrt(2))))
    slope = np.exp(-0.5 * mid * mid - _HALF_LOG_2_PI - log_f)
    return (
        np.where(tail, -0.5 * t * t - _HALF_LOG_2_PI - np.log(t + k), log_f),
        np.where(tail, t + k, slope),
        np.where(tail, (t + k) * k, slope * (slope + mid)),
    )


def _erfc(x: Float) -> Float:
    return np.fromiter(map(math.erfc, x.tolist()), dtype=np.float64, count=len(x))


_LINKS: dict[str, Callable[[Float], Terms]] = {"normal": _normal, "logistic": _logistic}
