"""Clips for the tests: moving, textured, small, and the same every time."""

from __future__ import annotations

import numpy as np

from mllmqa.data.video_distortions import Clip
from tests.media.made import scene


def moving(count: int = 40, *, fps: float = 20, width: int = 96, height: int = 64) -> Clip:
    """Scenes 0 … count−1 with texture that moves along; no two neighbours are equal."""
    rng = np.random.default_rng(7)
    texture = rng.integers(-30, 31, (height, width + 2 * count, 1))
    frames = [
        np.clip(scene(k % 64, width, height) * 0.7 + 30 + texture[:, 2 * k : 2 * k + width], 0, 255)
        for k in range(count)
    ]
    return Clip.of(np.stack(frames).astype(np.uint8), fps)


def generator(seed: int = 3) -> np.random.Generator:
    """A fresh generator."""
    return np.random.default_rng(seed)
