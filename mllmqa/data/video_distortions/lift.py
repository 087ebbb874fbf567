"""Any distortion of images, on every frame of a clip or of a span of it.

What the image distortion draws at random must have a course in time. ``shared``: every frame draws the same (dirt
on the lens, one direction of blur). ``independent``: every frame draws anew (sensor noise). ``drifting``: what is
drawn wanders slowly, and at each moment has the distribution that a single picture would have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Literal, Protocol, get_args

import numpy as np

from mllmqa.data.video_distortions.clip import (
    Applied,
    Clip,
    DistortedClip,
    Frames,
    Span,
    frames_within,
    measure_effect,
    span_of,
)
from mllmqa.data.video_distortions.severities import check
from mllmqa.errors import DataError, UsageError

Draws = Literal["shared", "drifting", "independent"]
DRIFT_TIME_S = 0.5
"""After this time a drifting draw has forgotten 63 % of what it was."""


class DistortedImage(Protocol):
    """What an image distortion gives back."""

    @property
    def pixels(self) -> Frames:
        """uint8 (H, W, 3), of the same size."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What was done, JSON types."""


class ImageDistortion(Protocol):
    """A function that distorts one picture, as ``mllmqa.data.distortions.apply``."""

    def __call__(self, pixels: Frames, name: str, severity: int, rng: np.random.Generator, /) -> DistortedImage:
        """Distort uint8 (H, W, 3) pixels, which must not be changed."""


class DriftingGenerator(np.random.Generator):
    """A Generator whose uniform and normal draws wander from frame to frame.

    The k-th draw of a frame is tied to the k-th draw of the frame before: normal values are first-order
    autoregressive, uniform ones walk on a circle, so each keeps its distribution exactly. Integers, choices and
    angles made from uniform values wander with them. All other draws (Poisson, permutations …) are shared: the same
    in every frame.

    Args:
        seed: Of all draws.
        memory: Correlation between neighbouring frames, 0..1.
    """

    def __init__(self, seed: int, memory: float) -> None:
        super().__init__(np.random.PCG64(seed))
        self._start = self.bit_generator.state
        self._steps = np.random.Generator(np.random.PCG64([seed, 1]))
        self._memory = memory
        self._held: list[Any] = []
        self._place = 0

    def next_frame(self) -> None:
        """Begin the next frame: its first draw belongs to the first draw of the last frame."""
        self._place = 0
        self.bit_generator.state = self._start

    def _drift(self, kind: str, size: Any) -> Any:
        fresh = self._steps.random(size) if kind == "uniform" else self._steps.standard_normal(size)
        place, self._place = self._place, self._place + 1
        if place == len(self._held):
            self._held.append((kind, fresh))
            return fresh
        old_kind, old = self._held[place]
        if old_kind != kind or np.shape(old) != np.shape(fresh):
            value = fresh
        elif kind == "normal":
            value = self._memory * old + np.sqrt(1 - self._memory**2) * fresh
        else:
            value = (old + (1 - self._memory) * (fresh - 0.5)) % 1.0
        self._held[place] = (kind, value)
        return value

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw from [0, 1); see :meth:`numpy.random.Generator.random`."""
        return _given(self._drift("uniform", size), dtype, out)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Draw from [low, high)."""
        return low + (np.asarray(high) - low) * self._drift("uniform", _shape(size, low, high))

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw from N(0, 1)."""
        return _given(self._drift("normal", size), dtype, out)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Draw from N(loc, scale²)."""
        return loc + np.asarray(scale) * self._drift("normal", _shape(size, loc, scale))

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64, endpoint: bool = False
    ) -> Any:
        """Draw integers from [low, high), or to high with ``endpoint``."""
        low, high = (0, low) if high is None else (low, high)
        reach = np.asarray(high) - low + int(endpoint)
        drawn = low + np.floor(reach * self._drift("uniform", _shape(size, low, high))).astype(np.int64)
        return int(drawn) if np.ndim(drawn) == 0 and size is None else np.asarray(drawn).astype(dtype)


def _shape(size: Any, *bounds: Any) -> Any:
    if size is not None:
        return size
    shape = np.broadcast_shapes(*(np.shape(bound) for bound in bounds))
    return shape or None


def _given(value: Any, dtype: Any, out: Any) -> Any:
    if out is not None:
        out[...] = value
        return out
    return float(value) if np.ndim(value) == 0 else np.asarray(value, dtype=dtype)


def lift(
    function: ImageDistortion,
    clip: Clip,
    name: str,
    severity: int,
    rng: np.random.Generator,
    *,
    within: Span | None = None,
    draws: Draws = "shared",
) -> DistortedClip:
    """Distort every frame of a span by a function made for images.

    Args:
        function: See :class:`ImageDistortion`.
        clip: Not changed.
        name: Passed to the function.
        severity: 1..5.
        rng: One number is drawn from it, whatever the function draws.
        within: Span; None for the whole clip.
        draws: See the module.

    Returns:
        One record under ``name``; its parameters are those of the first frame, and ``draws``.

    Raises:
        UsageError: Unknown ``draws``.
        DataError: No frames in the span, a severity outside 1..5, or pictures of another size come back.
    """
    if draws not in get_args(Draws):
        raise UsageError(f"draws are {draws!r}", expected=" | ".join(get_args(Draws)))
    check(severity)
    numbers = frames_within(clip, within or clip.whole, name)
    generators = _generators(draws, int(rng.integers(2**63)), clip.fps)
    frames = clip.frames_THWC.copy()
    parameters: dict[str, Any] = {}
    for number, generator in zip(numbers, generators, strict=False):
        done = function(clip.frames_THWC[number], name, severity, generator)
        if done.pixels.shape != frames.shape[1:] or done.pixels.dtype != np.uint8:
            raise DataError(
                f"{name}: a frame came back as {done.pixels.dtype} {done.pixels.shape}",
                expected=f"uint8 {frames.shape[1:]}",
            )
        frames[number] = done.pixels
        parameters = parameters or {**done.parameters, "draws": draws}
    span, changed = span_of(clip, numbers), clip.with_frames(frames)
    effect = measure_effect(clip, changed, span, None)
    return DistortedClip(changed, (Applied(name, severity, span, None, parameters, effect=effect),))


def _generators(draws: Draws, seed: int, fps: float) -> Iterator[np.random.Generator]:
    """Yield the generator of each frame, without end."""
    drifting = DriftingGenerator(seed, float(np.exp(-1 / (fps * DRIFT_TIME_S))))
    for place in count():
        if draws == "drifting":
            drifting.next_frame()
            yield drifting
        else:
            yield np.random.default_rng(seed if draws == "shared" else [seed, place])
