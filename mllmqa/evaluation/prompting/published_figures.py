"""SRCC and PLCC as Wu et al. (ECCV 2024) computed them, for the protocol ``wu2024`` only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import DataError
from mllmqa.evaluation.prompting.bench import Bench
from mllmqa.evaluation.stats import plcc, srcc, wu2024_curve


def figures(bench: Bench, scores: NDArray[np.float64]) -> dict[str, Any]:
    """Return ``srcc`` and ``plcc`` after the published curve, over the scored pictures; null where there is none.

    Opinions are min-max scaled to 0..100 over all pictures. With references both are means over the references,
    and a reference without a correlation counts as 0, as published. The published code would have put random
    numbers in the place of missing scores; here ``n`` says how many there are.

    Args:
        bench: For opinions and references.
        scores: Shape (N,), NaN where unscored.
    """
    opinions = bench.items.opinions
    spread = float(np.ptp(opinions))
    mos = 100 * (opinions - opinions.min()) / spread if spread else opinions
    known = ~np.isnan(scores)
    groups = bench.items.groups
    found = [_pair(scores, mos, [i for i in members if known[i]]) for members in groups]
    if not bench.items.reference:
        values = found[0]
    else:
        values = tuple(float(np.mean([0.0 if math.isnan(pair[k]) else pair[k] for pair in found])) for k in (0, 1))  # type: ignore[assignment]
    rank, linear = (None if math.isnan(value) else value for value in values)
    return {"srcc": rank, "plcc": linear, "n": int(known.sum())}


def _pair(scores: NDArray[np.float64], mos: NDArray[np.float64], members: list[int]) -> tuple[float, float]:
    x, y = scores[members], mos[members]
    try:
        fitted = wu2024_curve(x, y)
    except DataError:  # too few, or no convergence, where the published code stops
        return math.nan, math.nan
    return srcc(fitted, y), plcc(fitted, y)
