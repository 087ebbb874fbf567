"""Tests of differences: the fixture, scipy, nominal rates over simulated runs, and what has no outcome."""

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
DEPENDENT = [stats.williams, stats.meng_rosenthal_rubin, stats.steiger]


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FIXTURE.read_text())
    return found


# ---------------------------------------------------------------- figures


def test_the_published_figures(published: dict[str, Any]) -> None:
    r = [published[key] for key in ("srcc_a", "srcc_b", "srcc_ab")]
    one, other = stats.williams(*r, 60), stats.meng_rosenthal_rubin(*r, 60)
    assert (one.statistic, one.p_value) == pytest.approx(published["williams_t_p"], abs=1e-9)
    assert one.df == 57
    assert (other.statistic, other.p_value) == pytest.approx(published["meng_rosenthal_rubin_z_p"], abs=1e-9)
    assert stats.holm(published["holm"]["p"]) == pytest.approx(published["holm"]["adjusted"], abs=1e-12)
    for case in published["mcnemar_exact"]:
        assert stats.mcnemar(case["b"], case["c"]).p_value == pytest.approx(case["p"], abs=1e-12)


def test_steiger_by_hand() -> None:
    """r = 0.5 and 0.3 with 0.2 between them, n = 103: Psychol. Bull. 87, eq. 3 and 14 with the mean 0.4."""
    psi = 0.2 * (1 - 2 * 0.16) - 0.5 * 0.16 * (1 - 2 * 0.16 - 0.04)
    expected = (math.atanh(0.5) - math.atanh(0.3)) * 10 / math.sqrt(2 - 2 * psi / 0.84**2)
    found = stats.steiger(0.5, 0.3, 0.2, 103)
    assert found.statistic == pytest.approx(expected)
    assert found.p_value == pytest.approx(2 * oracle.norm.sf(expected))


def test_fisher_by_hand() -> None:
    found = stats.fisher_independent(0.5, 103, 0.3, 53)
    z = (math.atanh(0.5) - math.atanh(0.3)) / math.sqrt(1 / 100 + 1 / 50)
    assert (found.statistic, found.p_value) == pytest.approx((z, 2 * oracle.norm.sf(z)))


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_equals_scipy(b: int, c: int) -> None:
    found = stats.mcnemar(b, c)
    expected = oracle.binomtest(b, b + c).pvalue if b + c else 1.0
    assert found.p_value == pytest.approx(expected, abs=1e-12)
    assert found.statistic == b - c


def test_binomial_by_hand() -> None:
    found = stats.binomial_shares(0.6, 0.5, 200)
    z = 0.1 / math.sqrt(0.55 * 0.45 * 2 / 200)
    assert (found.statistic, found.p_value) == pytest.approx((z, 2 * oracle.norm.sf(z)))
    for same in (0.0, 0.3, 1.0):
        assert stats.binomial_shares(same, same, 10).p_value == 1


def test_variance_ratio_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 40), rng.normal(0, 1.4, 30)
    found = stats.variance_ratio(a, b)
    ratio = b.var(ddof=1) / a.var(ddof=1)
    assert found.statistic == pytest.approx(ratio)
    assert found.p_value == pytest.approx(2 * oracle.f.sf(ratio, 29, 39))
    assert stats.variance_ratio(b, a).p_value == pytest.approx(found.p_value)
    assert stats.variance_ratio(a, np.zeros(9)).reason == "no residual variance"


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("test", DEPENDENT)
@given(st.integers(0, 10**6), st.integers(5, 300))
def test_swapping_the_models_changes_the_sign_only(test: Any, seed: int, n: int) -> None:
    y, a, b = np.random.default_rng(seed).normal(size=(3, n))
    a, b = a + y, b + y + 0.5 * a
    r = stats.plcc(a, y), stats.plcc(b, y), stats.plcc(a, b)
    one, other = test(r[0], r[1], r[2], n), test(r[1], r[0], r[2], n)
    assert one.statistic == pytest.approx(-other.statistic)
    assert one.p_value == pytest.approx(other.p_value)
    assert 0 <= one.p_value <= 1
    assert np.sign(one.statistic) == np.sign(r[0] - r[1])


def test_dependent_tests_see_more_than_independent_ones() -> None:
    """Correlations of two branches of one model on 234 clips: 0.789 and 0.824, 0.889 between them."""
    r = 0.7891327509253121, 0.8242991565350538, 0.8894838167166738
    assert stats.fisher_independent(r[0], 234, r[1], 234).p_value == pytest.approx(0.2779, abs=1e-4)
    assert stats.williams(*r, 234).p_value == pytest.approx(0.041524, abs=1e-6)
    assert stats.meng_rosenthal_rubin(*r, 234).p_value == pytest.approx(0.041791, abs=1e-6)
    assert stats.steiger(*r, 234).p_value == pytest.approx(0.0417, abs=1e-4)


