"""The twelve of nano's recipe: what they are, and that their bytes are those of the published weights' training."""

import hashlib
import itertools

import numpy as np
import pytest

from mllmqa.data import distortions
from tests.conftest import photo_pixels

PHOTO = photo_pixels(96, 80)

# SHA-256 (first 16 digits) of severities 1, 2.6 and 5 on PHOTO with default_rng(11), from the code before it moved
# here (commit c7f7682). JPEG and WebP are left out: they are the encoder's.
BEFORE = {
    "defocus_blur": "869e530dd295c049",
    "motion_blur": "3fa4d7d745fd2a7a",
    "low_resolution": "b07cd51089e155b5",
    "noise": "a7f18423a66fc550",
    "impulse_noise": "07c0b7c2912d4bb8",
    "overexposure": "2261f284ec9fb482",
    "underexposure": "90dae1bf8986b383",
    "low_contrast": "b14631dc6ceea3d6",
    "colour_cast": "0669ab1594e9e9bf",
    "banding": "308a9af3270625bf",
}
ORDER = (
    "defocus_blur", "motion_blur", "low_resolution", "noise", "impulse_noise", "jpeg", "webp", "overexposure",
    "underexposure", "low_contrast", "colour_cast", "banding",
)  # fmt: skip


def apply(name: str, pixels: np.ndarray, severity: float, seed: int = 0) -> np.ndarray:
    return distortions.apply(pixels, f"nano_{name}", severity, np.random.default_rng(seed)).pixels


def test_the_class_order_of_the_heads() -> None:
    assert tuple(name.removeprefix("nano_") for name in distortions.NANO_NAMES) == ORDER


@pytest.mark.parametrize("name", sorted(BEFORE))
def test_bytes_are_those_of_the_old_code(name: str) -> None:
    digest = hashlib.sha256()
    for severity in (1, 2.6, 5):
        digest.update(apply(name, PHOTO, severity, 11).tobytes())
    assert digest.hexdigest()[:16] == BEFORE[name]


def test_hand_arithmetic() -> None:
    grey = np.full((32, 32, 3), 100, np.uint8)
    assert np.unique(apply("overexposure", grey, 1)).tolist() == [125]
    assert np.unique(apply("overexposure", grey, 5)).tolist() == [255]
    assert np.unique(apply("banding", grey, 5)).tolist() == [128]
    assert np.unique(apply("defocus_blur", grey, 5)).tolist() == [100]
    assert np.unique(apply("motion_blur", grey, 5)).tolist() == [100]
    salted = apply("impulse_noise", np.full((200, 200, 3), 100, np.uint8), 5)
    assert (salted != 100).all(axis=2).mean() == pytest.approx(0.12, abs=0.01)


def test_hand_arithmetic_of_light_and_levels() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(32, axis=0)
    assert np.unique(apply("banding", ramp, 5)).tolist() == [0, 128, 255]
    assert len(np.unique(apply("banding", ramp, 1))) == 24
    bright = apply("overexposure", ramp, 3)
    assert bright[0, 100].tolist() == [185] * 3
    assert (bright[0, 138:] == 255).all()
    dark = apply("underexposure", np.full((64, 64, 3), 200, np.uint8), 5).astype(float)
    assert dark.mean() == pytest.approx(200 * 0.12, abs=0.1)
    assert dark.std() == pytest.approx(1, abs=0.1)
    noisy = apply("noise", np.full((256, 256, 3), 128, np.uint8), 3, 1).astype(float)
    assert noisy.std() == pytest.approx(15, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=0.2)
    gains = apply("colour_cast", np.full((32, 32, 3), 100, np.uint8), 3, 2)[0, 0] / 100
    assert np.abs(gains - 1).max() == pytest.approx(0.3, abs=0.006)
    assert gains.sum() == pytest.approx(3, abs=0.02)


def test_blur_spreads_a_point_by_its_stated_width() -> None:
    """The second moment of a blurred point is the variance of the blur: 2.2 px at severity 3."""
    point = np.zeros((65, 65, 3), np.uint8)
    point[30:35, 30:35] = 255  # its own variance is 2 px² along each axis
    mass = apply("defocus_blur", point, 3)[:, :, 0].astype(float).sum(axis=0)
    x = np.arange(65) - 32
    assert (mass * x**2).sum() / mass.sum() - 2 == pytest.approx(2.2**2, rel=0.15)


@pytest.mark.parametrize("name", ORDER)
@pytest.mark.parametrize("seed", [0, 7])
def test_psnr_falls_with_every_half_step_of_severity(name: str, seed: int) -> None:
    """Fractions are allowed: between two entries of a table the damage lies between theirs, up to plateaus."""
    photo = photo_pixels(128, 112, seed)
    found = []
    for severity in np.arange(1, 5.01, 0.5):
        error = np.square(apply(name, photo, float(severity), seed).astype(float) - photo).mean()
        found.append(10 * np.log10(255**2 / error))
    slack = 1.5 if name == "motion_blur" else 0.15  # waves of the period of a blur come through it
    assert all(later <= earlier + slack for earlier, later in itertools.pairwise(found)), found
    assert found[0] - found[-1] > 2
    assert found[0] > 12
