"""What a report of a run says: figures, comparisons, and the items on which a scorer and people part most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mllmqa.evaluation import stats
from mllmqa.evaluation.columns import Column, Columns, Float, columns, parts
from mllmqa.evaluation.compare import How, Pair, compare_columns, letters
from mllmqa.evaluation.items import Item
from mllmqa.evaluation.runlog import Log
from mllmqa.evaluation.spec import Figures
from mllmqa.evaluation.summary import Row, Summary, group_figures, summarise, with_combinations

MOST_GROUPS = 40
"""Of distortions that are looked at one by one without being asked for."""


@dataclass(frozen=True)
class Part:
    """One data set, or a part of it, with all that is said of it.

    Attributes:
        columns: Opinions and scores, combinations included.
        rows: Figures of each scorer, best SRCC first.
        pairs: All pairs of scorers.
        letters: Of significance, by scorer.
    """

    columns: Columns
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    letters: dict[str, str]

    @property
    def key(self) -> tuple[str, str]:
        """Data set and subset."""
        return self.columns.record.name, self.columns.subset


@dataclass(frozen=True)
class Content:
    """A whole report.

    Attributes:
        log: The run.
        summary: All figures.
        parts: In the order of the data sets.
    """

    log: Log
    summary: Summary
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Disagreement:
    """An item that a scorer rates otherwise than people.

    Attributes:
        item: Which.
        opinion: On 1..5.
        score: As the scorer gave it.
        fitted: Put on the scale of the opinions, 1..5.
    """

    item: Item
    opinion: float
    score: float
    fitted: float

    @property
    def gap(self) -> float:
        """How much too high the scorer is, in units of the opinions."""
        return self.fitted - self.opinion


def content(log: Log, how: Figures | None = None) -> Content:
    """Compute all of a report. Levels, and distortions and severities where they are labelled, are groups always.

    Raises:
        UsageError: A group that no item has.
        DataError: The log has no complete data set.
    """
    how = how or Figures()
    summary = summarise(log, how)
    made: list[Part] = []
    for name in log.data:
        for part in parts(columns(log, name)):
            whole, _ = with_combinations(part, how)
            rows = [row for row in summary.rows if (row.data, row.subset) == (name, part.subset)]
            rows = [_with_groups(row, whole, how) for row in rows]
            made.append(_part(whole, rows, how))
    return Content(
        log, summary.model_copy(update={"rows": tuple(row for one in made for row in one.rows)}), tuple(made)
    )


def _part(whole: Columns, rows: list[Row], how: Figures) -> Part:
    rows = sorted(rows, key=lambda row: (row.srcc.value is None, -(row.srcc.value or 0.0)))
    pairs = compare_columns(whole, How(resamples=how.resamples, seed=how.seed))
    found = letters([row.scorer for row in rows], [row.srcc.value for row in rows], pairs)
    return Part(whole, tuple(rows), tuple(pairs), found)


def _with_groups(row: Row, whole: Columns, how: Figures) -> Row:
    """Return a row with figures of all groups that its data set has labelled, too."""
    further = [by for by in _labelled(whole.items) if by not in row.groups]
    made = {by: group_figures(whole, whole.column(row.scorer), by, how) for by in further}
    return row.model_copy(update={"groups": {**row.groups, **made}})


def curve(row: Row) -> stats.LogisticFit | None:
    """Return the rising curve of a row; None where there is none that says anything."""
    if row.curve is None or row.plcc_mapped.reason is not None:
        return None
    *values, mean, std = row.curve
    return stats.LogisticFit(
        4, tuple(values), mean, std, row.n_scored, math.nan, True, False, True, 1, False
    )  # fmt: skip


def fitted(one: Column, row: Row) -> Float | None:
    """Return the scores on the scale of the opinions, shape (N,), NaN where unscored; None without a curve."""
    found = curve(row)
    return None if found is None else found(one.values)


def disagreements(
    whole: Columns, one: Column, row: Row, most: int
) -> tuple[list[Disagreement], list[Disagreement]]:
    """Return the items that are rated most too high, and most too low, the worst first; none without a curve.

    Args:
        whole: The data set.
        one: The scorer.
        row: Its figures.
        most: Items of each kind.
    """
    on_scale = fitted(one, row)
    if on_scale is None:
        return [], []
    sign = 1.0 if one.scorer.direction == "higher-better" else -1.0
    known = np.flatnonzero(~np.isnan(on_scale))
    order = known[np.argsort(on_scale[known] - whole.opinions[known], kind="stable")]

    def of(i: int) -> Disagreement:
        return Disagreement(
            whole.items[i], float(whole.opinions[i]), float(sign * one.values[i]), float(on_scale[i])
        )  # fmt: skip

    high = [of(i) for i in order[::-1][:most].tolist()]
    low = [of(i) for i in order[:most].tolist()]
    return [one for one in high if one.gap > 0], [one for one in low if one.gap < 0]


@dataclass(frozen=True)
class Bias:
    """How much too high a scorer is on the items of one group.

    Attributes:
        name: Of the group.
        mean: Of fitted score minus opinion.
        low: Of its 95 % interval (Student's t over items); None below 5 items.
        high: Likewise.
        n: Scored items.
    """

    name: str
    mean: float
    low: float | None
    high: float | None
    n: int


def biases(errors: Float, names: Sequence[str], order: Sequence[str]) -> list[Bias]:
    """Return the mean error of each group.

    Args:
        errors: Fitted minus opinion, shape (N,), NaN where unscored.
        names: Group of each item.
        order: Groups as they are to come; one without scored items is left out.
    """
    found, where = [], np.array(names)
    for name in order:
        own = errors[(where == name) & ~np.isnan(errors)]
        if not len(own):
            continue
        one = Bias(name, float(own.mean()), None, None, len(own))
        if len(own) >= stats.MIN_FOR_INTERVAL:
            half = stats.student_half(own)
            one = replace(one, low=one.mean - half, high=one.mean + half)
        found.append(one)
    return found


def _labelled(items: Sequence[Item]) -> list[str]:
    """Return the groups that all say something of: level, and what is labelled in more than one way."""
    distortions = {one.distortions for one in items}
    severities = {one.severity for one in items}
    made = ["level"] if len({one.level for one in items}) > 1 else []
    made += ["distortion"] if None not in distortions and 1 < len(distortions) <= MOST_GROUPS else []
    return made + (["severity"] if len(severities - {None}) > 1 and len(severities) <= MOST_GROUPS else [])
