"""Freeze, stutter, drop, jitter, stall: the record says what the frames show, and nothing else changed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.data.video_distortions import Clip, DistortedClip, apply
from mllmqa.data.video_distortions.timing import spinner_box, with_spinner
from mllmqa.errors import DataError
from tests.data.video_distortions import confirm
from tests.data.video_distortions.clips import generator, moving

CLIP = moving(80, width=48, height=32)
LONG = moving(240, width=48, height=32)


def same_outside(before: Clip, after: DistortedClip) -> bool:
    """Whether every source frame outside the spans is shown at its time, bit by bit."""
    apart = confirm.differences(before, after.clip)
    for record in after.applied:
        apart[before.numbers(record.span_s)] = 0
    return bool(np.all(apart == 0))


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["freeze", "frame_drop"])
def test_a_reader_finds_what_was_recorded(name: str, severity: int) -> None:
    done = apply(CLIP, name, severity, generator(severity), within=(0.5, 3.5))
    (record,) = done.applied
    assert confirm.problems(CLIP, done.clip, record) == []
    assert record.severity == severity
    assert record.span_s[0] >= 0.5
    assert record.span_s[1] <= 3.5 + 1e-9
    assert record.effect is not None
    assert record.effect > 1


def test_the_reader_can_say_no() -> None:
    done = apply(CLIP, "freeze", 2, generator(), within=(0.5, 2.0))
    other = apply(CLIP, "freeze", 2, generator(), within=(2.2, 4.0)).applied[0]
    assert len(confirm.problems(CLIP, done.clip, other)) == 2
    assert confirm.problems(CLIP, CLIP, done.applied[0]) != []
    dropped = apply(CLIP, "frame_drop", 2, generator(), within=(0.5, 2.0))
    assert confirm.problems(CLIP, CLIP, dropped.applied[0]) != []


def test_freeze_holds_one_frame_and_goes_on_where_it_would_be() -> None:
    done = apply(CLIP, "freeze", 3, generator(), within=(1.0, 3.0))
    (record,) = done.applied
    numbers = done.clip.numbers(record.span_s)
    assert record.parameters["length_s"] == pytest.approx(1.0)
    assert record.parameters["frames_replaced"] == len(numbers) - 1 == 19
    assert all(np.array_equal(done.clip.frames_THWC[n], CLIP.frames_THWC[numbers[0]]) for n in numbers)
    assert done.clip.duration_s == CLIP.duration_s
    assert same_outside(CLIP, done)


def test_freeze_of_a_still_picture_has_no_effect() -> None:
    still = Clip.of(np.repeat(CLIP.frames_THWC[:1], 40, axis=0), 20)
    assert apply(still, "freeze", 2, generator()).applied[0].effect == 0


def test_freeze_needs_room() -> None:
    with pytest.raises(DataError, match=r"no frame between 0 and 1 s can stand for 2.5 s"):
        apply(CLIP, "freeze", 5, generator(), within=(0.0, 1.0))
    slow = Clip.of(CLIP.frames_THWC[:10], 2)
    with pytest.raises(DataError, match="two frames"):
        apply(slow, "freeze", 1, generator())


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_stutter_has_a_hold_in_every_period(severity: int) -> None:
    done = apply(CLIP, "stutter", severity, generator())
    (record,) = done.applied
    assert len(record.events_s) == record.parameters["holds"] == 5
    assert record.span_s == (record.events_s[0][0], record.events_s[-1][1])
    seen = confirm.held(done.clip, 0)
    covered = sum(end - start for start, end in seen)
    assert covered == pytest.approx(sum(end - start for start, end in record.events_s), abs=0.06 * len(seen))
    for start, end in record.events_s:
        assert any(a <= start + 1e-9 and end <= b + 1e-9 for a, b in seen)
    assert same_outside(CLIP, done)


def test_stutter_holds_two_frames_at_least_and_needs_them() -> None:
    slow = Clip.of(CLIP.frames_THWC[:20], 5)
    record = apply(slow, "stutter", 1, generator()).applied[0]
    assert record.parameters["hold_s"] == pytest.approx(0.4)
    with pytest.raises(DataError, match="does not fit"):
        apply(CLIP, "stutter", 5, generator(), within=(0.0, 0.3))


def test_drops_are_nested_and_keep_the_first_frame() -> None:
    gone: set[float] = set()
    for severity in (1, 2, 3, 4, 5):
        done = apply(CLIP, "frame_drop", severity, generator(1))
        times = {start for start, _ in done.applied[0].events_s}
        assert gone < times
        gone = times
        assert done.clip.timestamps_s[0] == 0
        assert len(done.clip) == len(CLIP) - len(times)
        assert done.clip.duration_s == CLIP.duration_s
    assert len(gone) == round(0.75 * 79)


def test_events_of_a_drop_are_when_the_wrong_frame_is_seen() -> None:
    done = apply(CLIP, "frame_drop", 2, generator())
    wrong = np.flatnonzero(confirm.differences(CLIP, done.clip) > 0)
    starts = [CLIP.timestamps_s[n] for n in wrong]
    assert [start for start, _ in done.applied[0].events_s] == pytest.approx(starts)


def test_nothing_to_drop() -> None:
    with pytest.raises(DataError, match="never dropped"):
        apply(CLIP, "frame_drop", 1, generator(), within=(0.0, 0.05))


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_jitter_delays_frames_and_keeps_order_and_ends(severity: int) -> None:
    done = apply(CLIP, "jitter", severity, generator(), within=(1.0, 2.0))
    (record,) = done.applied
    late = done.clip.timestamps_s - CLIP.timestamps_s
    inside = np.isin(np.arange(80), CLIP.numbers((1.0, 2.0)))
    assert np.all(late[~inside] == 0)
    assert np.all(late[inside] >= -1e-9)
    assert record.parameters["delay_mean_s"] == pytest.approx(late[inside].mean())
    assert np.all(np.diff(done.clip.timestamps_s) > 0)
    assert np.array_equal(done.clip.frames_THWC, CLIP.frames_THWC)
    assert done.clip.duration_s == CLIP.duration_s


def test_jitter_grows_with_severity() -> None:
    means = [apply(CLIP, "jitter", s, generator()).applied[0].parameters["delay_mean_s"] for s in (1, 2, 3, 4, 5)]
    assert means == sorted(means)
    assert means[4] > 2 * means[0]


@pytest.mark.parametrize("name", ["stall", "stall_spinner"])
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_stalls_add_their_time_and_lose_nothing(name: str, severity: int) -> None:
    done = apply(LONG, name, severity, generator())
    count = {1: 1, 3: 2, 5: 3}[severity]
    assert len(done.applied) == count
    added = sum(one.parameters["length_s"] for one in done.applied)
    assert done.clip.duration_s == pytest.approx(LONG.duration_s + added)
    assert added == pytest.approx({1: 0.5, 3: 1.8, 5: 5.0}[severity], abs=0.06 * count)
    before = 0.0
    kept = []
    for record in done.applied:
        assert record.span_s[0] == pytest.approx(record.parameters["at_s"] + before)
        assert record.effect is None
        before += record.parameters["length_s"]
    for picture, start in zip(done.clip.frames_THWC, done.clip.timestamps_s, strict=True):
        if not any(a - 1e-6 <= start < b - 1e-6 for a, b in (one.span_s for one in done.applied)):
            kept.append(picture)
    assert np.array_equal(np.stack(kept), LONG.frames_THWC)


def test_plain_stall_shows_one_frame_longer() -> None:
    done = apply(LONG, "stall", 2, generator())
    (record,) = done.applied
    assert len(done.clip) == len(LONG)
    (seen,) = confirm.long_shown(done.clip)
    assert seen == pytest.approx(record.span_s)
    assert record.box is None


def test_spinner_turns_inside_its_box_only() -> None:
    done = apply(LONG, "stall_spinner", 2, generator())
    (record,) = done.applied
    assert record.box is not None
    x0, y0, x1, y1 = (round(f * s) for f, s in zip(record.box, (48, 32, 48, 32), strict=True))
    still = LONG.frames_THWC[record.parameters["frame"]]
    pictures = done.clip.frames_THWC[done.clip.numbers(record.span_s)]
    assert len(pictures) == 20
    outside = np.ones((32, 48), bool)
    outside[y0:y1, x0:x1] = False
    assert all(np.array_equal(p[outside], still[outside]) for p in pictures)
    inside = [p[y0:y1, x0:x1] for p in pictures]
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(inside))


def test_spinner_of_tiny_pictures_stays_inside() -> None:
    frame = np.zeros((16, 16, 3), np.uint8)
    out = with_spinner(frame, 0.3)
    assert frame.max() == 0
    assert out.max() > 200
    assert all(0 <= value <= 1 for value in spinner_box(16, 16))


@settings(max_examples=30)
@given(
    name=st.sampled_from(["freeze", "stutter", "frame_drop", "jitter"]),
    severity=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    start=st.integers(0, 40),
)
def test_nothing_outside_the_span_is_touched(name: str, severity: int, seed: int, start: int) -> None:
    within = (start / 20, start / 20 + 2.0)
    done = apply(CLIP, name, severity, np.random.default_rng(seed), within=within)
    assert same_outside(CLIP, done)
    for record in done.applied:
        assert within[0] - 1e-9 <= record.span_s[0] < record.span_s[1] <= within[1] + 1e-9
