"""Bounds with the unscored: against all orders, against many random scores, and in their limits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats

NAN = math.nan


@st.composite
def judged(draw: st.DrawFn, most_unscored: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties and NaN, opinions with ties."""
    scored = draw(st.lists(st.integers(0, 3), min_size=0, max_size=4))
    lost = draw(st.integers(1, most_unscored))
    x = np.array([*map(float, scored), *[NAN] * lost])
    y = np.array(draw(st.lists(st.integers(0, 4), min_size=len(x), max_size=len(x))), float)
    order = draw(st.permutations(range(len(x))))
    return x[order], y[order]


def every_order(x: np.ndarray) -> list[np.ndarray]:
    """Return all ways to give the unscored items distinct scores, by ranks."""
    lost = np.flatnonzero(np.isnan(x))
    gaps = [-0.5, 0.5, 1.5, 2.5, 3.5]  # between and beside the integer scores
    found = []
    for places in itertools.product(gaps, repeat=len(lost)):
        for order in itertools.permutations(range(len(lost))):
            filled = x.copy()
            filled[lost] = [place + 0.1 * shift for place, shift in zip(places, order, strict=True)]
            found.append(filled)
    return found


@settings(max_examples=40, deadline=None)
@given(judged(2))
def test_srcc_and_krcc_bounds_equal_the_extremes_of_all_orders(case: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = case
    for bounds, of in ((stats.srcc_bounds, stats.srcc), (stats.krcc_bounds, stats.krcc)):
        values = [of(filled, y) for filled in every_order(x)]
        found = bounds(x, y)
        if len(y) < 3 or np.ptp(y) == 0:
            assert math.isnan(found[0]) and math.isnan(found[1])
        else:
            assert found == pytest.approx((min(values), max(values)), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(judged(), st.integers(0, 2**32 - 1))
def test_plcc_bounds_hold_for_all_scores_and_are_reached(case: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    x, y = case
    scale = (0.0, 3.0)
    low, high = stats.plcc_bounds(x, y, scale=scale)
    if len(y) < 3 or np.ptp(y) == 0:
        assert math.isnan(low)
        return
    lost = np.flatnonzero(np.isnan(x))
    axis = np.linspace(*scale, 25)
    tried = np.array(list(itertools.product(axis, repeat=len(lost))))
    tried = np.concatenate([tried, np.random.default_rng(seed).uniform(*scale, (200, len(lost)))])
    full = np.repeat(x[None], len(tried), axis=0)
    full[:, lost] = tried
    off = full - full.mean(axis=1, keepdims=True)
    spread = np.sqrt((off**2).sum(axis=1))
    usable = spread > 1e-9
    found = (off @ (y - y.mean()))[usable] / (spread[usable] * np.sqrt(((y - y.mean()) ** 2).sum()))
    assert low - 1e-9 <= found.min() <= low + 0.02
    assert high - 0.02 <= found.max() <= high + 1e-9


def test_plcc_bound_of_a_general_optimiser() -> None:
    """Thirty items, ten unscored: the convex problem against L-BFGS-B over the ten scores."""
    rng = np.random.default_rng(3)
    y = rng.normal(size=30)
    x = np.clip(3 + y + rng.normal(size=30), 1, 5)
    x[:10] = NAN
    low, high = stats.plcc_bounds(x, y, scale=(1, 5))
    for sign, edge in ((1, high), (-1, low)):
        values = []
        for seed in range(8):
            start = np.random.default_rng(seed).uniform(1, 5, 10)
            goal = minimize(
                lambda v, sign=sign: -sign * stats.plcc(np.concatenate([v, x[10:]]), y), start, bounds=[(1, 5)] * 10
            )
            values.append(-sign * goal.fun)
        assert sign * max(sign * np.array(values)) == pytest.approx(edge, abs=1e-6)
    assert low < stats.plcc(x[10:], y[10:]) < high


@settings(max_examples=40, deadline=None)
@given(judged(), st.integers(0, 2**32 - 1))
def test_rmse_bounds_are_exact(case: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    x, y = case
    worst, best = stats.rmse_bounds(x, y, scale=(0, 3))
    lost = np.isnan(x)
    near = x.copy()
    near[lost] = np.clip(y[lost], 0, 3)
    far = x.copy()
    far[lost] = np.where(y[lost] > 1.5, 0, 3)
    assert (worst, best) == pytest.approx((stats.rmse(far, y), stats.rmse(near, y)))
    any_ = x.copy()
    any_[lost] = np.random.default_rng(seed).uniform(0, 3, lost.sum())
    assert best - 1e-12 <= stats.rmse(any_, y) <= worst + 1e-12


@settings(max_examples=30, deadline=None)
@given(judged())
def test_more_unscored_items_widen_the_bounds(case: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = case
    scored = np.flatnonzero(~np.isnan(x))
    if not len(scored) or len(y) < 3 or np.ptp(y) == 0:
        return
    fewer = x.copy()
    fewer[scored[0]] = NAN
    if np.unique(x[scored]).size < len(scored):
        return  # a tie that goes frees an order that was not among the old ones, and the spread of the ranks grows
    for bounds in (stats.srcc_bounds, stats.krcc_bounds):
        inner, outer = bounds(x, y), bounds(fewer, y)
        assert outer[0] <= inner[0] + 1e-9
        assert outer[1] >= inner[1] - 1e-9


def test_without_unscored_items_the_bounds_are_the_figure() -> None:
    x, y = [1, 2, 2, 4, 3], [2, 1, 3, 5, 5]
    for bounds, of in (
        (stats.srcc_bounds, stats.srcc),
        (stats.krcc_bounds, stats.krcc),
        (stats.plcc_bounds, stats.plcc),
        (stats.rmse_bounds, stats.rmse),
    ):
        assert bounds(x, y) == pytest.approx((of(x, y), of(x, y)))


def test_all_unscored_can_be_anything() -> None:
    x, y = [NAN] * 6, [1, 2, 3, 4, 5, 6]
    assert stats.srcc_bounds(x, y) == pytest.approx((-1, 1))
    assert stats.krcc_bounds(x, y) == pytest.approx((-1, 1))
    assert stats.plcc_bounds(x, y) == pytest.approx((-1, 1))
    assert all(map(math.isnan, stats.rmse_bounds(x, y)))
    assert stats.rmse_bounds(x, y, scale=(1, 6)) == pytest.approx((math.sqrt((25 + 16 + 9) * 2 / 6), 0))


def test_no_bounds_where_no_order_would_help() -> None:
    for bounds in (stats.srcc_bounds, stats.krcc_bounds, stats.plcc_bounds):
        assert all(map(math.isnan, bounds([NAN, 1], [1, 2])))
        assert all(map(math.isnan, bounds([NAN, 1, 2], [3, 3, 3])))
        assert all(map(math.isnan, bounds([2, 2, 2], [1, 2, 3])))
    assert all(map(math.isnan, stats.plcc_bounds([NAN, 2, 2], [1, 2, 3])))  # a scale of one point


def test_one_scored_item_is_no_hindrance() -> None:
    assert stats.srcc_bounds([2, NAN, NAN], [1, 2, 3]) == pytest.approx((-1, 1))
    assert stats.plcc_bounds([2, NAN, NAN], [1, 2, 3], scale=(1, 5)) == pytest.approx((-1, 1))


def test_an_inverted_model_stays_inverted_with_few_unscored() -> None:
    y = np.arange(40.0)
    x = -y.copy()
    x[7] = NAN
    for low, high in (stats.srcc_bounds(x, y), stats.plcc_bounds(x, y), stats.krcc_bounds(x, y)):
        assert low == pytest.approx(-1)
        assert high < -0.85


def test_the_scale_is_checked() -> None:
    with pytest.raises(DataError, match=r"scores from 1 to 9; expected on the scale 1..5"):
        stats.plcc_bounds([1, 9, NAN], [1, 2, 3], scale=(1, 5))
    with pytest.raises(UsageError, match="two finite numbers, the lower first"):
        stats.rmse_bounds([1, 2, NAN], [1, 2, 3], scale=(5, 1))


def test_bounds_reach_the_report() -> None:
    y = np.arange(10.0)
    x = y.copy()
    x[[0, 9]] = NAN
    found = stats.correlate(x, y, scale=(0, 9))
    assert (found.srcc.value, found.srcc.best) == (pytest.approx(1), pytest.approx(1))
    assert found.srcc.worst == pytest.approx(stats.srcc([10, *range(1, 9), -1], y))
    assert found.plcc.worst == pytest.approx(stats.plcc([9, *range(1, 9), 0], y))
    assert found.rmse.worst == pytest.approx(math.sqrt(2 * 81 / 10))
    assert (found.rmse.value, found.rmse.best) == (0, 0)
    assert {figure.n_unscored for figure in (found.srcc, found.krcc, found.plcc, found.rmse)} == {2}


def test_thousands_of_items_are_no_trouble() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=3000)
    x = y + rng.normal(size=3000)
    x[:300] = NAN
    for bounds, of in (
        (stats.srcc_bounds, stats.srcc), (stats.krcc_bounds, stats.krcc), (stats.plcc_bounds, stats.plcc)
    ):  # fmt: skip
        low, high = bounds(x, y)
        assert -1 < low < of(x[300:], y[300:]) < high < 1
