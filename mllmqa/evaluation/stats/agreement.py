"""Correlation of records with mean opinion scores; failures are counted, never averaged away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mllmqa.evaluation.stats.correlation import correlate
from mllmqa.evaluation.stats.figure import aligned
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
