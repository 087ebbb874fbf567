"""Synthetic distortions for training: uint8 RGB (H, W, 3) in and out, severity 1 (just visible) .. 5 (severe).

Each function is pure given its generator. `apply` looks one up by name; `NAMES` fixes the class order of heads.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from mllmqa.errors import DataError

Pixels = npt.NDArray[np.uint8]
Distortion = Callable[[Pixels, float, np.random.Generator], Pixels]


def _at(table: tuple[float, ...], severity: float) -> float:
    """Value of a five-entry table at a severity in 1..5, linear in between."""
    return float(np.interp(severity, (1, 2, 3, 4, 5), table))


def _bytes(values: npt.NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _recode(pixels: Pixels, fmt: str, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, fmt, quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def defocus_blur(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Gaussian blur, standard deviation 0.8..5 pixels."""
    radius = _at((0.8, 1.4, 2.2, 3.4, 5.0), severity)
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def motion_blur(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Mean along a random direction over 4..28 pixels."""
    length = _at((4, 7, 11, 18, 28), severity)
    angle = rng.uniform(0, np.pi)
    steps = np.linspace(-length / 2, length / 2, int(length) + 1)
    offsets = {(round(s * np.sin(angle)), round(s * np.cos(angle))) for s in steps}
    margin = int(length) // 2 + 1
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    height, width = pixels.shape[:2]
    total = np.zeros(pixels.shape, dtype=np.float32)
    for dy, dx in offsets:
        total += padded[margin + dy : margin + dy + height, margin + dx : margin + dx + width]
    return _bytes(total / len(offsets))


def low_resolution(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Shrunk by 1.5..6 and enlarged again (bicubic or bilinear)."""
    factor = _at((1.5, 2.0, 2.8, 4.0, 6.0), severity)
    height, width = pixels.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    up = Image.Resampling.BICUBIC if rng.random() < 0.5 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize(small, Image.Resampling.BICUBIC).resize((width, height), up))


def noise(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Gaussian noise, standard deviation 5..45 grey levels, the same in all channels or independent."""
    channels = 1 if rng.random() < 0.3 else 3
    grain = rng.standard_normal((*pixels.shape[:2], channels), dtype=np.float32)
    return _bytes(pixels + grain * _at((5, 9, 15, 26, 45), severity))


def impulse_noise(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Salt and pepper on 0.3..12 % of the pixels."""
    draw = rng.random(pixels.shape[:2], dtype=np.float32)
    share = _at((0.003, 0.01, 0.025, 0.06, 0.12), severity)
    out = pixels.copy()
    out[draw < share / 2] = 0
    out[draw > 1 - share / 2] = 255
    return out


def jpeg(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """JPEG at quality 40..5."""
    return _recode(pixels, "JPEG", round(_at((40, 26, 16, 9, 5), severity)))


def webp(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """WebP (intra-frame video coding) at quality 35..0."""
    return _recode(pixels, "WEBP", round(_at((35, 20, 10, 4, 0), severity)))


def overexposure(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Linear gain of 1.25..3 with clipping."""
    return _bytes(pixels.astype(np.float32) * _at((1.25, 1.5, 1.85, 2.3, 3.0), severity))


def underexposure(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Gain of 0.72..0.12, then a little sensor noise."""
    dark = pixels.astype(np.float32) * _at((0.72, 0.52, 0.36, 0.22, 0.12), severity)
    return _bytes(dark + rng.standard_normal(pixels.shape, dtype=np.float32))


def low_contrast(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Contrast about the mean reduced to 75..12 %, optionally with a veil of haze."""
    keep = _at((0.75, 0.58, 0.42, 0.26, 0.12), severity)
    values = pixels.astype(np.float32)
    centre = values.mean() if rng.random() < 0.5 else 200.0
    return _bytes(centre + (values - centre) * keep)


def colour_cast(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Channel gains away from neutral by 12..60 %."""
    amount = _at((0.12, 0.2, 0.3, 0.44, 0.6), severity)
    direction = rng.standard_normal(3)
    direction = direction - direction.mean()
    direction = direction / np.abs(direction).max()
    return _bytes(pixels * (1 + amount * direction))


def banding(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Quantised to 24..3 grey levels per channel."""
    step = 255 / (round(_at((24, 16, 10, 6, 3), severity)) - 1)
    return _bytes(np.rint(pixels / step) * step)


REGISTRY: dict[str, Distortion] = {
    "defocus_blur": defocus_blur,
    "motion_blur": motion_blur,
    "low_resolution": low_resolution,
    "noise": noise,
    "impulse_noise": impulse_noise,
    "jpeg": jpeg,
    "webp": webp,
    "overexposure": overexposure,
    "underexposure": underexposure,
    "low_contrast": low_contrast,
    "colour_cast": colour_cast,
    "banding": banding,
}
NAMES: tuple[str, ...] = tuple(REGISTRY)


def apply(name: str, pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Apply one distortion.

    Args:
        name: one of `NAMES`.
        pixels: (H, W, 3) uint8 RGB; not changed.
        severity: 1..5, fractions allowed.
        rng: the only source of randomness.

    Raises:
        DataError: unknown name, wrong shape or type, severity outside 1..5.
    """
    if name not in REGISTRY:
        raise DataError(f"unknown distortion {name!r}", expected="one of " + ", ".join(NAMES))
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(f"pixels are {pixels.dtype} {pixels.shape}", expected="uint8 (H, W, 3)")
    if not 1 <= severity <= 5:
        raise DataError(f"severity is {severity}", expected="1..5")
    return REGISTRY[name](pixels, severity, rng)
