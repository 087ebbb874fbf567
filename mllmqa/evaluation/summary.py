"""Figures of a log: each with its items, the unscored ones, a 95 % interval, and bounds with the unscored.

Opinions are on 1 (worst) .. 5 (best), scores have the direction that their scorer states. Nothing is turned round:
a scorer whose scores fall with quality has a negative SRCC and is said to be inverted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mllmqa.errors import DataError
from mllmqa.evaluation import stats
from mllmqa.evaluation.columns import Column, Columns, Float, columns, groups, parts
from mllmqa.evaluation.combine import combined
from mllmqa.evaluation.number import Number, finite, number
from mllmqa.evaluation.panel import Panel, panel
from mllmqa.evaluation.runlog import Log
from mllmqa.evaluation.spec import Figures
from mllmqa.schema import Record

Indices = npt.NDArray[np.intp]
SUMMARY_VERSION: Literal[1] = 1
SUMMARY_FILE = "summary.json"
BANDS = 5
MANY_TIES = 0.1


class Group(Record):
    """Items of one group, and all others."""

    name: str
    n_items: int
    inside: Number
    """SRCC inside the group."""
    without: Number
    """SRCC of all items but these (leave one group out)."""


class Coverage(Record):
    """How often opinions lie inside the predicted central interval."""

    level: float
    share: Number


class Row(Record):
    """One scorer on one data set, or a part of it."""

    scorer: str
    kind: str
    data: str
    subset: str
    n_items: int
    n_scored: int
    n_unscored: int
    reasons: dict[str, int]
    """Why items are unscored."""
    direction: Literal["agrees", "inverted", "unclear"]
    srcc: Number
    krcc: Number
    plcc: Number
    """Of the raw scores."""
    plcc_mapped: Number
    """After a rising 4-parameter logistic curve; the interval holds the curve."""
    rmse_mapped: Number
    """Likewise, on the scale 1..5."""
    rmse: Number | None = None
    """Of the raw scores, where they are on the scale 1..5."""
    pair_accuracy: Number
    """Share of pairs with different opinions in the right order, equal scores one half."""
    srcc_in_bands: Number
    """Mean SRCC inside five bands of the opinions of equal frequency: what an overall SRCC hides. No interval."""
    ties: float | None
    """Share of pairs with equal scores."""
    curve: tuple[float, ...] | None = None
    """Of the 4-parameter fit: low, height, centre, steepness; then mean and std of the scores."""
    coverage: tuple[Coverage, ...] = ()
    """Of the predicted distributions, with the raters' spread unknown to them."""
    crps: Number | None = None
    panel: Panel | None = None
    """Beside the spread of the ratings, where it is known of all items."""
    groups: dict[str, tuple[Group, ...]] = Field(default_factory=dict)
    resampled: Literal["items", "references"] = "items"


class Data(Record):
    """What is known of a data set beside the scorers."""

    name: str
    n_items: int
    n_near_duplicates: int | None = None
    n_without_opinion: int = 0
    ceiling_srcc: float | None = None
    """SRCC of the true qualities with the opinions, from the raters' spread: no model beats it but by luck."""
    ceiling_low: float | None = None
    ceiling_high: float | None = None


