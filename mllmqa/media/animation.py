"""Animated pictures (GIF, WebP, APNG, AVIF sequence): frame times and frames, read with Pillow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mllmqa.media.image import open_picture, orientation_of
from mllmqa.media.pillow_guard import errors_as_media_errors
from mllmqa.media.pixels import Color, Frame, rgb_of_image, upright
from mllmqa.media.source import Encoded

SHORTEST_S = 0.010
DEFAULT_S = 0.100
"""A frame that asks for 10 ms or less is shown for 100 ms, as browsers do."""


def frame_starts(encoded: Encoded, n_frames: int) -> tuple[tuple[float, ...], float]:
    """Return when the frames of an animated picture appear, and the whole duration, in seconds.

    The durations stand between the frames, so this passes over the whole file.

    Raises:
        MediaCorruptError: A frame cannot be read.
    """
    starts, now = [], 0.0
    with encoded.open() as file, errors_as_media_errors(encoded.name):
        image = open_picture(file)
        for i in range(n_frames):
            image.seek(i)
            image.load()
            starts.append(round(now, 6))
            shown_s = float(image.info.get("duration", 0) or 0) / 1000
            now += shown_s if shown_s > SHORTEST_S else DEFAULT_S
    return tuple(starts), round(now, 6)


def decode_animation(encoded: Encoded, wanted: Sequence[int], background: Color) -> Iterator[tuple[int, Frame]]:
    """Decode some frames of an animated picture; Pillow does the disposal and blending.

    Args:
        encoded: The file.
        wanted: Frame numbers, ascending, without repetition.
        background: Laid under transparent pixels.

    Yields:
        Frame number and uint8 HWC.

    Raises:
        MediaCorruptError: A frame cannot be decoded.
    """
    with encoded.open() as file, errors_as_media_errors(encoded.name):
        image = open_picture(file)
        orientation = orientation_of(image)
        for i in wanted:
            image.seek(i)
            image.load()
            yield i, upright(rgb_of_image(image, background, encoded.name), orientation)
