"""Small pictures of media as data URIs: an image, or four frames of a clip; masks are laid over them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mllmqa.data.sample import Medium, path_of
from mllmqa.data.sample_labels import Distortion
from mllmqa.errors import MediaError, error_line

SIDE = 256
"""Longest side of a thumbnail in pixels."""
FRAMES = 4
_TINT = (255, 40, 90)


@dataclass(frozen=True)
class Shot:
    """One picture.

    Attributes:
        uri: ``data:image/jpeg;base64,…``.
        width: In pixels, of the thumbnail.
        height: In pixels.
        time_s: When a frame of a clip is shown; None for images.
    """

    uri: str
    width: int
    height: int
    time_s: float | None = None


@dataclass(frozen=True)
class Strip:
    """What a medium looks like.

    Attributes:
        shots: One for an image, up to four for a clip; empty if it cannot be shown.
        width: Of the file, in pixels; 0 if it cannot be shown.
        height: Of the file.
        start_s: Of the part that is meant, in seconds of the file.
        end_s: Its end; None for images.
        trouble: In one line, why it, or a mask, cannot be shown.
    """

    shots: tuple[Shot, ...] = ()
    width: int = 0
    height: int = 0
    start_s: float = 0.0
    end_s: float | None = None
    trouble: str | None = None


def strip_of(medium: Medium, distortions: Sequence[Distortion], folder: Path) -> Strip:
    """Return what a medium looks like, with its masks; a medium that cannot be opened says why.

    Args:
        medium: Of a sample.
        distortions: Those of this medium.
        folder: Of the sample file.
    """
    from mllmqa.media import decode_frames, open_media

    path = path_of(medium, folder)
    if path is None:
        return Strip(trouble="no path, only a hash")
    try:
        media = open_media(path)
        start, end, times = _moments(medium, media.info.duration_s or 0.0, media.info.kind)
        found = decode_frames(media, times)
    except MediaError as error:
        return Strip(trouble=error_line(error))
    marks, trouble = _masks(distortions, folder)
    stamps = found.timestamps_s or (None,)
    shots = tuple(_shot(frame, time, marks) for frame, time in zip(found.frames_THWC, stamps, strict=True))
    return Strip(shots, media.info.width, media.info.height, start, end, trouble)


def _moments(medium: Medium, duration_s: float, kind: str) -> tuple[float, float | None, list[float]]:
    """Return start, end and the times of the frames: the middles of equal parts."""
    if kind == "image":
        return 0.0, None, []
    start, end = medium.span_s or (0.0, duration_s)
    return start, end, [start + (end - start) * (k + 0.5) / FRAMES for k in range(FRAMES)]


def _masks(
    distortions: Sequence[Distortion], folder: Path
) -> tuple[list[tuple[Distortion, NDArray[np.uint8]]], str | None]:
    from mllmqa.media import decode_image, open_media

    marks: list[tuple[Distortion, NDArray[np.uint8]]] = []
    trouble = None
    for one in distortions:
        if one.mask is not None:
            try:
                marks.append((one, decode_image(open_media(folder / one.mask), background=(0, 0, 0))))
            except MediaError as error:
                trouble = f"mask: {error_line(error)}"
    return marks, trouble


def _shot(
    frame: NDArray[np.uint8], time_s: float | None, masks: Sequence[tuple[Distortion, NDArray[np.uint8]]]
) -> Shot:
    from PIL import Image

    picture = Image.fromarray(frame)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    for one, mask in masks:
        if time_s is None or one.span_s is None or one.span_s[0] <= time_s < one.span_s[1]:
            area = Image.fromarray(mask).convert("L").resize(picture.size, Image.Resampling.BILINEAR)
            half = area.point(lambda value: 128 if value else 0)
            picture.paste(Image.new("RGB", picture.size, _TINT), mask=half)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    uri = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Shot(uri, picture.width, picture.height, time_s)
