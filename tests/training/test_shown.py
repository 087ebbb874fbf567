"""What is shown of clips and pictures: parts of them, as scoring sees them, by chance where a view wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mllmqa import media
from mllmqa.data.streams import stream
from mllmqa.errors import MediaLimitError, MediaNotFoundError, UsageError
from mllmqa.models.presets import preset_named
from mllmqa.prepare import ScoreOptions, make_plan, prepare
from mllmqa.training import shown
from mllmqa.training.shown import Look, show
from tests.data.samples_made import medium
from tests.media.made import make_video, number_of
from tests.training.training_made import opened


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 numbered frames, ten per second."""
    return make_video(tmp_path_factory.mktemp("shown") / "clip.mp4", 24)


def look(native: bool = False, **more: Any) -> Look:
    return Look.of(preset_named("generic"), native, **more)


def video(**more: Any) -> Any:
    return medium("C", kind="video", path="clip.mp4", **more)


def chance() -> np.random.Generator:
    return stream(0, "view")


@pytest.mark.parametrize(
    ("rule", "numbers"),
    [("uniform:4", [10, 11, 12, 13]), ("uniform:2", [11, 13]), ("fps:5", [10, 12]), ("linspace:2", [10, 13])],
)
def test_rules_spread_over_the_part_that_is_meant(clip: Path, rule: str, numbers: list[int]) -> None:
    """Frames 10 to 13; what lies behind the part does not pull the rule to its end."""
    seen = show(video(span_s=(1.0, 1.4)), clip, look(frames=rule), chance())
    assert [number_of(image) for image in seen.images] == numbers
    joined = show(video(span_s=(1.0, 1.4)), clip, look(True, frames=rule), chance())
    assert joined.clip is not None
    assert joined.clip.duration_s == pytest.approx(1.4)
    assert all(1.0 <= t < 1.4 for t in joined.clip.timestamps_s)


def test_a_part_that_goes_on_after_the_end_ends_there(clip: Path) -> None:
    seen = show(video(span_s=(2.0, 60.0)), clip, look(True, frames="uniform:4"), chance())
    assert seen.clip is not None
    assert seen.clip.duration_s == pytest.approx(2.4)
    assert [number_of(image) for image in seen.images] == [20, 21, 22, 23]


def test_frames_are_those_of_scoring_and_decoded_some_at_a_time(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened("nano", clip.parent)
    plan = make_plan(preset_named("generic"), found.info, True, ScoreOptions(frames="uniform:7", view="fit:48"))
    scored = prepare(clip, "clip", plan)
    wished = look(True, frames="uniform:7", view="fit:48")
    whole = show(video(), clip, wished, chance())
    monkeypatch.setattr(shown, "CHUNK_BYTES", 2 * 96 * 64 * 3)
    parts = show(video(), clip, wished, chance())
    requests = getattr(scored, "requests", ())
    assert len(requests) == 1
    for other in (parts.images, requests[0].images):
        assert len(other) == len(whole.images) == 7
        assert all(np.array_equal(a, b) for a, b in zip(whole.images, other, strict=True))
    assert parts.clip == whole.clip == requests[0].clip


def test_too_much_of_a_clip_is_refused(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "MAX_VIEW_BYTES", 3 * 96 * 64 * 3)
    assert len(show(video(), clip, look(frames="uniform:3"), chance()).images) == 3
    with pytest.raises(MediaLimitError, match=r"rule uniform:4 takes 4 frames, too many.*frames=uniform:32"):
        show(video(), clip, look(frames="uniform:4"), chance())


def test_slices_stand_behind_frames_that_are_shown_in_one_prompt(clip: Path) -> None:
    preset = preset_named("nano")
    wished = Look.of(preset, False, frames="uniform:3")
    assert wished.slices
    assert not Look.of(preset_named("generic"), False).slices
    found = show(video(), clip, wished, chance())
    assert found.clip is None
    assert [image.shape[:2] for image in found.images[:3]] == 3 * [(64, 96)]
    index = media.video_index(media.open_media(clip))
    (slices,) = media.slice_pictures(media.open_media(clip), index)
    assert np.array_equal(found.images[3], slices)
    assert len(found.images) == 4
    part = show(video(span_s=(0.0, 1.0)), clip, wished, chance())
    assert len(part.images[3]) < len(slices)


def test_views_that_cut_are_for_pictures(clip: Path) -> None:
    cutting = look(True, view="tiles:1x2", frames="uniform:2")
    with pytest.raises(UsageError, match=r"view tiles:1x2 cuts frames into parts.*choose another with `view`"):
        show(video(), clip, cutting, chance())
    apart = show(video(), clip, look(False, view="tiles:1x2", frames="uniform:2"), chance())
    assert [image.shape for image in apart.images] == 4 * [(64, 48, 3)]
    cutting = look(False, view="tiles:1x2")
    cutting.check_clips()


def test_chance_decides_views_and_nothing_else_does(clip: Path) -> None:
    wished = look(view="random-crop:32", frames="uniform:2")
    first, again = (show(video(), clip, wished, stream(3, "view", "a")).images for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    others = [show(video(), clip, wished, stream(seed, "view", "a")).images[0] for seed in range(4, 9)]
    assert any(not np.array_equal(first[0], other) for other in others)


def test_what_is_not_there_is_named(clip: Path) -> None:
    with pytest.raises(MediaNotFoundError, match=r"gone\.mp4"):
        show(video(), clip.parent / "gone.mp4", look(), chance())


def test_a_preset_of_single_frames_puts_them_in_one_prompt() -> None:
    found = Look.of(preset_named("compare2score").fitted("mplug_owl2", 32), True)
    assert (found.native, found.rule, found.view.name) == (False, media.parse_rule("1fps"), "pad-square:32")
