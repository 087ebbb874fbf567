"""What labels allow to say, of one, of a pair, of several: where the truth is not known, there is no question."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mllmqa import prompts
from mllmqa.data.tasks.wording import Box, area
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
    box: Box | None = None
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


def order_by_severity(findings: Mapping[str, Sequence[Finding]], least: float = 1.0) -> tuple[str, ...] | None:
    """Return the keys of several from best to worst, where severities of one category tell it.

    Every neighbour in the order has to be better by :func:`better_by_severity`: each has at most one finding,
    all of one category, severities are ``least`` apart, and at most one is clean.

    Returns:
        None where the order is not known throughout.
    """
    order = sorted(findings, key=lambda key: max((one.severity for one in findings[key]), default=0.0))
    pairs = itertools.pairwise(order)
    known = len(order) > 1 and all(better_by_severity(findings[a], findings[b], least) == "A" for a, b in pairs)
    return tuple(order) if known else None


def order_by_mos(
    mos: Mapping[str, float], std: Mapping[str, float] | None, sigmas: float = 1.0
) -> tuple[str, ...] | None:
    """Return the keys of several from best to worst, where every gap between neighbours exceeds its spread.

    Args:
        mos: By key; higher is better.
        std: Standard deviations by key; None: any gap counts.
        sigmas: As in :func:`better_by_mos`, for every pair of neighbours.

    Returns:
        None where the order is not known throughout.

    Raises:
        DataError: A value is not finite, a deviation negative, or the keys of both differ.
    """
    if std is not None and set(std) != set(mos):
        raise DataError(f"standard deviations of {sorted(std)}", expected=f"of {sorted(mos)}, as the MOS")
    order = sorted(mos, key=lambda key: -mos[key])
    sides = [
        better_by_mos((mos[a], mos[b]), None if std is None else (std[a], std[b]), sigmas)
        for a, b in itertools.pairwise(order)
    ]
    return tuple(order) if sides and all(side == "A" for side in sides) else None


def grouped(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Return findings by category; categories in the order in which they first come."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.category, []).append(finding)
    return groups


def only_key_with(category: str, findings: Mapping[str, Sequence[Finding]]) -> str | None:
    """Return the key of the only one that has a category of distortion; None where none or several have it."""
    having = [key for key, found in findings.items() if any(one.category == category for one in found)]
    return having[0] if len(having) == 1 else None


def strongest_category(findings: Sequence[Finding]) -> str | None:
    """Return the category of the highest severity; None where there is none, or several have it."""
    strongest = max((finding.severity for finding in findings), default=0.0)
    named = {finding.category for finding in findings if finding.severity == strongest}
    return named.pop() if len(named) == 1 else None


def key_categories(findings: Sequence[Finding], duration_s: float | None = None) -> list[str]:
    """Return the categories that weigh most: the sum over their findings of severity × extent.

    Extent is the share of the picture in the box times the share of the duration in the span, 1 each where the
    finding has none. Boxes that overlap count twice. Weights closer than 1e-6 are equal: all of them are key.

    Args:
        findings: None: no category is key.
        duration_s: Of the video; needed where a finding has a span.

    Raises:
        DataError: A span without a duration, or one that is longer.
    """
    weights = {
        category: sum(one.severity * extent(one, duration_s) for one in group)
        for category, group in grouped(findings).items()
    }
    most = max(weights.values(), default=0.0)
    return [category for category, weight in weights.items() if most - weight < 1e-6]


def extent(finding: Finding, duration_s: float | None = None) -> float:
    """Return the share of the picture and time that a finding covers, 0..1; 1 where it is everywhere.

    Raises:
        DataError: It has a span, and the duration is not known, or shorter.
    """
    share = 1.0 if finding.box is None else area(finding.box)
    if finding.span_s is None:
        return share
    length = finding.span_s[1] - finding.span_s[0]
    if duration_s is None or not 0 <= length <= duration_s + 0.05:
        raise DataError(
            f"a span of {length:g} s in {'an unknown duration' if duration_s is None else f'{duration_s:g} s'}",
            expected="the duration of the video, as long as the span at least",
        )
    return share * length / duration_s if duration_s else share


def _gap(mos: tuple[float, float], std: tuple[float, float] | None) -> tuple[float, float]:
    spread = (0.0, 0.0) if std is None else std
    if not all(map(math.isfinite, (*mos, *spread))) or min(spread) < 0:
        raise DataError(
            f"MOS {mos} with standard deviations {std}", expected="finite values, no negative deviation"
        )
    return mos[0] - mos[1], math.hypot(*spread)
