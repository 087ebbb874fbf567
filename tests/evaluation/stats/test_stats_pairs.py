"""Accuracy on pairs: by hand, against Kendall's count, with ties and unscored items."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=2, max_size=25)


@given(ROWS)
def test_equals_counting_all_pairs(rows: list[tuple[int, int]]) -> None:
    x, y = np.array(rows, float).T
    right = [
        0.5 if a[0] == b[0] else float((a[0] > b[0]) == (a[1] > b[1]))
        for a, b in itertools.combinations(rows, 2)
        if a[1] != b[1]
    ]
    found = stats.pair_accuracy(x, y).all
    assert found.accuracy.n == len(right)
    if right:
        assert found.accuracy.value == pytest.approx(np.mean(right))
        assert found.ties == pytest.approx(np.mean([value == 0.5 for value in right]))
    else:
        assert math.isnan(found.accuracy.value)
        assert found.accuracy.reason == "no pair of scored items with different opinions"


@given(ROWS)
def test_bins_add_up_and_monotone_maps_change_nothing(rows: list[tuple[int, int]]) -> None:
    x, y = np.array(rows, float).T
    found = stats.pair_accuracy(x, y, [1.5, 3])
    assert [(b.low, b.high) for b in found.bins] == [(0, 1.5), (1.5, 3), (3, math.inf)]
    assert sum(b.accuracy.n for b in found.bins) == found.all.accuracy.n
    hits = sum(b.accuracy.n * b.accuracy.value for b in found.bins if b.accuracy.n)
    if found.all.accuracy.n:
        assert hits == pytest.approx(found.all.accuracy.n * found.all.accuracy.value)
    mapped = stats.pair_accuracy(np.exp(x), y, [1.5, 3])
    for one, other in zip((found.all, *found.bins), (mapped.all, *mapped.bins), strict=True):
        np.testing.assert_equal(one.accuracy.value, other.accuracy.value)
    turned = stats.pair_accuracy(-x, y).all.accuracy
    if turned.n:
        assert turned.value == pytest.approx(1 - found.all.accuracy.value)


def test_without_ties_it_is_kendall() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60))
    assert stats.pair_accuracy(x, y).all.accuracy.value == pytest.approx((1 + stats.krcc(x, y)) / 2)


def test_close_pairs_are_harder() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    found = stats.pair_accuracy(y + 0.7 * rng.normal(size=200), y)
    easy = [b.accuracy.value for b in found.bins]
    assert easy[0] < easy[1] < easy[2]
    assert found.bins[0].high == pytest.approx(0.25 * y.std())


def test_a_constant_model_is_a_coin() -> None:
    found = stats.pair_accuracy([3.0] * 10, np.arange(10.0)).all
    assert (found.accuracy.value, found.ties) == (0.5, 1)


def test_an_edge_belongs_to_the_upper_bin() -> None:
    found = stats.pair_accuracy([1, 2, 3], [0.0, 1, 3], [1, 2])
    assert [b.accuracy.n for b in found.bins] == [0, 1, 2]


def test_pairs_with_an_unscored_item_bound_the_accuracy() -> None:
    found = stats.pair_accuracy([1.0, 2, math.nan], [1, 2, 3]).all.accuracy
    assert (found.value, found.n, found.n_unscored) == (1, 1, 2)
    assert (found.worst, found.best) == pytest.approx((1 / 3, 1))
    nothing = stats.pair_accuracy([math.nan] * 4, [1, 2, 3, 4]).all.accuracy
    assert math.isnan(nothing.value)
    assert (nothing.n, nothing.n_unscored, nothing.worst, nothing.best) == (0, 6, 0, 1)


@given(ROWS, st.integers(0, 99))
def test_bounds_hold_for_any_scores(rows: list[tuple[int, int]], seed: int) -> None:
    x, y = np.array(rows, float).T
    full = x.copy()
    lost = np.arange(len(x)) % 3 == 0
    x[lost] = math.nan
    full[lost] = np.random.default_rng(seed).uniform(-1, 5, lost.sum())
    bounds, truth = stats.pair_accuracy(x, y, [2]), stats.pair_accuracy(full, y, [2])
    for one, other in zip((bounds.all, *bounds.bins), (truth.all, *truth.bins), strict=True):
        assert one.accuracy.n + one.accuracy.n_unscored == other.accuracy.n
        if one.accuracy.n_unscored:
            assert one.accuracy.worst - 1e-12 <= other.accuracy.value <= one.accuracy.best + 1e-12


@pytest.mark.parametrize("edges", [[0.0], [2, 1], [1, 1], [math.nan], [-1]])
def test_edges_must_ascend(edges: list[float]) -> None:
    with pytest.raises(UsageError, match="positive numbers that ascend"):
        stats.pair_accuracy([1, 2], [1, 2], edges)


def test_few_items_and_bad_opinions() -> None:
    for x in ([], [1.0]):
        assert stats.pair_accuracy(x, x).all.accuracy.n == 0
    assert len(stats.pair_accuracy([1, 2], [3, 3]).bins) == 1  # no spread, no edges
    with pytest.raises(DataError, match="opinions are not finite"):
        stats.pair_accuracy([1, 2], [1, math.nan])


@pytest.mark.parametrize("data", ["cvd2014", "livevqc"])
def test_real_predictions(shared: Path, data: str) -> None:
    table = np.genfromtxt(
        shared / f"fixtures/classic/corr/dover_{data}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    text = (shared / "fixtures/classic/stats/significance_ci_finegrained.json").read_text()
    expected = list(json.loads(text)[data]["pairwise_accuracy"].values())
    found = stats.pair_accuracy(table["pred_fused"], table["mos"])
    values = [found.all.accuracy.value, *(b.accuracy.value for b in found.bins)]
    assert values == pytest.approx(expected, abs=1e-12)
