"""Which pairs to ask about next: the most informative ones, as a spanning tree.

The rule is that of Hybrid-MST (Li et al., NeurIPS 2018): the gain of a pair is the mutual information between its
outcome and the difference of its two scores under the current posterior (Laplace), and one round asks about the
maximum spanning tree of the gains, N − 1 pairs, so that every item takes part and a batch of questions is not
spent on one item. Two differences: the link is Thurstone's normal one, as in :mod:`mllmqa.ranking`, and pairs that
were asked are left out, since a model gives the same answer again.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

_NODES = 24
_REACH = 9.0  # beyond it the normal distribution function is 0 or 1 in all that follows
_STEPS = 4001


def information_gain(mean: Float, variance: Float) -> Float:
    """Return the mutual information between a preference and the difference d of two scores that it depends on.

    The preference is for the first with probability Φ(d), and d is normal: H(E[Φ(d)]) − E[H(Φ(d))], with H the
    entropy of a yes or no. The first term is exact, the second by Gauss–Hermite quadrature.

    Args:
        mean: Of d, any shape.
        variance: Of d, ≥ 0, same shape.

    Returns:
        In nats, ≥ 0, same shape.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    deviation = np.sqrt(variance)
    within = np.zeros(np.shape(mean))
    for node, weight in zip(nodes, weights, strict=True):
        within += weight * _entropy_at(mean + deviation * node)
    return np.maximum(0.0, _entropy_at(mean / np.sqrt(1 + variance)) - within)


def next_pairs(mean: Float, covariance: Float, open_pairs: Mask, most: int) -> list[tuple[int, int]]:
    """Return the pairs of the next round, the most informative first.

    Args:
        mean: Scores, shape (N,).
        covariance: Of the scores, shape (N, N).
        open_pairs: Shape (N, N), the upper triangle counts: pairs that may be asked about.
        most: Pairs at most.

    Returns:
        (i, j) with i < j: the maximum spanning forest of the open pairs. Between equal gains, pairs that are near
        in the list come first, so that a first round without any knowledge is a chain.
    """
    first, second = np.nonzero(np.triu(open_pairs, 1))
    spread = np.diagonal(covariance)
    variance = np.maximum(0.0, spread[first] + spread[second] - 2 * covariance[first, second])
    gain = np.round(information_gain(mean[first] - mean[second], variance), 12)
    tree = list(range(len(mean)))

    def root(item: int) -> int:
        while tree[item] != item:
            tree[item] = tree[tree[item]]
            item = tree[item]
        return item

    chosen: list[tuple[int, int]] = []
    for k in np.lexsort((first, second - first, -gain)):
        i, j = int(first[k]), int(second[k])
        if len(chosen) == most:
            break
        if root(i) != root(j):
            tree[root(i)] = root(j)
            chosen.append((i, j))
    return chosen


def usual_budget(n: int) -> int:
    """Return how many pairs are asked about where nobody says: N · ⌈log₂ N⌉, as sorting takes, or all of them."""
    return min(n * (n - 1) // 2, n * math.ceil(math.log2(n))) if n > 1 else 0


@cache
def _table() -> tuple[Float, Float]:
    """Return a grid of d and the entropy of a yes or no of probability Φ(d) there."""
    grid = np.linspace(-_REACH, _REACH, _STEPS)
    p = np.array([0.5 * math.erfc(-d / math.sqrt(2)) for d in grid])
    q = p[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0.0) - np.where(q > 0, q * np.log(q), 0.0)
    return grid, entropy


def _entropy_at(d: Float) -> Float:
    grid, entropy = _table()
    found: Float = np.interp(d, grid, entropy, left=0.0, right=0.0)
    return found
