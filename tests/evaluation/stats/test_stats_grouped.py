"""Figures inside groups and bands: the fixture, hand arithmetic, what the overall figure hides."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats

FIXTURE = Path(__file__).parents[2] / "fixtures" / "evaluation" / "metrics.json"


def test_the_published_per_reference_means() -> None:
    case = json.loads(FIXTURE.read_text())["per_reference_mean"]
    references, _, x, y = zip(*case["rows_ref_dis_pred_mos"], strict=True)
    for name in ("srcc", "plcc"):
        found = stats.per_group(x, y, references, name)  # type: ignore[arg-type]
        assert found.mean.value == pytest.approx(case["raw_local_mean"][name], abs=1e-12)
        for group in found.groups:
            expected = case["raw_per_reference"][group.name.removesuffix(".png")][name]
            assert group.figure.value == pytest.approx(expected, abs=1e-12)
            assert group.figure.n == 10
        assert (found.n_groups, found.n_groups_without, found.mean.n) == (3, 0, 30)


def test_the_published_per_reference_means_after_the_published_fit() -> None:
    """The original maps each reference's scores before both correlations: one without relation gets SRCC 0.65."""
    case = json.loads(FIXTURE.read_text())["per_reference_mean"]
    references, _, x, y = (np.array(column) for column in zip(*case["rows_ref_dis_pred_mos"], strict=True))
    x, y = x.astype(float), y.astype(float)
    fitted = np.empty(len(y))
    for name in np.unique(references):
        inside = references == name
        fitted[inside] = stats.wu2024_curve(x[inside], y[inside])
    found = [stats.per_group(fitted, y, references.tolist(), name).mean.value for name in ("srcc", "plcc")]
    assert found == pytest.approx(case["original_local_mean_srcc_plcc"], abs=1e-4)
    together = stats.wu2024_curve(x, y)
    found = [of(together, y) for of in (stats.srcc, stats.plcc)]
    assert found == pytest.approx(case["original_global_srcc_plcc"], abs=1e-4)


@pytest.mark.parametrize("levels", [2, 3, 5, 10])
def test_random_inside_perfect_between(levels: int) -> None:
    """Overall SRCC tends to 1 − 1/L², though nothing is known inside a level."""
    rng = np.random.default_rng(levels)
    y = np.arange(levels * 300.0)
    level = np.repeat(np.arange(levels), 300)
    x = level * 10_000 + rng.permutation(levels * 300)
    assert stats.srcc(x, y) == pytest.approx(1 - 1 / levels**2, abs=0.02)
    inside = stats.per_group(x, y, level.tolist())
    assert abs(inside.mean.value) < 0.12
    assert stats.mos_bands(x, y, levels).mean.value == pytest.approx(inside.mean.value)


def test_the_published_simulation(shared: Path) -> None:
    for case in json.loads((shared / "fixtures/classic/stats/fg_iqa_simulation.json").read_text()):
        x = np.array(case["pred"])
        y = np.arange(len(x), dtype=float)
        found = stats.correlate(x, y)
        assert found.srcc.value == pytest.approx(case["srcc_overall"], abs=1e-12)
        assert found.plcc.value == pytest.approx(case["plcc_overall"], abs=1e-12)
        assert found.krcc.value == pytest.approx(case["krcc_overall"], abs=1e-12)
        level = np.repeat(np.arange(case["levels"]), case["per_level"]).tolist()
        assert stats.per_group(x, y, level).mean.value == pytest.approx(case["srcc_within_mean"], abs=1e-12)


def test_bands_by_hand() -> None:
    y = [0.0, 1, 2, 3, 4, 10]
    x = [1.0, 2, 3, 6, 5, 4]
    width = stats.mos_bands(x, y, 2, "equal-width")
    assert [(g.name, g.figure.n) for g in width.groups] == [("0..5", 5), ("5..10", 1)]
    assert width.groups[0].figure.value == pytest.approx(0.9)
    assert width.groups[1].figure.reason == "1 scored items are too few, 3 are needed"
    assert width.mean.value == pytest.approx(0.9)  # the group without a figure is no zero
    assert (width.n_groups, width.n_groups_without) == (1, 1)
    often = stats.mos_bands(x, y, 2, "equal-frequency")
    assert [(g.low, g.high, g.figure.n) for g in often.groups] == [(0, 2, 3), (3, 10, 3)]
    assert [g.figure.value for g in often.groups] == pytest.approx([1, -1])


