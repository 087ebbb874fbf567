"""Counts: what cannot be read lowers the accuracy, what is missing widens the bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.evaluation.answers.tally import Count, Outcome


def test_figures_by_hand() -> None:
    count = Count(right=6, wrong=2, n_unparsed=2, n_unscored=2)
    assert (count.n, count.accuracy, count.accuracy_of_parsed) == (10, 0.6, 0.75)
    assert count.bounds == (0.5, pytest.approx(10 / 12))
    assert count.interval == (pytest.approx(0.3127, abs=1e-4), pytest.approx(0.8318, abs=1e-4))  # Wilson, 6 of 10


def test_nothing_has_no_accuracy() -> None:
    empty = Count.of([])
    assert (empty.accuracy, empty.accuracy_of_parsed, empty.interval, empty.bounds) == (None, None, None, None)
    lost = Count.of(["unscored"])
    assert (lost.accuracy, lost.bounds, lost.flat()["n_unscored"]) == (None, (0.0, 1.0), 1)


@given(st.lists(st.sampled_from(["right", "wrong", "unparsed", "unscored"])))
def test_accuracy_lies_in_interval_and_bounds(outcomes: list[Outcome]) -> None:
    count = Count.of(outcomes)
    assert count.n + count.n_unscored == len(outcomes)
    if count.accuracy is not None and count.interval and count.bounds:
        assert count.interval[0] <= count.accuracy <= count.interval[1]
        assert count.bounds[0] <= count.accuracy <= count.bounds[1] or count.n_unscored
