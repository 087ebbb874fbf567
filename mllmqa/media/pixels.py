"""Pixels to uint8 RGB, upright: the one place where colours and orientations are converted.

Shapes: H height, W width, C = 3 (RGB), T time. All frames are uint8, 0..255, contiguous.

Rules: alpha is laid over a given background; 16-bit values are scaled by round(v·255/65535); CMYK goes
through its embedded ICC profile where that is valid, else through Pillow's plain conversion; RGB and grey
values are taken as stored (an embedded RGB profile is not applied: the published models saw them that way).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import MediaFormatError

if TYPE_CHECKING:
    from PIL import Image

Color = tuple[int, int, int]
Frame = NDArray[np.uint8]

MEAN_COLOR: Color = (122, 116, 104)
"""int(255 × mean of CLIP's normalisation): the pad colour of Q-Align and the default background."""

STRIP_PX = 512
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def upright(frame_HWC: Frame, orientation: int) -> Frame:
    """Turn a stored picture upright.

    Args:
        frame_HWC: uint8, any number of channels.
        orientation: EXIF code 1..8; any other value leaves the picture as it is.

    Returns:
        A contiguous array; height and width are exchanged for codes 5..8.

    >>> upright(np.array([[[1], [2]]], np.uint8), 6)[..., 0].tolist()   # a quarter turn clockwise
    [[1], [2]]
    """
    turned = frame_HWC
    if orientation in (5, 6, 7, 8):
        turned = turned.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def rotation_deg(orientation: int) -> int:
    """Return the clockwise turn in degrees of an EXIF orientation (mirroring not counted)."""
    return {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}.get(orientation, 0)


def orientation_of_matrix(matrix: bytes) -> int:
    """Return the EXIF orientation for a display matrix of libav (nine int32, 16.16 fixed point).

    >>> orientation_of_matrix(np.array([0, 65536, 0, -65536, 0, 0, 0, 0, 1], "=i4").tobytes())
    6
    """
    a, b, _, c, d = np.frombuffer(matrix, "=i4", count=5).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return {(True, True): 1, (False, True): 2, (False, False): 3, (True, False): 4}[a >= 0, d >= 0]
    return {(True, True): 5, (True, False): 6, (False, False): 7, (False, True): 8}[b > 0, c > 0]


def strips(height_px: int) -> Iterator[slice]:
    """Cut the rows of a picture into strips, so that conversions need little memory besides their result."""
    return (slice(top, min(top + STRIP_PX, height_px)) for top in range(0, height_px, STRIP_PX))


def scale_16_bit(values: NDArray[np.integer[Any]]) -> Frame:
    """Scale 0..65535 to 0..255 by round(v·255/65535), exactly.

    >>> scale_16_bit(np.array([0, 128, 129, 65535], np.uint16)).tolist()
    [0, 0, 1, 255]
    """
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def flatten_alpha(rgba_HWC: Frame, background: Color) -> Frame:
    """Lay RGBA over a background, rounded to the nearest integer."""
    from PIL import Image

    out = np.empty((*rgba_HWC.shape[:2], 3), np.uint8)
    for rows in strips(len(out)):
        out[rows] = _over(Image.fromarray(np.ascontiguousarray(rgba_HWC[rows]), "RGBA"), background)
    return out


def _over(rgba: Image.Image, background: Color) -> Frame:
    from PIL import Image

    canvas = Image.new("RGB", rgba.size, background)
    canvas.paste(rgba, mask=rgba.getchannel("A"))
    return np.asarray(canvas)


def rgb_of_image(image: Image.Image, background: Color, name: str) -> Frame:
    """Convert a loaded PIL image to RGB by the rules of this module. Orientation is not applied.

    Returns:
        uint8 HWC.

    Raises:
        MediaFormatError: Floating-point pixels, or 32-bit integers beyond 0..65535.
    """
    if image.mode == "F":
        raise MediaFormatError(
            "has floating-point pixels, which have no stated white",
            where=name,
            expected="8 or 16 bits per sample",
        )
    out = np.empty((image.height, image.width, 3), np.uint8)
    for rows in strips(image.height):
        strip = image.crop((0, rows.start, image.width, rows.stop))
        out[rows] = _rgb_of_strip(strip, background, name)
    return out


def _rgb_of_strip(image: Image.Image, background: Color, name: str) -> Frame:
    mode = image.mode
    if mode == "I" or mode.startswith("I;"):
        return _grey_16(image, name)
    if mode in ("CMYK", "LAB"):
        return np.asarray(_through_profile(image))
    if mode in _WITH_ALPHA or "transparency" in image.info:
        return _over(image.convert("RGBA"), background)
    return np.asarray(image.convert("RGB"))


def _grey_16(image: Image.Image, name: str) -> Frame:
    values = np.asarray(image)
    if values.dtype.itemsize > 2:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise MediaFormatError(
                f"has 32-bit values {low}..{high}, which have no stated white", where=name, expected="0..65535"
            )
    return np.repeat(scale_16_bit(values)[:, :, None], 3, axis=2)


def _through_profile(image: Image.Image) -> Image.Image:
    """Convert CMYK or LAB to sRGB: by the embedded profile where there is a valid one."""
    from PIL import ImageCms

    target = ImageCms.createProfile("sRGB")
    try:
        if image.mode == "LAB":
            source: object = ImageCms.createProfile("LAB")
        else:
            profile = image.info.get("icc_profile")
            if not profile:
                return image.convert("RGB")
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            image, cast("ImageCms.ImageCmsProfile", source), target, outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image.convert("RGB")
    return cast("Image.Image", converted)


def rgb_of_array(array: np.ndarray[Any, Any], background: Color) -> Frame:
    """Return uint8 HW, HWC or THWC as RGB with the same leading axes."""
    if array.ndim == 2:
        array = array[:, :, None]
    channels = array.shape[-1]
    if channels == 1:
        return np.repeat(array, 3, axis=-1)
    if channels == 4:
        frames = array.reshape(-1, *array.shape[-3:])
        flat = np.stack([flatten_alpha(np.ascontiguousarray(f), background) for f in frames])
        return flat.reshape(*array.shape[:-1], 3)
    return np.ascontiguousarray(array)
