"""Krasula's analysis: plain loops as oracle, DeLong by hand, resolving power of a known model, the real fixture."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from mllmqa.errors import DataError
from mllmqa.evaluation import stats


def panel(n: int, seed: int = 0, ratings: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, mean opinions, standard deviations."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1, 5, n)
    votes = truth[:, None] + 0.8 * rng.normal(size=(n, ratings))
    return truth + 0.4 * rng.normal(size=n), votes.mean(axis=1), votes.std(axis=1, ddof=1)


def by_loops(x: np.ndarray, y: np.ndarray, s: np.ndarray, k: int) -> dict[str, float]:
    apart, alike, signed = [], [], []
    for i in range(len(x)):
        for j in range(i):
            z = (y[i] - y[j]) / math.sqrt(s[i] ** 2 / k + s[j] ** 2 / k)
            (apart if abs(z) > 2 else alike).append(abs(x[i] - x[j]))
            if abs(z) > 2:
                signed.append((x[i] - x[j]) * (1 if z > 0 else -1))
    wins = [(a > b) + 0.5 * (a == b) for a in apart for b in alike]
    mirrored = [(a > -b) + 0.5 * (a == -b) for a in signed for b in signed]
    return {
        "ds": float(np.mean(wins)),
        "bw": float(np.mean(mirrored)),
        "c0": float(np.mean(np.array(signed) > 0)),
        "thr": float(np.percentile(alike, 95)),
    }


@pytest.mark.parametrize("step", [None, 0.5])
def test_equals_plain_loops(step: float | None) -> None:
    x, y, s = panel(30)
    if step:
        x = np.round(x / step) * step  # ties
    found, expected = stats.krasula(x, y, s, 20), by_loops(x, y, s, 20)
    assert found.different_similar.value == pytest.approx(expected["ds"], abs=1e-12)
    assert found.better_worse.value == pytest.approx(expected["bw"], abs=1e-12)
    assert found.correct.value == pytest.approx(expected["c0"], abs=1e-12)
    assert found.threshold == pytest.approx(expected["thr"], abs=1e-12)
    assert found.n_different + found.n_similar == found.different_similar.n == 30 * 29 / 2
    assert found.better_worse.n == found.correct.n == found.n_different


def test_a_perfect_and_an_inverted_model() -> None:
    _, y, s = panel(40)
    found = stats.krasula(y, y, s, 20)
    assert (found.better_worse.value, found.correct.value) == (1, 1)
    assert found.different_similar.value > 0.95
    turned = stats.krasula(-y, y, s, 20)
    assert (turned.better_worse.value, turned.correct.value) == (0, 0)
    assert turned.different_similar.value == pytest.approx(found.different_similar.value)


def test_a_constant_model_tells_nothing() -> None:
    _, y, s = panel(40)
    found = stats.krasula(np.full(40, 3.0), y, s, 20)
    assert (found.different_similar.value, found.better_worse.value) == (0.5, 0.5)
    assert found.correct.value == 0  # equal scores are not correct
    assert found.threshold == 0


def test_noise_is_a_coin() -> None:
    _, y, s = panel(120)
    found = stats.krasula(np.random.default_rng(5).normal(size=120), y, s, 20)
    assert found.different_similar.value == pytest.approx(0.5, abs=0.1)
    assert found.better_worse.value == pytest.approx(0.5, abs=0.25)


def test_no_different_or_no_similar_pairs() -> None:
    alike = stats.krasula([1, 2, 3], [1, 2, 3], 1e6, 2)
    assert (alike.n_different, alike.n_similar) == (0, 3)
    assert alike.better_worse.reason == alike.correct.reason == "no pair of scored items is different"
    assert alike.different_similar.reason == "no pair of scored items is different, or none is similar"
    apart = stats.krasula([1, 2, 3], [1, 2, 3], 0, 2)  # no spread at all
    assert (apart.n_different, apart.n_similar) == (3, 0)
    assert apart.correct.value == 1
    assert math.isnan(apart.threshold)


def test_as_published_each_pair_counts_twice_and_items_with_themselves() -> None:
    x, y, s = panel(25)
    ours, theirs = stats.krasula(x, y, s, 20), stats.krasula(x, y, s, 20, as_published=True)
    m, n = ours.n_similar, 25
    share = 1.0  # no different pair has equal scores, so each item beside itself is told apart
    expected = (2 * m * ours.different_similar.value + n * share) / (2 * m + n)
    assert theirs.different_similar.value == pytest.approx(expected)
    assert theirs.threshold <= ours.threshold
    assert theirs.correct == ours.correct and theirs.better_worse == ours.better_worse


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_bounds_hold_for_any_scores(seed: int, lost: int) -> None:
    x, y, s = panel(14, seed % 50)
    full = x.copy()
    full[:lost] = np.random.default_rng(seed).uniform(-10, 20, lost)
    x[:lost] = math.nan
    bounds, truth = stats.krasula(x, y, s, 20), stats.krasula(full, y, s, 20)
    for name in ("different_similar", "better_worse", "correct"):
        one, other = getattr(bounds, name), getattr(truth, name)
        assert one.n + one.n_unscored == other.n
        if one.n_unscored and not math.isnan(other.value):
            assert one.worst - 1e-12 <= other.value <= one.best + 1e-12


def test_all_unscored() -> None:
    _, y, s = panel(10)
    found = stats.krasula([math.nan] * 10, y, s, 20)
    assert found.different_similar.reason is not None
    assert (found.correct.worst, found.correct.best) == (0, 1)
    assert found.different_similar.n_unscored == 45


@pytest.mark.parametrize(
    ("std", "ratings", "message"),
    [
        ([1, 1], 5, "2 standard deviations for 3 opinions"),
        (-1, 5, "standard deviations: -1.0 at index 0; expected at least 0"),
        (1, 0, "numbers of ratings: 0.0 at index 0; expected more than 0"),
        ([1, math.nan, 1], 5, "1 of 3 standard deviations are not finite"),
        (math.nan, 5, "standard deviations: nan"),
    ],
)
def test_bad_panels_are_refused(std: object, ratings: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        stats.krasula([1, 2, 3], [1, 2, 3], std, ratings)  # type: ignore[arg-type]


# ---------------------------------------------------------------- areas


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_auc_counts_pairs(a: list[int], b: list[int]) -> None:
    expected = np.mean([(p > q) + 0.5 * (p == q) for p in a for q in b])
    assert stats.auc(a, b) == pytest.approx(expected)
    assert stats.auc(b, a) == pytest.approx(1 - expected)
    assert math.isnan(stats.auc(a, []))


def test_delong_by_hand() -> None:
    """Placements by definition (DeLong et al., 1988, eq. 3 to 6)."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, (2, 15)).round(1), rng.normal(0, 1, (2, 11)).round(1)
    areas, covariance = stats.delong(a, b)
    wins = [[[(p > q) + 0.5 * (p == q) for q in b[k]] for p in a[k]] for k in (0, 1)]
    over_a, over_b = np.mean(wins, axis=2), np.mean(wins, axis=1)
    np.testing.assert_allclose(areas, [stats.auc(a[k], b[k]) for k in (0, 1)])
    np.testing.assert_allclose(covariance, np.cov(over_a) / 15 + np.cov(over_b) / 11)


