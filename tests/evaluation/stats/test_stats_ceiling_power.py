"""Noise ceiling, repeated runs and power: known truths are recovered."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats

FIXTURE = Path(__file__).parents[2] / "fixtures" / "evaluation" / "statistics.json"


def panel(n: int, ratings: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True qualities, mean opinions, standard deviations."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 1, n)
    votes = truth[:, None] + noise * rng.normal(size=(n, ratings))
    return truth, votes.mean(axis=1), votes.std(axis=1, ddof=1)


# ---------------------------------------------------------------- ceiling


@pytest.mark.parametrize(("ratings", "noise"), [(5, 1.0), (20, 1.0), (8, 2.0)])
def test_the_ceiling_is_what_the_truth_reaches(ratings: int, noise: float) -> None:
    truth, mos, std = panel(1500, ratings, noise)
    found = stats.noise_ceiling(mos, std, ratings, simulations=30)
    assert found.reliability == pytest.approx(1 / (1 + noise**2 / ratings), abs=0.03)
    assert found.plcc_truth == pytest.approx(stats.plcc(truth, mos), abs=0.02)
    assert found.srcc_truth == pytest.approx(stats.srcc(truth, mos), abs=0.02)
    assert found.srcc_truth_interval[0] < found.srcc_truth < found.srcc_truth_interval[1]
    again = panel(1500, ratings, noise)[0] + noise / math.sqrt(ratings) * np.random.default_rng(9).normal(size=1500)
    assert found.plcc_retest == pytest.approx(stats.plcc(again, mos), abs=0.03)
    assert found.srcc_retest == pytest.approx(stats.srcc(again, mos), abs=0.03)
    assert found.reason is None


def test_more_ratings_raise_the_ceiling() -> None:
    _, mos, std = panel(300, 10, 1.0)
    few, many = (stats.noise_ceiling(mos, std, k, simulations=20) for k in (10, 100))
    assert few.plcc_truth < many.plcc_truth < 1
    assert few.srcc_truth < many.srcc_truth
    assert stats.noise_ceiling(mos, 0, 1, simulations=2).srcc_truth == pytest.approx(1)


def test_disattenuation_finds_the_correlation_with_the_truth() -> None:
    truth, mos, std = panel(3000, 6, 1.5)
    x = truth + np.random.default_rng(4).normal(size=3000)
    ceiling = stats.noise_ceiling(mos, std, 6, simulations=2)
    assert stats.disattenuated(x, mos, ceiling) == pytest.approx(stats.plcc(x, truth), abs=0.03)


def test_no_ceiling_with_a_reason() -> None:
    noisy = stats.noise_ceiling([3.0, 3.1, 2.9, 3.0], 2.0, 4)
    assert noisy.reason == "the opinions differ no more than their sampling error explains"
    assert math.isnan(noisy.srcc_truth)
    assert stats.noise_ceiling([1.0, 2.0], 1.0, 9).reason == "2 items are too few, 3 are needed"
    assert stats.noise_ceiling([2.0] * 4, 1.0, 9).reason == noisy.reason
    with pytest.raises(DataError, match="no noise ceiling"):
        stats.disattenuated(np.arange(4.0), np.arange(4.0), noisy)
    with pytest.raises(UsageError, match="0 simulations"):
        stats.noise_ceiling([1.0, 2.0, 3.0], 1.0, 9, simulations=0)
    with pytest.raises(DataError, match=r"numbers of ratings: 0.0"):
        stats.noise_ceiling([1.0, 2.0, 3.0], 1.0, 0)


def test_the_ceiling_is_seeded() -> None:
    _, mos, std = panel(50, 10, 1.0)
    one, same, other = (stats.noise_ceiling(mos, std, 10, simulations=5, seed=s) for s in (1, 1, 2))
    assert one == same and one.srcc_truth != other.srcc_truth


# ---------------------------------------------------------------- repeated runs


def test_the_published_retest() -> None:
    case = json.loads(FIXTURE.read_text())["test_retest"]
    runs = np.stack([case["run1"], case["run2"]], axis=1)
    found = stats.retest(runs)
    assert found.icc_agreement.value == pytest.approx(case["icc_2_1"], abs=1e-9)
    assert found.icc_consistency.value == pytest.approx(case["icc_3_1"], abs=1e-9)
    assert found.mean_absolute_change.value == pytest.approx(case["mean_abs_change"], abs=1e-9)
    assert stats.srcc(runs[:, 0], runs[:, 1]) == pytest.approx(case["srcc"], abs=1e-12)


def test_shrout_and_fleiss_table() -> None:
    """Their example of 6 targets and 4 judges: ICC(2,1) 0.29, ICC(3,1) 0.71."""
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    found = stats.retest(ratings)
    assert round(found.icc_agreement.value, 2) == 0.29
    assert round(found.icc_consistency.value, 2) == 0.71


@given(st.integers(0, 10**6), st.floats(-5, 5))
def test_a_shift_costs_agreement_but_not_consistency(seed: int, shift: float) -> None:
    x = np.random.default_rng(seed).normal(size=(12, 2))
    x[:, 1] += x[:, 0] * 2
    one, other = stats.retest(x), stats.retest(x + np.array([0, shift]))
    assert other.icc_consistency.value == pytest.approx(one.icc_consistency.value)


def test_equal_runs_and_lost_items() -> None:
    x = np.arange(5.0)
    found = stats.retest(np.stack([x, x, x], axis=1))
    assert (found.icc_agreement.value, found.icc_consistency.value) == (1, 1)
    assert (found.mean_absolute_change.value, found.changed.value) == (0, 0)
    x2 = x.copy()
    x2[1] = math.nan
    x2[2] += 1
    found = stats.retest(np.stack([x, x2], axis=1))
    assert (found.changed.n, found.changed.n_unscored, found.changed.value) == (4, 1, 0.25)
    assert found.mean_absolute_change.value == 0.25


def test_retest_without_a_figure() -> None:
    assert stats.retest([[1.0, 1.0], [1.0, 1.0]]).icc_agreement.reason == "all scores are equal"
    lost = stats.retest([[1.0, math.nan], [2.0, math.nan]])
    assert lost.changed.reason == "no item is scored by all runs"
    assert lost.icc_agreement.reason == "0 items scored by all runs are too few, 2 are needed"
    for bad in ([1.0, 2.0], [[1.0], [2.0]], [[math.inf, 1.0]]):
        with pytest.raises(DataError, match="at least 2 runs"):
            stats.retest(bad)


# ---------------------------------------------------------------- power


@pytest.mark.parametrize(("r", "n"), [((0.8, 0.75, 0.8), 150), ((0.6, 0.4, 0.5), 100), ((0.9, 0.85, 0.8), 60)])
def test_the_formula_agrees_with_simulation(r: tuple[float, float, float], n: int) -> None:
    formula = stats.power_of_difference(*r, n)
    plain = stats.simulated_power(*r, n, statistic="plcc", runs=400)
    assert plain == pytest.approx(formula, abs=0.08)
    assert stats.simulated_power(*r, n, runs=200) == pytest.approx(formula, abs=0.15)  # ranks cost a little


def test_equal_models_give_the_level_of_the_test() -> None:
    assert stats.power_of_difference(0.7, 0.7, 0.5, 100) == pytest.approx(0.05)
    assert stats.power_of_difference(0.7, 0.7, 0.5, 100, alpha=0.01) == pytest.approx(0.01)
    assert stats.simulated_power(0.7, 0.7, 0.5, 100, runs=400) == pytest.approx(0.05, abs=0.035)


@given(st.floats(0.3, 0.9), st.floats(0.02, 0.2), st.floats(0.3, 0.9))
def test_sample_size_is_the_least_that_does(r: float, gap: float, between: float) -> None:
    try:
        n = stats.sample_size(r, r - gap, between)
    except UsageError:
        return  # impossible together
    assert stats.power_of_difference(r, r - gap, between, n) >= 0.8
    assert n == 4 or stats.power_of_difference(r, r - gap, between, n - 1) < 0.8


def test_detectable_difference_inverts_the_power() -> None:
    gap = stats.detectable_difference(0.8, 0.8, 150)
    assert 0.05 < gap < 0.12
    assert stats.power_of_difference(0.8, 0.8 - gap, 0.8, 150) == pytest.approx(0.8, abs=1e-6)
    assert stats.detectable_difference(0.8, 0.8, 1500) < gap / 2
    assert math.isnan(stats.detectable_difference(0.3, 0.0, 4))


def test_more_items_closer_models_more_power() -> None:
    powers = [stats.power_of_difference(0.8, 0.75, 0.8, n) for n in (50, 150, 450)]
    assert powers == sorted(powers) and powers[0] < 0.3 < 0.8 < powers[-1]
    assert stats.power_of_difference(0.8, 0.75, 0.9, 150) > powers[1]


def test_impossible_questions_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no three variables correlate by 0.9, -0.9"):
        stats.power_of_difference(0.9, -0.9, 0.9, 100)
    with pytest.raises(UsageError, match="the two correlations are equal"):
        stats.sample_size(0.8, 0.8, 0.5)
    with pytest.raises(UsageError, match="needs more than 10000000 items"):
        stats.sample_size(0.8, 0.8 - 1e-6, 0.5)
    with pytest.raises(UsageError, match="3 items; expected 4 or more"):
        stats.power_of_difference(0.8, 0.7, 0.5, 3)
    with pytest.raises(UsageError, match="alpha 5"):
        stats.power_of_difference(0.8, 0.7, 0.5, 100, alpha=5)
    with pytest.raises(UsageError, match="0 runs of 100 items"):
        stats.simulated_power(0.8, 0.7, 0.5, 100, runs=0)
