"""Distortions of time: freeze, stutter, dropped frames, jitter, stalls.

A freeze or stutter loses what would have been shown meanwhile and keeps the duration; a stall waits, loses nothing
and makes the clip longer. Drops and jitter change time stamps (variable frame rate), never the order.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mllmqa.data.video_distortions.clip import (
    EPSILON_S,
    Applied,
    Box,
    Clip,
    DistortedClip,
    Frames,
    Numbers,
    Span,
    frames_within,
    span_of,
)
from mllmqa.data.video_distortions.severities import values
from mllmqa.errors import DataError

STUTTER_PERIOD_S = 0.8
SPINNER_DOTS = 8
SPINNER_TURN_S = 1.0


def _hold_ends(clip: Clip, length_s: float, numbers: Numbers, end_s: float) -> dict[int, int]:
    """Return, for each frame that can stand for a length within a span, the number of the first frame after."""
    times = clip.timestamps_s
    found = {}
    for start in numbers:
        stop_s = times[start] + length_s
        after = int(np.searchsorted(times, stop_s - EPSILON_S))
        if stop_s <= end_s + EPSILON_S and after - start >= 2:
            found[int(start)] = after
    return found


def _held(frames: Frames, start: int, after: int) -> None:
    frames[start + 1 : after] = frames[start]


def freeze(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Let one frame stand for 0.3..2.5 s; then the video goes on where it would be, so that motion jumps.

    Raises:
        DataError: The clip is too short for this severity, or has too few frames per second.
    """
    length = values("freeze", severity)["length_s"]
    starts = _hold_ends(clip, length, clip.numbers(within), min(within[1], clip.duration_s))
    if not starts:
        raise DataError(
            f"freeze: no frame between {within[0]:g} and {within[1]:g} s can stand for {length:g} s",
            expected="a longer clip or span, at least two frames long",
            hint="take a lower severity",
        )
    start = list(starts)[int(rng.integers(len(starts)))]
    after = starts[start]
    frames = clip.frames_THWC.copy()
    _held(frames, start, after)
    span = span_of(clip, np.arange(start, after))
    parameters = {"length_s": span[1] - span[0], "frames_replaced": after - start - 1}
    return DistortedClip(clip.with_frames(frames), (Applied("freeze", severity, span, None, parameters),))


