"""Correlation of scores with mean opinion scores; failures are counted, never averaged away."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mllmqa.errors import DataError, MissingExtraError
from mllmqa.schema import Score, Unscored


@dataclass(frozen=True)
class Agreement:
    """Agreement of scores with MOS.

    Attributes:
        srcc: Spearman rank correlation, -1..1; NaN if a side is constant or n < 3.
        plcc: Pearson correlation of the raw scores (no fitted curve), -1..1; NaN likewise.
        n: Inputs that were scored and have a MOS.
        n_unscored: Inputs with a MOS that were not scored.
    """

    srcc: float
    plcc: float
    n: int
    n_unscored: int

    def __str__(self) -> str:
        return f"SRCC {self.srcc:.4f}  PLCC {self.plcc:.4f}  n {self.n}  n_unscored {self.n_unscored}"


def agreement(results: Iterable[Score | Unscored], mos: Mapping[str, float]) -> Agreement:
    """Correlate scores with MOS, matched by source.

    Args:
        results: One per input; those whose source has no MOS are left out.
        mos: Source → mean opinion score, higher is better.

    Raises:
        DataError: A source has two results, or an input with a MOS has none.
    """
    found: dict[str, float | None] = {}
    for result in results:
        if result.source not in mos:
            continue
        if result.source in found:
            raise DataError("has two results", where=result.source)
        found[result.source] = result.value if isinstance(result, Score) else None
    missing = [source for source in mos if source not in found]
    if missing:
        raise DataError(f"{len(missing)} inputs have no result, the first is {missing[0]!r}")
    pairs = [(value, mos[source]) for source, value in found.items() if value is not None]
    x, y = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return Agreement(srcc(x, y), plcc(x, y), n=len(pairs), n_unscored=len(found) - len(pairs))


def srcc(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rank correlation (mid-ranks for ties) of two float arrays of shape (N,)."""
    return plcc(_ranks(x), _ranks(y))


def plcc(x: np.ndarray, y: np.ndarray) -> float:
    """Return Pearson's correlation of two float arrays of shape (N,); NaN for a constant side or N < 3."""
    if len(x) != len(y):
        raise DataError(f"{len(x)} scores for {len(y)} opinions")
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(_scipy_stats().pearsonr(x, y).statistic)


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.asarray(_scipy_stats().rankdata(values), dtype=np.float64)


def _scipy_stats() -> Any:
    try:
        from scipy import stats
    except ImportError as error:
        raise MissingExtraError("scipy", extra="eval", purpose="correlation") from error
    return stats
