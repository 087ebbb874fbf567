"""Correlations: scipy as oracle, hand arithmetic, the published fixture, the policy for what is no number."""

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

from mllmqa.errors import DataError, MissingExtraError
from mllmqa.evaluation import stats
from mllmqa.evaluation.stats import _checks

FIXTURE = Path(__file__).parents[2] / "fixtures" / "evaluation" / "metrics.json"
PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=30)
ORACLES = {
    "srcc": lambda x, y: oracle.spearmanr(x, y).statistic,
    "plcc": lambda x, y: oracle.pearsonr(x, y).statistic,
    "krcc": lambda x, y: oracle.kendalltau(x, y).statistic,
}


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FIXTURE.read_text())
    return found


# ---------------------------------------------------------------- the figures


@pytest.mark.parametrize("name", list(ORACLES))
@given(pairs=PAIRS)
def test_equals_scipy_with_ties(name: str, pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, float).T
    found = getattr(stats, name)(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(ORACLES[name](x, y), abs=1e-12)


@pytest.mark.parametrize("name", list(ORACLES))
@given(pairs=PAIRS)
def test_is_symmetric_bounded_and_odd(name: str, pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, float).T
    of = getattr(stats, name)
    if math.isnan(of(x, y)):
        return
    assert -1 <= of(x, y) <= 1
    assert of(x, y) == pytest.approx(of(y, x), abs=1e-12)
    assert of(-x, y) == pytest.approx(-of(x, y), abs=1e-12)
    assert of(x, x) == pytest.approx(1)


@pytest.mark.parametrize("name", ["srcc", "krcc"])
@given(pairs=PAIRS)
def test_ranks_are_blind_to_monotone_maps(name: str, pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, float).T
    of = getattr(stats, name)
    np.testing.assert_allclose(of(np.exp(x), y**3), of(x, y), atol=1e-12)
    np.testing.assert_allclose(of(x, -np.sqrt(y)), -of(x, y), atol=1e-12)


@given(PAIRS, st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_plcc_is_blind_to_rising_lines(pairs: list[tuple[int, int]], slope: float, shift: float) -> None:
    x, y = np.array(pairs, float).T
    np.testing.assert_allclose(stats.plcc(slope * x + shift, y), stats.plcc(x, y), atol=1e-9)


def test_srcc_by_hand() -> None:
    # ranks 1 2 3 4 against 2 1 4 3: sum d² = 4, 1 - 6·4/(4·15) = 0.6
    assert stats.srcc(np.array([1.0, 2, 3, 4]), np.array([20.0, 10, 40, 30])) == pytest.approx(0.6)


def test_ties_by_hand() -> None:
    """The shortcut with squared rank differences, which ignores ties, would print 1.0 or 0.857 here."""
    x, y = [1, 1, 2, 2, 3, 3], [1, 2, 2, 3, 3, 3]
    assert stats.srcc(x, y) == pytest.approx(0.8391463916782737, abs=1e-12)
    assert stats.krcc(x, y) == pytest.approx(0.7833494518006403, abs=1e-12)  # tau-c would be 0.75
    assert stats.plcc(x, y) == pytest.approx(0.8215838362577492, abs=1e-12)
    assert stats.rmse(x, y) == pytest.approx(math.sqrt(2 / 6))


def test_an_inverted_model_keeps_its_sign() -> None:
    up, down = [1, 2, 3, 4, 5], [10, 7, 5, 2, 1]
    assert stats.srcc(up, down) == pytest.approx(-1)
    assert stats.krcc(up, down) == pytest.approx(-1)
    assert stats.plcc(up, down) < -0.98
    found = stats.correlate(up, down)
    assert found.direction == "inverted"


def test_large_offsets_and_extreme_sizes_lose_nothing() -> None:
    x, y = np.array([0.0, 1, 2, 3, 4, 5]), np.array([1.0, 2, 3, 4, 5, 7])
    for scale in (1e-90, 1.0, 1e90):
        assert stats.plcc(x * scale, y) == pytest.approx(0.9897433186107869, abs=1e-12)
    assert stats.plcc(x + 1e9, y) == pytest.approx(0.9897433186107869, abs=1e-12)


def test_constant_up_to_rounding_is_constant() -> None:
    x = np.full(8, 0.1) * 3
    x[3] = 0.3
    assert np.ptp(x) > 0
    assert math.isnan(stats.plcc(x, np.arange(8.0)))


# ---------------------------------------------------------------- what there is no figure for


@pytest.mark.parametrize("name", list(ORACLES))
@pytest.mark.parametrize(
    ("x", "y"), [([], []), ([1], [3]), ([1, 2], [3, 9]), ([5] * 4, [1, 2, 3, 4]), ([1, 2, 3, 4], [3] * 4)]
)
def test_nan_for_too_few_or_constant(name: str, x: list[float], y: list[float]) -> None:
    assert math.isnan(getattr(stats, name)(x, y))


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([], [], "0 scored items are too few, 3 are needed"),
        ([1, 2], [1, 2], "2 scored items are too few, 3 are needed"),
        ([5, 5, 5], [1, 2, 3], "all 3 scores are 5"),
        ([1, 2, 3], [4, 4, 4], "all 3 opinions are 4"),
        ([math.nan, 2, 3], [1, 2, 3], "2 scored items are too few, 3 are needed"),
    ],
)
def test_the_reason_says_why(x: list[float], y: list[float], reason: str) -> None:
    found = stats.correlate(x, y)
    for figure in (found.srcc, found.krcc, found.plcc):
        assert math.isnan(figure.value)
        assert figure.reason == reason
    assert found.direction == "unclear"