def stutter(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Freeze again and again: in every 0.8 s one hold of 0.12..0.6 s (at least two frames), at random places.

    Raises:
        DataError: Not one hold fits.
    """
    hold = values("stutter", severity)["hold_s"]
    numbers = frames_within(clip, within, "stutter", at_least=2)
    length = max(round(hold * clip.fps), 2)
    period = max(round(STUTTER_PERIOD_S * clip.fps), length)
    frames, events = clip.frames_THWC.copy(), []
    for first in range(int(numbers[0]), int(numbers[-1]) + 2 - length, period):
        room = min(period, int(numbers[-1]) + 1 - first) - length
        start = first + int(rng.random() * (room + 1))
        _held(frames, start, start + length)
        events.append(span_of(clip, np.arange(start, start + length)))
    if not events:
        raise DataError(
            f"stutter: a hold of {length} frames does not fit into {len(numbers)}", expected="a longer clip or span"
        )
    parameters = {"hold_s": length / clip.fps, "period_s": period / clip.fps, "holds": len(events)}
    applied = Applied("stutter", severity, (events[0][0], events[-1][1]), None, parameters, tuple(events))
    return DistortedClip(clip.with_frames(frames), (applied,))


def frame_drop(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Take 15..75 % of the frames out, at random places; the frame before each is shown longer.

    What a lower severity drops, a higher one drops too (same generator). The first frame of the clip stays.
    The events are the times of the dropped frames.

    Raises:
        DataError: No frame can be dropped.
    """
    share = values("frame_drop", severity)["share"]
    numbers = frames_within(clip, within, "frame_drop")
    numbers = numbers[numbers > 0]
    if not len(numbers):
        raise DataError("frame_drop: the first frame of a clip is never dropped", expected="a longer clip or span")
    count = max(round(share * len(numbers)), 1)
    dropped = np.sort(rng.permutation(numbers)[:count])
    kept = np.setdiff1d(np.arange(len(clip)), dropped)
    events = tuple(span_of(clip, dropped[k : k + 1]) for k in range(count))
    parameters = {"share": count / len(numbers), "frames_dropped": count}
    applied = Applied("frame_drop", severity, (events[0][0], events[-1][1]), None, parameters, events)
    thinned = replace(clip, frames_THWC=clip.frames_THWC[kept], timestamps_s=clip.timestamps_s[kept])
    return DistortedClip(thinned, (applied,))


def jitter(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Show frames too late by half-normal delays of 0.4..3 frames; late ones crowd together, none is lost.

    Raises:
        DataError: Fewer than two frames can be moved.
    """
    size = values("jitter", severity)["delay_frames"]
    numbers = frames_within(clip, within, "jitter", at_least=2)
    numbers = numbers[numbers > 0]
    times, end = clip.timestamps_s[numbers], float(clip.ends_s[numbers[-1]])
    interval = 1 / clip.fps
    gap = 0.1 * min(interval, float(np.diff(clip.timestamps_s).min()))
    late = times + np.abs(rng.standard_normal(len(numbers))) * size * interval
    steps = gap * np.arange(len(numbers))
    late = np.maximum.accumulate(late - steps) + steps  # no frame before its predecessor
    late = np.minimum(late, end - gap * np.arange(len(numbers), 0, -1))  # all before the end of the span
    stamps = clip.timestamps_s.copy()
    stamps[numbers] = late
    delays = late - times
    parameters = {"delay_mean_s": float(delays.mean()), "delay_max_s": float(delays.max())}
    applied = Applied("jitter", severity, (float(times[0]), end), None, parameters)
    return DistortedClip(replace(clip, timestamps_s=stamps), (applied,))


def stall(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Rebuffering: 1..3 pauses of 0.5..5 s in all, in which the picture stands and nothing is lost.

    No frames are added: the frame before each pause is shown longer. One record for each pause, in the time of the
    longer clip; ``at_s`` is the place in the original.

    Raises:
        DataError: The span has no frames.
    """
    return _stalled("stall", clip, severity, rng, within)


def stall_spinner(clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    """Rebuffering as in :func:`stall`, with a turning ring of dots in the middle of the standing picture.

    Frames are added at the rate of the clip; the box is that of the ring.

    Raises:
        DataError: The span has no frames.
    """
    return _stalled("stall_spinner", clip, severity, rng, within)


def _stalled(name: str, clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    row = values(name, severity)
    numbers = frames_within(clip, within, name)
    count = min(int(row["count"]), len(numbers))
    places = np.sort(rng.permutation(numbers)[:count])
    shares = rng.dirichlet(np.full(count, 8.0))
    applied: list[Applied] = []
    for place, share in zip(places, shares, strict=True):
        frames = max(round(row["length_s"] * float(share) * clip.fps), 1)
        added = sum(one.parameters["length_s"] for one in applied)
        at = float(clip.ends_s[place])
        parameters = {"at_s": at, "length_s": frames / clip.fps, "frame": int(place)}
        span = (at + added, at + added + frames / clip.fps)
        box = spinner_box(*clip.frames_THWC.shape[1:3]) if name == "stall_spinner" else None
        applied.append(Applied(name, severity, span, box, parameters))
    return DistortedClip(_paused(clip, applied, spinner=name == "stall_spinner"), tuple(applied))


def _paused(clip: Clip, stalls: list[Applied], *, spinner: bool) -> Clip:
    pictures, stamps, added, done = [], [], 0.0, 0
    for one in stalls:
        after = int(one.parameters["frame"]) + 1
        pictures.append(clip.frames_THWC[done:after])
        stamps.append(clip.timestamps_s[done:after] + added)
        if spinner:
            count = round(one.parameters["length_s"] * clip.fps)
            turns = np.arange(count) / clip.fps / SPINNER_TURN_S
            pictures.append(np.stack([with_spinner(clip.frames_THWC[after - 1], float(turn)) for turn in turns]))
            stamps.append(one.span_s[0] + np.arange(count) / clip.fps)
        added, done = added + one.parameters["length_s"], after
    pictures.append(clip.frames_THWC[done:])
    stamps.append(clip.timestamps_s[done:] + added)
    return replace(
        clip,
        frames_THWC=np.concatenate(pictures),
        timestamps_s=np.concatenate(stamps),
        duration_s=clip.duration_s + added,
    )


def _ring(height: int, width: int) -> tuple[int, int, int, int]:
    """Return the square of the spinner: x0, y0, x1, y1 in pixels; an eighth of the short side."""
    side = max(min(height, width) // 8, 8)
    return (width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2


def spinner_box(height: int, width: int) -> Box:
    """Return where the spinner is, as fractions."""
    x0, y0, x1, y1 = _ring(height, width)
    return (x0 / width, y0 / height, x1 / width, y1 / height)


def with_spinner(frame: Frames, turn: float) -> Frames:
    """Return a picture with a ring of dots on a dark square, the brightest at ``turn`` (1 is a full one).

    Args:
        frame: uint8 (H, W, 3); not changed.
        turn: Any number.
    """
    out = frame.copy()
    x0, y0, x1, _ = _ring(*frame.shape[:2])
    side = x1 - x0
    y, x = np.mgrid[0:side, 0:side] + 0.5 - side / 2
    tile = np.full((side, side), 40.0)
    for dot in range(SPINNER_DOTS):
        angle = 2 * np.pi * dot / SPINNER_DOTS
        near = np.hypot(x - 0.36 * side * np.sin(angle), y + 0.36 * side * np.cos(angle)) <= 0.11 * side
        tile[near] = 255 - 180 * ((turn - dot / SPINNER_DOTS) % 1.0)
    out[y0 : y0 + side, x0:x1] = np.rint(tile)[..., None]
    return out
