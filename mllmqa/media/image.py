"""Pictures and animated pictures, read with Pillow (HEIF with pillow-heif).

A file with several frames in time (GIF, WebP, APNG, AVIF sequence) is a video. A file with several *pages*
(TIFF, MPO, HEIF) is an image: its first picture is taken, and the format says so: ``tiff page 1/2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mllmqa.errors import MediaFormatError
from mllmqa.media.pillow_guard import errors_as_media_errors
from mllmqa.media.pixels import (
    Color,
    Frame,
    flatten_alpha,
    rgb_of_image,
    rotation_deg,
    scale_16_bit,
    strips,
    upright,
)
from mllmqa.media.sniff import is_heif
from mllmqa.media.source import ByteReader, Encoded, Limits

if TYPE_CHECKING:
    from av.container import InputContainer
    from PIL import Image

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "QOI")
"""Pillow plugins that may look at a file (JPEG hands MPO on). EPS, PSD and the like are left out."""

TIMED = ("GIF", "WEBP", "PNG", "AVIF")


@dataclass(frozen=True)
class ImageHead:
    """What the header of a picture tells. Width and height are those of the pixels that Pillow gives.

    Attributes:
        orientation: EXIF code of the turn that is left to do.
        rotation_deg: Clockwise turn from the stored to the upright picture, whoever makes it.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int
    rotation_deg: int
    n_frames: int


def identify(encoded: Encoded, limits: Limits) -> ImageHead | None:
    """Read the header of a picture, without decoding pixels.

    Returns:
        None if no plugin knows the content.

    Raises:
        MediaError: A known format with broken content, or beyond the limits.
    """
    from PIL import UnidentifiedImageError

    with encoded.open() as file, errors_as_media_errors(encoded.name):
        if is_heif(encoded.head):
            return _identify_heif(file, encoded.name, limits)
        try:
            image = open_picture(file)
        except UnidentifiedImageError:
            return None
        width, height = image.size
        limits.check(width, height, encoded.name)
        frames = max(1, int(getattr(image, "n_frames", 1)))
        timed = image.format in TIMED
        name = str(image.format).lower() + ("" if timed or frames == 1 else f" page 1/{frames}")
        mode = "RGB;16" if _png_rgb_16(encoded.head) else image.mode
        turn = rotation_deg(exif_orientation(image))
        return ImageHead(name, mode, width, height, orientation_of(image), turn, frames if timed else 1)


def _open_heif(file: ByteReader, name: str) -> Any:
    """Open a HEIF file; libheif applies its own turn and mirroring, and EXIF has no say."""
    if find_spec("pillow_heif") is None:
        raise MediaFormatError(
            "is a HEIF picture, which needs the package pillow-heif",
            where=name,
            hint='install it with: pip install "mllmqa[heif]"',
        )
    import pillow_heif

    return pillow_heif.open_heif(file.read(), convert_hdr_to_8bit=True)


def _identify_heif(file: ByteReader, name: str, limits: Limits) -> ImageHead:
    pictures = _open_heif(file, name)
    first = pictures[pictures.primary_index]
    width, height = first.size
    limits.check(width, height, name)
    pages = "" if len(pictures) == 1 else f" page {pictures.primary_index + 1}/{len(pictures)}"
    return ImageHead(f"heif{pages}", first.mode, width, height, 1, 0, 1)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF code of the turn that is left to do once a picture is loaded."""
    return 1 if image.format == "TIFF" else exif_orientation(image)  # Pillow turns TIFF upright by itself


def exif_orientation(image: Image.Image) -> int:
    """Return the orientation that EXIF states; 1 where it is missing or invalid."""
    if image.format == "PNG" and "exif" not in image.info:  # getexif() of a PNG would decode the pixels
        return 1
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 - a broken tag is no reason to refuse the picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _png_rgb_16(head: bytes) -> bool:
    """Tell a PNG with 16 bits per sample in colour, of which Pillow keeps only the high bytes."""
    return head[:8] == b"\x89PNG\r\n\x1a\n" and head[24:25] == b"\x10" and head[25:26] in (b"\x02", b"\x06")


def decode_picture(encoded: Encoded, background: Color) -> Frame:
    """Decode one picture to upright RGB.

    Returns:
        uint8 HWC.

    Raises:
        MediaCorruptError: Broken or cut off; a half-decoded picture is never returned.
    """
    with encoded.open() as file, errors_as_media_errors(encoded.name):
        if is_heif(encoded.head):
            pictures = _open_heif(file, encoded.name)
            picture = pictures[pictures.primary_index].to_pillow()
            return rgb_of_image(picture, background, encoded.name)
        if encoded.head.startswith(b"\x89PNG"):
            open_picture(file).verify()  # all checksums; Pillow skips that of the pixel data otherwise
            file.seek(0)
        image = open_picture(file)
        orientation = orientation_of(image)
        if _png_rgb_16(encoded.head):
            return upright(_decode_png_16(encoded, background), orientation)
        image.load()
        return upright(rgb_of_image(image, background, encoded.name), orientation)


def open_picture(file: ByteReader) -> Image.Image:
    """Open a picture of any of :data:`FORMATS` without decoding it."""
    from PIL import Image

    return Image.open(file, formats=FORMATS)  # type: ignore[arg-type]


def load_picture(picture: Image.Image, name: str) -> Image.Image:
    """Return a copy of the current frame of a PIL image, with its pixels loaded.

    Raises:
        MediaCorruptError: The file behind it is broken.
    """
    with errors_as_media_errors(name):
        picture.load()
        return picture.copy()


def _decode_png_16(encoded: Encoded, background: Color) -> Frame:
    import av

    with encoded.open() as file, av.open(file, format="png_pipe") as container:
        frame = next(cast("InputContainer", container).decode(video=0))
        alpha = frame.format.name == "rgba64be"
        if not alpha and frame.format.name != "rgb48be":
            raise ValueError(f"unexpected layout {frame.format.name}")
        plane, channels = frame.planes[0], 4 if alpha else 3
        rows_of_values = np.frombuffer(cast("bytes", plane), ">u2").reshape(frame.height, plane.line_size // 2)
        out = np.empty((frame.height, frame.width, 3), np.uint8)
        for rows in strips(frame.height):
            values = rows_of_values[rows, : frame.width * channels].reshape(-1, frame.width, channels)
            scaled = scale_16_bit(values)
            out[rows] = flatten_alpha(scaled, background) if alpha else scaled
        return out