def test_an_edge_belongs_to_the_upper_band_and_the_last_to_the_last() -> None:
    y = [0.0, 1, 1, 2]
    found = stats.mos_bands([1, 2, 3, 4], y, 2, "equal-width")
    assert [g.figure.n for g in found.groups] == [1, 3]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=40),
    st.integers(1, 7),
    st.sampled_from(["equal-width", "equal-frequency"]),
)
def test_every_item_is_in_one_band(rows: list[tuple[int, int]], bins: int, kind: str) -> None:
    x, y = np.array(rows, float).T
    x[::5] = math.nan
    found = stats.mos_bands(x, y, bins, kind)  # type: ignore[arg-type]
    assert len(found.groups) == bins
    assert sum(g.figure.n for g in found.groups) == found.mean.n == int((~np.isnan(x)).sum())
    assert sum(g.figure.n_unscored for g in found.groups) == found.mean.n_unscored == int(np.isnan(x).sum())
    sizes = [g.figure.n + g.figure.n_unscored for g in found.groups]
    if kind == "equal-frequency":
        assert max(sizes) - min(sizes) <= 1
    assert found.n_groups + found.n_groups_without == bins


def test_unscored_items_count_in_their_group_and_bound_it() -> None:
    x = [1.0, 2, 3, math.nan, 1, 2, 3, 4]
    y = [1.0, 2, 3, 4, 1, 2, 3, 4]
    found = stats.per_group(x, y, ["a"] * 4 + ["b"] * 4)
    a, b = found.groups
    assert (a.figure.n, a.figure.n_unscored, b.figure.n_unscored) == (3, 1, 0)
    assert (a.figure.worst, a.figure.best) == pytest.approx((-0.2, 1))
    assert (found.mean.worst, found.mean.best) == pytest.approx((0.4, 1))


def test_intervals_are_given_for_srcc_only() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    x = y + rng.normal(size=60)
    group = stats.mos_bands(x, y, 2).groups[0]
    assert group.interval == stats.bonett_wright(group.figure.value, 30)
    assert stats.mos_bands(x, y, 2, statistic="plcc").groups[0].interval is None
    kendall = stats.per_group(x, y, [0] * 60, "krcc")
    assert kendall.mean.value == pytest.approx(stats.krcc(x, y))


def test_no_group_has_a_figure() -> None:
    found = stats.per_group([1, 2, 3, 4], [1, 2, 3, 4], ["a", "b", "c", "d"])
    assert math.isnan(found.mean.value)
    assert found.mean.reason == "none of 4 groups has a correlation"
    assert (found.n_groups, found.n_groups_without) == (0, 4)
    assert stats.per_group([], [], []).mean.reason == "none of 0 groups has a correlation"


def test_bad_arguments() -> None:
    with pytest.raises(DataError, match="2 group names for 3 scores"):
        stats.per_group([1, 2, 3], [1, 2, 3], ["a", "b"])
    with pytest.raises(UsageError, match=r"unknown statistic 'r2'; expected srcc \| krcc \| plcc"):
        stats.per_group([1, 2, 3], [1, 2, 3], ["a"] * 3, "r2")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 bands"):
        stats.mos_bands([1, 2, 3], [1, 2, 3], 0)
    with pytest.raises(UsageError, match="'odd'"):
        stats.mos_bands([1, 2, 3], [1, 2, 3], 2, "odd")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no item to put into bands"):
        stats.mos_bands([], [])


@pytest.mark.parametrize("data", ["cvd2014", "livevqc"])
def test_bands_of_real_predictions(shared: Path, data: str) -> None:
    table = np.genfromtxt(
        shared / f"fixtures/classic/corr/dover_{data}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    text = (shared / "fixtures/classic/stats/significance_ci_finegrained.json").read_text()
    expected = json.loads(text)[data]
    keys = {"equal-width": "fine_grained_equal_width_5"}
    keys["equal-frequency"] = "fine_grained_equal_frequency_5_stable_sort"
    for kind, key in keys.items():
        found = stats.mos_bands(table["pred_fused"], table["mos"], 5, kind)  # type: ignore[arg-type]
        assert len(found.groups) == len(expected[key]) == 5
        for group, goal in zip(found.groups, expected[key], strict=True):
            assert group.figure.n == goal["n"]
            assert group.figure.value == pytest.approx(goal["srcc"], abs=1e-12)
            assert (group.low, group.high) == pytest.approx(goal.get("bin", goal.get("mos_range")))
