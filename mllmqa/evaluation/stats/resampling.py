"""Bootstrap intervals of SRCC and PLCC, by item or by reference, for one or several models at once.

Exact: each resample is ranked anew, without sorting. With w_i the times that item i was drawn, the mid-rank of a
group of equal scores is half the number of draws before it, plus half that up to its end, plus one half: two
cumulative sums in the order of the scores. PLCC is a product of the draws with the moments. Time
O(resamples · items · models).

The draws are ``numpy.random.default_rng(seed).integers(0, units, (resamples, units))`` row by row, whatever the
number of models: two calls with the same seed and units are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.stats._checks import Float, centred, judged, numbers, share
from mllmqa.evaluation.stats.correlation import plcc, srcc
from mllmqa.evaluation.stats.intervals import MIN_FOR_INTERVAL

Counts = NDArray[np.int32]
Indices = NDArray[np.intp]
_CELLS = 80_000  # draws in one block: a few arrays of this size stay in a core's cache
MAX_ITEMS = 1_000_000


@dataclass(frozen=True)
class Resampled:
    """One figure over all resamples.

    Attributes:
        point: The figure of the data itself.
        low: Lower end of the percentile interval; NaN, like the ends and shares below, where the data itself has no
            figure, or for fewer than 5 units.
        high: Upper end.
        level: Nominal coverage.
        standard_error: Standard deviation over the resamples (ddof 1).
        share_not_positive: Share of resamples with a figure of 0 or less.
        share_not_negative: Share of resamples with a figure of 0 or more.
        resamples: Resamples that have the figure.
        degenerate: Resamples without one (a side was constant); they are left out of the rest.
        n: Items, scored by all models concerned.
        n_unscored: Items that at least one of them did not score.
        n_units: What was drawn: items, or references.
    """

    point: float
    low: float
    high: float
    level: float
    standard_error: float
    share_not_positive: float
    share_not_negative: float
    resamples: int
    degenerate: int
    n: int
    n_unscored: int
    n_units: int

    @property
    def p_value(self) -> float:
        """Two-sided p-value against 0 by inverting the percentile interval, at least 2 / (resamples + 1).

        NaN without an interval.
        """
        if math.isnan(self.low):
            return math.nan
        least = min(self.share_not_positive, self.share_not_negative) * self.resamples
        return min(1.0, 2 * (least + 1) / (self.resamples + 1))


@dataclass(frozen=True)
class Bootstrap:
    """SRCC and PLCC of K models over the same resamples.

    Attributes:
        srcc: One per model.
        plcc: One per model.
        srcc_difference: First model minus each further one, K − 1 of them.
        plcc_difference: Likewise.
    """

    srcc: tuple[Resampled, ...]
    plcc: tuple[Resampled, ...]
    srcc_difference: tuple[Resampled, ...]
    plcc_difference: tuple[Resampled, ...]


def bootstrap(
    scores: ArrayLike,
    mos: ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Resample items, or whole references, with replacement (Efron & Tibshirani, 1993, percentile intervals).

    Args:
        scores: Shape (N,) or (K, N) for K models; NaN where unscored: such items are left out for all models.
        mos: Opinions, shape (N,), finite.
        groups: Reference of each item; None: items are drawn. Under 20 references, intervals are too narrow.
        resamples: At least 1.
        level: Nominal coverage, 0..1.
        seed: Of the draws.

    Raises:
        DataError: Wrong shapes, infinite scores, opinions that are not finite, more than a million items.
        UsageError: No resample, or the level is not between 0 and 1.
    """
    share(level, "coverage")
    if resamples < 1:
        raise UsageError(f"{resamples} resamples", expected="1 or more")
    rows = [judged(row, mos) for row in np.atleast_2d(numbers(scores, "scores", "shape (N,) or (K, N)"))]
    known = np.all([row[2] for row in rows], axis=0)
    y, columns = rows[0][1][known], [row[0][known] for row in rows]
    units = _units(groups, known)
    n_units = len(y) if units is None else int(units.max(initial=-1)) + 1
    found = np.full((2, len(columns), resamples), np.nan)
    if len(y):
        found = _resampled(columns, y, units, draws(n_units, resamples, seed, wide=len(y)))
    points = np.array([[of(column, y) for column in columns] for of in (srcc, plcc)])
    sizes = (len(y), int((~known).sum()), n_units)

    def summed(kind: int, minus: int | None, model: int) -> Resampled:
        values, point = found[kind, model], points[kind, model]
        if minus is not None:
            values, point = values - found[kind, minus], point - points[kind, minus]
        return _summary(values, float(point), level, sizes)

    models = range(len(columns))
    single = (tuple(summed(kind, None, k) for k in models) for kind in (0, 1))
    return Bootstrap(*single, *(tuple(summed(kind, k, 0) for k in models[1:]) for kind in (0, 1)))


