"""Outlier ratio and RMSE beyond the uncertainty of the opinions: hand arithmetic, bounds, nominal rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats


def test_outliers_by_hand() -> None:
    found = stats.outlier_ratio([1.0, 2.0, 3.0, 4.0], [1.4, 2.0, 4.0, 4.5], [0.5, 0.1, 0.5, 0.5])
    assert (found.value, found.n, found.worst, found.best) == (0.25, 4, 0.25, 0.25)  # 0.5 is not more than 0.5
    assert stats.outlier_ratio([1.0, 2.0], [1.0, 2.0], 0).value == 0


def test_unscored_items_are_outliers_at_worst() -> None:
    found = stats.outlier_ratio([1.0, 2.0, math.nan, math.nan], [1.0, 3.0, 3.0, 4.0], 0.5)
    assert (found.value, found.worst, found.best) == (0.5, 0.75, 0.25)
    assert (found.n, found.n_unscored) == (2, 2)
    nothing = stats.outlier_ratio([math.nan], [3.0], 0.5)
    assert nothing.reason == "no item is scored" and (nothing.worst, nothing.best) == (1, 0)


def test_half_width_by_scipy() -> None:
    found = stats.half_width([0.5, 1.0], [4, 25], 2)
    np.testing.assert_allclose(found, [oracle.norm.ppf(0.975) * 0.25, oracle.norm.ppf(0.975) * 0.2])
    found = stats.half_width([0.5, 1.0], [4, 25], 2, level=0.9, student=True)
    np.testing.assert_allclose(found, [oracle.t.ppf(0.95, 3) * 0.25, oracle.t.ppf(0.95, 24) * 0.2])
    np.testing.assert_allclose(stats.half_width(1, 16, 3), [oracle.norm.ppf(0.975) / 4] * 3)


def test_one_rating_says_nothing_and_no_spread_says_all() -> None:
    found = stats.half_width([0.5, 0.0, 0.0], [1, 1, 9], 3, student=True)
    assert found.tolist() == [math.inf, 0.0, 0.0]


def test_the_truth_is_an_outlier_in_one_of_twenty() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, 4000)
    votes = truth[:, None] + rng.normal(size=(4000, 25))
    mean, std = votes.mean(axis=1), votes.std(axis=1, ddof=1)
    width = stats.half_width(std, 25, 4000, student=True)
    assert stats.outlier_ratio(truth, mean, width).value == pytest.approx(0.05, abs=0.012)


@given(st.lists(st.tuples(st.floats(1, 5), st.floats(1, 5), st.floats(0, 2)), min_size=1, max_size=20))
def test_a_wider_interval_has_fewer_outliers_and_less_error(rows: list[tuple[float, float, float]]) -> None:
    x, y, w = np.array(rows).T
    assert stats.outlier_ratio(x, y, 2 * w).value <= stats.outlier_ratio(x, y, w).value
    plain = stats.rmse(x, y)
    assert stats.rmse_beyond(x, y, 0).value == pytest.approx(plain)
    assert stats.rmse_beyond(x, y, 2 * w).value <= stats.rmse_beyond(x, y, w).value + 1e-12 <= plain + 2e-12


def test_rmse_beyond_by_hand() -> None:
    # errors 0.4, 1.0, 0.2 beyond 0.3: 0.1, 0.7, 0
    found = stats.rmse_beyond([1.0, 2.0, 3.0], [1.4, 3.0, 3.2], 0.3)
    assert found.value == pytest.approx(math.sqrt(0.5 / 3))
    assert stats.rmse_beyond([1.0, 2.0, 3.0], [1.4, 3.0, 3.2], 0.3, lost_parameters=1).value == pytest.approx(0.5)
    few = stats.rmse_beyond([1.0, 2.0], [1.0, 2.0], 0.3, lost_parameters=2)
    assert few.reason == "2 scored items for 2 parameters"


@given(st.integers(0, 10**6))
def test_bounds_hold_for_any_scores_on_the_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, w = rng.uniform(0, 6, 8), rng.uniform(0, 1, 8)
    full = rng.uniform(1, 5, 8)
    x = full.copy()
    x[:3] = math.nan
    found, truth = stats.rmse_beyond(x, y, w, scale=(1, 5)), stats.rmse_beyond(full, y, w)
    assert found.best - 1e-12 <= truth.value <= found.worst + 1e-12
    ratio, truth = stats.outlier_ratio(x, y, w), stats.outlier_ratio(full, y, w)
    assert ratio.best <= truth.value <= ratio.worst


def test_bad_input() -> None:
    with pytest.raises(DataError, match="2 widths for 3 opinions"):
        stats.outlier_ratio([1, 2, 3], [1, 2, 3], [1, 1])
    with pytest.raises(DataError, match=r"widths: -1.0 at index 1; expected at least 0"):
        stats.rmse_beyond([1, 2], [1, 2], [1, -1])
    with pytest.raises(UsageError, match=r"coverage 1.5"):
        stats.half_width(1, 5, 2, level=1.5)
    with pytest.raises(DataError, match=r"on the scale 1..5"):
        stats.rmse_beyond([1, 7, math.nan], [1, 2, 3], 0.1, scale=(1, 5))
