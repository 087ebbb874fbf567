"""Decode the frames that a rule asked for: one function, several decoders, the same frames.

The frame shown at time t is the last one with time stamp ≤ t (the first one for earlier t). Every decoder
here returns exactly that frame or raises; none guesses. Frames come upright, in RGB, and only the wanted
ones are held in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.media import image as images
from mllmqa.media import optional_decoders
from mllmqa.media.animation import decode_animation
from mllmqa.media.pixels import MEAN_COLOR, Color, Frame, rgb_of_array, rgb_of_image, upright
from mllmqa.media.probe import OpenMedia, encoded_bytes, video_index
from mllmqa.media.pyav_decoder import decode_with_pyav

DECODERS = ("auto", "pyav", "torchcodec", "decord")
DEFAULT_THREADS = 2


@dataclass(frozen=True)
class Frames:
    """Decoded frames.

    Attributes:
        frames_THWC: uint8 RGB, upright; T ≥ 1, in the order that was asked for.
        timestamps_s: When each frame is shown; () for an image.
        decoder: Name and version of what decoded them.
    """

    frames_THWC: NDArray[np.uint8]
    timestamps_s: tuple[float, ...]
    decoder: str


def decode_image(media: OpenMedia, *, background: Color = MEAN_COLOR) -> Frame:
    """Decode an image to uint8 RGB HWC, upright.

    Raises:
        MediaError: Broken or cut off.
        UsageError: It is a video.
    """
    if media.index is not None:
        raise UsageError("is a video", where=media.info.name, expected="an image")
    if media.array is not None:
        return upright(rgb_of_array(media.array, background), media.orientation)
    if media.picture is not None:
        return upright(rgb_of_image(media.picture, background, media.info.name), media.orientation)
    return images.decode_picture(encoded_bytes(media), background)


def decode_frames(
    media: OpenMedia,
    timestamps_s: Sequence[float] = (),
    *,
    decoder: str = "auto",
    background: Color = MEAN_COLOR,
    threads: int = DEFAULT_THREADS,
) -> Frames:
    """Decode the frames shown at some times. An image gives its one picture.

    Args:
        media: From :func:`mllmqa.media.open_media`.
        timestamps_s: Any order; repeated times repeat the frame.
        decoder: ``auto`` is PyAV: the only one that is exact on every file we have, and none is faster (see
            docs/media.md). It never falls back, so results do not depend on what else is installed.
            Animated pictures always go through Pillow and arrays through nothing.
        background: Laid under transparent pixels.
        threads: Of the video decoder.

    Raises:
        MediaError: A wanted frame cannot be decoded.
        UsageError: Unknown or missing decoder, or no times for a video.
    """
    if decoder not in DECODERS:
        raise UnknownNameError(f"no decoder is called {decoder}", expected=" or ".join(DECODERS))
    if media.index is None:
        return Frames(decode_image(media, background=background)[None], (), still_decoder(media))
    if not len(timestamps_s):
        raise UsageError("no times were given", where=media.info.name)
    index = video_index(media)
    numbers = [index.at(t) for t in timestamps_s]
    wanted = sorted(set(numbers))
    found, shown, used = _decode(media, wanted, decoder, background, threads)
    rows = [wanted.index(n) for n in numbers]
    times = tuple(float(index.timestamps_s[shown[row]]) for row in rows)
    return Frames(found if rows == list(range(len(wanted))) else found[rows], times, used)


def still_decoder(media: OpenMedia) -> str:
    """Return the name of what decodes an image or an animated picture."""
    if media.encoded is None:
        return "array" if media.array is not None else f"pillow {version('pillow')}"
    if media.info.format.startswith("heif"):
        return f"pillow-heif {version('pillow-heif')}"
    if media.info.pixel_format == "RGB;16":
        return f"pyav {version('av')}"
    return f"pillow {version('pillow')}"


def _decode(
    media: OpenMedia, wanted: list[int], decoder: str, background: Color, threads: int
) -> tuple[Frame, list[int], str]:
    """Return the wanted frames (THWC), the numbers of the frames shown, and the decoder's name."""
    if media.array is not None:
        return rgb_of_array(media.array[wanted], background), wanted, "array"
    if media.info.codec is None:
        frames = decode_animation(encoded_bytes(media), wanted, background)
        return *_stack(frames, len(wanted), media), still_decoder(media)
    if decoder == "torchcodec":
        return (
            optional_decoders.decode_with_torchcodec(media, wanted, threads),
            wanted,
            optional_decoders.torchcodec_name(),
        )
    if decoder == "decord":
        return optional_decoders.decode_with_decord(media, wanted, threads), wanted, optional_decoders.decord_name()
    frames = decode_with_pyav(media, wanted, background=background, threads=threads)
    return *_stack(frames, len(wanted), media), f"pyav {version('av')}"


def _stack(frames: Iterator[tuple[int, Frame]], count: int, media: OpenMedia) -> tuple[Frame, list[int]]:
    """Collect frames into one array; a frame of another size (stream that changes it) is resized to fit."""
    shape = (media.info.height, media.info.width, 3)
    out = np.empty((count, *shape), np.uint8)
    numbers: list[int] = []
    for number, frame in frames:
        if frame.shape != shape:
            from PIL import Image

            frame = np.array(Image.fromarray(frame).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
        out[len(numbers)] = frame
        numbers.append(number)
    return out, numbers
