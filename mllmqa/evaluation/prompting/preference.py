"""Scores from comparisons: exact MAP with ties, an order effect, and standard errors.

With s the latent scores and b the order effect, the picture that is shown first is preferred with probability
F(s_first − s_second + b); a tie counts one half for each side. s and b have independent normal priors. Without b
this is :func:`mllmqa.ranking.rank`, which solves it exactly; with b the same Newton steps run over N + 1 numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import DataError, InferenceError
from mllmqa.ranking import Link, log_terms

Float = NDArray[np.float64]
_STEPS = 200


@dataclass(frozen=True)
class Choice:
    """One comparison of two pictures.

    Attributes:
        first: Place of the picture that is shown first.
        second: Place of the other.
        share: 1 if the first is preferred, 0 if the second, 0.5 at a tie; or a probability.
    """

    first: int
    second: int
    share: float


@dataclass(frozen=True)
class Fit:
    """The MAP estimate.

    Attributes:
        scores: Float64, shape (N,), in standard deviations of a difference; NaN for pictures that were never
            compared.
        errors: Standard errors of the scores, shape (N,), under the constraint that they sum to 0.
        order: Order effect: positive if the first picture is favoured; NaN where it was not estimated.
        order_error: Its standard error.
        parts: Sets of pictures that no comparison connects; only the prior relates them.
    """

    scores: Float
    errors: Float
    order: float
    order_error: float
    parts: int


def fit(n: int, choices: Sequence[Choice], link: Link = "normal", *, order: bool, precision: float = 1.0) -> Fit:
    """Return the scores of n pictures.

    Args:
        n: Pictures.
        choices: Comparisons; a pair may come several times.
        link: ``normal`` (Thurstone) or ``logistic`` (Bradley–Terry).
        order: Whether to estimate the order effect; else it is 0.
        precision: Of the normal priors, > 0.

    Raises:
        DataError: A picture is compared with itself, or a share is outside 0..1.
    """
    if any(c.first == c.second or not 0 <= c.share <= 1 for c in choices):
        raise DataError("a picture is compared with itself, or a share is outside 0..1")
    if not choices:
        return Fit(np.full(n, np.nan), np.full(n, np.nan), math.nan, math.nan, 0)
    used = sorted({place for c in choices for place in (c.first, c.second)})
    at = {place: k for k, place in enumerate(used)}
    first, second = (
        np.array([at[p] for p in side]) for side in zip(*((c.first, c.second) for c in choices), strict=True)
    )
    share = np.array([c.share for c in choices])
    found, hessian = _newton(len(used), first, second, share, link, order, precision)
    scores, errors = np.full(n, np.nan), np.full(n, np.nan)
    covariance = np.linalg.inv(hessian)
    among = covariance[: len(used), : len(used)]
    centred = among - among.mean(axis=0) - among.mean(axis=1)[:, None] + among.mean()
    scores[used] = found[: len(used)]
    errors[used] = np.sqrt(np.maximum(0, np.diagonal(centred)))
    effect = (float(found[-1]), math.sqrt(float(covariance[-1, -1]))) if order else (math.nan, math.nan)
    return Fit(scores, errors, *effect, _parts(len(used), first, second))


def _newton(
    n: int,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    share: Float,
    link: Link,
    order: bool,
    precision: float,
) -> tuple[Float, Float]:
    """Return the maximum and the negative Hessian there, over n scores and, if wanted, the order effect."""
    design = np.zeros((len(share), n + order))
    rows = np.arange(len(share))
    design[rows, first], design[rows, second] = 1.0, -1.0
    if order:
        design[:, -1] = 1.0

    def at(x: Float) -> tuple[float, Float, Float]:
        d = design @ x
        (up, up1, up2), (down, down1, down2) = log_terms(d, link), log_terms(-d, link)
        value = float(share @ up + (1 - share) @ down) - 0.5 * precision * float(x @ x)
        gradient = design.T @ (share * up1 - (1 - share) * down1) - precision * x
        weight = share * up2 + (1 - share) * down2
        return value, gradient, (design.T * weight) @ design + precision * np.eye(len(x))

    x = np.zeros(n + order)
    for _ in range(_STEPS):
        value, gradient, hessian = at(x)
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max() <= 1e-9 * (1 + np.abs(x).max()):
            return x + step, at(x + step)[2]
        size, gain = 1.0, float(gradient @ step)
        while at(x + size * step)[0] < value + 1e-4 * size * gain - 1e-13 * (1 + abs(value)):
            size /= 2
        x = x + size * step
    raise InferenceError("the scores of the comparisons do not converge", where=f"{n} pictures")


def _parts(n: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> int:
    """Count connected sets of pictures."""
    root = list(range(n))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        root[find(a)] = find(b)
    return len({find(i) for i in range(n)})
