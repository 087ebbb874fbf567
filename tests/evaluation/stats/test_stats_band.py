"""Bands of fitted curves: they cover the truth, widen with references, and stand where nothing is determined."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from mllmqa.errors import DataError
from mllmqa.evaluation import stats

AT = np.linspace(-1.5, 1.5, 7)


def truth(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.5 + 3 * expit(1.8 * x))


def drawn(n: int, seed: int, noise: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, truth(x) + noise * rng.normal(size=n)


def test_the_band_covers_the_true_curve_about_as_often_as_it_says() -> None:
    """30 runs at 7 places each: 0.95 is expected; the places of one run hang together."""
    inside = []
    for seed in range(30):
        x, y = drawn(120, seed)
        low, high = stats.curve_band(stats.fit_logistic(x, y), x, y, AT)
        inside.append((low <= truth(AT)) & (truth(AT) <= high))
    assert 0.88 <= np.mean(inside) <= 1.0


def test_it_holds_the_curve_and_narrows_with_the_root_of_the_items() -> None:
    x, y = drawn(200, 0)
    fit = stats.fit_logistic(x, y)
    low, high = stats.curve_band(fit, x, y, AT)
    assert (low < fit(AT)).all()
    assert (fit(AT) < high).all()
    np.testing.assert_allclose((low + high) / 2, fit(AT))
    twice = stats.curve_band(fit, np.tile(x, 4), np.tile(y, 4), AT)
    assert np.median((high - low) / (twice[1] - twice[0])) == pytest.approx(2, rel=0.05)


def test_it_is_the_bootstrap_s_width() -> None:
    x, y = drawn(300, 1)
    fit, rng = stats.fit_logistic(x, y), np.random.default_rng(0)
    again = []
    for _ in range(25):
        i = rng.integers(0, len(x), len(x))
        again.append(stats.fit_logistic(x[i], y[i])(AT))
    low, high = stats.curve_band(fit, x, y, AT)
    ratio = (high - low) / (2 * 1.96 * np.std(again, axis=0, ddof=1))
    assert 0.6 < np.median(ratio) < 1.6


def test_items_of_one_reference_hang_together() -> None:
    rng = np.random.default_rng(2)
    names = np.repeat(np.arange(20), 10)
    x = rng.normal(size=200)
    y = truth(x) + rng.normal(size=20)[names] * 0.8 + 0.1 * rng.normal(size=200)
    fit = stats.fit_logistic(x, y)
    alone = stats.curve_band(fit, x, y, AT)
    grouped = stats.curve_band(fit, x, y, AT, groups=names.tolist())
    assert np.median((grouped[1] - grouped[0]) / (alone[1] - alone[0])) > 1.3


def test_the_level_decides_the_width() -> None:
    x, y = drawn(100, 3)
    fit = stats.fit_logistic(x, y)
    half, most = (stats.curve_band(fit, x, y, AT, level=level) for level in (0.5, 0.95))
    ratio = (most[1] - most[0]) / (half[1] - half[0])
    np.testing.assert_allclose(ratio, 1.959964 / 0.674490, rtol=1e-4)


def test_a_step_has_a_band_of_its_two_means() -> None:
    """Where the steepness says nothing, the ends are still known."""
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.uniform(-2, -1, 40), rng.uniform(1, 2, 40)])
    y = np.where(x > 0, 4.0, 2.0) + 0.3 * rng.normal(size=80)
    low, high = stats.curve_band(stats.fit_logistic(x, y), x, y, [-1.5, 1.5])
    assert np.isfinite([low, high]).all()
    for k, side in enumerate((x < 0, x > 0)):
        assert low[k] < y[side].mean() < high[k]
        assert high[k] - low[k] < 1


def test_what_makes_no_band_is_an_error() -> None:
    x, y = drawn(30, 5)
    fit = stats.fit_logistic(x, y)
    with pytest.raises(DataError, match="a curve of 5 parameters; expected 4"):
        stats.curve_band(stats.fit_logistic(x, y, 5), x, y, AT)
    with pytest.raises(DataError, match="2 references for 30 items"):
        stats.curve_band(fit, x, y, AT, groups=["a", "b"])
    with pytest.raises(DataError, match="30 items of 1 references"):
        stats.curve_band(fit, x, y, AT, groups=["a"] * 30)
    with pytest.raises(DataError, match="4 items"):
        stats.curve_band(fit, x[:4], y[:4], AT)
