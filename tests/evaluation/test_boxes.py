"""IoU and average precision against hand counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import DataError
from mllmqa.evaluation.boxes import Box, Placed, average_precision, iou, matched, mean_average_precision

SIDES = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 30), st.integers(1, 30))
BOXES = SIDES.map(lambda s: (float(s[0]), float(s[1]), float(s[0] + s[2]), float(s[1] + s[3])))


@given(BOXES, BOXES)
def test_iou_is_symmetric_and_one_for_equal_boxes(a: Box, b: Box) -> None:
    assert iou(a, b) == iou(b, a)
    assert 0 <= iou(a, b) <= 1
    assert iou(a, a) == 1


def test_iou_by_hand() -> None:
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(2 / 6)
    assert iou((0, 0, 1, 1), (1, 1, 2, 2)) == 0
    assert iou((0.0, 2.0), (1.0, 4.0)) == pytest.approx(1 / 4)


@pytest.mark.parametrize(("a", "b"), [((1, 0, 1, 2), (0, 0, 1, 1)), ((0, 1), (0, 0, 1, 1)), ((0, 1, 2), (0, 1, 2))])
def test_what_is_no_box_is_refused(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="starts before their ends"):
        iou(a, b)


def test_each_box_is_met_once() -> None:
    there = [(0, 0, 10, 10), (20, 20, 30, 30)]
    assert matched(there, [(0, 0, 10, 10), (0, 0, 10, 9)]) == [1.0, 0.0]
    assert matched(there, []) == [0.0, 0.0]
    assert matched([], [(0, 0, 1, 1)]) == []


def placed(media: str, x: float, label: str = "blur", confidence: float = 1.0) -> Placed:
    return Placed(media, label, (x, 0, x + 10, 10), confidence)


def test_average_precision_by_hand() -> None:
    there = [placed("a", 0), placed("a", 50), placed("b", 0)]
    said = [placed("a", 0, confidence=0.9), placed("b", 80, confidence=0.8), placed("a", 50, confidence=0.7)]
    # hit, miss, hit: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3 → 1/3 · 1 + 1/3 · 2/3
    assert average_precision(there, said) == pytest.approx(1 / 3 + 2 / 9)
    assert average_precision(there, there) == 1
    assert average_precision(there, []) == 0
    assert average_precision([], said) is None
    assert average_precision(there, [placed("a", 0), placed("a", 1)]) == pytest.approx(1 / 3)  # one box, hit once


def test_the_mean_is_over_categories_that_are_there() -> None:
    there = [placed("a", 0), placed("a", 0, "noise")]
    mean, by_label = mean_average_precision(there, [placed("a", 0), placed("a", 0, "freeze")])
    assert (mean, by_label) == (0.5, {"blur": 1.0, "noise": 0.0})
    assert mean_average_precision([], there) == (None, {})
