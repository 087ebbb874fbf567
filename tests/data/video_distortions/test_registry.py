"""All distortions by name: purity, determinism, bounds, chains with stalls."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.data.tasks.wording import vocabulary
from mllmqa.data.video_distortions import IN_TIME, NAMES, Clip, Step, apply, apply_all, random_span
from mllmqa.data.video_distortions.clip import Applied
from mllmqa.data.video_distortions.registry import category_of_video, delayed
from mllmqa.errors import DataError, UnknownNameError
from tests.data.video_distortions.clips import generator, moving

CLIP = moving(70)


def test_categories_in_time_are_those_that_no_picture_has() -> None:
    """In the order of the names, each once: weights of heads depend on it. Questions are about the same ones."""
    assert len(set(IN_TIME)) == len(IN_TIME) == 10
    assert IN_TIME[:5] == ("freeze", "stutter", "drop", "jitter", "stall")
    assert set(IN_TIME) == set(vocabulary().video_only)
    assert {category_of_video(name) for name in NAMES} == {*IN_TIME, "compression"}


@pytest.mark.parametrize("name", NAMES)
def test_every_distortion_is_pure_seeded_and_recorded(name: str) -> None:
    frames, times = CLIP.frames_THWC.copy(), CLIP.timestamps_s.copy()
    one, two = (apply(CLIP, name, 2, generator(5), within=(0.5, 3.0)) for _ in range(2))
    assert np.array_equal(one.clip.frames_THWC, two.clip.frames_THWC)
    assert np.array_equal(one.clip.timestamps_s, two.clip.timestamps_s)
    assert one.applied == two.applied
    assert np.array_equal(CLIP.frames_THWC, frames)
    assert np.array_equal(CLIP.timestamps_s, times)
    assert one.applied
    for record in one.applied:
        assert record.name == name
        assert 0.5 - 1e-9 <= record.span_s[0] < record.span_s[1] <= one.clip.duration_s + 1e-9
        json.dumps(record.as_dict(), allow_nan=False)
        if name not in ("stall", "stall_spinner"):
            assert record.effect is not None
            assert record.effect > 0


@pytest.mark.parametrize("span", [(-1.0, 1.0), (1.0, 1.0), (2.0, 1.0), (0.0, 99.0), (float("nan"), 1.0)])
def test_spans_outside_the_clip_are_refused(span: tuple[float, float]) -> None:
    with pytest.raises(DataError, match=r"flicker: the span is .* s, the end of the clip"):
        apply(CLIP, "flicker", 1, generator(), within=span)


def test_unknown_names_and_severities() -> None:
    with pytest.raises(UnknownNameError, match="'melt'"):
        apply(CLIP, "melt", 1, generator())
    with pytest.raises(DataError, match="severity is 9"):
        apply(CLIP, "flicker", 9, generator())


def test_chain_keeps_all_records_in_order() -> None:
    steps = [Step("flicker", 2, (0.5, 1.5)), Step("shake", 1, (1.0, 2.0)), Step("h264", 3, (2.0, 3.0))]
    done = apply_all(CLIP, steps, generator())
    assert [one.name for one in done.applied] == ["flicker", "shake", "h264"]
    spans = [time for one in done.applied for time in one.span_s]
    assert spans == pytest.approx([0.5, 1.5, 1.0, 2.0, 2.0, 3.0])


def test_steps_draw_independently_of_their_neighbours() -> None:
    alone = apply_all(CLIP, [Step("flicker", 2)], generator()).applied[0]
    before = apply_all(CLIP, [Step("flicker", 2), Step("packet_loss", 3)], generator()).applied[0]
    assert alone == before


def test_a_stall_moves_the_records_before_it() -> None:
    first = apply_all(CLIP, [Step("flicker", 2, (2.0, 3.0))], generator()).applied[0]
    done = apply_all(CLIP, [Step("flicker", 2, (2.0, 3.0)), Step("stall_spinner", 2, (0.5, 1.5))], generator())
    flicker, stall = done.applied
    length = stall.parameters["length_s"]
    assert flicker.span_s == pytest.approx((2.0 + length, 3.0 + length))
    assert flicker.parameters == first.parameters
    wanted = apply(CLIP, "flicker", 2, generator().spawn(1)[0], within=(2.0, 3.0)).clip
    seen = done.clip.frames_THWC[done.clip.numbers(flicker.span_s)]
    assert np.array_equal(seen, wanted.frames_THWC[wanted.numbers((2.0, 3.0))])


def pause(at: float, length: float) -> Applied:
    return Applied("stall", 1, (at, at + length), None, {"at_s": at, "length_s": length})


@pytest.mark.parametrize(
    ("at", "moved"),
    [(0.5, (3.0, 4.0)), (1.0, (3.0, 4.0)), (1.5, (1.0, 4.0)), (2.0, (1.0, 2.0)), (2.5, (1.0, 2.0))],
)
def test_spans_move_or_grow(at: float, moved: tuple[float, float]) -> None:
    assert delayed(Applied("x", 1, (1.0, 2.0)), [pause(at, 2.0)]).span_s == moved


def test_events_move_with_their_span() -> None:
    record = Applied("x", 1, (1.0, 2.0), None, {}, ((1.0, 1.2), (1.8, 2.0)))
    assert delayed(record, [pause(1.5, 1.0)]).events_s == ((1.0, 1.2), (2.8, 3.0))


def test_several_pauses_add_up() -> None:
    record = Applied("x", 1, (4.0, 5.0))
    assert delayed(record, [pause(1.0, 1.0), pause(2.0, 0.5), pause(4.5, 0.25)]).span_s == (5.5, 6.75)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(3, 70))
def test_random_spans_lie_inside_and_hold_whole_frames(seed: int, count: int) -> None:
    clip = Clip.of(CLIP.frames_THWC[:count], 20)
    start, end = random_span(clip, np.random.default_rng(seed))
    assert 0 <= start < end <= clip.duration_s
    numbers = clip.numbers((start, end))
    assert len(numbers) >= 1
    assert len(numbers) <= max(round(0.5 * count), 1)
    assert start == clip.timestamps_s[numbers[0]]
    assert end == pytest.approx(clip.ends_s[numbers[-1]])


def test_random_span_needs_frames() -> None:
    with pytest.raises(DataError, match="at least 3"):
        random_span(Clip.of(CLIP.frames_THWC[:2], 20), generator())
