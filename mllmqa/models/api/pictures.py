"""Pictures as files: the user's own bytes where a plain decoder sees what we see, else lossless PNG.

Quality is the subject, so nothing is ever re-encoded with loss (two known harnesses send JPEG at quality 75).
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from mllmqa.models.base import EncodedImage, ImageHWC

if TYPE_CHECKING:
    from mllmqa.media import OpenMedia

MIME = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}
"""Formats that every endpoint with pictures reads."""

PLAIN_MODES = frozenset({"RGB", "L", "P", "1"})
"""Without alpha, 16-bit samples or CMYK: decoders disagree about those, so our RGB is sent."""

PNG_LEVEL = 3
"""zlib level: a few percent larger than the default, several times faster."""


def original_file(opened: OpenMedia) -> EncodedImage | None:
    """Return a still picture's own bytes, if any decoder reads upright, opaque 8-bit RGB or grey from them.

    Returns:
        None for arrays and other formats, for pictures that need a turn (EXIF), for alpha, 16 bits and CMYK.
    """
    mime, encoded = MIME.get(opened.info.format), opened.encoded
    if encoded is None or mime is None or opened.info.kind != "image" or opened.orientation != 1:
        return None
    if opened.info.pixel_format not in PLAIN_MODES:
        return None
    with encoded.open() as file:
        data = file.read()
    if mime != "image/jpeg" and _has_transparent_entry(data):
        return None
    return EncodedImage(data, mime, original=True)


def _has_transparent_entry(data: bytes) -> bool:
    from PIL import Image

    from mllmqa.media.pillow_guard import quiet_pillow

    with quiet_pillow(), Image.open(io.BytesIO(data)) as picture:
        return "transparency" in picture.info


def as_png(picture_HWC: ImageHWC) -> EncodedImage:
    """Encode uint8 RGB (H, W, 3) as PNG, without loss."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture_HWC).save(out, "PNG", compress_level=PNG_LEVEL)
    return EncodedImage(out.getvalue(), "image/png", original=False)


def data_url(picture: EncodedImage) -> str:
    """Return a picture as the ``data:`` URL that endpoints take."""
    return f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode('ascii')}"


def probe_picture() -> EncodedImage:
    """Return the tiny picture (64×64, a grey ramp) that an endpoint is tried with."""
    import numpy as np

    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    return as_png(np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (64, 64, 3))))
