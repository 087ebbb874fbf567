"""Operations of the twelve distortions that nano was trained with. numpy and Pillow alone; draws are unchanged.

They differ from the 35 functions in what they draw (one or three channels of noise, which filter enlarges) and
in their ranges, so that they keep their own entries in the table: the published weights can be trained again.
"""

from __future__ import annotations

import numpy as np

from mllmqa.data.distortions.base import Pixels, to_bytes


def defocus_blur(pixels: Pixels, rng: np.random.Generator, *, sigma: float) -> Pixels:
    """Gaussian blur as Pillow approximates it (three box filters)."""
    from PIL import Image, ImageFilter

    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def motion_blur(pixels: Pixels, rng: np.random.Generator, *, length: float) -> Pixels:
    """Mean along a drawn direction over `length` pixels, whole-pixel steps."""
    angle = rng.uniform(0, np.pi)
    steps = np.linspace(-length / 2, length / 2, int(length) + 1)
    offsets = {(round(s * np.sin(angle)), round(s * np.cos(angle))) for s in steps}
    margin = int(length) // 2 + 1
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    height, width = pixels.shape[:2]
    total = np.zeros(pixels.shape, dtype=np.float32)
    for dy, dx in offsets:
        total += padded[margin + dy : margin + dy + height, margin + dx : margin + dx + width]
    return to_bytes(total / len(offsets))


def low_resolution(pixels: Pixels, rng: np.random.Generator, *, factor: float) -> Pixels:
    """Shrunk by `factor` (bicubic) and enlarged again, bicubic or bilinear by lot."""
    from PIL import Image

    height, width = pixels.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    up = Image.Resampling.BICUBIC if rng.random() < 0.5 else Image.Resampling.BILINEAR
    image = Image.fromarray(pixels).resize(small, Image.Resampling.BICUBIC)
    return np.array(image.resize((width, height), up))


def noise(pixels: Pixels, rng: np.random.Generator, *, sigma_grey: float) -> Pixels:
    """Gaussian noise of this many grey levels, the same in all channels or independent, by lot."""
    channels = 1 if rng.random() < 0.3 else 3
    grain = rng.standard_normal((*pixels.shape[:2], channels), dtype=np.float32)
    return to_bytes(pixels + grain * sigma_grey)


def impulse_noise(pixels: Pixels, rng: np.random.Generator, *, share: float) -> Pixels:
    """Salt and pepper on this share of the pixels, all channels at once."""
    draw = rng.random(pixels.shape[:2], dtype=np.float32)
    out = pixels.copy()
    out[draw < share / 2] = 0
    out[draw > 1 - share / 2] = 255
    return out


def overexposure(pixels: Pixels, rng: np.random.Generator, *, gain: float) -> Pixels:
    """Linear gain with clipping."""
    return to_bytes(pixels.astype(np.float32) * gain)


def underexposure(pixels: Pixels, rng: np.random.Generator, *, gain: float) -> Pixels:
    """Linear gain below 1, then sensor noise of one grey level."""
    dark = pixels.astype(np.float32) * gain
    return to_bytes(dark + rng.standard_normal(pixels.shape, dtype=np.float32))


def low_contrast(pixels: Pixels, rng: np.random.Generator, *, keep: float) -> Pixels:
    """Contrast reduced to `keep`, about the mean or, as haze does, about 200, by lot."""
    values = pixels.astype(np.float32)
    centre = values.mean() if rng.random() < 0.5 else 200.0
    return to_bytes(centre + (values - centre) * keep)


def colour_cast(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Channel gains away from neutral in a drawn direction; the largest is `amount`."""
    direction = rng.standard_normal(3)
    direction = direction - direction.mean()
    direction = direction / np.abs(direction).max()
    return to_bytes(pixels * (1 + amount * direction))


def banding(pixels: Pixels, rng: np.random.Generator, *, levels: int) -> Pixels:
    """This many equidistant grey levels per channel."""
    step = 255 / (levels - 1)
    return to_bytes(np.rint(pixels / step) * step)
