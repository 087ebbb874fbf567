"""Accuracy on pairs: how often the better item gets the higher score, against how different the two are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import UsageError
from mllmqa.evaluation.stats._checks import Float, judged
from mllmqa.evaluation.stats.figure import Figure, figure


@dataclass(frozen=True)
class PairBin:
    """Pairs whose opinions differ by ``low`` or more, and by less than ``high``; equal opinions are in no bin.

    Attributes:
        low: Least difference of the opinions.
        high: Difference from which the next bin starts; may be infinite.
        accuracy: Share of pairs in the right order, equal scores counting one half. ``n`` and ``n_unscored`` count
            pairs; unscored is a pair with an unscored item, which the bounds count as wrong and as right.
        ties: Share of the scored pairs with equal scores.
    """

    low: float
    high: float
    accuracy: Figure
    ties: float


@dataclass(frozen=True)
class PairAccuracy:
    """Accuracy over all pairs, and by difference of the opinions."""

    all: PairBin
    bins: tuple[PairBin, ...]


def pair_accuracy(scores: ArrayLike, mos: ArrayLike, edges: Sequence[float] | None = None) -> PairAccuracy:
    """Return the accuracy over all pairs of items with different opinions.

    Args:
        scores: Shape (N,), NaN where unscored.
        mos: Opinions, shape (N,), finite.
        edges: Ascending positive differences |ΔMOS| between the bins; None: a quarter and one standard deviation
            of the opinions. E edges make E + 1 bins.

    Raises:
        DataError: Different lengths, an infinite score, an opinion that is not finite.
        UsageError: The edges do not ascend from above 0.
    """
    x, y, _ = judged(scores, mos)
    if edges is None:
        spread = float(y.std()) if len(y) else 0.0
        edges = (0.25 * spread, spread) if spread > 0 else ()
    inner = np.asarray(edges, dtype=np.float64)
    if not (np.isfinite(inner).all() and (np.diff(inner, prepend=0.0) > 0).all()):
        raise UsageError(f"edges {list(edges)}", expected="positive numbers that ascend")
    bins = len(inner) + 1
    hits, tied, total, lost = (np.zeros(bins) for _ in range(4))
    for i in range(len(x) - 1):
        differs = y[i + 1 :] != y[i]
        gap = (y[i + 1 :] - y[i])[differs]
        step = np.sign(x[i + 1 :] - x[i])[differs] * np.sign(gap)
        place = np.searchsorted(inner, np.abs(gap), "right")
        seen = ~np.isnan(step)
        total += np.bincount(place[seen], minlength=bins)
        lost += np.bincount(place[~seen], minlength=bins)
        hits += np.bincount(place[seen], (step[seen] + 1) / 2, minlength=bins)
        tied += np.bincount(place[seen], step[seen] == 0, minlength=bins)
    limits = [0.0, *inner.tolist(), math.inf]
    every = _bin(0.0, math.inf, hits.sum(), tied.sum(), total.sum(), lost.sum())
    parts = [_bin(limits[k], limits[k + 1], hits[k], tied[k], total[k], lost[k]) for k in range(bins)]
    return PairAccuracy(every, tuple(parts))


def _bin(low: float, high: float, hits: Float, tied: Float, total: Float, lost: Float) -> PairBin:
    n, missing = int(total), int(lost)
    value = float(hits / n) if n else math.nan
    edges = (float(hits) / (n + missing), (float(hits) + missing) / (n + missing)) if missing else None
    reason = "no pair of scored items with different opinions"
    return PairBin(low, high, figure(value, n, missing, edges, reason), float(tied / n) if n else math.nan)
