"""Scores from comparisons: exact MAP with ties, an order effect, and standard errors.

With s the latent scores and b the order effect, the picture that is shown first is preferred with probability
F(s_first − s_second + b); a tie counts one half for each side; s has a normal prior of mean 0. Without b and with
precision 1 the scores are those of :func:`mllmqa.ranking.rank`.

b and the precision of the prior are estimated first, by their marginal likelihood (Laplace's approximation over s,
as in empirical Bayes): where s and b are maximised together, b comes out too small (0.40 for a true 0.51 with ten
comparisons per picture), because every difference counts as if it were known. b and the logarithm of the precision
have standard normal priors, so that one list of pictures is not taken for a liking of its places.

Where only those pairs count that are answered the same in both orders (2AFC prompting), a pair is no comparison of
probability F(d): given that it counts, the better picture wins with F(d)² / (F(d)² + F(−d)²), whatever b (exactly
so with the logistic link). That is the link ``both-orders``; with F itself the scores come out twice as wide. Such
pairs are drawn by people's opinions, inside bands, too: pictures look more alike than they are, and a precision
estimated from them shrinks the scores by half (their intervals hold the truth in 81 % of simulated cases). There
the prior is fixed and weak (:data:`WEAK`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import DataError, InferenceError
from mllmqa.evaluation.stats._checks import scipy
from mllmqa.ranking import Link as Plain

Float = NDArray[np.float64]
Whole = NDArray[np.int64]
Link = Plain | Literal["both-orders"]
_STEPS = 200
MOST_PICTURES = 400
"""Of one group, beyond which b and s are maximised together: the marginal likelihood takes too long."""
PRECISIONS = (0.02, 50.0)
"""Least and greatest precision of the prior: answers without any contradiction would want none."""
WEAK = 0.25
"""Precision of the prior where it cannot be estimated: scores of ±4 deviations of a difference are likely."""
_NO_CHANGE = 1e-3
_H = 0.05  # step of the numerical curvature, in deviations of a difference


@dataclass(frozen=True)
class Choice:
    """One comparison of two pictures.

    Attributes:
        first: Place of the picture that is shown first.
        second: Place of the other.
        share: 1 if the first is preferred, 0 if the second, 0.5 at a tie; or a probability.
        weight: Independent comparisons that it is worth, > 0.
    """

    first: int
    second: int
    share: float
    weight: float = 1.0


@dataclass(frozen=True)
class Fit:
    """The MAP estimate.

    Attributes:
        scores: Float64, shape (N,), in standard deviations of a difference; NaN for pictures that were never
            compared.
        errors: Standard errors of the scores, shape (N,), under the constraint that they sum to 0.
        parts: Sets of pictures that no comparison connects; only the prior relates them.
    """

    scores: Float
    errors: Float
    parts: int


@dataclass(frozen=True)
class Effect:
    """What is common to all groups.

    Attributes:
        order: Order effect: positive if the first picture is favoured; NaN without comparisons.
        error: Its standard error.
        precision: Of the prior of the scores; 1 without comparisons.
    """

    order: float
    error: float
    precision: float


def fit(
    n: int, choices: Sequence[Choice], link: Link = "normal", *, order: float = 0.0, precision: float = 1.0
) -> Fit:
    """Return the scores of n pictures.

    Args:
        n: Pictures.
        choices: Comparisons; a pair may come several times.
        link: ``normal`` (Thurstone), ``logistic`` (Bradley–Terry), or ``both-orders`` (Thurstone, of pairs that are
            kept because both orders agree).
        order: Order effect.
        precision: Of the normal prior, > 0.

    Raises:
        DataError: A picture is compared with itself, a share is outside 0..1, or a weight is not positive.
    """
    scores, errors = np.full(n, np.nan), np.full(n, np.nan)
    if not choices:
        return Fit(scores, errors, 0)
    group = _Group(choices, link)
    found, _, hessian = group.maximum(order, precision)
    covariance = np.linalg.inv(hessian)
    centred = covariance - covariance.mean(axis=0) - covariance.mean(axis=1)[:, None] + covariance.mean()
    scores[group.used], errors[group.used] = found, np.sqrt(np.maximum(0, np.diagonal(centred)))
    return Fit(scores, errors, group.parts())


def effect(groups: Sequence[Sequence[Choice]], link: Plain = "normal") -> Effect:
    """Estimate the order effect and the precision of the prior over all groups.

    Args:
        groups: Comparisons of each group of pictures; pictures of different groups are different.
        link: ``normal`` or ``logistic``.

    Raises:
        DataError: As :func:`fit`.
    """
    made = [_Group(choices, link) for choices in groups if choices]
    if not made:
        return Effect(math.nan, math.nan, 1.0)
    marginal = all(len(group.used) <= MOST_PICTURES for group in made)
    low, high = (math.log(p) for p in PRECISIONS)

    def loss(x: Sequence[float]) -> float:
        precision = math.exp(min(high, max(low, x[1])))
        prior = 0.5 * x[0] ** 2 + 0.5 * x[1] ** 2  # both standard normal: few answers may not say anything extreme
        return prior - sum(group.evidence(x[0], precision, marginal=marginal) for group in made)

    start = np.array([[0.0, 0.0], [0.5, 0.0], [0.0, -0.7]])
    if marginal:
        how = {"xatol": _NO_CHANGE, "fatol": _NO_CHANGE, "initial_simplex": start, "maxiter": 200}
        best = [float(x) for x in scipy("optimize").minimize(loss, start[0], method="Nelder-Mead", options=how).x]
    else:
        best = [float(scipy("optimize").minimize_scalar(lambda b: loss((b, 0.0)), bracket=(0.0, 0.5)).x), 0.0]
    error = _error(loss, (best[0], best[1]), both=marginal)
    return Effect(best[0], error, math.exp(min(high, max(low, best[1]))))


def _error(loss: Callable[[Sequence[float]], float], best: tuple[float, float], *, both: bool) -> float:
    """Return the standard error of the order effect from the curvature at the best place.

    With ``both`` the precision of the prior counts as unknown, too: a larger order effect goes with a wider spread
    of the scores, and without that the error is 4 % too small. NaN where there is no minimum.
    """
    b, p = best
    middle = loss((b, p))
    own = (loss((b - _H, p)) - 2 * middle + loss((b + _H, p))) / _H**2
    if both:
        wide = 2 * _H
        other = (loss((b, p - wide)) - 2 * middle + loss((b, p + wide))) / wide**2
        corners = [loss((b + x * _H, p + y * wide)) for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        cross = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * _H * wide)
        own -= cross**2 / other if other > 0 else 0.0
    return 1 / math.sqrt(own) if own > 0 else math.nan


class _Group:
    """The comparisons of one group, with its pictures numbered from 0."""

    def __init__(self, choices: Sequence[Choice], link: Link) -> None:
        if any(c.first == c.second or not 0 <= c.share <= 1 or not c.weight > 0 for c in choices):
            raise DataError("a picture is compared with itself, a share is outside 0..1, or a weight not above 0")
        self._link = link
        first = np.array([c.first for c in choices], np.int64)
        second = np.array([c.second for c in choices], np.int64)
        self.used, places = np.unique(np.concatenate([first, second]), return_inverse=True)
        self._first, self._second = places[: len(first)], places[len(first) :]
        weight, share = np.array([c.weight for c in choices]), np.array([c.share for c in choices])
        self._for, self._against = weight * share, weight * (1 - share)
        self._last = np.zeros(len(self.used))

    def at(self, s: Float, order: float, precision: float) -> tuple[float, Float, Float]:
        """Return the log posterior, its gradient, and the negative Hessian over the scores."""
        n, d = len(s), s[self._first] - s[self._second] + order
        (up, up1, up2), (down, down1, down2) = _terms(d, self._link), _terms(-d, self._link)
        value = float(self._for @ up + self._against @ down) - 0.5 * precision * float(s @ s)
        pull = self._for * up1 - self._against * down1
        gradient = np.bincount(self._first, pull, n) - np.bincount(self._second, pull, n) - precision * s
        weight = self._for * up2 + self._against * down2
        cross = np.bincount(self._first * n + self._second, weight, n * n).reshape(n, n)
        cross = cross + cross.T
        return value, gradient, np.diag(cross.sum(axis=1) + precision) - cross

    def maximum(self, order: float, precision: float) -> tuple[Float, float, Float]:
        """Return the scores, the log posterior and the negative Hessian at the maximum: damped Newton steps."""
        s = self._last
        value, gradient, hessian = self.at(s, order, precision)
        for _ in range(_STEPS):
            step = np.linalg.solve(hessian, gradient)
            gain, size = float(gradient @ step), 1.0
            found = self.at(s + step, order, precision)
            while found[0] < value + 1e-4 * size * gain - 1e-12 * (1 + abs(value)):
                size /= 2
                found = self.at(s + size * step, order, precision)
            s = s + size * step
            value, gradient, hessian = found
            if np.abs(step).max() <= 1e-7 * (1 + np.abs(s).max()):
                self._last = s
                return s, value, hessian
        raise InferenceError("the scores of the comparisons do not converge", where=f"{len(s)} pictures")

    def evidence(self, order: float, precision: float, *, marginal: bool) -> float:
        """Return the log marginal likelihood (Laplace), or the log posterior at its maximum."""
        _, value, hessian = self.maximum(order, precision)
        if not marginal:
            return value
        return value + 0.5 * len(self.used) * math.log(precision) - 0.5 * float(np.linalg.slogdet(hessian)[1])

    def parts(self) -> int:
        """Count connected sets of pictures."""
        root = list(range(len(self.used)))

        def find(i: int) -> int:
            while root[i] != i:
                root[i] = root[root[i]]
                i = root[i]
            return i

        for a, b in zip(self._first.tolist(), self._second.tolist(), strict=True):
            root[find(a)] = find(b)
        return len({find(i) for i in range(len(root))})


def _terms(d: Float, link: Link) -> tuple[Float, Float, Float]:
    """Return log F, its first derivative and the negative of its second."""
    special = scipy("special")
    if link == "logistic":
        lower = special.expit(-d)
        return special.log_expit(d), lower, lower * special.expit(d)
    log_f: Float = special.log_ndtr(d)
    slope = np.exp(-0.5 * d * d - 0.5 * math.log(2 * math.pi) - log_f)
    bend = slope * (slope + d)
    if link == "normal":
        return log_f, slope, bend
    other, other1, other2 = _terms(-d, "normal")
    odds, odds1, odds2 = 2 * (log_f - other), 2 * (slope + other1), 2 * (other2 - bend)  # their log, derivatives
    lost = special.expit(-odds)
    return special.log_expit(odds), lost * odds1, lost * (special.expit(odds) * odds1**2 - odds2)
