"""Codecs in memory: real encoders, only the span, worse with severity, switching on a ladder."""

from __future__ import annotations

import os

import av
import numpy as np
import pytest

from mllmqa.data.video_distortions import Rate, apply, codecs, encoders, recode
from mllmqa.errors import DataError, UsageError
from tests.data.video_distortions import confirm
from tests.data.video_distortions.clips import generator, moving

CLIP = moving(48, width=128, height=96)
HERE = sorted(encoders())
NAMES = [*HERE, *(f"{codec}_bitrate" for codec in HERE)]


def test_all_four_codecs_are_in_the_wheel_of_pyav() -> None:
    assert HERE == ["av1", "h264", "hevc", "vp9"]


def test_a_missing_encoder_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"libx264", "libvpx-vp9"})
    with pytest.raises(UsageError, match=r"no encoder libx265; expected one of h264, vp9; the wheels of PyPI"):
        apply(CLIP, "hevc", 1, generator())


def test_unknown_codec() -> None:
    with pytest.raises(UsageError, match="no codec 'h261'"):
        recode(CLIP.frames_THWC, 20, "h261", Rate(crf=30))


@pytest.mark.parametrize("codec", HERE)
def test_a_reader_finds_the_span(codec: str) -> None:
    done = apply(CLIP, codec, 2, generator(), within=(0.5, 1.5))
    (record,) = done.applied
    assert record.span_s == pytest.approx((0.5, 1.5))
    assert confirm.problems(CLIP, done.clip, record) == []
    outside = ~np.isin(np.arange(48), CLIP.numbers(record.span_s))
    assert np.array_equal(done.clip.frames_THWC[outside], CLIP.frames_THWC[outside])


def test_the_reader_can_say_no() -> None:
    done = apply(CLIP, "h264", 3, generator(), within=(0.5, 1.5))
    other = apply(CLIP, "h264", 3, generator(), within=(1.0, 2.0)).applied[0]
    assert confirm.problems(CLIP, done.clip, other) != []
    assert confirm.problems(CLIP, CLIP, done.applied[0]) != []
    brighter = CLIP.frames_THWC.copy()
    brighter[10:30] += 5
    assert confirm.problems(CLIP, CLIP.with_frames(brighter), done.applied[0]) != []


@pytest.mark.parametrize("name", NAMES)
def test_damage_grows_and_rate_falls_with_severity(name: str) -> None:
    records = [apply(CLIP, name, s, generator()).applied[0] for s in (1, 2, 3, 4, 5)]
    effects = [one.effect for one in records]
    rates = [one.parameters["kbps"] for one in records]
    assert effects == sorted(effects)
    assert rates == sorted(rates, reverse=True)
    assert effects[4] > 1.2 * effects[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_output(name: str) -> None:
    a, b = (apply(CLIP, name, 3, generator(seed)) for seed in (1, 2))
    assert np.array_equal(a.clip.frames_THWC, b.clip.frames_THWC)
    assert a.applied == b.applied


def test_parameters_say_what_was_asked_and_what_was_spent() -> None:
    crf = apply(CLIP, "h264", 1, generator()).applied[0].parameters
    assert crf["encoder"] == "libx264"
    assert crf["crf"] == 28
    asked = apply(CLIP, "h264_bitrate", 1, generator()).applied[0].parameters
    assert asked["asked_kbps"] == pytest.approx(0.08 * 128 * 96 * 20 / 1000)
    assert "crf" not in asked
    assert asked["kbps"] > 0


@pytest.mark.parametrize("codec", HERE)
def test_odd_sides_keep_their_size(codec: str) -> None:
    clip = moving(6, width=75, height=67)
    out, size = recode(clip.frames_THWC, 20, codec, Rate(crf=20))
    assert out.shape == clip.frames_THWC.shape
    assert size > 100
    assert np.abs(out.astype(int) - clip.frames_THWC).mean() < 8


@pytest.mark.parametrize("codec", HERE)
def test_a_single_frame_is_enough(codec: str) -> None:
    out, _ = recode(CLIP.frames_THWC[:1], 25, codec, Rate(crf=20))
    assert out.shape == (1, 96, 128, 3)


def test_av1_has_no_bitrate_for_small_frames() -> None:
    with pytest.raises(DataError, match=r"96×48 pixels; expected at least 64"):
        apply(moving(4, width=96, height=48), "av1_bitrate", 1, generator())


@pytest.mark.parametrize("size", [(64, 48), (96, 64), (176, 144)])
def test_h264_gives_the_same_bytes_on_every_call(size: tuple[int, int]) -> None:
    frames = moving(30, width=size[0], height=size[1]).frames_THWC
    for rate in (Rate(crf=33), Rate(kbps=100)):
        first, n_bytes = recode(frames, 20, "h264", rate)
        for _ in range(4):
            again, n_again = recode(frames, 20, "h264", rate)
            assert n_again == n_bytes
            assert np.array_equal(again, first)


def test_rates_of_television() -> None:
    out, _ = recode(CLIP.frames_THWC[:4], 30000 / 1001, "h264", Rate(kbps=300))
    assert len(out) == 4


def test_tiny_frames_are_refused() -> None:
    with pytest.raises(DataError, match=r"8×96 pixels; expected at least 16"):
        recode(CLIP.frames_THWC[:, :, :8].copy(), 20, "h264", Rate(crf=30))


@pytest.mark.parametrize("rate", [{}, {"crf": 30, "kbps": 100}])
def test_rate_is_one_of_two(rate: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="exactly one"):
        Rate(**rate)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_switching_has_degraded_segments_and_the_worst_is_that_of_the_severity(severity: int) -> None:
    clip = moving(120, width=64, height=48)
    done = apply(clip, "bitrate_switch", severity, generator(severity))
    assert max(one.severity for one in done.applied) == severity
    untouched = np.ones(120, bool)
    for record in done.applied:
        assert record.effect is not None
        assert record.effect > 0.5
        assert record.parameters["crf"] == {1: 30, 2: 34, 3: 38, 4: 42, 5: 46}[record.severity]
        untouched[clip.numbers(record.span_s)] = False
    assert np.array_equal(done.clip.frames_THWC[untouched], clip.frames_THWC[untouched])


def test_switching_switches_even_in_a_short_clip() -> None:
    clip = moving(10)
    for seed in range(8):
        done = apply(clip, "bitrate_switch", 1, generator(seed))
        levels = np.zeros(10)
        for record in done.applied:
            levels[clip.numbers(record.span_s)] = record.severity
        assert len(set(levels)) == 2


def test_lower_rungs_are_smaller_pictures() -> None:
    record = max(apply(CLIP, "bitrate_switch", 4, generator()).applied, key=lambda one: one.severity)
    assert (record.parameters["width"], record.parameters["height"]) == (58, 43)


def test_switching_needs_two_frames() -> None:
    with pytest.raises(DataError, match="at least 2"):
        apply(moving(3), "bitrate_switch", 1, generator(), within=(0.0, 0.05))


def test_resizing_to_the_same_size_copies_nothing() -> None:
    assert codecs.resized(CLIP.frames_THWC, 128, 96) is CLIP.frames_THWC
    assert codecs.resized(CLIP.frames_THWC[:2], 64, 48).shape == (2, 48, 64, 3)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="a call of Linux")
@pytest.mark.parametrize("codec", HERE)
def test_no_encoder_keeps_the_real_time_class(codec: str) -> None:
    """SVT-AV1 puts the calling thread of root into SCHED_FIFO, at the highest priority, and leaves it there."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    recode(CLIP.frames_THWC[:4], 20, codec, Rate(crf=40))
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before
