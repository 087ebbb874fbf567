"""Axes: round ends, ticks that hold the data, linear and logarithmic places."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mllmqa.evaluation.report.axes import Axis, linear, logarithmic, short


@pytest.mark.parametrize("seed", range(20))
def test_an_axis_holds_its_values_and_has_few_ticks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = (10.0 ** rng.uniform(-6, 6) * rng.normal(rng.normal() * 3, 1, rng.integers(1, 20))).tolist()
    axis = linear(values)
    slack = 1e-6 * max(1.0, abs(axis.low), abs(axis.high))
    assert axis.low <= min(values) + slack
    assert axis.high >= max(values) - slack
    assert (axis.ticks[0], axis.ticks[-1]) == (axis.low, axis.high)
    assert 2 <= len(axis.ticks) <= 9
    assert all(b > a for a, b in zip(axis.ticks, axis.ticks[1:], strict=False))


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.03, 0.97], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ([1, 5], (1.0, 2.0, 3.0, 4.0, 5.0)),
        ([-0.4, 1.2], (-0.5, 0.0, 0.5, 1.0, 1.5)),
        ([3, 3], (2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.6)),
        ([], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ([math.nan, 1, math.inf, 2], (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)),
    ],
)
def test_ticks_are_round(values: list[float], ticks: tuple[float, ...]) -> None:
    assert linear(values).ticks == pytest.approx(ticks)


def test_places_on_a_linear_axis_end_at_its_ends() -> None:
    axis = Axis(1, 5, (1, 5))
    assert [axis.share(x) for x in (1, 3, 5, -10, 99)] == [0, 0.5, 1, 0, 1]


def test_places_on_a_logarithmic_axis() -> None:
    axis = Axis(1, 100, (1, 10, 100), log=True)
    assert [axis.share(x) for x in (1, 10, 100, 0.001)] == pytest.approx([0, 0.5, 1, 0])


@pytest.mark.parametrize("seed", range(20))
def test_a_logarithmic_axis_holds_its_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = (10.0 ** rng.uniform(-6, 9, rng.integers(1, 10))).tolist()
    axis = logarithmic(values)
    assert axis.log
    assert 0 < axis.low < min(values) <= max(values) < axis.high
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)


def test_a_logarithmic_axis_leaves_out_what_has_no_place() -> None:
    axis = logarithmic([0.0, -3.0, math.nan, 2.0, 40.0], "tokens")
    assert (axis.low, axis.high, axis.label) == (1.6, 50.0, "tokens")
    assert axis.ticks == pytest.approx((2, 5, 10, 20, 50))
    assert logarithmic([]).ticks == pytest.approx((1, 2, 5, 10))
    assert logarithmic([1, 1e5]).ticks == pytest.approx((1, 10, 100, 1000, 1e4, 1e5))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (-0.5, "−0.5"), (1500, "1.5k"), (2e7, "20M"), (3e9, "3G"), (-2000, "−2k")],
)
def test_numbers_of_ticks_are_short(value: float, text: str) -> None:
    assert short(value) == text