@pytest.mark.parametrize("name", [*ORACLES, "rmse"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_plain_functions_refuse_what_is_not_finite(name: str, bad: float) -> None:
    good = [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(DataError, match=rf"1 of 4 scores are not finite, the first is {bad} at index 2"):
        getattr(stats, name)([1.0, 2.0, bad, 4.0], good)
    with pytest.raises(DataError, match="1 of 4 opinions are not finite"):
        getattr(stats, name)(good, [bad, 2.0, 3.0, 4.0])


def test_correlate_counts_nan_scores_and_refuses_the_rest() -> None:
    found = stats.correlate([1.0, math.nan, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    assert (found.srcc.n, found.srcc.n_unscored) == (3, 1)
    with pytest.raises(DataError, match="expected finite numbers, NaN for what was not scored"):
        stats.correlate([1.0, math.inf, 3.0], [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="opinions are not finite"):
        stats.correlate([1.0, 2.0, 3.0], [1.0, math.nan, 3.0])


def test_numbers_whose_squares_overflow_are_refused() -> None:
    with pytest.raises(DataError, match=r"scores: 1e\+308 at index 1; expected at most 1e\+100 in size"):
        stats.correlate([1, 1e308, math.nan, 3], [1, 2, 3, 4])
    with pytest.raises(DataError, match=r"opinions: -1e\+200 at index 0"):
        stats.plcc([1, 2, 3], [-1e200, 1, 2])
    assert math.isnan(stats.srcc(np.arange(5) * 1e-320, [1, 2, 3, 4, 5]))  # constant but for underflow


def test_lengths_and_shapes_must_match() -> None:
    with pytest.raises(DataError, match="3 scores for 2 opinions"):
        stats.srcc([1, 2, 3], [1, 2])
    with pytest.raises(DataError, match=r"scores have shape \(1, 3\)"):
        stats.plcc([[1, 2, 3]], [1, 2, 3])
    with pytest.raises(DataError, match="scores are no numbers"):
        stats.correlate(["good", "bad", "fair"], [1, 2, 3])


# ---------------------------------------------------------------- all together


def test_correlate_gives_the_same_figures(published: dict[str, Any]) -> None:
    for case in published["cases"]:
        found = stats.correlate(case["pred"], case["mos"])
        for name in ORACLES:
            figure, raw = getattr(found, name), case["raw"][name]
            if raw is None:
                assert math.isnan(figure.value) and figure.reason == "all 20 scores are 50"
            else:
                assert figure.value == pytest.approx(raw, abs=1e-12)
                assert figure.value == getattr(stats, name)(case["pred"], case["mos"])
                assert (figure.worst, figure.best) == (figure.value, figure.value)
        assert (found.srcc.n, found.srcc.n_unscored) == (20, 0)


def test_directions_of_the_published_cases(published: dict[str, Any]) -> None:
    found = {case["name"]: stats.correlate(case["pred"], case["mos"]).direction for case in published["cases"]}
    assert found == {
        "monotone_noisy": "agrees",
        "anti_correlated": "inverted",
        "coarse_levels": "agrees",
        "constant": "unclear",
        "two_values": "agrees",
        "pure_noise": "unclear",
    }


def test_intervals_go_with_the_figures() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=50)
    x = y + rng.normal(size=50)
    found = stats.correlate(x, y)
    assert found.srcc_interval == stats.bonett_wright(found.srcc.value, 50)
    assert found.plcc_interval == stats.fisher(found.plcc.value, 50)
    assert found.srcc_interval.low < found.srcc.value < found.srcc_interval.high


def test_four_items_have_a_figure_but_no_interval() -> None:
    found = stats.correlate([1, 2, 3, 5], [1, 2, 4, 3])
    assert found.srcc.value == pytest.approx(0.8)
    assert math.isnan(found.srcc_interval.low)
    assert found.srcc_interval.reason == "4 items are too few, 5 are needed"
    assert found.direction == "unclear"


def test_tie_share() -> None:
    assert stats.tie_share([1, 1, 2]) == pytest.approx(1 / 3)
    assert stats.tie_share([1, 2, 3]) == 0
    assert stats.tie_share([7] * 5) == 1
    assert stats.tie_share(np.repeat(np.arange(5.0), 1000)) == pytest.approx(0.2, abs=1e-3)
    assert math.isnan(stats.tie_share([1]))


def test_rmse_of_one_item_and_of_none() -> None:
    assert stats.rmse([1], [3]) == 2
    assert math.isnan(stats.rmse([], []))
    assert stats.correlate([math.nan], [3.0]).rmse.reason == "no item is scored"


def test_scipy_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(_checks.importlib, "import_module", gone)
    with pytest.raises(MissingExtraError, match=r'pip install "mllmqa\[eval\]"'):
        stats.srcc([1, 2, 3], [1, 2, 4])
    assert stats.plcc([1, 2, 3], [1, 2, 4]) > 0.9  # numpy will do


# ---------------------------------------------------------------- real predictions, where ../shared lies


@pytest.mark.parametrize("data", ["cvd2014", "livevqc"])
def test_real_predictions_on_real_mos(shared: Path, data: str) -> None:
    folder = shared / "fixtures/classic/corr"
    table = np.genfromtxt(folder / f"dover_{data}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    expected = json.loads((folder / "dover_expected.json").read_text())
    columns = {
        "aesthetic_view_resize": "pred_resize",
        "technical_view_fragments": "pred_fragments",
        "fused_0.428a_0.572t": "pred_fused",
    }
    for key, column in columns.items():
        raw = expected[f"{data}/{key}"]["raw"]
        found = stats.correlate(table[column], table["mos"])
        assert found.srcc.value == pytest.approx(raw["srcc"], abs=1e-9)
        assert found.plcc.value == pytest.approx(raw["plcc"], abs=1e-9)
        assert found.krcc.value == pytest.approx(raw["krcc_tau_b"], abs=1e-9)
        assert found.rmse.value == pytest.approx(raw["rmse"], abs=1e-9)


def test_edge_cases_of_scipy(shared: Path) -> None:
    """Same figures as scipy where it has one; where it passes NaN on, or likes infinity, we refuse."""
    cases = json.loads((shared / "fixtures/classic/corr/edge_cases.json").read_text())
    keys = {"plcc": "scipy_pearsonr", "srcc": "scipy_spearmanr", "krcc": "scipy_kendall_tau_b", "rmse": "rmse"}
    for name, case in cases.items():
        x, y = ([float("nan" if v is None else v) for v in case[side]] for side in ("pred", "mos"))
        for ours, theirs in keys.items():
            if name in {"nan_in_pred", "nan_in_mos", "inf_in_pred", "length_mismatch"}:
                with pytest.raises(DataError):
                    getattr(stats, ours)(x, y)
                continue
            found = getattr(stats, ours)(x, y)
            if isinstance(case[theirs], float) and (len(x) > 2 or ours == "rmse"):
                assert found == pytest.approx(case[theirs], rel=1e-12)
            else:
                assert math.isnan(found)  # two points: scipy says ±1
