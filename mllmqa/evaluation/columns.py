"""A log as arrays: opinions and scores of one data set, item by item, all of them with higher = better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.items import DataRecord, Item
from mllmqa.evaluation.overlap import is_near
from mllmqa.evaluation.runlog import Log, ScorerRecord

Float = npt.NDArray[np.float64]
NOT_RUN = "not-run"
"""Reason of an item about which the log says nothing: the run was stopped before."""
MIN_REFERENCES = 5


@dataclass(frozen=True)
class Column:
    """What one scorer says of N items.

    Attributes:
        scorer: Who.
        values: Shape (N,), higher is better as the scorer states its direction; NaN where unscored.
        std: Of the predicted distributions, shape (N,); NaN where there is none.
        why: Reason of each unscored item, N of them; None where scored.
    """

    scorer: ScorerRecord
    values: Float
    std: Float
    why: tuple[str | None, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """Why items are unscored → how many, the most frequent first."""
        return dict(Counter(one for one in self.why if one is not None).most_common())

    @property
    def scale(self) -> tuple[float, float] | None:
        """Least and greatest possible value of :attr:`values`."""
        if self.scorer.scale is None or self.scorer.direction == "higher-better":
            return self.scorer.scale
        return -self.scorer.scale[1], -self.scorer.scale[0]


@dataclass(frozen=True)
class Columns:
    """One data set, or a part of it.

    Attributes:
        record: The data set.
        subset: ``all``, or what was left out.
        items: N of them.
        opinions: On 1 (worst) .. 5 (best), shape (N,).
        scorers: In the order of the log.
    """

    record: DataRecord
    subset: str
    items: tuple[Item, ...]
    opinions: Float
    scorers: tuple[Column, ...]

    @property
    def references(self) -> list[str] | None:
        """Reference of each item, where resampling them is right: all are stated, and enough differ."""
        names = [item.reference for item in self.items]
        known = [name for name in names if name is not None]
        if len(known) < len(names) or not MIN_REFERENCES <= len(set(known)) < len(names):
            return None
        return known

    def without(self, keep: Sequence[bool], subset: str) -> Columns:
        """Return the items that are kept, as a part of this name."""
        mask = np.asarray(keep, dtype=bool)
        scorers = [
            replace(one, values=one.values[mask], std=one.std[mask], why=tuple(compress(one.why, mask)))
            for one in self.scorers
        ]
        return replace(
            self, subset=subset, items=tuple(compress(self.items, mask)), opinions=self.opinions[mask],
            scorers=tuple(scorers),
        )  # fmt: skip

    def column(self, name: str) -> Column:
        """Return the scorer of this name.

        Raises:
            UsageError: There is none.
        """
        for one in self.scorers:
            if one.scorer.name == name:
                return one
        raise UsageError(f"no scorer {name!r}", expected=" | ".join(one.scorer.name for one in self.scorers))


def columns(log: Log, data: str) -> Columns:
    """Return a data set of a log with all its scorers.

    Raises:
        DataError: The log has no such data set, or not all of it.
    """
    if data not in log.data:
        raise DataError(
            f"the log has no data set {data!r}", expected=" | ".join(log.data) or "a run that got so far"
        )
    items = tuple(log.items[data].values())
    opinions = np.array([item.opinion.level for item in items], dtype=np.float64)
    scorers = tuple(_column(log, one, items) for one in log.scorers.values() if log.of(one.name, data))
    return Columns(log.data[data], "all", items, opinions, scorers)


def parts(whole: Columns) -> list[Columns]:
    """Return the data set, and where near-duplicates of training photos were looked for, it without them."""
    near = [is_near(item, whole.record) for item in whole.items]
    if whole.record.duplicates_within is None or all(near):
        return [whole]
    bits = whole.record.duplicates_within
    return [whole, whole.without([not one for one in near], f"without near-duplicates (<= {bits} bits)")]


def _column(log: Log, scorer: ScorerRecord, items: Sequence[Item]) -> Column:
    said = log.of(scorer.name, items[0].data) if items else {}
    values, std = np.full(len(items), np.nan), np.full(len(items), np.nan)
    why: list[str | None] = [None] * len(items)
    sign = 1.0 if scorer.direction == "higher-better" else -1.0
    for i, item in enumerate(items):
        one = said.get(item.id)
        if one is None or one.value is None:
            why[i] = NOT_RUN if one is None else one.reason
            continue
        values[i] = sign * one.value
        std[i] = np.nan if one.std is None else one.std
    return Column(scorer, values, std, tuple(why))


_GROUPS: dict[str, Callable[[Item], object]] = {
    "source": lambda item: item.source,
    "reference": lambda item: item.reference,
    "distortion": lambda item: None if item.distortions is None else " + ".join(item.distortions) or "clean",
    "severity": lambda item: item.severity,
    "level": lambda item: item.level,
    "split": lambda item: item.split,
    "folder": lambda item: PurePath(item.path).parent.name,
}


def groups(whole: Columns, by: str) -> list[str]:
    """Return the group of each item.

    Args:
        whole: The data set.
        by: ``source``, ``reference``, ``distortion``, ``severity``, ``level``, ``split``, ``folder``, or another
            column of the label file. An item of which it is not known is in the group ``unknown``.

    Raises:
        UsageError: It is known of no item.
    """
    named = [_GROUPS[by](item) if by in _GROUPS else item.extra.get(by) for item in whole.items]
    if all(one is None for one in named):
        extra = sorted({key for item in whole.items for key in item.extra})
        raise UsageError(
            f"no item of {whole.record.name} has a {by}", where="--by", expected=" | ".join([*_GROUPS, *extra])
        )
    return ["unknown" if one is None else f"{one:g}" if isinstance(one, float) else str(one) for one in named]
