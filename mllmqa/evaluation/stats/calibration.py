"""Is the predicted distribution right? Coverage of its intervals, and its distance from the opinions.

Predicted are probabilities of L levels, shape (N, L), with the levels' values (L,), or a mean and a standard
deviation per item. A row of NaN was not scored. Lower is better for all but the coverage, which should equal the
nominal level. The bounds give unscored items the worst and the best distribution of the same levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError
from mllmqa.evaluation.stats._checks import Bool, Float, judged, numbers, positive, scipy, vector
from mllmqa.evaluation.stats.figure import Figure, figure
from mllmqa.evaluation.stats.intervals import Interval, quantile, wilson

LEVELS = (0.5, 0.8, 0.9, 0.95)
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Coverage:
    """Share of opinions inside the predicted intervals.

    Attributes:
        level: What it should be.
        share: What it is; the bounds count the unscored as outside and as inside.
        interval: Wilson, 95 %, of the share.
    """

    level: float
    share: Figure
    interval: Interval


def coverage(mean: ArrayLike, std: ArrayLike, mos: ArrayLike, levels: Sequence[float] = LEVELS) -> list[Coverage]:
    """Return how often opinions lie within the central normal interval of mean and std, per nominal level.

    Args:
        mean: Predicted means, shape (N,), NaN where unscored.
        std: Predicted standard deviations, ≥ 0, shape (N,) or one number; read only where the mean is there. For
            opinions that are means of few ratings, it should hold their sampling error, too.
        mos: Opinions, shape (N,), finite.
        levels: Nominal levels, between 0 and 1.

    Raises:
        DataError: Wrong lengths or values.
        UsageError: A level is not between 0 and 1.
    """
    x, y, known = judged(mean, mos)
    spread = numbers(std, "standard deviations", "shape (N,) or one number")
    spread = spread if spread.ndim == 0 or len(spread) != len(x) else spread[known]
    width = positive(spread, "standard deviations", int(known.sum()), zero=True)
    error = np.abs(x - y)[known]
    n, lost = len(error), int((~known).sum())
    found = []
    for level in levels:
        hits = int((error <= quantile(level) * width).sum())
        edges = (hits / len(y), (hits + lost) / len(y)) if len(y) else None
        share = figure(hits / n if n else math.nan, n, lost, edges, "no item is scored")
        found.append(Coverage(level, share, wilson(hits, n)))
    return found


def moments(predicted: ArrayLike, values: ArrayLike) -> tuple[Float, Float]:
    """Return mean and standard deviation of each distribution, shape (N,) each, NaN where unscored.

    Raises:
        DataError: As :func:`kl_divergence`.
    """
    p, _ = _distributions(predicted, "predictions")
    v = _values(values, p)
    mean = p @ v
    return mean, np.sqrt(np.maximum(0, p @ v**2 - mean**2))


def kl_divergence(predicted: ArrayLike, opinions: ArrayLike, *, floor: float = 1e-12) -> Figure:
    """Return the mean of Σ opinion · log(opinion / predicted), ≥ 0, in nats.

    Args:
        predicted: Shape (N, L), each row ≥ 0 with sum 1, or all NaN where unscored.
        opinions: Distribution of the ratings, shape (N, L), each row ≥ 0 with sum 1.
        floor: Least predicted probability, so that one impossible rating does not make the mean infinite.

    Raises:
        DataError: Other shapes, or rows that are no distributions.
    """
    p, q, known = _both(predicted, opinions)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(q > 0, q * (np.log(q) - np.log(np.maximum(p, floor))), 0.0).sum(axis=1)
        entropy = np.where(q > 0, q * np.log(q), 0.0).sum(axis=1)
    worst = entropy - np.log(floor) * (1 - q.min(axis=1))  # all predicted mass on the rarest level
    return _mean(each, worst, np.zeros(len(q)), known)


def emd(predicted: ArrayLike, opinions: ArrayLike, values: ArrayLike, *, order: int = 1) -> Figure:
    """Return the mean earth mover's distance between the distributions.

    Args:
        predicted: As for :func:`kl_divergence`.
        opinions: Likewise.
        values: Of the levels, ascending, shape (L,).
        order: 1: the Wasserstein distance ∫ |F − G|, in units of the values. 2: root of the mean of (F − G)² over
            the levels, whatever their values (the loss of NIMA, Talebi & Milanfar, TIP 2018), 0..1.

    Raises:
        DataError: As :func:`kl_divergence`, other orders, or values that do not ascend.
    """
    p, q, known = _both(predicted, opinions)
    steps = np.diff(_values(values, p))
    if order not in (1, 2):
        raise DataError(f"distance of order {order}", expected="1 or 2")
    ours, theirs = np.cumsum(p, axis=1), np.cumsum(q, axis=1)

    def distance(gap: Float) -> Float:
        if order == 1:
            return np.asarray(np.abs(gap[:, :-1]) @ steps)
        return np.asarray(np.sqrt((gap[:, :-1] ** 2).sum(axis=1) / gap.shape[1]))

    worst = np.maximum(distance(theirs), distance(1 - theirs))  # all mass on an end (both are convex)
    return _mean(distance(ours - theirs), worst, np.zeros(len(q)), known)


def crps(predicted: ArrayLike, mos: ArrayLike, values: ArrayLike) -> Figure:
    """Return the mean continuous ranked probability score, ≥ 0, in units of the opinions.

    ∫ (F(t) − 1[t ≥ mos])² dt = E|X − mos| − E|X − X′| / 2 (Gneiting & Raftery, JASA 102, 2007), X over the levels.

    Args:
        predicted: Shape (N, L), each row ≥ 0 with sum 1, or all NaN where unscored.
        mos: Opinions, shape (N,), finite, on the scale of the values.
        values: Of the levels, ascending, shape (L,).

    Raises:
        DataError: Other shapes, rows that are no distributions, values that do not ascend.
    """
    p, known = _distributions(predicted, "predictions")
    y = vector(mos, "opinions")
    if len(y) != len(p):
        raise DataError(f"{len(p)} predictions for {len(y)} opinions")
    v = _values(values, p)
    away = np.abs(v[None, :] - y[:, None])
    apart = np.abs(v[:, None] - v[None, :])
    each = (p * away).sum(axis=1) - 0.5 * np.einsum("ni,ij,nj->n", p, apart, p)
    worst = away.max(axis=1, initial=0.0)  # convex in the distribution: greatest with all mass on one level
    return _mean(each, worst, _least_crps(v, y), known)


def crps_normal(mean: ArrayLike, std: ArrayLike, mos: ArrayLike) -> Figure:
    """Return the mean CRPS of normal distributions, ≥ 0; no bounds, for a normal may be arbitrarily wrong.

    Args:
        mean: Shape (N,), NaN where unscored.
        std: > 0, shape (N,) or one number; read only where the mean is there.
        mos: Opinions, shape (N,), finite.

    Raises:
        DataError: Wrong lengths or values.
    """
    x, y, known = judged(mean, mos)
    spread = numbers(std, "standard deviations", "shape (N,) or one number")
    spread = spread if spread.ndim == 0 or len(spread) != len(x) else spread[known]
    width = positive(spread, "standard deviations", int(known.sum()))
    z = (y[known] - x[known]) / width
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    each = width * (z * (2 * scipy("special").ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
    value = float(each.mean()) if len(each) else math.nan
    return figure(value, len(each), int((~known).sum()), None, "no item is scored")


def _least_crps(v: Float, y: Float) -> Float:
    """Return the least CRPS of any distribution on the levels, shape (N,).

    Below and above the two levels around the opinion F can be right. Between them it is one number f and costs
    a·f² + b·(1 − f)², least a·b / (a + b), with the distances a and b of the opinion from the two.
    """
    outside: Float = np.maximum(0, np.maximum(v[0] - y, y - v[-1]))
    k = np.clip(np.searchsorted(v, y, "right") - 1, 0, max(0, len(v) - 2))
    if len(v) < 2:
        return outside
    a, b = np.clip(y - v[k], 0, None), np.clip(v[k + 1] - y, 0, None)
    return np.asarray(np.where(outside > 0, outside, a * b / (a + b)))


def _distributions(rows: ArrayLike, what: str, *, nan: bool = True) -> tuple[Float, Bool]:
    found = numbers(rows, what, "shape (N, L)")
    if found.ndim != 2 or not found.shape[1]:
        raise DataError(f"{what} have shape {found.shape}", expected="(N, L) with L at least 1")
    known: Bool = np.ones(len(found), dtype=bool)
    if nan:
        known = np.asarray(~np.isnan(found).all(axis=1))
    with np.errstate(invalid="ignore"):
        good = (found >= 0).all(axis=1) & (np.abs(found.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    bad = np.flatnonzero(known & ~good)
    if len(bad):
        raise DataError(f"row {bad[0]} of the {what} is {found[bad[0]].tolist()}", expected="at least 0, sum 1")
    return found, known


def _both(predicted: ArrayLike, opinions: ArrayLike) -> tuple[Float, Float, Bool]:
    p, known = _distributions(predicted, "predictions")
    q, _ = _distributions(opinions, "opinions", nan=False)
    if p.shape != q.shape:
        raise DataError(f"predictions have shape {p.shape}, opinions {q.shape}")
    return p, q, known


def _values(values: ArrayLike, p: Float) -> Float:
    v = vector(values, "values of the levels")
    if len(v) != p.shape[1] or not (np.diff(v) > 0).all():
        raise DataError(f"values {v.tolist()} of {p.shape[1]} levels", expected="one per level, ascending")
    return v


def _mean(each: Float, worst: Float, best: Float, known: Bool) -> Figure:
    n, total = int(known.sum()), len(known)
    if not total:
        return figure(math.nan, 0, 0, None, "no item is scored")
    fixed = float(each[known].sum())
    edges = ((fixed + float(worst[~known].sum())) / total, (fixed + float(best[~known].sum())) / total)
    return figure(fixed / n if n else math.nan, n, total - n, edges, "no item is scored")
