"""Holm's procedure over all pairs, and groups of neighbours that cannot be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa import ranking
from mllmqa.comparing.told_apart import groups, told_apart, z_of_ranking, z_of_scores
from mllmqa.errors import UsageError
from mllmqa.schema import Distribution


def symmetric(n: int, upper: list[float]) -> np.ndarray:
    z = np.zeros((n, n))
    z[np.triu_indices(n, 1)] = upper
    return z + z.T


def test_holm_steps_down() -> None:
    """p = .0124, .0164, .0455 of three pairs: .05/3 and .05/2 reject the first two, and .05/1 the last."""
    z = symmetric(3, [2.5, 2.0, 2.4])
    assert told_apart(z)[np.triu_indices(3, 1)].tolist() == [True, True, True]
    z = symmetric(3, [2.3, 2.6, 2.5])  # .0214, .0093, .0124
    assert told_apart(z).sum() == 6
    z = symmetric(3, [2.35, 2.0, 2.38])  # the smallest, .0173, is above .05/3: nothing, though .0188 is below .05/2
    assert not told_apart(z).any()


@given(st.integers(1, 7), st.integers(0, 999))
def test_it_lies_between_bonferroni_and_no_correction(n: int, seed: int) -> None:
    z = symmetric(n, np.random.default_rng(seed).gamma(2, 1.5, n * (n - 1) // 2).tolist())
    found, m = told_apart(z), max(1, n * (n - 1) // 2)
    np.testing.assert_array_equal(found, found.T)
    assert not np.diagonal(found).any()
    from scipy import stats

    p = 2 * stats.norm.sf(z)
    off = ~np.eye(n, dtype=bool)
    assert (found[off] >= (p <= 0.05 / m)[off]).all()
    assert (found[off] <= (p <= 0.05)[off]).all()
    assert told_apart(z, 0.01).sum() <= found.sum()


@pytest.mark.parametrize("alpha", [0, 1, -0.1, float("nan")])
def test_alpha_is_a_share(alpha: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        told_apart(np.zeros((2, 2)), alpha)


def test_z_of_a_ranking_is_that_of_each_difference() -> None:
    found = ranking.rank(np.array([[0, 3, 5], [1, 0, 2], [0, 2, 0.0]]))
    z = z_of_ranking(found)
    for i in range(3):
        for j in range(3):
            if i != j:
                expected = abs(found.scores[i] - found.scores[j]) / found.error_of_difference(i, j)
                assert z[i, j] == pytest.approx(expected)


def test_z_of_scores_is_gap_over_spread() -> None:
    scores = [Distribution(value=v, std=s, levels={}, coverage=1) for v, s in ((4, 0.6), (3, 0.8), (3, 0))]
    z = z_of_scores(scores)
    assert z[0, 1] == pytest.approx(1.0)
    assert z[0, 2] == pytest.approx(1 / 0.6)
    certain = z_of_scores([scores[2], scores[2].model_copy(update={"value": 2.0}), scores[2]])
    assert (certain[0, 1], certain[0, 2]) == (np.inf, 0)
    assert told_apart(certain)[0].tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("apart", "expected"),
    [
        ([], []),
        ([(0, 0)], [(1,)]),
        ([(0, 1)], [(1,), (2,)]),
        ([(0, 2)], [(1,), (1, 2), (2,)]),
        ([(0, 2), (0, 3), (1, 3)], [(1,), (1, 2), (2, 3), (3,)]),
        ([(0, 1), (0, 2), (0, 3)], [(1,), (2,), (2,), (2,)]),
        ([(0, 3)], [(1,), (1, 2), (1, 2), (2,)]),
    ],
)
def test_groups_are_the_longest_runs(apart: list[tuple[int, int]], expected: list[tuple[int, ...]]) -> None:
    n = len(expected)
    matrix = np.zeros((n, n), dtype=bool)
    for i, j in apart:
        matrix[i, j] = matrix[j, i] = i != j
    assert groups(matrix) == expected


@given(st.integers(1, 9), st.integers(0, 999))
def test_neighbours_share_a_group_exactly_if_nothing_between_is_told_apart(n: int, seed: int) -> None:
    drawn = np.triu(np.random.default_rng(seed).random((n, n)) < 0.25, 1)
    apart = drawn | drawn.T
    found = groups(apart)
    for i in range(n):
        assert found[i]
        for j in range(i + 1, n):
            run = not apart[i : j + 1, i : j + 1].any()
            assert bool(set(found[i]) & set(found[j])) == run
