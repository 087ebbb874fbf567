"""Clips and records: what they refuse, which frame is shown when."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mllmqa.data.video_distortions.clip import Applied, Clip, frames_within, measure_effect, span_of
from mllmqa.errors import DataError
from tests.data.video_distortions.clips import moving

FRAMES = np.zeros((3, 16, 16, 3), np.uint8)


def test_clip_of_constant_rate() -> None:
    clip = Clip.of(FRAMES, 10)
    assert clip.timestamps_s.tolist() == pytest.approx([0, 0.1, 0.2])
    assert clip.duration_s == pytest.approx(0.3)
    assert clip.ends_s.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert len(clip) == 3
    assert clip.whole == (0.0, clip.duration_s)


@pytest.mark.parametrize(
    ("frames", "times", "fps", "end", "message"),
    [
        (FRAMES.astype(float), [0, 0.1, 0.2], 10, 0.3, "float64"),
        (FRAMES[0], [0.0] * 16, 10, 0.3, r"expected uint8 \(T, H, W, 3\)"),
        (FRAMES[:0], [], 10, 0.3, "T ≥ 1"),
        (FRAMES[..., :1], [0, 0.1, 0.2], 10, 0.3, "uint8"),
        (FRAMES, [0, 0.1], 10, 0.3, "3 frames have"),
        (FRAMES, [0.1, 0.2, 0.3], 10, 0.4, "ascend from 0"),
        (FRAMES, [0, 0.2, 0.2], 10, 0.3, "ascend from 0"),
        (FRAMES, [0, 0.1, float("nan")], 10, 0.3, "ascend from 0"),
        (FRAMES, [0, 0.1, 0.2], 10, 0.2, "after the last time stamp"),
        (FRAMES, [0, 0.1, 0.2], 0, 0.3, "positive rate"),
        (FRAMES, [0, 0.1, 0.2], 10, float("inf"), "duration"),
    ],
)
def test_what_is_no_clip_is_refused(
    frames: np.ndarray, times: list[float], fps: float, end: float, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Clip(frames, np.array(times, float), fps, end)


def test_rate_must_be_positive() -> None:
    with pytest.raises(DataError, match="positive"):
        Clip.of(FRAMES, 0)


def test_frames_of_a_span_are_those_whose_stamps_lie_in_it() -> None:
    clip = Clip.of(np.zeros((10, 16, 16, 3), np.uint8), 10)
    assert clip.numbers((0.2, 0.5)).tolist() == [2, 3, 4]
    assert clip.numbers((0.25, 0.3)).tolist() == []
    assert clip.numbers(clip.whole).tolist() == list(range(10))
    assert span_of(clip, clip.numbers((0.2, 0.5))) == pytest.approx((0.2, 0.5))


def test_frame_shown_at_a_time() -> None:
    clip = Clip(FRAMES, np.array([0, 0.1, 0.7]), 10, 0.9)
    assert [clip.at(t) for t in (-1, 0, 0.05, 0.1, 0.69, 0.7, 5)] == [0, 0, 0, 1, 1, 2, 2]


def test_too_few_frames_name_what_is_there() -> None:
    with pytest.raises(DataError, match=r"shake: 0 frames lie between 0.25 and 0.3 s; .* has 3 frames"):
        frames_within(Clip.of(FRAMES, 10), (0.25, 0.3), "shake")


def test_effect_is_the_mean_difference_inside_span_and_box() -> None:
    before = Clip.of(np.full((4, 30, 60, 3), 100, np.uint8), 10)
    frames = before.frames_THWC.copy()
    frames[2, :15] += 20
    after = before.with_frames(frames)
    assert measure_effect(before, after, (0.2, 0.3), None) == pytest.approx(10, abs=0.01)
    assert measure_effect(before, after, (0.2, 0.3), (0, 0, 1, 0.5)) == pytest.approx(20)
    assert measure_effect(before, after, (0.2, 0.3), (0, 0.5, 1, 1)) == 0
    assert measure_effect(before, after, (0.0, 0.4), (0, 0, 1, 0.5)) == pytest.approx(5)
    assert measure_effect(before, before, (0.0, 0.4), None) == 0


def test_effect_pairs_frames_by_time() -> None:
    clip = moving(10)
    doubled = Clip(np.repeat(clip.frames_THWC, 2, axis=0), np.arange(20) / 40, 40, 0.5)
    assert measure_effect(clip, doubled, clip.whole, None) == 0


def test_record_becomes_json() -> None:
    full = Applied("x", 2, (0.5, 1.0), (0, 0, 0.5, 1), {"a": 1}, ((0.5, 0.6),), 3.5)
    assert json.loads(json.dumps(full.as_dict())) == {
        "name": "x", "severity": 2, "span_s": [0.5, 1.0], "box": [0, 0, 0.5, 1], "events_s": [[0.5, 0.6]],
        "parameters": {"a": 1}, "effect": 3.5,
    }  # fmt: skip
    assert set(Applied("x", 2, (0.5, 1.0)).as_dict()) == {"name", "severity", "span_s", "parameters"}
