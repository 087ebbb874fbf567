"""Noise: strengths, shares, correlations."""

import numpy as np
import pytest

from mllmqa.data.distortions import noise

GREY = np.full((200, 200, 3), 128, np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sigma", [0.05, 0.1])
def test_gaussian_rgb(sigma: float) -> None:
    made = noise.gaussian_rgb(GREY, rng(), sigma=sigma).astype(float)
    assert made.std() == pytest.approx(255 * sigma, rel=0.02)
    assert made.mean() == pytest.approx(128, abs=0.2)
    assert abs(np.corrcoef(made[..., 0].ravel(), made[..., 1].ravel())[0, 1]) < 0.02


def test_rounding_has_no_bias() -> None:
    """Truncation would darken by half a grey level."""
    made = noise.gaussian_rgb(np.full((600, 600, 3), 128, np.uint8), rng(), sigma=0.05)
    assert made.mean() == pytest.approx(128, abs=0.05)


def test_gaussian_ycrcb_keeps_luma_and_chroma_apart() -> None:
    luma = noise.gaussian_ycrcb(GREY, rng(), sigma_y=0.08, sigma_c=0.0).astype(float)
    assert luma.std() == pytest.approx(0.08 * 255, rel=0.03)
    assert np.ptp(luma, axis=2).max() <= 1
    chroma = noise.gaussian_ycrcb(GREY, rng(), sigma_y=0.0, sigma_c=0.05).astype(float)
    assert (chroma @ [0.299, 0.587, 0.114]).std() < 0.5
    assert chroma[..., 0].std() == pytest.approx(1.403 * 0.05 * 255, rel=0.03)


def test_speckle_is_proportional() -> None:
    spread = [noise.speckle(np.full_like(GREY, level), rng(), sigma=0.1).std() for level in (50, 100)]
    assert spread[1] / spread[0] == pytest.approx(2, rel=0.02)
    assert not noise.speckle(np.zeros_like(GREY), rng(), sigma=0.4).any()


def test_correlated_noise_is_a_mean_of_nine() -> None:
    made = noise.spatially_correlated(GREY, rng(), sigma=0.15).astype(float)
    assert made.std() == pytest.approx(0.15 * 255 / 3, rel=0.04)
    beside = np.corrcoef(made[:, :-1, 0].ravel(), made[:, 1:, 0].ravel())[0, 1]
    assert beside == pytest.approx(2 / 3, abs=0.03)


def test_poisson_counts_photons() -> None:
    for level in (60, 128):
        made = noise.poisson(np.full_like(GREY, level), rng(), photons=80.0).astype(float)
        assert made.mean() == pytest.approx(level, abs=0.5)
        assert made.var() == pytest.approx(level * 255 / 80, rel=0.05)


@pytest.mark.parametrize("amount", [0.01, 0.1])
def test_impulses(amount: float) -> None:
    made = noise.impulse(GREY, rng(), amount=amount)
    assert (made != 128).mean() == pytest.approx(amount, rel=0.1)
    assert (made == 0).mean() == pytest.approx(amount / 2, rel=0.15)
    assert (made == 255).mean() == pytest.approx(amount / 2, rel=0.15)
    single = (made != 128).sum(axis=2)
    assert (single == 1).sum() > (single == 3).sum()  # per channel value, not per pixel
