"""Brighten and darken: a shift or a gamma, on R, G, B alike or on V of HSV.

With hue and saturation kept, a new V scales R, G and B by one factor: no round trip through an 8-bit HSV.
"""

from __future__ import annotations

import numpy as np

from mllmqa.data.distortions.base import Pixels, through_table, to_bytes

LEVELS = np.arange(256) / 255


def shift_rgb(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Add `amount` (of the 0..1 range) to all channels."""
    return through_table(pixels, (LEVELS + amount) * 255)


def gamma_rgb(pixels: Pixels, rng: np.random.Generator, *, gamma: float) -> Pixels:
    """x^gamma on all channels; below 1 brightens."""
    return through_table(pixels, LEVELS**gamma * 255)


def shift_value(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Add `amount` to V of HSV; black becomes grey."""
    return with_value(pixels, LEVELS + amount)


def gamma_value(pixels: Pixels, rng: np.random.Generator, *, gamma: float) -> Pixels:
    """V^gamma in HSV."""
    return with_value(pixels, LEVELS**gamma)


def with_value(pixels: Pixels, curve: np.ndarray) -> Pixels:
    """The picture with V = i/255 replaced by `curve[i]` (256 values, clipped to 0..1), hue and saturation kept."""
    curve = np.clip(curve, 0, 1).astype(np.float32)
    value = pixels.max(axis=2)
    factor = np.divide(curve, LEVELS, out=np.zeros(256, np.float32), where=LEVELS > 0)[value]
    out = pixels * factor[..., None]
    out[value == 0] = curve[0] * 255
    return to_bytes(out)
