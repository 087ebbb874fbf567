"""Several scorers as one: the average of their ranks, and a small ridge regression on their scores.

The regression learns from opinions, so an item must never be predicted by a fit that saw it or its reference. The
splits are nested: each outer fold is predicted by a fit on the other folds, whose penalty was chosen by inner folds
of those alone. Its figure is then one of unseen items of the same data set, not of another one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from mllmqa.data.streams import stream
from mllmqa.errors import DataError
from mllmqa.evaluation.columns import Column, Columns, Float
from mllmqa.evaluation.runlog import ScorerRecord

FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Ridge penalties that are tried, on standardised scores and centred opinions."""
INCOMPLETE = "incomplete"
"""Reason of an item that not all of the combined scorers have scored."""


@dataclass(frozen=True)
class Fitted:
    """What a nested ridge regression gave.

    Attributes:
        values: Prediction of each item by the fit that did not see it, shape (N,).
        penalties: Chosen for each outer fold.
        weights: Mean over the outer folds, per standard deviation of each scorer, shape (K,).
    """

    values: Float
    penalties: tuple[float, ...]
    weights: Float


def rank_average(scores: Float) -> Float:
    """Return the mean of the mid-ranks of K scorers, scaled to 0..1, shape (N,). No opinion is used.

    Args:
        scores: Shape (K, N), finite, higher is better; N at least 2.
    """
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(row) for row in scores])
    return np.asarray((ranks.mean(axis=0) - 1) / (scores.shape[1] - 1), dtype=np.float64)


def ridge(scores: Float, opinions: Float, groups: Sequence[Hashable] | None = None, *, seed: int = 0) -> Fitted:
    """Predict the opinions by nested, grouped five-fold ridge regression.

    Args:
        scores: Shape (K, N), finite, no row constant.
        opinions: Shape (N,), finite.
        groups: Reference of each item; all items of one are in one fold. None: each item for itself.
        seed: Of the folds.

    Raises:
        DataError: Fewer than 2 groups for each fold, or fewer than 20 items.
    """
    units: list[Hashable] = list(groups) if groups is not None else list(range(len(opinions)))
    if len(opinions) < 4 * FOLDS or len(set(units)) < 2 * FOLDS:
        raise DataError(
            f"{len(opinions)} items of {len(set(units))} references for nested folds",
            expected=f"{4 * FOLDS} items of {2 * FOLDS} references or more",
        )
    outer = _folds(units, seed, "outer")
    values = np.full(len(opinions), np.nan)
    penalties, weights = [], []
    for k in range(FOLDS):
        train, test = outer != k, outer == k
        inner = _folds(
            [unit for unit, inside in zip(units, train.tolist(), strict=True) if inside], seed, f"inner {k}"
        )
        penalty = _best_penalty(scores[:, train], opinions[train], inner)
        predicted, fit = _fit(scores[:, train], opinions[train], scores[:, test], penalty)
        values[test] = predicted
        penalties.append(penalty)
        weights.append(fit)
    return Fitted(values, tuple(penalties), np.mean(weights, axis=0))


def combined(whole: Columns, how: str, *, seed: int = 0) -> Column:
    """Return all scorers of a data set as one; those that scored nothing, or all the same, take no part.

    Args:
        whole: The data set with its scorers.
        how: ``rank-average`` or ``ridge``.
        seed: Of the folds.

    Raises:
        DataError: Fewer than two scorers can take part, or there are too few items.
    """
    usable = [one for one in whole.scorers if len(np.unique(one.values[~np.isnan(one.values)])) > 1]
    if len(usable) < 2:
        raise DataError(f"{len(usable)} scorers of {whole.record.name} tell items apart", expected="2 to combine")
    table = np.stack([one.values for one in usable])
    complete = np.asarray(~np.isnan(table).any(axis=0))
    values = np.full(len(whole.items), np.nan)
    about: dict[str, JsonValue] = {"of": [one.scorer.name for one in usable]}
    if how == "rank-average":
        if complete.sum() < 2:
            raise DataError(f"{int(complete.sum())} items are scored by all", where=whole.record.name, expected="2")
        values[complete] = rank_average(table[:, complete])
    else:
        references = whole.references
        groups = None if references is None else [references[i] for i in np.flatnonzero(complete)]
        varied = [i for i, row in enumerate(table) if len(np.unique(row[complete])) > 1]
        found = ridge(table[varied][:, complete], whole.opinions[complete], groups, seed=seed)
        values[complete] = found.values
        about |= {
            "of": [usable[i].scorer.name for i in varied], "penalties": list(found.penalties),
            "weights": [float(weight) for weight in found.weights],
            "splits": f"{FOLDS} nested folds by {'item' if groups is None else 'reference'}, seed {seed}",
        }  # fmt: skip
    record = ScorerRecord(name=how, kind="combination", spec="", about=about)
    return Column(
        record,
        values,
        np.full(len(values), np.nan),
        tuple(None if one else INCOMPLETE for one in complete.tolist()),
    )


def _folds(units: Sequence[Hashable], seed: int, purpose: str) -> np.ndarray:
    """Return the fold of each item, 0 .. 4, shape (N,); folds have as many units as possible of the same number."""
    distinct = list(dict.fromkeys(units))
    order = stream(seed, "folds", purpose).permutation(len(distinct))
    fold = {distinct[unit]: place % FOLDS for place, unit in enumerate(order.tolist())}
    return np.array([fold[unit] for unit in units])


def _best_penalty(scores: Float, opinions: Float, folds: np.ndarray) -> float:
    errors = []
    for penalty in PENALTIES:
        missed = 0.0
        for k in range(FOLDS):
            train, test = folds != k, folds == k
            predicted, _ = _fit(scores[:, train], opinions[train], scores[:, test], penalty)
            missed += float(((predicted - opinions[test]) ** 2).sum())
        errors.append(missed)
    return PENALTIES[int(np.argmin(errors))]


def _fit(scores: Float, opinions: Float, others: Float, penalty: float) -> tuple[Float, Float]:
    """Fit on scores (K, N) and opinions (N,); return the predictions of others (K, M), and the weights (K,)."""
    mean, std = scores.mean(axis=1), scores.std(axis=1)
    std = np.where(std > 0, std, np.inf)  # constant in this fold: no weight
    z = (scores - mean[:, None]) / std[:, None]
    off = opinions - opinions.mean()
    weights = np.linalg.solve(z @ z.T + penalty * np.eye(len(z)), z @ off)
    return opinions.mean() + weights @ ((others - mean[:, None]) / std[:, None]), weights
