"""PSNR bands of the published engine (measured on its own test photo) on a photo that is here."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.data import distortions

# PSNR in dB at severities 1 and 5 on DepictQA's 512×384 test image; facts/instruct.md, table of section 1.5.
PUBLISHED = {
    "noise_gaussian_rgb": (26.3, 13.3),
    "noise_gaussian_ycrcb": (21.8, 11.2),
    "noise_speckle": (22.7, 14.1),
    "noise_poisson": (22.5, 15.9),
    "noise_impulse": (24.7, 14.9),
    "compression_jpeg_2000": (28.8, 22.9),
    "brighten_shift_hsv": (22.8, 10.8),
    "brighten_shift_rgb": (20.3, 10.0),
    "brighten_gamma_hsv": (24.2, 14.8),
    "brighten_gamma_rgb": (24.6, 10.5),
    "darken_shift_hsv": (22.1, 8.5),
    "darken_shift_rgb": (20.3, 10.3),
    "darken_gamma_hsv": (21.3, 11.1),
    "darken_gamma_rgb": (20.4, 10.3),
    "contrast_strengthen_scale": (22.1, 12.8),
    "contrast_strengthen_stretch": (17.3, 11.6),
    "contrast_weaken_scale": (23.2, 13.1),
    "contrast_weaken_stretch": (16.4, 13.7),
    "quantization_median": (34.3, 19.9),
    "quantization_hist": (27.0, 18.9),
    "quantization_otsu": (23.0, 15.8),
}
# What depends on the amount of texture rather than on light: the same ratio between severities.
FALLS = {
    "blur_gaussian": 26.3 - 21.4,
    "blur_motion": 24.3 - 20.3,
    "blur_glass": 24.7 - 21.1,
    "blur_lens": 25.1 - 21.4,
    "blur_zoom": 29.1 - 20.0,
    "blur_jitter": 23.0 - 18.3,
    "pixelate": 25.9 - 22.4,
    "oversharpen": 21.6 - 13.5,
    "compression_jpeg": 26.5 - 21.9,
}


@pytest.fixture(scope="module")
def photo(shared: Path) -> np.ndarray:
    image = Image.open(shared / "media" / "pristine" / "p0007.jpg").convert("RGB")
    return np.array(image.resize((512, 384), Image.Resampling.BICUBIC))


def psnr(photo: np.ndarray, name: str, severity: float) -> float:
    made = distortions.apply(photo, name, severity, np.random.default_rng(1)).pixels
    return float(10 * np.log10(255**2 / np.square(made.astype(float) - photo).mean()))


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_bands(photo: np.ndarray, name: str) -> None:
    """Noise is within 1 dB on any photo; tone and quantisation depend on its histogram."""
    tolerance = 1.0 if name.startswith(("noise", "compression")) else 3.2
    found = (psnr(photo, name, 1), psnr(photo, name, 5))
    assert found == pytest.approx(PUBLISHED[name], abs=tolerance)


@pytest.mark.parametrize("name", sorted(FALLS))
def test_falls(photo: np.ndarray, name: str) -> None:
    assert psnr(photo, name, 1) - psnr(photo, name, 5) == pytest.approx(FALLS[name], abs=2.0)


def test_all_are_named() -> None:
    left = set(distortions.NAMES) - set(PUBLISHED) - set(FALLS)
    # The photo of the table is more saturated or greyer than ours; noise on the sum also blurs.
    assert left == {name for name in distortions.NAMES if name.startswith("saturate")} | {
        "noise_spatially_correlated"
    }
