"""Slices of clips: one row per frame, freezes black in the strips of change, holds as long as they last."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa import media
from mllmqa.media.slices import LONGEST_HOLD, RUN_FRAMES, RUNS, SIDE, STRIP, WIDTH, held, moments, runs, slices
from tests.conftest import photo_pixels

CHANGE = slice(6 * STRIP, 8 * STRIP)


def moving(count: int, *, shape: tuple[int, int] = (96, 128)) -> list[np.ndarray]:
    wide = photo_pixels(shape[1] + 4 * count, shape[0])
    return [np.ascontiguousarray(wide[:, 4 * k : 4 * k + shape[1]]) for k in range(count)]


def test_one_row_per_frame_and_eight_strips() -> None:
    picture = slices(moving(10), [1] * 10)
    assert picture.shape == (10, 8 * STRIP, 3) == (10, WIDTH, 3)
    assert picture.dtype == np.uint8


def test_lines_are_those_of_the_frame() -> None:
    """A frame of constant rows: the first three strips have one colour each, the next three hold all rows."""
    frame = np.repeat(np.repeat(np.arange(0, 256, dtype=np.uint8)[:, None, None], 256, axis=1), 3, axis=2)
    row = slices([frame], [1])[0]
    for strip, place in enumerate((0.25, 0.5, 0.75)):
        part = row[strip * STRIP : (strip + 1) * STRIP]
        assert np.ptp(part) == 0
        assert abs(int(part[0, 0]) - place * 256) <= 4
    for strip in (3, 4, 5):
        part = row[strip * STRIP : (strip + 1) * STRIP, 0].astype(int)
        assert np.all(np.diff(part) == 256 // STRIP)


def test_a_freeze_is_black_and_its_rows_are_equal() -> None:
    frames = moving(20)
    frozen = [*frames[:8], *[frames[7]] * 6, *frames[14:]]
    picture = slices(frozen, [1] * 20)
    assert np.all(picture[8:14, CHANGE] == 0)
    assert np.all(picture[8:14, : 6 * STRIP] == picture[7, : 6 * STRIP])
    assert np.all(picture[1:8, CHANGE].mean((1, 2)) > 8)
    assert picture[14, CHANGE].mean() > picture[5, CHANGE].mean()  # the jump behind it


def test_a_flash_is_bright() -> None:
    frames = moving(9)
    frames[4] = np.minimum(frames[4].astype(int) + 60, 255).astype(np.uint8)
    change = slices(frames, [1] * 9)[:, CHANGE].mean((1, 2))
    assert set(np.argsort(change)[-2:].tolist()) == {4, 5}


def test_nothing_came_before_the_first_frame() -> None:
    picture = slices(moving(3), [1, 1, 1])
    assert np.array_equal(picture[0, CHANGE], picture[1, CHANGE])
    assert np.all(slices(moving(1), [1])[:, CHANGE] == 0)


def test_a_frame_that_lasts_longer_fills_more_rows_without_change() -> None:
    frames = moving(4)
    picture = slices(frames, [1, 3, 1, 1])
    plain = slices(frames, [1] * 4)
    assert len(picture) == 6
    assert np.array_equal(picture[[0, 1, 4, 5]], plain)
    assert np.all(picture[2:4, CHANGE] == 0)
    assert np.array_equal(picture[2, : 6 * STRIP], plain[1, : 6 * STRIP])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.floats(0.005, 2))
def test_holds_follow_the_time_stamps(gaps: list[int], unit: float) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps) * unit])
    found = held(times)
    usual = float(np.median(gaps))
    assert len(found) == len(times)
    assert found[-1] == 1
    for gap, rows in zip(gaps, found, strict=False):
        assert 1 <= rows <= LONGEST_HOLD
        assert abs(rows - np.clip(gap / usual, 1, LONGEST_HOLD)) <= 0.5 + 1e-6


def test_a_single_frame_is_held_once() -> None:
    assert held(np.array([0.0])) == [1]
    assert [part.tolist() for part in moments(np.array([0.0]))] == [[0.0]]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=600), st.floats(0.005, 2))
def test_every_row_has_its_moment(gaps: list[int], unit: float) -> None:
    """Of any clip, of variable frame rate too: as many as rows, ascending, each within the time of its frame."""
    times = np.concatenate([[0.0], np.cumsum(gaps) * unit])
    lasting, found = held(times), moments(times)
    assert len(found) == len(runs(len(times)))
    for run, part in zip(runs(len(times)), found, strict=True):
        rows = lasting[run.start : run.stop]
        assert len(part) == sum(rows)
        assert np.all(np.diff(part) > 0)
        shown = np.searchsorted(times, part + 1e-9 * max(1.0, times[-1]), side="right") - 1
        assert shown.tolist() == [number for number, n in zip(run, rows, strict=True) for _ in range(n)]


def test_rows_of_pictures_are_as_many_as_their_moments() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.6, 0.65, 0.75, 3.75])
    lasting = held(times)
    (part,) = moments(times)
    assert len(slices(moving(len(times)), lasting)) == len(part)
    assert lasting == [1, 1, 4, 1, 1, LONGEST_HOLD, 1]


def test_a_long_pause_is_covered_to_its_end() -> None:
    """It fills no more than 16 rows, however long it is: they stand for equal parts of it."""
    times = np.array([0.0, 0.04, 0.08, 5.08, 5.12])
    (part,) = moments(times)
    inside = part[(part >= 0.08) & (part < 5.08)]
    assert len(inside) == LONGEST_HOLD
    assert np.diff([*inside, 5.08]) == pytest.approx(np.full(LONGEST_HOLD, 5 / LONGEST_HOLD))


def test_moments_of_a_long_clip_are_those_of_its_two_parts() -> None:
    times = np.arange(1000) / 25
    first, second = moments(times)
    assert (first[0], second[0]) == (pytest.approx(122 / 25), pytest.approx(622 / 25))
    assert (len(first), len(second)) == (RUN_FRAMES, RUN_FRAMES)


@given(st.integers(1, 5000))
def test_runs_cover_a_short_clip_and_spread_over_a_long_one(count: int) -> None:
    found = runs(count)
    assert 1 <= len(found) <= RUNS
    assert all(0 < len(run) <= RUN_FRAMES for run in found)
    assert all(a.stop <= b.start for a, b in pairwise(found))
    assert found[0].start >= 0
    assert found[-1].stop <= count
    if count <= RUNS * RUN_FRAMES:
        assert sum(map(len, found)) == count
    else:
        assert found[0].start + found[-1].stop == pytest.approx(count, abs=1)  # as much before as behind


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (SIDE, SIDE), (720, 1280)])
def test_frames_of_any_size(shape: tuple[int, int]) -> None:
    frame = np.full((*shape, 3), 77, dtype=np.uint8)
    assert np.all(slices([frame, frame], [1, 1])[:, : 6 * STRIP] == 77)


def test_a_real_clip() -> None:
    opened = media.open_media(Path(__file__).parents[1] / "fixtures" / "media" / "cockatoo.mp4")
    index = media.video_index(opened)
    pictures = media.slice_pictures(opened, index)
    assert [len(picture) for picture in pictures] == [len(run) for run in runs(len(index))]
    assert [len(part) for part in moments(index.timestamps_s)] == [len(picture) for picture in pictures]
    times = tuple(map(float, index.timestamps_s[:3]))
    frames = media.decode_frames(opened, times).frames_THWC
    assert np.array_equal(slices(frames, [1] * 3)[1:], pictures[0][1:3])
