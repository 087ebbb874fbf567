"""Photos and clips in the making: what was done is recorded, in order, in place and time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data import distortions
from mllmqa.data.build import Picture, Video
from mllmqa.data.build.pictures import WINDOW
from mllmqa.data.build.pictures import moving as moving_view
from mllmqa.data.video_distortions import Clip, Step, apply
from mllmqa.errors import DataError
from tests.conftest import photo_pixels
from tests.data.video_distortions.clips import moving

PHOTO = Picture(photo_pixels(80, 64), Path("photo.png"), "val")
CLIP = Video(moving(30, width=64, height=48), Path("clip.mp4"), "test")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_chain_of_distortions_is_recorded_and_can_be_done_again() -> None:
    made = PHOTO.distorted([("blur_gaussian", 2), ("noise_impulse", 4.5)], rng())
    assert [(one.order, one.name, one.category, one.severity) for one in made.distortions] == [
        (1, "blur_gaussian", "blur", 2.0),
        (2, "noise_impulse", "noise", 4.5),
    ]
    assert (made.path, made.part) == (PHOTO.path, "val")
    once = distortions.apply_many(PHOTO.pixels, [("blur_gaussian", 2), ("noise_impulse", 4.5)], rng())
    assert np.array_equal(made.pixels, once.pixels)
    assert [one.parameters for one in made.distortions] == [step["parameters"] for step in once.parameters["steps"]]
    assert PHOTO.distortions == () and np.array_equal(PHOTO.pixels, photo_pixels(80, 64))
    assert PHOTO.distorted([], rng()) is PHOTO


def test_a_distortion_in_a_box_is_recorded_with_it() -> None:
    made = PHOTO.distorted_in((10, 8, 50, 48), "pixelate", 5, rng()).distorted([("blur_gaussian", 1)], rng())
    assert [(one.order, one.box) for one in made.distortions] == [(1, (10, 8, 50, 48)), (2, None)]
    with pytest.raises(DataError, match="a box"):
        PHOTO.distorted_in((10, 8, 20, 48), "pixelate", 5, rng())


def test_a_span_in_time_is_recorded_only_where_it_is_not_the_whole() -> None:
    part = CLIP.distorted([Step("flicker", 4, (0.3, 1.0))], rng()).distortions[0]
    assert part.category == "flicker" and part.span_s is not None
    assert 0 < part.span_s[0] < part.span_s[1] < CLIP.clip.duration_s
    whole = CLIP.distorted([Step("flicker", 4)], rng()).distortions[0]
    assert whole.span_s is None


def test_steps_of_a_clip_follow_each_other() -> None:
    made = CLIP.distorted([Step("frame_drop", 3)], rng()).distorted([Step("flicker", 5)], rng(1))
    assert [(one.order, one.category) for one in made.distortions] == [(1, "drop"), (2, "flicker")]
    assert (made.path, made.part) == (CLIP.path, "test")
    assert not np.array_equal(made.clip.frames_THWC[: len(CLIP.clip.frames_THWC)], CLIP.clip.frames_THWC)


def test_a_distortion_of_pictures_is_lifted_to_a_span() -> None:
    made = CLIP.lifted("noise_impulse", 4, rng(), (0.5, 1.0))
    (found,) = made.distortions
    assert (found.category, found.severity) == ("noise", 4.0) and found.span_s is not None
    changed = np.array(
        [not np.array_equal(a, b) for a, b in zip(made.clip.frames_THWC, CLIP.clip.frames_THWC, strict=True)]
    )
    times = CLIP.clip.timestamps_s
    assert np.array_equal(changed, (times >= 0.5 - 1e-6) & (times < 1.0 - 1e-6))
    differences = made.clip.frames_THWC[changed].astype(int) - CLIP.clip.frames_THWC[changed]
    assert not np.array_equal(differences[0], differences[1])  # noise is drawn anew for each frame
    assert CLIP.lifted("noise_impulse", 4, rng(), None).distortions[0].span_s is None


def test_what_nobody_sees_is_refused() -> None:
    still = Video(Clip.of(np.full((40, 48, 64, 3), 120, np.uint8), fps=20), Path("still.mp4"), "train")
    with pytest.raises(DataError, match=r"still\.mp4: freeze changes 0 grey levels; expected at least 0\.5"):
        still.distorted([Step("freeze", 1, (0.5, 1.9))], rng())
    seen = apply(moving(40), "freeze", 1, rng(), within=(0.5, 1.9)).applied[0].effect
    assert seen is not None and seen > 0.5


@given(st.tuples(st.integers(16, 90), st.integers(16, 90)), st.floats(0.1, 2), st.integers(0, 2**32 - 1))
def test_a_moving_view_shows_windows_of_the_photo_and_nothing_else(
    size: tuple[int, int], seconds: float, seed: int
) -> None:
    """Every frame is a part of the photo as it is: each pixel tells where it came from."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    photo = np.stack([y, x, np.zeros_like(x)], axis=2).astype(np.uint8)
    clip = moving_view(photo, np.random.default_rng(seed), seconds)
    h, w = int(WINDOW * height) // 2 * 2, int(WINDOW * width) // 2 * 2
    assert clip.frames_THWC.shape == (max(1, round(seconds * 25)), h, w, 3)
    for frame in clip.frames_THWC:
        top, left = int(frame[0, 0, 0]), int(frame[0, 0, 1])
        assert np.array_equal(frame, photo[top : top + h, left : left + w])
    again = moving_view(photo, np.random.default_rng(seed), seconds)
    assert np.array_equal(again.frames_THWC, clip.frames_THWC)
