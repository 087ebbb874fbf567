"""Media made for the tests: small clips whose frames carry their number, and pictures in many formats."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[3] / "shared"
"""Fixtures that may be read but not copied; not on every machine."""

Frame = NDArray[np.uint8]


def scene(number: int, width: int = 96, height: int = 64) -> Frame:
    """A smooth moving pattern; the number stands in a grey bar of 3 bits at the top."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    wave = np.sin((x + 3 * number) / 17) * np.cos((y - 2 * number) / 13)
    frame = np.stack([128 + 60 * wave, 128 + 50 * wave, 128 - 60 * wave], axis=-1)
    bar, cell = height // 4, width // 6
    for bit in range(6):
        frame[:bar, bit * cell : (bit + 1) * cell] = 220 if number >> bit & 1 else 30
    return frame.round().astype(np.uint8)


def number_of(frame: Frame) -> int:
    """Read the number of a scene back."""
    height, width = frame.shape[:2]
    bar, cell = height // 4, width // 6
    lit = [
        frame[bar // 4 : bar // 2, b * cell + cell // 4 : b * cell + cell * 3 // 4].mean() > 125 for b in range(6)
    ]
    return sum(1 << b for b, on in enumerate(lit) if on)


def make_video(
    path: Path,
    count: int = 24,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (96, 64),
    pix_fmt: str = "yuv420p",
    pts_ms: Sequence[int] | None = None,
    rotation: int | None = None,
    options: dict[str, str] | None = None,
    tags: dict[str, int] | None = None,
    container: dict[str, str] | None = None,
    sound_from_s: float | None = None,
) -> Path:
    """Encode scenes 0 … count−1 at 10 per second, or at the given times."""
    stamps = list(pts_ms) if pts_ms is not None else [i * 100 for i in range(count)]
    with av.open(str(path), "w", options=container or {}) as out:
        stream: Any = out.add_stream(codec, rate=10, options={**_options(codec), **(options or {})})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        sound: Any = out.add_stream("aac", rate=16000) if sound_from_s is not None else None
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(scene(number, *size), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            for name, value in (tags or {}).items():
                setattr(frame, name, value)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            _add_sound(out, sound, stamps[-1] / 1000)
    return path


def _options(codec: str) -> dict[str, str]:
    return {
        "libx264": {"crf": "16", "g": "8", "preset": "veryfast", "threads": "1"},
        "libx265": {
            "crf": "16",
            "x265-params": "log-level=none:keyint=8:pools=1:frame-threads=1",
            "preset": "ultrafast",
        },
        "libvpx-vp9": {"crf": "10", "b": "0", "g": "8", "deadline": "realtime", "cpu-used": "8", "threads": "1"},
        "mpeg4": {"qmax": "3"},
        "libsvtav1": {"crf": "20", "preset": "12", "svtav1-params": "lp=1:keyint=8"},
    }.get(codec, {})


def _add_sound(out: Any, stream: Any, end_s: float) -> None:
    for i in range(int(end_s * 16000 / 1024) + 1):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, i * 1024, Fraction(1, 16000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(pixels: NDArray[Any], color_type: int, *, depth: int = 8, extra: bytes = b"") -> bytes:
    """A PNG written by hand: any bit depth and colour type (2 RGB, 6 RGBA, 0 grey)."""
    height, width = pixels.shape[:2]
    raw = pixels.astype(">u2" if depth == 16 else np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in raw)
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + extra
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )
