"""A clip in memory, and the record of what was done to it, where and when.

Times are seconds from the first frame. A frame is shown from its time stamp to that of the next one, the last
one to the end of the clip: gaps between stamps are part of the picture (dropped frames, stalls), so a clip is
not described by its frames and a rate alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mllmqa.errors import DataError

Frames = npt.NDArray[np.uint8]
Times = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Span = tuple[float, float]
"""Start and end in seconds; a frame belongs to it if start ≤ its time stamp < end."""
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 as fractions of width and height, 0..1."""

EPSILON_S = 1e-6


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames with times.

    Attributes:
        frames_THWC: uint8 RGB, T ≥ 1. Treated as read-only by everything here.
        timestamps_s: float64, T ascending values, the first 0.
        fps: Nominal rate: of the source, not of what is left after drops.
        duration_s: End of the last frame.

    Raises:
        DataError: Wrong types or shapes, no frames, stamps that do not ascend from 0.
    """

    frames_THWC: Frames = field(repr=False)
    timestamps_s: Times = field(repr=False)
    fps: float
    duration_s: float

    def __post_init__(self) -> None:
        frames, times = self.frames_THWC, self.timestamps_s
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
            raise DataError(f"frames are {frames.dtype} {frames.shape}", expected="uint8 (T, H, W, 3) with T ≥ 1")
        if times.shape != frames.shape[:1]:
            raise DataError(f"{len(frames)} frames have {times.shape} time stamps", expected="one for each frame")
        if times[0] != 0 or not np.all(np.diff(times) > 0) or not np.isfinite(times[-1]):
            raise DataError("time stamps do not ascend from 0", expected="seconds from the first frame")
        if not times[-1] < self.duration_s < float("inf") or not 0 < self.fps < float("inf"):
            raise DataError(
                f"duration is {self.duration_s:g} s at {self.fps:g} frames per second",
                expected=f"an end after the last time stamp ({times[-1]:g} s) and a positive rate",
            )

    @classmethod
    def of(cls, frames_THWC: Frames, fps: float) -> Clip:
        """Return a clip of constant rate.

        Raises:
            DataError: See the class.
        """
        count = len(frames_THWC)
        if not 0 < fps < float("inf"):
            raise DataError(f"the rate is {fps:g} frames per second", expected="a positive number")
        return cls(frames_THWC, np.arange(count) / fps, float(fps), count / fps)

    def __len__(self) -> int:
        return len(self.frames_THWC)

    @property
    def whole(self) -> Span:
        """From 0 to the end."""
        return (0.0, self.duration_s)

    @property
    def ends_s(self) -> Times:
        """When each frame ceases to be shown: T values."""
        return np.append(self.timestamps_s[1:], self.duration_s)

    def numbers(self, span: Span) -> Numbers:
        """Return the numbers of the frames whose stamps lie in a span, ascending."""
        times = self.timestamps_s
        return np.flatnonzero((times >= span[0] - EPSILON_S) & (times < span[1] - EPSILON_S))

    def at(self, time_s: float) -> int:
        """Return the number of the frame shown at a time: the last with stamp ≤ t, else the first."""
        return max(int(np.searchsorted(self.timestamps_s, time_s + EPSILON_S, side="right")) - 1, 0)

    def with_frames(self, frames_THWC: Frames) -> Clip:
        """Return the clip with other pictures at the same times."""
        return replace(self, frames_THWC=frames_THWC)


@dataclass(frozen=True)
class Applied:
    """One thing that was done to a clip.

    Attributes:
        name: Name of the distortion.
        severity: 1..5.
        span_s: When, in the time of the distorted clip. Nothing outside all spans was changed.
        box: Where, or None for the whole picture.
        parameters: What exactly: the values from the severity table and all that was drawn, JSON types only.
        events_s: Parts of the span, where the distortion consists of several: holds, gaps of dropped frames.
        effect: Mean absolute difference to the clip before, in grey levels 0..255, inside span and box; None
            where there is nothing to compare with (a stall adds time). Near 0 means that there is nothing to
            be seen, as a freeze of a still picture: such a label is not worth keeping.
    """

    name: str
    severity: int
    span_s: Span
    box: Box | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    events_s: tuple[Span, ...] = ()
    effect: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types: name, severity, span_s, and what is there of box, events_s, parameters, effect."""
        made: dict[str, Any] = {"name": self.name, "severity": self.severity, "span_s": list(self.span_s)}
        if self.box is not None:
            made["box"] = list(self.box)
        if self.events_s:
            made["events_s"] = [list(one) for one in self.events_s]
        made["parameters"] = dict(self.parameters)
        if self.effect is not None:
            made["effect"] = self.effect
        return made


@dataclass(frozen=True)
class DistortedClip:
    """A clip and all that was done to it, in the order in which it was done."""

    clip: Clip
    applied: tuple[Applied, ...]


def span_of(clip: Clip, numbers: Numbers) -> Span:
    """Return the span from the first of some frames to the end of the last one."""
    return (float(clip.timestamps_s[numbers[0]]), float(clip.ends_s[numbers[-1]]))


def frames_within(clip: Clip, within: Span, name: str, *, at_least: int = 1) -> Numbers:
    """Return the numbers of the frames in a span.

    Raises:
        DataError: There are too few.
    """
    numbers = clip.numbers(within)
    if len(numbers) < at_least:
        raise DataError(
            f"{name}: {len(numbers)} frames lie between {within[0]:g} and {within[1]:g} s",
            expected=f"at least {at_least}",
            hint=f"the clip ends at {clip.duration_s:g} s and has {len(clip)} frames",
        )
    return numbers


def measure_effect(before: Clip, after: Clip, span: Span, box: Box | None, *, frames: int = 12) -> float:
    """Return the mean absolute difference between two clips of equal duration inside a span.

    Args:
        before: As it was.
        after: As it is; frames are matched by time.
        span: Looked at.
        box: Looked at; None for the whole picture.
        frames: Looked at, at most, evenly spread; of each every third row and column.

    Returns:
        Grey levels, 0..255.
    """
    numbers = before.numbers(span)
    if not len(numbers):
        return 0.0
    picked = numbers[np.linspace(0, len(numbers) - 1, min(frames, len(numbers))).round().astype(int)]
    height, width = before.frames_THWC.shape[1:3]
    x0, y0, x1, y1 = box or (0.0, 0.0, 1.0, 1.0)
    rows = slice(int(y0 * height), max(int(np.ceil(y1 * height)), int(y0 * height) + 1), 3)
    columns = slice(int(x0 * width), max(int(np.ceil(x1 * width)), int(x0 * width) + 1), 3)
    total = 0.0
    for number in picked:
        old = before.frames_THWC[number, rows, columns].astype(np.int16)
        new = after.frames_THWC[after.at(float(before.timestamps_s[number])), rows, columns]
        total += float(np.abs(new - old).mean())
    return round(total / len(picked), 4)
