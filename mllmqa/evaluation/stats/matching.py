"""Scores and opinions matched by name; what has no score is counted, never averaged away."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mllmqa.errors import DataError
from mllmqa.evaluation.stats._checks import Float
from mllmqa.evaluation.stats.correlation import correlate
from mllmqa.schema import Score, Unscored


@dataclass(frozen=True)
class Agreement:
    """Agreement of scores with MOS.

    Attributes:
        srcc: Spearman rank correlation, -1..1; NaN if a side is constant or n < 3.
        plcc: Pearson correlation of the raw scores (no fitted curve), -1..1; NaN likewise.
        n: Inputs that were scored and have a MOS.
        n_unscored: Inputs with a MOS that were not scored.
        srcc_bounds: Worst and best SRCC of all inputs, whatever the unscored ones had got.
    """

    srcc: float
    plcc: float
    n: int
    n_unscored: int
    srcc_bounds: tuple[float, float]

    def __str__(self) -> str:
        return f"SRCC {self.srcc:.4f}  PLCC {self.plcc:.4f}  n {self.n}  n_unscored {self.n_unscored}"


def agreement(results: Iterable[Score | Unscored], mos: Mapping[str, float]) -> Agreement:
    """Correlate scores with MOS, matched by source.

    Args:
        results: One per input; those whose source has no MOS are left out.
        mos: Source → mean opinion score, higher is better.

    Raises:
        DataError: A source has two results, an input with a MOS has none, or a number is not finite.
    """
    values = ((one.source, one.value if isinstance(one, Score) else None) for one in results)
    _, x, y = aligned(values, mos)
    found = correlate(x, y)
    edges = (found.srcc.worst, found.srcc.best)
    return Agreement(found.srcc.value, found.plcc.value, found.srcc.n, found.srcc.n_unscored, edges)


def aligned(
    scores: Iterable[tuple[str, float | None]], opinions: Mapping[str, float]
) -> tuple[list[str], Float, Float]:
    """Match scores with opinions by name.

    Args:
        scores: Name and score; None or NaN where there is no score. Names without an opinion are left out.
        opinions: Name → opinion.

    Returns:
        Names in the order of ``opinions``; scores (N,) float64, NaN where unscored; opinions (N,) float64.

    Raises:
        DataError: A name has two results, or one with an opinion has none.
    """
    found: dict[str, float] = {}
    for name, value in scores:
        if name not in opinions:
            continue
        if name in found:
            raise DataError("has two results", where=name)
        found[name] = math.nan if value is None else float(value)
    missing = [name for name in opinions if name not in found]
    if missing:
        raise DataError(f"{len(missing)} inputs have no result, the first is {missing[0]!r}")
    names = list(opinions)
    x = np.array([found[name] for name in names], dtype=np.float64)
    return names, x, np.array([opinions[name] for name in names], dtype=np.float64)
