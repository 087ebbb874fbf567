"""Real codecs through PyAV, in memory: H.264, HEVC, VP9 and AV1 at a rate factor or a bitrate, and their switching.

Only the frames of the span are encoded, on their own, from a key frame on; nothing else of the clip is touched.
Pictures go through 8-bit 4:2:0 (BT.601, limited range; odd sides are padded by one row or column meanwhile): part
of the distortion, as it is of every delivered video. One thread, so that the same input gives the same bytes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from mllmqa.data.video_distortions.clip import (
    Applied,
    Clip,
    DistortedClip,
    Frames,
    Span,
    frames_within,
    span_of,
)
from mllmqa.data.video_distortions.severities import values
from mllmqa.errors import DataError, UsageError

ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
SMALLEST_PX = 16
SMALLEST_AV1_BITRATE_PX = 64
"""SVT-AV1 has no rate control below."""
SEGMENT_S = (0.8, 2.0)
_FIXED: dict[str, dict[str, str]] = {
    # Without cpu-independent x264 gives other bytes on each call (at many sizes; its macroblock tree).
    "h264": {"preset": "veryfast", "threads": "1", "x264-params": "cpu-independent=1"},
    "hevc": {"preset": "veryfast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
    "vp9": {"deadline": "realtime", "cpu-used": "6", "threads": "1"},
    "av1": {"preset": "9", "svtav1-params": "lp=1"},
}


@dataclass(frozen=True)
class Rate:
    """How much an encoder may spend: a constant rate factor, or a mean bitrate (one pass).

    Attributes:
        crf: In the units of the codec; lower is better.
        kbps: Kilobits per second; exactly one of both is given.
    """

    crf: float | None = None
    kbps: float | None = None

    def __post_init__(self) -> None:
        if (self.crf is None) == (self.kbps is None):
            raise UsageError(f"rate factor {self.crf}, bitrate {self.kbps}", expected="exactly one of both")


def encoders() -> dict[str, str]:
    """Return the codecs that this build of PyAV can encode, with the names of their encoders."""
    import av

    return {codec: name for codec, name in ENCODERS.items() if name in av.codecs_available}


def require(codec: str) -> str:
    """Return the encoder of a codec.

    Raises:
        UsageError: Unknown codec, or this build of PyAV has no encoder for it.
    """
    found = encoders()
    if codec not in found:
        what = (
            f"this build of PyAV has no encoder {ENCODERS[codec]}" if codec in ENCODERS else f"no codec {codec!r}"
        )
        raise UsageError(
            what,
            expected=f"one of {', '.join(found) or 'none is here'}",
            hint="the wheels of PyPI have all four: pip install --only-binary av 'av>=18'",
        )
    return found[codec]


def recode(frames_THWC: Frames, fps: float, codec: str, rate: Rate) -> tuple[Frames, int]:
    """Encode and decode some frames.

    Args:
        frames_THWC: uint8 RGB, not changed.
        fps: Frames per second, for the rate control.
        codec: ``h264``, ``hevc``, ``vp9`` or ``av1``.
        rate: Rate factor or bitrate.

    Returns:
        As many frames of the same size, and the encoded size in bytes (with its container).

    Raises:
        UsageError: No such encoder here.
        DataError: The frames are too small for codecs, or do not all come back.
    """
    encoder = require(codec)
    height, width = frames_THWC.shape[1:3]
    smallest = SMALLEST_AV1_BITRATE_PX if codec == "av1" and rate.kbps is not None else SMALLEST_PX
    if min(height, width) < smallest:
        raise DataError(f"frames are {width}×{height} pixels", expected=f"at least {smallest} on each side")
    with _usual_scheduling():
        data = _encoded(frames_THWC, fps, encoder, _options(codec, rate), rate)
    out = _decoded(data, len(frames_THWC), height, width)
    return out, len(data)


def _options(codec: str, rate: Rate) -> dict[str, str]:
    options = dict(_FIXED[codec])
    if rate.crf is not None:
        options["crf"] = f"{rate.crf:g}"
        if codec == "vp9":
            options["b"] = "0"  # else the rate factor is only a limit
    if codec == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only; it knows no other switch
    return options


@contextmanager
def _usual_scheduling() -> Iterator[None]:
    """Give the calling thread back its scheduling: run by root, SVT-AV1 puts it into the real-time class for good.

    A build would then leave nothing of a core to any other process.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameter)


