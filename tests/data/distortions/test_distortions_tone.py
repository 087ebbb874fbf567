"""Brightness, contrast, saturation, sharpness, quantisation, compression: hand arithmetic and invariants."""

import colorsys

import numpy as np
import pytest

from mllmqa.data.distortions import brightness, compression, contrast, quantization, saturate, sharpness
from tests.conftest import photo_pixels

PHOTO = photo_pixels(96, 80)
RAMP = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(32, axis=0)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def hsv_of(pixels: np.ndarray) -> np.ndarray:
    return np.array([colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in pixels.reshape(-1, 3)])


def rgb_of(hsv: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.array([colorsys.hsv_to_rgb(*row) for row in hsv]))


COLOURS = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
COLOURS[0, :4] = [[0, 0, 0], [255, 255, 255], [9, 9, 9], [255, 0, 0]]


@pytest.mark.parametrize("amount", [0.1, 0.5, -0.2, -0.5])
def test_shift_of_value_is_that_of_hsv(amount: float) -> None:
    hsv = hsv_of(COLOURS)
    hsv[:, 2] = np.clip(hsv[:, 2] + amount, 0, 1)
    found = brightness.shift_value(COLOURS, rng(), amount=amount).reshape(-1, 3)
    assert np.abs(found - rgb_of(hsv)).max() <= 1


@pytest.mark.parametrize("gamma", [0.25, 0.7, 1.5, 3.5])
def test_gamma_of_value_is_that_of_hsv(gamma: float) -> None:
    hsv = hsv_of(COLOURS)
    hsv[:, 2] **= gamma
    found = brightness.gamma_value(COLOURS, rng(), gamma=gamma).reshape(-1, 3)
    assert np.abs(found - rgb_of(hsv)).max() <= 1


@pytest.mark.parametrize("factor", [0.0, 0.4, 3.0, 64.0])
def test_saturation_is_that_of_hsv(factor: float) -> None:
    hsv = hsv_of(COLOURS)
    hsv[:, 1] = np.clip(hsv[:, 1] * factor, 0, 1)
    found = saturate.hsv(COLOURS, rng(), factor=factor).reshape(-1, 3)
    assert np.abs(found - rgb_of(hsv)).max() <= 1


def test_shift_and_gamma_of_rgb() -> None:
    assert brightness.shift_rgb(RAMP, rng(), amount=0.1)[0, [0, 100, 250], 0].tolist() == [26, 126, 255]
    assert brightness.shift_rgb(RAMP, rng(), amount=-0.1)[0, [0, 100, 250], 0].tolist() == [0, 74, 224]
    found = brightness.gamma_rgb(RAMP, rng(), gamma=0.5)[0, :, 0]
    assert found[64] == round(255 * (64 / 255) ** 0.5)
    assert (found[0], found[255]) == (0, 255)


def test_contrast_scale_keeps_the_grey_mean() -> None:
    weak = contrast.scale(PHOTO, rng(), factor=0.2).astype(float)
    luma = [0.299, 0.587, 0.114]
    assert (weak @ luma).mean() == pytest.approx((PHOTO @ luma).mean(), abs=0.6)
    assert (weak @ luma).std() == pytest.approx(0.2 * (PHOTO @ luma).std(), rel=0.02)
    grey = np.full((32, 32, 3), 60, np.uint8)
    assert (contrast.scale(grey, rng(), factor=4.0) == 60).all()


def test_contrast_stretch_is_a_sigmoid_about_the_mean() -> None:
    found = contrast.stretch(RAMP, rng(), steepness=4.0)[0, :, 0]
    mean = RAMP.mean()
    for level in (10, 100, 127, 200):
        assert found[level] == round(255 / (1 + (mean / level) ** 4))
    assert found[0] == 0
    assert (np.diff(found.astype(int)) >= 0).all()


def test_black_stays_black() -> None:
    """Published code turns it white."""
    black = np.zeros((32, 32, 3), np.uint8)
    for steepness in (0.4, 1.0, 10.0):
        assert not contrast.stretch(black, rng(), steepness=steepness).any()


def test_grey_has_no_saturation() -> None:
    for factor in (0.0, 3.0, 9.0):
        assert np.array_equal(saturate.hsv(RAMP, rng(), factor=factor), RAMP)
        assert np.array_equal(saturate.ycrcb(RAMP, rng(), factor=factor), RAMP)
        assert np.abs(saturate.lab(RAMP, rng(), factor=factor).astype(int) - RAMP).max() <= 2


