"""Figures inside groups: per reference, per level, per band of the opinions.

An overall SRCC can hide that a model only tells apart what anyone would: with L levels ordered perfectly and a
random order inside each, SRCC tends to 1 − 1/L², 0.96 for five levels (fine-grained IQA: Zhang, Lin & Huang, IEEE
TCSVT 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.stats import bounds
from mllmqa.evaluation.stats._checks import Float, judged
from mllmqa.evaluation.stats.correlation import krcc, missing_reason, plcc, srcc
from mllmqa.evaluation.stats.figure import Figure, figure
from mllmqa.evaluation.stats.intervals import Interval, bonett_wright

Statistic = Literal["srcc", "krcc", "plcc"]
Bins = Literal["equal-width", "equal-frequency"]
_OF: dict[str, tuple[Callable[[ArrayLike, ArrayLike], float], Callable[[ArrayLike, ArrayLike], bounds.Bounds]]] = {
    "srcc": (srcc, bounds.srcc_bounds),
    "krcc": (krcc, bounds.krcc_bounds),
    "plcc": (plcc, bounds.plcc_bounds),
}


@dataclass(frozen=True)
class Group:
    """One group.

    Attributes:
        name: Of the reference or level, or the band as ``low..high``.
        low: Least opinion in the group; for bands of equal width, the lower edge.
        high: Greatest opinion, or the upper edge.
        figure: Correlation inside the group.
        interval: Bonett–Wright, 95 %; for SRCC only, else None.
    """

    name: str
    low: float
    high: float
    figure: Figure
    interval: Interval | None


@dataclass(frozen=True)
class Grouped:
    """Correlation inside groups, and its mean.

    Attributes:
        statistic: Which correlation.
        mean: Unweighted mean over the groups that have one; ``n`` and ``n_unscored`` count items. The bounds are
            the means of the groups' bounds, over the groups that have them.
        groups: In the order in which they first occur, bands from low to high.
        n_groups: Groups with a correlation.
        n_groups_without: Groups without one (too few items, a constant side). They are not counted as 0.
    """

    statistic: Statistic
    mean: Figure
    groups: tuple[Group, ...]
    n_groups: int
    n_groups_without: int


def per_group(
    scores: ArrayLike, mos: ArrayLike, groups: Sequence[Hashable], statistic: Statistic = "srcc"
) -> Grouped:
    """Correlate inside each group: per reference image, or per level word.

    Args:
        scores: Shape (N,), NaN where unscored.
        mos: Opinions, shape (N,), finite.
        groups: Name of each item's group, N of them.
        statistic: ``srcc``, ``krcc`` or ``plcc``.

    Raises:
        DataError: Different lengths, an infinite score, an opinion that is not finite.
        UsageError: Another statistic.
    """
    x, y, _ = judged(scores, mos)
    if len(groups) != len(x):
        raise DataError(f"{len(groups)} group names for {len(x)} scores")
    members: dict[Hashable, list[int]] = {}
    for i, name in enumerate(groups):
        members.setdefault(name, []).append(i)
    made = [_group(str(name), x[i], y[i], statistic) for name, i in members.items()]
    return _averaged(statistic, made, x)


def mos_bands(
    scores: ArrayLike, mos: ArrayLike, bins: int = 5, kind: Bins = "equal-frequency", statistic: Statistic = "srcc"
) -> Grouped:
    """Correlate inside bands of the opinions. Unscored items count in the band of their opinion.

    Bands of equal width and of equal frequency disagree strongly (few items at the ends, or narrow bands in the
    middle): read n and the interval of each.

    Args:
        scores: Shape (N,), NaN where unscored.
        mos: Opinions, shape (N,), finite.
        bins: Number of bands, at least 1.
        kind: ``equal-width`` (the upper edge belongs to the next band, but for the last) or ``equal-frequency``
            (in the order of the opinions, ties by their place; sizes differ by at most one).
        statistic: As for :func:`per_group`.

    Raises:
        DataError: As :func:`per_group`, or no item.
        UsageError: No band, or an unknown kind or statistic.
    """
    if bins < 1 or kind not in ("equal-width", "equal-frequency"):
        raise UsageError(f"{bins} bands of kind {kind!r}", expected="1 or more, equal-width or equal-frequency")
    x, y, _ = judged(scores, mos)
    if not len(y):
        raise DataError("no item to put into bands")
    made = []
    if kind == "equal-frequency":
        for i in np.array_split(np.argsort(y, kind="stable"), bins):
            made.append(_group(None, x[i], y[i], statistic))
    else:
        edges = np.linspace(y.min(), y.max(), bins + 1)
        band = np.clip(np.searchsorted(edges, y, "right") - 1, 0, bins - 1)
        for k in range(bins):
            inside = band == k
            made.append(_group(None, x[inside], y[inside], statistic, (float(edges[k]), float(edges[k + 1]))))
    return _averaged(statistic, made, x)


def _group(
    name: str | None, x: Float, y: Float, statistic: Statistic, edges: tuple[float, float] | None = None
) -> Group:
    if statistic not in _OF:
        raise UsageError(f"unknown statistic {statistic!r}", expected=" | ".join(_OF))
    of, bounds_of = _OF[statistic]
    known = ~np.isnan(x)
    a, b = x[known], y[known]
    found = figure(of(a, b), len(a), len(x) - len(a), bounds_of(x, y), missing_reason(a, b))
    low, high = edges or ((float(y.min()), float(y.max())) if len(y) else (math.nan, math.nan))
    interval = bonett_wright(found.value, len(a)) if statistic == "srcc" else None
    return Group(f"{low:g}..{high:g}" if name is None else name, low, high, found, interval)


def _averaged(statistic: Statistic, groups: list[Group], x: Float) -> Grouped:
    values = [group.figure.value for group in groups if not math.isnan(group.figure.value)]
    lost = int(np.isnan(x).sum())
    edges = [(one.figure.worst, one.figure.best) for one in groups if not math.isnan(one.figure.worst)]
    mean = figure(
        float(np.mean(values)) if values else math.nan,
        len(x) - lost,
        lost,
        (float(np.mean([low for low, _ in edges])), float(np.mean([high for _, high in edges]))) if edges else None,
        f"none of {len(groups)} groups has a correlation",
    )
    return Grouped(statistic, mean, tuple(groups), len(values), len(groups) - len(values))
