"""Monotone logistic curves from scores to opinions, before PLCC and RMSE.

Four parameters (VQEG): ``low + height / (1 + exp(−steepness · (z − centre)))``. Five (Sheikh, Sabir & Bovik, IEEE
TIP 15, 2006): ``height · (1/2 − 1/(1 + exp(steepness · (z − centre)))) + slope · z + offset``. z are the scores,
standardised: published code fits in raw units from one start and often stops far from the optimum.

For a given centre and steepness both curves are linear in the rest, and "rises from each score to the next" is a
linear condition on it; so this inner part is solved exactly (no negative coefficient in a suitable basis), and
only centre and steepness are searched, by bounded least squares from 24 starts. Hence no curve can turn an
inverted model round: where no rising curve is better than a constant there is no PLCC, and the reason says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.stats import bounds
from mllmqa.evaluation.stats._checks import Float, centred, judged, pair, scipy
from mllmqa.evaluation.stats.correlation import plcc, rmse
from mllmqa.evaluation.stats.figure import Figure, figure

Parameters = Literal[4, 5]
CENTRES = (-6.0, -1.2, -0.4, 0.4, 1.2, 6.0)
STEEPNESSES = (0.5, 2.0, 10.0, 60.0)
_STEEPEST, _FLATTEST = 5000.0, 0.02  # per standard deviation of the scores
_CALLS, _MORE_CALLS = 100, 1000
_FLAT = 1e-7  # a sigmoid that moves less on the data would need a height that costs all digits
_BEYOND = 20.0  # how far outside the data the centre may lie: there the curve is an exponential one


@dataclass(frozen=True)
class LogisticFit:
    """A rising curve.

    Attributes:
        parameters: Number of parameters, 4 or 5.
        values: ``low, height, centre, steepness`` or ``height, steepness, centre, slope, offset``; centre,
            steepness and slope refer to z = (score − mean) / std.
        mean: Of the scores.
        std: Of the scores (population).
        n: Items fitted.
        sse: Sum of squared errors.
        monotone: Whether the curve was found to rise (or stay) between all neighbouring scores.
        constant: Whether the best rising curve is a constant: the scores are inverted or say nothing.
        converged: Whether the search from the best start ended by its own tolerance.
        starts_converged: Of how many starts that is true.
        at_bound: Whether centre or steepness stands at the edge of the searched range, e.g. a step.
    """

    parameters: Parameters
    values: tuple[float, ...]
    mean: float
    std: float
    n: int
    sse: float
    monotone: bool
    constant: bool
    converged: bool
    starts_converged: int
    at_bound: bool

    def __call__(self, scores: ArrayLike) -> Float:
        """Return the curve at scores of any shape, in units of the opinions."""
        z = (np.asarray(scores, dtype=np.float64) - self.mean) / self.std
        expit = scipy("special").expit
        if self.parameters == 4:
            low, height, centre, steepness = self.values
            return np.asarray(low + height * expit(steepness * (z - centre)))
        height, steepness, centre, slope, offset = self.values
        return np.asarray(height * (expit(steepness * (z - centre)) - 0.5) + slope * z + offset)

    @property
    def rmse_unbiased(self) -> float:
        """Root of SSE / (n − parameters), as in ITU-T P.1401."""
        return math.sqrt(self.sse / (self.n - self.parameters))


def fit_logistic(scores: ArrayLike, mos: ArrayLike, parameters: Parameters = 4) -> LogisticFit:
    """Fit the best rising logistic curve.

    Args:
        scores: Shape (N,), finite, not constant.
        mos: Opinions, shape (N,), finite, not constant.
        parameters: 4 or 5. N must be at least twice as large.

    Raises:
        DataError: Too few items, a constant side, different lengths, numbers that are not finite.
        UsageError: Another number of parameters.
    """
    if parameters not in (4, 5):
        raise UsageError(f"a logistic curve of {parameters} parameters", expected="4 or 5")
    x, y = pair(scores, mos)
    if len(x) < 2 * parameters:
        raise DataError(
            f"{len(x)} items for a curve of {parameters} parameters", expected=f"{2 * parameters} or more"
        )
    for side, what in ((x, "scores"), (y, "opinions")):
        if centred(side) is None:
            raise DataError(f"all {len(side)} {what} are {side[0]:g}", expected="values that differ")
    mean, std = float(x.mean()), float(x.std())
    problem = _Inner((x - mean) / std, (y - y.mean()) / y.std(), parameters)
    best, converged = _search(problem)
    centre, log_steep = (float(value) for value in best.x)
    basis = problem.solved(centre, log_steep)
    fit = LogisticFit(
        parameters=parameters,
        values=_in_units(basis, centre, math.exp(log_steep), parameters, float(y.mean()), float(y.std())),
        mean=mean,
        std=std,
        n=len(x),
        sse=math.nan,
        monotone=False,
        constant=basis[:2] == (0.0, 0.0),
        converged=bool(best.status > 0),
        starts_converged=converged,
        at_bound=any(abs(best.x[i] - side[i]) < 1e-3 for side in problem.box for i in (0, 1)),
    )
    curve = fit(x)
    steps = np.diff(curve[np.argsort(x, kind="stable")])
    rises = bool((steps >= -1e-9 * float(y.std())).all())
    return replace(fit, sse=float(((curve - y) ** 2).sum()), monotone=rises)


@dataclass(frozen=True)
class Mapped:
    """Agreement after a rising curve.

    Attributes:
        plcc: Pearson correlation of the mapped scores. Its bounds, and those of RMSE, keep the curve of the scored
            items and let each unscored item take any value between the ends of the curve.
        rmse: Root-mean-square error of the mapped scores, in units of the opinions.
        fit: The curve; None where it was refused.
    """

    plcc: Figure
    rmse: Figure
    fit: LogisticFit | None


def mapped(scores: ArrayLike, mos: ArrayLike, parameters: Parameters = 4) -> Mapped:
    """Fit a rising logistic curve to the scored items and return the agreement after it.

    Args:
        scores: Shape (N,), NaN where unscored.
        mos: Opinions, shape (N,), finite.
        parameters: 4 or 5.

    Returns:
        Figures, NaN with a reason where the fit is refused, does not converge, or is a constant.

    Raises:
        DataError: Different lengths, an infinite score, an opinion that is not finite.
    """
    x, y, known = judged(scores, mos)
    n, lost = int(known.sum()), int((~known).sum())
    try:
        fit = fit_logistic(x[known], y[known], parameters)
    except DataError as error:
        none = figure(math.nan, n, lost, None, str(error))
        return Mapped(none, none, None)
    curve = np.full(len(x), np.nan)
    curve[known] = fit(x[known])
    if not fit.converged:
        none = figure(math.nan, n, lost, None, "the fit of the curve does not converge")
        return Mapped(none, none, fit)
    why = "no rising curve is better than a constant: the scores are inverted or say nothing"
    return Mapped(
        figure(
            math.nan if fit.constant else plcc(curve[known], y[known]), n, lost, bounds.plcc_bounds(curve, y), why
        ),
        figure(rmse(curve[known], y[known]), n, lost, bounds.rmse_bounds(curve, y)),
        fit,
    )


class _Inner:
    """The curve's linear part for given centre and log steepness; z and goal are standardised, shape (N,)."""

    def __init__(self, z: Float, goal: Float, parameters: Parameters) -> None:
        self.z, self.goal, self._five = z, goal, parameters == 5
        self._expit = scipy("special").expit
        lowest, highest = math.log(_FLATTEST), math.log(_STEEPEST)
        self.box = (np.array([z.min() - _BEYOND, lowest]), np.array([z.max() + _BEYOND, highest]))
        places = np.unique(z)
        self._steps = places[np.concatenate([[True], np.diff(places) > 1e-9])]  # closer ones are the same score

    def residuals(self, place: Float) -> Float:
        """Return fitted minus goal, shape (N,)."""
        height, slope, offset = self.solved(float(place[0]), float(place[1]))
        sigmoid = self._expit(math.exp(place[1]) * (self.z - place[0]))
        return np.asarray(height * sigmoid + slope * self.z + offset - self.goal)

    def solved(self, centre: float, log_steep: float) -> tuple[float, float, float]:
        """Return height of the sigmoid, slope and offset of the best curve that rises on the data."""
        steep = math.exp(log_steep)
        sigmoid = self._expit(steep * (self.z - centre))
        if not self._five:
            (height,), offset = _not_negative([sigmoid], self.goal)
            return height, 0.0, offset
        rates = np.diff(self._expit(steep * (self._steps - centre))) / np.diff(self._steps)
        found = []
        for sign, rate in (
            (1.0, float(rates.min())),
            (-1.0, float(rates.max())),
        ):  # S-shaped, and the inverse of one
            (part, slope), offset = _not_negative([sign * (sigmoid - rate * self.z), self.z], self.goal)
            curve = (sign * part, slope - sign * rate * part, offset)
            miss = curve[0] * sigmoid + curve[1] * self.z + curve[2] - self.goal
            found.append((float(miss @ miss), curve))
        return min(found)[1]


