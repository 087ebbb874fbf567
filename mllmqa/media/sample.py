"""Which frames of a video are looked at: named rules, pure functions.

==================  ==================================================================================
``uniform:N``       centres of N equal parts of the duration; in a clip with fewer frames each once
``linspace:N``      N frames at equal steps of index, the first and the last among them (Q-ReAlign)
``1fps``            the published rule: frame int(fps·i) for i in 0 … int(N/fps)−1; under 1 s the first
``fps:X``           X frames per second by time, from the first frame on
``tsn:K``           centre frame of each of K equal parts (mmaction2, test)
``tsn:KxLxS``       K clips of L frames, step S, evenly spread; they overlap in short videos (mmaction2, test)
``tsn-legacy:KxLxS``  as FAST-VQA's own sampler does at test
``tsn-train:KxLxS``   random clip starts (mmaction2, training); needs a Generator
``segments:KxLxS``  K clips of L frames, step S, one in each of K parts, not overlapping where the parts are
                    long enough (FAST-VQA, DOVER); centred, or random with a Generator
``keyframes``       all key frames
``keyframes:N``     N key frames, evenly chosen
``all``             every frame
==================  ==================================================================================

Rules of the tsn and segments kind may run past the end; they then go on from the start (index modulo N), as
the originals do, so they can repeat frames and are not always ascending. Of the other rules ``1fps``
repeats frames, as published, in videos of less than one frame per second, and ``linspace`` in clips of fewer
than N frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.media.index import EPSILON_S, VideoIndex

Numbers = NDArray[np.int64]

MAX_FRAMES = 100_000
"""Frames that a rule with a fixed number of them may take."""

RULES = (
    "uniform:N",
    "linspace:N",
    "1fps",
    "fps:X",
    "tsn:K",
    "tsn:KxLxS",
    "tsn-legacy:KxLxS",
    "tsn-train:KxLxS",
    "segments:KxLxS",
    "keyframes",
    "keyframes:N",
    "all",
)


class IntegerSource(Protocol):
    """What the random rules draw from: :class:`numpy.random.Generator` is one."""

    def integers(self, low: int, high: int, size: int) -> Any:
        """Draw ``size`` integers from [low, high)."""


@dataclass(frozen=True)
class FrameRule:
    """A frame rule.

    Attributes:
        name: Canonical; parsing it gives the same rule.
        kind: The word before the colon.
        numbers: The values after it.
    """

    name: str
    kind: str
    numbers: tuple[float, ...] = ()

    @property
    def is_random(self) -> bool:
        """Whether the rule needs a Generator."""
        return self.kind == "tsn-train"

    def indices(self, index: VideoIndex, rng: IntegerSource | None = None) -> Numbers:
        """Return frame numbers, at least one.

        Args:
            index: The frames of the video.
            rng: Source of the random variants; ``segments`` is centred without it.

        Raises:
            UsageError: A random rule without a Generator.
        """
        if self.is_random and rng is None:
            raise UsageError(f"the frame rule {self.name} is random", hint="pass a numpy Generator")
        if self.kind in _OF_INDEX:
            return _OF_INDEX[self.kind](index, *self.numbers)
        clips, length, step = (int(n) for n in self.numbers)
        if self.kind == "tsn-train":
            return tsn_train(len(index), clips, length, step, cast("IntegerSource", rng))
        if self.kind == "segments":
            return segments(len(index), clips, length, step, rng)
        return (tsn_test if self.kind == "tsn" else tsn_legacy)(len(index), clips, length, step)

    def times(self, index: VideoIndex, rng: IntegerSource | None = None) -> tuple[float, ...]:
        """Return the presentation times of the chosen frames, in seconds."""
        return tuple(float(t) for t in index.timestamps_s[self.indices(index, rng)])


def parse_rule(text: str) -> FrameRule:
    """Read a frame rule.

    Raises:
        UnknownNameError: No such rule, or a value out of range; lists the rules.

    >>> parse_rule("tsn:8").name, parse_rule(" fps:2.0 ").name
    ('tsn:8', 'fps:2')
    """
    kind, _, values = text.strip().lower().partition(":")
    bare = not values and ":" not in text
    if bare and kind in ("1fps", "keyframes", "all"):
        return FrameRule(kind, kind)
    if kind in ("uniform", "linspace", "keyframes") and re.fullmatch(r"[1-9]\d{0,5}", values):
        return FrameRule(f"{kind}:{values}", kind, (int(values),))
    if kind == "fps" and re.fullmatch(r"\d{1,4}(\.\d{1,6})?", values) and float(values) > 0:
        return FrameRule(f"fps:{float(values):g}", kind, (float(values),))
    if kind == "tsn" and re.fullmatch(r"[1-9]\d{0,5}", values):
        return FrameRule(f"tsn:{values}", kind, (int(values), 1, 1))
    if kind in ("tsn", "tsn-legacy", "tsn-train", "segments") and re.fullmatch(
        r"[1-9]\d{0,3}(x[1-9]\d{0,3}){2}", values
    ):
        clips, length, step = (int(v) for v in values.split("x"))
        if clips * length > MAX_FRAMES:
            raise UnknownNameError(f"{text!r} takes {clips * length} frames", expected=f"at most {MAX_FRAMES}")
        short = kind == "tsn" and length == step == 1
        return FrameRule(f"tsn:{clips}" if short else f"{kind}:{values}", kind, (clips, length, step))
    raise UnknownNameError(f"no frame rule is called {text!r}", expected="one of " + ", ".join(RULES))


def linspace(index: VideoIndex, n: float) -> Numbers:
    """Return n frame numbers at equal steps from the first to the last, rounded half to even."""
    return np.rint(np.linspace(0, len(index) - 1, int(n))).astype(np.int64)


def uniform(index: VideoIndex, n: float) -> Numbers:
    """Return the frames shown at the centres of n equal parts of the duration, each once."""
    if len(index) <= n:
        return np.arange(len(index))
    start = float(index.timestamps_s[0])
    centres = start + (np.arange(int(n)) + 0.5) * (index.duration_s - start) / int(n)
    return _shown_at(index, centres)


def one_per_second(index: VideoIndex) -> Numbers:
    """Return the published choice (Q-Align and others): frame int(fps·i), i < int(N/fps), by average rate."""
    n, fps = len(index), index.fps or 1.0
    chosen = np.array([int(fps * i) for i in range(int(n / fps))], np.int64)
    return chosen[chosen < n] if len(chosen) else np.zeros(1, np.int64)


def by_rate(index: VideoIndex, rate: float) -> Numbers:
    """Return the frames shown every 1/rate seconds from the first frame on, each once."""
    start = float(index.timestamps_s[0])
    count = max(1, int(np.ceil((index.duration_s - start) * rate - EPSILON_S)))
    if count > len(index) * 4:  # more moments than frames: every frame is shown at one of them
        return np.arange(len(index))
    return _shown_at(index, start + np.arange(count) / rate)


def key_frames(index: VideoIndex, n: float | None = None) -> Numbers:
    """Return all key frames, or n of them at the centres of n equal parts of their list."""
    keys = np.flatnonzero(index.keyframes)
    keys = keys if len(keys) else np.zeros(1, np.int64)
    if n is None or len(keys) <= n:
        return keys
    return keys[((np.arange(int(n)) + 0.5) * len(keys) / int(n)).astype(np.int64)]


def all_frames(index: VideoIndex) -> Numbers:
    """Return every frame."""
    return np.arange(len(index))


def _shown_at(index: VideoIndex, times_s: NDArray[np.float64]) -> Numbers:
    found = np.searchsorted(index.timestamps_s, times_s + EPSILON_S, side="right") - 1
    return np.unique(np.clip(found, 0, None))


_OF_INDEX: dict[str, Callable[..., Numbers]] = {
    "uniform": uniform,
    "linspace": linspace,
    "1fps": one_per_second,
    "fps": by_rate,
    "keyframes": key_frames,
    "all": all_frames,
}


def _clips(offsets: NDArray[Any], length: int, step: int, n: int) -> Numbers:
    """Return the frames of clips that start at the offsets; past the end they go on from the start."""
    steps = np.arange(length, dtype=np.int64) * step
    return (offsets.astype(np.int64)[:, None] + steps[None]).reshape(-1) % n


def tsn_test(n: int, clips: int, length: int, step: int) -> Numbers:
    """Return frame numbers as mmaction2's SampleFrames in test mode does (out of bounds: loop).

    >>> tsn_test(240, 8, 1, 1).tolist()
    [15, 45, 75, 105, 135, 165, 195, 225]
    """
    room = max(n - ((length - 1) * step + 1), 0)
    if length == 1:
        offsets = (np.arange(clips) * (n / clips) + n / clips / 2).astype(np.int64)
    elif clips > 1:
        offsets = np.round(np.arange(clips) * (room / (clips - 1)))
    else:
        offsets = np.array([room // 2])
    return _clips(offsets, length, step, n)


def tsn_legacy(n: int, clips: int, length: int, step: int) -> Numbers:
    """Return frame numbers as FAST-VQA's SampleFrames does at test: int(k·a + a/2), a = (n − L·S + 1)/K."""
    span = length * step
    apart = (n - span + 1) / clips
    offsets = (np.arange(clips) * apart + apart / 2).astype(np.int64) if n > span - 1 else np.zeros(clips)
    return _clips(offsets, length, step, n)


def tsn_train(n: int, clips: int, length: int, step: int, rng: IntegerSource) -> Numbers:
    """Return frame numbers as mmaction2's SampleFrames does in training: random starts."""
    span = length * step
    apart = (n - span + 1) // clips
    if apart > 0:
        offsets = np.arange(clips) * apart + rng.integers(0, apart, size=clips)
    elif n > max(clips, span):
        offsets = np.sort(rng.integers(0, n - span + 1, size=clips))
    elif apart == 0:
        offsets = np.around(np.arange(clips) * ((n - span + 1) / clips))
    else:
        offsets = np.zeros(clips)
    return _clips(np.asarray(offsets), length, step, n)


def segments(n: int, clips: int, length: int, step: int, rng: IntegerSource | None = None) -> Numbers:
    """Return frame numbers as the FragmentSampleFrames of FAST-VQA and DOVER does.

    Without ``rng`` every clip lies in the centre of its segment instead of at a random place.
    """
    segment, span = n // clips, length * step
    room = segment - span
    starts = np.arange(clips) * segment
    if room > 0:
        starts = starts + (room // 2 if rng is None else rng.integers(0, room, size=clips))
    return _clips(starts, length, step, n)