def _encoded(frames: Frames, fps: float, encoder: str, options: dict[str, str], rate: Rate) -> bytes:
    import av

    height, width = frames.shape[1:3]
    speed = Fraction(fps).limit_denominator(1001)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        stream: Any = out.add_stream(encoder, rate=speed, options=options)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        if rate.kbps is not None:
            stream.bit_rate = max(round(rate.kbps * 1000), 1000)
        for number, picture in enumerate(frames):
            padded = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(padded, format="rgb24")
            frame.pts, frame.time_base = number, 1 / speed
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def _decoded(data: bytes, count: int, height: int, width: int) -> Frames:
    import av
    from av.video.reformatter import Interpolation, VideoReformatter

    out = np.empty((count, height, width, 3), np.uint8)
    done, reformatter = 0, VideoReformatter()
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(video=0):
            if done < count:
                rgb = reformatter.reformat(frame, format="rgb24", interpolation=Interpolation.BICUBIC, threads=1)
                out[done] = rgb.to_ndarray()[:height, :width]
            done += 1
    if done != count:
        raise DataError(f"{done} of {count} frames came back from the codec", expected="all, in order")
    return out


def with_codec(clip: Clip, name: str, severity: int, within: Span) -> DistortedClip:
    """Send the frames of a span through a codec.

    Args:
        clip: Not changed.
        name: A codec, or one with ``_bitrate``: its row of the severity table is then in bits per pixel.
        severity: 1..5.
        within: Span.

    Raises:
        UsageError: No such encoder here.
        DataError: No frames in the span, or frames too small.
    """
    row = values(name, severity)
    codec = name.removesuffix("_bitrate")
    numbers = frames_within(clip, within, name)
    height, width = clip.frames_THWC.shape[1:3]
    kbps = row["bits_per_pixel"] * height * width * clip.fps / 1000 if "bits_per_pixel" in row else None
    rate = Rate(row.get("crf"), kbps)
    part, size = recode(clip.frames_THWC[numbers], clip.fps, codec, rate)
    frames = clip.frames_THWC.copy()
    frames[numbers] = part
    spent = size * 8 / 1000 / (len(numbers) / clip.fps)
    asked = {"crf": rate.crf} if rate.kbps is None else {"asked_kbps": rate.kbps}
    parameters = {"encoder": require(codec), **asked, "kbps": spent}
    applied = Applied(name, severity, span_of(clip, numbers), None, parameters)
    return DistortedClip(clip.with_frames(frames), (applied,))


def bitrate_switch(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Adaptive streaming: segments of 0.8..2 s on random rungs of a ladder (H.264), the worst that of the severity.

    Rung 0 is the untouched source; rung k scales to the ``scale`` of severity k and encodes at its ``crf``. Each
    degraded segment has a record with its own rung as severity; neighbours on different rungs make the switches.

    Raises:
        UsageError: This build of PyAV has no H.264 encoder.
        DataError: Too few frames in the span, or frames too small.
    """
    values("bitrate_switch", severity)
    numbers = frames_within(clip, within, "bitrate_switch", at_least=2)
    cuts = [0]
    while cuts[-1] < len(numbers):
        cuts.append(min(cuts[-1] + max(round(float(rng.uniform(*SEGMENT_S)) * clip.fps), 1), len(numbers)))
    segments = list(pairwise(cuts))
    if len(segments) == 1:
        half = len(numbers) // 2
        segments = [(0, half), (half, len(numbers))]
    rungs = [int(rng.random() * (severity + 1)) for _ in segments]
    worst = int(rng.integers(len(segments)))
    rungs[worst] = severity
    for beside in (worst - 1, worst + 1):
        if 0 <= beside < len(rungs) and rungs[beside] == severity:
            rungs[beside] = int(rng.random() * severity)
    frames, applied = clip.frames_THWC.copy(), []
    for (first, stop), rung in zip(segments, rungs, strict=True):
        if rung:
            part = numbers[first:stop]
            frames[part], parameters = _rung(clip, frames[part], rung)
            applied.append(Applied("bitrate_switch", rung, span_of(clip, part), None, parameters))
    return DistortedClip(clip.with_frames(frames), tuple(applied))


def _rung(clip: Clip, frames: Frames, rung: int) -> tuple[Frames, dict[str, Any]]:
    row = values("bitrate_switch", rung)
    height, width = frames.shape[1:3]
    small = (max(round(width * row["scale"]), SMALLEST_PX), max(round(height * row["scale"]), SMALLEST_PX))
    shrunk = resized(frames, *small)
    decoded, size = recode(shrunk, clip.fps, "h264", Rate(crf=row["crf"]))
    kbps = size * 8 / 1000 / (len(frames) / clip.fps)
    parameters = {"crf": row["crf"], "width": small[0], "height": small[1], "kbps": kbps}
    return resized(decoded, width, height), parameters


def resized(frames: Frames, width: int, height: int) -> Frames:
    """Return frames of another size (Pillow, bicubic, antialiased), the same where nothing changes."""
    if frames.shape[1:3] == (height, width):
        return frames
    from PIL import Image

    out = np.empty((len(frames), height, width, 3), np.uint8)
    for number, picture in enumerate(frames):
        out[number] = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
    return out