def _not_negative(columns: list[Float], goal: Float) -> tuple[tuple[float, ...], float]:
    """Return coefficients ≥ 0 of one or two columns, and the free offset, by least squares over all active sets."""
    stacked = np.stack(columns)
    means = stacked.mean(axis=1)
    off = stacked - means[:, None]
    norms = np.sqrt(np.einsum("ij,ij->i", off, off))
    flat = norms <= _FLAT * math.sqrt(len(goal))
    sizes = np.where(flat, np.inf, norms)  # a flat column gets no part
    off /= sizes[:, None]
    gram, pull = off @ off.T, off @ goal
    best: tuple[float, ...] = (0.0,) * len(columns)
    gain = 1e-12 * len(goal)  # of a standardised goal: less is rounding
    subsets = [[i] for i in range(len(columns))] + ([[0, 1]] if len(columns) == 2 else [])
    for active in subsets:
        inner = gram[np.ix_(active, active)]
        if not np.linalg.det(inner) > 1e-13:
            continue
        part = np.linalg.solve(inner, pull[active])
        if (part >= 0).all() and float(part @ pull[active]) > gain:
            gain = float(part @ pull[active])
            best = tuple(
                float(part[active.index(i)] / sizes[i]) if i in active else 0.0 for i in range(len(columns))
            )
    return best, float(goal.mean() - np.dot(best, means))


def _search(problem: _Inner) -> tuple[Any, int]:
    """Return scipy's result from the best start, and how many starts converged at once.

    With five parameters the cost has kinks, where steps get short: the best start may go on for longer.
    """
    least_squares = scipy("optimize").least_squares
    found = []
    for centre in CENTRES:
        for steep in STEEPNESSES:
            start = np.clip([centre, math.log(steep)], problem.box[0] + 1e-6, problem.box[1] - 1e-6)
            found.append(least_squares(problem.residuals, start, bounds=problem.box, max_nfev=_CALLS))
    best = min(found, key=lambda one: float(one.cost))
    if best.status == 0:
        best = least_squares(problem.residuals, best.x, bounds=problem.box, max_nfev=_MORE_CALLS)
    return best, sum(one.status > 0 for one in found)


def _in_units(
    basis: tuple[float, float, float], centre: float, steep: float, parameters: Parameters, mean: float, std: float
) -> tuple[float, ...]:
    """Return the parameters for opinions with this mean and std."""
    height, slope, offset = (value * std for value in basis)
    if parameters == 4:
        return offset + mean, height, centre, steep
    return height, steep, centre, slope, offset + mean + height / 2