def test_chroma_of_nought_is_luma() -> None:
    found = saturate.ycrcb(PHOTO, rng(), factor=0.0)
    assert np.abs(found - (PHOTO @ [0.299, 0.587, 0.114])[..., None]).max() <= 1.5
    assert np.abs(saturate.ycrcb(PHOTO, rng(), factor=1.0).astype(int) - PHOTO).max() <= 2


def test_oversharpening_overshoots_at_edges_and_only_there() -> None:
    step = np.full((40, 40, 3), 100, np.uint8)
    step[:, 20:] = 140
    found = sharpness.oversharpen(step, rng(), amount=2.0)
    assert (found[:, :17] == 100).all()
    assert (found[:, 23:] == 140).all()
    assert found[20, 19, 0] < 100
    assert found[20, 20, 0] > 140
    assert int(found[20, 19, 0]) + int(found[20, 20, 0]) == 240
    soft = sharpness.unsharp(step, rng(), amount=1.0, sigma=2.0)
    assert soft[20, 20, 0] > 140


def test_pixelate_makes_blocks_of_area_means() -> None:
    found = sharpness.pixelate(PHOTO, rng(), scale=0.25)
    blocks = found.reshape(20, 4, 24, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    mean = PHOTO.reshape(20, 4, 24, 4, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(blocks[:, 0, :, 0] - mean).max() <= 1  # Pillow rounds after rows and after columns


@pytest.mark.parametrize("classes", [3, 5, 8, 15])
def test_otsu_gives_equidistant_levels_from_the_minimum(classes: int) -> None:
    found = quantization.otsu(PHOTO, rng(), classes=classes)
    for channel in range(3):
        low, high = int(PHOTO[..., channel].min()), int(PHOTO[..., channel].max())
        allowed = {round(low + i * (high - low) / classes) for i in range(classes)}
        levels = set(np.unique(found[..., channel]).tolist())
        assert len(levels) == classes
        assert all(min(abs(level - a) for a in allowed) <= 1 for level in levels)


def test_otsu_of_few_levels_is_the_picture_itself() -> None:
    """Published code raises there, and a bare `except` hides it."""
    two = np.where(PHOTO > 128, np.uint8(200), np.uint8(30))
    assert np.array_equal(quantization.otsu(two, rng(), classes=3), two)
    assert np.array_equal(quantization.otsu(np.full_like(two, 7), rng(), classes=3), np.full_like(two, 7))


@pytest.mark.parametrize("colours", [20, 6, 3])
def test_median_cut_per_channel(colours: int) -> None:
    before = PHOTO.copy()
    found = quantization.median(PHOTO, rng(), colours=colours)
    assert np.array_equal(PHOTO, before)  # published code changes its caller's array
    for channel in range(3):
        assert 1 < len(np.unique(found[..., channel])) <= colours
    assert np.abs(found.mean() - PHOTO.mean()) < 5


def test_histogram_quantisation_equalises() -> None:
    found = quantization.histogram(RAMP, rng(), bins=4)[0, :, 0]
    assert np.unique(found).tolist() == [0, 85, 170, 255]
    assert [int(found[i]) for i in (0, 63, 64, 127, 128, 191, 192, 255)] == [0, 0, 85, 85, 170, 170, 255, 255]
    flat = np.full((32, 32, 3), 90, np.uint8)
    assert np.array_equal(quantization.histogram(flat, rng(), bins=8), flat)


def test_uniform_levels() -> None:
    found = quantization.uniform(RAMP, rng(), levels=3)
    assert np.unique(found).tolist() == [0, 128, 255]


def test_compression_gets_worse_and_meets_its_target() -> None:
    def psnr(found: np.ndarray) -> float:
        return float(10 * np.log10(255**2 / np.square(found.astype(float) - PHOTO).mean()))

    jpeg = [psnr(compression.jpeg(PHOTO, rng(), quality=quality)) for quality in (90, 40, 10)]
    assert jpeg == sorted(jpeg, reverse=True)
    aimed = [psnr(compression.jpeg_2000(PHOTO, rng(), psnr_db=target)) for target in (40.0, 29.0, 24.5)]
    assert aimed == sorted(aimed, reverse=True)
    assert aimed[1] - aimed[2] == pytest.approx(4.5, abs=1.5)  # of the colour transform, not of R, G, B
    rates = [psnr(compression.jpeg_2000_rate(PHOTO, rng(), ratio=ratio)) for ratio in (4.0, 16.0, 64.0)]
    assert rates == sorted(rates, reverse=True)
