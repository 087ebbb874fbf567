"""Saturation: S of HSV, chroma of YCrCb, or a and b of CIE Lab times a factor."""

from __future__ import annotations

import numpy as np

from mllmqa.data.distortions.base import Pixels, from_lab, from_ycrcb, to_bytes, to_lab, to_ycrcb


def hsv(pixels: Pixels, rng: np.random.Generator, *, factor: float) -> Pixels:
    """S·factor, at most 1, hue and V kept: every channel's distance from the largest one is scaled alike.

    A negative factor (KADID has one) gives the complementary hue.
    """
    value = pixels.max(axis=2, keepdims=True).astype(np.float32)
    spread = value - pixels.min(axis=2, keepdims=True)
    most = np.divide(value, spread, out=np.zeros_like(value), where=spread > 0)  # 1/S: more would leave the cube
    return to_bytes(value - (value - pixels) * np.minimum(np.float32(factor), most))


def ycrcb(pixels: Pixels, rng: np.random.Generator, *, factor: float) -> Pixels:
    """Chroma about its neutral value times `factor`, clipped to the range of 8-bit chroma."""
    values = to_ycrcb(pixels)
    neutral = np.float32(0.5)
    values[..., 1:] = np.clip(neutral + (values[..., 1:] - neutral) * np.float32(factor), 0, 1)
    return from_ycrcb(values)


def lab(pixels: Pixels, rng: np.random.Generator, *, factor: float) -> Pixels:
    """a and b of CIE Lab times `factor`."""
    values = to_lab(pixels)
    values[..., 1:] *= np.float32(factor)
    return from_lab(values)
