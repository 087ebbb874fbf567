"""One size for a set."""

import numpy as np
import pytest

from mllmqa.data.distortions import to_short_side
from mllmqa.errors import DataError
from tests.conftest import photo_pixels


@pytest.mark.parametrize(("width", "height", "expected"), [(320, 240, (90, 120)), (240, 320, (120, 90))])
def test_ratio_is_kept(width: int, height: int, expected: tuple[int, int]) -> None:
    pixels = photo_pixels(width, height)
    before = pixels.copy()
    found = to_short_side(pixels, 90)
    assert found.shape == (*expected, 3)
    assert found.dtype == np.uint8
    assert np.array_equal(pixels, before)
    assert abs(found.mean() - pixels.mean()) < 1


def test_the_right_size_is_copied() -> None:
    pixels = photo_pixels(64, 48)
    found = to_short_side(pixels, 48)
    assert np.array_equal(found, pixels)
    assert not np.shares_memory(found, pixels)


def test_nothing_is_enlarged() -> None:
    with pytest.raises(DataError, match=r"64×48 px cannot be shrunk to a short side of 49 px; leave it out"):
        to_short_side(photo_pixels(64, 48), 49)


def test_shrinking_averages() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(to_short_side(stripes, 64)[8:-8, 8:-8]) < 12  # without antialiasing: 0 and 255
