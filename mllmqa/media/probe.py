"""Open one input: what it is, decided by its content, checked before its pixels are decoded."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mllmqa.errors import MediaCorruptError, MediaFormatError, UsageError
from mllmqa.media import animation
from mllmqa.media import container as containers
from mllmqa.media import image as images
from mllmqa.media.index import VideoIndex, index_of_times
from mllmqa.media.pixels import Frame, rotation_deg
from mllmqa.media.sniff import sniff
from mllmqa.media.source import DEFAULT_LIMITS, Encoded, Limits, printable, read_path, read_stream
from mllmqa.schema import Media

if TYPE_CHECKING:
    from PIL import Image

ARRAY_STEP_S = 1.0
"""Frames of a THWC array have no times: frame i counts as shown at i seconds."""


@dataclass(frozen=True)
class OpenMedia:
    """One input that can be decoded.

    Attributes:
        info: What is known of it (goes into records).
        encoded: Its bytes, or None for arrays and PIL images.
        array: uint8 HWC or THWC, or None.
        index: Frame times of a video, or None for an image.
        orientation: EXIF code of the turn that brings the stored picture upright.
    """

    info: Media
    encoded: Encoded | None = None
    array: Frame | None = field(default=None, repr=False)
    picture: Image.Image | None = field(default=None, repr=False)
    index: VideoIndex | None = field(default=None, repr=False)
    orientation: int = 1


def open_media(source: Any, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None) -> OpenMedia:
    """Open an image or a video. The extension plays no part.

    Args:
        source: A path, encoded bytes, a binary stream (read to its end), a PIL image (its current frame),
            or a uint8 array: HW or HWC is an image, THWC a video (C = 1, 3 or 4).
        limits: Sizes beyond which an input is refused.
        name: What records and messages call it; by default the path, ``<stream>``, ``<array>`` …

    Raises:
        MediaError: It cannot be used; the message is one line.
        UsageError: The object is none of the above.
    """
    from PIL import Image

    if isinstance(source, np.ndarray):
        return _open_array(source, limits, name or "<array>")
    if isinstance(source, Image.Image):
        return _open_picture(source, limits, name or "<PIL.Image>")
    if isinstance(source, (str, os.PathLike)):
        return _open_encoded(read_path(source, name), limits)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _open_encoded(read_stream(bytes(source), limits, name), limits)
    if callable(getattr(source, "read", None)):
        return _open_encoded(read_stream(source, limits, name), limits)
    raise UsageError(
        f"cannot open an object of type {type(source).__name__}",
        expected="a path, bytes, a binary stream, a PIL image or a uint8 numpy array",
    )


def video_index(media: OpenMedia) -> VideoIndex:
    """Return the frame times of a video.

    Raises:
        UsageError: It is an image.
    """
    if media.index is None:
        raise UsageError("is an image and has no frame times", where=media.info.name)
    return media.index


def encoded_bytes(media: OpenMedia) -> Encoded:
    """Return the encoded bytes of an input.

    Raises:
        UsageError: It is an array or a PIL image.
    """
    if media.encoded is None:
        raise UsageError("holds pixels, not an encoded file", where=media.info.name)
    return media.encoded


def _open_encoded(encoded: Encoded, limits: Limits) -> OpenMedia:
    kind, label = sniff(encoded.head)
    if kind == "refused":
        raise MediaFormatError(
            f"is {label}", where=encoded.name, expected="an image (JPEG, PNG, …) or a video (MP4, WebM, …)"
        )
    head = images.identify(encoded, limits) if kind != "video" else None
    if head is not None:
        return _opened_image(encoded, head)
    if kind == "image":
        raise MediaCorruptError(
            f"starts like {label} but its header is broken", where=encoded.name, expected="a complete file"
        )
    return _opened_video(encoded, containers.inspect(encoded, limits, label))


def _opened_image(encoded: Encoded, head: images.ImageHead) -> OpenMedia:
    index = None
    if head.n_frames > 1:
        index = index_of_times(*animation.frame_starts(encoded, head.n_frames))
    turned = head.orientation in (5, 6, 7, 8)
    info = Media(
        kind="image" if index is None else "video",
        name=encoded.name,
        sha256=encoded.sha256,
        size_bytes=encoded.size_bytes,
        format=head.format,
        pixel_format=head.mode,
        width=head.height if turned else head.width,
        height=head.width if turned else head.height,
        rotation_deg=head.rotation_deg,
        **_timing(index),
    )
    return OpenMedia(info, encoded, index=index, orientation=head.orientation)


def _opened_video(encoded: Encoded, head: containers.VideoHead) -> OpenMedia:
    turned = head.orientation in (5, 6, 7, 8)
    webm = head.format == "matroska" and b"webm" in encoded.head[:64]
    info = Media(
        kind="video",
        name=encoded.name,
        sha256=encoded.sha256,
        size_bytes=encoded.size_bytes,
        format="webm" if webm else head.format,
        codec=head.codec,
        pixel_format=head.pixel_format,
        width=head.height if turned else head.width,
        height=head.width if turned else head.height,
        rotation_deg=rotation_deg(head.orientation),
        **_timing(head.index),
    )
    return OpenMedia(info, encoded, index=head.index, orientation=head.orientation)


def _timing(index: VideoIndex | None) -> dict[str, Any]:
    if index is None:
        return {}
    return {"duration_s": index.duration_s, "fps": index.fps, "n_frames": len(index)}


def _open_array(array: np.ndarray[Any, Any], limits: Limits, name: str) -> OpenMedia:
    name, shape = printable(name), array.shape
    if array.dtype != np.uint8:
        raise MediaFormatError(
            f"the array has dtype {array.dtype}",
            where=name,
            expected="uint8, 0..255; convert it yourself: the range of others is not known",
        )
    channels_ok = array.ndim == 2 or shape[-1] in (1, 3, 4)
    if array.ndim not in (2, 3, 4) or not channels_ok or 0 in shape:
        raise MediaFormatError(
            f"the array has shape {shape}",
            where=name,
            expected="HW, HWC (image) or THWC (video) with C = 1, 3 or 4",
        )
    height, width = shape[:2] if array.ndim < 4 else shape[1:3]
    limits.check(width, height, name)
    index = index_of_times(np.arange(shape[0]) * ARRAY_STEP_S, shape[0] * ARRAY_STEP_S) if array.ndim == 4 else None
    digest = hashlib.sha256(repr(shape).encode())
    digest.update(np.ascontiguousarray(array).data)
    timing = {} if index is None else {"duration_s": None, "n_frames": len(index)}
    info = Media(
        kind="image" if index is None else "video",
        name=name,
        sha256=digest.hexdigest(),
        size_bytes=array.nbytes,
        format="array",
        width=width,
        height=height,
        **cast("dict[str, Any]", timing),
    )
    return OpenMedia(info, array=cast("Frame", array), index=index)


def _open_picture(picture: Image.Image, limits: Limits, name: str) -> OpenMedia:
    name = printable(name)
    limits.check(*picture.size, name)
    orientation = images.orientation_of(picture)
    picture = images.load_picture(picture, name)
    digest = hashlib.sha256(repr((picture.mode, picture.size)).encode())
    digest.update(picture.tobytes())
    turned = orientation in (5, 6, 7, 8)
    info = Media(
        kind="image",
        name=name,
        sha256=digest.hexdigest(),
        format="array",
        pixel_format=picture.mode,
        width=picture.height if turned else picture.width,
        height=picture.width if turned else picture.height,
        rotation_deg=rotation_deg(orientation),
    )
    return OpenMedia(info, picture=picture, orientation=orientation)
