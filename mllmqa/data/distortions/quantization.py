"""Colour quantisation: few levels per channel."""

from __future__ import annotations

import numpy as np

from mllmqa.data.distortions.base import Pixels, through_table
from mllmqa.data.distortions.otsu import thresholds


def otsu(pixels: Pixels, rng: np.random.Generator, *, classes: int) -> Pixels:
    """Multi-level Otsu per channel; class i becomes min + i·(max − min)/classes, as published.

    A channel with no more levels than classes stays as it is.
    """
    tables = np.empty((3, 256))
    for channel in range(3):
        counts = np.bincount(pixels[..., channel].ravel(), minlength=256)
        used = np.flatnonzero(counts)
        if len(used) <= classes:
            tables[channel] = np.arange(256)
            continue
        which = np.searchsorted(thresholds(counts, classes), np.arange(256), side="left")
        tables[channel] = used[0] + which * (used[-1] - used[0]) / classes
    return through_table(pixels, tables)


def median(pixels: Pixels, rng: np.random.Generator, *, colours: int) -> Pixels:
    """Median cut (Pillow's) of each channel to this many levels."""
    from PIL import Image

    channels = []
    for channel in range(3):
        image = Image.fromarray(np.ascontiguousarray(pixels[..., channel]))
        cut = image.quantize(colors=colours, method=Image.Quantize.MEDIANCUT).convert("L")
        channels.append(np.asarray(cut))
    return np.stack(channels, axis=-1)


def histogram(pixels: Pixels, rng: np.random.Generator, *, bins: int) -> Pixels:
    """Uniform bins, each mapped to the distribution function of all channels together: it equalises as well."""
    which = np.arange(256) * bins // 256
    counts = np.bincount(which, weights=np.bincount(pixels.ravel(), minlength=256), minlength=bins)
    cumulated = np.cumsum(counts)
    lowest = cumulated[np.flatnonzero(counts)[0]]
    if lowest == cumulated[-1]:
        return pixels.copy()  # a single bin: nothing to tell apart
    levels = np.clip(cumulated - lowest, 0, None) / (cumulated[-1] - lowest) * 255
    return through_table(pixels, levels[which])


def uniform(pixels: Pixels, rng: np.random.Generator, *, levels: int) -> Pixels:
    """This many equidistant levels per channel, from 0 to 255."""
    step = 255 / (levels - 1)
    return through_table(pixels, np.rint(np.arange(256) / step) * step)
