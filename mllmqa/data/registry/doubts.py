"""Signs that labels do not mean what they are said to mean. Nothing is put right: the doubt is reported."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mllmqa.data.findings import Findings
from mllmqa.data.ratings import Rating, RatingScale

_SEVERITY = re.compile(r"^(.*[^0-9])0?([1-9])(?:\.\w+)?$")
"""Names that end with one digit, as distorted copies do: I01_01_05.png, 1600.AWGN.5.png."""
LEAST_GROUPS = 10
LEAST_ROWS = 100


def look(rows: Sequence[Rating], scale: RatingScale, findings: Findings, where: object) -> None:
    """Look for a wrong direction, for mixed scales, and for undistorted originals among the rows.

    Args:
        rows: The ratings.
        scale: What they are said to mean.
        findings: Takes the doubts, as errors of the kinds ``direction-doubt`` and ``mixed-scales``, or
            as a note, ``ties-at-best``.
        where: Named in the messages.
    """
    stated = f"the direction is stated as {scale.direction}"
    rising, groups = severity_trend(rows, scale)
    if groups >= LEAST_GROUPS and rising > 0.75 * groups:
        what = (
            f"quality rises with the last number of the name in {rising} of {groups} groups of names, and {stated}"
        )
        findings.error("direction-doubt", what, where=where, expected="heavier distortions to be worse")
    worst = ties_at_worst(rows, scale)
    if len(rows) >= LEAST_ROWS and worst > 0.05 * len(rows):
        what = f"{worst} of {len(rows)} rows share the worst score exactly, and {stated}"
        findings.error("direction-doubt", what, where=where, expected="few; undistorted originals have DMOS 0")
    best = ties_at_best(rows, scale)
    if len(rows) >= LEAST_ROWS and best > 0.05 * len(rows):
        what = f"{best} of {len(rows)} rows share the best score exactly; undistorted originals are no opinions"
        findings.note("ties-at-best", what, where=where)
    small = on_unit_scale(rows, scale)
    if small >= 5 and 0.01 * len(rows) < small < 0.9 * len(rows):
        what = f"{small} of {len(rows)} scores lie in 0..1 on a scale of {scale.low:g}..{scale.high:g}"
        findings.error("mixed-scales", what, where=where, expected="one scale for all rows")


def severity_trend(rows: Sequence[Rating], scale: RatingScale) -> tuple[int, int]:
    """In how many groups of names that differ in a last digit quality rises with it, and the number of groups."""
    groups: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if match := _SEVERITY.match(row.name):
            groups.setdefault(match[1], []).append((int(match[2]), scale.goodness(row.score)))
    trends = [_slope(group) for group in groups.values() if len({digit for digit, _ in group}) >= 3]
    return sum(slope > 0 for slope in trends), len(trends)


def _slope(group: list[tuple[int, float]]) -> float:
    digits, quality = np.array(group, dtype=np.float64).T
    return float(((digits - digits.mean()) * (quality - quality.mean())).sum())


def ties_at_worst(rows: Sequence[Rating], scale: RatingScale) -> int:
    """How many rows have exactly the worst score that occurs."""
    quality = np.array([scale.goodness(row.score) for row in rows])
    return int((quality == quality.min()).sum()) if len(rows) else 0


def ties_at_best(rows: Sequence[Rating], scale: RatingScale) -> int:
    """How many rows have exactly the best score that occurs."""
    quality = np.array([scale.goodness(row.score) for row in rows])
    return int((quality == quality.max()).sum()) if len(rows) else 0


def on_unit_scale(rows: Sequence[Rating], scale: RatingScale) -> int:
    """How many scores lie in 0 (not itself) to 1, where the scale is at least 20 wide."""
    if scale.high - scale.low < 20:
        return 0
    return sum(0 < row.score <= 1 for row in rows)
