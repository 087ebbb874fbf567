"""Pictures and ways to spoil them, ever more."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from tests.conftest import photo_pixels

PHOTO = photo_pixels(192, 176)
STEPS = (1, 2, 3, 4)


def blurred(pixels: np.ndarray, step: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.8 * step)))


def noisy(pixels: np.ndarray, step: int) -> np.ndarray:
    grain = np.random.default_rng(1).standard_normal(pixels.shape)
    return np.clip(np.rint(pixels + 7 * step * grain), 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, step: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality={1: 60, 2: 30, 3: 14, 4: 5}[step])
    return np.asarray(Image.open(buffer).convert("RGB"))


SPOILERS = {"blur": blurred, "noise": noisy, "jpeg": jpeg}
