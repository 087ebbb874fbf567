"""What labels allow to say about a pair: a pair whose truth is not known gives no question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mllmqa import prompts
from mllmqa.errors import DataError

Side = Literal["A", "B"]


@dataclass(frozen=True)
class Finding:
    """One distortion of one picture or video, as its label says.

    Attributes:
        category: Of the distortion engine, e.g. ``blur``.
        severity: 1 (slight) … 5 (catastrophic).
        box: Left, top, right, bottom as shares of width and height, 0..1; None: everywhere.
        span_s: From and to, in seconds; None: throughout.
    """

    category: str
    severity: float
    box: tuple[float, float, float, float] | None = None
    span_s: tuple[float, float] | None = None


def better_by_severity(a: Sequence[Finding], b: Sequence[Finding], least: float = 1.0) -> Side | None:
    """Return which side is better by its distortions, where they can be compared.

    Severities are comparable inside a category only (DepictQA: severity order is never truth across
    categories): both sides have the same single category, or one is clean.

    Args:
        a: Distortions of A.
        b: Distortions of B.
        least: Difference of severities from which on it counts.

    Returns:
        None where nothing is known.
    """
    if bool(a) != bool(b):
        return "B" if a else "A"
    if len(a) != 1 or len(b) != 1 or a[0].category != b[0].category:
        return None
    gap = a[0].severity - b[0].severity
    if abs(gap) < least:
        return None
    return "B" if gap > 0 else "A"


def better_by_mos(mos: tuple[float, float], std: tuple[float, float] | None, sigmas: float = 1.0) -> Side | None:
    """Return which side people prefer, where the gap exceeds its spread.

    Args:
        mos: Of A and B; higher is better.
        std: Their standard deviations; None: any gap counts.
        sigmas: The gap has to exceed this many √(std_A² + std_B²).

    Raises:
        DataError: A value is not finite, or a deviation negative.
    """
    gap, spread = _gap(mos, std)
    if gap == 0 or abs(gap) <= sigmas * spread:
        return None
    return "A" if gap > 0 else "B"


def comparative_word(mos: tuple[float, float], std: tuple[float, float]) -> str:
    """Return the word for the second against the first, by the thresholds of Compare2Score (NeurIPS 2024).

    With q = MOS₁ − MOS₂ and s = √(std₁² + std₂²): inferior q > 2s, worse s < q ≤ 2s, similar −s < q ≤ s,
    better −2s < q ≤ −s, superior q ≤ −2s (the paper leaves q = −2s open).

    Raises:
        DataError: A value is not finite, or a deviation negative.
    """
    q, s = _gap(mos, std)
    superior, better, similar, worse, inferior = prompts.word_scale("comparison").words
    if q > 2 * s:
        return inferior
    if q > s:
        return worse
    if q > -s or q == s == 0:
        return similar
    return better if q > -2 * s else superior


def _gap(mos: tuple[float, float], std: tuple[float, float] | None) -> tuple[float, float]:
    spread = (0.0, 0.0) if std is None else std
    if not all(map(math.isfinite, (*mos, *spread))) or min(spread) < 0:
        raise DataError(
            f"MOS {mos} with standard deviations {std}", expected="finite values, no negative deviation"
        )
    return mos[0] - mos[1], math.hypot(*spread)
