"""Figures beside the panel's own uncertainty, where the opinions come with the spread of their ratings.

A mean opinion of few ratings is itself uncertain: a score inside its confidence interval is no error, and two items
whose intervals overlap have no right order. Outlier ratio, rmse* (ITU-T P.1401), the ROC analysis of Krasula et al.
(ITU-T J.149) and the resolving power say how a scorer does beyond that.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mllmqa.data.streams import stream
from mllmqa.evaluation import stats
from mllmqa.evaluation.columns import Column, Columns, Float
from mllmqa.evaluation.number import Number, number
from mllmqa.evaluation.spec import Figures
from mllmqa.schema import Record

MOST_ITEMS = 1500
"""Items whose pairs are looked at; more are drawn from (pairs grow with the square)."""


class Panel(Record):
    """Of one scorer. Scores are mapped by the rising curve first, only the ROC analysis takes raw ones."""

    outliers: Number
    """Outlier ratio: share of items whose mapped score is farther from the opinion than ``width`` says."""
    width: Literal["confidence interval", "two deviations"]
    """``confidence interval``: of each mean opinion, 95 %, Student's t (P.1401); ``two deviations`` of the ratings
    (VQEG), where their number is not known."""
    rmse_beyond: Number | None = None
    """rmse*: error beyond the confidence interval, on the scale 1..5."""
    different_similar: Number | None = None
    """Area under the ROC curve of |Δscore| telling pairs that differ from pairs that do not. Without interval."""
    better_worse: Number | None = None
    """Area under the ROC curve of Δscore telling the better item of pairs that differ. Without interval."""
    correct: Number | None = None
    """C0: share of the pairs that differ in the right order. Without interval."""
    resolving_power: Number | None = None
    """Difference of mapped scores from which the higher one is the better item with 95 % confidence."""
    n_drawn: int | None = None
    """Items whose pairs were looked at, drawn by the seed; None: all."""


def spread(whole: Columns) -> tuple[Float, Float | None] | None:
    """Return the deviations of the ratings on 1..5 and their numbers, shape (N,) each.

    None where a deviation is not known, or none is above 0; the numbers are None where one is not known.
    """
    opinions = [item.opinion for item in whole.items]
    deviations = [one.std_levels for one in opinions if one.std_levels is not None]
    if len(deviations) < len(opinions) or not any(deviations):
        return None
    counts = [one.n_ratings for one in opinions if one.n_ratings is not None and one.n_ratings >= 1]
    known = len(counts) == len(opinions)
    return np.array(deviations), np.array(counts, dtype=np.float64) if known else None


def panel(whole: Columns, one: Column, mapped: stats.Mapped, how: Figures) -> Panel | None:
    """Return the figures, or None where the spread of the ratings is not known or the scores have no curve."""
    known = spread(whole)
    if known is None or mapped.fit is None or mapped.plcc.reason is not None:
        return None
    deviations, counts = known
    fitted, y = mapped.fit(one.values), whole.opinions
    if counts is None:
        return Panel(outliers=_outliers(whole, fitted, 2 * deviations, how), width="two deviations")
    width = stats.half_width(deviations, counts, len(y), student=True)
    drawn = _drawn(len(y), how.seed)
    x, there, own, n = (side[drawn] for side in (one.values, y, deviations, counts))
    roc = stats.krasula(x, there, own, n)
    return Panel(
        outliers=_outliers(whole, fitted, width, how), width="confidence interval",
        rmse_beyond=number(stats.rmse_beyond(fitted, y, width, lost_parameters=4)),
        different_similar=number(roc.different_similar), better_worse=number(roc.better_worse),
        correct=number(roc.correct), resolving_power=number(stats.resolving_power(fitted[drawn], there, own, n)),
        n_drawn=len(drawn) if len(drawn) < len(y) else None,
    )  # fmt: skip


def _outliers(whole: Columns, fitted: Float, width: Float, how: Figures) -> Number:
    """Return the outlier ratio with Wilson's interval, or that of resampled references."""
    y, references = whole.opinions, whole.references
    found = stats.outlier_ratio(fitted, y, width)
    if found.reason is not None or references is None:
        hits = 0 if found.reason is not None else round(found.value * found.n)
        return number(found, stats.wilson(hits, found.n) if found.n else None)
    known = np.flatnonzero(~np.isnan(fitted))
    outside = (np.abs(fitted - y) > width)[known]
    names = [references[i] for i in known]
    resamples = max(1, how.resamples // 10)
    boot = stats.bootstrap_statistic(
        lambda i: float(outside[i].mean()), len(known), groups=names, resamples=resamples, seed=how.seed
    )
    return number(found, boot)


def _drawn(n: int, seed: int) -> np.ndarray:
    if n <= MOST_ITEMS:
        return np.arange(n)
    return np.sort(stream(seed, "pairs of items").permutation(n)[:MOST_ITEMS])
