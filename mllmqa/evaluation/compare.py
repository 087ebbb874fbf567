"""Two scorers on the same items, of one run or of two: who agrees more with people, and where they part.

Items are matched by data set and name. An item that only one side has, or that the two sides have with other
opinions, is never compared: the first are counted, the second are an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

import numpy as np

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats
from mllmqa.evaluation.columns import Column, Columns, columns
from mllmqa.evaluation.number import finite
from mllmqa.evaluation.runlog import Log
from mllmqa.evaluation.tables import NONE, Table
from mllmqa.schema import Record

SHOWN = 5
ALPHA = 0.05


class Test(Record):
    """One test of the difference."""

    __test__ = False  # for pytest: this is no test case

    name: str
    statistic: float | None
    p_value: float | None
    reason: str | None = None


class Moved(Record):
    """An item on which the two part most; its place is the share of the items below it, 0..1."""

    item: str
    path: str
    opinion: float
    place_a: float
    place_b: float


class Pair(Record):
    """Two scorers on one data set."""

    data: str
    a: str
    b: str
    statistic: Literal["srcc", "plcc"]
    value_a: float | None
    value_b: float | None
    between: float | None
    """Correlation of the two with each other."""
    difference: float | None
    """a − b."""
    low: float | None
    """Of the 95 % interval of the difference, by paired bootstrap."""
    high: float | None
    tests: tuple[Test, ...]
    p_holm: float | None = None
    """The decisive p-value, adjusted for all pairs (Holm)."""
    n: int
    """Items that both scored."""
    n_only_a: int
    n_only_b: int
    n_neither: int
    n_missing_a: int = 0
    """Items that only the run of b has."""
    n_missing_b: int = 0
    resampled: Literal["items", "references"] = "items"
    moved: tuple[Moved, ...] = ()

    @property
    def decisive(self) -> float | None:
        """The p-value that is adjusted."""
        return self.by.p_value

    @property
    def by(self) -> Test:
        """The test to go by: the bootstrap where items of one reference are not independent, else the first."""
        if self.resampled == "items":
            return self.tests[0]
        return next(one for one in self.tests if one.name == "bootstrap")


@dataclass(frozen=True)
class How:
    """How to compare.

    Attributes:
        statistic: ``srcc`` or ``plcc``.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """

    statistic: Literal["srcc", "plcc"] = "srcc"
    resamples: int = 10_000
    seed: int = 0


def compare_runs(
    first: Log, second: Log | None, how: How | None = None, *, a: str | None = None, b: str | None = None
) -> list[Pair]:
    """Compare scorers of one run with each other, or those of two runs.

    Args:
        first: A run.
        second: Another; None: all pairs inside the first.
        how: Statistic and bootstrap.
        a: Scorer of the first run; None: each.
        b: Scorer of the second run; None: those of the same names; where no name is in both, each.

    Returns:
        One entry for each data set that both have and each pair, p-values adjusted over all of them.

    Raises:
        UsageError: There is nothing to compare.
        DataError: The two runs have other opinions for one item.
    """
    how = how or How()
    second, inside = (first, True) if second is None else (second, False)
    shared = [name for name in first.data if name in second.data]
    if not shared:
        raise UsageError(f"the runs share no data set: {', '.join(first.data)} and {', '.join(second.data)}")
    found = []
    for name in shared:
        left, right = columns(first, name), columns(second, name)
        left_items, right_items, lost = _matched(left, right)
        for one, other in _pairs(left, right, a, b, inside=inside):
            found.append(_pair(left_items, right_items, (one, other), lost, how))
    if not found:
        raise UsageError("no two scorers to compare", expected="two, of one run or of two")
    return _adjusted(found)


def compare_columns(whole: Columns, how: How | None = None) -> list[Pair]:
    """Compare all pairs of scorers of one data set, combinations included; p-values are adjusted over them."""
    names = [one.scorer.name for one in whole.scorers]
    return _adjusted([_pair(whole, whole, pair, (0, 0), how or How()) for pair in combinations(names, 2)])


def letters(names: Sequence[str], values: Sequence[float | None], pairs: Sequence[Pair]) -> dict[str, str]:
    """Return letters of significance at 5 % after Holm; what has no figure has none.

    Args:
        names: Scorers.
        values: Their figures.
        pairs: All pairs of them on one data set.
    """
    apart = {frozenset((one.a, one.b)) for one in pairs if one.p_holm is not None and one.p_holm < ALPHA}
    return stats.letters(names, [math.nan if value is None else value for value in values], apart)


def _adjusted(found: list[Pair]) -> list[Pair]:
    adjusted = stats.holm([math.nan if one.decisive is None else one.decisive for one in found]) if found else []
    return [one.model_copy(update={"p_holm": finite(p)}) for one, p in zip(found, adjusted, strict=True)]


def table(pairs: list[Pair]) -> Table:
    """Return the pairs as a table."""
    statistic = pairs[0].statistic.upper() if pairs else ""
    head = (
        "a – b",
        "data",
        f"{statistic} a",
        f"{statistic} b",
        "a − b [95 %]",
        "p",
        "p (Holm)",
        "n",
        "not compared",
    )
    rows = []
    for one in pairs:
        lost = one.n_only_a + one.n_only_b + one.n_neither + one.n_missing_a + one.n_missing_b
        interval = "" if one.low is None else f" [{one.low:+.3f}, {one.high:+.3f}]"
        difference = NONE if one.difference is None else f"{one.difference:+.3f}{interval}"
        rows.append(
            (f"{one.a} – {one.b}", one.data, _shown(one.value_a), _shown(one.value_b), difference, _p(one.decisive),
             _p(one.p_holm), str(one.n), str(lost))
        )  # fmt: skip
    tests = sorted(
        {"paired bootstrap by reference" if one.resampled == "references" else one.by.name for one in pairs}
    )
    return Table(
        "Comparison", head, tuple(rows), (f"p: {', '.join(tests)}, two-sided; intervals: paired bootstrap.",)
    )


def _matched(left: Columns, right: Columns) -> tuple[Columns, Columns, tuple[int, int]]:
    """Return both with their common items, in one order, and how many only the right and only the left has."""
    other = {item.id: i for i, item in enumerate(right.items)}
    keep = [item.id in other for item in left.items]
    for item in left.items:
        if item.id in other and not math.isclose(right.items[other[item.id]].opinion.level, item.opinion.level):
            theirs = right.items[other[item.id]].opinion.mos
            raise DataError(
                f"{item.id} has the opinion {item.opinion.mos:g} in one run and {theirs:g} in the other",
                where=item.data, expected="runs on the same labels",
            )  # fmt: skip
    a = left.without(keep, left.subset)
    order = [other[item.id] for item in a.items]
    scorers = tuple(
        Column(one.scorer, one.values[order], one.std[order], tuple(one.why[i] for i in order))
        for one in right.scorers
    )
    b = Columns(right.record, right.subset, a.items, a.opinions, scorers)
    return a, b, (len(right.items) - len(order), len(left.items) - len(order))


def _pairs(left: Columns, right: Columns, a: str | None, b: str | None, *, inside: bool) -> list[tuple[str, str]]:
    ours, theirs = ([one.scorer.name for one in side.scorers] for side in (left, right))
    for name, side in ((a, left), (b, right)):
        if name is not None:
            side.column(name)
    ours, theirs = [a] if a is not None else ours, [b] if b is not None else theirs
    if inside:
        if a is None and b is None:
            return list(combinations(ours, 2))
        return [(one, other) for one, other in product(ours, theirs) if one != other]
    same = [(one, one) for one in ours if one in theirs]
    if a is None and b is None and same:
        return same
    return list(product(ours, theirs))


def _pair(left: Columns, right: Columns, names: tuple[str, str], lost: tuple[int, int], how: How) -> Pair:
    one, other = left.column(names[0]), right.column(names[1])
    references = left.references
    found = stats.compare(
        one.values, other.values, left.opinions, how.statistic, groups=references, resamples=how.resamples,
        seed=how.seed,
    )  # fmt: skip
    tests = [
        Test(name=made.name, statistic=finite(made.statistic), p_value=finite(made.p_value), reason=made.reason)
        for made in found.tests
    ]
    boot = found.difference
    tests.append(Test(name="bootstrap", statistic=finite(boot.point), p_value=finite(boot.p_value)))
    return Pair(
        data=left.record.name, a=names[0], b=names[1], statistic=how.statistic, value_a=finite(found.a),
        value_b=finite(found.b), between=finite(found.ab), difference=finite(boot.point), low=finite(boot.low),
        high=finite(boot.high), tests=tuple(tests), n=found.n, n_only_a=found.n_only_a, n_only_b=found.n_only_b,
        n_neither=found.n_neither, n_missing_a=lost[0], n_missing_b=lost[1],
        resampled="items" if references is None else "references", moved=_moved(left, one, other),
    )  # fmt: skip


def _moved(whole: Columns, one: Column, other: Column) -> tuple[Moved, ...]:
    from scipy.stats import rankdata

    both = np.flatnonzero(~np.isnan(one.values) & ~np.isnan(other.values))
    if len(both) < 2:
        return ()
    a, b = ((rankdata(side.values[both]) - 1) / (len(both) - 1) for side in (one, other))
    order = np.argsort(-np.abs(a - b), kind="stable")[:SHOWN]
    return tuple(
        Moved(
            item=whole.items[both[i]].id, path=whole.items[both[i]].path, opinion=float(whole.opinions[both[i]]),
            place_a=float(a[i]), place_b=float(b[i]),
        )
        for i in order
    )  # fmt: skip


def _shown(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _p(value: float | None) -> str:
    return NONE if value is None else f"{value:.2g}"
