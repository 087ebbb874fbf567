"""Noise. Strengths are on the 0..1 range of a channel."""

from __future__ import annotations

import numpy as np

from mllmqa.data.distortions.base import Pixels, from_ycrcb, normal, opencv, to_bytes, to_ycrcb


def gaussian_rgb(pixels: Pixels, rng: np.random.Generator, *, sigma: float) -> Pixels:
    """White Gaussian noise on R, G, B."""
    return to_bytes(pixels + normal(pixels, rng) * np.float32(255 * sigma))


def gaussian_ycrcb(pixels: Pixels, rng: np.random.Generator, *, sigma_y: float, sigma_c: float) -> Pixels:
    """White Gaussian noise on luma and, stronger or weaker, on both chroma channels."""
    strength = np.array([sigma_y, sigma_c, sigma_c], dtype=np.float32)
    return from_ycrcb(to_ycrcb(pixels) + normal(pixels, rng) * strength)


def speckle(pixels: Pixels, rng: np.random.Generator, *, sigma: float) -> Pixels:
    """Multiplicative noise: x + x·N(0, sigma)."""
    return to_bytes(pixels * (1 + normal(pixels, rng) * np.float32(sigma)))


def spatially_correlated(pixels: Pixels, rng: np.random.Generator, *, sigma: float) -> Pixels:
    """White noise added, then a 3×3 mean over the sum: the grain is coarse, and the picture a little blurred."""
    cv2 = opencv()
    noisy = pixels + normal(pixels, rng) * np.float32(255 * sigma)
    return to_bytes(cv2.blur(noisy, (3, 3), borderType=cv2.BORDER_REFLECT_101))


def poisson(pixels: Pixels, rng: np.random.Generator, *, photons: float) -> Pixels:
    """Shot noise of a sensor that counts `photons` where a channel is full."""
    return to_bytes(rng.poisson(pixels * (photons / 255)) * (255 / photons))


def impulse(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Salt and pepper, half of each, on this share of the channel values."""
    draw = rng.random(pixels.shape, dtype=np.float32)
    out = pixels.copy()
    out[draw < amount / 2] = 0
    out[draw >= 1 - amount / 2] = 255
    return out
