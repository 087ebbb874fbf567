"""Intervals in closed form: the fixture, scipy, hand arithmetic, coverage by simulation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats

FIXTURE = Path(__file__).parents[2] / "fixtures" / "evaluation" / "statistics.json"


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FIXTURE.read_text())
    return found


def test_the_published_intervals(published: dict[str, Any]) -> None:
    r = published["srcc_a"]
    one, other = stats.bonett_wright(r, 60), stats.fisher(r, 60)
    assert (one.low, one.high) == pytest.approx(published["fisher_ci95_a_bonett_wright"], abs=1e-9)
    assert (other.low, other.high) == pytest.approx(published["fisher_ci95_a_plain_1_over_n_minus_3"], abs=1e-9)
    for case in published["wilson_ci95"]:
        found = stats.wilson(case["k"], case["n"])
        assert (found.low, found.high) == pytest.approx(case["ci"], abs=1e-9)


def test_sizes_of_the_prompt_benchmark() -> None:
    """With n = 150 an SRCC of 0.80 has 0.72..0.86, one of 0.50 has 0.36..0.62."""
    for r, low, high in ((0.8, 0.72, 0.86), (0.5, 0.36, 0.62)):
        found = stats.bonett_wright(r, 150)
        assert (round(found.low, 2), round(found.high, 2)) == (low, high)


@given(st.floats(-0.99, 0.99), st.integers(5, 500), st.floats(0.5, 0.99))
def test_fisher_equals_scipy(r: float, n: int, level: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    y = r * x + rng.normal(size=n)
    expected = oracle.pearsonr(x, y).confidence_interval(level)
    found = stats.fisher(stats.plcc(x, y), n, level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 300), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_equals_scipy(n: int, data: st.DataObject, level: float) -> None:
    k = data.draw(st.integers(0, n))
    expected = oracle.binomtest(k, n).proportion_ci(level, method="wilson")
    found = stats.wilson(k, n, level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.floats(-0.999, 0.999), st.integers(5, 10_000))
def test_intervals_hold_the_figure_and_mirror(r: float, n: int) -> None:
    for make in (stats.fisher, stats.bonett_wright):
        found, mirrored = make(r, n), make(-r, n)
        assert -1 <= found.low <= r <= found.high <= 1
        assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))
        wider = make(r, n, 0.99)
        assert wider.low <= found.low and wider.high >= found.high


def test_bonett_wright_is_wider_than_fisher() -> None:
    assert stats.bonett_wright(0.8, 50).low < stats.fisher(0.8, 50).low
    assert stats.bonett_wright(0.0, 50).low == stats.fisher(0.0, 50).low


@pytest.mark.parametrize("make", [stats.fisher, stats.bonett_wright])
def test_no_interval_without_a_reason(make: Any) -> None:
    assert make(math.nan, 100).reason == "no correlation"
    assert make(0.5, 4).reason == "4 items are too few, 5 are needed"
    assert make(0.5, 5).reason is None
    assert (make(1.0, 20).low, make(-1.0, 20).high) == (1, -1)
    with pytest.raises(DataError, match=r"correlation 1.2"):
        make(1.2, 20)
    with pytest.raises(UsageError, match="coverage 95"):
        make(0.5, 20, 95)


def test_wilson_without_trials_and_with_impossible_hits() -> None:
    assert stats.wilson(0, 0).reason == "no trial"
    with pytest.raises(DataError, match="3 hits in 2 trials"):
        stats.wilson(3, 2)


@pytest.mark.parametrize(("rho", "n"), [(0.0, 30), (0.8, 40), (0.95, 150)])
def test_coverage_over_500_simulated_runs(rho: float, n: int) -> None:
    truth = 6 / math.pi * math.asin(rho / 2)
    hits = np.zeros(2)
    for run in range(500):
        rng = np.random.default_rng([run, n])
        y = rng.normal(size=n)
        x = rho * y + math.sqrt(1 - rho**2) * rng.normal(size=n)
        one, other = stats.bonett_wright(stats.srcc(x, y), n), stats.fisher(stats.plcc(x, y), n)
        hits += one.low <= truth <= one.high, other.low <= rho <= other.high
    assert (np.abs(hits / 500 - 0.95) <= 0.035).all()
