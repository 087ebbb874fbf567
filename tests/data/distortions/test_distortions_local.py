"""A distortion in a box: nothing outside of it changes, and no seam tells where it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.data import distortions
from mllmqa.data.distortions.local import Box, apply_in
from mllmqa.errors import DataError
from tests.conftest import photo_pixels

PHOTO = photo_pixels(160, 120)
HEIGHT, WIDTH = PHOTO.shape[:2]
BOX = (40, 30, 120, 90)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, y0 = draw(st.integers(0, WIDTH - 32)), draw(st.integers(0, HEIGHT - 32))
    return (x0, y0, draw(st.integers(x0 + 32, WIDTH)), draw(st.integers(y0 + 32, HEIGHT)))


@given(boxes(), st.sampled_from(distortions.NAMES), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=60)
def test_outside_of_the_box_not_a_pixel_changes(box: Box, name: str, severity: int, seed: int) -> None:
    before = PHOTO.copy()
    done = apply_in(PHOTO, box, name, severity, rng(seed))
    x0, y0, x1, y1 = box
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[y0:y1, x0:x1] = False
    assert np.array_equal(done.pixels[outside], PHOTO[outside])
    assert np.array_equal(PHOTO, before)
    assert done.pixels.dtype == np.uint8 and done.pixels.shape == PHOTO.shape
    assert not np.shares_memory(done.pixels, PHOTO)


@pytest.mark.parametrize("name", ["blur_gaussian", "noise_impulse", "brighten_shift_rgb", "pixelate"])
def test_inside_it_is_the_distortion(name: str) -> None:
    x0, y0, x1, y1 = BOX
    part = np.ascontiguousarray(PHOTO[y0:y1, x0:x1])
    whole = distortions.apply(part, name, 4, rng())
    done = apply_in(PHOTO, BOX, name, 4, rng())
    inner = (slice(6, -6), slice(6, -6))
    assert np.array_equal(done.pixels[y0:y1, x0:x1][inner], whole.pixels[inner])
    assert done.parameters == whole.parameters


def test_the_edge_is_a_ramp() -> None:
    black = np.zeros((100, 100, 3), np.uint8)
    name = next(n for n in distortions.names_of("brighten") if _flat(n, black[:64, :64]) > 50)
    light = _flat(name, black[:60, :60])
    row = apply_in(black, (20, 20, 80, 80), name, 5, rng(), feather_px=6).pixels[50, :, 0].astype(int)
    assert row[19] == 0 and row[80] == 0
    rising = row[20:27]
    assert np.all(np.diff(rising) > 0) and rising[-1] == pytest.approx(light, abs=1)
    assert np.allclose(rising, [light * k / 7 for k in range(1, 8)], atol=1)
    assert np.array_equal(row[20:80], row[20:80][::-1])


def _flat(name: str, pixels: np.ndarray) -> float:
    done = distortions.apply(np.ascontiguousarray(pixels), name, 5, rng()).pixels
    return float(done[30, 30, 0]) if np.ptp(done) == 0 else 0.0


def test_sides_of_the_picture_have_no_ramp() -> None:
    name = distortions.names_of("brighten")[0]
    whole = distortions.apply(PHOTO, name, 3, rng())
    assert np.array_equal(apply_in(PHOTO, (0, 0, WIDTH, HEIGHT), name, 3, rng()).pixels, whole.pixels)


def test_without_a_feather_the_box_is_the_distortion() -> None:
    x0, y0, x1, y1 = BOX
    name = distortions.names_of("blur")[0]
    part = distortions.apply(np.ascontiguousarray(PHOTO[y0:y1, x0:x1]), name, 3, rng())
    assert np.array_equal(apply_in(PHOTO, BOX, name, 3, rng(), feather_px=0).pixels[y0:y1, x0:x1], part.pixels)


def test_all_chance_comes_from_the_generator() -> None:
    name = distortions.names_of("noise")[0]
    one, again, other = (apply_in(PHOTO, BOX, name, 3, rng(seed)).pixels for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "box", [(0, 0, 31, 60), (0, 0, 60, 31), (100, 0, 161, 60), (0, 100, 60, 121), (-1, 0, 60, 60), (60, 0, 20, 60)]
)
def test_boxes_that_are_none_are_refused(box: Box) -> None:
    with pytest.raises(
        DataError, match=r"a box \(.*\) in a picture of 160×120 px; expected one inside of it, with"
    ):
        apply_in(PHOTO, box, "blur_gaussian", 3, rng())


def test_what_the_engine_refuses_is_refused() -> None:
    with pytest.raises(DataError, match="unknown distortion"):
        apply_in(PHOTO, BOX, "blot", 3, rng())
    with pytest.raises(DataError, match=r"severity is 6; expected a number in 1\.\.5"):
        apply_in(PHOTO, BOX, distortions.NAMES[0], 6, rng())
    with pytest.raises(DataError, match="pixels are float64"):
        apply_in(PHOTO.astype(np.float64), BOX, distortions.NAMES[0], 3, rng())  # type: ignore[arg-type]
    with pytest.raises(DataError, match="feather of -1 px; expected 0 or more"):
        apply_in(PHOTO, BOX, distortions.NAMES[0], 3, rng(), feather_px=-1)
