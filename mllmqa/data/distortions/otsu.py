"""Multi-level Otsu thresholds, exact, by dynamic programming over the 256-bin histogram.

Otsu's criterion for k classes is the largest between-class variance: the sum over classes of S²/P, with P the
number of pixels in a class and S the sum of their levels. It is additive over classes, so the best split of
levels 0..j into c classes follows from the best splits into c − 1 (Liao, Chen, Chung 2001). O(k·256²).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def between_class(counts: Counts) -> npt.NDArray[np.float64]:
    """(n, n): entry (i, j) is S²/P of the class of levels i..j; 0 where it is empty, −inf where i > j."""
    size = len(counts)
    number = np.concatenate([[0], np.cumsum(counts)])
    total = np.concatenate([[0], np.cumsum(counts * np.arange(size))])
    pixels = (number[None, 1:] - number[:-1, None]).astype(np.float64)
    levels = (total[None, 1:] - total[:-1, None]).astype(np.float64)
    gain = np.divide(levels**2, pixels, out=np.zeros((size, size)), where=pixels > 0)
    return np.where(np.tri(size, k=-1, dtype=bool), -np.inf, gain)


def thresholds(counts: Counts, classes: int) -> list[int]:
    """The best thresholds: a level v belongs to class `sum(v > t for t in thresholds)`.

    Args:
        counts: (n,) pixels per level.
        classes: 2 or more; where fewer levels occur, every one of them gets a class of its own.

    Returns:
        At most classes − 1 levels, ascending: each is the last level of its class. Of equally good splits, the
        one whose last thresholds are lowest.
    """
    used = np.flatnonzero(counts)
    if len(used) <= classes:
        return [int(level) for level in used[:-1]]
    gain = between_class(counts)[np.ix_(used, used)]
    best, splits = gain[0], []
    for _ in range(classes - 1):
        # best[i] ends the earlier classes at level i; the next class is i + 1 .. j.
        candidates = best[:-1, None] + gain[1:, :]
        choice = np.argmax(candidates, axis=0)
        splits.append(choice)
        best = candidates[choice, np.arange(len(used))]
    found, end = [], len(used) - 1
    for choice in reversed(splits):
        end = int(choice[end])
        found.append(int(used[end]))
    return found[::-1]
