"""Preferences from two scores and from two orders: the formulas, and exact opposites."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mllmqa.comparing.preference import both_orders, joined, spread_of_gap, thurstone
from mllmqa.schema import Distribution

VALUES = st.floats(1, 5)
STDS = st.floats(0, 2)
SHARES = st.floats(0, 1)


def opinion(value: float, std: float) -> Distribution:
    return Distribution(value=value, std=std, levels={}, coverage=1)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((3, 0.6), (3, 0.8), 0.5),
        ((4, 0.6), (3, 0.8), 0.8413447460685429),  # Φ(1)
        ((1, 0), (3, 1), 0.022750131948179195),  # Φ(−2)
        ((5, 2), (1, 2), 0.9213503964748575),  # Φ(√2)
    ],
)
def test_is_the_normal_distribution_function_of_the_gap(
    a: tuple[float, float], b: tuple[float, float], expected: float
) -> None:
    assert thurstone(opinion(*a), opinion(*b)) == pytest.approx(expected, abs=1e-15)


def test_the_spread_of_the_gap_is_that_of_independent_opinions() -> None:
    assert spread_of_gap(opinion(3, 0.6), opinion(4, 0.8)) == pytest.approx(1.0)


@pytest.mark.parametrize(("a", "b", "expected"), [(3.0, 3.0, 0.5), (3.1, 3.0, 1.0), (2.9, 3.0, 0.0)])
def test_without_any_spread_it_is_certain(a: float, b: float, expected: float) -> None:
    assert thurstone(opinion(a, 0), opinion(b, 0)) == expected


@given(VALUES, STDS, VALUES, STDS)
def test_swapping_gives_exactly_the_opposite(m1: float, s1: float, m2: float, s2: float) -> None:
    a, b = opinion(m1, s1), opinion(m2, s2)
    p = thurstone(a, b)
    assert thurstone(b, a) == 1 - p
    assert p == 1 - thurstone(b, a)
    assert 0 <= p <= 1
    assert thurstone(a, a) == 0.5


@given(VALUES, VALUES, VALUES, STDS, STDS)
def test_a_better_score_is_never_less_preferred(m1: float, m2: float, other: float, s: float, t: float) -> None:
    low, high = sorted((m1, m2))
    assert thurstone(opinion(low, s), opinion(other, t)) <= thurstone(opinion(high, s), opinion(other, t))


@given(VALUES, VALUES, st.floats(0.1, 2), st.floats(0.1, 2))
def test_agrees_with_the_error_function(m1: float, m2: float, s: float, t: float) -> None:
    expected = 0.5 * (1 + math.erf((m1 - m2) / math.hypot(s, t) / math.sqrt(2)))
    assert thurstone(opinion(m1, s), opinion(m2, t)) == pytest.approx(expected, abs=1e-12)


@given(SHARES, SHARES)
def test_both_orders_are_averaged_and_mirrored_exactly(a_first: float, b_first: float) -> None:
    p = both_orders(a_first, b_first)
    assert p == pytest.approx((a_first + 1 - b_first) / 2, abs=1e-12)
    assert both_orders(b_first, a_first) == 1 - p
    assert p == 1 - both_orders(b_first, a_first)


@given(SHARES, SHARES, st.floats(0.001, 0.5))
def test_a_liking_for_one_place_cancels(preference: float, share: float, liking: float) -> None:
    assume(liking <= preference <= 1 - liking)
    assert both_orders(preference + liking, 1 - preference + liking) == pytest.approx(preference, abs=1e-12)
    assert both_orders(share, share) == 0.5


@pytest.mark.parametrize(
    ("p", "weight", "lead", "expected"),
    [
        (0.5, 0.5, 0.0, 0.5),
        (0.8, 1.0, 0.0, 0.8),
        (0.8, 0.0, 0.0, 0.5),
        (0.8, 0.5, 0.0, 2 / 3),  # odds 4 become 2
        (0.5, 0.5, math.log(3), 0.75),
        (0.2, 0.5, math.log(2), 0.5),  # what is read outweighs what was answered
        (1.0, 1.0, 0.0, 1 - 1e-6),
    ],
)
def test_answers_and_readings_join_as_odds(p: float, weight: float, lead: float, expected: float) -> None:
    assert joined(p, weight, lead) == pytest.approx(expected, rel=1e-9)


@given(SHARES, SHARES, st.floats(0, 2), st.floats(-900, 900))
def test_what_is_joined_is_mirrored_exactly(a_first: float, b_first: float, weight: float, lead: float) -> None:
    one, other = both_orders(a_first, b_first), both_orders(b_first, a_first)
    p, q = joined(one, weight, lead), joined(other, weight, -lead)
    assert p == 1 - q
    assert q == 1 - p
    assert 0 <= p <= 1


@given(SHARES, st.floats(0, 2), st.floats(-20, 20), st.floats(0, 5))
def test_a_reading_for_a_side_never_costs_it(p: float, weight: float, lead: float, more: float) -> None:
    assert joined(p, weight, lead + more) >= joined(p, weight, lead)
