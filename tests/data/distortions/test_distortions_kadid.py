"""Operations of KADID-10k: hand arithmetic and what each is to look like."""

import numpy as np
import pytest

from mllmqa.data import distortions
from mllmqa.data.distortions import kadid
from tests.conftest import photo_pixels

PHOTO = photo_pixels(120, 96)
RAMP = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(32, axis=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def luma(pixels: np.ndarray) -> np.ndarray:
    return pixels @ np.array([0.299, 0.587, 0.114])


def test_mildest_levels_that_do_nothing_do_nothing() -> None:
    """KADID has them: mean shift by 0, a line of one pixel, colours times one."""
    for name, most in [("mean_shift", 0), ("motion_blur", 0), ("gaussian_blur", 1), ("color_saturation_2", 1)]:
        found = distortions.apply(PHOTO, f"kadid_{name}", 1, rng()).pixels.astype(int)
        assert np.abs(found - PHOTO).max() <= most, name


def test_mean_shift_alternates() -> None:
    found = [int(distortions.apply(RAMP, "kadid_mean_shift", s, rng()).pixels[0, 100, 0]) for s in (1, 2, 3, 4, 5)]
    assert found == [100, 120, 80, 138, 62]


@pytest.mark.parametrize(("amount", "expected"), [(0.0, 0.25), (0.3, 0.175), (-0.6, 0.4)])
def test_contrast_curve_passes_its_knots(amount: float, expected: float) -> None:
    curve = kadid.contrast_change(RAMP, rng(), amount=amount)[0, :, 0].astype(float) / 255
    assert np.interp(0.3, np.arange(256) / 255, curve) == pytest.approx(expected, abs=0.004)
    assert np.interp(0.7, np.arange(256) / 255, curve) == pytest.approx(1 - expected, abs=0.004)
    assert np.interp(0.5, np.arange(256) / 255, curve) == pytest.approx(0.5, abs=0.004)
    assert (curve[0], curve[-1]) == (0, 1)


def test_brighten_and_darken_bend_the_middle() -> None:
    dark = kadid.darken(RAMP, rng(), amount=0.4)[0, :, 0].astype(float) / 255
    assert np.interp(0.5, np.arange(256) / 255, dark) == pytest.approx(0.3, abs=0.004)
    light = kadid.brighten(RAMP, rng(), amount=0.4)[0, :, 0].astype(float) / 255
    # two thirds of the curve on R, G, B at ½ (0.7), one third of the curve on L, which is brighter still
    assert 0.65 < np.interp(0.5, np.arange(256) / 255, light) < 0.75
    assert (dark[0], dark[-1], light[0]) == (0, 1, 0)
    assert luma(kadid.brighten(PHOTO, rng(), amount=0.7)).mean() > luma(PHOTO).mean() + 20


def test_colour_diffusion_spares_the_light() -> None:
    found = kadid.colour_diffusion(PHOTO, rng(), amount=1.0)
    lab, before = kadid.to_lab(found), kadid.to_lab(PHOTO)
    assert np.abs(lab[..., 0] - before[..., 0]).mean() < 3
    assert lab[..., 1].std() < before[..., 1].std()


def test_colour_shift_moves_green_at_edges_alone() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    flat[:, 32:] = 180
    made = kadid.colour_shift(flat, rng(2), amount=8.0)
    assert np.array_equal(made.pixels[..., 0], flat[..., 0])
    assert np.array_equal(made.pixels[..., 2], flat[..., 2])
    assert (made.pixels[:, :8, 1] == 90).all()
    assert np.hypot(made.parameters["dx"], made.parameters["dy"]) == pytest.approx(8, abs=0.8)
    if made.parameters["dx"] >= 2:
        assert made.pixels[32, 33, 1] < 180


def test_palette_has_so_many_colours() -> None:
    for colours in (64, 8):
        found = kadid.palette(PHOTO, rng(), colours=colours)
        assert 2 < len(np.unique(found.reshape(-1, 3), axis=0)) <= colours


def test_negative_saturation_is_the_complement() -> None:
    red = np.tile(np.array([200, 100, 100], np.uint8), (32, 32, 1))
    made = distortions.apply(red, "kadid_color_saturation_1", 5, rng()).pixels[0, 0]
    assert made.tolist() == [200, 240, 240]
    assert distortions.apply(red, "kadid_color_saturation_1", 4, rng()).pixels[0, 0].tolist() == [200, 200, 200]


def test_noise_variances() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert kadid.noise_rgb(grey, rng(), variance=0.005).std() == pytest.approx(255 * 0.005**0.5, rel=0.02)
    made = kadid.noise_ycrcb(grey, rng(), variance=0.003)
    assert luma(made).std() == pytest.approx(255 * 0.003**0.5, rel=0.05)
    spread = kadid.multiplicative(grey, rng(), variance=0.01).std()
    assert spread == pytest.approx(128 * 0.1, rel=0.02)


def test_denoising_smears() -> None:
    variance = 0.01
    noisy = kadid.noise_rgb(PHOTO, rng(), variance=variance)
    clean = kadid.denoise(PHOTO, rng(), variance=variance)
    assert (
        np.abs(np.diff(clean.astype(int), axis=1)).mean() < 0.7 * np.abs(np.diff(noisy.astype(int), axis=1)).mean()
    )
    assert not np.array_equal(clean, PHOTO)


def test_patches_hold_pixels_of_the_picture() -> None:
    found = kadid.patches(PHOTO, rng(), count=20)
    known = {tuple(pixel) for pixel in PHOTO.reshape(-1, 3).tolist()}
    assert {tuple(pixel) for pixel in found.reshape(-1, 3).tolist()} <= known
    assert 0.05 < (found != PHOTO).any(axis=2).mean() < 0.7


def test_blocks_are_squares_of_one_colour() -> None:
    found = kadid.colour_blocks(PHOTO, rng(3), count=1)
    changed = (found != PHOTO).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert rows[-1] - rows[0] == columns[-1] - columns[0] == kadid.BLOCK_PX - 1
    block = found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].reshape(-1, 3)
    assert len(np.unique(block, axis=0)) == 1


def test_pixelate_repeats_pixels() -> None:
    found = kadid.pixelate(PHOTO, rng(), strength=0.5)
    assert (np.diff(found.astype(int), axis=1) == 0).all(axis=2).mean() > 0.6
    known = {tuple(pixel) for pixel in PHOTO.reshape(-1, 3).tolist()}
    assert {tuple(pixel) for pixel in found.reshape(-1, 3).tolist()} <= known


def test_sharpening_leaves_the_colours() -> None:
    found = kadid.to_lab(kadid.sharpen(PHOTO, rng(), amount=1.0))
    assert found[..., 0].std() > kadid.to_lab(PHOTO)[..., 0].std()


def test_jitter_fetches_from_nearby() -> None:
    flat = np.full((40, 40, 3), 30, np.uint8)
    flat[:, 20:] = 200
    found = kadid.jitter(flat, rng(), amount=1.0)
    assert (found[:, :5] == 30).all()
    assert (found[:, 35:] == 200).all()
    assert len(np.unique(found[:, 18:22])) > 10