@pytest.mark.parametrize("test", DEPENDENT)
@pytest.mark.parametrize("of", [stats.plcc, stats.srcc])
def test_equal_models_are_told_apart_in_one_of_twenty_runs(test: Any, of: Any) -> None:
    wrong = 0
    for run in range(500):
        y, a, b = np.random.default_rng([run, 5]).normal(size=(3, 80))
        a, b = y + a, y + b
        wrong += test(of(a, y), of(b, y), of(a, b), 80).p_value < 0.05
    assert 0.015 <= wrong / 500 <= 0.085


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_the_plain_and_the_bonferroni_values(p: list[float]) -> None:
    found = stats.holm(p)
    for plain, adjusted in zip(p, found, strict=True):
        assert plain - 1e-12 <= adjusted <= min(1.0, plain * len(p)) + 1e-12
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(found)[order]) >= -1e-12).all()
    shuffled = stats.holm(p[::-1])
    assert shuffled[::-1] == pytest.approx(found)


def test_holm_skips_what_has_no_outcome() -> None:
    found = stats.holm([0.01, math.nan, 0.04])
    assert found[0] == pytest.approx(0.02) and math.isnan(found[1]) and found[2] == pytest.approx(0.04)
    assert stats.holm([]) == []
    with pytest.raises(DataError, match=r"expected 0..1"):
        stats.holm([0.5, 1.5])


@pytest.mark.parametrize("test", DEPENDENT)
@pytest.mark.parametrize(
    ("r", "n", "reason"),
    [
        ((0.5, 0.4, 1.0), 50, "the models agree perfectly"),
        ((1.0, 0.4, 0.5), 50, "a model agrees perfectly with the opinions"),
        ((math.nan, 0.4, 0.5), 50, "a correlation is missing"),
        ((0.5, 0.4, 0.5), 3, "3 items are too few, 4 are needed"),
    ],
)
def test_no_outcome_with_a_reason(test: Any, r: tuple[float, float, float], n: int, reason: str) -> None:
    found = test(*r, n)
    assert math.isnan(found.statistic) and math.isnan(found.p_value)
    assert found.reason == reason


def test_impossible_figures_are_refused() -> None:
    for test in DEPENDENT:
        with pytest.raises(DataError, match=r"correlation 1.1"):
            test(0.5, 1.1, 0.2, 50)
    assert stats.fisher_independent(0.5, 3, 0.4, 99).reason == "3 items are too few, 4 are needed"
    with pytest.raises(DataError, match="at least one case"):
        stats.binomial_shares(0.5, 1.5, 10)
    with pytest.raises(DataError, match="at least 0"):
        stats.mcnemar(-1, 3)
    with pytest.raises(DataError, match="2 and 1 residuals for 1 parameters"):
        stats.variance_ratio([1, 2], [1])
    assert stats.steiger(0.9, 0.9, -0.9, 50).reason in {None, "the three correlations leave no variance"}


# ---------------------------------------------------------------- two models on the same items


def test_compare_puts_it_together(published: dict[str, Any]) -> None:
    a, b, y = (published[key] for key in ("mode_a", "mode_b", "mos"))
    found = stats.compare(a, b, y, resamples=2000)
    assert (found.a, found.b, found.ab) == pytest.approx(
        tuple(published[key] for key in ("srcc_a", "srcc_b", "srcc_ab")), abs=1e-12
    )
    names = ["rank jackknife", "Williams", "Meng-Rosenthal-Rubin", "Steiger"]
    assert [test.name for test in found.tests] == names
    assert found.tests[0] == stats.rank_difference(a, b, y)
    assert found.tests[1].p_value == pytest.approx(published["williams_t_p"][1], abs=1e-9)
    assert found.difference.low > 0 and found.difference.p_value < 0.06
    assert (found.n, found.n_only_a, found.n_only_b, found.n_neither) == (60, 0, 0, 0)
    linear = stats.compare(a, b, y, "plcc", resamples=200)
    assert [test.name for test in linear.tests] == names[1:]
    assert linear.a == pytest.approx(stats.plcc(a, y))
    assert linear.difference.point == pytest.approx(linear.a - linear.b)


def test_compare_uses_the_items_that_both_scored() -> None:
    rng = np.random.default_rng(0)
    y, a, b = rng.normal(size=(3, 40))
    a[0] = a[1] = b[1] = b[2] = b[3] = math.nan
    found = stats.compare(a, b, y, resamples=50)
    assert (found.n, found.n_only_a, found.n_only_b, found.n_neither) == (36, 2, 1, 1)
    assert found.a == pytest.approx(stats.srcc(a[4:], y[4:]))
    assert found.difference.n_unscored == 4


