"""One size for all pictures of a set.

If distorted pictures are shrunk and clean ones are not, a model learns to tell the resolution instead of the
distortion. So every picture of a set goes through the same function before anything else, clean copies included.
"""

from __future__ import annotations

import numpy as np

from mllmqa.data.distortions.base import Pixels
from mllmqa.errors import DataError


def to_short_side(pixels: Pixels, short_px: int) -> Pixels:
    """Shrink a picture so that its short side has `short_px` pixels (bicubic with antialiasing, ratio kept).

    DepictQA-Wild uses 224 and leaves smaller pictures as they are; here they are refused, since an enlarged or a
    smaller picture among shrunk ones gives itself away.

    Returns:
        (H, W, 3) uint8, a new array.

    Raises:
        DataError: The picture is smaller than that.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    short = min(height, width)
    if short < short_px:
        raise DataError(
            f"a picture of {width}×{height} px cannot be shrunk to a short side of {short_px} px",
            hint="leave it out, or choose a smaller size for the whole set",
        )
    if short == short_px:
        return pixels.copy()
    size = (round(width * short_px / short), round(height * short_px / short))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
