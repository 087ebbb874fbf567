"""A distortion in a part of a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mllmqa.data.distortions.base import SMALLEST_PX, Distorted, Pixels, check_pixels, to_bytes
from mllmqa.data.distortions.engine import apply
from mllmqa.errors import DataError

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, half-open."""


def apply_in(
    pixels: Pixels, box: Box, name: str, severity: float, rng: np.random.Generator, *, feather_px: int = 6
) -> Distorted:
    """Distort the inside of a box; outside of it not a pixel changes.

    The edge is blended over some pixels inside the box, so that the distortion and not a seam tells where it is.

    Args:
        pixels: (H, W, 3) uint8 RGB; never changed.
        box: Both sides at least 32 px.
        name: As :func:`apply`.
        severity: 1..5.
        rng: The only source of chance.
        feather_px: Width of the blended edge; sides of the picture have none.

    Raises:
        DataError: See :func:`apply`; or the box does not lie in the picture or is too small, or the feather is
            negative.
    """
    check_pixels(pixels)
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height) or min(x1 - x0, y1 - y0) < SMALLEST_PX:
        raise DataError(
            f"a box {box} in a picture of {width}×{height} px",
            expected=f"one inside of it, with sides of at least {SMALLEST_PX} px",
        )
    if feather_px < 0:
        raise DataError(f"a feather of {feather_px} px", expected="0 or more")
    done = apply(np.ascontiguousarray(pixels[y0:y1, x0:x1]), name, severity, rng)
    across = _ramp(x1 - x0, feather_px, x0 > 0, x1 < width)
    down = _ramp(y1 - y0, feather_px, y0 > 0, y1 < height)
    weight = (down[:, None] * across[None, :])[..., None]
    out = pixels.copy()
    out[y0:y1, x0:x1] = to_bytes(weight * done.pixels + (1 - weight) * pixels[y0:y1, x0:x1])
    return Distorted(out, done.parameters)


def _ramp(length: int, feather_px: int, at_start: bool, at_end: bool) -> npt.NDArray[np.float64]:
    """Weights that rise from both ends, 0 < w ≤ 1."""
    place = np.arange(1, length + 1, dtype=np.float64)
    ends = np.full(length, np.inf)
    if at_start:
        ends = np.minimum(ends, place)
    if at_end:
        ends = np.minimum(ends, place[::-1])
    return np.minimum(ends / (feather_px + 1), 1.0)
