"""What lost packets do to a picture: a run of macroblocks is concealed wrongly and stays wrong until a key frame.

No decoder is broken for it. Each loss hits one slice (a run of 16×16 blocks in raster order) of one frame. Its
blocks are concealed as decoders do: copied from an earlier frame, copied from a wrong place, or grey. The frames
after are predicted from the wrong picture, so they carry the same error (theirs plus the difference between
concealed and true block) until the next key frame cleans it up.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mllmqa.data.video_distortions.clip import (
    Applied,
    Box,
    Clip,
    DistortedClip,
    Frames,
    Span,
    frames_within,
    span_of,
)
from mllmqa.data.video_distortions.severities import values
from mllmqa.errors import DataError

BLOCK = 16
KEY_INTERVAL_S = 1.0
MODES = ("copied", "shifted", "grey")
MODE_SHARES = (0.35, 0.45, 0.2)
EARLIEST = 4
FARTHEST_PX = 48

Blocks = npt.NDArray[np.int64]


def packet_loss(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Lose 0.4..2.6 packets per second (at least one), each with 8..45 % of the blocks of its frame.

    Key frames are taken to be one second apart, from the first frame on; losses hit frames between them. One record
    for each loss, with the box around its blocks.

    Raises:
        DataError: The span has only key frames.
    """
    row = values("packet_loss", severity)
    numbers = frames_within(clip, within, "packet_loss")
    interval = max(round(clip.fps * KEY_INTERVAL_S), 2)
    hit = numbers[numbers % interval != 0]
    if not len(hit):
        raise DataError("packet_loss: the span has only key frames", expected="a longer clip or span")
    seconds = len(numbers) / clip.fps
    count = min(max(round(row["losses_per_s"] * seconds), 1), len(hit))
    order, children = rng.permutation(hit)[:count], rng.spawn(count)
    frames, applied = clip.frames_THWC.copy(), []
    for number, child in zip(order, children, strict=True):
        stop = min(int(number) // interval * interval + interval, int(numbers[-1]) + 1)
        blocks = _slice(clip, row["share"], child)
        error, modes = _concealed(clip.frames_THWC, int(number), blocks, child)
        _carry(frames, int(number), stop, error)
        parameters = {"blocks": len(blocks), "key_interval_frames": interval, "modes": modes}
        span = span_of(clip, np.arange(number, stop))
        applied.append(Applied("packet_loss", severity, span, _box(clip, blocks), parameters))
    applied.sort(key=lambda one: one.span_s)
    return DistortedClip(clip.with_frames(frames), tuple(applied))


def _grid(clip: Clip) -> tuple[int, int]:
    height, width = clip.frames_THWC.shape[1:3]
    return -(-height // BLOCK), -(-width // BLOCK)


def _slice(clip: Clip, share: float, rng: np.random.Generator) -> Blocks:
    rows, columns = _grid(clip)
    count = max(round(share * rows * columns), 1)
    first = int(rng.random() * (rows * columns - count + 1))
    return np.arange(first, first + count)


def _box(clip: Clip, blocks: Blocks) -> Box:
    height, width = clip.frames_THWC.shape[1:3]
    columns = _grid(clip)[1]
    y, x = blocks // columns, blocks % columns
    left, right = int(x.min()) * BLOCK, min(int(x.max() + 1) * BLOCK, width)
    top, bottom = int(y.min()) * BLOCK, min(int(y.max() + 1) * BLOCK, height)
    return (left / width, top / height, right / width, bottom / height)


def _concealed(
    source: Frames, number: int, blocks: Blocks, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int16], dict[str, int]]:
    """Return concealed minus true picture (int16 HWC, 0 outside the blocks), and how many blocks of each mode."""
    height, width = source.shape[1:3]
    columns = -(-width // BLOCK)
    error = np.zeros(source.shape[1:], np.int16)
    modes = rng.choice(len(MODES), size=len(blocks), p=MODE_SHARES)
    back = int(rng.integers(1, EARLIEST + 1))
    shift = rng.integers(-FARTHEST_PX, FARTHEST_PX + 1, size=2)
    old = source[max(number - back, 0)]
    for block, mode in zip(blocks, modes, strict=True):
        top, left = int(block) // columns * BLOCK, int(block) % columns * BLOCK
        area = np.s_[top : top + BLOCK, left : left + BLOCK]
        true = source[number][area].astype(np.int16)
        if MODES[mode] == "grey":
            error[area] = 128 - true
            continue
        y, x = (top, left) if MODES[mode] == "copied" else (top + int(shift[0]), left + int(shift[1]))
        y = min(max(y, 0), height - true.shape[0])
        x = min(max(x, 0), width - true.shape[1])
        error[area] = old[y : y + true.shape[0], x : x + true.shape[1]] - true
    counts = np.bincount(modes, minlength=len(MODES))
    return error, {name: int(count) for name, count in zip(MODES, counts, strict=True)}


def _carry(frames: Frames, start: int, stop: int, error: npt.NDArray[np.int16]) -> None:
    """Add the error to the frames from start to stop, in place."""
    rows = np.flatnonzero(error.any(axis=(1, 2)))
    if not len(rows):
        return
    area = slice(int(rows[0]), int(rows[-1]) + 1)
    for number in range(start, stop):
        frames[number, area] = np.clip(frames[number, area] + error[area], 0, 255)
