"""What all distortions share: types, the checks of an input, conversions. Pictures are uint8 RGB (H, W, 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mllmqa.errors import DataError, MissingExtraError

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Parameters = dict[str, Any]

SMALLEST_PX = 32
"""Both sides of a picture that is distorted have at least this many pixels."""


@dataclass(frozen=True)
class Distorted:
    """A distorted picture and what was done to it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, of the size of the input, never its memory.
        parameters: Names and values of the parameters that were used, those drawn (an angle, say) included.
    """

    pixels: Pixels
    parameters: Parameters


Result = Pixels | Distorted
"""What an operation returns: pixels, or pixels with the values that it drew."""


def opencv() -> Any:
    """The module cv2.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError(
            "opencv-python-headless", extra="data", purpose="this distortion of pictures"
        ) from error
    return cv2


def check_pixels(pixels: Pixels) -> None:
    """Refuse what is no picture.

    Raises:
        DataError: Not uint8 (H, W, 3), or a side below `SMALLEST_PX`.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise DataError(f"pixels are {found}", expected="uint8 RGB (H, W, 3)")
    if min(pixels.shape[:2]) < SMALLEST_PX:
        raise DataError(
            f"a picture of {pixels.shape[1]}×{pixels.shape[0]} px is too small to be distorted",
            expected=f"at least {SMALLEST_PX} px on both sides",
        )


def to_bytes(values: npt.NDArray[np.floating[Any]]) -> Pixels:
    """Real values on 0..255 → uint8, rounded to the nearest and clipped."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def through_table(pixels: Pixels, levels: npt.NDArray[np.floating[Any]]) -> Pixels:
    """Map grey level i to `levels[..., i]` (0..255): (256,) for all channels alike, or (3, 256)."""
    table = to_bytes(levels)
    if table.ndim == 1:
        return table[pixels]
    return np.stack([table[channel][pixels[..., channel]] for channel in range(3)], axis=-1)


def normal(pixels: Pixels, rng: np.random.Generator, channels: int = 3) -> Floats:
    """Standard normal values (H, W, channels) float32."""
    return rng.standard_normal((*pixels.shape[:2], channels), dtype=np.float32)


def to_ycrcb(pixels: Pixels) -> Floats:
    """RGB → YCrCb (full-range BT.601) on 0..1, chroma about 0.5, not rounded."""
    return np.asarray(opencv().cvtColor(pixels.astype(np.float32) / 255, opencv().COLOR_RGB2YCrCb))


def from_ycrcb(ycrcb: Floats) -> Pixels:
    """Inverse of `to_ycrcb`, rounded and clipped."""
    return to_bytes(opencv().cvtColor(ycrcb, opencv().COLOR_YCrCb2RGB) * 255)


def to_lab(pixels: Pixels) -> Floats:
    """RGB → CIE L*a*b* (D65, sRGB): L 0..100, a and b about 0."""
    return np.asarray(opencv().cvtColor(pixels.astype(np.float32) / 255, opencv().COLOR_RGB2Lab))


def from_lab(lab: Floats) -> Pixels:
    """Inverse of `to_lab`, rounded and clipped."""
    return to_bytes(opencv().cvtColor(lab, opencv().COLOR_Lab2RGB) * 255)
