"""Plain numbers of a picture that need no reference, no model and no download: what every judge has to beat.

None of them is a quality metric. Where one of them correlates with the opinions of a data set, so will any model
that has merely learned it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mllmqa.schema import Media

Pixels = npt.NDArray[np.uint8]
_LUMA = np.array([0.299, 0.587, 0.114])
_LEAST = 1e-3  # of a variance of 8-bit numbers: below it the picture is one colour


@dataclass(frozen=True)
class Baseline:
    """One number.

    Attributes:
        name: Short name.
        of: Computes it from upright pixels, uint8 (H, W, 3) RGB, and what is known of the file.
        of_pixels: Whether it looks at the pixels.
        variant: What exactly it is.
        paper: Where it comes from; empty: nowhere.
    """

    name: str
    of: Callable[[Pixels, Media], float]
    of_pixels: bool
    variant: str
    paper: str = ""


def luma(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Return the luma of ITU-R BT.601, float64 (H, W), 0..255."""
    return np.asarray(pixels @ _LUMA, dtype=np.float64)


def sharpness(pixels: Pixels) -> float:
    """Return log10 of the variance of the 4-neighbour Laplacian of luma, inner pixels only; at least −3.

    Args:
        pixels: uint8 (H, W, 3), both sides at least 3.
    """
    y = luma(pixels)
    laplacian = y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:] - 4 * y[1:-1, 1:-1]
    return math.log10(max(_LEAST, float(laplacian.var())))


def contrast(pixels: Pixels) -> float:
    """Return the standard deviation of luma, 0..127.5."""
    return float(luma(pixels).std())


def colourfulness(pixels: Pixels) -> float:
    """Return M3 of Hasler & Süsstrunk: spread plus 0.3 of the distance from grey of the opponent colours, ≥ 0."""
    red, green, blue = (pixels[..., k].astype(np.float64) for k in range(3))
    red_green, yellow_blue = red - green, 0.5 * (red + green) - blue
    spread = math.hypot(float(red_green.std()), float(yellow_blue.std()))
    return spread + 0.3 * math.hypot(float(red_green.mean()), float(yellow_blue.mean()))


def entropy(pixels: Pixels) -> float:
    """Return the Shannon entropy of the histogram of 8-bit luma, 0..8 bits."""
    counts = np.bincount(np.rint(luma(pixels)).astype(np.intp).ravel(), minlength=256)
    p = counts[counts > 0] / counts.sum()
    return float(max(0.0, -(p * np.log2(p)).sum()))


def bits_per_pixel(media: Media) -> float:
    """Return log2 of the bits of the encoded file per pixel; of a clip, per pixel and second."""
    seconds = media.duration_s or 1.0
    bits = 8.0 * (media.size_bytes or 0)
    return math.log2(max(bits, 1.0) / (media.width * media.height * seconds))


def _pixels(name: str, of: Callable[[Pixels], float], variant: str, paper: str = "") -> Baseline:
    return Baseline(name, lambda pixels, _: of(pixels), True, variant, paper)


def _file(name: str, of: Callable[[Media], float], variant: str) -> Baseline:
    return Baseline(name, lambda _, media: of(media), False, variant)


_LAPLACIAN = "log10 of the variance of the 4-neighbour Laplacian of BT.601 luma"
BASELINES: dict[str, Baseline] = {
    one.name: one
    for one in (
        _file("constant", lambda _: 3.0, "3 for everything: agrees with nobody, and must say so"),
        _pixels("sharpness", sharpness, _LAPLACIAN, "Pech-Pacheco, ICPR 2000"),
        _pixels("contrast", contrast, "standard deviation of BT.601 luma", "Peli, JOSA A 1990"),
        _pixels("colourfulness", colourfulness, "M3 in RGB", "Hasler & Süsstrunk, SPIE 2003"),
        _pixels("entropy", entropy, "of the histogram of 8-bit BT.601 luma, in bits"),
        _file("bits-per-pixel", bits_per_pixel, "log2 of the bits of the file per pixel (of clips, and second)"),
        _file("resolution", lambda media: math.log10(media.width * media.height), "log10 of the number of pixels"),
    )
}
