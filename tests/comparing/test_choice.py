"""Which pairs are asked about: the gain of a question, and the tree of a round."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from mllmqa.comparing.choice import information_gain, next_pairs, usual_budget


def gain(mean: float, variance: float) -> float:
    return float(information_gain(np.array([mean]), np.array([variance]))[0])


def entropy(p: float) -> float:
    return float(stats.entropy([p, 1 - p]))


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 1.0), (0.5, 2.0), (-1.5, 0.3), (3.0, 1.0), (0.0, 0.01)])
def test_the_gain_is_the_mutual_information(mean: float, variance: float) -> None:
    """Against numerical integration."""
    sd = np.sqrt(variance)
    within, _ = integrate.quad(
        lambda d: entropy(stats.norm.cdf(d)) * stats.norm.pdf(d, mean, sd), mean - 9 * sd, mean + 9 * sd
    )
    expected = entropy(stats.norm.cdf(mean / np.sqrt(1 + variance))) - within
    assert gain(mean, variance) == pytest.approx(expected, abs=2e-5)


@given(st.floats(-6, 6), st.floats(0, 4))
def test_it_is_symmetric_and_between_0_and_one_bit(mean: float, variance: float) -> None:
    assert 0 <= gain(mean, variance) <= np.log(2) + 1e-9
    assert gain(mean, variance) == pytest.approx(gain(-mean, variance), abs=1e-9)
    assert gain(mean, 0.0) == pytest.approx(0, abs=1e-9)


def test_near_and_unsure_differences_tell_more() -> None:
    means = [gain(m, 1.0) for m in (0, 1, 2, 4)]
    variances = [gain(0.0, v) for v in (0.1, 0.5, 1, 3)]
    assert means == sorted(means, reverse=True)
    assert variances == sorted(variances)


def everything(n: int) -> np.ndarray:
    return np.ones((n, n), dtype=bool)


def test_a_round_without_knowledge_is_a_chain() -> None:
    chosen = next_pairs(np.zeros(5), np.eye(5), everything(5), 10)
    assert sorted(chosen) == [(0, 1), (1, 2), (2, 3), (3, 4)]


@given(st.integers(2, 9), st.integers(0, 999))
def test_a_round_reaches_every_item_once_and_is_the_best_tree(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, root = rng.normal(0, 1, n), rng.normal(0, 0.5, (n, n))
    covariance = root @ root.T
    chosen = next_pairs(mean, covariance, everything(n), n * n)
    assert len(chosen) == n - 1
    assert len({item for pair in chosen for item in pair}) == n

    def worth(pairs: list[tuple[int, int]]) -> float:
        return sum(
            gain(mean[i] - mean[j], covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]) for i, j in pairs
        )

    if n <= 4:
        possible = list(itertools.combinations(range(n), 2))
        trees = [list(t) for t in itertools.combinations(possible, n - 1) if len({x for p in t for x in p}) == n]
        trees = [t for t in trees if spans(t, n)]
        assert worth(chosen) == pytest.approx(max(map(worth, trees)), abs=1e-9)
    gains = [worth([pair]) for pair in chosen]
    assert gains == sorted(gains, reverse=True) or np.allclose(gains, sorted(gains, reverse=True), atol=1e-9)


def spans(pairs: list[tuple[int, int]], n: int) -> bool:
    reached = {0}
    for _ in range(n):
        reached |= {x for pair in pairs if set(pair) & reached for x in pair}
    return len(reached) == n


def test_pairs_that_were_asked_are_left_out_and_the_budget_cuts_the_tree() -> None:
    open_pairs = everything(4)
    open_pairs[0, 1] = open_pairs[2, 3] = False
    chosen = next_pairs(np.array([0.0, 0.1, 1.0, 1.1]), np.eye(4), open_pairs, 2)
    assert len(chosen) == 2
    assert not {(0, 1), (2, 3)} & set(chosen)
    assert next_pairs(np.zeros(4), np.eye(4), np.zeros((4, 4), dtype=bool), 3) == []


@pytest.mark.parametrize(("n", "pairs"), [(0, 0), (1, 0), (2, 1), (3, 3), (4, 6), (5, 10), (8, 24), (100, 700)])
def test_the_usual_budget_is_that_of_sorting(n: int, pairs: int) -> None:
    assert usual_budget(n) == pairs
