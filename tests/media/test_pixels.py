"""Orientations are the symmetries of a square; alpha, 16 bits and strips follow the stated arithmetic."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mllmqa.errors import MediaFormatError
from mllmqa.media.pixels import (
    MEAN_COLOR,
    STRIP_PX,
    flatten_alpha,
    orientation_of_matrix,
    rgb_of_array,
    rgb_of_image,
    rotation_deg,
    scale_16_bit,
    strips,
    upright,
)

CODES = range(1, 9)
TURNS = [(a, b, c, d) for a, b, c, d in itertools.product((-1, 0, 1), repeat=4) if abs(a * d - b * c) == 1]
SQUARE = [m for m in TURNS if abs(m[0]) + abs(m[1]) == 1 and abs(m[2]) + abs(m[3]) == 1]
"""The eight symmetries of a square: (x, y) → (ax + cy, bx + dy)."""


def matrix(a: int, b: int, c: int, d: int, scale: int = 65536) -> bytes:
    return np.array([a * scale, b * scale, 0, c * scale, d * scale, 0, 0, 0, 1 << 30], "=i4").tobytes()


def moved(frame: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """Move every pixel by the matrix, one by one, and shift the result to the origin."""
    height, width = frame.shape[:2]
    places = {(a * x + c * y, b * x + d * y): frame[y, x] for y in range(height) for x in range(width)}
    left, top = min(x for x, _ in places), min(y for _, y in places)
    out = np.zeros((max(y for _, y in places) - top + 1, max(x for x, _ in places) - left + 1, 1), np.uint8)
    for (x, y), value in places.items():
        out[y - top, x - left] = value
    return out


@pytest.mark.parametrize("turn", SQUARE)
def test_a_display_matrix_moves_pixels_as_its_arithmetic_says(turn: tuple[int, int, int, int]) -> None:
    frame = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    assert np.array_equal(upright(frame, orientation_of_matrix(matrix(*turn))), moved(frame, *turn))


def test_the_eight_matrices_are_the_eight_orientations() -> None:
    assert len(SQUARE) == 8
    assert sorted(orientation_of_matrix(matrix(*turn)) for turn in SQUARE) == list(CODES)


@given(angle=st.floats(-40, 40), scale=st.integers(1000, 1 << 20))
def test_a_matrix_that_is_off_by_some_degrees_counts_as_the_nearest_turn(angle: float, scale: int) -> None:
    """Phones write matrices with rounding errors, and with a zoom."""
    for quarter, code in ((0, 1), (90, 6), (180, 3), (270, 8)):
        turn = np.deg2rad(quarter + angle)
        values = np.array([np.cos(turn), np.sin(turn), 0, -np.sin(turn), np.cos(turn)]) * scale
        assert orientation_of_matrix(np.concatenate([values, [0, 0, 0, 1]]).astype("=i4").tobytes()) == code


@pytest.mark.parametrize("code", CODES)
def test_turning_back_gives_the_stored_picture(code: int) -> None:
    inverse = {6: 8, 8: 6}.get(code, code)
    frame = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    turned = upright(frame, code)
    assert turned.flags.c_contiguous
    assert turned.shape == ((5, 3, 3) if code >= 5 else (3, 5, 3))
    assert np.array_equal(upright(turned, inverse), frame)
    assert (code == 1) == (turned.shape == frame.shape and np.array_equal(turned, frame))


@pytest.mark.parametrize("code", [0, 9, -1, 255])
def test_codes_that_do_not_exist_change_nothing(code: int) -> None:
    frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert np.array_equal(upright(frame, code), frame)
    assert rotation_deg(code) == 0


@pytest.mark.parametrize(("code", "degrees"), [(1, 0), (2, 0), (3, 180), (6, 90), (8, 270)])
def test_degrees_are_clockwise_quarter_turns(code: int, degrees: int) -> None:
    frame = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert rotation_deg(code) == degrees
    if code != 2:
        assert np.array_equal(upright(frame, code), np.rot90(frame, -degrees // 90))


@given(height=st.integers(1, 5 * STRIP_PX))
def test_strips_cover_every_row_once_and_none_is_high(height: int) -> None:
    found = list(strips(height))
    assert [row for s in found for row in range(s.start, s.stop)] == list(range(height))
    assert all(0 < s.stop - s.start <= STRIP_PX for s in found)


def test_scaling_16_bits_keeps_8_bit_values_and_order() -> None:
    every = np.arange(65536, dtype=np.uint16)
    scaled = scale_16_bit(every)
    assert np.array_equal(scaled[np.arange(256) * 257], np.arange(256))
    assert (np.diff(scaled.astype(int)) >= 0).all()
    assert np.array_equal(scaled, np.rint(every / 257.0))  # no value of 16 bits lies on a half


@settings(max_examples=60)
@given(
    color=st.tuples(*[st.integers(0, 255)] * 3),
    background=st.tuples(*[st.integers(0, 255)] * 3),
    alpha=st.integers(0, 255),
)
def test_alpha_is_the_weighted_mean_to_the_nearest_integer(
    color: tuple[int, int, int], background: tuple[int, int, int], alpha: int
) -> None:
    got = flatten_alpha(np.array([[[*color, alpha]]], np.uint8), background)[0, 0]
    exact = (np.array(color) * alpha + np.array(background) * (255 - alpha)) / 255
    assert np.abs(got - exact).max() <= 0.5 + 1e-9
    if alpha in (0, 255):
        assert tuple(got) == (color if alpha else background)


def test_a_picture_higher_than_a_strip_has_no_seam() -> None:
    rng = np.random.default_rng(1)
    rgba = rng.integers(0, 256, (2 * STRIP_PX + 7, 5, 4), dtype=np.uint8)
    whole = flatten_alpha(rgba, MEAN_COLOR)
    for row in (0, STRIP_PX - 1, STRIP_PX, 2 * STRIP_PX + 6):
        assert np.array_equal(whole[row : row + 1], flatten_alpha(rgba[row : row + 1], MEAN_COLOR))
    assert np.array_equal(rgb_of_image(Image.fromarray(rgba, "RGBA"), MEAN_COLOR, "x"), whole)
    grey = Image.fromarray(rgba[:, :, 0])
    assert np.array_equal(rgb_of_image(grey, MEAN_COLOR, "x"), np.repeat(rgba[:, :, :1], 3, axis=2))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((4, 5), (4, 5, 3)), ((4, 5, 1), (4, 5, 3)), ((4, 5, 4), (4, 5, 3)), ((2, 4, 5, 1), (2, 4, 5, 3)),
     ((2, 4, 5, 4), (2, 4, 5, 3)), ((2, 4, 5, 3), (2, 4, 5, 3))],
)  # fmt: skip
def test_arrays_keep_their_leading_axes(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    array = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    got = rgb_of_array(array, (9, 8, 7))
    assert got.shape == expected
    assert got.flags.c_contiguous
    if shape[-1] == 4:
        frames = array.reshape(-1, 4, 5, 4)
        expected_frames = np.stack([flatten_alpha(frame, (9, 8, 7)) for frame in frames])
        assert np.array_equal(got.reshape(-1, 4, 5, 3), expected_frames)
    elif shape[-1] == 3:
        assert np.array_equal(got, array)
    else:
        assert np.array_equal(got[..., 2], array.reshape(expected[:-1]))


@pytest.mark.parametrize(("value", "words"), [(-1, r"-1\.\.0"), (65536, r"0\.\.65536")])
def test_32_bit_values_outside_16_bits_name_their_range(value: int, words: str) -> None:
    values = np.zeros((4, 4), np.int32)
    values[2, 1] = value
    with pytest.raises(MediaFormatError, match=rf"deep\.tif: has 32-bit values {words}, .*; expected 0\.\.65535"):
        rgb_of_image(Image.fromarray(values), MEAN_COLOR, "deep.tif")
    assert rgb_of_image(Image.fromarray(np.full((2, 2), 65535, np.int32)), MEAN_COLOR, "x").min() == 255


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [("1", 1, (255, 255, 255)), ("L", 77, (77, 77, 77)), ("LA", (50, 0), MEAN_COLOR),
     ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
     ("YCbCr", (128, 128, 128), (128, 128, 128)), ("LAB", (128, 128, 128), (119, 119, 119)), ("P", 0, (0, 0, 0))],
)  # fmt: skip
def test_every_mode_of_pillow_becomes_rgb(mode: str, color: Any, expected: tuple[int, int, int]) -> None:
    got = rgb_of_image(Image.new(mode, (3, 2), color), MEAN_COLOR, "x")
    assert got.dtype == np.uint8
    assert np.abs(got.astype(int) - expected).max() <= 1
    assert got.shape == (2, 3, 3)
