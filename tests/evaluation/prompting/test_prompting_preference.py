"""Scores from comparisons: the exact MAP, its errors, and an order effect that is recovered."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr

from mllmqa.errors import DataError
from mllmqa.evaluation.prompting import designs
from mllmqa.evaluation.prompting.preference import WEAK, Choice, _terms, effect, fit
from mllmqa.ranking import Link, rank


def simulated(n: int, bias: float, seed: int, per_item: float = 5) -> tuple[np.ndarray, list[Choice]]:
    """Latent scores in deviations of a difference, and answers of Thurstone's observer."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(0, 1, n)
    made = [
        Choice(i, j, float(latent[i] - latent[j] + bias + rng.standard_normal() > 0))
        for i, j in designs.pairs(range(n), per_item, seed)
    ]
    return latent - latent.mean(), made


@pytest.mark.parametrize("link", ["normal", "logistic"])
def test_without_order_effect_it_is_the_ranking_of_the_library(link: Link) -> None:
    _, choices = simulated(20, 0.0, 0)
    choices += [Choice(0, 1, 0.5), Choice(2, 3, 0.7)]
    wins = np.zeros((20, 20))
    for c in choices:
        wins[c.first, c.second] += c.share
        wins[c.second, c.first] += 1 - c.share
    found, exact = fit(20, choices, link), rank(wins, link)
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-6)
    np.testing.assert_allclose(found.errors, exact.standard_errors, atol=1e-5)


def test_the_maximum_is_that_of_a_general_optimiser() -> None:
    _, choices = simulated(8, 0.4, 1)
    first, second, share = (np.array(x) for x in zip(*((c.first, c.second, c.share) for c in choices), strict=True))

    def loss(s: np.ndarray) -> float:
        d = s[first.astype(int)] - s[second.astype(int)] + 0.4
        return float(-(share * log_ndtr(d) + (1 - share) * log_ndtr(-d)).sum() + 0.5 * 2.0 * s @ s)

    exact = minimize(loss, np.zeros(8), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(fit(8, choices, order=0.4, precision=2.0).scores, exact.x, atol=1e-5)


@pytest.mark.parametrize("bias", [-0.6, 0.0, 0.6])
def test_the_order_effect_is_recovered_without_shrinkage(bias: float) -> None:
    found = [effect([simulated(80, bias, seed)[1]]) for seed in range(8)]
    mean = float(np.mean([one.order for one in found]))
    error = float(np.mean([one.error for one in found]))
    assert abs(mean - bias) < 3 * error / math.sqrt(8)
    assert sum(abs(one.order - bias) < 1.96 * one.error for one in found) >= 6


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    inside = []
    for seed in range(6):
        latent, choices = simulated(60, 0.3, seed)
        common = effect([choices])
        found = fit(60, choices, order=common.order, precision=common.precision)
        inside.append(np.mean(np.abs(found.scores - latent) < 1.96 * found.errors))
    assert 0.88 < float(np.mean(inside)) <= 1


def test_groups_share_the_order_effect() -> None:
    groups = [simulated(12, 0.8, seed)[1] for seed in range(8)]
    found = effect(groups)
    assert abs(found.order - 0.8) < 3 * found.error
    assert found.error < effect(groups[:1]).error


def test_few_answers_say_nothing_extreme() -> None:
    ranking = [Choice(i, j, 1.0) for i in range(4) for j in range(i + 1, 4)]  # always the earlier place
    found = effect([ranking])
    assert abs(found.order) < 2
    assert np.all(np.diff(fit(4, ranking, order=found.order, precision=found.precision).scores) < 0)


def test_answers_without_any_contradiction_stay_finite() -> None:
    choices = [Choice(i, j, float(i < j)) for i in range(30) for j in range(30) if i != j]
    common = effect([choices])
    found = fit(30, choices, order=common.order, precision=common.precision)
    assert np.isfinite(found.scores).all()
    assert np.all(np.diff(found.scores) < 0)


def test_nothing_gives_nothing() -> None:
    assert math.isnan(effect([[], []]).order)
    found = fit(3, [])
    assert np.isnan(found.scores).all()
    assert found.parts == 0


def test_a_picture_that_was_never_compared_has_no_score_and_islands_are_counted() -> None:
    found = fit(5, [Choice(0, 1, 1.0), Choice(3, 4, 0.0)])
    assert np.isnan(found.scores).tolist() == [False, False, True, False, False]
    assert found.parts == 2
    assert found.scores[0] == pytest.approx(found.scores[4])


def test_a_tie_counts_half_for_each_side() -> None:
    assert fit(2, [Choice(0, 1, 0.5)]).scores.tolist() == pytest.approx([0, 0], abs=1e-12)


def test_a_weight_is_as_many_comparisons() -> None:
    _, choices = simulated(10, 0.2, 3)
    twice = fit(10, choices * 2, order=0.2)
    heavy = fit(10, [Choice(c.first, c.second, c.share, 2.0) for c in choices], order=0.2)
    np.testing.assert_allclose(heavy.scores, twice.scores, atol=1e-9)
    np.testing.assert_allclose(heavy.errors, twice.errors, atol=1e-9)


def test_the_link_of_both_orders_is_the_chance_given_that_the_pair_counts() -> None:
    d = np.linspace(-7, 7, 57)
    log_f, slope, bend = _terms(d, "both-orders")
    np.testing.assert_allclose(np.exp(log_f), ndtr(d) ** 2 / (ndtr(d) ** 2 + ndtr(-d) ** 2), rtol=1e-9)
    np.testing.assert_allclose(np.exp(log_f) + np.exp(log_f[::-1]), 1, atol=1e-12)
    h = 1e-4
    up, down = (_terms(d + step, "both-orders")[0] for step in (h, -h))
    np.testing.assert_allclose(slope, (up - down) / (2 * h), atol=1e-6)
    np.testing.assert_allclose(bend, -(up - 2 * log_f + down) / h**2, atol=1e-5)
    assert (bend >= 0).all()  # the scores have one maximum
    for part in _terms(np.array([-60.0, 60.0]), "both-orders"):
        assert np.isfinite(part).all()


@pytest.mark.parametrize("bias", [0.0, 0.8])
def test_pairs_kept_because_both_orders_agree_give_the_latent_scores_whatever_the_bias(bias: float) -> None:
    slopes, inside, naive = [], [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        latent = rng.normal(0, 1, 40)
        latent -= latent.mean()
        kept = []
        for i, j in designs.pairs(range(40), 10, seed)[::2]:
            one, other = (latent[i] - latent[j] + s * bias + rng.standard_normal() > 0 for s in (1, -1))
            kept += [Choice(i, j, float(one))] if one == other else []
        found = fit(40, kept, "both-orders", precision=WEAK)
        slopes.append(found.scores @ latent / (latent @ latent))
        inside.append(np.mean(np.abs(found.scores - latent) < 1.96 * found.errors))
        naive.append(fit(40, kept, precision=WEAK).scores @ latent / (latent @ latent))
    assert 0.85 < np.mean(slopes) < 1.15
    assert np.mean(inside) > 0.88
    assert np.mean(naive) > 1.15 * np.mean(slopes)  # what the published likelihood makes of them


@pytest.mark.parametrize("choice", [Choice(1, 1, 1.0), Choice(0, 1, 1.5), Choice(0, 1, 1.0, 0.0)])
def test_malformed_comparisons_are_refused(choice: Choice) -> None:
    with pytest.raises(DataError):
        fit(2, [choice])
