"""Flicker, shake, interlacing: what is recorded can be read back from the frames."""

from __future__ import annotations

import numpy as np
import pytest

from mllmqa.data.video_distortions import Clip, apply
from mllmqa.errors import DataError
from tests.data.video_distortions import confirm
from tests.data.video_distortions.clips import generator, moving

CLIP = moving(80)
NAMES = ["flicker", "shake", "interlace"]


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_a_reader_finds_the_flicker(severity: int) -> None:
    done = apply(CLIP, "flicker", severity, generator(severity), within=(1.0, 3.0))
    (record,) = done.applied
    assert record.span_s == pytest.approx((1.0, 3.0))
    assert confirm.problems(CLIP, done.clip, record) == []


def test_the_reader_can_say_no() -> None:
    done = apply(CLIP, "flicker", 3, generator(1), within=(1.0, 3.0))
    assert confirm.problems(CLIP, CLIP, done.applied[0]) != []
    other = apply(CLIP, "flicker", 3, generator(9), within=(1.0, 3.0))
    apart = abs(other.applied[0].parameters["frequency_hz"] - done.applied[0].parameters["frequency_hz"])
    assert apart > 1
    assert confirm.problems(CLIP, other.clip, done.applied[0]) != []


def test_flicker_multiplies_by_the_recorded_sine() -> None:
    grey = Clip.of(np.full((40, 16, 16, 3), 100, np.uint8), 25)
    done = apply(grey, "flicker", 3, generator())
    p = done.applied[0].parameters
    wave = 1 + p["amplitude"] * np.sin(2 * np.pi * p["frequency_hz"] * grey.timestamps_s + p["phase_rad"])
    assert done.clip.frames_THWC[:, 0, 0, 0].tolist() == np.rint(100 * wave).astype(int).tolist()


@pytest.mark.parametrize("fps", [4, 10, 60])
def test_flicker_stays_below_half_the_frame_rate(fps: float) -> None:
    clip = Clip.of(CLIP.frames_THWC[:12], fps)
    frequencies = [apply(clip, "flicker", 1, generator(s)).applied[0].parameters["frequency_hz"] for s in range(20)]
    assert max(frequencies) <= min(0.4 * fps, 8)


def test_shake_moves_frames_by_the_recorded_offsets() -> None:
    done = apply(CLIP, "shake", 4, generator(), within=(0.5, 2.0))
    (record,) = done.applied
    numbers = CLIP.numbers(record.span_s)
    offsets = record.parameters["offsets_px"]
    assert len(offsets) == len(numbers)
    assert np.ptp(np.array(offsets), axis=0).min() >= 2
    for number, (dy, dx) in zip(numbers, offsets, strict=True):
        middle = CLIP.frames_THWC[number, 16 - dy : 48 - dy, 16 - dx : 80 - dx]
        assert np.array_equal(done.clip.frames_THWC[number, 16:48, 16:80], middle)


def test_interlaced_rows_come_from_an_earlier_frame() -> None:
    done = apply(CLIP, "interlace", 2, generator(), within=(1.0, 2.0))
    (record,) = done.applied
    parity = 1 if record.parameters["late_rows"] == "odd" else 0
    for number in CLIP.numbers(record.span_s):
        frame = done.clip.frames_THWC[number]
        assert np.array_equal(frame[parity::2], CLIP.frames_THWC[number - 2, parity::2])
        assert np.array_equal(frame[1 - parity :: 2], CLIP.frames_THWC[number, 1 - parity :: 2])


def test_both_fields_occur() -> None:
    rows = {apply(CLIP, "interlace", 1, generator(s)).applied[0].parameters["late_rows"] for s in range(12)}
    assert rows == {"odd", "even"}


def waves() -> Clip:
    """A wide wave that wanders: the longer ago, the more different."""
    x = np.arange(96)
    rows = [128 + 80 * np.sin(2 * np.pi * (x - 2 * k) / 96) for k in range(40)]
    frames = np.broadcast_to(np.stack(rows)[:, None, :, None], (40, 64, 96, 3))
    return Clip.of(np.rint(frames).astype(np.uint8), 20)


@pytest.mark.parametrize("name", NAMES)
def test_effect_grows_with_severity(name: str) -> None:
    clip = waves()
    effects = [apply(clip, name, s, generator()).applied[0].effect for s in (1, 2, 3, 4, 5)]
    assert effects == sorted(effects)
    assert effects[0] > 0.5
    assert effects[0] < effects[4]


@pytest.mark.parametrize("name", NAMES)
def test_only_the_span_changes(name: str) -> None:
    kept = CLIP.frames_THWC.copy()
    done = apply(CLIP, name, 5, generator(), within=(1.0, 2.0))
    outside = ~np.isin(np.arange(80), CLIP.numbers((1.0, 2.0)))
    assert np.array_equal(done.clip.frames_THWC[outside], kept[outside])
    assert not np.array_equal(done.clip.frames_THWC, kept)
    assert np.array_equal(CLIP.frames_THWC, kept)
    assert np.array_equal(done.clip.timestamps_s, CLIP.timestamps_s)


def test_flicker_needs_a_period_and_four_frames() -> None:
    with pytest.raises(DataError, match=r"flicker: 3 frames lie .* expected at least 4"):
        apply(CLIP, "flicker", 1, generator(), within=(0.0, 0.15))
    fast = Clip.of(CLIP.frames_THWC[:6], 240)
    with pytest.raises(DataError, match=r"no period of up to 8 Hz fits into 0.025 s; expected at least 0.125 s"):
        apply(fast, "flicker", 1, generator())


@pytest.mark.parametrize("seed", range(8))
def test_flicker_has_a_period_in_its_span(seed: int) -> None:
    (record,) = apply(CLIP, "flicker", 1, generator(seed), within=(1.0, 1.2)).applied
    assert record.parameters["frequency_hz"] * 0.2 >= 1 - 1e-9


@pytest.mark.parametrize("name", ["shake", "interlace"])
def test_one_frame_is_enough(name: str) -> None:
    one = Clip.of(CLIP.frames_THWC[:1], 25)
    assert apply(one, name, 5, generator()).clip.frames_THWC.shape == one.frames_THWC.shape
