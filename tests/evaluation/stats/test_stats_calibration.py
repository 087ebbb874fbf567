"""Calibration: scipy and numerical integration as oracles, nominal coverage by simulation, bounds, bad rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats

VALUES = np.array([1.0, 2, 3, 4, 5])
UNEVEN = np.array([0.0, 1.0, 1.5, 4.0])


def rows(n: int, levels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(levels, 0.5), n)


# ---------------------------------------------------------------- intervals


def test_a_calibrated_model_covers_what_it_says() -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.uniform(1, 5, 5000), rng.uniform(0.2, 1, 5000)
    mos = mean + std * rng.normal(size=5000)
    for found in stats.coverage(mean, std, mos):
        assert found.share.value == pytest.approx(found.level, abs=0.025)
        assert found.interval.low < found.share.value < found.interval.high
    over = stats.coverage(mean, std / 2, mos)
    assert all(one.share.value < one.level - 0.1 for one in over)


def test_intervals_cover_the_nominal_level_over_500_runs() -> None:
    """The Wilson interval of the measured coverage holds the nominal level in about 95 % of the runs."""
    hits = 0
    for run in range(500):
        mos = np.random.default_rng(run).normal(size=60)
        found = stats.coverage(np.zeros(60), 1.0, mos, [0.8])[0]
        hits += found.interval.low <= 0.8 <= found.interval.high
    assert 0.915 <= hits / 500 <= 0.985


def test_unscored_items_bound_the_coverage() -> None:
    found = stats.coverage([0.0, 5.0, math.nan, math.nan], [1, 1, math.nan, math.nan], [0, 0, 0, 0], [0.9])[0].share
    assert (found.value, found.n, found.n_unscored, found.worst, found.best) == (0.5, 2, 2, 0.25, 0.75)
    assert stats.coverage([math.nan], 1.0, [3.0], [0.9])[0].share.reason == "no item is scored"


def test_a_certain_model_is_right_or_wrong() -> None:
    found = stats.coverage([1.0, 2.0], 0.0, [1.0, 2.1], [0.5])[0]
    assert found.share.value == 0.5


def test_coverage_refuses_bad_input() -> None:
    with pytest.raises(DataError, match=r"standard deviations: -1.0"):
        stats.coverage([1.0, 2.0], -1, [1.0, 2.0])
    with pytest.raises(UsageError, match="coverage 95"):
        stats.coverage([1.0, 2.0], 1, [1.0, 2.0], [95])
    with pytest.raises(DataError, match="3 standard deviations for 2 opinions"):
        stats.coverage([1.0, 2.0], [1, 1, 1], [1.0, 2.0])


# ---------------------------------------------------------------- distances


@given(st.integers(0, 10**6))
def test_distances_equal_scipy(seed: int) -> None:
    p, q = rows(4, 4, seed), rows(4, 4, seed + 1)
    expected = np.mean([oracle.wasserstein_distance(UNEVEN, UNEVEN, a, b) for a, b in zip(p, q, strict=True)])
    assert stats.emd(p, q, UNEVEN).value == pytest.approx(expected, abs=1e-12)
    kl = np.mean([oracle.entropy(b, np.maximum(a, 1e-12)) for a, b in zip(p, q, strict=True)])
    assert stats.kl_divergence(p, q).value == pytest.approx(kl, abs=1e-6)
    two = np.mean([np.sqrt(np.mean((np.cumsum(a) - np.cumsum(b)) ** 2)) for a, b in zip(p, q, strict=True)])
    assert stats.emd(p, q, UNEVEN, order=2).value == pytest.approx(two, abs=1e-12)


@given(st.integers(0, 10**6))
def test_distances_are_zero_only_to_oneself_and_emd_is_symmetric(seed: int) -> None:
    p, q = rows(3, 5, seed), rows(3, 5, seed + 1)
    for order in (1, 2):
        assert stats.emd(p, p, VALUES, order=order).value == pytest.approx(0, abs=1e-12)
        one, other = (stats.emd(a, b, VALUES, order=order).value for a, b in ((p, q), (q, p)))
        assert one == pytest.approx(other) and one > 0
    assert stats.kl_divergence(p, p).value == pytest.approx(0, abs=1e-9)
    assert stats.kl_divergence(p, q).value > 0


def test_one_hot_by_hand() -> None:
    good, fair = np.eye(5)[[3]], np.eye(5)[[2]]
    assert stats.emd(good, fair, VALUES).value == 1
    assert stats.emd(good, fair, VALUES, order=2).value == pytest.approx(math.sqrt(1 / 5))
    assert stats.kl_divergence(good, fair).value == pytest.approx(-math.log(1e-12))
    assert stats.kl_divergence(good, fair, floor=1e-3).value == pytest.approx(-math.log(1e-3))
    assert stats.crps(good, [4.0], VALUES).value == 0
    assert stats.crps(good, [2.5], VALUES).value == 1.5


@given(st.integers(0, 10**6), st.floats(-1, 5))
def test_crps_equals_the_integral(seed: int, y: float) -> None:
    p = rows(1, 4, seed)
    grid = np.linspace(-2, 6, 160_001)
    steps = np.concatenate([[0.0], np.cumsum(p[0])])[np.searchsorted(UNEVEN, grid, "right")]
    expected = float(np.trapezoid((steps - (grid >= y)) ** 2, grid)) if hasattr(np, "trapezoid") else None
    if expected is not None:
        assert stats.crps(p, [y], UNEVEN).value == pytest.approx(expected, abs=2e-4)


def test_crps_of_a_normal_equals_the_integral_and_the_mean_over_samples() -> None:
    grid = np.linspace(-12, 14, 400_001)
    for mean, std, y in ((0.0, 1.0, 0.0), (1.0, 0.5, 2.2), (-1.0, 2.0, 3.0)):
        gap = (oracle.norm.cdf(grid, mean, std) - (grid >= y)) ** 2
        expected = float(gap.sum() * (grid[1] - grid[0]))
        assert stats.crps_normal([mean], [std], [y]).value == pytest.approx(expected, abs=1e-3)
    assert stats.crps_normal([0.0], 1.0, [0.0]).value == pytest.approx((math.sqrt(2) - 1) / math.sqrt(math.pi))


def test_crps_of_a_certain_model_is_its_absolute_error() -> None:
    assert stats.crps_normal([1.0, 2.0], 1e-9, [1.5, 4.0]).value == pytest.approx(1.25, abs=1e-6)
    with pytest.raises(DataError, match=r"standard deviations: 0.0"):
        stats.crps_normal([1.0], 0.0, [1.0])
    found = stats.crps_normal([1.0, math.nan], [0.5, math.nan], [1.0, 2.0])
    assert (found.n, found.n_unscored) == (1, 1) and math.isnan(found.worst)


@given(st.integers(0, 10**6))
def test_the_true_distribution_scores_best(seed: int) -> None:
    """CRPS and KL are proper: in expectation over the opinions, no other prediction is better."""
    p, q = rows(1, 5, seed), rows(1, 5, seed + 1)
    expected = [sum(q[0, k] * stats.crps(one, [VALUES[k]], VALUES).value for k in range(5)) for one in (q, p)]
    assert expected[0] <= expected[1] + 1e-12


# ---------------------------------------------------------------- bounds


@given(st.integers(0, 10**6), st.integers(1, 3))
def test_bounds_hold_for_any_distribution(seed: int, lost: int) -> None:
    full, q = rows(5, 4, seed), rows(5, 4, seed + 1)
    y = np.random.default_rng(seed).uniform(-1, 5, 5)
    p = full.copy()
    p[:lost] = math.nan
    makers = [
        lambda a: stats.kl_divergence(a, q),
        lambda a: stats.emd(a, q, UNEVEN),
        lambda a: stats.emd(a, q, UNEVEN, order=2),
        lambda a: stats.crps(a, y, UNEVEN),
    ]
    for make in makers:
        bounds, truth = make(p), make(full)
        assert (bounds.n, bounds.n_unscored, truth.n) == (5 - lost, lost, 5)
        assert bounds.best - 1e-9 <= truth.value <= bounds.worst + 1e-9


@given(st.integers(0, 10**6))
def test_bounds_are_reached(seed: int) -> None:
    """At worst all mass is on one level; at best KL and EMD vanish, and CRPS is least with mass on two levels."""
    q, y = rows(1, 4, seed), np.random.default_rng(seed).uniform(-1, 5, 1)
    nothing, ends = np.full((1, 4), math.nan), np.eye(4)
    for make in (
        lambda a: stats.kl_divergence(a, q),
        lambda a: stats.emd(a, q, UNEVEN),
        lambda a: stats.emd(a, q, UNEVEN, order=2),
        lambda a: stats.crps(a, y, UNEVEN),
    ):
        assert make(nothing).worst == pytest.approx(max(make(ends[[k]]).value for k in range(4)))
        assert make(nothing).reason == "no item is scored"
    assert stats.emd(nothing, q, UNEVEN).best == stats.kl_divergence(nothing, q).best == 0
    shares = np.linspace(0, 1, 1001)
    least = min(
        stats.crps((1 - share) * ends[[k]] + share * ends[[k + 1]], y, UNEVEN).value
        for k in range(3) for share in shares[:: 20]
    )  # fmt: skip
    assert stats.crps(nothing, y, UNEVEN).best <= least + 1e-12
    assert stats.crps(nothing, y, UNEVEN).best == pytest.approx(least, abs=2e-3)


def test_one_level_only() -> None:
    assert stats.crps([[math.nan]], [3.0], [2.0]).best == 1
    assert stats.emd([[1.0]], [[1.0]], [2.0]).value == 0


# ---------------------------------------------------------------- moments and bad rows


def test_moments_by_hand() -> None:
    mean, std = stats.moments([[0, 0.5, 0, 0.5, 0], [np.nan] * 5, [0, 0, 1, 0, 0]], VALUES)
    np.testing.assert_allclose(mean, [3, np.nan, 3])
    np.testing.assert_allclose(std, [1, np.nan, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([[0.5, 0.6]], r"row 0 of the predictions is \[0.5, 0.6\]; expected at least 0, sum 1"),
        ([[1.0, 0.0], [1.2, -0.2]], "row 1 of the predictions"),
        ([[0.5, math.nan]], "row 0 of the predictions"),
        ([0.5, 0.5], r"predictions have shape \(2,\)"),
        ([[math.inf, 0.0]], "row 0 of the predictions"),
    ],
)
def test_rows_that_are_no_distributions(bad: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        stats.moments(bad, [1, 2])  # type: ignore[arg-type]


def test_opinions_must_all_be_there() -> None:
    p = [[0.5, 0.5]]
    with pytest.raises(DataError, match="row 0 of the opinions"):
        stats.kl_divergence(p, [[math.nan, math.nan]])
    with pytest.raises(DataError, match=r"predictions have shape \(1, 2\), opinions \(2, 2\)"):
        stats.emd(p, p * 2, [1, 2])
    with pytest.raises(DataError, match="1 predictions for 2 opinions"):
        stats.crps(p, [1.0, 2.0], [1, 2])
    with pytest.raises(DataError, match="one per level, ascending"):
        stats.crps(p, [1.0], [2, 1])
    with pytest.raises(DataError, match="order 3"):
        stats.emd(p, p, [1, 2], order=3)
