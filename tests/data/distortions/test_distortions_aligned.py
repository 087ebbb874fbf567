"""Aligned severities: the loss, its targets, the search."""

import numpy as np
import pytest

from mllmqa.data import distortions
from mllmqa.data.distortions import TARGETS, align
from mllmqa.data.distortions.aligned import TOLERANCE, ms_ssim_loss
from mllmqa.errors import DataError
from tests.conftest import photo_pixels

PHOTO = photo_pixels(128, 96)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_loss_of_equals_is_nought_and_grows() -> None:
    assert ms_ssim_loss(PHOTO, PHOTO) == pytest.approx(0, abs=1e-6)
    found = [ms_ssim_loss(PHOTO, distortions.apply(PHOTO, "blur_gaussian", s, rng()).pixels) for s in (1, 3, 5)]
    assert 0 < found[0] < found[1] < found[2] < 1


def test_loss_sees_colour() -> None:
    grey = distortions.apply(PHOTO, "saturate_weaken_ycrcb", 5, rng()).pixels
    assert 0.02 < ms_ssim_loss(PHOTO, grey) < 0.3


def test_loss_against_the_formula_on_one_scale() -> None:
    """Below 44 px there are few scales; far from a drawn edge SSIM of flat pictures is the luminance term."""
    one, other = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 120, np.uint8)
    x, y = 100 / 255, 120 / 255
    term = (2 * x * y + 0.01**2) / (x**2 + y**2 + 0.01**2)
    assert ms_ssim_loss(one, other) == pytest.approx(6 / 8 * (1 - term), abs=1e-4)


@pytest.mark.parametrize("name", ["blur_gaussian", "noise_gaussian_rgb", "blur_jitter", "noise_poisson"])
@pytest.mark.parametrize("severity", [1, 3.5])
def test_targets_are_met(name: str, severity: float) -> None:
    before = PHOTO.copy()
    made = align(PHOTO, name, severity, rng(1))
    target = float(np.interp(severity, (1, 2, 3, 4, 5), TARGETS))
    assert made.parameters["target_loss"] == pytest.approx(target)
    assert made.parameters["loss"] == pytest.approx(target, rel=TOLERANCE)
    assert made.parameters["loss"] == pytest.approx(ms_ssim_loss(PHOTO, made.pixels))
    assert 0 <= made.parameters["table_severity"] <= 6
    assert np.array_equal(PHOTO, before)


def test_the_same_draw_gives_the_same_bytes() -> None:
    one, other = (align(PHOTO, "blur_motion", 2, rng(5)) for _ in range(2))
    assert np.array_equal(one.pixels, other.pixels)
    assert one.parameters == other.parameters
    assert align(PHOTO, "blur_motion", 2, rng(6)).parameters["angle_deg"] != one.parameters["angle_deg"]


def test_one_draw_is_taken_from_the_generator() -> None:
    generator = rng(5)
    align(PHOTO, "noise_speckle", 2, generator)
    other = rng(5)
    other.integers(2**63)
    assert generator.random() == other.random()


def test_pictures_get_parameters_of_their_own() -> None:
    smooth = distortions.apply(photo_pixels(128, 96, 4), "blur_gaussian", 3, rng()).pixels
    sharp = align(PHOTO, "blur_gaussian", 3, rng()).parameters
    soft = align(smooth, "blur_gaussian", 3, rng()).parameters
    assert soft["sigma"] > sharp["sigma"]
    assert soft["loss"] == pytest.approx(sharp["loss"], rel=0.1)


def test_a_target_of_ones_own() -> None:
    assert align(PHOTO, "noise_speckle", 1, rng(), target=0.3).parameters["loss"] == pytest.approx(0.3, rel=0.05)


def test_whole_numbers_stay_whole() -> None:
    made = align(PHOTO, "compression_jpeg", 3, rng())
    assert isinstance(made.parameters["quality"], int)


@pytest.mark.parametrize(
    ("name", "severity", "target", "message"),
    [
        ("saturate_weaken_hsv", 1, 0.9, "no parameter meets a loss of 0.900"),
        ("kadid_mean_shift", 1, None, "no order"),
        ("melting", 1, None, "unknown distortion"),
        ("pixelate", 0.5, None, "severity is 0.5"),
        ("pixelate", float("nan"), None, "severity is nan"),
        ("pixelate", 1, 0.0, "target is 0.0"),
        ("pixelate", 1, float("nan"), "target is nan"),
    ],
)
def test_refusals(name: str, severity: float, target: float | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        align(PHOTO, name, severity, rng(), target=target)


def test_a_grey_picture_has_no_colour_to_lose() -> None:
    grey = np.repeat(PHOTO[..., :1], 3, axis=2)
    with pytest.raises(DataError, match="saturate_weaken_ycrcb: no parameter meets"):
        align(grey, "saturate_weaken_ycrcb", 3, rng())
