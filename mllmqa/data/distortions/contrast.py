"""Contrast: a linear scale about the grey mean, and a sigmoid about the mean of each channel."""

from __future__ import annotations

import numpy as np

from mllmqa.data.distortions.base import Pixels, through_table

LUMA = np.array([0.299, 0.587, 0.114])


def scale(pixels: Pixels, rng: np.random.Generator, *, factor: float) -> Pixels:
    """m + factor·(x − m), m the mean luma (BT.601); above 1 strengthens."""
    mean = float(pixels.mean(axis=(0, 1)) @ LUMA)
    return through_table(pixels, mean + factor * (np.arange(256) - mean))


def stretch(pixels: Pixels, rng: np.random.Generator, *, steepness: float) -> Pixels:
    """x^f / (x^f + m^f) on 0..1, m the mean of the channel: 1/(1 + (m/x)^f) with black kept black."""
    means = pixels.mean(axis=(0, 1)) / 255
    rise = (np.arange(256) / 255) ** steepness
    tables = rise / np.maximum(rise + (means**steepness)[:, None], 1e-300)
    return through_table(pixels, tables * 255)