class Summary(Record):
    """All figures of a run."""

    summary_version: Literal[1] = SUMMARY_VERSION
    title: str = ""
    data: tuple[Data, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def summarise(log: Log, how: Figures | None = None) -> Summary:
    """Compute all figures of a log.

    Raises:
        UsageError: A group that no item has.
        DataError: The log has no complete data set.
    """
    how = how or Figures()
    if not log.data:
        raise DataError("no data set of the log is complete", expected="a run that got so far")
    rows, data, notes = [], [], []
    for name in log.data:
        whole, *rest = parts(columns(log, name))
        data.append(_data(whole, rest))
        for part in (whole, *rest):
            made, missing = with_combinations(part, how)
            notes += missing if part is whole else []
            rows += [row(made, one, how) for one in made.scorers]
    return Summary(title=log.header.title, data=tuple(data), rows=tuple(rows), notes=(*notes, *_flags(rows)))


def row(whole: Columns, one: Column, how: Figures) -> Row:
    """Return the figures of one scorer."""
    x, y = one.values, whole.opinions
    references = whole.references
    found = stats.correlate(x, y, scale=one.scale)
    boot = stats.bootstrap(x, y, groups=references, resamples=how.resamples, seed=how.seed)
    tau, accuracy = _rank_resamples(x, y, references, how)
    mapped = stats.mapped(x, y)
    plcc_mapped, rmse_mapped = _mapped_numbers(mapped, x, y, references, how)
    bands = stats.mos_bands(x, y, BANDS)
    known = ~np.isnan(x)
    fit = mapped.fit
    on_scale = one.scale == (1.0, 5.0)
    return Row(
        scorer=one.scorer.name, kind=one.scorer.kind, data=whole.record.name, subset=whole.subset,
        n_items=len(x), n_scored=int(known.sum()), n_unscored=int((~known).sum()), reasons=one.reasons,
        direction=found.direction,
        srcc=number(found.srcc, boot.srcc[0]), krcc=number(found.krcc, tau), plcc=number(found.plcc, boot.plcc[0]),
        plcc_mapped=plcc_mapped, rmse_mapped=rmse_mapped,
        rmse=number(found.rmse, _of_errors(x - y, references, how)) if on_scale else None,
        pair_accuracy=number(stats.pair_accuracy(x, y).all.accuracy, accuracy),
        srcc_in_bands=number(bands.mean), ties=finite(found.ties_scores),
        curve=None if fit is None else (*fit.values, fit.mean, fit.std),
        coverage=_coverage(one, y) if on_scale else (), crps=_crps(one, y) if on_scale else None,
        panel=panel(whole, one, mapped, how), groups={by: group_figures(whole, one, by, how) for by in how.by},
        resampled="items" if references is None else "references",
    )  # fmt: skip


def _resample(
    of: Callable[[Indices], float], known: np.ndarray, references: list[str] | None, how: Figures
) -> stats.Resampled | None:
    """Resample a figure of the scored items that needs a call each: a tenth of the resamples."""
    places = np.flatnonzero(known)
    if not len(places):
        return None
    groups = None if references is None else [references[i] for i in places]
    resamples = max(1, how.resamples // 10)
    return stats.bootstrap_statistic(
        lambda drawn: of(places[drawn]), len(places), groups=groups, resamples=resamples, seed=how.seed
    )


def _rank_resamples(
    x: Float, y: Float, references: list[str] | None, how: Figures
) -> tuple[stats.Resampled | None, stats.Resampled | None]:
    """Resample tau-b and, which is the same with another denominator, the accuracy over pairs."""
    known, taus = ~np.isnan(x), []

    def tau(drawn: Indices) -> float:
        taus.append(stats.krcc(x[drawn], y[drawn]))
        return taus[-1]

    def accuracy(drawn: Indices) -> float:
        apart_x, apart_y = 1 - stats.tie_share(x[drawn]), 1 - stats.tie_share(y[drawn])
        same = next(before)  # the draws are the same, in the same order
        return (1 + same * math.sqrt(apart_x / apart_y)) / 2 if apart_y > 0 else math.nan

    first = _resample(tau, known, references, how)
    before = iter(taus)
    return first, _resample(accuracy, known, references, how)


def _of_errors(errors: Float, references: list[str] | None, how: Figures) -> stats.Resampled | None:
    squares = errors**2
    return _resample(lambda drawn: math.sqrt(float(squares[drawn].mean())), ~np.isnan(errors), references, how)


def _mapped_numbers(
    mapped: stats.Mapped, x: Float, y: Float, references: list[str] | None, how: Figures
) -> tuple[Number, Number]:
    if mapped.fit is None or mapped.plcc.reason is not None:
        return number(mapped.plcc), number(mapped.rmse)
    curve = mapped.fit(x)
    boot = stats.bootstrap(curve, y, groups=references, resamples=how.resamples, seed=how.seed)
    return number(mapped.plcc, boot.plcc[0]), number(mapped.rmse, _of_errors(curve - y, references, how))


def _coverage(one: Column, y: Float) -> tuple[Coverage, ...]:
    known = ~np.isnan(one.std)
    if not known.any():
        return ()
    mean = np.where(known, one.values, np.nan)
    return tuple(Coverage(level=made.level, share=number(made.share)) for made in stats.coverage(mean, one.std, y))


def _crps(one: Column, y: Float) -> Number | None:
    known = ~np.isnan(one.std) & (one.std > 0)
    if not known.any():
        return None
    return number(stats.crps_normal(np.where(known, one.values, np.nan), one.std, y))


def group_figures(whole: Columns, one: Column, by: str, how: Figures) -> tuple[Group, ...]:
    """Return SRCC inside each group and without it; levels from worst to best, others by name."""
    names = np.array(groups(whole, by))
    found = []
    for name in dict.fromkeys(names.tolist()):
        own = names == name
        inside, without = (_srcc(one, whole.opinions, mask, how) for mask in (own, ~own))
        found.append(Group(name=name, n_items=int(own.sum()), inside=inside, without=without))
    rank = {name: float(whole.opinions[names == name].mean()) for name in set(names.tolist())}
    return tuple(sorted(found, key=lambda group: (rank[group.name] if by == "level" else 0.0, group.name)))


def _srcc(one: Column, y: Float, mask: np.ndarray, how: Figures) -> Number:
    x, y = one.values[mask], y[mask]
    boot = stats.bootstrap(x, y, resamples=max(1, how.resamples // 10), seed=how.seed) if len(x) else None
    return number(stats.correlate(x, y).srcc, boot.srcc[0] if boot else None)


def _data(whole: Columns, rest: list[Columns]) -> Data:
    opinions = [item.opinion for item in whole.items]
    spread, counts = [one.std_levels for one in opinions], [one.n_ratings for one in opinions]
    known = [(s, n) for s, n in zip(spread, counts, strict=True) if s is not None and n is not None and n >= 1]
    ceiling = None
    if len(known) == len(opinions):
        ceiling = stats.noise_ceiling(whole.opinions, [s for s, _ in known], [n for _, n in known])
    low, high = ceiling.srcc_truth_interval if ceiling else (math.nan, math.nan)
    near = len(whole.items) - len(rest[0].items) if rest else None
    return Data(
        name=whole.record.name, n_items=len(whole.items), n_near_duplicates=near,
        n_without_opinion=whole.record.n_without_opinion,
        ceiling_srcc=finite(ceiling.srcc_truth) if ceiling else None, ceiling_low=finite(low),
        ceiling_high=finite(high),
    )  # fmt: skip


def with_combinations(whole: Columns, how: Figures) -> tuple[Columns, list[str]]:
    """Return the data set with the combinations of its scorers, and why some could not be made."""
    made, notes = list(whole.scorers), []
    for one in how.combine:
        try:
            made.append(combined(whole, one, seed=how.seed))
        except DataError as error:
            notes.append(f"no {one} on {whole.record.name}: {error}")
    return Columns(whole.record, whole.subset, whole.items, whole.opinions, tuple(made)), notes


def _flags(rows: list[Row]) -> list[str]:
    """Say what a reader must not overlook."""
    found = []
    for one in rows:
        if one.subset != "all":
            continue
        where = f"{one.scorer} on {one.data}"
        if one.direction == "inverted":
            found.append(
                f"{where}: inverted, SRCC is negative; if lower is better there, state it, it is not turned"
            )
        if one.srcc.value is None:
            found.append(f"{where}: no SRCC, {one.srcc.reason}")
        if one.n_unscored:
            why = ", ".join(f"{count} {reason}" for reason, count in one.reasons.items())
            found.append(f"{where}: {one.n_unscored} of {one.n_items} unscored ({why})")
        if one.srcc.value is not None and one.ties is not None and one.ties > MANY_TIES:
            found.append(f"{where}: {one.ties:.0%} of the pairs have equal scores")
    return found
