"""The worse class of tiles and frames, as boxes and spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.asking import places, thresholds
from mllmqa.asking.places import boxes_of, lower_class, spans_of, worst_boxes, worst_spans
from mllmqa.asking.records import TileMap


def tiles(*rows: str, low: float = 1.0, high: float = 4.0) -> TileMap:
    values = tuple(low if sign == "x" else high for row in rows for sign in row)
    return TileMap(rows=len(rows), columns=len(rows[0]), values=values)


def test_otsu_by_hand() -> None:
    # cuts of (1, 2, 6, 7): between-class 1·3·4² = 48, 2·2·5² = 100, 3·1·4² = 48
    assert lower_class([6.0, 1.0, 7.0, 2.0]) == [1, 3]


def test_even_quality_has_no_place() -> None:
    assert lower_class([3.0, 3.1, 3.05]) == []
    assert lower_class([3.0]) == []
    assert lower_class([]) == []
    assert worst_boxes(tiles("..", "..")) == []


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (["x.", ".."], [(0, 0, 500, 500)]),
        ([".xx", ".xx", "..."], [(333, 0, 1000, 667)]),
        (["x..", "...", "..x"], [(0, 0, 333, 333), (667, 667, 1000, 1000)]),
        (["xx.", "x..", "..."], [(0, 0, 667, 333), (0, 333, 333, 667)]),
        (["xxx", "x.x", "..."], [(0, 0, 1000, 333), (0, 333, 333, 667), (667, 333, 1000, 667)]),
    ],
)
def test_boxes_cover_the_worse_tiles(rows: list[str], wanted: list[tuple[int, ...]]) -> None:
    assert worst_boxes(tiles(*rows)) == wanted


def test_what_is_nearly_everywhere_has_no_place() -> None:
    assert worst_boxes(tiles("xxx", "xxx", "x..")) == []


def test_boxes_of_a_distortion() -> None:
    found = tiles("..", "..").model_copy(update={"presence": {"blur": (0.1, 0.9, 0.1, 0.8)}})
    assert boxes_of("blur", found) == [(500, 0, 1000, 1000)]
    assert boxes_of("noise", found) == []


def test_spans_meet_half_way_between_frames() -> None:
    assert worst_spans([4, 1, 1, 4], [0.5, 1.5, 2.5, 3.5], 4.0) == [(1.0, 3.0)]
    assert worst_spans([1, 4, 4, 1], [0.5, 1.5, 2.5, 3.5], 4.0) == [(0.0, 1.0), (3.0, 4.0)]
    assert worst_spans([4, 4, 4, 4], [0.5, 1.5, 2.5, 3.5], 4.0) == []
    assert spans_of([0.9, 0.1, 0.1], [0.0, 1.0, 2.0], 3.0) == [(0.0, 0.5)]
    assert spans_of([0.9, 0.9, 0.9], [0.0, 1.0, 2.0], 3.0) == []


@given(st.lists(st.floats(1, 5), max_size=20))
def test_the_lower_class_is_lower(values: list[float]) -> None:
    low = lower_class(values)
    rest = [values[k] for k in range(len(values)) if k not in low]
    if low:
        assert max(values[k] for k in low) < min(rest)


@given(st.lists(st.sampled_from([1.0, 4.0]), min_size=1, max_size=12), st.integers(1, 12))
def test_boxes_hold_exactly_the_worse_tiles(values: list[float], columns: int) -> None:
    rows = len(values) // columns or 1
    values = (values * columns)[: rows * columns]
    found = TileMap(rows=rows, columns=columns, values=tuple(values))
    chosen = lower_class(values)
    covered = sum(
        round((b[2] - b[0]) * columns / 1000) * round((b[3] - b[1]) * rows / 1000) for b in worst_boxes(found)
    )
    assert covered == (0 if len(chosen) >= 0.7 * len(values) else len(chosen))


def test_a_few_better_frames_do_not_hide_the_worst() -> None:
    """As on a real clip: two frames of a still scene are far above, and a span of JPEG is below the rest."""
    values = [3.2, 3.25, 3.15, 3.1, 3.1, 3.1, 3.1, 3.05, 3.1, 3.85, 2.45, 2.75, 2.75, 2.75, 2.75, 3.95]
    times = [0.5 * k + 0.25 for k in range(16)]
    assert places.lower_class(values) == [k for k in range(16) if k not in (9, 15)]
    assert places.worst(values) == [10, 11, 12, 13, 14]
    assert places.worst_spans(values, times, 8.0) == [(5.0, 7.5)]


@given(st.lists(st.floats(1, 5), min_size=1, max_size=40))
def test_the_worst_are_below_the_others_and_never_nearly_all(values: list[float]) -> None:
    found = places.worst(values)
    others = [values[k] for k in range(len(values)) if k not in found]
    assert len(found) < thresholds.EVERYWHERE * len(values)
    assert not found or max(values[k] for k in found) < min(others)


@pytest.mark.parametrize(
    ("probabilities", "wanted"),
    [
        ([0.9], 0.9),
        ([0.2, 0.6], 0.4),
        ([0.1, 0.9, 0.7], 0.8),
        ([0, 0, 0, 1, 1, 0, 0, 0], 1.0),  # a quarter of eight
        ([0, 0, 1, 0, 0, 1, 0, 0], 0.5),  # not in a row
        ([0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 2 / 3),  # of twelve it takes three
    ],
)
def test_what_lasts_a_quarter_of_the_frames_is_there(probabilities: list[float], wanted: float) -> None:
    assert places.lasting(probabilities) == pytest.approx(wanted)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_what_lasts_lies_between_mean_and_highest(probabilities: list[float]) -> None:
    found = places.lasting(probabilities)
    assert max(probabilities) + 1e-9 >= found
    assert places.lasting(probabilities[::-1]) == pytest.approx(found)
    if len(probabilities) in (1, 2):
        assert found == pytest.approx(sum(probabilities) / len(probabilities))
