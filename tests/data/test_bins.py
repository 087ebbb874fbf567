"""Levels from scores: edges belong to one bin, the top edge to the top one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.bins import Bins
from mllmqa.errors import DataError, UsageError


def test_equal_width_with_the_top_edge_closed() -> None:
    bins = Bins.equal_width(1, 5)
    assert bins.edges == pytest.approx((1, 1.8, 2.6, 3.4, 4.2, 5))
    assert bins.index([1, 1.79, 1.8, 3, 4.2, 5]).tolist() == [0, 0, 1, 2, 4, 4]


def test_q_aligns_koniq_edges() -> None:
    assert Bins.equal_width(6.7, 85.1).edges[1:-1] == pytest.approx((22.4, 38.1, 53.9, 69.6), abs=0.2)


def test_the_top_item_is_not_level_six() -> None:
    """A public list has floor(5 x) + 1, and its best item level 6."""
    assert Bins.equal_width(0, 1).index([1.0]).tolist() == [4]


def test_deqas_bins_are_open_below() -> None:
    bins = Bins.equal_width(0, 10, closed="right")
    assert bins.index([0, 2, 2.001, 4, 10]).tolist() == [0, 0, 1, 1, 4]


def test_fixed_edges() -> None:
    assert Bins((0.0, 35.9, 48.8, 61.6, 74.6, 100.0)).index([35.9, 35.8, 100]).tolist() == [1, 0, 4]


def test_quantiles_hold_equally_many() -> None:
    scores = np.random.default_rng(0).beta(2, 5, 1000)
    counts = np.bincount(Bins.quantiles(scores).index(scores), minlength=5)
    assert counts.tolist() == [200] * 5


def test_quantiles_of_ties_are_refused() -> None:
    with pytest.raises(DataError, match="5 parts of equal size; use bins of equal width"):
        Bins.quantiles([1] * 50 + [2, 3, 4])


@given(
    low=st.floats(-100, 100),
    width=st.floats(0.1, 1000),
    share=st.lists(st.floats(0, 1), min_size=2, max_size=20),
    closed=st.sampled_from(["left", "right"]),
)
def test_levels_rise_with_scores_and_both_ends_are_inside(
    low: float, width: float, share: list[float], closed: str
) -> None:
    bins = Bins.equal_width(low, low + width, closed=closed)  # type: ignore[arg-type]
    scores = sorted([bins.edges[0], bins.edges[-1], *(low + s * (bins.edges[-1] - low) for s in share)])
    found = bins.index(np.clip(scores, bins.edges[0], bins.edges[-1]))
    assert (np.diff(found) >= 0).all()
    assert (found[0], found[-1]) == (0, 4)


@pytest.mark.parametrize("score", [-0.01, 1.01, math.nan, math.inf])
def test_scores_off_the_scale_are_named(score: float) -> None:
    with pytest.raises(DataError, match=r"item 1: score .*; expected a number from 0 to 1"):
        Bins.equal_width(0, 1).index([0.5, score])


@pytest.mark.parametrize("edges", [(), (1.0, 2.0), (1.0, 1.0, 2.0), (2.0, 1.0, 0.0), (0.0, math.nan, 1.0)])
def test_edges_increase(edges: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="three or more increasing numbers"):
        Bins(edges)