def test_delong_covers_the_spread_of_areas() -> None:
    rng = np.random.default_rng(1)
    areas, variances = [], []
    for _ in range(300):
        area, covariance = stats.delong(rng.normal(1, 1, (1, 40)), rng.normal(0, 1, (1, 40)))
        areas.append(area[0])
        variances.append(covariance[0, 0])
    assert np.mean(areas) == pytest.approx(ndtr(1 / math.sqrt(2)), abs=0.01)
    assert np.var(areas) == pytest.approx(np.mean(variances), rel=0.25)


def test_delong_refuses_other_shapes() -> None:
    for a, b in (([[1.0]], [[1.0, 2]]), ([[1.0, 2]], [[1.0, 2], [3, 4]]), ([[1.0, math.nan]], [[1.0, 2]])):
        with pytest.raises(DataError, match="expected finite"):
            stats.delong(a, b)


# ---------------------------------------------------------------- resolving power


def test_resolving_power_of_the_opinions_themselves() -> None:
    """For a perfect model, confidence Φ(Δ / (σ·sqrt(2/k))) reaches 95 % at 1.645 · σ · sqrt(2/k)."""
    y = np.linspace(1, 5, 150)
    found = stats.resolving_power(y, y, 1.0, 20, bins=100)
    assert found.value == pytest.approx(1.6449 * math.sqrt(2 / 20), abs=0.03)
    assert found.n == 150 * 149 / 2


