"""Soft labels: the published ones against the original code, the correct ones against their definition."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data import labels
from mllmqa.errors import DataError, UsageError

CASES = json.loads((Path(__file__).parents[1] / "fixtures" / "deqa" / "soft_labels.json").read_text())["rows"]
MEANS = st.floats(1, 5)
STDS = st.floats(0, 4)


def one(mean: float, std: float) -> np.ndarray:
    return labels.tilted(np.array([mean]), np.array([std]))[0]


@pytest.mark.parametrize("case", CASES, ids=[f"{c['set']}-{k}" for k, c in enumerate(CASES)])
def test_the_published_variant_is_that_of_the_original_code(case: dict) -> None:
    made = labels.soft_labels([case["mos_norm"]], [case["std_norm"]], "deqa", density=case["density"])
    assert made is not None
    assert made.variant == "deqa"
    np.testing.assert_allclose(made.probabilities[0], case["level_probs"][::-1], rtol=0, atol=1e-6)
    assert made.mean[0] == pytest.approx(case["mean"], abs=1e-6)
    # In one case (std .164) both ways give the same numbers, and the original's record does not tell them apart.
    if not (case["set"] == "small_std_pdf" and case["mos"] == case["mos_min"]):
        assert bool(made.fallback[0]) is case["used_two_level_fallback"]


def test_the_published_cases_hold_the_known_defects() -> None:
    assert len(CASES) == 50
    assert any(c["used_two_level_fallback"] for c in CASES)
    (middle,) = [c for c in CASES if c["mos_norm"] == 3]
    published = labels.soft_labels([3], [middle["std_norm"]], "deqa")
    assert published is not None
    np.testing.assert_allclose(published.probabilities[0], 0.2, atol=1e-6)  # uniform
    assert one(3, middle["std_norm"])[2] > 0.8  # the correct one is not
    assert max(c["sum"] for c in CASES) > 1.05


def test_the_correct_variant_has_no_mean_error_on_the_published_cases() -> None:
    made = labels.soft_labels([c["mos_norm"] for c in CASES], [c["std_norm"] for c in CASES])
    assert made is not None
    assert made.variant == "tilted"
    np.testing.assert_allclose(made.mean, [c["mos_norm"] for c in CASES], rtol=0, atol=1e-9)
    np.testing.assert_allclose(made.probabilities.sum(1), 1, rtol=0, atol=1e-12)


@given(mean=MEANS, std=STDS)
def test_tilted_is_a_distribution_with_the_mean(mean: float, std: float) -> None:
    p = one(mean, std)
    assert p.min() >= 0
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert float(p @ labels.LEVELS) == pytest.approx(mean, abs=1e-9)


@given(mean=MEANS, std=STDS)
def test_tilted_is_symmetric(mean: float, std: float) -> None:
    np.testing.assert_allclose(one(mean, std), one(6 - mean, std)[::-1], rtol=0, atol=1e-9)


@given(low=MEANS, high=MEANS, std=st.floats(0, 2))
def test_a_better_mean_moves_mass_upwards_everywhere(low: float, high: float, std: float) -> None:
    low, high = sorted((low, high))
    worse, better = np.cumsum(one(low, std)), np.cumsum(one(high, std))
    assert (better <= worse + 1e-9).all()


@given(mean=st.floats(1, 5), std=st.floats(0.05, 2))
def test_tilted_has_one_peak_at_the_mean(mean: float, std: float) -> None:
    """No second hump at mid-scale, as the published uniform label has: log-concave."""
    p = one(mean, std)
    peak = int(p.argmax())
    assert (np.diff(p[: peak + 1]) >= -1e-12).all()
    assert (np.diff(p[peak:]) <= 1e-12).all()


def test_tilted_by_hand() -> None:
    """In the middle it is the sampled Gaussian: weights 1, e^-1/2, e^-2 for a deviation of 1."""
    weights = np.array([math.exp(-2), math.exp(-0.5), 1, math.exp(-0.5), math.exp(-2)])
    np.testing.assert_allclose(one(3, 1), weights / weights.sum(), atol=1e-12)


def test_tilted_keeps_moderate_deviations_and_ends_in_one_level() -> None:
    p = one(3.3, 0.6)
    spread = math.sqrt(float(p @ (labels.LEVELS - 3.3) ** 2))
    assert spread == pytest.approx(0.6, abs=0.03)
    np.testing.assert_array_equal(one(5, 0.9), [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(one(1, 0.9), [1, 0, 0, 0, 0])
    np.testing.assert_allclose(one(2.25, 0), [0, 0.75, 0.25, 0, 0])
    np.testing.assert_allclose(one(2.25, 0.0501), one(2.25, 0), atol=1e-12)  # no jump at the limit


def test_rows_do_not_depend_on_each_other() -> None:
    rng = np.random.default_rng(1)
    means, stds = rng.uniform(1, 5, 200), rng.uniform(0, 2, 200)
    together = labels.tilted(means, stds)
    alone = np.stack([one(m, s) for m, s in zip(means, stds, strict=True)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12)


def test_the_fallback_of_tiny_deviations_is_told() -> None:
    made = labels.soft_labels([2.5, 2.5], [0.0, 0.5])
    assert made is not None
    assert made.fallback.tolist() == [True, False]


@given(mean=MEANS, std=st.floats(0.2, 1.5))
def test_affine_sums_to_one(mean: float, std: float) -> None:
    made = labels.soft_labels([mean], [std], "affine")
    assert made is not None
    assert made.probabilities.min() >= 0
    assert made.probabilities.sum() == pytest.approx(1, abs=1e-12)


def test_a_missing_deviation_is_not_made_up() -> None:
    assert labels.soft_labels([3.0], None) is None


@pytest.mark.parametrize(
    ("mean", "std"), [(0.99, 1), (5.01, 1), (math.nan, 1), (3, -0.1), (3, math.nan), (3, math.inf)]
)
def test_impossible_opinions_are_named(mean: float, std: float) -> None:
    with pytest.raises(DataError, match=r"item 1: 1 labels cannot be made.*expected a mean in 1\.\.5"):
        labels.soft_labels([3.0, mean], [0.5, std])


def test_an_unknown_variant_lists_the_variants() -> None:
    with pytest.raises(UsageError, match=r"expected deqa \| affine \| tilted"):
        labels.soft_labels([3.0], [0.5], "gauss")  # type: ignore[arg-type]


def test_histograms_of_five_are_taken_as_they_are() -> None:
    made = labels.histogram_labels([[0, 10, 30, 50, 10], [1, 1, 0, 0, 0]])
    assert made.variant == "histogram"
    np.testing.assert_allclose(made.probabilities, [[0, 0.1, 0.3, 0.5, 0.1], [0.5, 0.5, 0, 0, 0]])


@given(votes=st.lists(st.integers(0, 200), min_size=10, max_size=10).filter(any))
def test_histograms_of_ten_keep_their_mean(votes: list[int]) -> None:
    made = labels.histogram_labels([votes])
    mean = sum(v * k for k, v in enumerate(votes)) / sum(votes)  # 0..9
    assert made.mean[0] == pytest.approx(1 + 4 * mean / 9, abs=1e-9)
    assert made.probabilities.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("votes", [[0, 0, 0, 0, 0], [1, -1, 0, 0, 2], [1, math.nan, 0, 0, 0], [3]])
def test_histograms_without_opinions_are_named(votes: list[float]) -> None:
    with pytest.raises(DataError, match="item 0: opinions"):
        labels.histogram_labels([votes])
