"""Which items of a ranking can be told apart, and the groups of those that cannot.

Two items are told apart if z = |s_i − s_j| / SE(s_i − s_j) is significant, two-sided, among all pairs of the
ranking by Holm's step-down procedure (Scand. J. Statist. 6, 1979): the chance of telling apart any two that are
equal is at most alpha. Scores and errors are the MAP estimate and its Laplace covariance, so the test is an
approximation, and with few comparisons per item a careful one: the prior draws scores together.

Groups are the longest runs of the ranked list in which no two are told apart (the compact letter display of Piepho,
J. Comput. Graph. Statist. 13, 2004, restricted to neighbours in the list). An item can be in several.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import UsageError
from mllmqa.ranking import Ranking

ALPHA = 0.05


def told_apart(ranking: Ranking, alpha: float = ALPHA) -> NDArray[np.bool_]:
    """Return which pairs are told apart: bool, shape (N, N), symmetric, False on the diagonal.

    Raises:
        UsageError: alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha {alpha}", expected="between 0 and 1")
    n, c = len(ranking.scores), ranking.covariance
    i, j = np.triu_indices(n, 1)
    apart = np.zeros((n, n), dtype=bool)
    if not len(i):
        return apart
    spread = np.sqrt(np.maximum(0.0, c[i, i] + c[j, j] - 2 * c[i, j]))
    z = np.abs(ranking.scores[i] - ranking.scores[j]) / np.where(spread > 0, spread, 1.0)
    p = np.array([math.erfc(x / math.sqrt(2)) for x in z])
    order = np.argsort(p, kind="stable")
    passed = p[order] <= alpha / np.arange(len(p), 0, -1)
    rejected = order[: len(p) if passed.all() else int(np.argmin(passed))]
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
