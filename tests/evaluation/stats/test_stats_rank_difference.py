"""The test of two dependent Spearman correlations: its influence by brute force, its level by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.errors import DataError
from mllmqa.evaluation import stats
from mllmqa.evaluation.stats.rank_difference import influence, rank_difference

Float = np.ndarray


def weighted(x: Float, y: Float, weights: Float) -> float:
    """Spearman's correlation of weighted items, from its definition: mid-ranks are shares of the weight below."""
    w = weights / weights.sum()
    f, g = (np.array([w[v < one].sum() + 0.5 * w[v == one].sum() for one in v]) - 0.5 for v in (x, y))
    return float((w * f * g).sum() / math.sqrt((w * f * f).sum() * (w * g * g).sum()))


def scorers(rng: np.random.Generator, n: int, noise: float, common: float) -> tuple[Float, Float, Float]:
    """Two equally good scorers with a common part of their errors, and the opinions."""
    y, shared = rng.normal(size=n), common * rng.normal(size=n)
    return y + shared + noise * rng.normal(size=n), y + shared + noise * rng.normal(size=n), y


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_the_influence_is_the_derivative_by_an_items_weight(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=12)
    y = x + rng.normal(size=12)
    if ties:
        x, y = np.round(2 * x), np.round(y)
    even, step = np.full(12, 1 / 12), 1e-6
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return
    assert weighted(x, y, even) == pytest.approx(stats.srcc(x, y), abs=1e-12)
    found = influence(x, y)
    for i in range(12):
        moved = (1 - step) * even
        moved[i] += step
        assert found[i] == pytest.approx((weighted(x, y, moved) - weighted(x, y, even)) / step, abs=1e-4)
    assert found.sum() == pytest.approx(0, abs=1e-9)


def test_the_variance_of_one_correlation_is_that_of_simulated_ones() -> None:
    """Normal, r = 0.8, on Fisher's scale: 1.2 times that of Pearson's, of which Williams' test knows nothing."""
    n, r = 400, 0.8
    x, noise = np.random.default_rng(1).normal(size=(2, 3000, n))
    y = r * x + math.sqrt(1 - r * r) * noise
    places = [one.argsort(axis=1).argsort(axis=1) - (n - 1) / 2 for one in (x, y)]
    rho = (places[0] * places[1]).sum(axis=1) * 12 / (n**3 - n)
    own = [(influence(x[i], y[i]) ** 2).sum() / n**2 / (1 - rho[i] ** 2) ** 2 for i in range(60)]
    assert np.mean(own) == pytest.approx(np.var(np.arctanh(rho)), rel=0.1)  # 3 deviations of the simulation
    assert 1.1 < np.var(np.arctanh(rho)) * (n - 3) < 1.35


@pytest.mark.parametrize(("noise", "common"), [(0.7, 0.3), (0.2, 0.1)])
def test_equal_scorers_are_called_different_as_often_as_told(noise: float, common: float) -> None:
    """300 runs: at most 8.4 % (5 % and 2.7 deviations); Williams' test is at 10 % for the better scorers."""
    found, william = [], []
    for run in range(300):
        a, b, y = scorers(np.random.default_rng(run), 150, noise, common)
        found.append(rank_difference(a, b, y).p_value < 0.05)
        william.append(stats.williams(stats.srcc(a, y), stats.srcc(b, y), stats.srcc(a, b), 150).p_value < 0.05)
    assert 0.013 <= np.mean(found) <= 0.084
    assert np.mean(found) < np.mean(william)


def test_scorers_that_differ_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    y, common = rng.normal(size=300), 0.3 * rng.normal(size=300)
    a, b = y + common + 0.4 * rng.normal(size=300), y + common + 0.8 * rng.normal(size=300)
    found, turned = rank_difference(a, b, y), rank_difference(b, a, y)
    assert found.statistic > 4
    assert found.p_value < 1e-4
    assert found.df == 297
    assert (turned.statistic, turned.p_value) == pytest.approx((-found.statistic, found.p_value))
    boot = stats.bootstrap([a, b], y, resamples=2000).srcc_difference[0]
    shift = influence(a, y) - influence(b, y)
    assert math.sqrt(float(shift @ shift)) / 300 == pytest.approx(boot.standard_error, rel=0.1)


def test_only_ranks_count() -> None:
    a, b, y = scorers(np.random.default_rng(4), 60, 0.6, 0.2)
    found = rank_difference(np.exp(a), b**3, np.arctan(y))
    assert found.p_value == pytest.approx(rank_difference(a, b, y).p_value, abs=1e-9)


def test_what_has_no_outcome_says_why() -> None:
    y = np.arange(8.0)
    a = np.array([0.0, 2, 1, 3, 5, 4, 7, 6])
    flat = np.ones(8)
    assert rank_difference(a, flat, y).reason == "a correlation is missing"
    assert rank_difference(a, 2 * a + 1, y).reason == "the models agree perfectly"
    assert rank_difference(a, y, y).reason == "a model agrees perfectly with the opinions"
    assert rank_difference(a[:3], y[:3][::-1], y[:3]).reason == "3 items are too few, 4 are needed"
    assert math.isnan(rank_difference(a, flat, y).p_value)
    for bad, message in ((a[:5], "5 scores for 8 opinions"), (np.full(8, math.nan), "not finite")):
        with pytest.raises(DataError, match=message):
            rank_difference(a, bad, y)
