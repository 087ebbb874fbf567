"""Two models on the same items: both figures, their difference with intervals, and the tests for it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.stats._checks import judged, scipy, vector
from mllmqa.evaluation.stats.correlation import plcc, srcc
from mllmqa.evaluation.stats.rank_difference import rank_difference
from mllmqa.evaluation.stats.resampling import Resampled, bootstrap
from mllmqa.evaluation.stats.significance import Test, meng_rosenthal_rubin, steiger, williams


@dataclass(frozen=True)
class Comparison:
    """Two models compared on the items that both scored.

    Attributes:
        statistic: ``srcc`` or ``plcc``.
        a: Correlation of the first with the opinions.
        b: Correlation of the second.
        ab: Correlation of the two.
        difference: a − b with its paired bootstrap interval.
        tests: The first is the one to go by: the rank jackknife for SRCC, Williams for PLCC. For SRCC, Williams
            comes next, as papers give it; then Meng–Rosenthal–Rubin and Steiger.
        n: Items scored by both.
        n_only_a: Items that only the first scored: they are not compared.
        n_only_b: Items that only the second scored.
        n_neither: Items that none scored.
    """

    statistic: Literal["srcc", "plcc"]
    a: float
    b: float
    ab: float
    difference: Resampled
    tests: tuple[Test, ...]
    n: int
    n_only_a: int
    n_only_b: int
    n_neither: int


def compare(
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    mos: ArrayLike,
    statistic: Literal["srcc", "plcc"] = "srcc",
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two models.

    Args:
        scores_a: Shape (N,), NaN where unscored.
        scores_b: Shape (N,), NaN where unscored.
        mos: Opinions, shape (N,), finite.
        statistic: ``srcc`` or ``plcc``.
        groups: Reference of each item, to resample references; the tests in closed form know nothing of them.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: Different lengths, infinite scores, opinions that are not finite.
        UsageError: Another statistic.
    """
    if statistic not in ("srcc", "plcc"):
        raise UsageError(f"unknown statistic {statistic!r}", expected="srcc | plcc")
    a, y, has_a = judged(scores_a, mos)
    b, _, has_b = judged(scores_b, mos)
    both = has_a & has_b
    of = srcc if statistic == "srcc" else plcc
    r = of(a[both], y[both]), of(b[both], y[both]), of(a[both], b[both])
    found = bootstrap([a, b], y, groups=groups, resamples=resamples, seed=seed)
    difference = (found.srcc_difference if statistic == "srcc" else found.plcc_difference)[0]
    n, *lost = (int(one.sum()) for one in (both, has_a & ~has_b, has_b & ~has_a, ~has_a & ~has_b))
    own = (rank_difference(a[both], b[both], y[both]),) if statistic == "srcc" else ()
    tests = own + tuple(test(*r, n) for test in (williams, meng_rosenthal_rubin, steiger))
    return Comparison(statistic, *r, difference, tests, n, *lost)


@dataclass(frozen=True)
class Splits:
    """One figure over several train/test splits.

    Attributes:
        mean: Over the splits that have the figure; NaN without any.
        median: Likewise.
        std: Standard deviation, ddof 1; NaN for fewer than two.
        n: Splits with the figure.
        n_without: Splits without it (NaN).
    """

    mean: float
    median: float
    std: float
    n: int
    n_without: int


def over_splits(figures: ArrayLike) -> Splits:
    """Summarise figures of several splits, shape (S,), NaN where a split has none.

    Raises:
        DataError: Not one-dimensional, or infinite.
    """
    values = vector(figures, "figures", nan=True)
    usable = values[~np.isnan(values)]
    if not len(usable):
        return Splits(np.nan, np.nan, np.nan, 0, len(values))
    std = float(usable.std(ddof=1)) if len(usable) > 1 else np.nan
    return Splits(float(usable.mean()), float(np.median(usable)), std, len(usable), len(values) - len(usable))


def paired_splits(figures_a: ArrayLike, figures_b: ArrayLike) -> tuple[Test, Test]:
    """Return the Wilcoxon signed-rank test (exact for few splits without ties) and the paired t-test over splits.

    Splits of one data set overlap, so they are not independent: the p-values describe, they do not prove.

    Args:
        figures_a: Shape (S,), finite, S at least 2.
        figures_b: Shape (S,), the same splits.

    Raises:
        DataError: Different lengths, fewer than two, or not finite.
    """
    a, b = vector(figures_a, "figures"), vector(figures_b, "figures")
    if len(a) != len(b) or len(a) < 2:
        raise DataError(f"{len(a)} and {len(b)} splits", expected="the same number, at least 2")
    if float(np.ptp(a - b)) <= 1e-15 * float(np.abs(a).max(initial=0.0)):
        reason = "all differences are equal"
        return Test("Wilcoxon", np.nan, np.nan, None, reason), Test("paired t", np.nan, np.nan, None, reason)
    stats = scipy("stats")
    rank, t = stats.wilcoxon(a, b), stats.ttest_rel(a, b)
    first = Test("Wilcoxon", float(rank.statistic), float(rank.pvalue))
    return first, Test("paired t", float(t.statistic), float(t.pvalue), len(a) - 1)