def _resampled(columns: Sequence[Float], y: Float, units: Indices | None, blocks: Iterable[Counts]) -> Float:
    """Return SRCC and PLCC of each column in each resample, shape (2, K, resamples)."""
    correlations = Resampler(columns, y)
    found = [np.empty((2, len(columns), 0))]
    for block in blocks:
        found.append(correlations(block if units is None else np.ascontiguousarray(block[:, units])))
    return np.concatenate(found, axis=2)


def bootstrap_statistic(
    statistic: Callable[[Indices], float],
    n: int,
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Resampled:
    """Resample any figure, one call per resample: for KRCC, per-reference means, pairwise accuracy.

    Args:
        statistic: Gets the indices of the drawn items, shape (M,), and returns the figure or NaN.
        n: Items.
        groups: As for :func:`bootstrap`; a reference that is drawn twice gives its items twice.
        resamples: At least 1.
        level: Nominal coverage, 0..1.
        seed: Of the draws; the same as in :func:`bootstrap`.

    Raises:
        UsageError: No item, no resample, or the level is not between 0 and 1.
    """
    share(level, "coverage")
    if resamples < 1 or n < 1:
        raise UsageError(f"{resamples} resamples of {n} items", expected="1 or more of both")
    units = _units(groups, np.ones(n, dtype=bool))
    n_units = n if units is None else int(units.max()) + 1
    values = []
    for block in draws(n_units, resamples, seed, wide=n):
        for row in block if units is None else block[:, units]:
            values.append(statistic(np.repeat(np.arange(n), row)))
    return _summary(np.array(values), float(statistic(np.arange(n))), level, (n, 0, n_units))


def draws(units: int, resamples: int, seed: int, *, wide: int) -> Iterator[Counts]:
    """Yield how often each unit was drawn, int32 of shape (rows, units), blocks of rows; ``wide`` items per row."""
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // max(1, wide))
    for start in range(0, resamples, rows):
        drawn = rng.integers(0, units, (min(rows, resamples - start), units))
        counts = np.empty(drawn.shape, dtype=np.int32)
        for row, into in zip(drawn, counts, strict=True):
            into[:] = np.bincount(row, minlength=units)
        yield counts


class Resampler:
    """SRCC and PLCC of weighted items.

    Args:
        columns: Scores of K models, each of shape (N,), finite.
        y: Opinions, shape (N,), finite.

    Raises:
        DataError: More than a million items, whose sums of squared ranks lose digits.
    """

    def __init__(self, columns: Sequence[Float], y: Float) -> None:
        if len(y) > MAX_ITEMS:
            raise DataError(f"{len(y)} items to resample", expected=f"{MAX_ITEMS} at most")
        self._order = np.argsort(y, kind="stable")  # items are kept in the order of the opinions
        y = y[self._order]
        self._rank_y, self._ranks = _Ranks(y), [_Ranks(column[self._order]) for column in columns]
        self._k, self._space = len(columns), _Space(0, 0)
        values = [_standard(y), *(_standard(column[self._order]) for column in columns)]
        parts = [*values, *(one * one for one in values), *(one * values[0] for one in values[1:])]
        self._moments = np.stack(parts, axis=1)

    def __call__(self, weights: Counts) -> Float:
        """Return SRCC and PLCC of each column with y in each resample, float64 of shape (2, K, rows).

        Args:
            weights: How often each item is drawn, int32 of shape (rows, N), the sum of each row at least 1.
        """
        space = self._space = self._space if self._space.fits(weights) else _Space(*weights.shape)
        rows = len(weights)
        sorted_ = np.take(weights, self._order, axis=1, mode="clip", out=space.drawn[:rows])
        real, square = space.real[:rows], space.square[:rows]
        real[:] = sorted_
        total = real.sum(axis=1)
        cubes = _row_products(np.multiply(real, real, out=square), real)  # of the groups, where no values are equal
        var_y = self._rank_y(sorted_, total, cubes, space, heavy := space.rank_y[:rows])
        heavy *= real
        k, sums = self._k, (real @ self._moments).T
        means = sums[: k + 1] / total
        spreads = sums[k + 1 : 2 * k + 2] - total * means**2
        found = np.empty((2, k, rows))
        for i, ranks in enumerate(self._ranks):
            var_x = ranks(sorted_, total, cubes, space, rank_x := space.rank_x[:rows])
            found[0, i] = _ratio(_row_products(heavy, rank_x) - total**3, var_x, var_y, 0.5)
            shared = sums[2 * k + 2 + i] - total * means[0] * means[i + 1]
            found[1, i] = _ratio(shared, spreads[i + 1], spreads[0], 1e-12)
        return found


class _Space:
    """Arrays that every block of resamples uses again: fresh ones would cost more than the arithmetic."""

    def __init__(self, rows: int, items: int) -> None:
        self.drawn, self.placed, self.twice = (np.empty((rows, items), dtype=np.int32) for _ in range(3))
        self.real, self.square, self.rank_y, self.rank_x = (np.empty((rows, items)) for _ in range(4))
        self.upto = np.zeros((rows, items + 1), dtype=np.int32)

    def fits(self, weights: Counts) -> bool:
        """Tell whether a block of resamples, shape (rows, items), has room here."""
        rows, items = self.drawn.shape
        return bool(items == weights.shape[1] and rows >= len(weights))


class _Ranks:
    """Ranks of weighted values, shape (N,)."""

    def __init__(self, values: Float) -> None:
        order = np.argsort(values, kind="stable")
        self._order = None if (order == np.arange(len(values))).all() else order
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        self._inverse = inverse.ravel().astype(np.intp)
        ends = np.concatenate([[0], np.cumsum(counts)])
        self._ends = None if len(counts) == len(values) else ends

    def __call__(self, weights: Counts, total: Float, cubes: Float, space: _Space, out: Float) -> Float:
        """Write twice the mid-rank of each item, minus one, into ``out`` (rows, N); return its sums of squares.

        They are taken around the mean, ``total``; with t draws in a group of equal values they are
        (total³ − Σ t³) / 3, shape (rows,).
        """
        rows = len(weights)
        placed, upto, twice = space.placed[:rows], space.upto[:rows], space.twice[:rows]
        if self._order is not None:
            weights = np.take(weights, self._order, axis=1, mode="clip", out=placed)
        np.cumsum(weights, axis=1, out=upto[:, 1:])
        if self._ends is None:
            np.add(upto[:, 1:], upto[:, :-1], out=twice)
        else:
            ends = np.take(upto, self._ends, axis=1, mode="clip")
            groups = np.diff(ends, axis=1).astype(np.float64)
            cubes = _row_products(groups * groups, groups)
            twice = ends[:, 1:] + ends[:, :-1]
        if self._order is not None or self._ends is not None:
            twice = np.take(twice, self._inverse, axis=1, mode="clip", out=placed)
        out[:] = twice
        return np.asarray((total**3 - cubes) / 3)


def _row_products(a: Float, b: Float) -> Float:
    return np.asarray(np.matmul(a[:, None, :], b[:, :, None])[:, 0, 0])


def _ratio(shared: Float, a: Float, b: Float, least: float) -> Float:
    usable = (a > least) & (b > least)
    found = np.full(len(shared), np.nan)
    found[usable] = np.clip(shared[usable] / np.sqrt(a[usable] * b[usable]), -1, 1)
    return found


def _standard(values: Float) -> Float:
    """Return values with mean 0 and variance 1; zeros if they are constant."""
    off = centred(values)
    return np.zeros(len(values)) if off is None else off * math.sqrt(len(values))


def _units(groups: Sequence[Hashable] | None, known: NDArray[np.bool_]) -> Indices | None:
    if groups is None:
        return None
    if len(groups) != len(known):
        raise DataError(f"{len(groups)} references for {len(known)} items")
    seen: dict[Hashable, int] = {}
    kept = [group for group, keep in zip(groups, known.tolist(), strict=True) if keep]
    return np.array([seen.setdefault(group, len(seen)) for group in kept], dtype=np.intp)


def _summary(values: Float, point: float, level: float, sizes: tuple[int, int, int]) -> Resampled:
    usable = values[~np.isnan(values)]
    low = high = error = below = above = math.nan
    has_interval = len(usable) > 0 and not math.isnan(point) and sizes[2] >= MIN_FOR_INTERVAL
    if has_interval:
        low, high = (float(end) for end in np.quantile(usable, [(1 - level) / 2, (1 + level) / 2]))
        below, above = float((usable <= 0).mean()), float((usable >= 0).mean())
    if has_interval and len(usable) > 1:
        error = float(usable.std(ddof=1))
    lost = len(values) - len(usable)
    return Resampled(point, low, high, level, error, below, above, len(usable), lost, *sizes)
