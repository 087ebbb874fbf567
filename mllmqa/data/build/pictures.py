"""Photos and clips in the making: pixels, and what was done to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mllmqa.data import distortions, video_distortions
from mllmqa.data.distortions import Distorted, Pixels
from mllmqa.data.distortions.local import Box, apply_in
from mllmqa.data.sample import Split
from mllmqa.data.sample_labels import Distortion
from mllmqa.data.video_distortions import Clip, Step
from mllmqa.data.video_distortions.clip import EPSILON_S
from mllmqa.data.video_distortions.lift import Draws
from mllmqa.data.video_distortions.registry import category_of_video
from mllmqa.errors import DataError

Chance = np.random.Generator
WINDOW, WINDOW_FPS = 0.75, 25.0
"""Of a clip that moves over a photo: share of its sides that is seen, frames per second."""
LEAST_EFFECT = 0.5
"""A distortion of a clip that changes less than this, in grey levels, cannot be seen: a freeze of a still scene."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo, or a distorted version of it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        path: Of the pristine photo.
        part: Of the pristine photo.
        distortions: What was done, in order; ``media`` is set when it becomes part of a sample.
    """

    pixels: Pixels
    path: Path
    part: Split
    distortions: tuple[Distortion, ...] = ()

    def distorted(self, steps: Sequence[tuple[str, float]], chance: Chance) -> Picture:
        """Return the picture with distortions of the whole of it, (name, severity), one after the other."""
        made = self
        for name, severity in steps:
            done = distortions.apply(made.pixels, name, severity, chance)
            made = made._with(done, name, severity, None)
        return made

    def distorted_in(self, box: Box, name: str, severity: float, chance: Chance) -> Picture:
        """Return the picture with a distortion inside a box, in pixels."""
        return self._with(apply_in(self.pixels, box, name, severity, chance), name, severity, box)

    def _with(self, done: Distorted, name: str, severity: float, box: Box | None) -> Picture:
        record = Distortion(
            media="A", category=distortions.category_of(name), name=name, severity=float(severity),
            order=len(self.distortions) + 1, parameters=done.parameters, box=box,
        )  # fmt: skip
        return replace(self, pixels=done.pixels, distortions=(*self.distortions, record))


@dataclass(frozen=True, eq=False)
class Video:
    """A clip, or a distorted version of it.

    Attributes:
        clip: Frames with times.
        path: Of the pristine clip.
        part: Of the pristine clip.
        distortions: What was done, in order, in the times of this version.
    """

    clip: Clip
    path: Path
    part: Split
    distortions: tuple[Distortion, ...] = ()

    def distorted(self, steps: Sequence[Step], chance: Chance) -> Video:
        """Return the clip with temporal distortions, losses or codecs, one after the other.

        Raises:
            DataError: A step cannot be done, or nothing of it would be seen.
        """
        done = video_distortions.apply_all(self.clip, steps, chance)
        for one in done.applied:
            if one.effect is not None and one.effect < LEAST_EFFECT:
                raise DataError(
                    f"{one.name} changes {one.effect:g} grey levels", where=self.path.name,
                    expected=f"at least {LEAST_EFFECT:g}: the scene is too still for it",
                )  # fmt: skip
        return self._with(done)

    def lifted(self, name: str, severity: int, chance: Chance, within: video_distortions.Span | None) -> Video:
        """Return the clip with a distortion of pictures on every frame of a span; noise is drawn anew each time."""
        draws: Draws = "independent" if _is_noise(name) else "drifting"
        done = video_distortions.lift(
            distortions.apply, self.clip, name, severity, chance, within=within, draws=draws
        )
        return self._with(done)

    def _with(self, done: video_distortions.DistortedClip) -> Video:
        found = list(self.distortions)
        for one in done.applied:
            found.append(_label(one, done.clip, len(found) + 1))
        return replace(self, clip=done.clip, distortions=tuple(found))


def moving(pixels: Pixels, chance: Chance, seconds: float, fps: float = WINDOW_FPS) -> Clip:
    """Return a clip of a window that moves over a photo, as a camera would: smoothly, no pixel is resampled.

    Args:
        pixels: (H, W, 3) uint8.
        chance: Draws where it starts and ends, and how it sways on the way.
        seconds: Length of the clip.
        fps: Its rate.

    Returns:
        Frames of three quarters of the sides, even numbers of pixels.
    """
    height, width = (int(WINDOW * side) // 2 * 2 for side in pixels.shape[:2])
    count = max(1, round(seconds * fps))
    time = np.linspace(0, 1, count)
    paths = []
    for room in (pixels.shape[0] - height, pixels.shape[1] - width):
        start, end = chance.uniform(0, room, 2)
        sway = chance.uniform(0, room / 8) * np.sin(2 * np.pi * (chance.uniform(0.5, 3) * time + chance.random()))
        eased = start + (end - start) * (time if chance.random() < 0.5 else time**2 * (3 - 2 * time))
        paths.append(np.clip(np.rint(eased + sway), 0, room).astype(int))
    frames = [pixels[top : top + height, left : left + width] for top, left in zip(*paths, strict=True)]
    return Clip.of(np.stack(frames), fps)


def _label(one: video_distortions.Applied, clip: Clip, order: int) -> Distortion:
    """Return the record as a label: spans and boxes only where they are not the whole."""
    whole = one.span_s[0] <= 0 and one.span_s[1] >= clip.duration_s - EPSILON_S
    height, width = clip.frames_THWC.shape[1:3]
    box = None
    if one.box is not None:
        x0, y0, x1, y1 = one.box
        box = (int(x0 * width), int(y0 * height), math.ceil(x1 * width), math.ceil(y1 * height))
    return Distortion(
        media="A", category=_category(one.name), name=one.name, severity=float(one.severity), order=order,
        parameters=dict(one.parameters), box=box, span_s=None if whole else one.span_s,
    )  # fmt: skip


def _is_noise(name: str) -> bool:
    return distortions.category_of(name) == "noise"


def _category(name: str) -> str:
    return category_of_video(name) if name in video_distortions.NAMES else distortions.category_of(name)
