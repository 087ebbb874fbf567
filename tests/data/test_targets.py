"""Targets of rated items: level, distribution and the way it was made."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.bins import Bins
from mllmqa.data.ratings import Rating, RatingScale
from mllmqa.data.targets import targets
from mllmqa.errors import DataError

HUNDRED = RatingScale("mos", 0, 100)


def rating(score: float, std: float | None = None, histogram: tuple[float, ...] | None = None) -> Rating:
    return Rating("a.png", Path("a.png"), score, std, "labels.csv, line 2", histogram=histogram)


def test_what_is_stated_decides() -> None:
    rows = [rating(50), rating(50, 25), rating(50, 25, (0, 1, 2, 1, 0))]
    bare, spread, voted = targets(rows, HUNDRED)
    assert (bare.level, bare.std, bare.probabilities, bare.variant) == (3, None, None, None)
    assert (spread.level, spread.std, spread.variant) == (3, 1.0, "tilted")
    assert voted.probabilities == (0, 0.25, 0.5, 0.25, 0)
    assert (voted.std, voted.variant) == (1.0, "histogram")


def test_the_variant_is_recorded() -> None:
    for variant in ("deqa", "affine", "tilted"):
        (one,) = targets([rating(40, 20)], HUNDRED, variant=variant)  # type: ignore[arg-type]
        assert one.variant == variant


def test_low_dmos_is_excellent() -> None:
    best, worst = targets([rating(0, 5), rating(100, 5)], RatingScale("dmos", 0, 100))
    assert (best.mean, best.level, worst.mean, worst.level) == (5, 5, 1, 1)
    assert best.probabilities == (0, 0, 0, 0, 1)


def test_deviations_on_a_scale_of_their_own() -> None:
    """KonIQ-10k: scores on 0..100, deviations on 1..5."""
    (one,) = targets([rating(50, 0.5)], RatingScale("mos", 0, 100, std_width=4))
    assert one.std == 0.5


def test_other_edges() -> None:
    assert [one.level for one in targets([rating(70)], HUNDRED, bins=Bins((1, 1.1, 1.2, 1.3, 4, 5)))] == [4]


@given(scores=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=8))
def test_means_are_kept(scores: list[tuple[float, float]]) -> None:
    for one in targets([rating(*pair) for pair in scores], HUNDRED):
        assert one.probabilities is not None
        assert sum(p * (k + 1) for k, p in enumerate(one.probabilities)) == pytest.approx(one.mean, abs=1e-9)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(
        DataError, match=r"labels.csv, line 2: a.png has the score 101; expected a score from 0 to 100"
    ):
        targets([rating(101)], HUNDRED)
    with pytest.raises(DataError, match=r"line 2: a.png has the opinions \[0.0, 0.0\]"):
        targets([rating(1, None, (0, 0))], HUNDRED)
