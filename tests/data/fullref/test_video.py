"""Metrics of videos: frames are paired by time, also where stamps differ."""

from __future__ import annotations

import numpy as np
import pytest

from mllmqa.data.fullref import measure_video, psnr
from mllmqa.data.video_distortions import Clip, apply
from mllmqa.errors import DataError, UnknownNameError
from tests.data.video_distortions.clips import generator, moving

CLIP = moving(40)


def test_equal_clips() -> None:
    found = measure_video(CLIP, CLIP, ["psnr"])
    assert found.values == {"psnr": 80.0}
    assert found.per_frame["psnr"].shape == (40,)
    assert np.array_equal(found.times_s, CLIP.timestamps_s)


def test_value_is_the_mean_over_the_frames() -> None:
    done = apply(CLIP, "flicker", 3, generator()).clip
    found = measure_video(CLIP, done, ["psnr"])
    by_hand = [psnr(a, b) for a, b in zip(CLIP.frames_THWC, done.frames_THWC, strict=True)]
    assert found.per_frame["psnr"].tolist() == by_hand
    assert found.values["psnr"] == pytest.approx(np.mean(by_hand))


def test_dropped_frames_count_as_long_as_they_are_missed() -> None:
    done = apply(CLIP, "frame_drop", 3, generator())
    found = measure_video(CLIP, done.clip, ["psnr"])
    wrong = CLIP.timestamps_s[found.per_frame["psnr"] < 80]
    assert wrong.tolist() == pytest.approx([start for start, _ in done.applied[0].events_s])


def test_the_same_clip_at_another_rate_is_equal() -> None:
    doubled = Clip(np.repeat(CLIP.frames_THWC, 2, axis=0), np.arange(80) / 40, 40, 2.0)
    assert measure_video(CLIP, doubled, ["psnr"]).values == {"psnr": 80.0}
    assert measure_video(doubled, CLIP, ["psnr"]).values == {"psnr": 80.0}


def test_stamps_rounded_to_milliseconds_are_no_difference() -> None:
    ntsc = Clip.of(CLIP.frames_THWC, 30000 / 1001)
    rounded = Clip(ntsc.frames_THWC, np.round(ntsc.timestamps_s, 3), ntsc.fps, ntsc.duration_s)
    assert measure_video(ntsc, rounded, ["psnr"]).values == {"psnr": 80.0}


def test_only_a_span() -> None:
    done = apply(CLIP, "shake", 5, generator(), within=(0.5, 1.0)).clip
    assert measure_video(CLIP, done, ["psnr"], within=(1.0, 2.0)).values["psnr"] == 80
    inside = measure_video(CLIP, done, ["psnr"], within=(0.5, 1.0))
    assert inside.values["psnr"] < 40
    assert len(inside.times_s) == 10


@pytest.mark.parametrize(("fps", "count"), [(5, 10), (20, 40), (100, 40), (1, 2), (0.1, 1)])
def test_fewer_comparisons(fps: float, count: int) -> None:
    found = measure_video(CLIP, CLIP, ["psnr"], fps=fps)
    assert len(found.times_s) == count
    assert found.times_s[0] == 0


def test_severity_orders_values() -> None:
    values = [
        measure_video(CLIP, apply(CLIP, "h264", s, generator()).clip, ["psnr"], fps=10).values["psnr"]
        for s in (1, 2, 3, 4, 5)
    ]
    assert values == sorted(values, reverse=True)


def test_refusals() -> None:
    stalled = apply(CLIP, "stall", 1, generator()).clip
    with pytest.raises(DataError, match=r"lasts 2 s, the distorted clip 2.5 s; .* before stalls"):
        measure_video(CLIP, stalled, ["psnr"])
    with pytest.raises(DataError, match="one size for both"):
        measure_video(CLIP, moving(40, width=64), ["psnr"])
    with pytest.raises(DataError, match="no frame of the reference"):
        measure_video(CLIP, CLIP, ["psnr"], within=(3.0, 4.0))
    with pytest.raises(DataError, match="positive"):
        measure_video(CLIP, CLIP, ["psnr"], fps=0)
    with pytest.raises(UnknownNameError):
        measure_video(CLIP, CLIP, ["vmaf"])
