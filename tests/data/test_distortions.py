"""Distortions: shapes, determinism, monotone damage, refusals."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.data import distortions
from mllmqa.errors import DataError
from tests.conftest import photo_pixels

PHOTO = photo_pixels(96, 80)


@pytest.mark.parametrize("name", distortions.NAMES)
def test_damage_grows_with_severity(name: str) -> None:
    original = PHOTO.astype(float)
    damage = [
        np.abs(distortions.apply(name, PHOTO, severity, np.random.default_rng(3)) - original).mean()
        for severity in (1, 2, 3, 4, 5)
    ]
    assert damage[0] > 0
    assert all(low < high for low, high in itertools.pairwise(damage)), damage


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(distortions.NAMES),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    severity=st.floats(1, 5),
)
def test_any_size_keeps_its_shape_and_its_input(name: str, height: int, width: int, severity: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    copy = pixels.copy()
    out = distortions.apply(name, pixels, severity, np.random.default_rng(1))
    assert out.shape == pixels.shape
    assert out.dtype == np.uint8
    assert np.array_equal(pixels, copy)
    assert np.array_equal(out, distortions.apply(name, pixels, severity, np.random.default_rng(1)))


def test_hand_arithmetic() -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    assert np.unique(distortions.apply("overexposure", grey, 1, rng)).tolist() == [125]
    assert np.unique(distortions.apply("overexposure", grey, 5, rng)).tolist() == [255]
    assert np.unique(distortions.apply("banding", grey, 5, rng)).tolist() == [128]
    assert np.unique(distortions.apply("defocus_blur", grey, 5, rng)).tolist() == [100]
    assert np.unique(distortions.apply("motion_blur", grey, 5, rng)).tolist() == [100]
    salted = distortions.apply("impulse_noise", np.full((200, 200, 3), 100, np.uint8), 5, rng)
    assert (salted != 100).all(axis=2).mean() == pytest.approx(0.12, abs=0.01)


@pytest.mark.parametrize(
    ("name", "pixels", "severity"),
    [
        ("melting", PHOTO, 1),
        ("noise", PHOTO.astype(np.float32), 1),
        ("noise", PHOTO[:, :, 0], 1),
        ("noise", PHOTO[:0], 1),
        ("noise", PHOTO, 0),
        ("noise", PHOTO, 5.1),
        ("noise", PHOTO, float("nan")),
    ],
)
def test_refusals(name: str, pixels: np.ndarray, severity: float) -> None:
    with pytest.raises(DataError):
        distortions.apply(name, pixels, severity, np.random.default_rng(0))