def test_a_worse_model_resolves_less() -> None:
    x, y, s = panel(80)
    worse = x + 0.5 * np.random.default_rng(2).normal(size=80)
    assert stats.resolving_power(x, y, s, 20).value < stats.resolving_power(worse, y, s, 20).value
    assert stats.resolving_power(x, y, s, 20, confidence=0.75).value < stats.resolving_power(x, y, s, 20).value


def test_resolving_power_that_is_never_or_always_reached() -> None:
    x, y, s = panel(40)
    never = stats.resolving_power(-x, y, s, 20)
    assert math.isnan(never.value) and never.reason == "a confidence of 0.95 is never reached"
    sure = stats.resolving_power([1, 2, 4], [1, 2, 4], 1e-3, 20)
    assert sure.reason == "a confidence of 0.95 is always reached"
    flat = stats.resolving_power([2, 2, 2], [1, 2, 3], 1, 20)
    assert flat.reason == "all pairs differ by the same"
    lost = stats.resolving_power([math.nan] * 3, [1, 2, 3], 1, 20)
    assert (lost.n, lost.n_unscored) == (0, 3)


# ---------------------------------------------------------------- real votes, where ../shared lies


@pytest.mark.parametrize("model", ["A", "B", "C_integer_levels"])
def test_real_votes_give_the_published_figures(shared: Path, model: str) -> None:
    folder = shared / "fixtures/classic/subjective"
    expected = json.loads((folder / "NFLX_dataset_public_raw_expected.json").read_text())
    votes = np.array([row["os"] for row in json.loads((folder / "NFLX_dataset_public_raw.json").read_text())])
    x, y, s = expected["pred"][model], votes.mean(axis=1), votes.std(axis=1, ddof=1)
    goal = expected["auc_single"][model]
    found = stats.krasula(x, y, s, votes.shape[1], as_published=True)
    assert found.different_similar.value == pytest.approx(goal["AUC_DS"], abs=1e-12)
    assert found.better_worse.value == pytest.approx(goal["AUC_BW"], abs=1e-12)
    assert found.correct.value == pytest.approx(goal["CC_0"], abs=1e-12)
    assert found.threshold == pytest.approx(goal["THR"], abs=1e-12)
    ours = stats.krasula(x, y, s, votes.shape[1])
    assert ours.different_similar.value == pytest.approx(goal["AUC_DS"], abs=0.015)
    power = stats.resolving_power(x, y, votes.std(axis=1), votes.shape[1])
    assert power.value == pytest.approx(expected["resolving_power_95"][model], abs=1e-9)
    width = stats.half_width(s, votes.shape[1], len(y))
    ratio = stats.outlier_ratio(x, y, width)
    assert ratio.value == pytest.approx(expected["outlier_ratio_ci95"][model], abs=1e-12)
    np.testing.assert_allclose(width, expected["ci95_normal_halfwidth"], rtol=1e-4)
    plain = stats.correlate(x, y)
    for name, key in (("srcc", "srcc"), ("plcc", "pcc"), ("krcc", "krcc"), ("rmse", "rmse")):
        assert getattr(plain, name).value == pytest.approx(expected[key][model], abs=1e-12)
