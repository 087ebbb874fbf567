"""Which items of a ranking can be told apart, and the groups of those that cannot.

Two items are told apart if their z is significant, two-sided, among all pairs of the ranking by Holm's step-down
procedure (Scand. J. Statist. 6, 1979): the chance of telling apart any two that are equal is at most alpha.

* By comparison words, z = |s_i − s_j| / SE(s_i − s_j), with the MAP scores and their Laplace covariance. The test
  is an approximation, and with few comparisons per item a careful one: the prior draws scores together.
* By scores, z = |m_i − m_j| / √(s_i² + s_j²), with means and deviations of the distributions over the level words:
  whether one opinion on i differs from one on j. There is no number of judgements that a smaller error could follow
  from.

Groups are the longest runs of the ranked list in which no two are told apart (the compact letter display of Piepho,
J. Comput. Graph. Statist. 13, 2004, restricted to neighbours in the list). An item can be in several.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import UsageError
from mllmqa.ranking import Ranking
from mllmqa.schema import Distribution

ALPHA = 0.05
Float = NDArray[np.float64]


def z_of_ranking(ranking: Ranking) -> Float:
    """Return z of all pairs, shape (N, N), ≥ 0, from MAP scores and their covariance."""
    c, s = ranking.covariance, ranking.scores
    spread = np.diagonal(c)
    return _ratio(np.abs(s[:, None] - s), np.maximum(0.0, spread[:, None] + spread - 2 * c))


def z_of_scores(scores: Sequence[Distribution]) -> Float:
    """Return z of all pairs, shape (N, N), ≥ 0, from the distributions of their scores."""
    mean = np.array([score.value for score in scores], dtype=np.float64)
    variance = np.array([score.std for score in scores], dtype=np.float64) ** 2
    return _ratio(np.abs(mean[:, None] - mean), variance[:, None] + variance)


def _ratio(gap: Float, variance: Float) -> Float:
    """Divide; without any spread a gap of 0 is no difference, and every other one is."""
    certain = np.where(gap > 0, np.inf, 0.0)
    found: Float = np.where(variance > 0, gap / np.sqrt(np.where(variance > 0, variance, 1.0)), certain)
    return found


def told_apart(z: Float, alpha: float = ALPHA) -> NDArray[np.bool_]:
    """Return which pairs are told apart: bool, shape (N, N), symmetric, False on the diagonal.

    Args:
        z: Shape (N, N), symmetric.
        alpha: Of the whole family of pairs.

    Raises:
        UsageError: alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha {alpha}", expected="between 0 and 1")
    i, j = np.triu_indices(len(z), 1)
    p = np.array([math.erfc(x / math.sqrt(2)) for x in z[i, j]])
    order = np.argsort(p, kind="stable")
    passed = p[order] <= alpha / np.arange(len(p), 0, -1)
    rejected = order[: len(p) if passed.all() else int(np.argmin(passed))]
    apart = np.zeros(z.shape, dtype=bool)
    apart[i[rejected], j[rejected]] = True
    return apart | apart.T


def groups(apart: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Return the groups of each item, numbered from 1 at the top of the list.

    Args:
        apart: Shape (N, N), from :func:`told_apart`, items in ranked order, best first.
    """
    n = len(apart)
    found: list[list[int]] = [[] for _ in range(n)]
    end = number = 0
    for start in range(n):
        stop = start + 1
        while stop < n and not apart[start:stop, stop].any():
            stop += 1
        if stop > end:  # else the run lies inside the one before
            number, end = number + 1, stop
            for item in found[start:stop]:
                item.append(number)
    return [tuple(item) for item in found]
