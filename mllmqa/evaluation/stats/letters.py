"""Letters of significance: what shares a letter does not differ significantly."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import combinations


def letters(names: Sequence[str], values: Sequence[float], apart: Collection[frozenset[str]]) -> dict[str, str]:
    """Return letters so that two names share one unless they differ (Piepho, JCGS 13, 2004).

    Args:
        names: Different ones.
        values: Their figures; the greatest gets ``a``. A name whose figure is NaN gets no letter.
        apart: Pairs that differ significantly.
    """
    usable = [(name, value) for name, value in zip(names, values, strict=True) if not math.isnan(value)]
    known = [name for name, _ in sorted(usable, key=lambda one: -one[1])]
    columns: list[set[str]] = [set(known)]
    for a, b in combinations(known, 2):
        if frozenset((a, b)) not in apart:
            continue
        split = [
            part for column in columns for part in ((column - {a}, column - {b}) if {a, b} <= column else (column,))
        ]
        columns = [
            c for k, c in enumerate(split) if not any(c < d or (c == d and k > i) for i, d in enumerate(split))
        ]
    columns.sort(key=lambda column: [name not in column for name in known])
    return {name: "".join(_letter(k) for k, column in enumerate(columns) if name in column) for name in names}


def _letter(k: int) -> str:
    """Return a, b … z, a1, b1 … ."""
    return chr(ord("a") + k % 26) + (str(k // 26) if k >= 26 else "")