def test_compare_with_a_model_that_refuses_everything() -> None:
    y = np.arange(10.0)
    found = stats.compare(y, np.full(10, math.nan), y, resamples=20)
    assert found.n == 0 and found.n_only_a == 10
    assert all(test.reason == "a correlation is missing" for test in found.tests)
    assert math.isnan(found.difference.low)
    with pytest.raises(UsageError, match=r"unknown statistic 'krcc'; expected srcc \| plcc"):
        stats.compare(y, y, y, "krcc")  # type: ignore[arg-type]


# ---------------------------------------------------------------- splits


def test_splits_by_hand() -> None:
    found = stats.over_splits([0.8, 0.9, 0.7, math.nan])
    assert (found.mean, found.median, found.std) == pytest.approx((0.8, 0.8, 0.1))
    assert (found.n, found.n_without) == (3, 1)
    assert math.isnan(stats.over_splits([0.8]).std)
    assert math.isnan(stats.over_splits([math.nan]).mean)


def test_paired_splits_equal_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.85, 0.02, 10), rng.normal(0.84, 0.02, 10)
    rank, t = stats.paired_splits(a, b)
    assert (rank.statistic, rank.p_value) == pytest.approx(tuple(oracle.wilcoxon(a, b)))
    assert (t.statistic, t.p_value) == pytest.approx(tuple(oracle.ttest_rel(a, b)))
    assert t.df == 9
    assert stats.paired_splits(a, a)[0].reason == "all differences are equal"
    with pytest.raises(DataError, match="the same number, at least 2"):
        stats.paired_splits([1], [1])


def test_published_splits(shared: Path) -> None:
    data = json.loads((shared / "fixtures/classic/corr/fastvqa_10splits.json").read_text())
    for key, case in data.items():
        for column, name in enumerate(case.get("columns", [])):
            found = stats.over_splits([row[column] for row in case["splits"]])
            goal = case["mean"][column], case["median"][column], case["std_ddof1"][column]
            assert (found.mean, found.median, found.std) == pytest.approx(goal, abs=1e-12), (key, name)
    runs = [[row[0] for row in data[f"live_vqc_s32*32_ens1{end}"]["splits"]] for end in ("", "_from_ar")]
    rank, t = stats.paired_splits(*runs)
    goal = data["paired_tests_live_vqc_srcc"]
    assert (rank.statistic, rank.p_value) == pytest.approx((goal["wilcoxon_stat"], goal["wilcoxon_p"]))
    assert (t.statistic, t.p_value) == pytest.approx((goal["paired_t"], goal["paired_t_p"]))


@pytest.mark.parametrize("data", ["cvd2014", "livevqc", "kv1k"])
def test_published_comparisons(shared: Path, data: str) -> None:
    text = (shared / "fixtures/classic/stats/significance_ci_finegrained.json").read_text()
    case = json.loads(text)[data]
    n, independent, meng = case["n"], case["fisher_z_independent"], case["meng_rosenthal_rubin_1992"]
    r = independent["r1"], independent["r2"], meng["r12"]
    found = stats.meng_rosenthal_rubin(*r, n)
    assert (found.statistic, found.p_value) == pytest.approx((meng["z"], meng["p_two_sided"]), abs=1e-9)
    found = stats.williams(*r, n)
    assert (found.statistic, found.df) == pytest.approx(
        (case["williams_t"]["t"], case["williams_t"]["df"]), abs=1e-9
    )
    assert found.p_value == pytest.approx(case["williams_t"]["p_two_sided"], abs=1e-9)
    found = stats.fisher_independent(r[0], n, r[1], n)
    assert (found.statistic, found.p_value) == pytest.approx(
        (independent["z"], independent["p_two_sided"]), abs=1e-9
    )
    for key, make in (
        ("srcc_fused_ci95_bonett_wright", stats.bonett_wright),
        ("plcc_fused_ci95_fisher", stats.fisher),
    ):
        goal = case[key]
        interval = make(goal[key[:4]], n)
        assert (interval.low, interval.high) == pytest.approx((goal["lo"], goal["hi"]), abs=1e-9)


@pytest.mark.parametrize("data", ["cvd2014", "livevqc"])
def test_published_variance_ratios(shared: Path, data: str) -> None:
    table = np.genfromtxt(
        shared / f"fixtures/classic/corr/dover_{data}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    text = (shared / "fixtures/classic/stats/significance_ci_finegrained.json").read_text()
    goal = json.loads(text)[data]["f_test_linear_residuals"]
    residuals = []
    for name in ("pred_resize", "pred_fragments"):
        line = np.polyfit(table[name], table["mos"], 1)
        residuals.append(table["mos"] - np.polyval(line, table[name]))
    found = stats.variance_ratio(*residuals)
    assert (found.statistic, found.p_value) == pytest.approx((goal["F"], goal["p_two_sided"]), abs=1e-9)
