"""Distortions of the picture that live in time: flicker, shake, interlacing."""

from __future__ import annotations

import numpy as np

from mllmqa.data.video_distortions.clip import Applied, Clip, DistortedClip, Span, frames_within, span_of
from mllmqa.data.video_distortions.severities import values
from mllmqa.errors import DataError

FLICKER_HZ = (2.0, 8.0)
SHAKE_MEMORY = 0.6


def flicker(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Modulate luminance by a sine of 6..50 % and 2..8 Hz: all channels times 1 + amplitude·sin(2πft + phase).

    The frequency is at most 0.4 of the frame rate, so that the sine is not lost between the frames, and at least
    one period fits into the span: less would be a change of brightness.

    Raises:
        DataError: The span is shorter than one period, or has fewer than four frames.
    """
    amplitude = values("flicker", severity)["amplitude"]
    numbers = frames_within(clip, within, "flicker", at_least=4)
    span = span_of(clip, numbers)
    high = min(FLICKER_HZ[1], 0.4 * clip.fps)
    low = max(min(FLICKER_HZ[0], high), 1 / (span[1] - span[0]))
    if low > high:
        raise DataError(
            f"flicker: no period of up to {high:g} Hz fits into {span[1] - span[0]:g} s",
            expected=f"at least {1 / high:g} s",
        )
    frequency = float(rng.uniform(low, high))
    phase = float(rng.uniform(0, 2 * np.pi))
    gains = 1 + amplitude * np.sin(2 * np.pi * frequency * clip.timestamps_s[numbers] + phase)
    frames = clip.frames_THWC.copy()
    levels = np.arange(256)
    for number, gain in zip(numbers, gains, strict=True):
        table = np.clip(np.rint(levels * gain), 0, 255).astype(np.uint8)
        frames[number] = table[clip.frames_THWC[number]]
    parameters = {"amplitude": amplitude, "frequency_hz": frequency, "phase_rad": phase}
    applied = Applied("flicker", severity, span, None, parameters)
    return DistortedClip(clip.with_frames(frames), (applied,))


def shake(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Shift every frame by a correlated random walk of 0.4..4 % of the short side (standard deviation).

    Whole pixels; what comes in at an edge repeats the outermost row or column. The path is first-order
    autoregressive (0.6 per frame at 30 frames per second) and of the same shape at every severity.

    Raises:
        DataError: The span has no frames.
    """
    amplitude = values("shake", severity)["amplitude"]
    numbers = frames_within(clip, within, "shake")
    height, width = clip.frames_THWC.shape[1:3]
    size = max(amplitude * min(height, width), 1.0)
    memory = SHAKE_MEMORY ** (30 / clip.fps)
    steps = rng.standard_normal((len(numbers), 2))
    path = np.empty_like(steps)
    path[0] = steps[0]
    for k in range(1, len(path)):
        path[k] = memory * path[k - 1] + np.sqrt(1 - memory**2) * steps[k]
    path = np.clip(path, -2.5, 2.5)
    offsets = np.rint(path * size).astype(int)
    frames = clip.frames_THWC.copy()
    rows, columns = np.arange(height), np.arange(width)
    for number, (dy, dx) in zip(numbers, offsets, strict=True):
        y, x = np.clip(rows - dy, 0, height - 1), np.clip(columns - dx, 0, width - 1)
        frames[number] = clip.frames_THWC[number][y][:, x]
    parameters = {"amplitude_px": size, "offsets_px": offsets.tolist()}
    applied = Applied("shake", severity, span_of(clip, numbers), None, parameters)
    return DistortedClip(clip.with_frames(frames), (applied,))


def interlace(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Weave two fields: every second row comes from 1..6 frames earlier, so that moving edges are combed.

    Which rows, odd or even, is drawn. The first frames of a clip take the earliest one there is.

    Raises:
        DataError: The span has no frames.
    """
    distance = int(values("interlace", severity)["distance_frames"])
    numbers = frames_within(clip, within, "interlace")
    parity = int(rng.integers(2))
    frames = clip.frames_THWC.copy()
    earlier = np.maximum(numbers - distance, 0)
    frames[numbers, parity::2] = clip.frames_THWC[earlier, parity::2]
    parameters = {"distance_frames": distance, "late_rows": "odd" if parity else "even"}
    applied = Applied("interlace", severity, span_of(clip, numbers), None, parameters)
    return DistortedClip(clip.with_frames(frames), (applied,))
