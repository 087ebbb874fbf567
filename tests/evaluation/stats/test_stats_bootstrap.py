"""Bootstrap: the fixture to the last digit, plain resampling as oracle, coverage over 500 simulated runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats
from mllmqa.evaluation.stats import resampling
from mllmqa.evaluation.stats.resampling import Resampler, draws

FIXTURE = Path(__file__).parents[2] / "fixtures" / "evaluation" / "statistics.json"


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FIXTURE.read_text())
    return found


def made(n: int, seed: int = 0, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    return y + noise * rng.normal(size=n), y


# ---------------------------------------------------------------- exactness


def test_the_published_paired_bootstrap(published: dict[str, Any]) -> None:
    expected = published["paired_bootstrap_20000_seed0_default_rng_integers"]
    found = stats.bootstrap([published["mode_a"], published["mode_b"]], published["mos"], resamples=20_000)
    a, b = found.srcc
    (difference,) = found.srcc_difference
    assert (a.low, a.high) == pytest.approx(expected["ci95_a"], abs=1e-12)
    assert (b.low, b.high) == pytest.approx(expected["ci95_b"], abs=1e-12)
    assert (difference.low, difference.high) == pytest.approx(expected["ci95_diff"], abs=1e-12)
    assert difference.standard_error == pytest.approx(expected["se_diff"], abs=1e-12)
    assert difference.share_not_positive == expected["share_diff_le_0"]
    assert (a.point, b.point) == pytest.approx((published["srcc_a"], published["srcc_b"]), abs=1e-12)
    assert (a.resamples, a.degenerate, a.n, a.n_unscored, a.n_units) == (20_000, 0, 60, 0, 60)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9), st.integers(0, 3)), min_size=3, max_size=20),
    st.integers(0, 99),
)
def test_equals_ranking_each_resample_anew(rows: list[tuple[int, int, int]], seed: int) -> None:
    a, b, y = np.array(rows, float).T
    weights = next(draws(len(y), 30, seed, wide=len(y)))
    found = Resampler([a, b], y)(weights)
    for k, x in enumerate((a, b)):
        for row, counts in enumerate(weights):
            drawn = np.repeat(np.arange(len(y)), counts)
            for kind, of in enumerate((stats.srcc, stats.plcc)):
                expected = of(x[drawn], y[drawn])
                np.testing.assert_allclose(found[kind, k, row], expected, atol=1e-10)


def test_the_space_is_used_again_and_changes_nothing() -> None:
    x, y = made(50)
    resample = Resampler([x], y)
    many = np.concatenate(list(draws(50, 40, 0, wide=50)))
    once = resample(many)
    for size in (40, 7, 1, 23):
        np.testing.assert_allclose(resample(many[:size]), once[:, :, :size], rtol=1e-14)
    np.testing.assert_allclose(Resampler([x], y)(many), once, rtol=1e-14)


def test_blocks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = made(37)
    whole = stats.bootstrap(x, y, resamples=200)
    monkeypatch.setattr(resampling, "_CELLS", 37 * 3)
    again = stats.bootstrap(x, y, resamples=200)
    for one, other in ((whole.srcc[0], again.srcc[0]), (whole.plcc[0], again.plcc[0])):
        assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-14)
    expected = np.random.default_rng(0).integers(0, 37, (200, 37))
    counts = np.concatenate(list(draws(37, 200, 0, wide=37)))
    np.testing.assert_array_equal(counts, [np.bincount(row, minlength=37) for row in expected])


def test_the_same_seed_pairs_two_calls() -> None:
    x, y = made(40)
    other = x + np.random.default_rng(9).normal(size=40)
    both = stats.bootstrap([x, other], y, resamples=300)
    assert stats.bootstrap(x, y, resamples=300).srcc[0].low == pytest.approx(both.srcc[0].low, rel=1e-14)
    assert stats.bootstrap(other, y, resamples=300).plcc[0].high == pytest.approx(both.plcc[1].high, rel=1e-14)
    assert stats.bootstrap(x, y, resamples=300, seed=1).srcc[0].low != pytest.approx(both.srcc[0].low, rel=1e-9)


def test_a_model_does_not_differ_from_a_monotone_map_of_itself() -> None:
    x, y = made(40)
    found = stats.bootstrap([x, np.exp(x)], y, resamples=300).srcc_difference[0]
    assert (found.point, found.low, found.high) == (0, 0, 0)
    assert found.p_value == 1


# ---------------------------------------------------------------- references


def test_by_reference_equals_plain_resampling_of_references() -> None:
    rng = np.random.default_rng(5)
    groups = [f"ref{i}" for i in rng.integers(0, 6, 40)]
    x, y = made(40, 5)
    found = stats.bootstrap(x, y, groups=groups, resamples=100).srcc[0]
    names = list(dict.fromkeys(groups))
    assert found.n_units == len(names)
    values = []
    for drawn in np.random.default_rng(0).integers(0, len(names), (100, len(names))):
        items = np.concatenate([[i for i, g in enumerate(groups) if g == names[k]] for k in drawn]).astype(int)
        values.append(stats.srcc(x[items], y[items]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)


def test_references_widen_the_interval_where_errors_are_shared() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(15), 20)
    y = rng.normal(size=300)
    x = y + 2 * rng.normal(size=15)[groups]
    alone = stats.bootstrap(x, y, resamples=500).srcc[0]
    together = stats.bootstrap(x, y, groups=groups.tolist(), resamples=500).srcc[0]
    assert together.standard_error > 1.5 * alone.standard_error


def test_any_statistic_by_item_and_by_reference() -> None:
    x, y = made(30)
    found = stats.bootstrap_statistic(lambda i: stats.srcc(x[i], y[i]), 30, resamples=200)
    assert found.low == pytest.approx(stats.bootstrap(x, y, resamples=200).srcc[0].low, abs=1e-12)
    groups = [i // 5 for i in range(30)]
    found = stats.bootstrap_statistic(lambda i: stats.plcc(x[i], y[i]), 30, groups=groups, resamples=200)
    assert found.high == pytest.approx(stats.bootstrap(x, y, groups=groups, resamples=200).plcc[0].high, abs=1e-12)
    kendall = stats.bootstrap_statistic(lambda i: stats.krcc(x[i], y[i]), 30, resamples=100)
    assert kendall.low < stats.krcc(x, y) < kendall.high


# ---------------------------------------------------------------- coverage


def coverage_of_intervals(runs: int, n: int, rho: float, resamples: int) -> tuple[float, float]:
    """Return how often the intervals of SRCC and PLCC hold the truth, for normal data."""
    truth = (6 / math.pi * math.asin(rho / 2), rho)
    hits = np.zeros(2)
    for run in range(runs):
        rng = np.random.default_rng([7, run])
        y = rng.normal(size=n)
        x = rho * y + math.sqrt(1 - rho**2) * rng.normal(size=n)
        found = stats.bootstrap(x, y, resamples=resamples, seed=run)
        for kind, one in enumerate((found.srcc[0], found.plcc[0])):
            hits[kind] += one.low <= truth[kind] <= one.high
    return hits[0] / runs, hits[1] / runs


def test_intervals_cover_the_truth_over_500_runs() -> None:
    """95 % nominal; percentile intervals of 150 items cover a little less. Three standard errors are 3 %."""
    srcc, plcc = coverage_of_intervals(500, 150, 0.8, 400)
    assert 0.915 <= srcc <= 0.98
    assert 0.915 <= plcc <= 0.98


def test_the_difference_of_equal_models_is_seldom_significant() -> None:
    wrong = 0
    for run in range(200):
        rng = np.random.default_rng([3, run])
        y = rng.normal(size=100)
        a, b = y + rng.normal(size=(2, 100))
        wrong += stats.bootstrap([a, b], y, resamples=300, seed=run).srcc_difference[0].p_value < 0.05
    assert 0.01 <= wrong / 200 <= 0.10


def test_the_spread_over_resamples_is_that_over_samples() -> None:
    rng = np.random.default_rng(11)
    y = rng.normal(size=(300, 80))
    x = y + rng.normal(size=(300, 80))
    over_samples = float(np.std([stats.plcc(a, b) for a, b in zip(x, y, strict=True)]))
    errors = [stats.bootstrap(x[i], y[i], resamples=200).plcc[0].standard_error for i in range(30)]
    assert float(np.mean(errors)) == pytest.approx(over_samples, rel=0.15)


# ---------------------------------------------------------------- degenerate and bad input


def test_items_that_a_model_lacks_are_left_out_for_all() -> None:
    x, y = made(30)
    other = x[::-1].copy()
    other[3] = x[7] = math.nan
    found = stats.bootstrap([x, other], y, resamples=50)
    assert (found.srcc[0].n, found.srcc[0].n_unscored) == (28, 2)
    keep = [i for i in range(30) if i not in (3, 7)]
    again = stats.bootstrap([x[keep], other[keep]], y[keep], resamples=50)
    assert found.srcc_difference[0].low == pytest.approx(again.srcc_difference[0].low, rel=1e-12)
    assert found.srcc[1].point == pytest.approx(stats.srcc(other[keep], y[keep]))


@pytest.mark.parametrize("n", [3, 4])
def test_fewer_than_five_items_have_no_interval(n: int) -> None:
    found = stats.bootstrap(np.arange(n), np.arange(n), resamples=50).srcc[0]
    assert found.point == pytest.approx(1)
    assert all(math.isnan(x) for x in (found.low, found.high, found.standard_error, found.p_value))
    assert found.resamples > 0


def test_a_figure_that_the_data_do_not_have_has_no_interval() -> None:
    groups = [0, 0, 1, 2, 3, 4]  # five references of unequal size: resamples have other numbers of items
    found = stats.bootstrap_statistic(lambda i: math.nan if len(i) == 6 else 1.0, 6, groups=groups, resamples=50)
    assert math.isnan(found.point)
    assert math.isnan(found.low)
    assert math.isnan(found.p_value)
    assert 0 < found.resamples < 50
    assert found.resamples + found.degenerate == 50


def test_resamples_without_a_figure_are_counted() -> None:
    found = stats.bootstrap([1, 1, 1, 2], [1, 2, 3, 4], resamples=400).srcc[0]
    assert found.degenerate > 50
    assert found.resamples + found.degenerate == 400
    # the only unequal item is missing in (3/4)^4 of the resamples, and alone in (1/4)^4
    assert found.degenerate / 400 == pytest.approx(0.75**4 + 0.25**4, abs=0.08)


@pytest.mark.parametrize("x", [[2.0] * 6, [math.nan] * 6])
def test_constant_or_unscored_models_have_no_interval(x: list[float]) -> None:
    found = stats.bootstrap(x, [1, 2, 3, 4, 5, 6], resamples=20)
    for one in (*found.srcc, *found.plcc):
        assert math.isnan(one.point) and math.isnan(one.low) and math.isnan(one.p_value)
        assert (one.resamples, one.degenerate) == (0, 20)
        assert one.n + one.n_unscored == 6


def test_p_values_are_never_zero() -> None:
    y = np.arange(50.0)
    found = stats.bootstrap([y, -y], y, resamples=99)
    assert found.srcc_difference[0].p_value == pytest.approx(2 / 100)
    assert found.srcc[1].share_not_positive == 1


def test_bad_arguments() -> None:
    x, y = made(10)
    with pytest.raises(UsageError, match="0 resamples"):
        stats.bootstrap(x, y, resamples=0)
    with pytest.raises(UsageError, match="coverage 95"):
        stats.bootstrap(x, y, level=95)
    with pytest.raises(DataError, match="9 references for 10 items"):
        stats.bootstrap(x, y, groups=["a"] * 9)
    with pytest.raises(DataError, match="scores are no numbers"):
        stats.bootstrap(["good"] * 10, y)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="10 scores for 9 opinions"):
        stats.bootstrap(x, y[:9])
    with pytest.raises(DataError, match="opinions are not finite"):
        stats.bootstrap(x, [math.nan, *y[1:]])
    with pytest.raises(UsageError, match="1 or more of both"):
        stats.bootstrap_statistic(lambda i: 0.0, 0)
    with pytest.raises(DataError, match="1000001 items to resample"):
        Resampler([], np.zeros(1_000_001))


@pytest.mark.parametrize("data", ["cvd2014", "livevqc"])
def test_real_predictions(shared: Path, data: str) -> None:
    table = np.genfromtxt(
        shared / f"fixtures/classic/corr/dover_{data}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    text = (shared / "fixtures/classic/stats/significance_ci_finegrained.json").read_text()
    expected = json.loads(text)[data]
    columns = [table[name] for name in ("pred_fragments", "pred_resize", "pred_fused")]
    found = stats.bootstrap(columns, table["mos"], resamples=4000)
    one, goal = found.srcc[2], expected["bootstrap_4000_srcc_fused_percentile95"]
    assert (one.low, one.high) == pytest.approx((goal["lo"], goal["hi"]), abs=1e-9)
    one, goal = found.srcc_difference[0], expected["bootstrap_4000_srcc_diff_fragments_minus_resize_percentile95"]
    assert (one.point, one.low, one.high) == pytest.approx((goal["point"], goal["lo"], goal["hi"]), abs=1e-9)
