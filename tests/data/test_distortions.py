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


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.square(one.astype(float) - other).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("name", distortions.NAMES)
@pytest.mark.parametrize("seed", [0, 7])
def test_psnr_falls_with_every_half_step_of_severity(name: str, seed: int) -> None:
    """Fractions are allowed: between two entries of a table the damage lies between theirs, up to plateaus."""
    photo = photo_pixels(128, 112, seed)
    found = [
        psnr(distortions.apply(name, photo, severity, np.random.default_rng(seed)), photo)
        for severity in np.arange(1, 5.01, 0.5)
    ]
    slack = 1.5 if name == "motion_blur" else 0.15  # waves of the period of a blur come through it
    assert all(later <= earlier + slack for earlier, later in itertools.pairwise(found)), found
    assert found[0] - found[-1] > 2
    assert found[0] > 12
    assert np.isfinite(found[0])


def test_all_randomness_comes_from_the_generator() -> None:
    """Equal seeds give equal pictures, whatever the global state; other seeds differ where something is drawn."""
    drawing = {"motion_blur", "noise", "impulse_noise", "underexposure", "colour_cast"}
    for name in distortions.NAMES:
        np.random.seed(0)  # noqa: NPY002 - the global state must not matter
        one = distortions.apply(name, PHOTO, 3, np.random.default_rng(5))
        np.random.seed(1)  # noqa: NPY002
        assert np.array_equal(one, distortions.apply(name, PHOTO, 3, np.random.default_rng(5))), name
        others = [distortions.apply(name, PHOTO, 3, np.random.default_rng(seed)) for seed in range(6)]
        if name in drawing:
            assert not all(np.array_equal(one, other) for other in others), name


def test_hand_arithmetic_of_light_and_levels() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    banded = distortions.apply("banding", ramp, 5, np.random.default_rng(0))
    assert np.unique(banded).tolist() == [0, 128, 255]
    assert len(np.unique(distortions.apply("banding", ramp, 1, np.random.default_rng(0)))) == 24
    bright = distortions.apply("overexposure", ramp, 3, np.random.default_rng(0))
    assert bright[0, 100].tolist() == [185] * 3
    assert (bright[0, 138:] == 255).all()
    flat = np.full((64, 64, 3), 200, np.uint8)
    dark = distortions.apply("underexposure", flat, 5, np.random.default_rng(0)).astype(float)
    assert dark.mean() == pytest.approx(200 * 0.12, abs=0.1)
    assert dark.std() == pytest.approx(1, abs=0.1)
    noisy = distortions.apply("noise", np.full((256, 256, 3), 128, np.uint8), 3, np.random.default_rng(1)).astype(
        float
    )
    assert noisy.std() == pytest.approx(15, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=0.2)
    gains = (
        distortions.apply("colour_cast", np.full((4, 4, 3), 100, np.uint8), 3, np.random.default_rng(2))[0, 0] / 100
    )
    assert np.abs(gains - 1).max() == pytest.approx(0.3, abs=0.006)
    assert gains.sum() == pytest.approx(3, abs=0.02)


def test_blur_spreads_a_point_by_its_stated_width() -> None:
    """The second moment of a blurred point is the variance of the blur: 2.2 px at severity 3."""
    point = np.zeros((65, 65, 3), np.uint8)
    point[30:35, 30:35] = 255  # its own variance is 2 px² along each axis
    mass = distortions.apply("defocus_blur", point, 3, np.random.default_rng(0))[:, :, 0].astype(float).sum(axis=0)
    x = np.arange(65) - 32
    variance = (mass * x**2).sum() / mass.sum()
    assert variance - 2 == pytest.approx(2.2**2, rel=0.15)
