"""Thumbnails: of images and clips, with masks, and a reason where there is none."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.data.sample_labels import Distortion
from mllmqa.data.sheet.thumbnails import FRAMES, SIDE, Shot, strip_of
from tests.conftest import photo_pixels
from tests.data.samples_made import medium

CLIP = Path(__file__).parents[3] / "docs" / "samples" / "flower.mp4"


def pixels(shot: Shot) -> np.ndarray:
    head, _, data = shot.uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), np.int16)


@pytest.mark.parametrize(
    ("size", "small"), [((640, 480), (256, 192)), ((300, 600), (128, 256)), ((40, 30), (40, 30))]
)
def test_images_are_shrunk_never_enlarged(tmp_path: Path, size: tuple[int, int], small: tuple[int, int]) -> None:
    Image.fromarray(photo_pixels(*size)).save(tmp_path / "A.png")
    strip = strip_of(medium(), (), tmp_path)
    (shot,) = strip.shots
    assert (shot.width, shot.height) == small
    assert pixels(shot).shape == (small[1], small[0], 3)
    assert (strip.width, strip.height) == size
    assert (shot.time_s, strip.end_s, strip.trouble) == (None, None, None)


def test_clips_are_four_frames_in_order() -> None:
    strip = strip_of(medium(kind="video", path=str(CLIP)), (), Path())
    times = [shot.time_s for shot in strip.shots]
    assert len(times) == FRAMES
    assert times == sorted(times)  # type: ignore[type-var]
    assert strip.end_s is not None
    assert 0 < times[0] < times[-1] < strip.end_s  # type: ignore[operator]
    assert max(strip.shots[0].width, strip.shots[0].height) <= SIDE


def test_a_part_of_a_clip_is_shown_alone() -> None:
    whole = strip_of(medium(kind="video", path=str(CLIP)), (), Path())
    assert whole.end_s is not None
    half = whole.end_s / 2
    strip = strip_of(medium(kind="video", path=str(CLIP), span_s=(half, whole.end_s)), (), Path())
    assert all(shot.time_s is not None and half - 0.1 <= shot.time_s < whole.end_s for shot in strip.shots)
    assert (strip.start_s, strip.end_s) == (half, whole.end_s)


def test_masks_are_laid_over(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (128, 128, 128)).save(tmp_path / "A.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 1  # what is not black is distorted, however dark
    Image.fromarray(mask).save(tmp_path / "m.png")
    one = Distortion(media="A", category="blur", mask="m.png")
    seen = pixels(strip_of(medium(), [one], tmp_path).shots[0])
    assert abs(seen[:, :24] - 128).max() < 12
    assert (seen[:, 40:, 0] > 170).all()  # tinted red
    assert (seen[:, 40:, 1] < 100).all()


def test_what_cannot_be_shown_says_why(tmp_path: Path) -> None:
    assert strip_of(medium(path=None, sha256="0" * 64), (), tmp_path).trouble == "no path, only a hash"
    assert "no such file" in str(strip_of(medium(), (), tmp_path).trouble)
    (tmp_path / "A.png").write_text("text")
    strip = strip_of(medium(), (), tmp_path)
    assert strip.shots == ()
    assert strip.trouble


def test_a_mask_that_is_gone_does_not_hide_the_picture(tmp_path: Path) -> None:
    Image.fromarray(photo_pixels(64, 48)).save(tmp_path / "A.png")
    strip = strip_of(medium(), [Distortion(media="A", category="blur", mask="gone.png")], tmp_path)
    assert len(strip.shots) == 1
    assert "mask: " in str(strip.trouble)
    assert "no such file" in str(strip.trouble)


def test_an_animation_under_image_is_shown_by_its_content(tmp_path: Path) -> None:
    frames = [Image.fromarray(photo_pixels(64, 48, seed=k)) for k in range(3)]
    frames[0].save(tmp_path / "A.png", "GIF", save_all=True, append_images=frames[1:], duration=200, loop=0)
    assert len(strip_of(medium(), (), tmp_path).shots) == FRAMES
