"""How a model answers: shares, swaps, cycles, round numbers; and what significance letters say."""

from __future__ import annotations

import math

import pytest

from mllmqa.evaluation.prompting import habits
from mllmqa.evaluation.prompting.answers import Answer, Failure
from mllmqa.evaluation.prompting.measure import Contrast, letters
from mllmqa.evaluation.prompting.trials import Trial


def double(*said: tuple[int, int, int]) -> list[tuple[Trial, Answer]]:
    return [(Trial("double", k, "double", (a, b)), Answer((float(x),))) for k, (a, b, x) in enumerate(said)]


def test_always_the_first_is_never_consistent() -> None:
    found = habits.places(double((0, 1, 1), (1, 0, 1), (2, 3, 1), (3, 2, 1)))
    assert found.first.value == 1
    assert found.consistent.value == 0
    assert found.kappa == 0
    assert found.first.interval.low > 0.3


def test_the_same_verdict_after_a_swap_is_consistent() -> None:
    found = habits.places(double((0, 1, 1), (1, 0, 0), (2, 3, 0), (3, 2, 1), (4, 5, 2), (5, 4, 2)))
    assert found.first.value == 0.5
    assert (found.consistent.k, found.consistent.n) == (3, 3)
    assert found.kappa == 1
    assert found.ties.value == pytest.approx(1 / 3)


def test_rankings_tell_of_places_but_not_of_swaps() -> None:
    trial = Trial("multiple", 0, "multiple", (0, 1, 2, 3))
    found = habits.places([(trial, Answer((3.0, 2.0, 1.0, 0.0)))])
    assert (found.first.k, found.first.n) == (6, 6)
    assert found.consistent.n == 0
    assert math.isnan(found.kappa)


def test_cycles_against_chance() -> None:
    circle = habits.cycles(double((0, 1, 1), (1, 2, 1), (2, 0, 1)))
    assert (circle.cyclic.k, circle.cyclic.n, circle.chance) == (1, 1, 0.25)
    order = habits.cycles(double((0, 1, 1), (1, 2, 1), (0, 2, 1)))
    assert (order.cyclic.k, order.cyclic.n) == (0, 1)
    undecided = habits.cycles(double((0, 1, 1), (1, 0, 1), (1, 2, 1), (2, 0, 1)))
    assert undecided.cyclic.n == 0


def test_round_numbers() -> None:
    said = [
        (Trial("single", k, "single", (k,)), Answer((x,))) for k, x in enumerate([80.0, 80, 80, 75, 70, 63, 90, 85])
    ]
    found = habits.numbers(said)
    assert found is not None
    assert found.distinct == 6
    assert found.top_three.value == pytest.approx(5 / 8)
    assert found.tens.value == pytest.approx(5 / 8)
    assert found.fives.value == pytest.approx(7 / 8)
    assert 0 < found.entropy_bits < math.log2(8)
    constant = habits.numbers(said[:3])
    assert constant is not None
    assert constant.entropy_bits == 0
    assert habits.numbers(double((0, 1, 1))) is None


def test_failures_are_counted_by_kind() -> None:
    found = habits.failures(
        [Answer((1.0,)), Failure("refusal", "no"), Failure("refusal", "no"), Failure("range", "140")]
    )
    assert found["refusal"].value == 0.5
    assert found["range"].k == 1
    assert found["format"].k == 0
    assert math.isnan(habits.failures([])["refusal"].value)


def contrast(a: str, b: str, adjusted: float) -> Contrast:
    return Contrast(a, b, 0.1, "rank jackknife", adjusted, adjusted)


def test_modes_share_a_letter_unless_they_differ() -> None:
    found = [contrast("x", "y", 0.2), contrast("y", "z", 0.3), contrast("x", "z", 0.01)]
    assert letters(["z", "x", "y"], [0.5, 0.9, 0.7], found) == {"x": "a", "y": "ab", "z": "b"}
    assert letters(["x", "y"], [0.9, 0.8], [contrast("x", "y", math.nan)]) == {"x": "a", "y": "a"}
    assert letters(["x", "y"], [0.9, math.nan], [contrast("x", "y", math.nan)]) == {"x": "a", "y": ""}
