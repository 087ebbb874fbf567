"""Too sharp, and too coarse: unsharp masking, pixelation."""

from __future__ import annotations

import numpy as np

from mllmqa.data.distortions.base import Pixels, opencv, to_bytes
from mllmqa.data.distortions.blur import smooth


def oversharpen(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Unsharp mask (1 + a)·x − a·G(x), G a 5×5 Gaussian (sigma 1.1 px)."""
    cv2 = opencv()
    values = pixels.astype(np.float32)
    soft = cv2.GaussianBlur(values, (5, 5), 0, borderType=cv2.BORDER_REFLECT_101)
    return to_bytes((1 + amount) * values - amount * soft)


def unsharp(pixels: Pixels, rng: np.random.Generator, *, amount: float, sigma: float) -> Pixels:
    """Unsharp mask x + amount·(x − G(x)), G a Gaussian of `sigma` pixels."""
    values = pixels.astype(np.float32)
    return to_bytes(values + amount * (values - smooth(values, sigma)))


def pixelate(pixels: Pixels, rng: np.random.Generator, *, scale: float) -> Pixels:
    """Shrunk to `scale` by area means, enlarged again by repeating pixels."""
    from PIL import Image

    height, width = pixels.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(pixels).resize(small, Image.Resampling.BOX)
    return np.array(image.resize((width, height), Image.Resampling.NEAREST))
