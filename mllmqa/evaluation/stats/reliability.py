"""Does a model give the same answer twice? Intraclass correlations of repeated runs (Shrout & Fleiss, 1979)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError
from mllmqa.evaluation.stats._checks import numbers
from mllmqa.evaluation.stats.figure import Figure, figure


@dataclass(frozen=True)
class Retest:
    """Agreement of repeated runs over the items that all runs scored.

    The figures have no bounds: an unscored answer could be anything.

    Attributes:
        icc_agreement: ICC(2,1): absolute agreement; a shift between runs counts as error.
        icc_consistency: ICC(3,1): agreement but for such a shift.
        mean_absolute_change: Mean of |difference| over all pairs of runs, in units of the scores.
        changed: Share of items whose answer is not the same in all runs.
    """

    icc_agreement: Figure
    icc_consistency: Figure
    mean_absolute_change: Figure
    changed: Figure


def retest(runs: ArrayLike) -> Retest:
    """Compare repeated runs of one model.

    Args:
        runs: Shape (N, R) with R ≥ 2 runs over N items; NaN where a run gave no score. Items with a NaN are left
            out and counted.

    Raises:
        DataError: Another shape, or an infinite score.
    """
    table = numbers(runs, "runs", "shape (N, R)")
    if table.ndim != 2 or table.shape[1] < 2 or np.isinf(table).any():
        raise DataError(f"runs of shape {table.shape}", expected="(N, R), at least 2 runs, no infinite score")
    known = ~np.isnan(table).any(axis=1)
    x = table[known]
    n, k, lost = len(x), x.shape[1], int((~known).sum())
    reason = f"{n} items scored by all runs are too few, 2 are needed" if n < 2 else "all scores are equal"
    agreement = consistency = math.nan
    if n >= 2 and float(np.ptp(x)) > 0:
        by_item, by_run, mean = x.mean(axis=1), x.mean(axis=0), x.mean()
        items = k * float(((by_item - mean) ** 2).sum()) / (n - 1)
        shift = n * float(((by_run - mean) ** 2).sum()) / (k - 1)
        rest = x - by_item[:, None] - by_run[None, :] + mean
        error = float((rest**2).sum()) / ((n - 1) * (k - 1))
        agreement = _ratio(items - error, items + (k - 1) * error + k * (shift - error) / n)
        consistency = _ratio(items - error, items + (k - 1) * error)
    i, j = np.triu_indices(k, 1)
    change = float(np.abs(x[:, i] - x[:, j]).mean()) if n else math.nan
    moved = float((np.ptp(x, axis=1) > 0).mean()) if n else math.nan
    none = "no item is scored by all runs"
    return Retest(
        figure(agreement, n, lost, None, reason),
        figure(consistency, n, lost, None, reason),
        figure(change, n, lost, None, none),
        figure(moved, n, lost, None, none),
    )


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan
