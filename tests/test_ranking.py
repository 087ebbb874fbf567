"""MAP of pairwise preferences: the published fixture, a general optimiser, the symmetries of the problem."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mllmqa import ranking
from mllmqa.errors import DataError, UsageError
from mllmqa.ranking import Link, rank

FIXTURE = Path(__file__).parent / "fixtures" / "compare2score" / "map.npz"
PUBLISHED: list[tuple[Link, str]] = [("normal", "phi"), ("logistic", "sigmoid")]
LINKS: tuple[Link, ...] = ("normal", "logistic")


def matrices(low: float = 0.0, high: float = 1.0, most: int = 7) -> st.SearchStrategy[np.ndarray]:
    sides = st.integers(1, most)
    return sides.flatmap(lambda n: hnp.arrays(np.float64, (n, n), elements=st.floats(low, high)))


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    with np.load(FIXTURE) as file:
        return dict(file)


def min_max(scores: np.ndarray) -> float:
    return float(100 * (scores[-1] - scores.min()) / np.ptp(scores))


# ---------------------------------------------------------------- the published code


@pytest.mark.parametrize(("link", "key"), PUBLISHED)
def test_is_the_optimum_of_an_independent_solver(link: Link, key: str, published: dict[str, np.ndarray]) -> None:
    for matrix, scores, shown in zip(
        published["matrices"],
        published[f"{key}_converged__all_unscaled"],
        published[f"{key}_converged__score"],
        strict=True,
    ):
        found = rank(matrix, link)
        assert found.converged
        assert found.iterations <= 6
        np.testing.assert_allclose(found.scores, scores, atol=1e-7)  # that solver stops at about 5e-8
        assert min_max(found.scores) == pytest.approx(shown, abs=1e-5)


@pytest.mark.parametrize(("link", "key"), PUBLISHED)
def test_no_point_of_the_independent_solver_is_higher(
    link: Link, key: str, published: dict[str, np.ndarray]
) -> None:
    for matrix, scores in zip(published["matrices"], published[f"{key}_converged__all_unscaled"], strict=True):
        assert rank(matrix, link).log_posterior >= objective(scores, matrix, link) - 1e-12


@pytest.mark.parametrize(
    ("link", "key", "tolerance"),
    [("normal", "phi_100", 0.5), ("logistic", "sigmoid_100", 0.5), ("logistic", "sigmoid_50", 4.5)],
)
def test_the_published_steps_end_near_it(
    link: Link, key: str, tolerance: float, published: dict[str, np.ndarray]
) -> None:
    for matrix, shown in zip(published["matrices"], published[f"{key}__score"], strict=True):
        assert min_max(rank(matrix, link).scores) == pytest.approx(shown, abs=tolerance)


def test_saturated_and_symmetric_cases_of_the_fixture(published: dict[str, np.ndarray]) -> None:
    always, never, undecided, copy = (rank(published["matrices"][i]).scores for i in (36, 37, 38, 39))
    assert min_max(always) == 100
    assert min_max(never) == 0
    assert always[-1] > 1.09  # what the scale 0..100 does not show
    assert never[-1] < -1.09
    assert min_max(undecided) == pytest.approx(54.06165, abs=1e-4)
    assert copy[-1] == pytest.approx(copy[2], abs=1e-6)  # equal rows (to float32), equal scores


def test_the_published_floor_is_out_of_reach_there(published: dict[str, np.ndarray]) -> None:
    """log max(F, 1e-6) is log F up to a difference of 4.75: leaving the floor out changes no published optimum."""
    assert max(np.ptp(rank(m).scores) for m in published["matrices"]) < 2.3
    assert max(np.ptp(rank(m, "logistic").scores) for m in published["matrices"]) < 2.3


# ---------------------------------------------------------------- against other libraries


def objective(s: np.ndarray, wins: np.ndarray, link: Link, precision: float = 1.0) -> float:
    """The objective as it is written in the papers, with scipy's distribution functions."""
    special = pytest.importorskip("scipy.special")
    d = s[:, None] - s[None]
    log_f = special.log_ndtr(d) if link == "normal" else special.log_expit(d)
    return float(np.sum(wins * (1 - np.eye(len(s))) * log_f) - precision / 2 * np.sum(s * s))


@pytest.mark.parametrize("link", LINKS)
@settings(max_examples=40)
@given(wins=matrices(high=4.0, most=6), precision=st.floats(0.1, 10))
def test_agrees_with_a_general_optimiser(link: Link, wins: np.ndarray, precision: float) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    found = rank(wins, link, prior_precision=precision)
    assert found.log_posterior == pytest.approx(objective(found.scores, wins, link, precision), abs=1e-9)
    other = optimize.minimize(
        lambda s: -objective(s, wins, link, precision), np.zeros(len(wins)), method="BFGS", options={"gtol": 1e-7}
    )
    assert found.log_posterior >= -other.fun - 1e-9
    np.testing.assert_allclose(found.scores, other.x, atol=1e-4)


def test_terms_agree_with_scipy_to_the_ends_of_the_range() -> None:
    special = pytest.importorskip("scipy.special")
    size = np.logspace(-6, 100, 3000)
    d = np.concatenate([-size, [0.0], size[size < 1e100]])
    log_f, slope, curve = ranking._normal(d)
    expected = special.log_ndtr(d)
    np.testing.assert_allclose(log_f, expected, rtol=1e-12, atol=1e-300)
    tail = d < -30
    ratio = np.exp(-(d[~tail] ** 2) / 2 - math.log(2 * math.pi) / 2 - expected[~tail])
    np.testing.assert_allclose(slope[~tail], ratio, rtol=1e-10)
    assert (slope >= 0).all() and (curve >= 0).all() and (curve <= 1).all()
    np.testing.assert_allclose(curve[d < -1e5], 1, atol=1e-9)
    log_f, slope, curve = ranking._logistic(d)
    np.testing.assert_allclose(log_f, special.log_expit(d), rtol=1e-13)
    np.testing.assert_allclose(slope, special.expit(-d), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(curve, special.expit(d) * special.expit(-d), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("terms", [ranking._normal, ranking._logistic])
def test_derivatives_are_those_of_the_value(terms: Any) -> None:
    d, h = np.linspace(-40, 8, 400), 1e-5
    (up, up_slope, _), (down, down_slope, _), (_, slope, curve) = terms(d + h), terms(d - h), terms(d)
    np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(-curve, (up_slope - down_slope) / (2 * h), rtol=1e-6, atol=1e-8)


def test_the_two_branches_of_the_normal_link_meet() -> None:
    inside, outside = np.nextafter(-5.0, 0), np.nextafter(-5.0, -9)
    for a, b in zip(ranking._normal(np.array([inside])), ranking._normal(np.array([outside])), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("link", LINKS)
@given(wins=matrices(), seed=st.integers(0, 99))
def test_permuting_the_items_permutes_the_scores(link: Link, wins: np.ndarray, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(wins))
    one, two = rank(wins, link), rank(wins[np.ix_(order, order)], link)
    np.testing.assert_allclose(two.scores, one.scores[order], atol=1e-10)
    np.testing.assert_allclose(two.standard_errors, one.standard_errors[order], atol=1e-10)


@pytest.mark.parametrize("link", LINKS)
@given(wins=matrices())
def test_turning_every_preference_round_turns_the_scores_round(link: Link, wins: np.ndarray) -> None:
    np.testing.assert_allclose(rank(wins.T, link).scores, -rank(wins, link).scores, atol=1e-10)


@pytest.mark.parametrize("link", LINKS)
@given(wins=matrices(high=1e3))
def test_scores_sum_to_nothing_and_the_diagonal_has_no_say(link: Link, wins: np.ndarray) -> None:
    found = rank(wins, link)
    assert found.converged
    assert abs(found.scores.sum()) < 1e-8 * (1 + np.abs(found.scores).max())
    np.testing.assert_array_equal(found.scores, rank(wins + np.eye(len(wins)), link).scores)


@pytest.mark.parametrize("link", LINKS)
@given(wins=matrices(most=5), weight=st.floats(1.5, 50))
def test_more_evidence_for_the_same_is_a_narrower_error(link: Link, wins: np.ndarray, weight: float) -> None:
    """Weighting all preferences is the same as a weaker prior."""
    many, weak = rank(wins * weight, link), rank(wins, link, prior_precision=1 / weight)
    np.testing.assert_allclose(many.scores, weak.scores, atol=1e-8)
    np.testing.assert_allclose(many.standard_errors * math.sqrt(weight), weak.standard_errors, rtol=1e-7)


@pytest.mark.parametrize("link", LINKS)
def test_more_wins_is_a_better_score(link: Link) -> None:
    base = np.full((4, 4), 0.5)
    scores = []
    for p in np.linspace(0, 1, 9):
        base[3, 0], base[0, 3] = p, 1 - p
        scores.append(rank(base, link).scores[3])
    assert scores == sorted(scores)
    assert len(set(scores)) == 9


def test_hand_arithmetic_of_two_items() -> None:
    """Two items at ±a: stationary where F'(2a)/F(2a) · w = a; the logistic link with w = 1 gives a = 1 − F(2a)."""
    found = rank([[0, 1], [0, 0]], "logistic")
    a = found.scores[0]
    assert found.scores[1] == pytest.approx(-a, abs=1e-14)
    assert a == pytest.approx(1 / (1 + math.exp(2 * a)), abs=1e-12)


def test_errors_are_the_prior_without_evidence_and_the_laplace_ones_with_it() -> None:
    nothing = rank(np.zeros((3, 3)), prior_precision=4)
    assert nothing.scores.tolist() == [0, 0, 0]
    np.testing.assert_allclose(nothing.standard_errors, 0.5 * math.sqrt(2 / 3))  # of a deviation from the mean
    assert nothing.error_of_difference(0, 1) == pytest.approx(math.sqrt(0.5))
    even = rank([[0, 50], [50, 0]], "logistic")  # curvature 100/4 of the difference at 0
    # The Hessian I + 25 [[1, -1], [-1, 1]] has the eigenvalue 51 for (1, -1), the only direction that is free.
    np.testing.assert_allclose(even.covariance, np.array([[1, -1], [-1, 1]]) / 102, atol=1e-14)
    assert even.error_of_difference(0, 1) == pytest.approx(math.sqrt(2 / 51), abs=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_recovers_known_scores_from_counts(link: Link) -> None:
    rng = np.random.default_rng(3)
    true = rng.normal(size=12)
    true -= true.mean()
    d = true[:, None] - true
    p = np.vectorize(math.erf)(d / math.sqrt(2)) / 2 + 0.5 if link == "normal" else 1 / (1 + np.exp(-d))
    n = 400
    wins = np.triu(rng.binomial(n, p), 1)
    wins = wins + np.tril(n - wins.T, -1)
    found = rank(wins, link, prior_precision=1e-3)
    off = (found.scores - true) / found.standard_errors
    assert np.abs(off).max() < 4
    assert 0.3 < np.sqrt(np.mean(off**2)) < 2


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("weight", [1e-9, 1.0, 1e5])
@pytest.mark.parametrize("precision", [1e-6, 1.0, 1e6])
def test_separable_evidence_converges_at_any_weight(link: Link, weight: float, precision: float) -> None:
    wins = np.triu(np.ones((5, 5)), 1) * weight
    found = rank(wins, link, prior_precision=precision)
    assert found.converged
    assert np.isfinite(found.standard_errors).all()
    assert (np.diff(found.scores) < 0).all()


def test_no_step_goes_down_where_a_full_one_would() -> None:
    """Weights over seven decades, where the 15th full Newton step lowers the objective from -0.031 to -0.041."""
    wins = np.array([[0, 0, 3.509e-3, 0], [1877.8, 0, 0.2669, 0], [0, 0, 0, 0], [0.014554, 113.92, 1789.2, 0]])
    problem = ranking._Problem(wins, ranking._logistic, 1e-4)
    scores, values, full, done = np.zeros(4), [], [], False
    while not done:
        value, gradient, hessian = problem.at(scores)
        values.append(value)
        full.append(problem.at(scores + np.linalg.solve(hessian, gradient))[0])
        scores, done = problem.newton(scores)
    assert any(after < before - 1e-3 for before, after in zip(values, full, strict=True))
    assert all(after > before - 1e-12 for before, after in itertools.pairwise(values))
    assert np.abs(problem.at(scores)[1]).max() < 1e-9


def test_hundreds_of_items_and_pairs_that_were_never_compared() -> None:
    rng = np.random.default_rng(0)
    wins = np.where(rng.random((300, 300)) < 0.05, rng.integers(0, 9, (300, 300)), 0)
    found = rank(wins)
    assert found.converged
    assert found.iterations < 15


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[0.5, math.nan], [0.5, 0.5]], r"\[0, 1\] is nan"),
        ([[0.5, 0.5], [math.inf, 0.5]], r"\[1, 0\] is inf"),
        ([[0.5, 0.5], [-0.1, 0.5]], r"\[1, 0\] is -0\.1"),
        ([[0.5, 0.5]], r"shape \(1, 2\)"),
        ([0.5, 0.5], r"shape \(2,\)"),
        ([], "shape"),
        (np.zeros((0, 0)), "N at least 1"),
        ([[0.5, "much"], [0.5, 0.5]], "no matrix of numbers"),
        ([[0.5, 0.5], [0.5]], "no matrix of numbers"),
    ],
)
def test_malformed_matrices_are_named(matrix: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rank(matrix)


@pytest.mark.parametrize("precision", [0, -1, math.nan, math.inf])
def test_the_prior_must_be_proper(precision: float) -> None:
    with pytest.raises(UsageError, match="prior precision"):
        rank([[0, 1], [1, 0]], prior_precision=precision)


@pytest.mark.parametrize("weight", [1e6, 1e12, 1e300])
def test_a_prior_that_is_lost_beside_the_weights_is_refused(weight: float) -> None:
    with pytest.raises(UsageError, match="beside weights of"):
        rank(np.triu(np.ones((5, 5)), 1) * weight, prior_precision=1e-9)


def test_unknown_links_are_named() -> None:
    with pytest.raises(UsageError, match=r"normal \| logistic"):
        rank([[0, 1], [1, 0]], "probit")  # type: ignore[arg-type]


def test_too_few_steps_are_told() -> None:
    found = rank(np.triu(np.ones((5, 5)), 1) * 1e6, max_iterations=1)
    assert not found.converged
    assert found.iterations == 1


def test_one_item_is_its_own_origin() -> None:
    found = rank([[0.5]])
    assert (found.scores.tolist(), found.standard_errors.tolist(), found.converged) == ([0.0], [0.0], True)
