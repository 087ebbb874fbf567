"""Combinations: ranks without opinions, nested folds that leak nothing, who takes part, and what is too little."""

from __future__ import annotations

import numpy as np
import pytest

from mllmqa.errors import DataError
from mllmqa.evaluation import stats
from mllmqa.evaluation.columns import columns
from mllmqa.evaluation.combine import FOLDS, combined, rank_average, ridge
from tests import eval_logs


def two(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two scorers that see different halves of the quality."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(2, n))
    return parts + 0.3 * rng.normal(size=(2, n)), parts.sum(axis=0)


def test_rank_average_is_the_mean_of_the_ranks_from_0_to_1() -> None:
    found = rank_average(np.array([[1.0, 2.0, 3.0], [10.0, 30.0, 20.0]]))
    assert found.tolist() == [0, 0.75, 0.75]
    assert rank_average(np.array([[1.0, 1.0, 9.0]])).tolist() == [0.25, 0.25, 1.0]


def test_ridge_finds_what_each_scorer_lacks() -> None:
    scores, opinions = two()
    found = ridge(scores, opinions)
    alone = max(stats.srcc(row, opinions) for row in scores)
    assert stats.srcc(found.values, opinions) > alone + 0.1
    assert found.weights == pytest.approx([1, 1], abs=0.2)
    assert len(found.penalties) == FOLDS


def test_an_opinion_never_moves_the_prediction_of_its_own_item() -> None:
    scores, opinions = two(60)
    before = ridge(scores, opinions, seed=4).values
    other = opinions.copy()
    other[17] += 100
    after = ridge(scores, other, seed=4).values
    assert after[17] == before[17]
    assert not np.array_equal(after, before)


def test_nor_that_of_another_item_of_its_reference() -> None:
    scores, opinions = two(60)
    references = [f"r{i % 12}" for i in range(60)]
    before = ridge(scores, opinions, references, seed=4).values
    other = opinions.copy()
    other[17] += 100
    after = ridge(scores, other, references, seed=4).values
    same = [i for i in range(60) if references[i] == references[17]]
    assert after[same].tolist() == before[same].tolist()


def test_noise_stays_noise() -> None:
    """Without nested folds, twenty useless scorers on 60 items would seem to agree."""
    rng = np.random.default_rng(1)
    found = []
    for k in range(8):
        x, y = rng.normal(size=(20, 60)), rng.normal(size=60)
        found.append(stats.srcc(ridge(x, y, seed=k).values, y))
    assert float(np.mean(found)) < 0.15


@pytest.mark.parametrize(("n", "references"), [(19, None), (60, ["a", "b", "c"] * 20)])
def test_too_few_items_or_references(n: int, references: list[str] | None) -> None:
    scores, opinions = two(n)
    with pytest.raises(DataError, match=f"{n} items of"):
        ridge(scores, opinions, references)


def test_a_scorer_that_is_constant_in_one_fold_does_no_harm() -> None:
    scores, opinions = two(60)
    rare = np.zeros(60)
    rare[5] = 1
    found = ridge(np.stack([*scores, rare]), opinions)
    assert np.isfinite(found.values).all()


def test_only_scorers_that_tell_items_apart_take_part_and_items_need_all_of_them() -> None:
    scores, opinions = two(40)
    a: list[float | None] = scores[0].tolist()
    a[3] = None
    log = eval_logs.log(
        np.clip(opinions + 3, 1, 5).tolist(),
        {"a": a, "b": scores[1].tolist(), "same": [2.0] * 40, "none": [None] * 40},
    )
    whole = columns(log, "set")
    for how in ("rank-average", "ridge"):
        found = combined(whole, how)
        assert found.scorer.about["of"] == ["a", "b"]
        assert np.flatnonzero(np.isnan(found.values)).tolist() == [3]
        assert found.reasons == {"incomplete": 1}
    assert "40" not in str(combined(whole, "ridge").scorer.about["splits"])
    with pytest.raises(DataError, match="1 scorers of set tell items apart"):
        combined(columns(eval_logs.log([1.0, 2.0], {"a": [1.0, 2.0], "same": [1.0, 1.0]}), "set"), "rank-average")
    with pytest.raises(DataError, match="0 items are scored by all"):
        apart = {"a": [1.0, 2.0, None, None], "b": [None, None, 1.0, 2.0]}
        combined(columns(eval_logs.log([1.0, 2.0, 3.0, 4.0], apart), "set"), "rank-average")
