"""Clips from files and into files, with their time stamps.

Written videos are visually lossless or lossless, so that what a model sees is what was recorded:
``ffv1`` is bit-exact RGB (MP4 or Matroska); ``h264`` is x264 at crf 4 in 4:4:4 in the same, about half the size.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mllmqa.data.video_distortions.clip import Clip, Frames, Span
from mllmqa.data.video_distortions.codecs import resized
from mllmqa.errors import DataError, UsageError

Writer = Literal["h264", "ffv1"]
TICKS_PER_S = 90_000
WRITERS: dict[str, tuple[str, str, dict[str, str], tuple[str, ...]]] = {
    "h264": (
        "libx264",
        "yuv444p",
        {"crf": "4", "preset": "fast", "bf": "0", "threads": "2", "x264-params": "cpu-independent=1"},
        (".mp4", ".mov", ".mkv"),
    ),
    "ffv1": ("ffv1", "bgr0", {"level": "3", "threads": "2"}, (".mp4", ".mkv")),
}
_BT601, _LIMITED = 6, 1
"""Tags of H.273 for what swscale makes of RGB."""
FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}


def read_clip(source: Any, *, short_side: int | None = None, span_s: Span | None = None) -> Clip:
    """Read a video into memory.

    Args:
        source: What :func:`mllmqa.media.open_media` opens: a path, bytes, a stream.
        short_side: Frames are scaled down to it where they are larger (Pillow, bicubic), one by one. Clips that
            are distorted should all get the same size first, or resolution tells the label.
        span_s: Part to read, by time stamps; times of the clip count from its first frame.

    Returns:
        T·H·W·3 bytes of frames: 10 s of 720p at 30 frames per second are 830 MB.

    Raises:
        MediaError: It cannot be opened or decoded.
        DataError: A picture, or no frame lies in the span.
    """
    from mllmqa.media.pixels import MEAN_COLOR
    from mllmqa.media.probe import open_media, video_index
    from mllmqa.media.pyav_decoder import decode_with_pyav

    media = open_media(source)
    if media.index is None or media.info.codec is None:
        raise DataError("is no video in a container", where=media.info.name, expected="a video file")
    index = video_index(media)
    times = index.timestamps_s - index.timestamps_s[0]
    start, stop = span_s or (0.0, float("inf"))
    wanted = np.flatnonzero((times >= start - 1e-6) & (times < stop - 1e-6))
    if not len(wanted):
        raise DataError(f"no frame lies between {start:g} and {stop:g} s", where=media.info.name)
    frames = None
    decoded = decode_with_pyav(media, wanted.tolist(), background=MEAN_COLOR, threads=2)
    for place, (_, picture) in enumerate(decoded):
        if frames is None:
            height, width = _scaled(picture.shape[0], picture.shape[1], short_side)
            frames = np.empty((len(wanted), height, width, 3), np.uint8)
        frames[place] = resized(picture[None], width, height)[0]
    if frames is None:
        raise DataError("no frame was decoded", where=media.info.name)
    end = float(times[wanted[-1] + 1] if wanted[-1] + 1 < len(times) else index.duration_s - index.timestamps_s[0])
    stamps = times[wanted] - times[wanted[0]]
    duration = end - float(times[wanted[0]])
    fps = index.fps or (len(stamps) / duration if duration > 0 else 25.0)
    return Clip(frames, stamps, fps, duration if duration > stamps[-1] else float(stamps[-1]) + 1 / fps)


def _scaled(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    short = min(height, width)
    if short_side is None or short <= short_side:
        return height, width
    return round(height * short_side / short), round(width * short_side / short)


def write_clip(clip: Clip, path: str | os.PathLike[str], *, writer: Writer = "h264") -> Path:
    """Write a clip; the file appears under its name when it is complete.

    Time stamps are kept to 1/90000 s (Matroska: 1/1000 s) and so is the duration of the last frame.

    Args:
        clip: Any time stamps.
        path: ``.mp4``, ``.mov`` (h264 only) or ``.mkv``. Times of MP4 are the exact ones.
        writer: See the module.

    Raises:
        UsageError: Unknown writer, an ending that it does not write, or a path that cannot be written.
        DataError: Two frames would get the same time stamp.
    """
    path = Path(path)
    if writer not in WRITERS:
        raise UsageError(f"no writer {writer!r}", expected=" | ".join(WRITERS))
    if path.suffix.lower() not in WRITERS[writer][3]:
        raise UsageError(f"{writer} is not written to it", where=path, expected=" or ".join(WRITERS[writer][3]))
    ticks_per_s = 1000 if path.suffix.lower() == ".mkv" else TICKS_PER_S
    ticks = np.rint(np.append(clip.timestamps_s, clip.duration_s) * ticks_per_s).astype(np.int64)
    if np.any(np.diff(ticks) <= 0):
        raise DataError(f"frames are closer than 1/{ticks_per_s} s", where=path, hint="write .mp4")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _write(clip.frames_THWC, ticks, ticks_per_s, partial, (writer, FORMATS[path.suffix.lower()]))
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror or error}", where=path) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _write(frames: Frames, ticks: Any, ticks_per_s: int, path: Path, how: tuple[str, str]) -> None:
    import av

    encoder, pixel_format, options, _ = WRITERS[how[0]]
    base = Fraction(1, ticks_per_s)
    with path.open("wb") as file, av.open(file, "w", format=how[1]) as out:
        stream: Any = out.add_stream(encoder, rate=_rate(ticks, ticks_per_s), options=options)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pixel_format
        stream.codec_context.time_base = stream.time_base = base
        if pixel_format.startswith("yuv"):
            stream.codec_context.colorspace, stream.codec_context.color_range = _BT601, _LIMITED
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = int(ticks[number]), base
            frame.duration = int(ticks[number + 1] - ticks[number])
            for packet in stream.encode(frame):
                out.mux(_timed(packet, ticks, base))
        for packet in stream.encode(None):
            out.mux(_timed(packet, ticks, base))


def _timed(packet: Any, ticks: Any, base: Fraction) -> Any:
    """Give a packet the duration of its frame; encoders do not pass all of them on."""
    if packet.pts is not None:
        pts = round(Fraction(packet.pts) * packet.time_base / base)
        place = int(np.searchsorted(ticks, pts))
        length = int(ticks[place + 1] - ticks[place])
        packet.duration = round(Fraction(length) * base / packet.time_base)
    return packet


def _rate(ticks: Any, ticks_per_s: int) -> Fraction:
    mean = Fraction((len(ticks) - 1) * ticks_per_s, int(ticks[-1] - ticks[0]))
    return mean.limit_denominator(1001)
